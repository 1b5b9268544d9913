//! One track of the window while it is cut: its parts, its open segment, the
//! segments that it holds. What it keeps is in `held`, what it shows in `view`.

mod held;
mod view;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rillcast_core::{Frame, MediaKind, Track, TrackId};

use super::measure::WallClock;
use super::part::{Draft, Next, PartCutter, Verdict, length};
use super::rule::PartRule;
use super::snapshot::{Part, Segment, TrackWindow};
use crate::fmp4::{self, FragmentHeader};
use held::{HeldInit, SLICE, size};
use view::Listing;

/// Where a segment of all tracks begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) number: u64,
    /// Its begin in presentation, in nanoseconds of stream time.
    pub(super) time: i64,
    pub(super) discontinuity: bool,
    pub(super) sequence: u64,
}

/// One track while it is cut.
#[derive(Debug)]
pub(super) struct TrackCutter {
    pub(super) id: TrackId,
    pub(super) kind: MediaKind,
    /// What dates arrivals.
    clock: WallClock,
    name: Arc<str>,
    /// With the configuration of the last frame…
    track: Arc<Track>,
    /// … and with that of the next one, if it has changed.
    pub(super) changed: Option<Arc<Track>>,
    pub(super) cutter: PartCutter,
    /// The part target as it was first measured; never changes.
    pub(super) part_target: Duration,
    inits: Vec<HeldInit>,
    next_init: u32,
    config: u32,
    fragments: u32,

    /// The segment that frames go to, begun by a frame or not.
    pub(super) cut: Cut,
    open: Option<Open>,
    pub(super) segments: VecDeque<Arc<Segment>>,
    /// Frames that may belong to a segment that is not known yet.
    pub(super) waiting: VecDeque<Frame>,
    pub(super) waiting_bytes: u64,
    /// Cuts that this track has not reached yet.
    pub(super) cuts: VecDeque<Cut>,

    /// What dates are later than presentation since the last break, in
    /// nanoseconds, because an earlier segment had that date already.
    shift: i64,
    /// Presentation minus decode time of keyframes, in ticks.
    delay: i64,
    pub(super) arrived: Instant,
    pub(super) stalled: bool,
    /// Nothing is of use before a keyframe.
    pub(super) needs_key: bool,
    /// The decode time of the last frame that came.
    pub(super) last_dts: Option<i64>,
    /// Time broke: the next frame stands where it says.
    pub(super) fresh: bool,
    /// Bytes of all parts that are held, with what they cost beside.
    held: u64,
    /// Fragments that could not be written.
    pub(super) failed: u64,
    /// Its configuration makes no initialisation segment.
    pub(super) unusable: bool,

    view: Option<Arc<TrackWindow>>,
    list: Option<Listing>,
    drafts: Vec<Draft>,
}

/// The segment that is being cut.
#[derive(Debug)]
struct Open {
    start: i64,
    time: i64,
    presentation: i64,
    independent: bool,
    parts: Vec<Arc<Part>>,
    /// Decode time that its end must not pass.
    ceiling: i64,
}

impl TrackCutter {
    /// # Errors
    /// If no initialisation segment can be written for the track.
    pub(super) fn new(
        track: Arc<Track>,
        rule: PartRule,
        cut: Cut,
        clock: WallClock,
        now: Instant,
    ) -> Result<Self, fmp4::Error> {
        let kind = track.kind();
        let target = i64::try_from(rule.target).unwrap_or(i64::MAX);
        let mut cutter = Self {
            id: track.id,
            kind,
            clock,
            name: track_name(&track).into(),
            part_target: track.timescale.to_duration(target),
            track: Arc::clone(&track),
            changed: None,
            cutter: PartCutter::new(rule),
            inits: Vec::new(),
            next_init: 0,
            config: 0,
            fragments: 0,
            cut,
            open: None,
            segments: VecDeque::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            cuts: VecDeque::new(),
            shift: 0,
            delay: 0,
            arrived: now,
            stalled: false,
            needs_key: kind == MediaKind::Video,
            last_dts: None,
            fresh: true,
            held: 0,
            failed: 0,
            unusable: false,
            view: None,
            list: None,
            drafts: Vec::new(),
        };
        cutter.configure(track)?;
        Ok(cutter)
    }

    /// The track with its configuration in force.
    pub(super) const fn track(&self) -> &Arc<Track> {
        &self.track
    }

    /// Takes over a description under which nothing must be cut anew.
    pub(super) fn describe(&mut self, track: Arc<Track>) {
        self.track = track;
        self.view = None;
    }

    /// The time of a frame in presentation, in nanoseconds of stream time:
    /// what segments of all tracks are aligned by.
    pub(super) fn time_of(&self, dts: i64) -> i64 {
        let ticks = dts.saturating_add(self.aligned_delay());
        self.track.timescale.to_nanos(ticks)
    }

    /// The delay as far as segments are aligned by it. By a longer one the
    /// sound of a first segment, which has no delay, would become too long.
    fn aligned_delay(&self) -> i64 {
        let most = self.track.timescale.from_duration(MOST_ALIGNED);
        self.delay.min(most)
    }

    /// How much earlier than in presentation its frames are in the order of
    /// arrival, in nanoseconds.
    pub(super) fn ahead(&self) -> i64 {
        self.track.timescale.to_nanos(self.aligned_delay())
    }

    /// Takes the presentation delay from the first keyframe after a break. It
    /// then stays, so that dates go on exactly as durations do.
    pub(super) fn take_delay(&mut self, frame: &Frame) {
        if self.fresh && frame.keyframe {
            let delay = frame.pts.saturating_sub(frame.dts);
            let most = self.track.timescale.from_duration(MOST_DELAY);
            self.delay = if (0..=most).contains(&delay) {
                delay
            } else {
                0
            };
        }
    }

    /// Stream time at the end of the last sample, in nanoseconds.
    pub(super) fn end_time(&self) -> i64 {
        self.time_of(self.cutter.end())
    }

    /// The date of a segment that begins now, in nanoseconds of stream time:
    /// when its presentation begins, and after that of the segment before.
    fn date(&mut self) -> i64 {
        let last = self.segments.back().map_or(i64::MIN, |last| last.time);
        let presented = self.cutter.end().saturating_add(self.delay);
        let date = self.track.timescale.to_nanos(presented);
        let date = date.saturating_add(self.shift);
        let least = last.saturating_add(1);
        if date < least {
            self.shift = self.shift.saturating_add(least - date);
        }
        date.max(least)
    }

    /// How long the open segment is if it ends before a frame at `dts`, in
    /// nanoseconds.
    pub(super) fn since_open(&self, dts: i64) -> Option<i64> {
        let open = self.open.as_ref()?;
        // The pending sample gets no more than a part.
        let most = self.cutter.rule.target;
        let end = dts.min(self.cutter.end().saturating_add_unsigned(most));
        let ticks = end.saturating_sub(open.start);
        Some(self.track.timescale.to_nanos(ticks))
    }

    /// Whether its decode times have fallen far behind, since its frames are
    /// longer than a part may be.
    pub(super) fn lags(&self) -> bool {
        let pending = self.cutter.pending().map(|frame| frame.dts);
        let lag = pending.map_or(0, |dts| dts.saturating_sub(self.cutter.end()));
        lag > self.track.timescale.from_duration(LONGEST_LAG)
    }

    /// Whether the open segment has a sample beside the pending one.
    pub(super) fn has_more_than_pending(&self) -> bool {
        let start = self.open.as_ref().map(|open| open.start);
        start.is_some_and(|start| self.cutter.end() > start)
    }

    /// How long a frame usually is, in nanoseconds.
    pub(super) fn typical(&self) -> i64 {
        let ticks = i64::try_from(self.cutter.rule.typical).unwrap_or(i64::MAX);
        self.track.timescale.to_nanos(ticks)
    }

    /// Whether a frame can be cut: nothing can before a keyframe where one is
    /// needed, or under a configuration that makes no initialisation segment.
    pub(super) const fn can_use(&self, frame: &Frame) -> bool {
        !self.unusable && (!self.needs_key || frame.keyframe)
    }

    /// Whether it has nothing to cut, so that it cannot lead.
    pub(super) const fn is_absent(&self) -> bool {
        self.stalled || self.unusable || self.needs_key
    }

    /// The decode time from which on a frame may complete a part, or the open
    /// segment, which may be as long as `segment`; `None` if any frame may make
    /// a difference.
    pub(super) fn next_part(&self, segment: Duration) -> Option<i64> {
        let open = self.open.as_ref()?;
        let usual = self.changed.is_none()
            && self.cuts.is_empty()
            && !(self.stalled || self.needs_key || self.fresh || self.unusable);
        let typical = i64::try_from(self.cutter.rule.typical).unwrap_or(i64::MAX);
        let segment = self.track.timescale.from_duration(segment);
        let full = open.start.saturating_add(segment).saturating_sub(typical);
        let dts = self.cutter.next_full().min(full);
        // What waits for the leading track completes a part when that passes it.
        let passed = self.waiting.back().is_some_and(|last| last.dts >= dts);
        (usual && !passed).then_some(dts)
    }

    /// Whether the current segment has begun.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The next segment is the one of `cut`.
    pub(super) fn begin(&mut self, cut: Cut) {
        debug_assert!(self.open.is_none(), "a segment is still open");
        self.cut = cut;
        self.view = None;
    }

    /// Takes a frame of the current segment. With `may_end`, a part that comes
    /// out too short ends the segment before the pending frame; then the frame
    /// has not been taken.
    pub(super) fn take(&mut self, frame: Frame, may_end: bool, limit: Duration) -> Verdict {
        self.take_delay(&frame);
        if std::mem::take(&mut self.fresh) {
            self.shift = 0;
            self.cutter.restart(frame.dts);
        }
        let next = if frame.keyframe && self.kind == MediaKind::Video {
            Next::Edge(frame.dts)
        } else if may_end {
            Next::InsideOrEnd(frame.dts)
        } else {
            Next::Inside(frame.dts)
        };
        let verdict = self.settle(next);
        if verdict == Verdict::EndSegment {
            return verdict;
        }
        self.cutter.push(frame);
        if self.open.is_none() {
            self.open_segment(limit);
        }
        verdict
    }

    /// Opens a segment with the pending frame.
    fn open_segment(&mut self, limit: Duration) {
        let Some(frame) = self.cutter.pending() else {
            return;
        };
        let (presentation, independent) = (frame.pts, frame.keyframe);
        let start = self.cutter.end();
        let limit = self.track.timescale.from_duration(limit);
        self.open = Some(Open {
            start,
            time: self.date(),
            presentation,
            independent,
            parts: Vec::new(),
            ceiling: start.saturating_add(limit),
        });
    }

    /// Ends the segment before the pending frame, which begins the one of `cut`.
    pub(super) fn split(&mut self, cut: Cut, limit: Duration) {
        self.cutter.split(&mut self.drafts);
        self.seal();
        self.close_segment();
        self.begin(cut);
        self.open_segment(limit);
    }

    /// Ends the current segment, which `next` follows. If the track has no
    /// media in it, it gets a gap that ends at `time`, unless the track has
    /// not begun yet.
    pub(super) fn finish(&mut self, next: Next, time: i64, limit: Duration) {
        if self.open.is_some() {
            let _ = self.settle(next);
            self.close_segment();
            return;
        }
        let last = self.segments.back().map(|last| last.number);
        if last.is_none_or(|last| last >= self.cut.number) {
            return;
        }
        self.gap(time, limit);
    }

    fn gap(&mut self, time: i64, limit: Duration) {
        let scale = self.track.timescale;
        let limit = scale.from_duration(limit).max(1);
        if std::mem::take(&mut self.fresh) {
            self.shift = 0;
            // Time broke before it: it lies where the other tracks' media does.
            let begin = scale.from_nanos(time).saturating_sub(self.aligned_delay());
            self.cutter.restart(begin.saturating_sub(limit));
        }
        let start = self.cutter.end();
        let ticks = scale.from_nanos(time.saturating_sub(self.end_time()));
        let ticks = ticks.clamp(1, limit);
        let segment = Segment {
            number: self.cut.number,
            timescale: scale,
            start,
            duration: ticks.unsigned_abs(),
            presentation: start.saturating_add(self.delay),
            time: self.date(),
            discontinuity: self.cut.discontinuity,
            discontinuity_sequence: self.cut.sequence,
            config: self.config,
            independent: false,
            gap: true,
            parts: Vec::new(),
            complete: true,
        };
        self.cutter.restart(start.saturating_add(ticks));
        self.push_segment(segment);
    }

    fn settle(&mut self, next: Next) -> Verdict {
        let ceiling = self.open.as_ref().map_or(i64::MAX, |open| open.ceiling);
        let verdict = self.cutter.settle(next, ceiling, &mut self.drafts);
        self.seal();
        verdict
    }

    /// Makes parts of the drafts that were closed.
    fn seal(&mut self) {
        let clock = self.clock;
        let date = |received| clock.date(received);
        for draft in std::mem::take(&mut self.drafts) {
            let Some(open) = &mut self.open else {
                self.failed += 1;
                continue;
            };
            self.fragments = self.fragments.wrapping_add(1);
            let header = u64::try_from(draft.start).ok().and_then(|start| {
                let header = FragmentHeader {
                    sequence: self.fragments,
                    track_id: fmp4::track_id(self.id),
                    base_decode_time: start,
                    styp: open.parts.is_empty(),
                    produced: draft.began.filter(|_| open.parts.is_empty()).map(date),
                    samples: &draft.samples,
                };
                fmp4::fragment(&header).ok()
            });
            let Some(header) = header else {
                self.failed += 1;
                continue;
            };
            let independent = draft.independent();
            let bytes = draft.bytes + size(header.len());
            let mut slices = Vec::with_capacity(draft.payloads.len() + 1);
            slices.push(header);
            slices.extend(draft.payloads);
            open.presentation = open.presentation.min(draft.presentation);
            self.held += bytes + size(slices.len()) * SLICE;
            open.parts.push(Arc::new(Part {
                index: u32::try_from(open.parts.len()).unwrap_or(u32::MAX),
                start: draft.start,
                duration: draft.duration,
                independent,
                samples: u32::try_from(draft.samples.len()).unwrap_or(u32::MAX),
                received: draft.received.unwrap_or(self.arrived),
                slices: slices.into(),
                bytes,
            }));
            self.view = None;
        }
    }

    fn close_segment(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        let mut segment = self.segment_of(&open, true);
        if segment.parts.is_empty() {
            // None of it could be written: to viewers it is a gap.
            segment.gap = true;
            segment.duration = segment.duration.max(1);
            self.cutter.restart(segment.end());
        }
        self.push_segment(segment);
    }

    fn segment_of(&self, open: &Open, complete: bool) -> Segment {
        let end = open.parts.last().map_or(open.start, |part| part.end());
        Segment {
            number: self.cut.number,
            timescale: self.track.timescale,
            start: open.start,
            duration: u64::try_from(end.saturating_sub(open.start)).unwrap_or(0),
            presentation: open.presentation,
            time: open.time,
            discontinuity: self.cut.discontinuity,
            discontinuity_sequence: self.cut.sequence,
            config: self.config,
            independent: open.independent,
            gap: false,
            parts: open.parts.clone(),
            complete,
        }
    }

    /// Keeps a frame until it is known which segment it belongs to.
    pub(super) fn wait(&mut self, frame: Frame) {
        self.waiting_bytes += length(&frame);
        self.waiting.push_back(frame);
    }

    /// Takes back the first of the frames that wait.
    pub(super) fn next_waiting(&mut self) -> Option<Frame> {
        let frame = self.waiting.pop_front()?;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(length(&frame));
        Some(frame)
    }

    /// Whether viewers would see something new.
    pub(super) const fn is_changed(&self) -> bool {
        self.view.is_none()
    }

    /// Whether segments were completed or let go of since the last view.
    pub(super) const fn is_longer(&self) -> bool {
        self.list.is_none()
    }
}

/// The name of a track in addresses: `v0`, `a1`.
#[must_use]
pub fn track_name(track: &Track) -> String {
    let letter = match track.kind() {
        MediaKind::Video => 'v',
        _ => 'a',
    };
    format!("{letter}{}", track.id)
}

/// Pictures are presented so long after they are decoded at the very most.
const MOST_DELAY: Duration = Duration::from_secs(2);

/// Decode times may be so far behind those of the publisher.
const LONGEST_LAG: Duration = Duration::from_secs(1);

/// Segments are aligned by so much of that delay.
const MOST_ALIGNED: Duration = Duration::from_millis(200);
