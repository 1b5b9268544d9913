//! Streams put together by hand: what FFmpeg does not make.

use std::time::Instant;

use rillcast_core::MediaKind;

use super::Demuxer;
use crate::codec::avc::captures;
use crate::fuzz::ts::{packet, table};
use crate::{SourceFrame, SourceItem, codec};

const VIDEO: u16 = 0x201;

/// Makes the packets of one PID.
struct Maker {
    pid: u16,
    counter: u8,
}

impl Maker {
    const fn new(pid: u16) -> Self {
        Self { pid, counter: 0 }
    }

    /// A PES packet without a length, in as many packets as it takes.
    fn pes(&mut self, dts: Option<i64>, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut all = vec![0, 0, 1, 0xe0, 0, 0, 0x80];
        match dts {
            None => all.extend_from_slice(&[0, 0]),
            Some(ticks) => {
                let [.., a, b, c, d, e] = (ticks << 1 | 1).to_be_bytes();
                let spread = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]) >> 1;
                let part = |shift: u64, mask: u64| u8::try_from(spread >> shift & mask).unwrap();
                all.extend_from_slice(&[0x80, 5, 0x21 | part(30, 7) << 1, part(22, 255)]);
                all.extend_from_slice(&[part(15, 127) << 1 | 1, part(7, 255)]);
                all.push(part(0, 127) << 1 | 1);
            }
        }
        all.extend_from_slice(bytes);
        let pieces = all.chunks(184).enumerate();
        pieces
            .map(|(at, piece)| {
                let made = packet(self.pid, at == 0, self.counter, piece);
                self.counter = (self.counter + 1) & 15;
                made
            })
            .collect()
    }
}

/// A PAT and a map with these stream types and PIDs.
fn tables(streams: &[(u8, u16)]) -> Vec<Vec<u8>> {
    let mut body = vec![0xe2, 1, 0xf0, 0];
    for (kind, pid) in streams {
        let [high, low] = pid.to_be_bytes();
        body.extend_from_slice(&[*kind, 0xe0 | high, low, 0xf0, 0]);
    }
    vec![table(0, 0, &[0, 1, 0xe1, 0]), table(0x100, 2, &body)]
}

/// A picture of three slices; a keyframe has its parameter sets.
fn picture(keyframe: bool, number: u8) -> Vec<u8> {
    let record: Vec<u8> = (0..captures::HIGH_1080.len() / 2)
        .map(|at| digits(captures::HIGH_1080, 2 * at, 2, 16))
        .collect();
    let config = codec::avc::Config::parse(&record).unwrap();
    let mut out = Vec::new();
    let mut unit = |bytes: &[u8]| {
        out.extend_from_slice(&[0, 0, 1]);
        out.extend_from_slice(bytes);
    };
    if keyframe {
        unit(&config.sequence_parameter_sets()[0]);
        unit(&config.picture_parameter_sets()[0]);
    }
    // first_mb_in_slice 0, 1 and 2.
    for first in ["1", "010", "011"] {
        // slice_type 7, the first parameter set, and what is the same in each
        // slice of a picture.
        let bits = format!("{first}00010001{number:08b}{}", "10110110".repeat(60));
        let mut bytes = vec![if keyframe { 0x65 } else { 0x41 }];
        bytes.extend((0..60).map(|at| digits(&bits, 8 * at, 8, 2)));
        unit(&bytes);
    }
    out
}

/// The number that so many digits say.
fn digits(text: &str, at: usize, count: usize, radix: u32) -> u8 {
    u8::from_str_radix(text.get(at..at + count).unwrap(), radix).unwrap()
}

fn run(demuxer: &mut Demuxer, packets: &[Vec<u8>]) -> Vec<SourceItem> {
    let now = Instant::now();
    let mut items = Vec::new();
    for packet in packets {
        demuxer.push(packet, now);
        items.extend(std::iter::from_fn(|| demuxer.next_item()));
    }
    items
}

fn frames(items: Vec<SourceItem>) -> Vec<SourceFrame> {
    let frame = |item| match item {
        SourceItem::Frame(frame) => Some(frame),
        _ => None,
    };
    items.into_iter().filter_map(frame).collect()
}

#[test]
fn a_picture_whose_end_shows_is_handed_on_with_its_last_byte() {
    let mut demuxer = Demuxer::new();
    let mut maker = Maker::new(VIDEO);
    let mut packets = tables(&[(0x1b, VIDEO)]);
    for number in 0..20 {
        packets.extend(maker.pes(
            Some(i64::from(number) * 3_600),
            &picture(number == 0, number),
        ));
    }
    assert_eq!(frames(run(&mut demuxer, &packets)).len(), 20);
    // One picture late as long as nothing is known.
    let mut demuxer = Demuxer::new();
    let mut maker = Maker::new(VIDEO);
    let mut packets = tables(&[(0x1b, VIDEO)]);
    for number in 0..5 {
        packets.extend(maker.pes(
            Some(i64::from(number) * 3_600),
            &picture(number == 0, number),
        ));
    }
    assert_eq!(frames(run(&mut demuxer, &packets)).len(), 4);
    demuxer.flush(Instant::now());
    assert!(demuxer.next_item().is_some());
}

#[test]
fn tracks_keep_their_ids_when_the_map_changes() {
    let mut demuxer = Demuxer::new();
    let mut maker = Maker::new(VIDEO);
    let mut packets = tables(&[(0x0f, 0x300), (0x1b, VIDEO)]);
    for number in 0..8 {
        packets.extend(maker.pes(
            Some(i64::from(number) * 3_600),
            &picture(number == 0, number),
        ));
    }
    // The same video elsewhere, and one more track of sound.
    let mut moved = Maker::new(VIDEO + 1);
    packets.extend(tables(&[(0x0f, 0x300), (0x1b, VIDEO + 1), (0x03, 0x301)]).split_off(1));
    for number in 8..11 {
        packets.extend(moved.pes(
            Some(i64::from(number) * 3_600),
            &picture(number == 8, number),
        ));
    }
    let items = run(&mut demuxer, &packets);
    let announced: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            SourceItem::Announce(kinds) => Some(kinds.clone()),
            _ => None,
        })
        .collect();
    let (video, audio) = (MediaKind::Video, MediaKind::Audio);
    assert_eq!(announced, [vec![video, audio], vec![video, audio, audio]]);
    let frames = frames(items);
    assert!(frames.iter().all(|frame| frame.track.0 == 0));
    let times: Vec<_> = frames.iter().map(|frame| frame.dts / 3_600).collect();
    assert_eq!(times, (0..10).collect::<Vec<_>>());
    assert_eq!(demuxer.counts().damaged_units, 0);
}

#[test]
fn times_wrap_and_a_single_wrong_one_is_not_believed() {
    let mut demuxer = Demuxer::new();
    let mut maker = Maker::new(VIDEO);
    let mut packets = tables(&[(0x1b, VIDEO)]);
    let start = (1_i64 << 33) - 5 * 3_600;
    for number in 0..12_u8 {
        let right = (start + i64::from(number) * 3_600) & ((1 << 33) - 1);
        let dts = if number == 8 { right ^ 1 << 29 } else { right };
        packets.extend(maker.pes(Some(dts), &picture(number == 0, number)));
    }
    let mut items = run(&mut demuxer, &packets);
    demuxer.flush(Instant::now());
    items.extend(std::iter::from_fn(|| demuxer.next_item()));
    let times: Vec<_> = frames(items).iter().map(|frame| frame.dts).collect();
    let want: Vec<_> = (0..12)
        .map(|number| (start + number * 3_600) & ((1 << 33) - 1))
        .collect();
    assert_eq!(times, want);
}

#[test]
fn access_units_need_not_lie_in_pes_packets_of_their_own() {
    let pictures: Vec<_> = (0..12_u8)
        .map(|number| picture(number == 0, number))
        .collect();
    let stream = pictures.concat();
    // How many bytes each PES packet has: some pictures, or a part of one.
    for size in [90, 400, 1_000, stream.len()] {
        let mut demuxer = Demuxer::new();
        let mut maker = Maker::new(VIDEO);
        let mut packets = tables(&[(0x1b, VIDEO)]);
        for (at, piece) in stream.chunks(size).enumerate() {
            // The first picture that begins in it.
            let begins = |picture: &usize| pictures[..*picture].concat().len() >= at * size;
            let first = (0..12)
                .find(begins)
                .filter(|picture| pictures[..*picture].concat().len() < at * size + piece.len());
            let dts = first.map(|picture| 90_000 + i64::try_from(picture).unwrap() * 3_003);
            packets.extend(maker.pes(dts, piece));
        }
        let mut items = run(&mut demuxer, &packets);
        demuxer.flush(Instant::now());
        items.extend(std::iter::from_fn(|| demuxer.next_item()));
        let frames = frames(items);
        assert_eq!(frames.len(), 12, "{size}: {:?}", demuxer.counts());
        for (number, frame) in (0_u8..).zip(&frames) {
            let units: Vec<_> = codec::avc::units(&frame.payload)
                .map(|unit| unit.unwrap().len())
                .collect();
            assert_eq!(
                units.len(),
                if number == 0 { 5 } else { 3 },
                "{size}, {number}"
            );
            assert_eq!(frame.dts, 90_000 + i64::from(number) * 3_003, "{size}");
            assert_eq!(frame.keyframe, number == 0);
        }
    }
}

/// As [`picture`], its last slice `size` bytes longer.
fn long_picture(keyframe: bool, number: u8, size: usize) -> Vec<u8> {
    let mut bytes = picture(keyframe, number);
    bytes.resize(bytes.len() + size, 0x55);
    bytes
}

#[test]
fn pictures_that_wait_for_a_time_that_is_believed_take_little_room() {
    const SIZE: usize = 1 << 20;
    let mut demuxer = Demuxer::new();
    let mut maker = Maker::new(VIDEO);
    let mut packets = tables(&[(0x1b, VIDEO)]);
    for number in 0..3 {
        let time = i64::from(number) * 3_600;
        packets.extend(maker.pes(Some(time), &picture(number == 0, number)));
    }
    // A time that nobody believes, and after it none at all.
    packets.extend(maker.pes(Some(9_000_000), &long_picture(false, 3, SIZE)));
    for number in 4..40 {
        packets.extend(maker.pes(None, &long_picture(false, number, SIZE)));
    }
    let frames = frames(run(&mut demuxer, &packets));
    let came: usize = frames.iter().map(|frame| frame.payload.len()).sum();
    // All but a few of 37.
    assert!(came > 33 * SIZE, "only {came} bytes came");
}

#[test]
fn tracks_of_video_share_the_room_for_what_is_not_whole() {
    const SIZE: usize = 3 << 20;
    for (tracks, oversized) in [(2, 0), (4, 4)] {
        let mut demuxer = Demuxer::new();
        let pids: Vec<(u8, u16)> = (0..tracks).map(|at| (0x1b, VIDEO + at)).collect();
        let mut packets = tables(&pids);
        for (_, pid) in &pids {
            packets.extend(Maker::new(*pid).pes(Some(0), &long_picture(true, 0, SIZE)));
        }
        run(&mut demuxer, &packets);
        demuxer.flush(Instant::now());
        assert_eq!(demuxer.counts().oversized_units, oversized, "{tracks}");
    }
}
