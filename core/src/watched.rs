//! A value that one side replaces and any number of others wait on.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

use arc_swap::ArcSwap;

use crate::bus::wake::WakeSet;
use crate::sync::Arc;

/// A shared value with the bus's own wake set: reading is a pointer load,
/// storing costs the same however many wait.
///
/// [`store`](Self::store) wakes up to four waiters itself; more are woken by a
/// task on the tokio runtime that the caller runs in (outside of one, by the
/// caller too).
pub struct Watched<T> {
    value: ArcSwap<T>,
    wake: WakeSet,
}

impl<T> Watched<T> {
    /// A watched value that starts as `value`.
    pub fn new(value: T) -> Self {
        Self {
            value: ArcSwap::from_pointee(value),
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
        self.value.rcu(|value| change(value));
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
            self.wake.park(&mut waiter, cx.waker());
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
