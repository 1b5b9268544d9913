//! From a stream of audio frames to frames with times.
//!
//! The codec's framer finds the frames, wherever PES packets begin and end;
//! here each gets its time: the first that begins in a PES packet has the
//! packet's, the others follow by their samples.

mod adts;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use rillcast_core::{Track, TrackId};

use super::Counts;
use super::pes::{CYCLE, Stamp};
use adts::AudioUnit;
pub(super) use adts::Framer;

/// A frame with its times.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) payload: Bytes,
    /// In ticks of 90 kHz, possibly wrapped.
    pub(super) pts: i64,
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
    rate: u32,
    /// Bytes of a frame, over the last frames.
    size: u32,
    /// Samples of the last frame.
    samples: u32,
}

/// The last time that the stream stated, and what has come since.
#[derive(Clone, Copy, Debug)]
struct Base {
    pts: i64,
    samples: u64,
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
            size: 0,
            samples: 0,
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
        while let Some(unit) = self.framer.next_unit() {
            self.emit(unit, received, counts, out);
        }
    }

    /// About so many bytes are missing here.
    pub(super) fn lose(&mut self, bytes: u32, counts: &mut Counts) {
        self.framer.lost();
        // The frame that was hit, and those that were lost whole: how many, is
        // known for sure with the next PES packet.
        if let Some(base) = &mut self.base
            && self.size > 0
        {
            let frames = (bytes / self.size).max(1);
            counts.damaged_units += u64::from(frames);
            let samples = u64::from(self.samples);
            base.samples = base.samples.saturating_add(samples * u64::from(frames));
        }
    }

    fn emit(
        &mut self,
        unit: AudioUnit,
        received: Instant,
        counts: &mut Counts,
        out: &mut impl FnMut(Output),
    ) {
        while let Some((_, pts)) = self.marks.pop_front_if(|(at, _)| *at <= unit.at) {
            self.base = Some(Base { pts, samples: 0 });
        }
        if unit.changed
            && let Some(track) = self.framer.track(self.id)
        {
            self.rate = track.timescale.hz();
            out(Output::Track(track));
        }
        let (Some(base), true) = (&mut self.base, self.rate > 0) else {
            counts.useless_units += 1;
            return;
        };
        let ticks = u128::from(base.samples) * 90_000 / u128::from(self.rate);
        let ticks = i64::try_from(ticks).unwrap_or(0);
        base.samples = base.samples.saturating_add(u64::from(unit.samples));
        self.samples = unit.samples;
        let size = u32::try_from(unit.payload.len()).unwrap_or(u32::MAX);
        self.size = match self.size {
            0 => size,
            mean => mean - mean / 8 + size / 8,
        };
        counts.units += 1;
        out(Output::Unit(Unit {
            payload: unit.payload,
            pts: base.pts.wrapping_add(ticks).rem_euclid(CYCLE),
            samples: unit.samples,
            received,
        }));
    }
}
