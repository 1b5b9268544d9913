//! What of a live window goes into which file: a state machine without IO.
//!
//! [`Taker::take`] is given snapshots and says, step by step, what is to be done. A
//! file begins with a segment whose first picture is a keyframe, in all tracks, and
//! goes on for as long as the stream's time and configuration do.

mod origin;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rillcast_core::{StreamKey, Timescale};
use rillcast_media::cmaf::{Part, Segment, Snapshot, TrackWindow};
use rillcast_media::fmp4::track_id;

use crate::config::Config;
use crate::file::{Fragment, Note, head, retimed};
use crate::index::{EndCause, GapCause, TrackLine};
use crate::name::Template;
use origin::Origin;

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Step {
    Begin(Begin),
    Write(Vec<Fragment>),
    End(EndCause),
}

/// A file that begins.
#[derive(Debug)]
pub(crate) struct Begin {
    /// Its name below the recording folder, without number and extension.
    pub(crate) stem: PathBuf,
    /// The wall clock at its time zero.
    pub(crate) at: Timestamp,
    pub(crate) session: Arc<str>,
    pub(crate) head: Bytes,
    pub(crate) tracks: Vec<TrackLine>,
    /// Why something is missing before it, if something is.
    pub(crate) gap: Option<GapCause>,
}

/// Where one stream life's recording is.
#[derive(Debug)]
pub(crate) struct Taker {
    key: StreamKey,
    template: Template,
    rotation: Rotation,
    /// The first segment that has not been recorded, nor given up.
    next: u64,
    /// Whether to go on with the newest segment, and not with the oldest there is.
    newest: bool,
    gap: Option<GapCause>,
    /// Some track's first segment was waited for.
    waited: bool,
    open: Option<Open>,
    /// Fragments that could not be moved into a file's time.
    pub(crate) failed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Rotation {
    duration: Duration,
    aligned: bool,
    size: u64,
}

/// The file that is being written.
#[derive(Debug)]
struct Open {
    /// The leading track first.
    cursors: Vec<Cursor>,
    /// The last segment that is known to be this file's.
    last: u64,
    /// Why it ends behind that one, once that is known.
    ending: Option<EndCause>,
    /// When the presentation of its first picture begins.
    begun: SystemTime,
    bytes: u64,
    sequence: u32,
}

/// How far a track has been taken.
#[derive(Debug)]
struct Cursor {
    name: Arc<str>,
    scale: Timescale,
    config: u32,
    /// The file's time zero in ticks of the track.
    origin: u64,
    segment: u64,
    part: usize,
}

impl Taker {
    /// # Errors
    /// If the template cannot be used, which is checked at start-up.
    pub(crate) fn new(key: StreamKey, config: &Config) -> Result<Self, String> {
        Ok(Self {
            key,
            template: Template::parse(&config.file)?,
            rotation: Rotation {
                duration: config.rotate_duration.0,
                aligned: config.rotate_aligned,
                size: config.rotate_size.0,
            },
            next: 0,
            newest: false,
            gap: None,
            waited: false,
            open: None,
            failed: 0,
        })
    }

    /// Whether a file is being written.
    pub(crate) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether it waits for a track that is a little behind the others: then there
    /// will be something to do soon.
    pub(crate) fn is_waiting(&self) -> bool {
        let ends = |open: &Open| open.ending.is_some();
        self.open.as_ref().map_or(self.waited, ends)
    }

    /// The last step could not be done: the file is given up. What comes is recorded
    /// from the newest keyframe on.
    pub(crate) fn give_up(&mut self) {
        self.close(Some(GapCause::Disk), true);
    }

    /// The next step that `snapshot` allows; `None` until there is another one. Call
    /// it again after each step.
    pub(crate) fn take(&mut self, snapshot: &Snapshot) -> Option<Step> {
        if self.open.is_none() {
            return self.begin(snapshot).map(Step::Begin);
        }
        let fragments = self.fragments(snapshot);
        if !fragments.is_empty() {
            return Some(Step::Write(fragments));
        }
        let open = self.open.as_mut()?;
        let cause = match open.ending {
            Some(cause) => cause,
            None if snapshot.is_ended() => EndCause::Ended,
            None => return None,
        };
        let done = |cursor: &Cursor| cursor.segment > open.last;
        if open.cursors.iter().all(done) || cause == EndCause::Overload || snapshot.is_ended() {
            // Zero if nothing is missing: then the index gets no gap.
            let gap = match cause {
                EndCause::Overload => Some(GapCause::Overload),
                EndCause::Break => Some(GapCause::Break),
                _ => None,
            };
            self.close(gap, cause == EndCause::Overload);
            return Some(Step::End(cause));
        }
        None
    }

    fn close(&mut self, gap: Option<GapCause>, newest: bool) {
        if let Some(open) = self.open.take() {
            let furthest = open.cursors.iter().map(|cursor| cursor.segment).max();
            // A segment of which a part was taken is not taken again.
            let begun = open.cursors.iter().any(|cursor| cursor.part > 0);
            let next = furthest
                .unwrap_or(open.last)
                .saturating_add(u64::from(begun));
            self.next = next.max(self.next);
        }
        self.gap = gap.or(self.gap);
        self.newest = newest;
        self.waited = false;
    }

    /// Begins a file where that can be.
    fn begin(&mut self, snapshot: &Snapshot) -> Option<Begin> {
        let primary = snapshot.primary()?;
        let usable = |segment: &&Arc<Segment>| {
            segment.number >= self.next && segment.independent && !segment.parts.is_empty()
        };
        let mut segments = primary.segments.iter().chain(&primary.open).filter(usable);
        let first = if self.newest {
            segments.next_back()
        } else {
            segments.next()
        };
        let first = Arc::clone(first?);
        let number = first.number;
        let mut found = Vec::new();
        let mut missing = false;
        let others = snapshot
            .tracks
            .iter()
            .filter(|track| track.name != primary.name);
        for track in std::iter::once(primary).chain(others) {
            if !is_there(track, number) {
                continue;
            }
            let segment = track.segment(number);
            missing |= segment.is_none() && !snapshot.is_ended();
            let newest = track.inits.iter().map(|init| init.id).max();
            let config = segment.map(|segment| segment.config).or(newest)?;
            found.push((track.init(config)?, &track.name, segment));
        }
        if missing && !self.waited {
            self.waited = true;
            return None;
        }
        let segments = found.iter().filter_map(|(_, _, segment)| *segment);
        let starts: Vec<_> = segments
            .map(|segment| (segment.start, segment.timescale))
            .collect();
        let scales: Vec<_> = found
            .iter()
            .map(|(init, ..)| init.track.timescale.hz())
            .collect();
        let origin = Origin::of(&starts, &scales, missing);
        let mut cursors = Vec::new();
        let mut inits = Vec::new();
        let mut tracks = Vec::new();
        for (init, name, _) in found {
            let scale = init.track.timescale;
            inits.push(init.bytes.clone());
            tracks.push(TrackLine {
                number: track_id(init.track.id),
                timescale: scale.hz(),
                codec: Some(init.track.codec_string.clone()).filter(|codec| !codec.is_empty()),
            });
            cursors.push(Cursor {
                name: Arc::clone(name),
                scale,
                config: init.id,
                origin: origin.ticks(scale),
                segment: number,
                part: 0,
            });
        }
        let anchor = Timestamp::try_from(snapshot.anchor?).ok()?;
        let at = anchor
            .checked_add(SignedDuration::from_nanos(origin.nanos()))
            .ok()?;
        let begun = snapshot.program_date_time(&first)?;
        let note = Note {
            stream: self.key.to_string(),
            session: snapshot.session.to_string(),
            at: at.to_string(),
        };
        let head = head(&inits, &note)?;
        self.open = Some(Open {
            cursors,
            last: number,
            ending: None,
            begun,
            bytes: head.len() as u64,
            sequence: 0,
        });
        self.newest = false;
        Some(Begin {
            stem: self
                .template
                .path(&self.key, Timestamp::try_from(begun).unwrap_or(at)),
            at,
            session: Arc::clone(&snapshot.session),
            head,
            tracks,
            gap: self.gap.take(),
        })
    }

    /// What has come for the open file, in the order of its times.
    fn fragments(&mut self, snapshot: &Snapshot) -> Vec<Fragment> {
        let mut taken = Vec::new();
        let Some(open) = &mut self.open else {
            return Vec::new();
        };
        loop {
            let last = open.last;
            for cursor in &mut open.cursors {
                if !cursor.advance(snapshot, last, &mut taken) {
                    open.ending = Some(EndCause::Overload);
                }
            }
            if open.ending.is_some() || !open.decide(snapshot, self.rotation) {
                break;
            }
        }
        taken.sort_by_key(|taken| taken.start);
        let mut fragments = Vec::with_capacity(taken.len());
        for Taken {
            start: _,
            origin,
            scale,
            part,
        } in taken
        {
            let sequence = open.sequence.wrapping_add(1);
            let header = part
                .slices
                .first()
                .and_then(|header| retimed(header, sequence, origin));
            let Some(header) = header else {
                self.failed += 1;
                continue;
            };
            open.sequence = sequence;
            open.bytes += part.bytes;
            let mut slices = Vec::with_capacity(part.slices.len());
            slices.push(header);
            slices.extend(part.slices.iter().skip(1).cloned());
            let end = part.end().saturating_sub_unsigned(origin);
            fragments.push(Fragment {
                slices,
                until: scale.to_duration(end),
            });
        }
        fragments
    }
}

/// A part that has come, of a track whose file begins at `origin`.
struct Taken {
    /// In nanoseconds of stream time.
    start: i64,
    origin: u64,
    scale: Timescale,
    part: Arc<Part>,
}

impl Open {
    /// Whether the segment behind the last one is this file's too; if not, it ends.
    /// `false` as long as nobody can say.
    fn decide(&mut self, snapshot: &Snapshot, rotation: Rotation) -> bool {
        let number = self.last.saturating_add(1);
        let Some(leading) = self.cursors.first() else {
            return false;
        };
        let Some(track) = snapshot.track(&leading.name) else {
            return false;
        };
        if leading.segment < number {
            return false;
        }
        let Some(segment) = track.segment(number) else {
            // Gone already: the cursors will find it.
            let gone = track.next.0 > number;
            self.last += u64::from(gone);
            return gone;
        };
        let other = leading.differs(segment);
        let ending = if segment.discontinuity && !other {
            Some(EndCause::Break)
        } else if other {
            Some(EndCause::Configuration)
        } else if !segment.independent {
            None
        } else if self.is_full(snapshot, segment, rotation) {
            Some(EndCause::Rotated)
        } else if snapshot
            .tracks
            .iter()
            .any(|track| is_there(track, number) && !self.knows(track))
        {
            Some(EndCause::Configuration)
        } else {
            None
        };
        self.ending = ending;
        self.last += u64::from(ending.is_none());
        ending.is_none()
    }

    fn knows(&self, track: &TrackWindow) -> bool {
        self.cursors.iter().any(|cursor| cursor.name == track.name)
    }

    /// Whether the file is to end before `segment`.
    fn is_full(&self, snapshot: &Snapshot, segment: &Segment, rotation: Rotation) -> bool {
        if rotation.size > 0 && self.bytes >= rotation.size {
            return true;
        }
        let Some(now) = snapshot.program_date_time(segment) else {
            return false;
        };
        let duration = rotation.duration;
        if duration.is_zero() {
            return false;
        }
        if rotation.aligned {
            return turn(now, duration) != turn(self.begun, duration);
        }
        now.duration_since(self.begun)
            .is_ok_and(|length| length >= duration)
    }
}

impl Cursor {
    /// Takes what there is up to the segment `last`. `false` if the window has let go
    /// of something before it was taken, or it has become another track.
    fn advance(&mut self, snapshot: &Snapshot, last: u64, taken: &mut Vec<Taken>) -> bool {
        let Some(track) = snapshot.track(&self.name) else {
            return true;
        };
        while self.segment <= last {
            let Some(segment) = track.segment(self.segment) else {
                if track.next.0 <= self.segment {
                    return true;
                }
                // A track that joined behind it never had it.
                let held = |track: &Arc<TrackWindow>| track.segment(self.segment).is_some();
                if self.part > 0 || !snapshot.tracks.iter().any(held) {
                    return false;
                }
                self.segment += 1;
                continue;
            };
            if !segment.parts.is_empty() && self.differs(segment) {
                return false;
            }
            for part in segment.parts.iter().skip(self.part) {
                taken.push(Taken {
                    start: self.scale.to_nanos(part.start),
                    origin: self.origin,
                    scale: self.scale,
                    part: Arc::clone(part),
                });
            }
            self.part = segment.parts.len();
            if !segment.complete {
                return true;
            }
            self.segment += 1;
            self.part = 0;
        }
        true
    }

    /// Whether the segment needs another head than the file has.
    fn differs(&self, segment: &Segment) -> bool {
        segment.config != self.config || segment.timescale != self.scale
    }
}

/// Whether a track has that segment, or will have it, as far as anybody can say.
fn is_there(track: &TrackWindow, number: u64) -> bool {
    !track.inits.is_empty() && (track.segment(number).is_some() || track.next.0 <= number)
}

/// How many times `duration` lies between 1970 and `time`.
fn turn(time: SystemTime, duration: Duration) -> u128 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    since.as_nanos() / duration.as_nanos().max(1)
}
