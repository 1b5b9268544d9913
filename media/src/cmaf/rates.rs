//! Bit rates and frame rates, measured over the segments that are held.

use std::sync::Arc;
use std::time::Duration;

use rillcast_core::{FrameRate, MediaKind, Track};

use super::snapshot::{BitRate, Segment};

/// The bit rate of `segments`: the mean, and the peak over runs of 0.5 to 1.5
/// target durations.
pub(super) fn bit_rate(segments: &[Arc<Segment>], target: Duration) -> BitRate {
    let sizes: Vec<(u64, Duration)> = segments
        .iter()
        .filter(|segment| !segment.gap && segment.duration > 0)
        .map(|segment| (segment.bytes(), segment.length()))
        .collect();
    let (shortest, longest) = (target / 2, target * 3 / 2);
    let without = |(bytes, length): (u64, Duration), at: usize| {
        let (size, duration) = sizes.get(at).copied().unwrap_or_default();
        (bytes - size, length.saturating_sub(duration))
    };
    let mut all = (0, Duration::ZERO);
    // The longest run that ends here, and where it begins.
    let (mut run, mut begin) = (all, 0);
    let (mut peak, mut single) = (0, 0);
    for (end, (size, duration)) in sizes.iter().enumerate() {
        all = (all.0 + size, all.1 + *duration);
        single = single.max(rate((*size, *duration)));
        run = (run.0 + size, run.1 + *duration);
        while run.1 > longest && begin < end {
            run = without(run, begin);
            begin += 1;
        }
        let (mut part, mut from) = (run, begin);
        while part.1 >= shortest && part.1 <= longest {
            peak = peak.max(rate(part));
            if from == end {
                break;
            }
            part = without(part, from);
            from += 1;
        }
    }
    // Nothing of that length yet, or a single segment that is longer.
    let peak = if peak == 0 { single } else { peak };
    let average = rate(all);
    BitRate {
        peak: peak.max(average),
        average,
    }
}

fn rate((bytes, length): (u64, Duration)) -> u64 {
    let bits = u128::from(bytes) * 8 * 1_000_000_000;
    let rate = bits.checked_div(length.as_nanos()).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// The frame rate of a video track over those of `segments` that have the newest
/// one's configuration: the one that the bitstream states or a usual one if the
/// frames agree with it, else what they show.
pub(super) fn frame_rate(track: &Track, segments: &[Arc<Segment>]) -> Option<FrameRate> {
    if track.kind() != MediaKind::Video {
        return None;
    }
    let stated = track.video().and_then(|video| video.frame_rate);
    let (mut frames, mut nanos) = (0_u64, 0_u128);
    let media = || segments.iter().rev().filter(|segment| !segment.gap);
    // The mean of two rates is none.
    let newest = media().next().map(|segment| segment.config);
    for segment in media().take_while(|segment| Some(segment.config) == newest) {
        frames += segment
            .parts
            .iter()
            .map(|part| u64::from(part.samples))
            .sum::<u64>();
        nanos += segment.length().as_nanos();
    }
    if frames == 0 || nanos == 0 {
        return stated;
    }
    let millis = u128::from(frames) * 1_000_000_000_000 / nanos;
    let measured = u32::try_from(millis).ok()?;
    // Two millisecond timestamps may be a millisecond off together.
    let slack = u128::from(measured) * 1_500_000 / nanos + 5;
    let agrees = |rate: &FrameRate, slack: u128| {
        let rate = u128::from(rate.num) * 1_000 / u128::from(rate.den.max(1));
        rate.abs_diff(u128::from(measured)) <= slack
    };
    if let Some(stated) = stated.filter(|rate| agrees(rate, slack + u128::from(measured / 200))) {
        return Some(stated);
    }
    let usual = USUAL
        .iter()
        .filter_map(|(num, den)| FrameRate::new(*num, *den));
    usual
        .filter(|rate| agrees(rate, slack))
        .min_by_key(|rate| (rate.num * 1_000 / rate.den).abs_diff(measured))
        .or(FrameRate::new(measured, 1_000))
}

/// Frame rates of cameras, films and games.
const USUAL: [(u32, u32); 14] = [
    (10, 1),
    (12, 1),
    (15, 1),
    (20, 1),
    (24_000, 1_001),
    (24, 1),
    (25, 1),
    (30_000, 1_001),
    (30, 1),
    (48, 1),
    (50, 1),
    (60_000, 1_001),
    (60, 1),
    (120, 1),
];

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rillcast_core::{MediaParams, Timescale, TrackId, VideoParams};

    use super::*;
    use crate::cmaf::snapshot::Part;
    use crate::codec::AVC;

    /// A segment of so many bytes and frames that lasts so many milliseconds.
    fn segment(bytes: u64, samples: u32, millis: u64) -> Arc<Segment> {
        let part = Part {
            index: 0,
            start: 0,
            duration: millis,
            independent: true,
            samples,
            received: Instant::now(),
            slices: Arc::new([]),
            bytes,
        };
        Arc::new(Segment {
            number: 0,
            timescale: Timescale::MILLIS,
            start: 0,
            duration: millis,
            presentation: 0,
            time: 0,
            discontinuity: false,
            discontinuity_sequence: 0,
            config: 0,
            independent: true,
            gap: false,
            parts: vec![Arc::new(part)],
            complete: true,
        })
    }

    #[test]
    fn the_peak_is_that_of_runs_of_about_a_target_duration() {
        let target = Duration::from_secs(2);
        // Bytes and milliseconds of each segment; kilobits of peak and average.
        for (segments, peak, average) in [
            (&[][..], 0, 0),
            (&[(250_000, 2_000)], 1_000, 1_000),
            (
                &[(250_000, 2_000), (500_000, 2_000), (250_000, 2_000)],
                2_000,
                1_333,
            ),
            // A burst that is too short to count by itself.
            (
                &[(1_000, 500), (250_000, 500), (1_000, 500), (1_000, 500)],
                2_008,
                1_012,
            ),
            // Longer than any run may be: what there is.
            (&[(1_000_000, 8_000)], 1_000, 1_000),
            (&[(100, 100)], 8, 8),
        ] {
            let made: Vec<_> = segments.iter().map(|(b, ms)| segment(*b, 1, *ms)).collect();
            let rate = bit_rate(&made, target);
            assert_eq!(
                (rate.peak / 1_000, rate.average / 1_000),
                (peak, average),
                "{segments:?}"
            );
        }
    }

    #[test]
    fn the_frame_rate_is_that_of_the_newest_configuration() {
        let video = MediaParams::Video(VideoParams::new(640, 360));
        let track = Track::new(TrackId(0), AVC, Timescale::VIDEO, video);
        let mut later = (*segment(1, 100, 2_000)).clone();
        later.config = 1;
        let mut gap = (*segment(0, 0, 2_000)).clone();
        gap.gap = true;
        let made = [segment(1, 50, 2_000), Arc::new(later), Arc::new(gap)];
        assert_eq!(frame_rate(&track, &made), FrameRate::new(50, 1));
        assert_eq!(frame_rate(&track, &made[..1]), FrameRate::new(25, 1));
    }

    #[test]
    fn frame_rates_are_those_that_the_frames_show() {
        let track = |stated: Option<FrameRate>| {
            let video = VideoParams::new(640, 360).with_frame_rate(stated);
            Track::new(TrackId(0), AVC, Timescale::VIDEO, MediaParams::Video(video))
        };
        let ntsc = FrameRate::new(30_000, 1_001);
        for (stated, frames, millis, want) in [
            (None, 60, 2_002, ntsc),
            (None, 60, 2_000, FrameRate::new(30, 1)),
            (None, 15, 500, FrameRate::new(30, 1)),
            (ntsc, 15, 501, ntsc),
            (ntsc, 50, 2_000, FrameRate::new(25, 1)),
            (None, 35, 2_000, FrameRate::new(17_500, 1_000)),
            (ntsc, 0, 0, ntsc),
            (None, 0, 0, None),
        ] {
            let made = [segment(1, frames, millis)];
            let rate = frame_rate(&track(stated), &made);
            assert_eq!(rate, want, "{frames} in {millis} ms, stated {stated:?}");
        }
    }
}
