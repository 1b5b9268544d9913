//! The leading track: its frames decide where the segments of all tracks begin.

use std::time::Duration;

use rillcast_core::{Frame, MediaKind};

use super::{Backlog, Segmenter};
use crate::cmaf::part::{Next, Verdict};

/// Which track leads, and what is known of it.
#[derive(Debug)]
pub(super) struct Lead {
    /// The track that leads as long as it has frames.
    pub(super) primary: Option<usize>,
    /// The one that leads: the primary one, or one that stands in while that stalls.
    pub(super) index: Option<usize>,
    /// Up to here, in nanoseconds of stream time, no more cuts will come: the
    /// other tracks' frames before it have their segment.
    pub(super) watermark: i64,
    /// The last keyframe, and the lengths of the last GOPs.
    key: Option<i64>,
    gops: [Duration; RECENT],
    next: usize,
}

impl Default for Lead {
    fn default() -> Self {
        Self {
            primary: None,
            index: None,
            watermark: i64::MIN,
            key: None,
            gops: [Duration::ZERO; RECENT],
            next: 0,
        }
    }
}

impl Lead {
    /// Takes note of the length of a GOP.
    pub(super) fn note_gop(&mut self, gop: Duration) {
        if let Some(slot) = self.gops.get_mut(self.next) {
            *slot = gop;
        }
        self.next = (self.next + 1) % RECENT;
    }

    /// How long the next GOP may be, by the last ones.
    fn gop(&self) -> Duration {
        self.gops.iter().copied().max().unwrap_or_default()
    }

    /// Whether, by the last GOPs, a keyframe is due about now.
    fn awaits_key(&self, now: i64) -> bool {
        let gop = i64::try_from(self.gop().as_nanos()).unwrap_or(i64::MAX);
        let due = self.key.map(|key| key.saturating_add(gop));
        due.is_some_and(|due| u128::from(due.abs_diff(now)) <= SLACK.as_nanos())
    }

    /// Time breaks: what comes next is not measured from what was last.
    pub(super) fn interrupt(&mut self) {
        self.key = None;
        self.watermark = i64::MIN;
    }

    fn note_key(&mut self, time: i64) {
        if let Some(key) = self.key.replace(time)
            && let Ok(gop) = u64::try_from(time.saturating_sub(key))
        {
            self.note_gop(Duration::from_nanos(gop));
        }
    }
}

/// Why a segment ends before a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It does not.
    No,
    /// At this keyframe.
    Key,
    /// Before this frame, though it is no keyframe: it has reached its target.
    Full,
    /// Even before the pending frame: that one turned out so long.
    Over,
}

impl Segmenter {
    /// Takes a frame of the leading track.
    pub(super) fn lead_frame(&mut self, index: usize, frame: Frame) {
        let limit = self.limit();
        let end = self.end_before(index, &frame);
        let Some(track) = self.tracks.get_mut(index) else {
            return;
        };
        let video = track.kind == MediaKind::Video;
        if video && frame.keyframe {
            let time = track.track().timescale.to_nanos(frame.dts);
            self.lead.note_key(time);
        }
        let long = end != End::Key && self.backlog != Backlog::Over;
        if end != End::No {
            self.backlog = Backlog::Done;
        }
        match end {
            End::No => {}
            End::Key | End::Full => {
                track.finish(Next::Edge(frame.dts), i64::MAX, limit);
                let time = track.time_of(frame.dts);
                self.advance(time);
                self.counters.long_gops += u64::from(video && long);
            }
            End::Over => {
                self.split_lead(index);
                self.counters.long_gops += u64::from(video && long);
            }
        }
        let Some(track) = self.tracks.get_mut(index) else {
            return;
        };
        let may_end = true;
        if track.take(frame.clone(), may_end, limit) == Verdict::EndSegment {
            self.counters.short_parts += 1;
            self.split_lead(index);
            let Some(track) = self.tracks.get_mut(index) else {
                return;
            };
            // The pending frame begins a part now, so this one finds its place.
            let _ = track.take(frame.clone(), false, limit);
        }
        self.used = true;
        if let Some(track) = self.tracks.get(index) {
            self.lead.watermark = track.time_of(frame.dts);
        }
    }

    /// Ends the leading track's segment before its pending frame.
    fn split_lead(&mut self, index: usize) {
        let limit = self.limit();
        let Some(track) = self.tracks.get(index) else {
            return;
        };
        let Some(pending) = track.cutter.pending().map(|frame| frame.dts) else {
            return;
        };
        let time = track.time_of(pending);
        // The others learn of the cut first; then the leader begins it.
        self.advance(time);
        let cut = self.cut;
        if let Some(track) = self.tracks.get_mut(index) {
            track.split(cut, limit);
        }
        self.used = true;
    }

    /// Whether the open segment ends before `frame`.
    fn end_before(&self, index: usize, frame: &Frame) -> End {
        let Some(track) = self.tracks.get(index) else {
            return End::No;
        };
        let Some(since) = track.since_open(frame.dts) else {
            return End::No;
        };
        let since = Duration::from_nanos(u64::try_from(since).unwrap_or(0));
        let typical = Duration::from_nanos(u64::try_from(track.typical()).unwrap_or(0));
        let goal = self.config.segment_duration.0;
        let now = track.track().timescale.to_nanos(frame.dts);
        if track.kind != MediaKind::Video {
            // Every frame is a keyframe: stay below the goal.
            return if since + typical > goal && track.has_more_than_pending() {
                End::Key
            } else {
                End::No
            };
        }
        // Whoever made packaging begin waits for a first segment.
        let waited_for = self.backlog == Backlog::Over && since >= self.config.part_duration.0;
        if (since > self.target + SLACK || waited_for) && track.has_more_than_pending() {
            // The pending frame was promised to players as the next part of
            // this segment if no other is before it in that part.
            return if track.cutter.has_draft() {
                End::Over
            } else {
                End::Full
            };
        }
        if frame.keyframe {
            let enough = since + typical / 2 >= goal;
            let next_too_long = since + self.lead.gop() > self.target + JITTER;
            return if enough || next_too_long {
                End::Key
            } else {
                End::No
            };
        }
        let full = self.target
            + if self.lead.awaits_key(now) {
                SLACK
            } else {
                Duration::ZERO
            };
        if since + typical > full {
            End::Full
        } else {
            End::No
        }
    }
}

/// GOPs that the length of the next one is guessed from.
const RECENT: usize = 8;

/// Timestamps of milliseconds make equal GOPs differ by so much at most.
const JITTER: Duration = Duration::from_millis(50);

/// A keyframe that is due may be so late before its segment, which has reached
/// the target duration, is cut on another picture: EXTINF still rounds to it.
const SLACK: Duration = Duration::from_millis(250);
