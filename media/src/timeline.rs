//! From the source's clock to stream time: one stage for every protocol.
//!
//! The timeline sits between a demuxer and the bus, so that no reader of the
//! bus ever sees a bad clock (MEDIA.md section 2). [`Timeline`] is pure: what
//! it knows of real time is the arrival stamped on each frame. [`crate::Feed`]
//! joins it to a publisher. Its parts: `unroll` (wraps), `era` (offsets),
//! `samples` (audio as sums of samples).

mod era;
mod samples;
#[cfg(test)]
mod tests;
mod unroll;

use std::time::{Duration, Instant};

use rillcast_core::{
    Discontinuity, DiscontinuityCause, Frame, MediaKind, Timescale, Track, TrackId, rescale,
};

use crate::SourceFrame;
use era::{Era, Placed, SECOND, Step, classify, nanos};
use samples::SampleClock;
use unroll::{Mark, distance};

/// Maps the frames of one publish from their source's clock to stream time.
///
/// The first frame of a stream stands at [`Timeline::ORIGIN`]. From there on a
/// clean publish is its input plus one constant, the same for all tracks. What
/// is not clean is mended and counted:
///
/// - A clock that **wraps** (at 24, 31 or 32 bits of milliseconds, at 33 bits
///   of 90 kHz) is unrolled. That is no repair.
/// - A forward step of more than a second to what can have arrived by now, to
///   within a second, is a **gap**: a [`Discontinuity`], times unchanged.
/// - Any other step of more than a second is a **jump**: a [`Discontinuity`],
///   and a new offset by which stream time goes on as arrival time does. The
///   first track that jumps sets it; the others join it when they jump.
/// - A small step back is **disorder**: the frame is put one tick after the
///   one before it. If more than [`DISORDER_LIMIT`] frames in a row are behind,
///   by more than arrival excuses, and no sound says otherwise, the clock was
///   set back, and that is a jump.
/// - Audio with stated durations is timed by sums of samples, and **re-anchored**
///   when the sum is off the publisher's clock by more than 40 ms for 2 s.
///
/// Decode times rise strictly within each track, whatever comes. Call
/// [`Timeline::track`] for each track before its first frame and whenever it
/// changes, then [`Timeline::push`] for each frame.
#[derive(Debug)]
pub struct Timeline {
    tracks: Vec<TrackTime>,
    /// Offsets in use or lately in use, newest last.
    eras: Vec<Era>,
    next_era: u32,
    /// Where the first frame goes, and when that is.
    begin: Begin,
    /// Discontinuities given out, so that each track knows those it has seen.
    breaks: u64,
    repairs: Repairs,
}

/// What [`Timeline::push`] made of one frame. The discontinuity, if there is
/// one, comes before the frame.
#[derive(Clone, Debug, Default)]
#[must_use]
#[non_exhaustive]
pub struct Timed {
    /// Time breaks here.
    pub discontinuity: Option<Discontinuity>,
    /// The frame on stream time; `None` if its track is unknown.
    pub frame: Option<Frame>,
}

/// What a [`Timeline`] has mended and met so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repairs {
    /// Jumps of the clock that were taken out by a new offset.
    pub jumps: u64,
    /// Frames whose decode time was not above the one before.
    pub disorder: u64,
    /// Times that a sum of samples was set anew.
    pub reanchors: u64,
    /// Tracks that began on a clock of their own and were put beside the others.
    pub strays: u64,
    /// Gaps of more than a second; no repair.
    pub gaps: u64,
    /// Wraps of the source's clock; no repair.
    pub wraps: u64,
}

impl Repairs {
    /// The number of repairs; zero for a clean publish.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.jumps + self.disorder + self.reanchors + self.strays
    }
}

/// Frames in a row that may be behind before the clock counts as set back.
pub const DISORDER_LIMIT: u32 = 3;

#[derive(Clone, Copy, Debug)]
struct Begin {
    stream: i64,
    at: Option<Instant>,
    floor: i64,
}

#[derive(Debug)]
struct TrackTime {
    id: TrackId,
    audio: bool,
    timescale: Timescale,
    last: Option<Last>,
    samples: Option<SampleClock>,
    /// Frames in a row that were behind.
    behind: u32,
    breaks: u64,
}

/// A track's last frame.
#[derive(Clone, Copy, Debug)]
struct Last {
    /// The last frame that was not behind.
    mark: Mark,
    /// Its stream time in nanoseconds.
    time: i64,
    era: Era,
    /// The last decode time given out, in ticks, and the step before it.
    dts: i64,
    step: i64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self::new()
    }
}

impl Timeline {
    /// The stream time of a stream's first frame: ten seconds, so that a track
    /// that comes later with somewhat earlier times does not fall below zero.
    /// Where players want to start at zero, this is the offset to give them
    /// (DASH: presentationTimeOffset).
    pub const ORIGIN: Duration = ORIGIN;

    /// The timeline of a stream's first publish.
    #[must_use]
    pub fn new() -> Self {
        Self::begin(Begin {
            stream: nanos(ORIGIN),
            at: None,
            floor: 0,
        })
    }

    /// The timeline of a publish that continues a stream: `time` is the end of
    /// the last frame of all tracks, in nanoseconds of stream time, and `at`
    /// its arrival. The first frame goes as far behind `time` as it arrives
    /// after `at`, a tenth of a second at least. The bus itself announces the
    /// discontinuity.
    #[must_use]
    pub fn resumed(time: i64, at: Instant) -> Self {
        Self::begin(Begin {
            stream: time,
            at: Some(at),
            floor: time,
        })
    }

    const fn begin(begin: Begin) -> Self {
        Self {
            tracks: Vec::new(),
            eras: Vec::new(),
            next_era: 0,
            begin,
            breaks: 0,
            repairs: Repairs {
                jumps: 0,
                disorder: 0,
                reanchors: 0,
                strays: 0,
                gaps: 0,
                wraps: 0,
            },
        }
    }

    /// Makes a track known, or says that its description has changed.
    pub fn track(&mut self, track: &Track) {
        let audio = track.kind() == MediaKind::Audio;
        if let Some(known) = self.tracks.iter_mut().find(|known| known.id == track.id) {
            known.audio = audio;
            if known.timescale != track.timescale {
                if let Some(last) = &mut known.last {
                    let convert = |ticks| rescale(ticks, known.timescale, track.timescale);
                    // Rounded up: the next frame must not begin before this end.
                    last.dts = convert(last.dts).saturating_add(1);
                    last.step = convert(last.step);
                }
                known.samples = None;
                known.timescale = track.timescale;
            }
            return;
        }
        self.tracks.push(TrackTime {
            id: track.id,
            audio,
            timescale: track.timescale,
            last: None,
            samples: None,
            behind: 0,
            breaks: self.breaks,
        });
    }

    /// What was mended and met so far.
    #[must_use]
    pub const fn repairs(&self) -> Repairs {
        self.repairs
    }

    /// Puts a frame on stream time. A frame of an unknown track is dropped.
    pub fn push(&mut self, frame: SourceFrame) -> Timed {
        let Some(index) = self.tracks.iter().position(|t| t.id == frame.track) else {
            return Timed::default();
        };
        let Some(track) = self.tracks.get(index) else {
            return Timed::default();
        };
        let (placed, discontinuity) = match track.last {
            None => (self.first(index, &frame), None),
            Some(last) => self.next(index, last, &frame),
        };
        let frame = self.emit(index, placed, discontinuity.is_some(), frame);
        Timed {
            discontinuity,
            frame,
        }
    }

    /// Places the first frame of a track.
    fn first(&mut self, index: usize, frame: &SourceFrame) -> Placed {
        // The one in use, which need not be the one that was found last.
        let Some(newest) = self.eras.iter().max_by_key(|era| era.mark.received) else {
            let waited = self
                .begin
                .at
                .map(|at| frame.received.saturating_duration_since(at).max(CUSHION));
            let stream = self
                .begin
                .stream
                .saturating_add(nanos(waited.unwrap_or_default()));
            return self.found(frame, stream);
        };
        let expected = newest.expected(frame.received);
        let fit = self.fit(frame, expected, LATE, None);
        fit.unwrap_or_else(|| {
            // Its clock has nothing to do with the others': put it beside them.
            self.repairs.strays += 1;
            tracing::debug!(track = index, "a track began on a clock of its own");
            self.found(frame, expected)
        })
    }

    /// Places a later frame of a track.
    fn next(
        &mut self,
        index: usize,
        last: Last,
        frame: &SourceFrame,
    ) -> (Placed, Option<Discontinuity>) {
        let clock = frame.clock;
        let unrolled = last.mark.unroll(frame.dts, clock, frame.received);
        let elapsed = last.mark.elapsed(frame.received);
        let by_samples = self.by_samples(index, frame);
        let even = Placed::new(last.era, frame, unrolled);
        let expected = last.time.saturating_add(nanos(elapsed));
        // After a stall all comes at once, and what counts is how long ago
        // frames came without delay, on whatever track.
        let era = self.eras.iter().find(|era| era.id == last.era.id);
        let latest = era.map_or(expected, |era| era.latest(frame.received));
        let explained = even.time <= latest.max(expected).saturating_add(nanos(SECOND));
        let step = unrolled.saturating_sub(last.mark.unrolled);
        let step = classify(clock.timescale().to_nanos(step), explained);
        let (behind, seen) = self
            .tracks
            .get(index)
            .map_or((0, 0), |track| (track.behind, track.breaks));
        match step {
            Step::Even => {
                if last.mark.wrapped(frame.dts, unrolled) {
                    self.repairs.wraps += 1;
                }
                // Another track may have taken a step that was too small to
                // be told from jitter here.
                if let Some(deviation) = self.deviation(index, &even)
                    && deviation > nanos(samples::TOLERANCE).unsigned_abs()
                    && let Some(placed) = self.rejoin(index, last, frame)
                {
                    return (placed, None);
                }
                (even, None)
            }
            Step::Behind if by_samples => (even, None),
            Step::Behind
                if behind < DISORDER_LIMIT
                    || expected.saturating_sub(even.time) <= nanos(SET_BACK)
                    || self.sound_holds(&even, last) =>
            {
                if let Some(placed) = self.rejoin(index, last, frame) {
                    return (placed, None);
                }
                self.repairs.disorder += 1;
                (
                    Placed {
                        behind: true,
                        ..even
                    },
                    None,
                )
            }
            Step::Gap => {
                if let Some(placed) = self.follow(last, frame) {
                    return (placed, None);
                }
                if last.mark.wrapped(frame.dts, unrolled) {
                    self.repairs.wraps += 1;
                }
                let even = Placed { anew: true, ..even };
                if seen < self.breaks {
                    // The same silence, already announced by another track.
                    return (even, None);
                }
                self.repairs.gaps += 1;
                let missing = even.time.saturating_sub(self.end(index, last));
                (even, Some(self.announce(DiscontinuityCause::Gap, missing)))
            }
            Step::Behind | Step::Jump => {
                if let Some(placed) = self.follow(last, frame) {
                    return (placed, None);
                }
                // Any offset fits a small step back to within a second.
                let tolerance = if step == Step::Jump { SECOND } else { SET_BACK };
                if let Some(placed) = self.fit(frame, expected, tolerance, Some(last.era.id)) {
                    return (
                        Placed {
                            anew: true,
                            ..placed
                        },
                        None,
                    );
                }
                self.repairs.jumps += 1;
                let end = self.end(index, last);
                let placed = self.found(frame, expected.max(end));
                let missing = placed.time.saturating_sub(end);
                let discontinuity = self.announce(DiscontinuityCause::Jump, missing);
                (
                    Placed {
                        anew: true,
                        ..placed
                    },
                    Some(discontinuity),
                )
            }
        }
    }

    /// Gives the frame its times and notes them in its track.
    fn emit(
        &mut self,
        index: usize,
        placed: Placed,
        broken: bool,
        frame: SourceFrame,
    ) -> Option<Frame> {
        let by_samples = self.by_samples(index, &frame);
        let floor = self.begin.floor;
        let track = self.tracks.get_mut(index)?;
        let time = placed.time.saturating_add(i64::from(frame.nanos));
        let stamp = track.timescale.from_nanos(time);
        let duration = i64::from(frame.duration);
        let dts = if by_samples {
            let tolerance = track.timescale.from_duration(samples::TOLERANCE);
            match &mut track.samples {
                Some(sum) if !(placed.anew && (broken || sum.off_by_more(stamp, tolerance))) => {
                    let summed = sum.push(stamp, duration, track.timescale);
                    self.repairs.reanchors += u64::from(summed.reanchored);
                    summed.dts
                }
                sum => {
                    let end = sum.map(|sum| sum.end());
                    let end = end.or(track.last.map(|last| last.dts.saturating_add(1)));
                    let floor = ceil(track.timescale, floor);
                    let first = stamp.max(end.unwrap_or(floor)).max(floor);
                    *sum = Some(SampleClock::new(first, duration));
                    first
                }
            }
        } else {
            track.samples = None;
            let least = track.last.map_or_else(
                || ceil(track.timescale, floor),
                |last| last.dts.saturating_add(1),
            );
            stamp.max(least)
        };
        let cts = rescale(
            i64::from(frame.cts),
            frame.clock.timescale(),
            track.timescale,
        );
        let pts = if by_samples {
            dts.saturating_add(cts)
        } else {
            // A decode time that was moved takes no presentation time along,
            // unless it would pass it.
            let pts = stamp.saturating_add(cts);
            if cts >= 0 { pts.max(dts) } else { pts }
        };
        let behind = placed.behind && !by_samples;
        track.behind = if behind { track.behind + 1 } else { 0 };
        track.breaks = self.breaks;
        let step = track
            .last
            .map_or(duration, |last| dts.saturating_sub(last.dts));
        track.last = Some(match track.last {
            Some(last) if behind => Last { dts, step, ..last },
            _ => Last {
                mark: placed.mark,
                time: placed.time,
                era: placed.era,
                dts,
                step: if placed.anew { duration } else { step },
            },
        });
        if let Some(era) = self.eras.iter_mut().find(|era| era.id == placed.era.id)
            && !behind
        {
            era.note(&placed, frame.clock);
        }
        Some(
            Frame::new(frame.track, dts, frame.received, frame.payload)
                .with_pts(pts)
                .with_keyframe(frame.keyframe)
                .with_duration(frame.duration),
        )
    }

    /// Whether the frame is timed by its track's sum of samples.
    fn by_samples(&self, index: usize, frame: &SourceFrame) -> bool {
        let audio = self.tracks.get(index).is_some_and(|track| track.audio);
        audio && frame.duration > 0
    }

    /// How far the publisher's clock is from the track's sum, in nanoseconds.
    fn deviation(&self, index: usize, placed: &Placed) -> Option<u64> {
        let track = self.tracks.get(index)?;
        let stamp = track.timescale.from_nanos(placed.time);
        let deviation = track.samples.as_ref()?.deviation(stamp);
        Some(track.timescale.to_nanos(deviation).unsigned_abs())
    }

    /// Whether sound by the same offset has come since the track's last good
    /// frame, agrees with its samples, and stands beside this frame: then it
    /// was that last frame that was wrong, and no clock was set back.
    fn sound_holds(&self, even: &Placed, last: Last) -> bool {
        self.tracks.iter().any(|track| {
            let held = track.samples.is_some_and(|sum| sum.is_held());
            held && track.last.is_some_and(|sound| {
                sound.era.id == last.era.id
                    && sound.mark.received > last.mark.received
                    && distance(sound.time, even.time) <= nanos(SECOND).unsigned_abs()
            })
        })
    }

    /// The end of a track's last frame, in nanoseconds of stream time.
    fn end(&self, index: usize, last: Last) -> i64 {
        let Some(track) = self.tracks.get(index) else {
            return last.time;
        };
        let end = match &track.samples {
            Some(samples) => samples.end(),
            None => last.dts.saturating_add(last.step.max(1)),
        };
        track.timescale.to_nanos(end)
    }

    /// A newer offset than the track's own under which its frame stands where
    /// the track's own time expects it to the millisecond or nearly.
    fn rejoin(&self, index: usize, last: Last, frame: &SourceFrame) -> Option<Placed> {
        let newest = self.eras.last()?;
        if newest.id == last.era.id {
            return None;
        }
        let expected = self.end(index, last);
        let placed = self.fit(frame, expected, samples::TOLERANCE, Some(last.era.id))?;
        (placed.era.id == newest.id).then_some(Placed {
            anew: true,
            ..placed
        })
    }

    /// The newest offset, other than `but`, that puts the frame within
    /// `tolerance` of `expected`.
    fn fit(
        &self,
        frame: &SourceFrame,
        expected: i64,
        tolerance: Duration,
        but: Option<u32>,
    ) -> Option<Placed> {
        let others = self.eras.iter().rev().filter(|era| Some(era.id) != but);
        others
            .map(|era| era.place(frame))
            .find(|placed| distance(placed.time, expected) <= nanos(tolerance).unsigned_abs())
    }

    /// The offset that another track was given when the clock that both share
    /// jumped, if the frame stands beside that track by it. After a stall all
    /// comes at once, and arrival would lead each track to another offset.
    fn follow(&self, last: Last, frame: &SourceFrame) -> Option<Placed> {
        let near = |a, b| distance(a, b) <= nanos(SECOND).unsigned_abs();
        let newer = self.eras.iter().rev().filter(|era| era.id > last.era.id);
        newer
            .map(|era| (era, era.place(frame)))
            .find(|(era, placed)| {
                let beside = [era.mark.received, frame.received]
                    .iter()
                    .any(|received| near(era.expected(*received), placed.time));
                beside && placed.time > last.time.saturating_sub(nanos(SECOND))
            })
            .map(|(_, placed)| Placed {
                anew: true,
                ..placed
            })
    }

    /// A new offset that puts the frame at `stream`, or up to a millisecond later.
    fn found(&mut self, frame: &SourceFrame, stream: i64) -> Placed {
        let stream = stream
            .saturating_add(MILLI - 1)
            .div_euclid(MILLI)
            .saturating_mul(MILLI);
        let mark = Mark {
            raw: frame.dts,
            unrolled: frame.dts,
            received: frame.received,
        };
        let era = Era {
            id: self.next_era,
            source: frame.clock.timescale().to_nanos(frame.dts),
            stream,
            mark,
            clock: frame.clock,
            prompt: (stream, frame.received),
        };
        self.next_era = self.next_era.wrapping_add(1);
        if self.eras.len() == MAX_ERAS {
            let used = |era: &Era| {
                let mut lasts = self.tracks.iter().filter_map(|track| track.last);
                lasts.any(|last| last.era.id == era.id)
            };
            let idle = (0..).zip(&self.eras).filter(|(_, era)| !used(era));
            let oldest = idle.min_by_key(|(_, era)| era.mark.received);
            self.eras.remove(oldest.map_or(0, |(at, _)| at));
        }
        self.eras.push(era);
        Placed::new(era, frame, frame.dts)
    }

    fn announce(&mut self, cause: DiscontinuityCause, missing: i64) -> Discontinuity {
        self.breaks += 1;
        let missing = Duration::from_nanos(u64::try_from(missing).unwrap_or(0));
        tracing::debug!(%cause, ?missing, "the publisher's clock breaks");
        Discontinuity::new(cause, missing)
    }
}

/// Nanoseconds in ticks, rounded up by at most one tick.
fn ceil(timescale: Timescale, nanos: i64) -> i64 {
    let ticks = timescale.from_nanos(nanos);
    if timescale.to_nanos(ticks) < nanos {
        ticks.saturating_add(1)
    } else {
        ticks
    }
}

const ORIGIN: Duration = Duration::from_secs(10);
const MILLI: i64 = 1_000_000;

/// A later track may differ so much from the others' clock and be believed:
/// no more than [`ORIGIN`], or it would begin below zero.
const LATE: Duration = ORIGIN;

/// The least distance of a publish from the one that it continues, so that a
/// track that begins somewhat before the first frame need not be moved.
const CUSHION: Duration = Duration::from_millis(100);

/// A clock that is no more than this behind what arrival time leads to expect
/// was not set back: GStreamer's `flvmux` gives one time to many pictures that
/// come too late for it.
const SET_BACK: Duration = Duration::from_millis(200);

/// Offsets that are remembered: the one in force, those before it that a
/// track may still be on, and one to return to after a single wild timestamp.
const MAX_ERAS: usize = 4;
