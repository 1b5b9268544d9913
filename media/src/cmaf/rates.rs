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
    let average = rate(sizes.iter().copied());
    let mut peak = 0;
    for first in 0..sizes.len() {
        let mut length = Duration::ZERO;
        let run = sizes.get(first..).unwrap_or_default();
        for (count, (_, duration)) in run.iter().enumerate() {
            length += *duration;
            if length > target * 3 / 2 {
                break;
            }
            if length >= target / 2 {
                peak = peak.max(rate(run.iter().copied().take(count + 1)));
            }
        }
    }
    // Nothing of that length yet, or a single segment that is longer.
    let single = sizes.iter().map(|size| rate([*size].into_iter())).max();
    let peak = if peak == 0 { single.unwrap_or(0) } else { peak };
    BitRate {
        peak: peak.max(average),
        average,
    }
}

fn rate(sizes: impl Iterator<Item = (u64, Duration)>) -> u64 {
    let (bytes, length) = sizes.fold((0, Duration::ZERO), |(bytes, length), size| {
        (bytes + size.0, length + size.1)
    });
    let bits = u128::from(bytes) * 8 * 1_000_000_000;
    let rate = bits.checked_div(length.as_nanos()).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// The frame rate of a video track over `segments`: the one that the bitstream
/// states or a usual one if the frames agree with it, else what they show.
pub(super) fn frame_rate(track: &Track, segments: &[Arc<Segment>]) -> Option<FrameRate> {
    if track.kind() != MediaKind::Video {
        return None;
    }
    let stated = track.video().and_then(|video| video.frame_rate);
    let (mut frames, mut nanos) = (0_u64, 0_u128);
    for segment in segments.iter().filter(|segment| !segment.gap) {
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
