//! What holds for every format, shown with ADTS; and helpers for the tests of
//! each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

/// The access units of a stream that comes in pieces of `piece` bytes.
pub(in crate::codec) fn cut(framer: &mut Framer, stream: &[u8], piece: usize) -> Vec<AudioUnit> {
    let mut units = Vec::new();
    for piece in stream.chunks(piece.max(1)) {
        framer.push(piece);
        units.extend(std::iter::from_fn(|| framer.next_unit()));
    }
    units
}

/// An ADTS frame of AAC-LC, 44.1 kHz, two channels, with `len` bytes of `fill`.
fn frame(fill: u8, len: usize) -> Vec<u8> {
    let total = u32::try_from(len + 7).unwrap();
    let mut frame = vec![0xff, 0xf1, 0x50, 0x80, 0, 0x1f, 0xfc];
    frame[3] |= u8::try_from(total >> 11).unwrap();
    frame[4] = u8::try_from(total >> 3 & 0xff).unwrap();
    frame[5] |= u8::try_from((total & 7) << 5).unwrap();
    frame.resize(len + 7, fill);
    frame
}

/// Ten frames of different lengths, and where they begin.
fn stream() -> (Vec<u8>, Vec<usize>) {
    let frames: Vec<_> = (0..10).map(|at| frame(at, 50 + usize::from(at))).collect();
    let begins = frames.iter().scan(0, |sum, frame| {
        *sum += frame.len();
        Some(*sum - frame.len())
    });
    let begins = begins.collect();
    (frames.concat(), begins)
}

fn fills(units: &[AudioUnit]) -> Vec<u8> {
    units.iter().map(|unit| unit.payload[0]).collect()
}

/// ADTS, and how often it was asked what stands at a place.
#[derive(Debug, Default)]
struct Counting {
    adts: aac::adts::Adts,
    probes: Arc<AtomicUsize>,
}

impl Syntax for Counting {
    fn probe(&self, bytes: &[u8]) -> Probe {
        self.probes.fetch_add(1, Ordering::Relaxed);
        self.adts.probe(bytes)
    }

    fn unit(&mut self, frame: &[u8], at: u64, out: &mut VecDeque<AudioUnit>) -> Result<(), Broken> {
        self.adts.unit(frame, at, out)
    }

    fn track(&self, id: TrackId) -> Option<Track> {
        self.adts.track(id)
    }

    fn is_telling(&self) -> bool {
        true
    }
}

#[test]
fn what_looks_like_frames_and_is_none_is_looked_at_a_few_times() {
    let counting = Counting::default();
    let probes = Arc::clone(&counting.probes);
    let mut framer = Framer::new(counting);
    assert_eq!(cut(&mut framer, &stream().0, 184).len(), 10);
    // Headers of frames at another rate that are as long as can be, one behind another.
    let header = [0xff, 0xf1, 0x4c, 0x83, 0xff, 0xff, 0xfc];
    let noise = header.repeat(8_000 / header.len());
    for round in 0..4 {
        framer.lost();
        probes.store(0, Ordering::Relaxed);
        assert_eq!(cut(&mut framer, &noise, 184), []);
        framer.lost();
        let each = probes.load(Ordering::Relaxed) / noise.len();
        assert!(
            each < 64,
            "each byte was looked at {each} times in round {round}"
        );
    }
    let (stream, _) = stream();
    assert_eq!(cut(&mut framer, &stream, 184).len(), 10, "and all goes on");
}

#[test]
fn pieces_of_any_size_give_the_same_units() {
    let (stream, begins) = stream();
    for piece in [1, 2, 6, 7, 8, 57, 58, 184, 10_000] {
        let mut framer = Framer::adts();
        let units = cut(&mut framer, &stream, piece);
        assert_eq!(fills(&units), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "{piece}");
        for (unit, begin) in units.iter().zip(&begins) {
            assert_eq!(unit.at, *begin as u64);
            assert_eq!(unit.samples, 1_024);
            assert_eq!(unit.changed, unit.at == 0);
        }
        assert_eq!(framer.dropped(), 0);
    }
}

#[test]
fn a_unit_comes_with_its_last_byte_once_the_stream_is_known() {
    let (stream, begins) = stream();
    let mut framer = Framer::adts();
    framer.push(&stream[..begins[1]]);
    assert_eq!(framer.next_unit(), None, "the first waits for a header");
    framer.push(&stream[begins[1]..begins[1] + 7]);
    assert_eq!(framer.next_unit().unwrap().payload[0], 0);
    framer.push(&stream[begins[1] + 7..begins[2] - 1]);
    assert_eq!(framer.next_unit(), None);
    framer.push(&stream[begins[2] - 1..begins[2]]);
    assert_eq!(framer.next_unit().unwrap().payload[0], 1);
}

#[test]
fn joining_within_a_frame_begins_with_the_next() {
    let (stream, begins) = stream();
    for (joined, first) in [(1, 1), (7, 1), (begins[1], 1), (begins[1] + 1, 2)] {
        let mut framer = Framer::adts();
        let units = cut(&mut framer, &stream[joined..], 20);
        let want: Vec<u8> = (first..10).collect();
        assert_eq!(fills(&units), want, "{joined}");
        assert_eq!(units[0].at, (begins[usize::from(first)] - joined) as u64);
        assert_eq!(framer.dropped(), 0, "nothing was broken");
    }
}

#[test]
fn a_loss_costs_the_frames_that_it_hit() {
    let (stream, begins) = stream();
    let hit = begins[3] + 20;
    for (len, kept) in [
        (10, &[0, 1, 2, 4, 5, 6, 7, 8, 9][..]),
        (60, &[0, 1, 2, 5, 6, 7, 8, 9]),
    ] {
        let mut framer = Framer::adts();
        let mut units = cut(&mut framer, &stream[..hit], 184);
        framer.lost();
        units.extend(cut(&mut framer, &stream[hit + len..], 184));
        assert_eq!(fills(&units), kept);
        assert_eq!(framer.dropped(), 1);
        // Offsets count what was pushed.
        let last = units.last().unwrap();
        assert_eq!(last.at, (begins[9] - len) as u64);
    }
}

#[test]
fn a_loss_that_nobody_speaks_of_costs_no_more_than_the_frame_behind_it_too() {
    let (mut stream, begins) = stream();
    stream.drain(begins[3] + 20..begins[3] + 30);
    let mut framer = Framer::adts();
    let units = cut(&mut framer, &stream, 184);
    // The fourth frame takes ten bytes of the fifth.
    assert_eq!(fills(&units), [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(framer.dropped(), 1);
}

#[test]
fn the_last_frame_behind_a_loss_needs_no_successor() {
    let (stream, begins) = stream();
    let mut framer = Framer::adts();
    cut(&mut framer, &stream[..begins[8] + 9], 184);
    framer.lost();
    let units = cut(&mut framer, &stream[begins[8] + 12..], 184);
    assert_eq!(fills(&units), [9]);
}

#[test]
fn another_format_is_believed_when_two_headers_say_so() {
    let (stream, _) = stream();
    let mut other = frame(77, 60);
    other[2] = 0x4c; // 48 kHz
    let mut framer = Framer::adts();
    let mixed = [&stream[..], &other, &stream].concat();
    let units = cut(&mut framer, &mixed, 50);
    assert_eq!(units.len(), 20, "one alone is damage");
    assert_eq!(framer.dropped(), 1);

    let mut framer = Framer::adts();
    let mixed = [&stream[..], &other, &other, &stream].concat();
    let units = cut(&mut framer, &mixed, 50);
    let changed: Vec<_> = units.iter().map(|unit| unit.changed).collect();
    let changed: Vec<_> = (0..22).filter(|at| changed[*at]).collect();
    assert_eq!(changed, [0, 10, 12]);
    assert_eq!(framer.dropped(), 0);
    let track = framer.track(TrackId(4)).unwrap();
    assert_eq!(track.audio().unwrap().sample_rate, 44_100);
}

#[test]
fn bytes_that_nobody_asks_for_are_bounded() {
    let (stream, _) = stream();
    let mut framer = Framer::adts();
    for _ in 0..1_000 {
        framer.push(&stream);
        assert!(framer.buffer.len() <= MAX_BUFFER);
    }
    let units: Vec<_> = std::iter::from_fn(|| framer.next_unit()).collect();
    let begin = 1_000 * stream.len() as u64 - MAX_BUFFER as u64;
    assert!(units[0].at >= begin && units[0].at < begin + 200);
    // All zeros are no frame of anything and are not kept.
    let mut framer = Framer::adts();
    assert!(cut(&mut framer, &[0; 100_000], 1_000).is_empty());
    assert!(framer.buffer.is_empty());
}

proptest! {
    #[test]
    fn damage_is_survived_and_the_end_is_whole(
        changes in prop::collection::vec((0_usize..400, any::<u8>()), 1..8),
        piece in 1_usize..200,
    ) {
        let (mut stream, _) = stream();
        for (at, value) in changes {
            stream[at] = value;
        }
        let (tail, _) = self::stream();
        stream.extend(std::iter::repeat_n(tail, 20).flatten());
        let units = cut(&mut Framer::adts(), &stream, piece);
        // A broken length may reach 8191 bytes far.
        let last = &fills(&units)[units.len() - 20..];
        prop_assert_eq!(last, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].repeat(2));
    }
}
