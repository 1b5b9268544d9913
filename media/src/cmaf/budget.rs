//! What the windows of one registry may hold together: `cmaf.total_memory`.
//!
//! Each window has a [`Grant`] of the [`Budget`]. It grows in steps as the
//! window does, keeps what it has while others come and go, and is given back
//! when the last who holds it lets go: an ended window until its store does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The bytes that are granted to windows, in all.
#[derive(Debug, Default)]
pub(super) struct Budget {
    used: AtomicU64,
}

impl Budget {
    /// The sum of all grants, in bytes.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Takes what there is of `bytes` below `limit`, but no less than `least`
    /// (more than zero). Returns how much.
    fn take(&self, bytes: u64, least: u64, limit: u64) -> u64 {
        let mut taken = 0;
        let changed = self.used.fetch_update(Relaxed, Relaxed, |used| {
            taken = bytes.min(limit.saturating_sub(used));
            (taken >= least).then(|| used + taken)
        });
        changed.map_or(0, |_| taken)
    }
}

/// One window's share of a budget. Only its segmenter changes it.
#[derive(Debug)]
pub(super) struct Grant {
    budget: Arc<Budget>,
    limit: u64,
    held: AtomicU64,
}

impl Grant {
    /// An empty grant of a budget in which `limit` bytes are.
    pub(super) const fn new(budget: Arc<Budget>, limit: u64) -> Self {
        Self {
            budget,
            limit,
            held: AtomicU64::new(0),
        }
    }

    /// A grant that others have no part in, and no bound.
    pub(super) fn unlimited() -> Self {
        Self::new(Arc::default(), u64::MAX)
    }

    /// The bytes that it holds.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// The bytes that nobody holds.
    pub(super) fn room(&self) -> u64 {
        self.limit.saturating_sub(self.budget.used())
    }

    /// Grows to hold `bytes` and an eighth more in whole steps, up to `most`, or
    /// to what there is. Whether it now holds them, or `most`.
    ///
    /// Listings stay a tenth below a bound: with that eighth a full window keeps
    /// its length also when its grant is all that it can have.
    pub(super) fn grow(&self, bytes: u64, most: u64) -> bool {
        let held = self.held();
        let wanted = bytes.min(most);
        if wanted > held {
            let ample = wanted.saturating_add(wanted / 8).div_ceil(STEP);
            let rounded = ample.saturating_mul(STEP).min(most);
            let taken = self.budget.take(rounded - held, 1, self.limit);
            self.held.fetch_add(taken, Relaxed);
        }
        self.held() >= wanted
    }

    /// Grows to hold `bytes`, or not at all.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        let held = self.held();
        let Some(more) = bytes.checked_sub(held).filter(|more| *more > 0) else {
            return true;
        };
        let taken = self.budget.take(more, more, self.limit);
        self.held.fetch_add(taken, Relaxed);
        taken == more
    }

    /// Gives back what a window of `bytes` will hardly need again: it has
    /// become clearly smaller. Windows breathe by a segment or two.
    pub(super) fn settle(&self, bytes: u64) {
        if bytes < self.held() / 2 {
            let enough = bytes.saturating_add(bytes / 4);
            self.keep(enough.div_ceil(STEP).saturating_mul(STEP));
        }
    }

    /// Gives back all but `bytes`.
    pub(super) fn keep(&self, bytes: u64) {
        let surplus = self.held().saturating_sub(bytes);
        self.held.fetch_sub(surplus, Relaxed);
        self.budget.used.fetch_sub(surplus, Relaxed);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.keep(0);
    }
}

/// A grant grows in such steps: the budget is one counter for all streams.
const STEP: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_grows_in_steps_up_to_its_own_bound_and_to_what_there_is() {
        let budget = Arc::new(Budget::default());
        let grant = |limit| Grant::new(Arc::clone(&budget), limit);
        let limit = 10 * STEP + 7;
        let (one, other) = (grant(limit), grant(limit));
        for (bytes, most, covered, held) in [
            (STEP / 2, 8 * STEP, true, STEP),
            (STEP, 8 * STEP, true, STEP),
            (STEP + 1, 8 * STEP, true, 2 * STEP),
            (3 * STEP, 3 * STEP - 1, true, 3 * STEP - 1),
            (9 * STEP, 8 * STEP, true, 8 * STEP),
        ] {
            assert_eq!(one.grow(bytes, most), covered, "{bytes}");
            assert_eq!(one.held(), held, "{bytes}");
        }
        assert_eq!(other.room(), 2 * STEP + 7);
        assert!(!other.reserve(3 * STEP), "all or nothing");
        assert_eq!(other.held(), 0);
        assert!(!other.grow(3 * STEP, u64::MAX), "what there is");
        assert_eq!((other.held(), other.room()), (2 * STEP + 7, 0));
        assert!(other.reserve(2 * STEP));
        drop(one);
        assert_eq!(budget.used(), other.held());
        assert!(other.reserve(limit));
        drop(other);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_grant_shrinks_when_its_window_is_clearly_smaller() {
        let budget = Arc::new(Budget::default());
        let grant = Grant::new(Arc::clone(&budget), 100 * STEP);
        assert!(grant.grow(40 * STEP, u64::MAX));
        grant.settle(23 * STEP);
        assert_eq!(grant.held(), 45 * STEP, "a window breathes");
        grant.settle(16 * STEP);
        assert_eq!(grant.held(), 20 * STEP);
        grant.keep(1);
        assert_eq!(budget.used(), 1);
        grant.keep(5);
        assert_eq!(budget.used(), 1, "keeping is not growing");
        drop(grant);
        assert_eq!(budget.used(), 0);
    }
}
