//! What the bus keeps in memory, counted where it is held: a block adds what
//! it stores and takes it off again when it is dropped, whoever held it last.

use crate::sync::{Arc, AtomicU64, AtomicUsize, Relaxed};

/// The budget of a registry, shared by its streams.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    limit: u64,
    /// How many streams share the budget.
    streams: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            used: AtomicU64::new(0),
            limit,
            streams: AtomicUsize::new(0),
        }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }
}

/// The memory of one stream.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// What blocks have told of.
    told: AtomicU64,
    /// What the block that is written has not told of yet.
    untold: AtomicU64,
    /// The part of it that the stream keeps for its readers.
    kept: AtomicU64,
    budget: Arc<Budget>,
}

impl Gauge {
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        budget.streams.fetch_add(1, Relaxed);
        Self {
            told: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            budget,
        }
    }

    pub(crate) fn kept(&self) -> u64 {
        self.kept.load(Relaxed)
    }

    pub(crate) fn set_kept(&self, bytes: u64) {
        self.kept.store(bytes, Relaxed);
    }

    /// Bytes of all blocks of the stream that are alive.
    pub(crate) fn bytes(&self) -> u64 {
        self.told.load(Relaxed) + self.untold.load(Relaxed)
    }

    /// Whether the registry is over its budget and `bytes`, of this stream, are
    /// more than its share of it.
    pub(crate) fn must_shrink(&self, bytes: u64) -> bool {
        let budget = &self.budget;
        if budget.used() <= budget.limit {
            return false;
        }
        let streams = u64::try_from(budget.streams.load(Relaxed)).unwrap_or(u64::MAX);
        bytes > budget.limit / streams.max(1)
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.budget.streams.fetch_sub(1, Relaxed);
    }
}

/// What one block holds. One thread adds, and the block's end takes off.
#[derive(Debug)]
pub(crate) struct Charge {
    gauge: Arc<Gauge>,
    bytes: AtomicU64,
    /// The part of `bytes` that gauge and budget know of. Both are shared with
    /// other threads, so they are told in steps and not frame by frame.
    told: AtomicU64,
}

/// The steps in which they are told.
const STEP: u64 = 64 << 10;

impl Charge {
    pub(crate) fn new(gauge: Arc<Gauge>, bytes: u64) -> Self {
        let charge = Self {
            gauge,
            bytes: AtomicU64::new(0),
            told: AtomicU64::new(0),
        };
        charge.add(bytes);
        charge.tell();
        charge
    }

    pub(crate) fn add(&self, bytes: u64) {
        let total = self.bytes() + bytes;
        self.bytes.store(total, Relaxed);
        let untold = total - self.told.load(Relaxed);
        if untold >= STEP {
            self.tell();
        } else {
            self.gauge.untold.store(untold, Relaxed);
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Tells of all of it. For the writer, before it goes on to another block.
    pub(crate) fn tell(&self) {
        let total = self.bytes();
        let told = self.told.swap(total, Relaxed);
        self.gauge.untold.store(0, Relaxed);
        self.gauge.told.fetch_add(total - told, Relaxed);
        self.gauge.budget.used.fetch_add(total - told, Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let told = self.told.load(Relaxed);
        self.gauge.told.fetch_sub(told, Relaxed);
        self.gauge.budget.used.fetch_sub(told, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_is_given_back() {
        let budget = Arc::new(Budget::new(1_000));
        let gauge = Arc::new(Gauge::new(Arc::clone(&budget)));
        let first = Charge::new(Arc::clone(&gauge), 100);
        let second = Charge::new(Arc::clone(&gauge), 0);
        second.add(50);
        assert_eq!((gauge.bytes(), budget.used()), (150, 100));
        second.tell();
        assert_eq!((gauge.bytes(), budget.used()), (150, 150));
        drop(first);
        assert_eq!((gauge.bytes(), budget.used()), (50, 50));
        drop(second);
        assert_eq!((gauge.bytes(), budget.used()), (0, 0));
    }

    #[test]
    fn over_the_budget_only_streams_above_their_share_shrink() {
        let budget = Arc::new(Budget::new(1_000));
        let small = Arc::new(Gauge::new(Arc::clone(&budget)));
        let large = Arc::new(Gauge::new(Arc::clone(&budget)));
        let _small = Charge::new(Arc::clone(&small), 400);
        assert!(!small.must_shrink(small.bytes()) && !large.must_shrink(large.bytes()));
        let _large = Charge::new(Arc::clone(&large), 700);
        assert!(!small.must_shrink(small.bytes()) && large.must_shrink(large.bytes()));
    }
}
