//! Segments of one length, to the tick: then a manifest can say when the next
//! ones begin, and players ask for them as they do.

use std::collections::VecDeque;

use rillcast_core::FrameRate;
use rillcast_media::cmaf::Segment;

/// How long each segment of a Period is: a whole number of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cadence {
    /// Duration in ticks.
    pub(crate) duration: u64,
    /// Ticks per second.
    pub(crate) timescale: u32,
    frame: u32,
}

impl Cadence {
    /// A second, where any does.
    pub(crate) const SECOND: Self = Self {
        duration: FINE as u64,
        timescale: FINE,
        frame: FINE / 25,
    };

    /// So many frames of `rate`, in ticks that are fine enough for the place of a
    /// Period too.
    fn of(frames: u32, rate: FrameRate) -> Self {
        let finer = FINE.div_ceil(rate.num.max(1));
        let frame = rate.den.saturating_mul(finer);
        Self {
            duration: u64::from(frames) * u64::from(frame),
            timescale: rate.num.max(1).saturating_mul(finer),
            frame,
        }
    }

    /// The length of `count` segments in nanoseconds.
    pub(crate) fn nanos(self, count: u64) -> i64 {
        let ticks = u128::from(self.duration) * u128::from(count);
        let nanos = (ticks * NANOS + u128::from(self.timescale) / 2) / u128::from(self.timescale);
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }

    /// Half of a frame in nanoseconds: so far a segment may begin from where its
    /// number says.
    pub(crate) fn half_frame(self) -> u64 {
        let nanos = u128::from(self.frame) * NANOS / u128::from(self.timescale) / 2;
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// What is known of the segments that came last.
#[derive(Debug, Default)]
pub(super) struct Run {
    last: VecDeque<Seen>,
    /// The cadence that was kept last: after a break it need not be shown anew.
    known: Option<Cadence>,
    /// Whether the last segment did not keep it.
    left: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    frames: u32,
    time: i64,
    end: i64,
}

impl Run {
    /// What follows does not follow from what came.
    pub(super) fn pause(&mut self) {
        self.last.clear();
    }

    pub(super) fn add(&mut self, segment: &Segment) {
        let seen = Seen::of(segment);
        // A segment that a break cut short says nothing about the encoder.
        if self.left && !segment.discontinuity {
            self.known = None;
        }
        let off = |known: Cadence| !seen.fits(known, known.half_frame());
        self.left = self.known.is_some_and(off);
        if self.last.len() == ENOUGH {
            self.last.pop_front();
        }
        self.last.push_back(seen);
    }

    /// The cadence that those before `segment`, and this one, keep.
    pub(super) fn found(&mut self, segment: &Segment, rate: Option<FrameRate>) -> Option<Cadence> {
        let next = Seen::of(segment);
        let known = self.known.filter(|known| {
            next.fits(*known, known.half_frame()) && (!self.left || segment.discontinuity)
        });
        if known.is_some() {
            return known;
        }
        let found = || {
            let frames = self
                .last
                .front()
                .filter(|_| self.last.len() == ENOUGH)?
                .frames;
            let rates = rate.into_iter().chain(RATES.iter().copied());
            let fitting = rates.filter_map(|rate| {
                let cadence = Cadence::of(frames, rate);
                let error = self.error(cadence, next)?;
                Some((error, cadence))
            });
            let best = fitting.min_by_key(|(error, _)| *error);
            best.map(|(_, cadence)| cadence)
        };
        let found = found()?;
        (self.known, self.left) = (Some(found), false);
        Some(found)
    }

    /// How far the segments are from `cadence` at most, in nanoseconds; `None` if
    /// it is not theirs.
    fn error(&self, cadence: Cadence, next: Seen) -> Option<u64> {
        let first = self.last.front()?;
        let mut worst = 0;
        for (count, seen) in (0..).zip(self.last.iter().chain([&next])) {
            if seen.frames != first.frames {
                return None;
            }
            let begin = first.time.saturating_add(cadence.nanos(count));
            let end = first.time.saturating_add(cadence.nanos(count + 1));
            worst = worst
                .max(begin.abs_diff(seen.time))
                .max(end.abs_diff(seen.end));
        }
        (worst <= TOLERANCE.min(cadence.half_frame())).then_some(worst)
    }
}

impl Seen {
    fn of(segment: &Segment) -> Self {
        Self {
            frames: segment.parts.iter().map(|part| part.samples).sum(),
            time: segment.time,
            end: super::end_of(segment),
        }
    }

    /// Whether it is as long as `cadence` says, within `tolerance` nanoseconds.
    fn fits(&self, cadence: Cadence, tolerance: u64) -> bool {
        let length = self.end.saturating_sub(self.time);
        length.abs_diff(cadence.nanos(1)) <= tolerance
    }
}

/// Ticks per second, at least.
const FINE: u32 = 90_000;

/// So many segments show a cadence.
const ENOUGH: usize = 5;

/// How far they may be from it, in nanoseconds: a clock of milliseconds rounds
/// both ends, and 29.97 must not be taken for 30 frames per second.
const TOLERANCE: u64 = 3_000_000;

const NANOS: u128 = 1_000_000_000;

/// Rates that encoders keep, whatever they state.
const RATES: [FrameRate; 11] = [
    rate(24_000, 1_001),
    rate(24, 1),
    rate(25, 1),
    rate(30_000, 1_001),
    rate(30, 1),
    rate(50, 1),
    rate(60_000, 1_001),
    rate(60, 1),
    rate(100, 1),
    rate(120_000, 1_001),
    rate(120, 1),
];

const fn rate(num: u32, den: u32) -> FrameRate {
    FrameRate { num, den }
}
