//! How many viewers a stream has, where viewers hold no connection.
//!
//! A player of segments asks again every few seconds and keeps no state at the
//! server, no cookie and no URL of its own (either would spoil every cache).
//! So a viewer is whoever asked lately, told apart by what the egress sees of
//! it. One [`Viewers`] lies in the stream's typed slot; every egress that is
//! asked for playlists or segments notes its askers there, and the control API
//! reads the count.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The distinct viewers that asked for one stream lately.
///
/// Reach a stream's own with `handle.slot(Viewers::new)`. What tells viewers
/// apart is hashed with a key that never leaves the process and is drawn anew
/// for every stream, so no address is kept.
pub struct Viewers {
    keys: RandomState,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Until when each viewer counts, by its keyed hash.
    until: HashMap<u64, Instant>,
    /// When those that are over were last removed.
    swept: Option<Instant>,
}

/// How many viewers of one stream are told apart. A peer can invent user
/// agents, and each costs 24 bytes: beyond this the count stands still.
const MAX_VIEWERS: usize = 65_536;

/// How often those that are over are removed while new ones come in.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

impl Viewers {
    /// A counter that has seen nobody.
    #[must_use]
    pub fn new() -> Self {
        Self {
            keys: RandomState::new(),
            seen: Mutex::default(),
        }
    }

    /// Notes that `who` (an address with a user agent, say) asked at `now`, and
    /// counts as a viewer for `stay` from then on.
    pub fn note(&self, who: impl Hash, now: Instant, stay: Duration) {
        let id = self.keys.hash_one(who);
        let mut seen = self.lock();
        if let Some(until) = seen.until.get_mut(&id) {
            *until = (*until).max(now + stay);
            return;
        }
        let due = seen.swept.is_none_or(|swept| now >= swept + SWEEP_EVERY);
        if due {
            seen.sweep(now);
        }
        if seen.until.len() < MAX_VIEWERS {
            seen.until.insert(id, now + stay);
        }
    }

    /// How many viewers there are at `now`; never more than 65,536.
    #[must_use]
    pub fn count(&self, now: Instant) -> usize {
        let mut seen = self.lock();
        seen.sweep(now);
        seen.until.len()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn sweep(&mut self, now: Instant) {
        self.until.retain(|_, until| *until > now);
        // What a crowd needed is given back when it has left.
        if self.until.capacity() > 64 && self.until.len() < self.until.capacity() / 4 {
            self.until.shrink_to_fit();
        }
        self.swept = Some(now);
    }
}

impl Default for Viewers {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Viewers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewers")
            .field("known", &self.lock().until.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAY: Duration = Duration::from_secs(4);

    #[test]
    fn who_asks_again_is_one_viewer_and_who_stops_asking_is_none() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let viewers = Viewers::new();
        viewers.note(("192.0.2.1", "a"), at(0), STAY);
        viewers.note(("192.0.2.1", "a"), at(2_000), STAY);
        viewers.note(("192.0.2.1", "b"), at(2_000), STAY);
        viewers.note(("192.0.2.2", "a"), at(3_000), STAY);
        for (millis, want) in [(3_000, 3), (5_999, 3), (6_000, 1), (6_999, 1), (7_000, 0)] {
            assert_eq!(viewers.count(at(millis)), want, "at {millis} ms");
        }
    }

    #[test]
    fn a_shorter_stay_does_not_cut_a_longer_one() {
        let now = Instant::now();
        let viewers = Viewers::new();
        viewers.note("x", now, STAY);
        viewers.note("x", now, Duration::ZERO);
        assert_eq!(viewers.count(now), 1);
    }

    #[test]
    fn invented_viewers_are_bounded_and_leave_room_when_they_are_over() {
        let start = Instant::now();
        let viewers = Viewers::new();
        for id in 0..MAX_VIEWERS + 1_000 {
            viewers.note(id, start, STAY);
        }
        assert_eq!(viewers.count(start), MAX_VIEWERS);
        let later = start + STAY;
        viewers.note("real", later, STAY);
        assert_eq!(viewers.count(later), 1);
        assert!(viewers.lock().until.capacity() < 1_000);
    }
}
