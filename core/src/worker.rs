//! Workers: consumers of a stream that belong to it and not to whoever asked first.

use std::any::type_name;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Poll, Waker};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{Instant as TokioInstant, sleep_until};

use crate::Interest;
use crate::bus::doors::Door;
use crate::bus::{Recv, ResilientSubscription, StreamHandle};
use crate::sync::{Arc, Relaxed, now};

#[cfg(test)]
mod tests;

/// A consumer of one stream as a state machine: it is given what comes and the
/// time, and does no IO of its own. The core runs it in a task of the stream's.
///
/// A panic in a worker ends that worker, is logged and counted
/// ([`Qos::worker_panics`](crate::Qos::worker_panics)), and costs nobody else.
pub trait StreamWorker: Send + 'static {
    /// Takes what the stream's resilient subscription yields. [`Recv::Ended`]
    /// comes last; then the worker is dropped.
    fn on_recv(&mut self, recv: Recv<'_>, now: Instant);

    /// When [`on_deadline`](Self::on_deadline) is to be called next; asked
    /// after every call.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What it is to be woken for; asked when it has read all there is. What
    /// comes meanwhile waits for it: some 32 frames or 256 KiB at most.
    fn interest(&self) -> Interest {
        Interest::everything()
    }

    /// The time that [`deadline`](Self::deadline) named has come.
    fn on_deadline(&mut self, now: Instant) {
        let _ = now;
    }
}

impl StreamHandle {
    /// Runs `worker` in a task of the stream's own until the stream ends. It
    /// reads from the join point of this moment on.
    ///
    /// The task runs on the tokio runtime that the stream was made in, else on
    /// the caller's.
    ///
    /// # Panics
    /// If the stream was made outside of a tokio runtime and this is called
    /// outside of one too.
    pub fn attach_worker(&self, worker: impl StreamWorker) {
        let subscription = self.subscribe_resilient().max_lag(None);
        let runtime = self.stream.runtime.clone().unwrap_or_else(Handle::current);
        self.stream
            .tasks
            .spawn_on(run(self.clone(), subscription, worker), &runtime);
    }
}

/// Entries that a worker takes before other tasks have their turn.
const BATCH: usize = 64;

async fn run<W: StreamWorker>(
    handle: StreamHandle,
    mut subscription: ResilientSubscription,
    worker: W,
) {
    let mut guarded = Guarded {
        worker: Some(worker),
        handle,
    };
    let door = Place::new(&guarded.handle);
    let mut sleep = Box::pin(sleep_until(TokioInstant::now()));
    loop {
        let mut batch = 0;
        while let Some(recv) = subscription.try_recv() {
            if !guarded.hand(recv) {
                return;
            }
            batch += 1;
            if batch == BATCH {
                yield_now().await;
                batch = 0;
            }
        }
        let wants = guarded.call(|worker| (worker.deadline(), worker.interest()));
        let Some((deadline, interest)) = wants else {
            return;
        };
        poll_fn(|cx| {
            door.wait(cx.waker(), interest);
            Poll::Ready(())
        })
        .await;
        // What came before this knocked at no door.
        if let Some(recv) = subscription.try_recv() {
            if !guarded.hand(recv) {
                return;
            }
            continue;
        }
        if let Some(at) = deadline {
            let at = TokioInstant::from_std(at);
            if sleep.deadline() != at {
                sleep.as_mut().reset(at);
            }
        }
        let late = poll_fn(|cx| match deadline {
            _ if !door.is_waiting() => Poll::Ready(false),
            Some(_) => sleep.as_mut().poll(cx).map(|()| true),
            None => Poll::Pending,
        });
        if !late.await {
            continue;
        }
        // Frames first: a deadline that has passed meanwhile is still passed
        // after them, and most are moved on by a frame.
        if let Some(recv) = subscription.try_recv() {
            if !guarded.hand(recv) {
                return;
            }
        } else {
            guarded.call(|worker| worker.on_deadline(now()));
        }
    }
}

/// A worker's door, for as long as the worker lives.
struct Place(Arc<Door>, StreamHandle);

impl Place {
    fn new(handle: &StreamHandle) -> Self {
        Self(handle.stream.doors.add(), handle.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.1.stream.doors.remove(&self.0);
    }
}

impl Place {
    fn wait(&self, waker: &Waker, interest: Interest) {
        self.0.wait(&self.1.stream.wake, waker, interest);
    }

    fn is_waiting(&self) -> bool {
        self.0.is_waiting()
    }
}

/// A worker behind which no panic passes.
struct Guarded<W: StreamWorker> {
    worker: Option<W>,
    handle: StreamHandle,
}

impl<W: StreamWorker> Guarded<W> {
    /// What `f` returns; `None` if the worker has panicked, now or before.
    fn call<T>(&mut self, f: impl FnOnce(&mut W) -> T) -> Option<T> {
        let worker = self.worker.as_mut()?;
        let result = catch_unwind(AssertUnwindSafe(|| f(worker)));
        if result.is_err() {
            self.report();
            self.drop_worker();
        }
        result.ok()
    }

    /// Hands on what comes next; false if nothing comes after it, or the worker
    /// wants no more of it.
    fn hand(&mut self, recv: Recv<'_>) -> bool {
        let ended = matches!(recv, Recv::Ended);
        self.call(|worker| worker.on_recv(recv, now())).is_some() && !ended
    }

    fn drop_worker(&mut self) {
        let worker = self.worker.take();
        if catch_unwind(AssertUnwindSafe(|| drop(worker))).is_err() {
            self.report();
        }
    }

    fn report(&self) {
        self.handle
            .stream
            .counters
            .worker_panics
            .fetch_add(1, Relaxed);
        tracing::error!(stream = %self.handle.key(), worker = type_name::<W>(), "a worker of the stream panicked");
    }
}

impl<W: StreamWorker> Drop for Guarded<W> {
    fn drop(&mut self) {
        self.drop_worker();
    }
}
