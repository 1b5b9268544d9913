//! What the live window shows: immutable, shared, made anew for every part.
//!
//! A snapshot shares all that did not change with the one before it: segments,
//! parts and the lists of them are behind [`Arc`]s, so that publishing one
//! costs a few counters per track, however long the window is.
//! The segmenter makes snapshots ([`super::Segmenter`]), the window publishes
//! them ([`super::Window`]); playlists, manifests and recordings are pure
//! functions of them.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rillcast_core::{FrameRate, StreamKey, Timescale, Track};

use super::measure::WallClock;

/// The live window of one stream life at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The stream.
    pub key: StreamKey,
    /// The stream's session, as it stands in URLs: new for every stream life
    /// and every server start.
    pub session: Arc<str>,
    /// Where the stream is in its life.
    pub state: State,
    /// The target duration: whole seconds, one for all tracks, fixed from the
    /// first moment that [`State`] is not `Waiting`; zero before.
    pub target_duration: Duration,
    /// How much playlists list while memory allows: the window, or three target
    /// durations if that is longer. As fixed as the target duration.
    pub listing: Duration,
    /// The wall clock at stream time zero: the session's anchor. It never moves.
    pub anchor: Option<SystemTime>,
    /// The clock that dates arrivals, by which [`Snapshot::anchor`] was found.
    pub clock: WallClock,
    /// The tracks that can be played, the primary one first, then video before
    /// audio, by number. Only grows within a session.
    pub tracks: Arc<[Arc<TrackWindow>]>,
    /// What was cut, lost and mended so far.
    pub counters: Counters,
    /// Bytes of media that the window holds for viewers: initialisation
    /// segments, parts, and frames that wait to become parts.
    pub memory: u64,
}

/// Where a packaged stream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Frames are measured; there is nothing to list yet.
    Waiting,
    /// Segments are cut.
    Live,
    /// The stream has ended: what is listed is complete and stays for a while.
    Ended {
        /// When it ended.
        at: Instant,
    },
    /// The stream is not packaged.
    Refused(Refusal),
}

/// Why a stream is not packaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Three target durations of it do not fit into `cmaf.memory`.
    Memory,
    /// Three target durations of it do not fit into what other streams' windows
    /// leave of `cmaf.total_memory`.
    TotalMemory,
    /// Its time or its configuration breaks so often that three target
    /// durations of it are too many segments.
    Breaks,
    /// It has no track that CMAF can carry.
    NoTrack,
}

/// What was cut, lost and mended since the session's first frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Segments completed, of all tracks together: numbers used up.
    pub segments: u64,
    /// Discontinuities that viewers saw.
    pub discontinuities: u64,
    /// Segments that begin with a picture that is no keyframe because a GOP
    /// was longer than the target duration.
    pub long_gops: u64,
    /// Segments ended early because a part would have fallen below 85 % of its
    /// target.
    pub short_parts: u64,
    /// Stalls of a second or more that closed a segment.
    pub stalls: u64,
    /// Frames that the packager was too slow for.
    pub lost_frames: u64,
    /// Frames left out: of tracks that cannot be packaged, or before a keyframe.
    pub skipped_frames: u64,
    /// Samples whose decode time was moved to keep a law of parts or to close
    /// a hole that is shorter than a frame. Their presentation time was kept,
    /// except of audio.
    pub moved_samples: u64,
    /// Changes of a track's configuration.
    pub config_changes: u64,
}

/// One track of the window.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrackWindow {
    /// The track with its configuration in force.
    pub track: Arc<Track>,
    /// The track's name in URLs, for example `v0` or `a1`.
    pub name: Arc<str>,
    /// Whether its keyframes decide where segments begin.
    pub primary: bool,
    /// The longest that a part of this track may be, in ticks: a whole number
    /// of frames.
    pub part_target: u64,
    /// The same as a duration, fixed for the session also if the track's
    /// timescale changes.
    pub part_target_duration: Duration,
    /// The number of the first segment that playlists list.
    pub first_listed: u64,
    /// The complete segments that are held, by number without a hole. Those
    /// below [`TrackWindow::first_listed`] have left the playlists and are
    /// still served.
    pub segments: Arc<[Arc<Segment>]>,
    /// The segment that is being cut, with its parts so far; `None` until its
    /// first part is there.
    pub open: Option<Arc<Segment>>,
    /// The segment and the index of the part that is cut next.
    pub next: (u64, u32),
    /// The initialisation segments that the held segments need, by id.
    pub inits: Arc<[Arc<Init>]>,
    /// The bit rate, measured over what is held.
    pub bit_rate: BitRate,
    /// Frames per second, measured; `None` for audio.
    pub frame_rate: Option<FrameRate>,
    /// Discontinuities before the segment that is cut next.
    pub(super) discontinuities: u64,
}

/// A measured bit rate, headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BitRate {
    /// The largest of any run of segments that lasts 0.5 to 1.5 target
    /// durations (RFC 8216 section 4.3.4.2, BANDWIDTH), in bits per second.
    pub peak: u64,
    /// Of all that is held (AVERAGE-BANDWIDTH), in bits per second.
    pub average: u64,
}

/// An initialisation segment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Init {
    /// The configuration's number within its track, from 0: `{config}` in URLs.
    pub id: u32,
    /// The track with this configuration.
    pub track: Arc<Track>,
    /// ftyp and moov.
    pub bytes: Bytes,
}

/// One segment of one track.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Segment {
    /// Its number, equal for all tracks: HLS media sequence and DASH `$Number$`.
    pub number: u64,
    /// The ticks per second that its times count in.
    pub timescale: Timescale,
    /// Decode time of its first sample (tfdt), in ticks.
    pub start: i64,
    /// The sum of its samples' durations, in ticks; so far, while it is open.
    pub duration: u64,
    /// The earliest presentation time of its samples, in ticks.
    pub presentation: i64,
    /// Stream time at which its presentation begins, in nanoseconds; the
    /// program date-time is the session's anchor plus this.
    pub time: i64,
    /// Whether time or configuration break before it. The same in all tracks.
    pub discontinuity: bool,
    /// The number of discontinuities in the session up to its begin, its own
    /// included.
    pub discontinuity_sequence: u64,
    /// The id of the initialisation segment that it needs.
    pub config: u32,
    /// Whether its first sample is a keyframe.
    pub independent: bool,
    /// Whether the track has no media here while others do (EXT-X-GAP).
    pub gap: bool,
    /// Its parts; a segment's bytes are exactly theirs, one after the other.
    pub parts: Vec<Arc<Part>>,
    /// Whether all of it is there.
    pub complete: bool,
}

/// One part of a segment: a movie fragment with its samples.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Part {
    /// Its index within the segment, from 0.
    pub index: u32,
    /// Decode time of its first sample, in ticks.
    pub start: i64,
    /// The sum of its samples' durations, in ticks.
    pub duration: u64,
    /// Whether its first sample is a keyframe.
    pub independent: bool,
    /// The number of its samples.
    pub samples: u32,
    /// When its last sample arrived.
    pub received: Instant,
    /// moof and mdat header, then the payloads of the samples, each as it came
    /// from the bus.
    pub slices: Arc<[Bytes]>,
    /// The length of all slices together.
    pub bytes: u64,
}

impl State {
    /// The name that the API shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Live => "live",
            Self::Ended { .. } => "ended",
            Self::Refused(_) => "not packaged",
        }
    }
}

impl Refusal {
    /// What logs and the API say.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Memory => {
                "three target durations do not fit into cmaf.memory: raise it, or lower the bit rate or the keyframe interval"
            }
            Self::TotalMemory => {
                "other streams hold too much of cmaf.total_memory for three target durations of this one: raise it, or wait until others have ended"
            }
            Self::Breaks => "its time or configuration breaks many times a second",
            Self::NoTrack => "no track has a codec that is packaged yet: send H.264 or AAC",
        }
    }
}

impl Snapshot {
    /// The track of that name (`v0`, `a1`).
    #[must_use]
    pub fn track(&self, name: &str) -> Option<&Arc<TrackWindow>> {
        self.tracks.iter().find(|track| &*track.name == name)
    }

    /// The track that decides where segments begin.
    #[must_use]
    pub fn primary(&self) -> Option<&Arc<TrackWindow>> {
        self.tracks.iter().find(|track| track.primary)
    }

    /// Whether no more will be cut.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// The same window, ended at `at` without what has not been cut yet: what
    /// there is of each open segment becomes a segment.
    pub(super) fn cut_off(&self, at: Instant) -> Self {
        let tracks = self.tracks.iter().map(|track| {
            let mut track = TrackWindow::clone(track);
            if let Some(open) = track.open.take() {
                track.next = (open.number.saturating_add(1), 0);
                let mut whole = Segment::clone(&open);
                whole.complete = true;
                let segments = track.segments.iter().cloned();
                track.segments = segments.chain([Arc::new(whole)]).collect();
            }
            Arc::new(track)
        });
        Self {
            tracks: tracks.collect(),
            state: State::Ended { at },
            ..self.clone()
        }
    }

    /// The wall clock at which the presentation of `segment` begins.
    #[must_use]
    pub fn program_date_time(&self, segment: &Segment) -> Option<SystemTime> {
        at(self.anchor?, segment.time)
    }

    /// How long the longest listing is: for so long an ended window is kept.
    #[must_use]
    pub fn listed_duration(&self) -> Duration {
        let listed = |track: &Arc<TrackWindow>| track.listed_duration();
        self.tracks.iter().map(listed).max().unwrap_or_default()
    }
}

impl TrackWindow {
    /// The segments that playlists list: complete, oldest first.
    #[must_use]
    pub fn listed(&self) -> &[Arc<Segment>] {
        let first = self.segments.first().map_or(0, |segment| segment.number);
        let skip = usize::try_from(self.first_listed.saturating_sub(first)).unwrap_or(usize::MAX);
        self.segments.get(skip..).unwrap_or_default()
    }

    /// The sum of the durations of [`TrackWindow::listed`].
    #[must_use]
    pub fn listed_duration(&self) -> Duration {
        self.listed().iter().map(|segment| segment.length()).sum()
    }

    /// EXT-X-DISCONTINUITY-SEQUENCE: the discontinuities that have left the
    /// listing (RFC 8216 section 6.2.2). That of the next segment if nothing
    /// is listed.
    #[must_use]
    pub fn discontinuity_sequence(&self) -> u64 {
        let first = self.listed().first().or(self.open.as_ref());
        first.map_or(self.discontinuities, |segment| {
            let own = u64::from(segment.discontinuity);
            segment.discontinuity_sequence.saturating_sub(own)
        })
    }

    /// A segment by its number: listed, held or open.
    #[must_use]
    pub fn segment(&self, number: u64) -> Option<&Arc<Segment>> {
        if let Some(open) = self.open.as_ref().filter(|open| open.number == number) {
            return Some(open);
        }
        let first = self.segments.first()?.number;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        self.segments.get(index)
    }

    /// Whether a request for that segment is held while the stream lives: it is
    /// the one that is cut next, or the one after it, whose promised begin may be
    /// reached before this one's last frame.
    #[must_use]
    pub const fn expects(&self, number: u64) -> bool {
        let (next, _) = self.next;
        number == next || number == next.saturating_add(1)
    }

    /// A part by its segment's number and its index.
    #[must_use]
    pub fn part(&self, number: u64, index: u32) -> Option<&Arc<Part>> {
        let parts = &self.segment(number)?.parts;
        parts.get(usize::try_from(index).ok()?)
    }

    /// An initialisation segment by its id.
    #[must_use]
    pub fn init(&self, id: u32) -> Option<&Arc<Init>> {
        self.inits.iter().find(|init| init.id == id)
    }
}

impl Segment {
    /// Decode time at its end, in ticks.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.start.saturating_add_unsigned(self.duration)
    }

    /// Its duration.
    #[must_use]
    pub fn length(&self) -> Duration {
        ticks(self.timescale, self.duration)
    }

    /// The number of its bytes so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Its bytes: the slices of each part, uncopied.
    #[must_use]
    pub fn slices(&self) -> Arc<[Arc<[Bytes]>]> {
        self.parts.iter().map(|part| part.slices.clone()).collect()
    }
}

impl Part {
    /// Its duration, in the timescale of its segment.
    #[must_use]
    pub fn length(&self, timescale: Timescale) -> Duration {
        ticks(timescale, self.duration)
    }

    /// Decode time at its end, in ticks.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.start.saturating_add_unsigned(self.duration)
    }
}

fn ticks(timescale: Timescale, ticks: u64) -> Duration {
    timescale.to_duration(i64::try_from(ticks).unwrap_or(i64::MAX))
}

/// The wall clock `nanos` after `anchor`; `None` beyond what it can express.
fn at(anchor: SystemTime, nanos: i64) -> Option<SystemTime> {
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    if nanos < 0 {
        anchor.checked_sub(distance)
    } else {
        anchor.checked_add(distance)
    }
}
