//! The first cut, and tracks that join later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rillcast_core::{Frame, MediaKind, Track};

use super::{Backlog, Phase, Segmenter};
use crate::cmaf::measure::Event;
use crate::cmaf::part::Next;
use crate::cmaf::rule::PartRule;
use crate::cmaf::track::TrackCutter;

impl Segmenter {
    /// Decides what holds for the session, and cuts what has come so far.
    pub(super) fn start(&mut self, now: Instant) {
        let measured = std::mem::replace(&mut self.phase, Phase::Cutting);
        let Phase::Measuring(calibration) = measured else {
            return;
        };
        let measured = calibration
            .leader()
            .is_some_and(|leader| leader.knows_gop());
        let gop = match self.known_gop {
            Some(known) if !measured => known,
            Some(known) => known.max(calibration.longest_gop(&self.config)),
            None => calibration.longest_gop(&self.config),
        };
        if self.known_gop.is_some() && !measured {
            self.backlog = Backlog::Reading;
        }
        let longest = gop.max(self.config.segment_duration.0);
        let whole = longest.as_secs() + u64::from(longest.subsec_nanos() > 0);
        self.target = Duration::from_secs(whole.max(1));
        self.anchor = calibration.anchor;
        self.put_off = false;
        self.lead.note_gop(gop);
        self.dirty = true;
        let leader = calibration.id_of_leader();
        let config = &self.config;
        let video = calibration
            .leader()
            .filter(|leader| leader.kind() == MediaKind::Video)
            .map(|leader| {
                let target = leader.rule(config, None).target;
                let target = i64::try_from(target).unwrap_or(i64::MAX);
                leader.track.timescale.to_duration(target)
            });
        for measure in calibration.tracks {
            let leads = leader == Some(measure.track.id);
            if leads || measure.is_settled() {
                let rule = measure.rule(&self.config, video.filter(|_| !leads));
                let rule = rule.rescaled(measure.track.timescale, measure.begun.timescale);
                self.add_track(measure.begun, rule, now);
            } else {
                self.late.push(measure);
            }
        }
        self.lead.primary = leader.and_then(|id| self.position(id));
        self.lead.index = self.lead.primary;
        for event in calibration.events {
            match event {
                Event::Track(track) => self.take_track(track, now),
                Event::Frame(frame) => self.take_frame(frame, now),
                Event::Discontinuity(discontinuity) => self.take_discontinuity(discontinuity, now),
                Event::Lost(skipped) => self.take_loss(skipped, now),
            }
        }
        tracing::debug!(stream = %self.key, target = ?self.target, "packaging begins");
    }

    /// A frame is about to be taken: whether it has just come, and what came before
    /// was what the bus had kept. Sound alone has no GOPs that anything waits for.
    pub(super) fn mind_backlog(&mut self, frame: &Frame, now: Instant) {
        let lead = self.lead.index.and_then(|lead| self.tracks.get(lead));
        let leads = lead.is_some_and(|lead| lead.id == frame.track);
        if self.backlog == Backlog::Reading && leads && frame.received >= now {
            self.backlog = Backlog::Over;
        }
    }

    /// Makes a track part of the window. Returns its index.
    fn add_track(&mut self, track: Arc<Track>, rule: PartRule, now: Instant) -> Option<usize> {
        let id = track.id;
        // However long a frame was once, no part is longer than a segment.
        let most = track.timescale.from_duration(self.target);
        let rule = rule.at_most(u64::try_from(most).unwrap_or(u64::MAX));
        match TrackCutter::new(track, rule, self.cut, self.clock, now) {
            Ok(cutter) => {
                self.tracks.push(cutter);
                self.dirty = true;
                Some(self.tracks.len() - 1)
            }
            Err(error) => {
                self.warn_of(id, &error, now);
                None
            }
        }
    }

    /// A frame of a track that is not part of the window: whether it is now.
    pub(super) fn admit(&mut self, frame: &Frame, now: Instant) -> Option<usize> {
        let at = self
            .late
            .iter()
            .position(|late| late.track.id == frame.track)?;
        let measure = self.late.get_mut(at)?;
        measure.push(frame);
        let video = measure.kind() == MediaKind::Video;
        if !measure.is_settled() || (video && !frame.keyframe) {
            return None;
        }
        let measure = self.late.swap_remove(at);
        let primary = self
            .lead
            .primary
            .and_then(|primary| self.tracks.get(primary));
        let led_by_video = primary.is_some_and(|primary| primary.kind == MediaKind::Video);
        let target = primary
            .filter(|_| led_by_video)
            .map(|primary| primary.part_target);
        let rule = measure.rule(&self.config, target);
        let index = self.add_track(measure.track, rule, now)?;
        if primary_gives_way(video, led_by_video) {
            self.lead_from(index, frame);
        }
        Some(index)
    }

    /// Hands the lead to a track in whose absence another one has led: its
    /// frame begins a segment.
    pub(super) fn lead_from(&mut self, index: usize, frame: &Frame) {
        let limit = self.limit();
        self.lead.primary = Some(index);
        self.lead.index = Some(index);
        let Some(track) = self.tracks.get_mut(index) else {
            return;
        };
        track.take_delay(frame);
        let time = track.time_of(frame.dts);
        if self.used {
            // What it has missed of the segment in hand ends where it begins.
            track.finish(Next::Unknown, time.saturating_sub(track.ahead()), limit);
            self.advance(time);
        }
        self.lead.watermark = time;
    }
}

/// Whether a track that joins takes the lead: the first video track does.
const fn primary_gives_way(video: bool, led_by_video: bool) -> bool {
    video && !led_by_video
}
