//! Frames in, segments and parts out: the cut that all egresses share.
//!
//! [`Segmenter`] is the state machine behind the live window: it holds the
//! rules of MEDIA.md section 3 across the tracks. One track alone is cut by
//! [`super::track`], its parts by [`super::part`]; what must be known first is
//! measured in [`super::measure`]; what is listed and held is decided in
//! [`super::listing`]. What the leading track decides is in `lead`, what follows a
//! stall or a break in `breaks`, how tracks join in `join`, and what becomes of a
//! stream that is too large in `refusal`; how much it may hold, in `room`; which
//! tracks are left out, in `foreign`; what it does while nobody watches, in `pause`.

mod breaks;
mod foreign;
mod join;
mod lead;
mod pause;
mod refusal;
mod room;

pub use foreign::not_packaged;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rillcast_core::{
    Discontinuity, DiscontinuityCause, Frame, Interest, MediaKind, StreamKey, Timescale, Track,
};

use super::budget::Grant;
use super::config::CmafConfig;
use super::listing::Listing;
use super::measure::{Calibration, Event, Measure, WallClock};
use super::part::Next;
use super::snapshot::{Counters, Refusal, Snapshot, State};
use super::track::{Cut, TrackCutter};
use crate::fmp4;
use foreign::Foreign;
use lead::Lead;
use pause::Kept;

/// Cuts one stream, for as long as it lives.
///
/// Give it what a subscription yields, in its order: [`track`](Self::track),
/// [`frame`](Self::frame), [`discontinuity`](Self::discontinuity),
/// [`lost`](Self::lost), at last [`end`](Self::end); and call
/// [`on_deadline`](Self::on_deadline) when [`deadline`](Self::deadline) has
/// passed. After each of them [`snapshot`](Self::snapshot) gives what viewers
/// are to see, if that has changed. `now` must not go back.
#[derive(Debug)]
pub struct Segmenter {
    key: StreamKey,
    session: Arc<str>,
    config: CmafConfig,
    clock: WallClock,
    phase: Phase,
    tracks: Vec<TrackCutter>,
    /// Tracks that came after the first cut and are measured.
    late: Vec<Measure>,
    /// The segment that is being cut, or is cut next.
    cut: Cut,
    /// Some track has media in it.
    used: bool,
    lead: Lead,
    target: Duration,
    anchor: Option<SystemTime>,
    listing: Listing,
    /// What it may hold, of what all streams may together.
    grant: Arc<Grant>,
    /// There was no room to measure the stream.
    put_off: bool,
    /// The length of a GOP that the bus has seen before the first frame came here.
    known_gop: Option<Duration>,
    /// Where it is with what had come before anybody watched.
    backlog: Backlog,
    counters: Counters,
    ended: Option<Instant>,
    dirty: bool,
    /// When the log was last told of a track that cannot be packaged.
    warned: Option<Instant>,
    /// Tracks that are left out, since CMAF does not carry their codec here.
    foreign: Foreign,
}

/// What the bus had kept for who comes, as far as it makes the first segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backlog {
    /// There is none, or it has its segment.
    Done,
    /// Its frames are being read.
    Reading,
    /// The next frame of the leading track is one that has just come.
    Over,
}

#[derive(Debug)]
enum Phase {
    Measuring(Calibration),
    Cutting,
    /// Nobody watches.
    Paused(Kept),
    Refused {
        why: Refusal,
        /// What has come since, to see whether the stream would fit now.
        bytes: u64,
        since: Option<i64>,
    },
}

impl Segmenter {
    /// A segmenter for one life of a stream. `clock` is any moment on both
    /// clocks: it makes dates of arrival times. `cmaf.total_memory` does not
    /// bind it: that binds the windows of a [`Store`](super::Store).
    #[must_use]
    pub fn new(key: StreamKey, session: &str, config: CmafConfig, clock: WallClock) -> Self {
        Self {
            key,
            session: session.into(),
            listing: Listing::new(&config),
            config,
            clock,
            phase: Phase::Measuring(Calibration::new()),
            tracks: Vec::new(),
            late: Vec::new(),
            cut: FIRST,
            used: false,
            lead: Lead::default(),
            target: Duration::ZERO,
            anchor: None,
            grant: Arc::new(Grant::unlimited()),
            put_off: false,
            known_gop: None,
            backlog: Backlog::Done,
            counters: Counters::default(),
            ended: None,
            dirty: true,
            warned: None,
            foreign: Foreign::default(),
        }
    }

    /// The same for a stream whose GOPs are known to be of that length: it need not
    /// wait for the end of one. What had come before then makes the first segment at
    /// once, so that who has just come need not wait either.
    #[must_use]
    pub(super) fn with_known_gop(mut self, gop: Duration) -> Self {
        self.known_gop = (!gop.is_zero()).then_some(gop.min(self.config.max_gop.0));
        self
    }

    /// A track's description: before its first frame, and when it changes.
    pub fn track(&mut self, track: Arc<Track>, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        self.foreign.look_at(&self.key, &track);
        if let Phase::Measuring(calibration) = &mut self.phase {
            calibration.track(track);
            self.dirty = true;
            return;
        }
        let known = self.position(track.id).and_then(|at| self.tracks.get(at));
        if known.is_none_or(|known| **known.track() != *track) {
            self.forget_kept();
        }
        self.take_track(track, now);
    }

    /// A frame.
    pub fn frame(&mut self, frame: &Frame, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        match &mut self.phase {
            Phase::Measuring(calibration) => {
                if !calibration.frame(frame, &self.clock) {
                    self.counters.skipped_frames += 1;
                } else {
                    let ready = calibration.is_ready(&self.config, self.known_gop.is_some());
                    if self.has_room_to_measure() && ready {
                        self.start(now);
                    }
                }
            }
            Phase::Cutting => {
                self.mind_backlog(frame, now);
                self.take_frame(frame.clone(), now);
            }
            Phase::Paused(_) => self.keep(frame),
            Phase::Refused { .. } => self.look_again(frame, now),
        }
    }

    /// A break in the stream's time or origin.
    pub fn discontinuity(&mut self, discontinuity: Discontinuity, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        match &mut self.phase {
            Phase::Measuring(calibration) => {
                calibration.interrupt(Event::Discontinuity(discontinuity));
            }
            Phase::Cutting => self.take_discontinuity(discontinuity, now),
            Phase::Paused(_) => self.forget_kept(),
            Phase::Refused { .. } => {}
        }
    }

    /// The packager was too slow, and `skipped` frames are missing.
    pub fn lost(&mut self, skipped: u64, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        match &mut self.phase {
            Phase::Measuring(calibration) => calibration.interrupt(Event::Lost(skipped)),
            Phase::Cutting => self.take_loss(skipped, now),
            Phase::Paused(_) => self.forget_kept(),
            Phase::Refused { .. } => {}
        }
    }

    /// The stream has ended: whatever is open is completed.
    pub fn end(&mut self, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        if let Phase::Measuring(calibration) = &self.phase
            && calibration.leader().is_some()
        {
            self.start(now);
        }
        if matches!(self.phase, Phase::Cutting) {
            self.close_all(now);
            self.tidy();
        }
        // It grows no more.
        self.grant.keep(self.memory());
        self.ended = Some(now);
        self.dirty = true;
    }

    /// When [`on_deadline`](Self::on_deadline) is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Cutting if self.ended.is_none() => self.next_stall(),
            _ => None,
        }
    }

    /// The frames that may make a difference to viewers: those that complete a
    /// part. Others can wait until one of these comes.
    #[must_use]
    pub fn interest(&self) -> Interest {
        let everything = Interest::everything();
        if self.is_paused() && self.ended.is_none() {
            return self.interest_in_pause();
        }
        if !matches!(self.phase, Phase::Cutting) || self.ended.is_some() || !self.late.is_empty() {
            return everything;
        }
        let mut interest = everything;
        for (index, track) in self.tracks.iter().enumerate() {
            let video = track.kind == MediaKind::Video;
            // Keyframes apart, this is when the leading track ends a segment.
            let longest = match self.lead.index == Some(index) {
                true if video => self.target,
                true => self.config.segment_duration.0,
                false => Duration::MAX,
            };
            match track.next_part(longest) {
                Some(dts) => interest = interest.in_track_from(track.id, dts, video),
                None => return everything,
            }
        }
        // What is left out wakes nobody.
        let foreign = self.foreign.tracks();
        foreign.fold(interest, |interest, id| {
            interest.in_track_from(id, i64::MAX, false)
        })
    }

    /// Time has passed without a frame.
    pub fn on_deadline(&mut self, now: Instant) {
        if self.ended.is_none() && matches!(self.phase, Phase::Cutting) {
            self.take_stalls(now);
            self.tidy();
        }
    }

    /// What viewers are to see, if it has changed since this was last called.
    pub fn snapshot(&mut self) -> Option<Arc<Snapshot>> {
        let changed = self.tracks.iter().any(TrackCutter::is_changed);
        if !std::mem::take(&mut self.dirty) && !changed {
            return None;
        }
        Some(self.snapshot_now())
    }

    /// What viewers are to see.
    pub(super) fn snapshot_now(&mut self) -> Arc<Snapshot> {
        let (primary, first, target) = (self.lead.primary, self.listing.first, self.target);
        let mut tracks: Vec<_> = self
            .tracks
            .iter_mut()
            .enumerate()
            .map(|(index, track)| {
                let key = (
                    primary != Some(index),
                    track.kind != MediaKind::Video,
                    track.id,
                );
                (key, track.view(primary == Some(index), first, target))
            })
            .collect();
        tracks.sort_by_key(|(key, _)| *key);
        let mut counters = self.counters;
        for track in &self.tracks {
            counters.moved_samples += track.cutter.moved;
            counters.lost_frames += track.failed;
        }
        Arc::new(Snapshot {
            key: self.key.clone(),
            session: Arc::clone(&self.session),
            state: self.state(),
            target_duration: self.target,
            listing: self.config.window.0.max(self.target * 3),
            anchor: self.anchor,
            clock: self.clock,
            tracks: tracks.into_iter().map(|(_, view)| view).collect(),
            counters,
            memory: self.memory(),
        })
    }

    fn state(&self) -> State {
        match (&self.phase, self.ended) {
            (_, Some(at)) => State::Ended { at },
            (Phase::Measuring(calibration), None) if calibration.is_foreign() => {
                State::Refused(Refusal::NoTrack)
            }
            (Phase::Measuring(_), None) if self.put_off => State::Refused(Refusal::TotalMemory),
            (Phase::Measuring(_), None) => State::Waiting,
            (Phase::Cutting | Phase::Paused(_), None) => State::Live,
            (Phase::Refused { why, .. }, None) => State::Refused(*why),
        }
    }

    /// The longest that a segment may get: its EXTINF must round to at most
    /// the target duration.
    fn limit(&self) -> Duration {
        self.target + HARD_SLACK
    }

    /// Tells the log of a track that cannot be packaged: once a minute, since a
    /// publisher can change its configuration with every message.
    fn warn_of(&mut self, track: rillcast_core::TrackId, error: &fmp4::Error, now: Instant) {
        let soon = |at| now.saturating_duration_since(at) < WARN_PERIOD;
        if self.warned.is_none_or(|at| !soon(at)) {
            self.warned = Some(now);
            tracing::warn!(stream = %self.key, %track, %error, "a track cannot be packaged");
        }
    }

    fn position(&self, id: rillcast_core::TrackId) -> Option<usize> {
        self.tracks.iter().position(|track| track.id == id)
    }

    fn take_track(&mut self, track: Arc<Track>, _now: Instant) {
        if let Some(index) = self.position(track.id) {
            let Some(known) = self.tracks.get_mut(index) else {
                return;
            };
            if **known.track() == *track {
                known.changed = None;
                known.unusable = false;
            } else if known.needs_init(&track) {
                known.changed = Some(track);
            } else {
                known.changed = None;
                known.describe(track);
                self.dirty = true;
            }
            return;
        }
        if fmp4::init(&track).is_err() {
            return;
        }
        match self.late.iter_mut().find(|late| late.track.id == track.id) {
            Some(late) => *late = Measure::new(track),
            None => self.late.push(Measure::new(track)),
        }
    }

    fn take_frame(&mut self, frame: Frame, now: Instant) {
        let index = match self.position(frame.track) {
            Some(index) => Some(index),
            None => self.admit(&frame, now),
        };
        let Some(index) = index else {
            self.counters.skipped_frames += 1;
            return;
        };
        if !self.is_usable(index, &frame) {
            self.counters.skipped_frames += 1;
            return;
        }
        self.arrive(index, now);
        let usable = |track: &TrackCutter| track.can_use(&frame);
        if !self.tracks.get(index).is_some_and(usable) {
            self.pass_over(index, &frame);
            self.tidy();
            return;
        }
        self.join_in(index, &frame, now);
        let Some(track) = self.tracks.get_mut(index) else {
            return;
        };
        let leads = self.lead.index == Some(index);
        if leads && track.cuts.is_empty() && track.waiting.is_empty() {
            self.lead_frame(index, frame);
            self.drain_all();
        } else {
            track.wait(frame);
            self.drain(index);
        }
        self.tidy();
    }

    /// Whether a frame can have a place in its track. From a timeline, all have.
    fn is_usable(&self, index: usize, frame: &Frame) -> bool {
        self.tracks.get(index).is_some_and(|track| {
            let scale = track.track().timescale;
            let back = track.cutter.end().saturating_sub(frame.dts);
            is_sane(frame.dts, scale) && back <= scale.from_duration(breaks::LONGEST_STEP)
        })
    }

    /// Gives the frames that wait to the segments that they belong to.
    fn drain_all(&mut self) {
        for index in 0..self.tracks.len() {
            self.drain(index);
        }
    }

    fn drain(&mut self, index: usize) {
        let (limit, watermark) = (self.limit(), self.lead.watermark);
        let Some(track) = self.tracks.get_mut(index) else {
            return;
        };
        while let Some(front) = track.waiting.front() {
            let (dts, time) = (front.dts, track.time_of(front.dts));
            if let Some(cut) = track.cuts.front().copied()
                && reaches(track.kind, front.keyframe, time, cut.time)
            {
                track.cuts.pop_front();
                track.finish(Next::Edge(dts), cut.time, limit);
                track.begin(cut);
                continue;
            }
            let full = track.waiting.len() > MOST_WAITING;
            if time >= watermark && !full {
                break;
            }
            let Some(frame) = track.next_waiting() else {
                break;
            };
            let _ = track.take(frame, false, limit);
            self.used |= track.cut == self.cut;
        }
    }

    /// The segment after the current one begins at `time`, in nanoseconds of
    /// stream time in presentation. The leading track has ended its own.
    fn advance(&mut self, time: i64) {
        self.next_number(time, false);
        let limit = self.limit();
        // A track that is silent may go on with frames from here.
        let lead = self.lead.index.and_then(|lead| self.tracks.get(lead));
        let reached = time.saturating_sub(lead.map_or(0, TrackCutter::ahead));
        for (index, track) in self.tracks.iter_mut().enumerate() {
            if self.lead.index == Some(index) {
                if !track.is_open() {
                    track.begin(self.cut);
                }
            } else if track.is_absent() && track.waiting.is_empty() {
                while let Some(cut) = track.cuts.pop_front() {
                    track.finish(Next::Unknown, cut.time, limit);
                    track.begin(cut);
                }
                track.finish(Next::Unknown, reached, limit);
                track.begin(self.cut);
            } else {
                track.cuts.push_back(self.cut);
                if track.cuts.len() > MOST_CUTS
                    && let Some(cut) = track.cuts.pop_front()
                {
                    track.finish(Next::Unknown, cut.time, limit);
                    track.begin(cut);
                }
            }
        }
    }

    fn next_number(&mut self, time: i64, discontinuity: bool) {
        self.cut = Cut {
            number: self.cut.number + 1,
            time,
            discontinuity,
            sequence: self.cut.sequence + u64::from(discontinuity),
        };
        self.used = false;
        self.counters.segments += 1;
        self.dirty = true;
    }

    fn take_discontinuity(&mut self, discontinuity: Discontinuity, now: Instant) {
        let rekey = matches!(
            discontinuity.cause,
            DiscontinuityCause::Reconnect | DiscontinuityCause::Takeover
        );
        self.break_off(now, rekey);
        self.tidy();
    }

    fn take_loss(&mut self, skipped: u64, now: Instant) {
        self.counters.lost_frames += skipped;
        self.break_off(now, true);
        self.tidy();
    }
}

/// Whether a decode time can stand in a file: not below zero, and within the
/// lifetime of a clock of nanoseconds. A timeline yields no others, but third
/// parties may publish without one.
pub(super) fn is_sane(dts: i64, scale: Timescale) -> bool {
    (0..i64::from(scale.hz()) << 31).contains(&dts)
}

/// Whether a track's cut comes before its frame at `time`, if the leading
/// track's is at `cut`. Another video track is cut at its own keyframe where
/// that is near.
const fn reaches(kind: MediaKind, keyframe: bool, time: i64, cut: i64) -> bool {
    match kind {
        MediaKind::Video if keyframe => time.saturating_add(NEAR) >= cut,
        MediaKind::Video => time >= cut.saturating_add(NEAR),
        _ => time >= cut,
    }
}

/// The first segment of a session.
const FIRST: Cut = Cut {
    number: 1,
    time: i64::MIN,
    discontinuity: false,
    sequence: 0,
};

/// A segment may be so much longer than the target duration at the very most:
/// its EXTINF, rounded, must not be (RFC 8216 section 4.3.3.1).
const HARD_SLACK: Duration = Duration::from_millis(450);

/// A stream whose tracks cannot be packaged costs a line of the log in this time.
const WARN_PERIOD: Duration = Duration::from_secs(60);

/// How far the keyframes of two video tracks may be apart, in nanoseconds, to
/// begin the same segment.
const NEAR: i64 = 100_000_000;

/// Frames of one track that may wait for the leading track to pass them.
const MOST_WAITING: usize = 4_096;

/// Segments that a track may be behind the leading one.
const MOST_CUTS: usize = 64;
