//! Whether a socket is worth watching: [`Pace`].
//!
//! A runtime that watches a socket is woken by each datagram, however many come: at
//! twenty thousand a second that is a third of all it costs to receive them. Where many
//! come, the reader looks for itself each [`PAUSE`], and gets them by the dozen.

use std::time::{Duration, Instant};

/// Between two looks at a socket that is busy.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

/// So many datagrams a second make a socket busy, and so few end it: what two or three
/// encoders send.
const BUSY: u128 = 2_000;
const CALM: u128 = 1_000;

/// The time over which they are counted.
const PERIOD: Duration = Duration::from_millis(20);

/// How many datagrams come in a time.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    count: usize,
    busy: bool,
}

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            count: 0,
            busy: false,
        }
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.busy
    }

    /// So many have come since the last call.
    pub(super) fn came(&mut self, count: usize, now: Instant) {
        self.count += count;
        let passed = now.saturating_duration_since(self.since);
        if passed < PERIOD {
            return;
        }
        let a_second = self.count as u128 * 1_000_000 / passed.as_micros().max(1);
        let least = if self.busy { CALM } else { BUSY };
        self.busy = a_second >= least;
        self.since = now;
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is busy after a second of so many datagrams, one after the other.
    fn after(pace: &mut Pace, now: &mut Instant, a_second: u32) -> bool {
        for _ in 0..a_second {
            *now += Duration::from_secs(1) / a_second;
            pace.came(1, *now);
        }
        pace.is_busy()
    }

    #[test]
    fn many_datagrams_make_it_busy_until_there_are_few() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        assert!(!pace.is_busy());
        for (a_second, busy) in [
            (400, false),
            (1_500, false),
            (2_500, true),
            (1_500, true),
            (20_000, true),
            (600, false),
            (1_500, false),
        ] {
            assert_eq!(after(&mut pace, &mut now, a_second), busy, "{a_second}");
        }
        // After a long silence the first one says nothing.
        now += Duration::from_secs(60);
        pace.came(64, now);
        assert!(!pace.is_busy());
    }
}
