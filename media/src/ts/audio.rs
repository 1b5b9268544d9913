//! From a stream of audio frames to frames with times.
//!
//! The codec's framer finds the frames, wherever PES packets begin and end;
//! here each gets its time: the first that begins in a PES packet has the
//! packet's, the others follow by their samples.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use rillcast_core::{Track, TrackId};

use super::Counts;
use super::pes::{CYCLE, Stamp};
use crate::codec::framer::{AudioUnit, Framer};

/// A frame with its times.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) payload: Bytes,
    /// In ticks of 90 kHz, possibly wrapped.
    pub(super) pts: i64,
    /// The time stood in the stream.
    pub(super) own_time: bool,
    /// In ticks of the track.
    pub(super) samples: u32,
    pub(super) received: Instant,
}

/// What an audio stream yields.
#[derive(Debug)]
pub(super) enum Output {
    Track(Track),
    Unit(Unit),
}

/// Makes frames of one stream's bytes.
#[derive(Debug)]
pub(super) struct Audio {
    framer: Framer,
    id: TrackId,
    /// Bytes of the stream so far.
    position: u64,
    /// Where PES packets began whose first frame has not come yet, and their
    /// times.
    marks: VecDeque<(u64, i64)>,
    base: Option<Base>,
    /// Ticks per second of the track.
    rate: u32,
    /// Where the last frame began; and of the last ones, how many bytes there
    /// are from one to the next.
    last: Option<u64>,
    spacing: u64,
    /// Samples of the last frame.
    samples: u32,
    /// Bytes that were lost since the last frame, about; and of how many
    /// frames that are lost the time is known.
    lost: Option<Lost>,
}

/// The last time that the stream stated, and the samples from there to the
/// next frame.
#[derive(Clone, Copy, Debug)]
struct Base {
    pts: i64,
    samples: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    bytes: u64,
    /// Frames of which the beginning is known.
    begun: u64,
}

/// PES packets that may begin within one frame. The longest frame takes 8 KiB.
const MARKS: usize = 64;

impl Audio {
    pub(super) fn new(framer: Framer, id: TrackId) -> Self {
        Self {
            framer,
            id,
            position: 0,
            marks: VecDeque::new(),
            base: None,
            rate: 0,
            last: None,
            spacing: 0,
            samples: 0,
            lost: None,
        }
    }

    /// A PES packet begins.
    pub(super) fn begin(&mut self, stamp: Option<Stamp>) {
        if let Some(stamp) = stamp {
            if self.marks.len() == MARKS {
                self.marks.pop_front();
            }
            self.marks.push_back((self.position, stamp.pts));
        }
    }

    /// The next bytes of the stream.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        received: Instant,
        counts: &mut Counts,
        out: &mut impl FnMut(Output),
    ) {
        self.position += bytes.len() as u64;
        self.framer.push(bytes);
        self.drain(received, counts, out);
    }

    fn drain(&mut self, received: Instant, counts: &mut Counts, out: &mut impl FnMut(Output)) {
        while let Some(unit) = self.framer.next_unit() {
            self.emit(unit, received, counts, out);
        }
    }

    /// About so many bytes are missing here.
    pub(super) fn lose(
        &mut self,
        bytes: u32,
        received: Instant,
        counts: &mut Counts,
        out: &mut impl FnMut(Output),
    ) {
        self.framer.lost();
        // What was waited with until now still has the times that came with it.
        self.drain(received, counts, out);
        let lost = self.lost.get_or_insert_default();
        lost.bytes = lost.bytes.saturating_add(u64::from(bytes));
        // The frame that the last PES packet's times belong to is lost.
        if let Some((at, pts)) = self.marks.pop_back() {
            self.marks.clear();
            self.last = Some(at);
            lost.bytes = u64::from(bytes);
            lost.begun += 1;
            self.base = Some(Base {
                pts,
                samples: u64::from(self.samples),
            });
        }
    }

    /// What was said to be missing was not.
    pub(super) const fn lost_nothing(&mut self) {
        if let Some(lost) = &mut self.lost {
            lost.bytes = 0;
        }
    }

    fn emit(
        &mut self,
        unit: AudioUnit,
        received: Instant,
        counts: &mut Counts,
        out: &mut impl FnMut(Output),
    ) {
        if unit.changed
            && let Some(track) = self.framer.track(self.id)
        {
            self.rate = track.timescale.hz();
            out(Output::Track(track));
        }
        self.samples = unit.samples;
        self.reckon(unit.at, counts);
        let mut own_time = false;
        while let Some((_, pts)) = self.marks.pop_front_if(|(at, _)| *at <= unit.at) {
            self.base = Some(Base { pts, samples: 0 });
            own_time = true;
        }
        let (Some(base), true) = (&mut self.base, self.rate > 0) else {
            counts.useless_units += 1;
            return;
        };
        let ticks = u128::from(base.samples) * 90_000 / u128::from(self.rate);
        let ticks = i64::try_from(ticks).unwrap_or(0);
        base.samples = base.samples.saturating_add(u64::from(unit.samples));
        counts.units += 1;
        out(Output::Unit(Unit {
            payload: unit.payload,
            pts: base.pts.wrapping_add(ticks).rem_euclid(CYCLE),
            own_time,
            samples: unit.samples,
            received,
        }));
    }

    /// A frame begins at `at`. How many were lost before it is reckoned from
    /// the bytes, so that those that follow keep their times; the next PES
    /// packet says it for sure.
    fn reckon(&mut self, at: u64, counts: &mut Counts) {
        let way = self.last.map(|last| at.saturating_sub(last));
        self.last = Some(at);
        let Some(way) = way else {
            self.lost = None;
            return;
        };
        let Some(lost) = self.lost.take() else {
            self.spacing = match self.spacing {
                0 => way,
                mean => mean - mean / 8 + way / 8,
            };
            return;
        };
        let whole = match self.spacing {
            0 => 1,
            mean => (way.saturating_add(lost.bytes) + mean / 2) / mean,
        };
        let least = u64::from(lost.begun == 0);
        let frames = whole.saturating_sub(1).clamp(least, MAX_LOST);
        counts.damaged_units += frames + lost.begun;
        if let Some(base) = &mut self.base {
            let samples = u64::from(self.samples);
            base.samples = base.samples.saturating_add(samples * frames);
        }
    }
}

/// So many frames are reckoned to be lost at once at most: continuity counters
/// show no more than fifteen packets, each with a dozen frames at most.
const MAX_LOST: u64 = 180;
