//! Unrolling a clock that wraps, with the help of arrival times.

use std::time::{Duration, Instant};

use crate::SourceClock;

/// A point of a source's clock that later readings are unrolled against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// The reading as the wire had it.
    pub(super) raw: i64,
    /// The same on the unrolled clock.
    pub(super) unrolled: i64,
    /// When it arrived.
    pub(super) received: Instant,
}

impl Mark {
    /// The time since the mark arrived; zero if `received` is not after it.
    pub(super) fn elapsed(&self, received: Instant) -> Duration {
        received.saturating_duration_since(self.received)
    }

    /// `raw` on the unrolled clock.
    ///
    /// A reading within a second of the mark is what it says. Of a reading
    /// farther away, the interpretation that arrival time explains best wins:
    /// no wrap, or one wrap forwards or backwards at a width that neither
    /// reading exceeds. So a wrap is found under a gap too, and a frame from
    /// before the wrap that comes after it.
    pub(super) fn unroll(&self, raw: i64, clock: SourceClock, received: Instant) -> i64 {
        let plain = self.unrolled.saturating_add(raw.saturating_sub(self.raw));
        let second = i64::from(clock.timescale().hz());
        if distance(plain, self.unrolled) <= second.unsigned_abs() {
            return plain;
        }
        let elapsed = clock.timescale().from_duration(self.elapsed(received));
        let expected = self.unrolled.saturating_add(elapsed);
        let wrapped = clock
            .wraps()
            .iter()
            .map(|bits| 1_i64 << bits.min(&62))
            .filter(|cycle| raw < *cycle && self.raw < *cycle)
            .flat_map(|cycle| [plain.saturating_add(cycle), plain.saturating_sub(cycle)]);
        // The first of equals wins: the plain reading.
        std::iter::once(plain)
            .chain(wrapped)
            .min_by_key(|candidate| distance(*candidate, expected))
            .unwrap_or(plain)
    }

    /// Whether unrolling `raw` to `unrolled` took a wrap.
    pub(super) const fn wrapped(&self, raw: i64, unrolled: i64) -> bool {
        unrolled.saturating_sub(raw) != self.unrolled.saturating_sub(self.raw)
    }
}

/// The distance between two readings.
pub(super) const fn distance(a: i64, b: i64) -> u64 {
    a.abs_diff(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_are_found_by_what_arrival_time_explains() {
        const MS: SourceClock = SourceClock::RTMP_MILLIS;
        const TS: SourceClock = SourceClock::MPEG;
        // Mark's raw reading, the next one, seconds between their arrivals, want.
        for (clock, mark, raw, elapsed, want) in [
            (MS, 1_000, 1_040, 0, 40),
            (MS, 1_000, 960, 0, -40),
            // The three widths of RTMP.
            (MS, (1 << 24) - 20, 20, 0, 40),
            (MS, (1 << 31) - 1, 39, 0, 40),
            (MS, (1 << 32) - 40, 0, 0, 40),
            // Beyond 24 bits, falling to zero is no wrap at 24 bits.
            (MS, (1 << 24) + 20, 20, 0, -(1 << 24)),
            // Disorder across the wrap.
            (MS, 20, (1 << 24) - 20, 0, -40),
            (MS, 5, (1 << 32) - 5, 0, -10),
            // A wrap within a gap of five minutes.
            (MS, (1 << 32) - 1_000, 299_000, 300, 300_000),
            (MS, (1 << 24) - 1_000, 299_000, 300, 300_000),
            // A restart from zero is a step back, not a wrap.
            (MS, 50_000, 0, 0, -50_000),
            (TS, (1 << 33) - 3_000, 600, 0, 3_600),
            (TS, (1 << 32) - 3_000, 600, 0, 3_600 - (1 << 32)),
        ] {
            let start = Instant::now();
            let mark = Mark {
                raw: mark,
                unrolled: mark,
                received: start,
            };
            let got = mark.unroll(raw, clock, start + Duration::from_secs(elapsed));
            assert_eq!(got - mark.unrolled, want, "{} to {raw}", mark.raw);
            let wrapped = want != raw - mark.raw;
            assert_eq!(mark.wrapped(raw, got), wrapped, "{} to {raw}", mark.raw);
        }
    }

    #[test]
    fn the_ends_of_the_number_line_do_not_panic() {
        let now = Instant::now();
        for (raw, next) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (0, i64::MIN)] {
            let mark = Mark {
                raw,
                unrolled: raw,
                received: now,
            };
            let _ = mark.unroll(next, SourceClock::RTMP_MILLIS, now);
        }
    }
}
