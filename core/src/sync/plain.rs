//! What the bus shares between threads, as it runs: the standard library,
//! `arc-swap`, `atomic_refcell` and tokio.

pub(crate) use std::sync::MutexGuard;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use atomic_refcell::{AtomicRefCell, AtomicRefMut};
use tokio::runtime::Handle;

/// The monotonic clock: tokio's, so that a test can pause it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A mutex that a panic does not poison: whoever panics with a lock held has
/// left the data whole (nothing here calls foreign code under a lock), and
/// must not take the stream's other users with it.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is written once, by one thread, and read by many.
#[derive(Debug)]
pub(crate) struct Slot<T>(OnceLock<T>);

impl<T> Slot<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The value, once it is there.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get()
    }

    /// Sets the value; a second one is dropped.
    #[inline]
    pub(crate) fn set(&self, value: T) {
        let first = self.0.set(value).is_ok();
        debug_assert!(first, "a slot is written once");
    }
}

/// A shared pointer that can be swapped while others read it. Storing is for
/// keyframes, blocks and registrations, never for frames: it is dear.
pub(crate) struct ArcCell<T>(ArcSwapOption<T>);

/// What [`ArcCell::load`] returns: the pointee stays while it lives.
pub(crate) type ArcGuard<T> = Guard<Option<Arc<T>>>;

impl<T> ArcCell<T> {
    pub(crate) const fn empty() -> Self {
        Self(ArcSwapOption::const_empty())
    }

    /// A borrow of the pointee without a count on the reference in the usual case.
    #[inline]
    pub(crate) fn load(&self) -> ArcGuard<T> {
        self.0.load()
    }

    pub(crate) fn load_full(&self) -> Option<Arc<T>> {
        self.0.load_full()
    }

    pub(crate) fn store(&self, value: Option<Arc<T>>) {
        self.0.store(value);
    }

    pub(crate) fn swap(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        self.0.swap(value)
    }
}

/// A value that one thread at a time holds, and that no thread waits for. To
/// take it is one read-modify-write, to give it back a store.
pub(crate) struct Lease<T>(AtomicRefCell<T>);

/// What [`Lease::take`] gives; the value is given back when it is dropped.
pub(crate) type Held<'a, T> = AtomicRefMut<'a, T>;

impl<T> Lease<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(AtomicRefCell::new(value))
    }

    /// The value, unless another thread holds it.
    #[inline]
    pub(crate) fn take(&self) -> Option<Held<'_, T>> {
        self.0.try_borrow_mut().ok()
    }

    /// The value, once the thread that holds it has given it back: for those
    /// who may wait, and for what is held for moments only.
    pub(crate) fn wait(&self) -> Held<'_, T> {
        loop {
            if let Some(held) = self.take() {
                return held;
            }
            std::thread::yield_now();
        }
    }
}

/// An [`ArcCell`] that is never empty.
pub(crate) struct ArcValue<T>(ArcSwap<T>);

impl<T> ArcValue<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self(ArcSwap::new(value))
    }

    pub(crate) fn of(value: T) -> Self {
        Self::new(Arc::new(value))
    }

    #[inline]
    pub(crate) fn load(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        self.0.load_full()
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        self.0.store(value);
    }

    pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
        self.0.swap(value)
    }

    /// Replaces the value by what `change` makes of it; `change` runs again if
    /// another thread was quicker.
    pub(crate) fn update(&self, mut change: impl FnMut(&T) -> T) {
        self.0.rcu(|value| change(value));
    }
}

/// The runtime of the caller, for tasks that the bus starts by itself.
pub(crate) struct Runtime(Handle);

impl Runtime {
    /// The one that the caller runs in, if it does.
    pub(crate) fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self)
    }

    /// How many tasks can run at the same time.
    pub(crate) fn workers(&self) -> usize {
        self.0.metrics().num_workers()
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}
