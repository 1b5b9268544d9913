//! Offsets between a source's clock and stream time, and what a step of the
//! clock means.

use std::time::{Duration, Instant};

use rillcast_core::rescale;

use super::unroll::Mark;
use crate::{SourceClock, SourceFrame};

/// One offset between the source's clock and stream time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Era {
    pub(super) id: u32,
    /// A point of the unrolled source clock, in nanoseconds…
    pub(super) source: i64,
    /// … and of stream time, in nanoseconds: the same moment. It is whole
    /// milliseconds, so that ticks of 1 and 90 kHz keep their exact distance.
    pub(super) stream: i64,
    /// The last frame by this offset, of whatever track, and its clock.
    pub(super) mark: Mark,
    pub(super) clock: SourceClock,
    /// The stream time and arrival of the frame that came with the least delay.
    pub(super) prompt: (i64, Instant),
}

/// Where a frame stands by one offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) era: Era,
    /// Stream time in nanoseconds.
    pub(super) time: i64,
    pub(super) mark: Mark,
    /// Whether it is behind the frame before and must be moved.
    pub(super) behind: bool,
    /// Whether a sum of samples may begin anew here, since time breaks.
    pub(super) anew: bool,
}

impl Placed {
    pub(super) fn new(era: Era, frame: &SourceFrame, unrolled: i64) -> Self {
        let source = frame.clock.timescale().to_nanos(unrolled);
        Self {
            era,
            time: source.saturating_sub(era.source).saturating_add(era.stream),
            mark: Mark {
                raw: frame.dts,
                unrolled,
                received: frame.received,
            },
            behind: false,
            anew: false,
        }
    }
}

impl Era {
    /// The stream time that arrival time leads to expect at `received`.
    pub(super) fn expected(&self, received: Instant) -> i64 {
        let source = self.clock.timescale().to_nanos(self.mark.unrolled);
        source
            .saturating_sub(self.source)
            .saturating_add(self.stream)
            .saturating_add(nanos(self.mark.elapsed(received)))
    }

    /// The latest stream time that can have arrived by `received`, if no frame
    /// is faster than the fastest one so far. Clocks that drift apart by less
    /// than a thousandth do not wear it out.
    pub(super) fn latest(&self, received: Instant) -> i64 {
        let (time, at) = self.prompt;
        let elapsed = received.saturating_duration_since(at);
        time.saturating_add(nanos(elapsed - elapsed / 1_000))
    }

    /// Notes the last frame by this offset.
    pub(super) fn note(&mut self, placed: &Placed, clock: SourceClock) {
        if placed.time >= self.latest(placed.mark.received) {
            self.prompt = (placed.time, placed.mark.received);
        }
        self.mark = placed.mark;
        self.clock = clock;
    }

    /// Where this offset puts a frame, unrolled from the last one by it.
    pub(super) fn place(&self, frame: &SourceFrame) -> Placed {
        let mark = self.mark_for(frame.clock);
        let unrolled = mark.unroll(frame.dts, frame.clock, frame.received);
        Placed::new(*self, frame, unrolled)
    }

    /// The last frame's mark, on another clock if need be.
    fn mark_for(&self, clock: SourceClock) -> Mark {
        if clock == self.clock {
            return self.mark;
        }
        let convert = |ticks| rescale(ticks, self.clock.timescale(), clock.timescale());
        Mark {
            raw: convert(self.mark.raw),
            unrolled: convert(self.mark.unrolled),
            received: self.mark.received,
        }
    }
}

/// What a step of a track's clock means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Even,
    Behind,
    Gap,
    Jump,
}

/// What a step of a track's clock means, in nanoseconds; `explained` says
/// whether a frame so far on can have arrived already.
pub(super) fn classify(step: i64, explained: bool) -> Step {
    let second = nanos(SECOND);
    if step > second {
        if explained { Step::Gap } else { Step::Jump }
    } else if step > 0 {
        Step::Even
    } else if step > -second {
        Step::Behind
    } else {
        Step::Jump
    }
}

/// A duration in nanoseconds of stream time, saturating.
pub(super) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// A step of more than this is a gap or a jump.
pub(super) const SECOND: Duration = Duration::from_secs(1);
