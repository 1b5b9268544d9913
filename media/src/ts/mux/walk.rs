//! One walk over the access units of a segment, which writes them or only
//! counts: what is counted is what would be written.

use super::packets::{self, Adaptation, Packets, Pcr};
use super::pes::{self, Header};
use super::stream::{Fate, Stream};
use super::{Continuity, MAX_TRACKS, Mux, Unit, tables};

/// Added to all times, so that no clock is before the beginning of time.
const OFFSET: u64 = 10 * 90_000;

/// No session lasts so long; times beyond are wrong, and must not overflow.
const LATEST: u64 = 1 << 60;

/// By so much the clock is behind the decoding times: what is to be decoded
/// arrives before its time.
const LEAD: u64 = 45_000;

/// The clock is written at least so often: 100 ms (2.7.2).
const CLOCK_MOST: u64 = 9_000;

/// Packets that have other reasons carry the clock after 20 ms.
const CLOCK_LEAST: u64 = 1_800;

/// A longer gap is not filled with packets that have nothing but the clock:
/// it is none within a stream that goes on.
const LONGEST_FILLED: u64 = 15 * 90_000;

/// Frames of audio within so much share a PES packet: one for each would waste
/// half a transport packet each time. The first waits no longer for the last.
const SHARED: u64 = 9_000;

/// Frames in a PES packet and their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    units: usize,
    bytes: usize,
    cut: bool,
}

/// What comes of a segment.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    mux: &'a Mux,
    state: Continuity,
    out: Option<&'a mut Vec<u8>>,
    packets: usize,
    /// Access units of each track that are written already.
    written: [usize; MAX_TRACKS],
}

/// The access units by their decoding times.
#[derive(Clone, Debug)]
struct Order<'a> {
    units: &'a [Unit<'a>],
    /// Where they are if they are not in order.
    sorted: Option<Vec<usize>>,
}

impl<'a> Order<'a> {
    fn of(units: &'a [Unit<'a>]) -> Self {
        let sorted = (!units.is_sorted_by_key(|unit| unit.dts)).then(|| {
            let mut order: Vec<usize> = (0..units.len()).collect();
            order.sort_by_key(|at| units.get(*at).map(|unit| unit.dts));
            order
        });
        Self { units, sorted }
    }

    /// From the `at`th on.
    fn from(&self, at: usize) -> impl Iterator<Item = &'a Unit<'a>> {
        let units = self.units;
        (at..units.len()).filter_map(move |at| match &self.sorted {
            Some(sorted) => units.get(*sorted.get(at)?),
            None => units.get(at),
        })
    }
}

impl<'a> Walk<'a> {
    /// Walks over a segment. Returns what it leaves behind, and how many
    /// packets it has.
    pub(super) fn run(
        mux: &'a Mux,
        state: Continuity,
        units: &[Unit<'_>],
        out: Option<&'a mut Vec<u8>>,
    ) -> (Continuity, usize) {
        let mut walk = Self {
            mux,
            state,
            out,
            packets: 0,
            written: [0; MAX_TRACKS],
        };
        walk.tables();
        let order = Order::of(units);
        let mut first = true;
        for (at, unit) in order.from(0).enumerate() {
            let stream = mux.streams().get(unit.track);
            let (Some(stream), Some(written)) = (stream, walk.written.get_mut(unit.track)) else {
                walk.state.left_out += 1;
                continue;
            };
            if let Some(more) = written.checked_sub(1) {
                *written = more;
                continue;
            }
            let group = gather(stream, order.from(at), unit);
            let Some(more) = group.units.checked_sub(1) else {
                walk.state.left_out += 1;
                continue;
            };
            *written = more;
            walk.state.left_out += u64::from(group.cut);
            walk.pes(stream, unit, group, order.from(at), first);
            first = false;
        }
        (walk.state, walk.packets)
    }

    fn tables(&mut self) {
        let tables = self.mux.tables();
        let (pat, pmt) = tables.packets();
        if let Some(out) = self.out.as_deref_mut() {
            tables::write(&tables.pat, self.state.pat, out);
            tables::write(&tables.pmt, self.state.pmt, out);
        }
        self.packets += pat + pmt;
        count(&mut self.state.pat, pat);
        count(&mut self.state.pmt, pmt);
    }

    /// Writes one PES packet: the access units of its track from `unit` on.
    fn pes<'u>(
        &mut self,
        stream: &Stream,
        unit: &Unit<'_>,
        group: Group,
        units: impl Iterator<Item = &'u Unit<'u>>,
        first: bool,
    ) {
        let dts = unit.dts.min(LATEST) + OFFSET;
        let pts = (unit.pts.min(LATEST) + OFFSET).max(dts);
        let carries = self.mux.clock() == unit.track;
        let keyframe = unit.keyframe && stream.is_video();
        let due = first || carries && keyframe;
        let pcr = self.clock(dts, due, carries);
        let adaptation = Adaptation {
            pcr,
            // Any frame of audio is a point to begin at; it costs nothing
            // where there is such a field.
            random_access: keyframe || pcr.is_some() && !stream.is_video(),
        };
        let header = Header::new(stream.stream_id, (dts, pts), group.bytes);
        let bytes = header.bytes().len() + group.bytes;
        let packets = packets::count(bytes, adaptation);
        let Some(counter) = self.state.streams.get_mut(unit.track) else {
            return;
        };
        if let Some(out) = self.out.as_deref_mut() {
            let mut packets = Packets::begin(out, stream.pid, *counter, bytes, adaptation);
            packets.put(header.bytes());
            let of_track = units.filter(|other| other.track == unit.track);
            for unit in of_track.take(group.units) {
                stream.pieces(unit, |piece| packets.put(piece));
            }
        }
        count(counter, packets);
        self.packets += packets;
    }

    /// Brings the clock up to what is decoded at `dts`. Returns the reading
    /// that the packet of that has to carry, if it `carries` the clock.
    fn clock(&mut self, dts: u64, due: bool, carries: bool) -> Option<Pcr> {
        let now = dts.saturating_sub(LEAD);
        let pcr = match self.state.clock {
            None => Some((now, false)),
            Some(last) if last >= dts => Some((now, true)),
            Some(last) if now > last.saturating_add(LONGEST_FILLED) => Some((now, false)),
            Some(mut last) => {
                while now > last + CLOCK_MOST {
                    last += CLOCK_MOST;
                    self.clock_only(Pcr {
                        ticks: last,
                        jumped: false,
                    });
                }
                let ahead = now.saturating_sub(last);
                // Segments overlap a little: what the one before had of audio
                // may be later than what this one has of video.
                (due || carries && ahead >= CLOCK_LEAST).then(|| (now.max(last + 1), false))
            }
        };
        let (ticks, jumped) = pcr?;
        let pcr = Pcr { ticks, jumped };
        if !carries {
            self.clock_only(pcr);
            return None;
        }
        self.state.clock = Some(ticks);
        Some(pcr)
    }

    fn clock_only(&mut self, pcr: Pcr) {
        self.state.clock = Some(pcr.ticks);
        self.packets += 1;
        let track = self.mux.clock();
        let (Some(out), Some(stream), Some(next)) = (
            self.out.as_deref_mut(),
            self.mux.streams().get(track),
            self.state.streams.get(track),
        ) else {
            return;
        };
        packets::clock_only(stream.pid, next.wrapping_sub(1) & 15, pcr, out);
    }
}

/// So many packets more.
fn count(counter: &mut u8, packets: usize) {
    // What is left of a division by 16 fits.
    *counter = (*counter + u8::try_from(packets & 15).unwrap_or(0)) & 15;
}

/// Which access units the PES packet of `first` takes: a picture, or the frames
/// of audio that follow each other from there on. None if it is to be left out.
fn gather<'u>(
    stream: &Stream,
    units: impl Iterator<Item = &'u Unit<'u>>,
    first: &Unit<'_>,
) -> Group {
    let mut group = Group::default();
    let mut samples = 0_u64;
    let near = units.take_while(|unit| unit.dts.saturating_sub(first.dts) < SHARED);
    for unit in near.filter(|unit| unit.track == first.track) {
        let since = unit.dts.saturating_sub(first.dts);
        if since.abs_diff(stream.ticks(samples)) > 1 {
            break;
        }
        let duration = stream.samples(unit.payload);
        let end = samples + u64::from(duration.unwrap_or(0));
        if group.units > 0 && stream.ticks(end) > SHARED {
            break;
        }
        let mut bytes = 0;
        let fate = stream.pieces(unit, |piece| bytes += piece.len());
        let fits = stream.is_video() || group.bytes + bytes <= pes::MOST;
        if fate == Fate::LeftOut || !fits {
            break;
        }
        group.units += 1;
        group.bytes += bytes;
        group.cut |= fate == Fate::Cut;
        if duration.is_none() {
            break;
        }
        samples = end;
    }
    group
}
