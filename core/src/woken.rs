//! A future beside others in one task that is polled only when it was woken
//! itself: [`Woken`].

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Saves the polls of a future that hardly ever has anything to say.
///
/// A connection waits for a handful of things at once, and is woken for its
/// socket some hundred times a second: each time, `select!` would ask all the
/// others as well. What this holds is asked when it wants to be.
pub struct Woken<F: ?Sized> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    /// The bell, as the future sees it.
    waker: Waker,
    /// The task that the bell wakes.
    task: Waker,
}

#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    task: Mutex<Waker>,
}

impl<F: Future + ?Sized> Woken<F> {
    /// Polls `future` the first time, and whenever it was woken since.
    #[must_use]
    pub fn new(future: Pin<Box<F>>) -> Self {
        let bell = Arc::new(Bell {
            // Nobody wakes what was never polled.
            rung: AtomicBool::new(true),
            task: Mutex::new(Waker::noop().clone()),
        });
        Self {
            future,
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            task: Waker::noop().clone(),
        }
    }
}

impl<F: ?Sized> fmt::Debug for Woken<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rung = self.bell.rung.load(Ordering::Relaxed);
        f.debug_struct("Woken")
            .field("rung", &rung)
            .finish_non_exhaustive()
    }
}

impl<F: Future + ?Sized> Future for Woken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        if !this.task.will_wake(cx.waker()) {
            this.task = cx.waker().clone();
            *this.bell.lock() = cx.waker().clone();
        }
        // Behind the line above: whoever rings from here on wakes this task.
        if !this.bell.rung.load(Ordering::Relaxed) || !this.bell.rung.swap(false, Ordering::AcqRel)
        {
            return Poll::Pending;
        }
        this.future
            .as_mut()
            .poll(&mut Context::from_waker(&this.waker))
    }
}

impl Bell {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waker> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.lock().wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_is_polled_when_it_was_woken_and_wakes_the_task_that_polled_last() {
        let (sender, receiver) = oneshot::channel();
        let polls = AtomicUsize::new(0);
        let mut receiver = pin!(receiver);
        let inner = std::future::poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            receiver.as_mut().poll(cx)
        });
        let mut woken = pin!(Woken::new(Box::pin(inner)));
        let tasks = [Arc::new(Count::default()), Arc::new(Count::default())];
        for task in &tasks {
            let waker = Waker::from(Arc::clone(task));
            let mut cx = Context::from_waker(&waker);
            for _ in 0..3 {
                assert!(woken.as_mut().poll(&mut cx).is_pending());
            }
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        sender.send(7).unwrap();
        let woken_tasks = tasks.each_ref().map(|task| task.0.load(Ordering::Relaxed));
        assert_eq!(woken_tasks, [0, 1]);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(woken.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }
}
