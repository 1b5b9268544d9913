//! The stand-ins for the model checker, which runs the models in `bus/models.rs`
//! through every order of their steps (`cargo xtask loom`).
//!
//! loom knows atomics and mutexes, and lets a load see every value that the
//! memory model allows. What it does not know is built of these, with no more
//! order between threads than the real thing promises: a model that had more
//! would pass where the server fails. The values themselves stand in ordinary
//! cells, which is sound because loom runs one thread at a time and changes
//! threads only at its own operations.

pub(crate) use loom::sync::MutexGuard;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use atomic_refcell::{AtomicRefCell, AtomicRefMut};

use super::{AcqRel, Acquire, Relaxed, Release};

mod tasks;

pub(crate) use tasks::Runtime;
#[cfg(test)]
pub(crate) use tasks::block_on;

/// A clock that stands still: every run of a model has to be like the others.
pub(crate) fn now() -> Instant {
    static NOW: OnceLock<Instant> = OnceLock::new();
    *NOW.get_or_init(Instant::now)
}

/// A mutex.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        // Its locks are never poisoned.
        self.0.lock().unwrap()
    }
}

/// A place that is written once: a flag says that the value is there, as the
/// state of a `OnceLock` does.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    full: AtomicBool,
    value: OnceLock<T>,
}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        Self {
            full: AtomicBool::new(false),
            value: OnceLock::new(),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.full.load(Acquire).then(|| self.value.get())?
    }

    pub(crate) fn set(&self, value: T) {
        assert!(self.value.set(value).is_ok(), "a slot is written once");
        self.full.store(true, Release);
    }
}

/// A pointer that can be swapped. Every change is a step of `version`, and so is
/// every look, since a look that comes after a change sees it; but a look
/// releases nothing to those who change it later.
struct Swap<V> {
    version: AtomicU64,
    value: AtomicRefCell<V>,
}

impl<V: Clone> Swap<V> {
    fn new(value: V) -> Self {
        Self {
            version: AtomicU64::new(0),
            value: AtomicRefCell::new(value),
        }
    }

    /// The value, and its version.
    fn load(&self) -> (V, u64) {
        let version = self.version.fetch_add(0, Acquire);
        (self.value.borrow().clone(), version)
    }

    fn swap(&self, value: V) -> V {
        self.version.fetch_add(1, AcqRel);
        std::mem::replace(&mut *self.value.borrow_mut(), value)
    }

    /// Swaps unless the version has changed.
    fn swap_at(&self, version: u64, value: V) -> Option<V> {
        self.version
            .compare_exchange(version, version + 1, AcqRel, Relaxed)
            .ok()?;
        Some(std::mem::replace(&mut *self.value.borrow_mut(), value))
    }
}

/// What a look at a swapped pointer returns.
#[derive(Debug)]
pub(crate) struct Seen<V>(V);

impl<V> Deref for Seen<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.0
    }
}

/// A shared pointer that can be swapped while others read it.
pub(crate) struct ArcCell<T>(Swap<Option<Arc<T>>>);

/// What [`ArcCell::load`] returns.
pub(crate) type ArcGuard<T> = Seen<Option<Arc<T>>>;

impl<T> ArcCell<T> {
    pub(crate) fn empty() -> Self {
        Self(Swap::new(None))
    }

    pub(crate) fn load(&self) -> ArcGuard<T> {
        Seen(self.load_full())
    }

    pub(crate) fn load_full(&self) -> Option<Arc<T>> {
        self.0.load().0
    }

    pub(crate) fn store(&self, value: Option<Arc<T>>) {
        self.swap(value);
    }

    pub(crate) fn swap(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        self.0.swap(value)
    }
}

/// An [`ArcCell`] that is never empty.
pub(crate) struct ArcValue<T>(Swap<Arc<T>>);

impl<T> ArcValue<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self(Swap::new(value))
    }

    pub(crate) fn of(value: T) -> Self {
        Self::new(Arc::new(value))
    }

    pub(crate) fn load(&self) -> Seen<Arc<T>> {
        Seen(self.load_full())
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        self.0.load().0
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        self.swap(value);
    }

    pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
        self.0.swap(value)
    }

    pub(crate) fn update(&self, mut change: impl FnMut(&T) -> T) {
        loop {
            let (value, version) = self.0.load();
            let changed = Arc::new(change(&value));
            if self.0.swap_at(version, changed).is_some() {
                return;
            }
        }
    }
}

/// A value that one thread at a time holds: a flag that is taken by a
/// read-modify-write and given back by a store.
pub(crate) struct Lease<T> {
    held: AtomicBool,
    value: AtomicRefCell<T>,
}

/// What [`Lease::take`] gives; the value is given back when it is dropped.
pub(crate) struct Held<'a, T> {
    held: &'a AtomicBool,
    /// `None` only while it is dropped.
    value: Option<AtomicRefMut<'a, T>>,
}

impl<T> Lease<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            value: AtomicRefCell::new(value),
        }
    }

    pub(crate) fn take(&self) -> Option<Held<'_, T>> {
        self.held
            .compare_exchange(false, true, Acquire, Relaxed)
            .ok()?;
        Some(Held {
            held: &self.held,
            value: Some(self.value.borrow_mut()),
        })
    }

    pub(crate) fn wait(&self) -> Held<'_, T> {
        loop {
            if let Some(held) = self.take() {
                return held;
            }
            loom::thread::yield_now();
        }
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().unwrap()
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().unwrap()
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.held.store(false, Release);
    }
}
