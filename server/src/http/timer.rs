//! The clock of one connection, as hyper sees it: [`IdleTimer`].
//!
//! hyper sets a deadline for the head of each request and drops it when the
//! head is there. A timer of tokio's for each would go in and out of a list for
//! every request; here the deadline is a number, and one timer looks once in a
//! while whether it has passed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::time;

/// hyper's timer for one connection. Clones share the deadline; there is one at
/// a time, as hyper has one of each connection.
#[derive(Clone, Debug)]
pub(super) struct IdleTimer(Arc<State>);

#[derive(Debug)]
struct State {
    begun: Instant,
    /// Nanoseconds after `begun`; the largest number is none.
    deadline: AtomicU64,
    /// Set when the deadline has passed: what hyper polls.
    passed: AtomicBool,
}

const NONE: u64 = u64::MAX;

impl IdleTimer {
    pub(super) fn new() -> Self {
        Self(Arc::new(State {
            begun: now(),
            deadline: AtomicU64::new(NONE),
            passed: AtomicBool::new(false),
        }))
    }

    /// Keeps the time, and must be polled within the connection's task, before
    /// the connection; never ready. Wakes the task when a deadline has passed.
    ///
    /// No deadline may be set that is less than `least` away.
    pub(super) async fn keep(&self, least: Duration) {
        let state = &*self.0;
        loop {
            let deadline = match state.deadline.load(Ordering::Relaxed) {
                NONE => now() + least,
                nanos => state.begun + Duration::from_nanos(nanos),
            };
            // Once only: until hyper sets the next one it is none.
            if deadline <= now() {
                state.passed.store(true, Ordering::Relaxed);
                state.deadline.store(NONE, Ordering::Relaxed);
            } else {
                time::sleep_until(deadline.into()).await;
            }
        }
    }
}

impl State {
    fn set(&self, deadline: Instant) {
        let after = deadline.saturating_duration_since(self.begun);
        let nanos = u64::try_from(after.as_nanos()).unwrap_or(NONE);
        self.passed.store(false, Ordering::Relaxed);
        self.deadline.store(nanos, Ordering::Relaxed);
    }
}

impl Timer for IdleTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.0.set(deadline);
        Box::pin(Waiting(Arc::clone(&self.0)))
    }

    fn reset(&self, _sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        self.0.set(deadline);
    }

    fn now(&self) -> Instant {
        now()
    }
}

/// What hyper waits on: the deadline that it set last.
struct Waiting(Arc<State>);

impl Sleep for Waiting {}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        // `keep` wakes the task.
        if self.0.passed.load(Ordering::Relaxed) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.deadline.store(NONE, Ordering::Relaxed);
    }
}

/// tokio's, which a test may have stopped.
fn now() -> Instant {
    time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    const MILLIS: Duration = Duration::from_millis(1);

    /// Polls what hyper polls whenever the clock wakes the task, until `until`
    /// or for good.
    async fn passes(timer: &IdleTimer, sleep: &mut Pin<Box<dyn Sleep>>, until: Duration) -> bool {
        let mut keep = pin!(timer.keep(MILLIS));
        let poll = std::future::poll_fn(|cx| {
            assert!(keep.as_mut().poll(cx).is_pending());
            sleep.as_mut().poll(cx)
        });
        time::timeout(until, poll).await.is_ok()
    }

    #[tokio::test]
    async fn a_deadline_that_was_set_passes_and_one_that_was_dropped_does_not() {
        let timer = IdleTimer::new();
        let long = Duration::from_secs(10);
        let mut sleep = timer.sleep(MILLIS * 5);
        assert!(passes(&timer, &mut sleep, long).await);
        // A later one over it, as for the next request.
        let far = timer.now() + long;
        timer.reset(&mut sleep, far);
        assert!(!passes(&timer, &mut sleep, MILLIS * 20).await);
        drop(sleep);
        assert_eq!(timer.0.deadline.load(Ordering::Relaxed), NONE);
        let mut next = timer.sleep_until(timer.now());
        assert!(passes(&timer, &mut next, long).await);
    }
}
