//! A value that one side replaces and any number of others wait on.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

use crate::bus::wake::WakeSet;
use crate::sync::{Arc, ArcValue};

/// A shared value with the bus's own wake set: reading is a pointer load,
/// storing costs the same however many wait.
///
/// [`store`](Self::store) wakes up to four waiters itself; more are woken by a
/// task on the tokio runtime that the caller runs in (outside of one, by the
/// caller too).
pub struct Watched<T> {
    value: ArcValue<T>,
    wake: WakeSet,
}

impl<T> Watched<T> {
    /// A watched value that starts as `value`.
    pub fn new(value: T) -> Self {
        Self {
            value: ArcValue::of(value),
            wake: WakeSet::new(),
        }
    }

    /// The value of now.
    pub fn load(&self) -> Arc<T> {
        self.value.load_full()
    }

    /// Replaces the value and wakes everyone who waits. Where several threads
    /// store at once the last one wins; [`update`](Self::update) loses nothing.
    pub fn store(&self, value: Arc<T>) {
        self.value.store(value);
        self.wake.wake();
    }

    /// Replaces the value by what `change` makes of it and wakes everyone who
    /// waits. `change` runs again if another thread stored meanwhile.
    pub fn update(&self, mut change: impl FnMut(&T) -> T) {
        self.value.update(&mut change);
        self.wake.wake();
    }

    /// Waits until `condition` holds, and returns the value for which it does;
    /// at once if it holds already. Values that were replaced before the
    /// waiting task ran are not seen.
    ///
    /// Cancel safe: dropping the future loses nothing.
    pub async fn wait_for(&self, mut condition: impl FnMut(&T) -> bool) -> Arc<T> {
        let mut waiter = None;
        poll_fn(|cx| {
            // A guard would do for the look, but not across the condition.
            let value = self.load();
            if condition(&value) {
                return Poll::Ready(value);
            }
            drop(value);
            if !self.wake.park(&mut waiter, cx.waker()) {
                return Poll::Pending;
            }
            let value = self.load();
            if condition(&value) {
                Poll::Ready(value)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// How many tasks wait.
    pub fn waiters(&self) -> usize {
        self.wake.len()
    }
}

impl<T: fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("value", &self.value.load())
            .field("waiters", &self.waiters())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use tokio::task::{JoinSet, yield_now};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_value_that_is_there_already_is_not_waited_for() {
        let watched = Watched::new(7);
        assert_eq!(*watched.wait_for(|value| *value == 7).await, 7);
        watched.update(|value| value + 1);
        assert_eq!(*watched.load(), 8);
        assert_eq!(watched.waiters(), 0);
    }

    #[test]
    fn what_is_stored_between_the_look_and_the_wait_is_found() {
        let watched = Arc::new(Watched::new(0));
        let storing = Arc::clone(&watched);
        crate::bus::wake::probe::before_arm(move || storing.store(Arc::new(1)));
        let mut waiting = pin!(watched.wait_for(|value| *value == 1));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut cx).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_is_dropped_is_gone() {
        let watched = Watched::new(0);
        let waiting = timeout(
            Duration::from_millis(1),
            watched.wait_for(|value| *value > 0),
        );
        assert!(waiting.await.is_err());
        assert_eq!(watched.waiters(), 0);
        watched.store(Arc::new(1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn everyone_who_waits_sees_every_condition_come_true() {
        let watched = Arc::new(Watched::new(0_u32));
        for waiters in [1, 4, 5, 70, 500] {
            let mut tasks = JoinSet::new();
            watched.store(Arc::new(0));
            for waiter in 0..waiters {
                let watched = Arc::clone(&watched);
                tasks.spawn(async move {
                    let want = waiter % 20 + 1;
                    assert!(*watched.wait_for(|value| *value >= want).await >= want);
                });
            }
            for value in 1..=20 {
                watched.store(Arc::new(value));
                yield_now().await;
            }
            while let Some(done) = timeout(Duration::from_secs(10), tasks.join_next())
                .await
                .expect("a waiter hangs")
            {
                done.unwrap();
            }
            assert_eq!(watched.waiters(), 0);
        }
    }

    #[test]
    fn storing_outside_of_a_runtime_wakes_all_the_same() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let watched = Arc::new(Watched::new(0));
        let other = Arc::clone(&watched);
        let storing = std::thread::spawn(move || {
            while other.waiters() < 10 {
                std::thread::yield_now();
            }
            other.store(Arc::new(1));
        });
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for _ in 0..10 {
                let watched = Arc::clone(&watched);
                tasks.spawn(async move { *watched.wait_for(|value| *value == 1).await });
            }
            while let Some(done) = tasks.join_next().await {
                assert_eq!(done.unwrap(), 1);
            }
        });
        storing.join().unwrap();
    }
}
