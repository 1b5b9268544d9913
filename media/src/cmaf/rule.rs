//! How long parts may be, measured from the frames themselves.
//!
//! Two rules bind every part (draft-pantos-hls-rfc8216bis section 4.4.4.9 and
//! MEDIA.md section 3): it is no longer than the track's target, and no
//! shorter than 85 % of it unless it ends a segment or precedes a keyframe.
//! [`super::part`] cuts by them.

use rillcast_core::{Timescale, rescale};

/// The bounds of one track's parts, in ticks; fixed for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartRule {
    /// The longest that a part may be: PART-TARGET.
    pub(super) target: u64,
    /// The shortest that one may be that ends neither a segment nor a GOP.
    pub(super) least: u64,
    /// How long a frame usually is: the shortest of those that differ by no
    /// more than a clock of milliseconds makes them.
    pub(super) typical: u64,
}

impl PartRule {
    pub(super) fn new(target: u64, typical: u64) -> Self {
        let target = target.clamp(1, LONGEST);
        Self {
            target,
            least: target.saturating_mul(LEAST).div_ceil(WHOLE).min(target),
            typical: typical.clamp(1, target),
        }
    }

    /// The same rule for parts of no more than `most`.
    pub(super) fn at_most(self, most: u64) -> Self {
        if self.target <= most {
            return self;
        }
        Self::new(most, self.typical)
    }

    /// The same rule in ticks of another timescale.
    pub(super) fn rescaled(self, from: Timescale, to: Timescale) -> Self {
        let convert = |ticks: u64| {
            let ticks = i64::try_from(ticks).unwrap_or(i64::MAX);
            u64::try_from(rescale(ticks, from, to)).unwrap_or(1)
        };
        if from == to {
            return self;
        }
        Self::new(convert(self.target), convert(self.typical))
    }

    /// Parts of as many frames of exactly `frame` ticks as come nearest to
    /// `goal`.
    pub(super) fn nearest(frame: u64, goal: u64) -> Self {
        let frame = frame.max(1);
        let count = (goal.saturating_add(frame / 2) / frame).max(1);
        Self::new(frame.saturating_mul(count), frame)
    }

    /// Parts of as many frames of exactly `frame` ticks as fit into `limit`,
    /// at least one.
    pub(super) fn within(frame: u64, limit: u64) -> Self {
        let frame = frame.max(1);
        Self::new(frame.saturating_mul((limit / frame).max(1)), frame)
    }

    /// Parts of frames as long as those that were measured. `milli` is a
    /// millisecond in ticks and `limit` the longest part that is of use.
    ///
    /// Where nearly all frames are equally long, give or take the rounding of
    /// a millisecond clock, a part is as many of them as come nearest to
    /// `goal`, at its longest run. Where they are not, a part that is filled
    /// until the next frame would exceed it must still reach 85 %: it is at
    /// least seven of the longest frames.
    pub(super) fn measured(durations: &[u64], goal: u64, milli: u64, limit: u64) -> Self {
        let mut sorted = durations.to_vec();
        sorted.sort_unstable();
        let (Some(median), Some(longest)) = (sorted.get(sorted.len() / 2), sorted.last()) else {
            return Self::nearest(goal, goal);
        };
        let tolerance = milli + milli / 2 + 1;
        let usual = |duration: &u64| duration.abs_diff(*median) <= tolerance;
        let count = u64::try_from(durations.iter().filter(|d| usual(d)).count()).unwrap_or(1);
        let all = u64::try_from(durations.len()).unwrap_or(1);
        if count * 20 < all * 19 {
            let longest = (*longest).max(1);
            let frames = (goal.saturating_add(longest / 2) / longest).max(EVEN_ENOUGH);
            let target = longest.saturating_mul(frames).min(limit.max(longest));
            let mean = sorted.iter().sum::<u64>() / all;
            return Self::new(target, mean);
        }
        let sum: u64 = durations.iter().filter(|d| usual(d)).sum::<u64>().max(1);
        let frames = ((goal.saturating_mul(count) + sum / 2) / sum).max(1);
        let mut target = frames.saturating_mul(sum).div_ceil(count);
        let even = durations.iter().filter(|d| usual(d)).all(|d| d == median);
        if !even {
            target = target.div_ceil(milli.max(1)) * milli.max(1);
        }
        let run = usize::try_from(frames).unwrap_or(usize::MAX);
        let runs = durations.windows(run.max(1));
        let runs = runs.filter(|run| run.iter().all(usual));
        let longest_run = runs.map(|run| run.iter().sum()).max().unwrap_or(0);
        let shortest = durations.iter().copied().filter(usual).min();
        Self::new(target.max(longest_run), shortest.unwrap_or(*median))
    }
}

/// The shortest part in ten-thousandths of the target: a hair above 85 %, which
/// a part of exactly so much would miss once both are written as decimals.
const LEAST: u64 = 8_501;
const WHOLE: u64 = 10_000;

/// With so many frames to a part, one less is still 85 % of it.
const EVEN_ENOUGH: u64 = 7;

/// A part's duration must fit the 32 bits of a sample's (ISO/IEC 14496-12,
/// 8.8.8), with room to add to it.
const LONGEST: u64 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    /// Frame durations of 90 kHz ticks as a millisecond clock shows them.
    fn rounded(num: u64, den: u64, count: u64) -> Vec<u64> {
        let stamp = |n: u64| (n * den * 1_000 + num / 2) / num * 90;
        (0..count).map(|n| stamp(n + 1) - stamp(n)).collect()
    }

    #[test]
    fn a_part_is_a_whole_number_of_frames() {
        // Frame rate, the goal in milliseconds, frames in a part.
        for (num, den, goal, frames) in [
            (24_000, 1_001, 200, 5),
            (25, 1, 200, 5),
            (30_000, 1_001, 200, 6),
            (30_000, 1_001, 100, 3),
            (50, 1, 200, 10),
            (60_000, 1_001, 200, 12),
            (120, 1, 200, 24),
            (2, 1, 200, 1),
        ] {
            let exact = vec![90_000 * den / num; 60];
            let rule = PartRule::measured(&exact, goal * 90, 90, 180_000);
            assert_eq!(rule.target, frames * exact[0], "{num}/{den}");
            assert_eq!(rule.typical, exact[0]);

            let jagged = rounded(num, den, 60);
            let rule = PartRule::measured(&jagged, goal * 90, 90, 180_000);
            // Every run of so many frames fits and is long enough.
            let long = rounded(num, den, 10_000);
            let run = usize::try_from(frames).unwrap();
            for run in long.windows(run).map(|run| run.iter().sum::<u64>()) {
                assert!(
                    run <= rule.target && run >= rule.least,
                    "{num}/{den}: {run} {rule:?}"
                );
            }
            for run in long.windows(run + 1).map(|run| run.iter().sum::<u64>()) {
                assert!(run > rule.target, "{num}/{den}: {run} {rule:?}");
            }
        }
    }

    #[test]
    fn uneven_frames_get_room_enough_to_fill_a_part() {
        let durations: Vec<u64> = (0..60).map(|n| 90 * (20 + (n * 7) % 25)).collect();
        let rule = PartRule::measured(&durations, 200 * 90, 90, 180_000);
        let longest = *durations.iter().max().unwrap();
        assert_eq!(rule.target % longest, 0);
        assert!(rule.target - rule.least >= longest, "{rule:?}");
    }

    #[test]
    fn a_dropped_frame_makes_no_stream_uneven() {
        let mut durations = vec![3_600; 50];
        durations[17] = 7_200;
        let rule = PartRule::measured(&durations, 18_000, 90, 180_000);
        assert_eq!(rule, PartRule::new(18_000, 3_600));
    }

    #[test]
    fn audio_parts_are_whole_frames_within_the_videos() {
        for (frame, limit, target) in [
            (1_024, 9_600, 9_216),
            (1_024, 9_610, 9_216),
            (2_048, 9_600, 8_192),
            (1_024, 800, 1_024),
        ] {
            assert_eq!(PartRule::within(frame, limit).target, target);
        }
        assert_eq!(PartRule::nearest(1_024, 8_820).target, 9 * 1_024);
    }

    #[test]
    fn a_part_that_rounding_brings_below_its_bound_is_too_short() {
        // 34 of 40 frames of AAC are 85 %, but 0.725333 s of 0.853333 s are not.
        let rule = PartRule::within(1_024, 41_000);
        assert_eq!(rule.target, 40 * 1_024);
        assert!(rule.least > 34 * 1_024 && rule.least < 35 * 1_024);
        // One frame that fills its part is long enough.
        assert_eq!(PartRule::nearest(3_600, 1).least, 3_061);
        assert_eq!(PartRule::new(1, 1).least, 1);
    }

    #[test]
    fn nothing_measured_is_no_panic() {
        for durations in [&[][..], &[0], &[u64::MAX / 4, 1], &[0, 0, 0]] {
            let rule = PartRule::measured(durations, 0, 0, 0);
            assert!(rule.target >= 1 && rule.least >= 1);
        }
    }
}
