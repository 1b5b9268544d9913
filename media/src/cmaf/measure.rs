//! What is learnt of a stream before it is cut: how long its frames and GOPs
//! are, and which track leads.
//!
//! All that playlists promise for a session (target duration, part targets,
//! the date of stream time zero) is decided here, once. Until then frames are
//! kept, and are cut as if they came afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rillcast_core::{Discontinuity, Frame, MediaKind, Track, TrackId};

use super::config::CmafConfig;
use super::part::length;
use super::rule::PartRule;
use super::segmenter::is_sane;
use crate::fmp4;

/// A moment on both clocks: how arrival times become dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    wall: SystemTime,
    at: Instant,
}

impl WallClock {
    /// The wall clock showed `wall` at the moment `at`.
    #[must_use]
    pub const fn new(wall: SystemTime, at: Instant) -> Self {
        Self { wall, at }
    }

    /// What the wall clock showed, or will have shown, at `moment`.
    #[must_use]
    pub fn date(&self, moment: Instant) -> SystemTime {
        let date = match moment.checked_duration_since(self.at) {
            Some(after) => self.wall.checked_add(after),
            None => self
                .wall
                .checked_sub(self.at.saturating_duration_since(moment)),
        };
        date.unwrap_or(self.wall)
    }
}

/// What came while the stream was measured, in its order.
#[derive(Debug)]
pub(super) enum Event {
    Track(Arc<Track>),
    Frame(Frame),
    Discontinuity(Discontinuity),
    Lost(u64),
}

/// The measurements of one track.
#[derive(Debug)]
pub(super) struct Measure {
    pub(super) track: Arc<Track>,
    /// The track as its first frame needs it.
    pub(super) begun: Arc<Track>,
    /// The duration that all its frames have stated.
    stated: Option<u64>,
    first: Option<i64>,
    last: Option<i64>,
    /// The first frame since the last break, and the ticks before that without
    /// what was missing.
    since: Option<i64>,
    spanned: i64,
    key: Option<i64>,
    /// The longest distance of two keyframes, in ticks.
    gop: Option<i64>,
    durations: Vec<u64>,
    frames: u64,
}

impl Measure {
    pub(super) fn new(track: Arc<Track>) -> Self {
        Self {
            begun: Arc::clone(&track),
            track,
            stated: None,
            first: None,
            last: None,
            since: None,
            spanned: 0,
            key: None,
            gop: None,
            durations: Vec::new(),
            frames: 0,
        }
    }

    pub(super) fn kind(&self) -> MediaKind {
        self.track.kind()
    }

    /// Whether two of its keyframes have come.
    pub(super) const fn knows_gop(&self) -> bool {
        self.gop.is_some()
    }

    /// Takes a new description. Times of another timescale are measured anew.
    fn describe(&mut self, track: &Arc<Track>) {
        if self.frames == 0 {
            self.begun = Arc::clone(track);
        }
        if track.timescale != self.track.timescale {
            let begun = Arc::clone(&self.begun);
            *self = Self {
                begun,
                frames: self.frames,
                ..Self::new(Arc::clone(track))
            };
        }
        self.track = Arc::clone(track);
    }

    /// Takes note of a frame.
    pub(super) fn push(&mut self, frame: &Frame) {
        let stated = frame.duration.map(|duration| u64::from(duration.get()));
        if self.first.is_none() {
            self.stated = stated;
        } else if self.stated != stated {
            self.stated = None;
        }
        self.frames += 1;
        if let Some(last) = self.last
            && let Ok(step @ 1..) = u64::try_from(frame.dts.saturating_sub(last))
            && self.durations.len() < MEASURED
        {
            self.durations.push(step);
        }
        if frame.keyframe {
            if let Some(key) = self.key {
                let gop = frame.dts.saturating_sub(key);
                self.gop = Some(self.gop.map_or(gop, |longest| longest.max(gop)));
            }
            self.key = Some(frame.dts);
        }
        self.first.get_or_insert(frame.dts);
        self.since.get_or_insert(frame.dts);
        self.last = Some(frame.dts);
    }

    /// Forgets where it stood: the next frame is not the next in time.
    pub(super) const fn interrupt(&mut self) {
        self.spanned = self.ticks();
        self.since = None;
        self.last = None;
        self.key = None;
    }

    /// Stream time from the first frame to the last, breaks left out.
    fn span(&self) -> Duration {
        self.track.timescale.to_duration(self.ticks())
    }

    const fn ticks(&self) -> i64 {
        match (self.since, self.last) {
            (Some(since), Some(last)) => self.spanned.saturating_add(last.saturating_sub(since)),
            _ => self.spanned,
        }
    }

    /// Whether a rule would rest on enough frames.
    pub(super) const fn is_settled(&self) -> bool {
        self.stated.is_some() || self.durations.len() >= SETTLED
    }

    /// The rule for the track's parts; `video` is the part target of the
    /// stream's primary video track, which audio does not exceed.
    pub(super) fn rule(&self, config: &CmafConfig, video: Option<Duration>) -> PartRule {
        let ticks = |duration: Duration| {
            u64::try_from(self.track.timescale.from_duration(duration)).unwrap_or(0)
        };
        let audio = self.kind() == MediaKind::Audio;
        let limit = video.filter(|_| audio).map(ticks);
        let goal = ticks(config.part_duration.0);
        if let (true, Some(frame)) = (audio, self.stated) {
            return match limit {
                Some(limit) => PartRule::within(frame, limit),
                None => PartRule::nearest(frame, goal),
            };
        }
        let goal = limit.map_or(goal, |limit| goal.min(limit));
        let milli = ticks(Duration::from_millis(1)).max(1);
        let longest = ticks(config.segment_duration.0);
        PartRule::measured(&self.durations, goal, milli, longest)
    }
}

/// The frames and measurements before the first cut.
#[derive(Debug)]
pub(super) struct Calibration {
    pub(super) events: Vec<Event>,
    pub(super) bytes: u64,
    pub(super) tracks: Vec<Measure>,
    /// The date of stream time zero, by the frame that came earliest for its time.
    pub(super) anchor: Option<SystemTime>,
    /// The stream has a video track, though it may not have sent a frame yet.
    video: bool,
    /// It has a track that cannot be packaged.
    foreign: bool,
    /// Tracks that were described and have sent no frame since, and where in the
    /// events that stands: another description takes its place.
    unused: Vec<(TrackId, usize)>,
}

impl Calibration {
    pub(super) const fn new() -> Self {
        Self {
            events: Vec::new(),
            bytes: 0,
            tracks: Vec::new(),
            anchor: None,
            video: false,
            foreign: false,
            unused: Vec::new(),
        }
    }

    /// Whether all tracks that are known cannot be packaged.
    pub(super) fn is_foreign(&self) -> bool {
        self.foreign && self.tracks.is_empty()
    }

    pub(super) fn track(&mut self, track: Arc<Track>) {
        if fmp4::init(&track).is_ok() {
            self.video |= track.kind() == MediaKind::Video;
            match self
                .tracks
                .iter_mut()
                .find(|known| known.track.id == track.id)
            {
                Some(known) => known.describe(&track),
                None => self.tracks.push(Measure::new(Arc::clone(&track))),
            }
        } else {
            self.foreign = true;
            if !self.tracks.iter().any(|known| known.track.id == track.id) {
                // Nothing of it is kept, so that a stream of nothing else
                // keeps nothing.
                return;
            }
        }
        self.note(track);
    }

    /// Keeps a description.
    fn note(&mut self, track: Arc<Track>) {
        self.bytes += room_of(&track);
        let unused = self.unused.iter().find(|(id, _)| *id == track.id);
        let before = unused.and_then(|(_, at)| self.events.get_mut(*at));
        if let Some(Event::Track(before)) = before {
            self.bytes = self.bytes.saturating_sub(room_of(before));
            *before = track;
            return;
        }
        self.unused.push((track.id, self.events.len()));
        self.events.push(Event::Track(track));
    }

    /// Keeps and measures a frame; false if its track cannot be packaged.
    pub(super) fn frame(&mut self, frame: &Frame, clock: &WallClock) -> bool {
        let known = self
            .tracks
            .iter_mut()
            .find(|known| known.track.id == frame.track);
        let Some(known) = known else {
            return false;
        };
        if !is_sane(frame.dts, known.track.timescale) {
            return false;
        }
        known.push(frame);
        let time = known.track.timescale.to_nanos(frame.dts);
        let since = Duration::from_nanos(u64::try_from(time).unwrap_or(0));
        if let Some(anchor) = clock.date(frame.received).checked_sub(since) {
            self.anchor = Some(self.anchor.map_or(anchor, |earliest| earliest.min(anchor)));
        }
        self.bytes += length(frame);
        self.unused.retain(|(id, _)| *id != frame.track);
        self.events.push(Event::Frame(frame.clone()));
        true
    }

    /// Forgets all but the tracks. Returns how many frames that were.
    pub(super) fn restart(&mut self) -> u64 {
        let frames = self.events.drain(..);
        let frames = frames.filter(|event| matches!(event, Event::Frame(_)));
        let forgotten = u64::try_from(frames.count()).unwrap_or(u64::MAX);
        // What a short list needs is little; what the long one took was not.
        self.events.shrink_to(FEW_EVENTS);
        self.bytes = 0;
        self.unused.clear();
        for at in 0..self.tracks.len() {
            if let Some(measure) = self.tracks.get_mut(at) {
                let track = Arc::clone(&measure.track);
                *measure = Measure::new(Arc::clone(&track));
                self.note(track);
            }
        }
        self.anchor = None;
        forgotten
    }

    pub(super) fn interrupt(&mut self, event: Event) {
        for track in &mut self.tracks {
            track.interrupt();
        }
        self.events.push(event);
    }

    /// The track that leads: the first video track that has sent frames, else
    /// the first other one.
    pub(super) fn leader(&self) -> Option<&Measure> {
        let alive = self.tracks.iter().filter(|track| track.frames > 0);
        alive.min_by_key(|track| (track.kind() != MediaKind::Video, track.track.id))
    }

    /// Whether enough is known to begin; `knows_gop` if that is known from elsewhere.
    pub(super) fn is_ready(&self, config: &CmafConfig, knows_gop: bool) -> bool {
        let Some(leader) = self.leader() else {
            return false;
        };
        if self.bytes > config.memory.0 / 4 || self.events.len() > MOST_EVENTS {
            return true;
        }
        if leader.kind() == MediaKind::Video {
            // Parts of a length that no frames have would end a segment each.
            let settled = leader.is_settled() || leader.span() >= SLOW;
            let measured = leader.gop.is_some() || knows_gop;
            return (measured && settled) || leader.span() >= config.max_gop.0;
        }
        // Audio alone: wait a segment for video that was not described yet,
        // and as long as for a keyframe for one that was.
        let wait = if self.video {
            config.max_gop.0
        } else {
            config.segment_duration.0
        };
        leader.span() >= wait
    }

    /// The longest GOP that was seen, the last one included if none is whole.
    pub(super) fn longest_gop(&self, config: &CmafConfig) -> Duration {
        let Some(leader) = self.leader() else {
            return Duration::ZERO;
        };
        if leader.kind() != MediaKind::Video {
            return Duration::ZERO;
        }
        match leader.gop {
            Some(gop) => leader.track.timescale.to_duration(gop),
            None => leader.span().min(config.max_gop.0),
        }
    }

    pub(super) fn id_of_leader(&self) -> Option<TrackId> {
        self.leader().map(|leader| leader.track.id)
    }
}

/// What a description takes, about: its configuration, up to 32 KiB, and the rest.
fn room_of(track: &Track) -> u64 {
    let config = track.config.len() + size_of::<Track>();
    u64::try_from(config).unwrap_or(u64::MAX)
}

/// Durations that are kept of a track: more than a minute of pictures.
const MEASURED: usize = 4_096;

/// So long a GOP has few frames only where there are few.
const SLOW: Duration = Duration::from_secs(1);

/// Durations that a rule for a track that comes late rests on at least.
const SETTLED: usize = 10;

/// A list of so many is kept for what comes next.
const FEW_EVENTS: usize = 64;

/// Frames that are kept before the first cut, however small they are.
const MOST_EVENTS: usize = 1 << 15;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rillcast_core::{MediaParams, Timescale, VideoParams};

    use super::*;
    use crate::codec::{AVC, avc};

    fn described(width: u32) -> Arc<Track> {
        let record = avc::captures::bytes(avc::captures::HIGH_1080);
        let params = MediaParams::Video(VideoParams::new(width, 64));
        let track = Track::new(TrackId(0), AVC, Timescale::VIDEO, params);
        Arc::new(track.with_config(record.into()))
    }

    #[test]
    fn descriptions_without_frames_take_the_place_of_each_other() {
        let mut calibration = Calibration::new();
        for width in 0..1_000 {
            calibration.track(described(64 + width));
        }
        assert_eq!(calibration.events.len(), 1);
        let one = calibration.bytes;
        assert!(one < 1_000, "{one}");
        let clock = WallClock::new(SystemTime::UNIX_EPOCH, Instant::now());
        let frame = Frame::new(TrackId(0), 0, Instant::now(), Bytes::from_static(b"x"));
        assert!(calibration.frame(&frame, &clock));
        calibration.track(described(7));
        calibration.track(described(8));
        let [Event::Track(first), Event::Frame(_), Event::Track(second)] = &calibration.events[..]
        else {
            panic!("{:?}", calibration.events);
        };
        assert_eq!(**first, *described(1_063));
        assert_eq!(**second, *described(8));
        // What descriptions take counts like frames, against the same bound.
        assert_eq!(calibration.bytes, 2 * one + length(&frame));
        calibration.restart();
        assert_eq!((calibration.events.len(), calibration.bytes), (1, one));
    }
}
