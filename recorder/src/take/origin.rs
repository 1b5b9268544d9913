//! The time zero of a file.

use rillcast_core::Timescale;

/// Where a file's time begins, in stream time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// In so many parts of a second.
    steps: u64,
    per_second: u64,
}

impl Origin {
    /// At or a little before the first of `starts`, where a tick of every track
    /// begins: so times in the file differ from those of the stream by a whole number
    /// of ticks, the same time in all tracks. For the usual timescales that is at most
    /// 10 ms before. With `missing`, there is room for a track that has not begun.
    pub(super) fn of(starts: &[(i64, Timescale)], scales: &[u32], missing: bool) -> Self {
        let common = scales.iter().copied().fold(0, greatest_common_divisor);
        // Timescales without a usual relation: half a tick of the others must do.
        let per_second = if common < LEAST_STEPS {
            scales.first().copied().unwrap_or(1)
        } else {
            common
        };
        let steps = starts.iter().map(|(start, scale)| {
            let start = u128::from(u64::try_from(*start).unwrap_or(0));
            start * u128::from(per_second) / u128::from(scale.hz())
        });
        let steps = u64::try_from(steps.min().unwrap_or(0)).unwrap_or(u64::MAX);
        let room = if missing { per_second / 2 } else { 0 };
        Self {
            steps: steps.saturating_sub(room.into()),
            per_second: per_second.into(),
        }
    }

    pub(super) fn ticks(self, scale: Timescale) -> u64 {
        let ticks = u128::from(self.steps) * u128::from(scale.hz()) / u128::from(self.per_second);
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    pub(super) fn nanos(self) -> i64 {
        let nanos = u128::from(self.steps) * 1_000_000_000 / u128::from(self.per_second);
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }
}

const fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A file's first picture is shown at most 50 ms after its time zero.
const LEAST_STEPS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_track_is_moved_by_the_same_time() {
        for (starts, want_nanos) in [
            // A tick of 48,000 and of 90,000: 6,000 a second have both.
            (&[(90_003, 90_000), (48_000, 48_000)][..], 1_000_000_000),
            (&[(90_015, 90_000), (48_100, 48_000)], 1_000_166_666),
            // 100 a second have both.
            (&[(1_234, 1_000), (54_600, 44_100)], 1_230_000_000),
            (&[(1_001, 30_000)], 33_366_666),
            (&[(5, 1_000)], 5_000_000),
            (&[(-5, 1_000)], 0),
            // None but one a second: the first one's ticks.
            (&[(29_970, 29_971), (48_000, 48_000)], 999_966_634),
        ] {
            let scale = |hz| Timescale::new(hz).unwrap();
            let known: Vec<_> = starts.iter().map(|(at, hz)| (*at, scale(*hz))).collect();
            let scales: Vec<_> = starts.iter().map(|(_, hz)| *hz).collect();
            let origin = Origin::of(&known, &scales, false);
            assert_eq!(origin.nanos(), want_nanos, "{starts:?}");
            for (start, scale) in known {
                let ticks = origin.ticks(scale);
                assert!(
                    start < 0 || i64::try_from(ticks).unwrap() <= start,
                    "{starts:?}"
                );
                let exact = u128::from(ticks) * u128::from(origin.per_second)
                    == u128::from(origin.steps) * u128::from(scale.hz());
                assert!(exact || starts[0].1 == 29_971, "{starts:?}");
            }
            let with_room = Origin::of(&[], &scales, true);
            assert_eq!(with_room.nanos(), 0);
        }
        let room = Origin::of(&[(90_000, Timescale::VIDEO)], &[90_000, 48_000], true);
        assert_eq!(room.nanos(), 500_000_000);
    }
}
