//! Stalls, holes, breaks and changes of configuration.

use std::time::{Duration, Instant};

use rillcast_core::Frame;

use super::Segmenter;
use crate::cmaf::part::Next;
use crate::cmaf::track::TrackCutter;

impl Segmenter {
    /// When the next track will have stalled.
    pub(super) fn next_stall(&self) -> Option<Instant> {
        self.next_to_stall().map(|(_, at)| at)
    }

    /// Closes what has waited for its next frame for too long.
    pub(super) fn take_stalls(&mut self, now: Instant) {
        while let Some((index, at)) = self.next_to_stall()
            && at <= now
        {
            if self.lead.index == Some(index) && self.is_silent(index, now) {
                self.all_stall(now);
                continue;
            }
            if let Some(track) = self.tracks.get_mut(index) {
                track.stalled = true;
            }
            if self.lead.index == Some(index) {
                self.lead_stalls(index);
            } else {
                self.follower_stalls(index);
            }
        }
    }

    /// The track that stalls next if no frame of it comes, and when. One that
    /// has frames waiting is not late: it waits for the leading track itself.
    fn next_to_stall(&self) -> Option<(usize, Instant)> {
        let waits = |(index, track): &(usize, &TrackCutter)| {
            !track.stalled && (self.lead.index == Some(*index) || track.waiting.is_empty())
        };
        let tracks = self.tracks.iter().enumerate().filter(waits);
        let ends = tracks.map(|(index, track)| {
            // Where a picture lasts a second, the next one is not late yet.
            let two = Duration::from_nanos(track.typical().unsigned_abs().saturating_mul(2));
            let patience = STALL.max(two.min(LONGEST_STALL));
            (index, track.arrived + patience)
        });
        ends.min_by_key(|(_, at)| *at)
    }

    /// Whether the other tracks have sent nothing lately either.
    fn is_silent(&self, index: usize, now: Instant) -> bool {
        let tracks = self.tracks.iter().enumerate();
        let mut others = tracks.filter(|(other, track)| *other != index && !track.is_absent());
        others.all(|(_, track)| now.saturating_duration_since(track.arrived) >= SILENT)
    }

    /// The publisher is away: the segment ends with all that came for it. The sound
    /// that lasts longer than the last picture does not get one of its own, which
    /// would be a gap to those who watch.
    fn all_stall(&mut self, now: Instant) {
        if self.tracks.iter().any(TrackCutter::is_open) {
            self.counters.stalls += 1;
        }
        self.close_all(now);
        for track in &mut self.tracks {
            track.stalled = true;
        }
    }

    /// The leading track sends nothing: its segment ends, and the next track
    /// that is alive stands in for it.
    fn lead_stalls(&mut self, index: usize) {
        let limit = self.limit();
        // Nobody decides cuts before the last sample's end any more.
        self.lead.watermark = i64::MAX;
        self.drain(index);
        let Some(track) = self.tracks.get_mut(index) else {
            return;
        };
        while let Some(cut) = track.cuts.pop_front() {
            track.finish(Next::Unknown, cut.time, limit);
            track.begin(cut);
        }
        if track.is_open() {
            track.finish(Next::Unknown, i64::MIN, limit);
            let time = track.end_time();
            self.counters.stalls += 1;
            self.advance(time);
        }
        let alive = self.tracks.iter().position(|track| !track.is_absent());
        if alive.is_some() {
            self.lead.index = alive;
        }
        self.drain_all();
    }

    /// Another track sends nothing. Its segment ends with the leading track's,
    /// so that the numbers stay together.
    fn follower_stalls(&mut self, index: usize) {
        let limit = self.limit();
        let Some(track) = self.tracks.get_mut(index) else {
            return;
        };
        while let Some(cut) = track.cuts.pop_front() {
            track.finish(Next::Unknown, cut.time, limit);
            track.begin(cut);
        }
    }

    /// A frame has come: its track is alive, and may have changed.
    pub(super) fn arrive(&mut self, index: usize, now: Instant) {
        let Some(track) = self.tracks.get_mut(index) else {
            return;
        };
        track.stalled = false;
        track.arrived = now;
        let Some(changed) = track.changed.take() else {
            return;
        };
        // Behind a break, what another track has begun may go on with it: nothing of
        // this one is there that would need the old configuration.
        let cut = self.cut;
        let untouched = track.fresh && !track.is_open() && track.cuts.is_empty();
        if !(cut.discontinuity && track.cut == cut && untouched) {
            self.break_off(now, false);
        }
        self.counters.config_changes += 1;
        let Some(track) = self.tracks.get_mut(index) else {
            return;
        };
        let configured = track.configure(changed);
        track.unusable = configured.is_err();
        if let Err(error) = configured {
            let id = track.id;
            self.warn_of(id, &error, now);
        }
    }

    /// A frame is going to be cut: finds out what broke before it, and whether
    /// its track leads from here.
    pub(super) fn join_in(&mut self, index: usize, frame: &Frame, now: Instant) {
        let leads = self.lead.index == Some(index);
        let primary = self.lead.primary == Some(index);
        let Some(track) = self.tracks.get_mut(index) else {
            return;
        };
        track.needs_key = false;
        let settled = track.cutter.pending().is_none() && track.waiting.is_empty();
        let typical = i64::try_from(track.cutter.rule.typical).unwrap_or(i64::MAX);
        let begun = !track.segments.is_empty() || track.is_open();
        let last = track.last_dts.replace(frame.dts).unwrap_or(frame.dts);
        let hole = if settled {
            frame.dts.saturating_sub(track.cutter.end()) > typical
        } else {
            // A timeline announces this; who publishes without one may not.
            frame.dts.saturating_sub(last) > track.track().timescale.from_duration(LONGEST_STEP)
        };
        let holed = (hole && begun && !track.fresh) || track.lags();
        if primary && !leads {
            // Another track stood in, and may have begun the segment in hand.
            if settled && self.used && (holed || !begun) {
                self.lead_from(index, frame);
            }
            self.lead.index = Some(index);
            self.lead.watermark = i64::MIN;
            return;
        }
        if holed {
            self.break_off(now, false);
        }
        let lead = self.lead.index.and_then(|lead| self.tracks.get(lead));
        if self.lead.index != Some(index) && lead.is_none_or(|lead| lead.is_absent()) {
            self.lead.index = Some(index);
        }
    }

    /// A frame of a track that cannot be used now. If that track should lead,
    /// another one does, so that segments still end.
    pub(super) fn pass_over(&mut self, index: usize, frame: &Frame) {
        self.counters.skipped_frames += 1;
        if self.lead.index != Some(index) {
            return;
        }
        let alive = self.tracks.iter().position(|track| !track.is_absent());
        if alive.is_some() {
            self.lead.index = alive;
            self.lead.watermark = i64::MAX;
        } else if let Some(track) = self.tracks.get(index) {
            self.lead.watermark = track.time_of(frame.dts);
        }
        self.drain_all();
    }

    /// Ends all segments: what follows is a discontinuity. With `rekey`,
    /// pictures before the next keyframe are of no use.
    pub(super) fn break_off(&mut self, now: Instant, rekey: bool) {
        self.close_all(now);
        if self.counters.segments > 0 && !self.cut.discontinuity {
            self.counters.discontinuities += 1;
            self.cut.discontinuity = true;
            self.cut.sequence += 1;
        }
        let cut = self.cut;
        for track in &mut self.tracks {
            track.begin(cut);
            track.fresh = true;
            track.stalled = false;
            track.arrived = now;
            track.needs_key |= rekey && track.kind == rillcast_core::MediaKind::Video;
        }
        self.lead.index = self.lead.primary;
        self.lead.interrupt();
        self.dirty = true;
    }

    /// Ends all segments, with what has come for them.
    pub(super) fn close_all(&mut self, _now: Instant) {
        let limit = self.limit();
        self.lead.watermark = i64::MAX;
        self.drain_all();
        // What a track has missed ends before anything can follow: at the last
        // frame of all, by its decode time.
        let lasts = self.tracks.iter().filter_map(|track| {
            let last = track.cutter.pending()?;
            Some(track.track().timescale.to_nanos(last.dts))
        });
        let end = lasts.max().unwrap_or(i64::MIN);
        for track in &mut self.tracks {
            while let Some(cut) = track.cuts.pop_front() {
                track.finish(Next::Unknown, cut.time, limit);
                track.begin(cut);
            }
            if self.used {
                track.finish(Next::Unknown, end, limit);
            }
        }
        if self.used {
            self.next_number(end, false);
            let cut = self.cut;
            for track in &mut self.tracks {
                track.begin(cut);
            }
        }
    }
}

/// A track that has sent nothing for so long has stalled (MEDIA.md section 3).
const STALL: Duration = Duration::from_secs(1);

/// The same for tracks with very long frames.
const LONGEST_STALL: Duration = Duration::from_secs(5);

/// The other tracks have stopped with the leading one if they have sent nothing for
/// so long when it stalls.
const SILENT: Duration = Duration::from_millis(500);

/// Times that step on by more than this have broken. A timeline lets no step of
/// more than a second pass.
pub(super) const LONGEST_STEP: Duration = Duration::from_secs(2);
