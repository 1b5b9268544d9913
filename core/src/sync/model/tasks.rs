//! A runtime for models: each task is a thread of the model.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use atomic_refcell::AtomicRefCell;
use loom::sync::Notify;
use loom::sync::atomic::AtomicBool;

use crate::sync::Acquire;

/// Runs tasks until it is shut down.
#[derive(Clone)]
pub(crate) struct Runtime(Arc<Shared>);

struct Shared {
    workers: usize,
    is_down: AtomicBool,
    tasks: AtomicRefCell<Vec<Waker>>,
}

loom::thread_local! {
    /// The runtime that the thread runs in.
    static CURRENT: RefCell<Option<Runtime>> = RefCell::new(None);
}

impl Runtime {
    /// A runtime that says it has so many workers. The calling thread runs in it
    /// from now on.
    #[cfg(test)]
    pub(crate) fn enter(workers: usize) -> Self {
        let runtime = Self(Arc::new(Shared {
            workers,
            is_down: AtomicBool::new(false),
            tasks: AtomicRefCell::default(),
        }));
        runtime.make_current();
        runtime
    }

    /// Lets the calling thread run in this runtime, too.
    pub(crate) fn make_current(&self) {
        CURRENT.with(|current| *current.borrow_mut() = Some(self.clone()));
    }

    /// Drops all tasks, each on its own thread, where it waits.
    #[cfg(test)]
    pub(crate) fn shut_down(&self) {
        self.0.is_down.store(true, crate::sync::Release);
        let tasks = std::mem::take(&mut *self.0.tasks.borrow_mut());
        for task in tasks {
            task.wake();
        }
    }

    pub(crate) fn current() -> Option<Self> {
        CURRENT.with(|current| current.borrow().clone())
    }

    pub(crate) fn workers(&self) -> usize {
        self.0.workers
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let runtime = self.clone();
        loom::thread::spawn(move || {
            runtime.make_current();
            let mut task = Some(Box::pin(task));
            let mut known = false;
            block_on(poll_fn(|cx| {
                if !std::mem::replace(&mut known, true) {
                    runtime.0.tasks.borrow_mut().push(cx.waker().clone());
                }
                if runtime.0.is_down.load(Acquire) {
                    task = None;
                }
                match &mut task {
                    Some(task) => pin!(task).poll(cx),
                    None => Poll::Ready(()),
                }
            }));
        });
    }
}

/// Runs a future on the calling thread. (loom's own has wakers that do not know
/// themselves again, so that what is kept from one wait to the next is not used.)
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let thread = Arc::new(Thread(Notify::new()));
    let waker = Waker::from(Arc::clone(&thread));
    let mut future = pin!(future);
    loop {
        let mut cx = Context::from_waker(&waker);
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        thread.0.wait();
    }
}

struct Thread(Notify);

impl Wake for Thread {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}
