//! Cutting one track's frames into parts by the rules of [`super::rule`].

use std::time::Instant;

use bytes::Bytes;
use rillcast_core::Frame;

use super::rule::PartRule;
use crate::fmp4::Sample;

/// Collects the samples of the part that is open.
///
/// A sample's duration is known when the next access unit has come, so the
/// last frame is always pending. Decode times run on without a hole: each
/// sample begins where the one before ended. Where a rule forces a duration
/// that is not the true one, later samples keep their presentation times by
/// their composition offsets, and decode times come right again by themselves.
#[derive(Debug)]
pub(super) struct PartCutter {
    pub(super) rule: PartRule,
    pending: Option<Frame>,
    /// The end of the last sample: where the pending one begins.
    end: i64,
    /// The duration of the last sample.
    last: Option<u64>,
    draft: Draft,
    /// Samples whose duration is not the true one.
    pub(super) moved: u64,
}

/// A part before it has its number and its header.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) start: i64,
    pub(super) duration: u64,
    pub(super) samples: Vec<Sample>,
    pub(super) payloads: Vec<Bytes>,
    pub(super) bytes: u64,
    /// The earliest presentation time.
    pub(super) presentation: i64,
    /// When its first sample came in, and when its last one did.
    pub(super) began: Option<Instant>,
    pub(super) received: Option<Instant>,
}

/// What follows the pending sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next access unit, within the same segment, at this decode time.
    Inside(i64),
    /// The same, in a segment that may end before the pending sample.
    InsideOrEnd(i64),
    /// A keyframe or the next segment, at this decode time: the part ends.
    Edge(i64),
    /// Nothing that is known: a stall, a loss or the end.
    Unknown,
}

/// Whether the segment must end before the pending sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Verdict {
    /// The pending sample has its place.
    Placed,
    /// The part before it came out too short: only a segment may end so. The
    /// sample is still pending.
    EndSegment,
}

impl PartCutter {
    pub(super) fn new(rule: PartRule) -> Self {
        Self {
            rule,
            pending: None,
            end: 0,
            last: None,
            draft: Draft::default(),
            moved: 0,
        }
    }

    /// The frame whose duration is not known yet.
    pub(super) const fn pending(&self) -> Option<&Frame> {
        self.pending.as_ref()
    }

    /// Whether there are samples in the open part beside the pending frame.
    pub(super) fn has_draft(&self) -> bool {
        !self.draft.samples.is_empty()
    }

    /// The end of the last sample.
    pub(super) const fn end(&self) -> i64 {
        self.end
    }

    /// The least decode time of a next frame with which the open part is full.
    pub(super) fn next_full(&self) -> i64 {
        let stated = self.pending.as_ref().and_then(|frame| frame.duration);
        let stated = stated.map_or(0, |duration| u64::from(duration.get()));
        let typical = self.rule.typical.max(stated);
        let start = self.end.saturating_sub_unsigned(self.draft.duration);
        start.saturating_add_unsigned(self.rule.target.saturating_sub(typical))
    }

    /// The bytes of the open part and the pending frame.
    pub(super) fn bytes(&self) -> u64 {
        self.draft.bytes + self.pending.as_ref().map_or(0, length)
    }

    /// Goes on at `at` or, if that has passed, where the last sample ended.
    /// Only between parts.
    pub(super) fn restart(&mut self, at: i64) {
        self.end = self.end.max(at);
        self.last = None;
    }

    /// Goes on under a new timescale, of which `convert` makes ticks.
    pub(super) fn rescale(&mut self, rule: PartRule, convert: impl Fn(i64) -> i64) {
        self.rule = rule;
        self.end = convert(self.end).saturating_add(1);
        self.last = None;
    }

    /// Takes the next frame. The one before must have been settled.
    pub(super) fn push(&mut self, frame: Frame) {
        debug_assert!(self.pending.is_none(), "the last frame was not settled");
        self.pending = Some(frame);
    }

    /// Gives the pending sample its duration, now that it is known what
    /// follows. Parts that are complete by that go to `out`.
    /// The segment must not pass `ceiling`.
    pub(super) fn settle(&mut self, next: Next, ceiling: i64, out: &mut Vec<Draft>) -> Verdict {
        let Some(frame) = self.pending.take() else {
            if !matches!(next, Next::Inside(_) | Next::InsideOrEnd(_)) {
                self.close(out);
            }
            return Verdict::Placed;
        };
        let PartRule {
            target,
            least,
            typical,
        } = self.rule;
        let stated = frame.duration.map(|duration| u64::from(duration.get()));
        let typical = stated.unwrap_or(typical);
        let truth = match next {
            Next::Inside(at) | Next::InsideOrEnd(at) | Next::Edge(at) => {
                u64::try_from(at.saturating_sub(self.end)).map_or(1, |ticks| ticks.max(1))
            }
            Next::Unknown => stated.or(self.last).unwrap_or(typical),
        };
        let sum = self.draft.duration;
        let mut duration = truth.min(target);
        if sum > 0 && sum.saturating_add(truth) > target {
            if sum >= least {
                self.close(out);
            } else if matches!(next, Next::InsideOrEnd(_)) {
                self.close(out);
                self.pending = Some(frame);
                return Verdict::EndSegment;
            } else {
                // Too short to end here, and the segment cannot: fill it up.
                duration = target - sum;
            }
        }
        let room = u64::try_from(ceiling.saturating_sub(self.end)).unwrap_or(0);
        duration = duration.min(room.max(1));
        self.moved += u64::from(duration != truth && next != Next::Unknown);
        self.last = Some(truth);
        self.add(frame, duration);
        let sum = self.draft.duration;
        // A step in audio time: MEDIA.md section 2 wants it where a part ends.
        let stepped = stated.is_some_and(|stated| stated != duration);
        let full = sum.saturating_add(typical) > target || stepped;
        let edge = matches!(next, Next::Edge(_) | Next::Unknown);
        if edge || (full && sum >= least) {
            self.close(out);
        }
        Verdict::Placed
    }

    /// Closes the part before the pending sample, whatever its length: a
    /// segment ends there.
    pub(super) fn split(&mut self, out: &mut Vec<Draft>) {
        self.close(out);
    }

    /// Forgets the open part and the pending frame.
    pub(super) fn clear(&mut self) {
        self.pending = None;
        self.draft = Draft::default();
        self.last = None;
    }

    fn add(&mut self, frame: Frame, duration: u64) {
        let draft = &mut self.draft;
        if draft.samples.is_empty() {
            draft.start = self.end;
            draft.presentation = frame.pts;
            draft.began = Some(frame.received);
        }
        let cts = frame.pts.saturating_sub(self.end);
        let least = i64::from(i32::MIN);
        draft.samples.push(Sample {
            duration: u32::try_from(duration).unwrap_or(u32::MAX),
            size: u32::try_from(frame.payload.len()).unwrap_or(u32::MAX),
            cts: i32::try_from(cts.max(least)).unwrap_or(i32::MAX),
            keyframe: frame.keyframe,
        });
        draft.duration += duration;
        draft.bytes += length(&frame);
        draft.presentation = draft.presentation.min(frame.pts);
        draft.received = Some(frame.received);
        draft.payloads.push(frame.payload);
        self.end = self.end.saturating_add_unsigned(duration);
    }

    fn close(&mut self, out: &mut Vec<Draft>) {
        if !self.draft.samples.is_empty() {
            out.push(std::mem::take(&mut self.draft));
        }
    }
}

impl Draft {
    /// Whether the part begins with a keyframe.
    pub(super) fn independent(&self) -> bool {
        self.samples.first().is_some_and(|sample| sample.keyframe)
    }
}

/// The bytes of a frame.
pub(super) fn length(frame: &Frame) -> u64 {
    u64::try_from(frame.payload.len()).unwrap_or(u64::MAX)
}
