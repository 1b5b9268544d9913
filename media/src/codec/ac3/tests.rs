//! Frames by hand, for what FFmpeg does not write. Streams that it wrote are
//! in `tests/audio.rs`.

use proptest::prelude::*;

use super::*;
use crate::codec::bits::BitWriter;
use crate::codec::framer::Framer;
use crate::codec::framer::tests::cut;

/// A frame of `len` bytes that begins with the bits that `text` has.
fn frame(text: &str, len: usize) -> Vec<u8> {
    let mut out = BitWriter::default();
    out.put(0x0b77, 16);
    for bit in text.chars().filter(|bit| matches!(bit, '0' | '1')) {
        out.put(u32::from(bit == '1'), 1);
    }
    let mut frame = out.into_bytes().to_vec();
    frame.resize(len, 0x55);
    frame
}

/// AC-3: rate, size, version 8, service 0, and what the mode brings.
fn ac3(rate: u8, size: u8, mode: &str, len: usize) -> Vec<u8> {
    let text = format!("0000000000000000 {rate:02b} {size:06b} 01000 000 {mode}");
    frame(&text, len)
}

/// Enhanced AC-3 of 100 bytes at 48 kHz: `kind` and number of the substream,
/// code of the blocks, then mode and effects, version 16, and what follows.
fn enhanced(kind: u8, number: u8, blocks: u8, mode: &str, rest: &str) -> Vec<u8> {
    let text = format!("{kind:02b} {number:03b} 00000110001 00 {blocks:02b} {mode} 10000 {rest}");
    frame(&text, 100)
}

/// Loudness, no compression; no mixing metadata, no information.
const PLAIN: &str = "11111 0  0 0";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn frames_of_ac3_by_the_tables() {
    for (frame, rate, channels, config) in [
        // 192 kbit/s, stereo.
        (ac3(0, 20, "010 00 0", 768), 48_000, 2, "101140"),
        // 448 kbit/s, 5.1.
        (ac3(0, 30, "111 00 00 1", 1_792), 48_000, 6, "103de0"),
        // 192 kbit/s at 44.1 kHz, a word more or less.
        (ac3(1, 20, "010 00 0", 834), 44_100, 2, "501140"),
        (ac3(1, 21, "010 00 0", 836), 44_100, 2, "501140"),
        (ac3(2, 0, "001 0", 192), 32_000, 1, "900800"),
        (ac3(0, 37, "011 00 1", 2_560), 48_000, 4, "101e40"),
        (ac3(0, 36, "101 00 00 0", 2_560), 48_000, 4, "102a40"),
        (ac3(0, 36, "000 0", 2_560), 48_000, 2, "100240"),
    ] {
        let len = frame.len() as u64;
        let mut framer = Framer::ac3();
        let units = cut(&mut framer, &frame.repeat(3), 184);
        let at: Vec<_> = units.iter().map(|unit| unit.at).collect();
        assert_eq!(at, [0, len, 2 * len], "{config}");
        assert!(units.iter().all(|unit| unit.samples == 1_536));
        assert_eq!(units[0].payload, frame);
        let track = framer.track(TrackId(1)).unwrap();
        let audio = track.audio().unwrap();
        assert_eq!((audio.sample_rate, audio.channels), (rate, channels));
        assert_eq!(track.codec_string, "ac-3");
        assert_eq!(hex(&track.config), config);
    }
}

#[test]
fn what_is_no_frame_is_none() {
    let good = ac3(0, 20, "010 00 0", 768);
    let probe = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Frame::probe(bytes.first_chunk().unwrap())
    };
    assert!(probe(4, 20).is_some());
    for (what, at, value) in [
        ("no syncword", 1, 0x78),
        ("a reserved rate", 4, 0xc0 | 20),
        ("a reserved size", 4, 38),
        ("a version between", 5, 9 << 3),
        ("a version above", 5, 17 << 3),
    ] {
        assert_eq!(probe(at, value), None, "{what}");
    }
    let reserved = enhanced(3, 0, 3, "010 0", PLAIN);
    assert_eq!(Frame::probe(reserved.first_chunk().unwrap()), None);
}

#[test]
fn dependent_substreams_belong_to_the_access_unit() {
    // 7.1: 5.1 and a pair behind, which replaces the sides.
    let base = enhanced(0, 0, 3, "111 1", PLAIN);
    let back = enhanced(1, 0, 3, "110 0", "11111 0  1 0001101000000000  0 0");
    let unit = [&base[..], &back].concat();
    let mut framer = Framer::ac3();
    let units = cut(&mut framer, &unit.repeat(4), 50);
    // The last is whole, and known to be so, with its last byte.
    assert_eq!(units.len(), 4);
    assert!(
        units
            .iter()
            .all(|cut| cut.payload == unit && cut.samples == 1_536)
    );
    let track = framer.track(TrackId(1)).unwrap();
    assert_eq!(track.codec_string, "ec-3");
    assert_eq!(track.audio().unwrap().channels, 8);
    // 50 kbit/s; one dependent substream with Lrs/Rrs.
    assert_eq!(hex(&track.config), "0190200f0202");
    // Without the second: the first waits for what follows, others no more.
    let units = cut(&mut framer, &base, 50);
    assert!(units.is_empty());
    let units = cut(&mut framer, &base, 50);
    assert_eq!(units.len(), 2);
    assert!(units[0].changed && !units[1].changed);
    assert_eq!(
        framer.track(TrackId(1)).unwrap().audio().unwrap().channels,
        6
    );
    assert_eq!(framer.dropped(), 0);
}

#[test]
fn frames_of_fewer_blocks_are_gathered_to_six() {
    for (code, count) in [(0, 6), (1, 3), (2, 2), (3, 1)] {
        let frame = enhanced(0, 0, code, "010 0", PLAIN);
        let mut framer = Framer::ac3();
        let units = cut(&mut framer, &frame.repeat(3 * count), 70);
        assert_eq!(units.len(), 3, "{count}");
        assert!(units.iter().all(|unit| unit.payload.len() == 100 * count));
        assert!(units.iter().all(|unit| unit.samples == 1_536));
        // Data rates are rounded up: 100 bytes for 256 samples are 150 kbit/s.
        let track = framer.track(TrackId(1)).unwrap();
        assert_eq!(
            u32::from(track.config[0]) << 5 | u32::from(track.config[1] >> 3),
            25 * u32::try_from(count).unwrap()
        );
    }
}

#[test]
fn several_programs_are_one_access_unit() {
    let unit = [
        enhanced(0, 0, 3, "010 0", PLAIN),
        enhanced(0, 1, 3, "001 0", "11111 0  0 1 010"),
    ]
    .concat();
    let mut framer = Framer::ac3();
    let units = cut(&mut framer, &unit.repeat(3), 90);
    assert_eq!(units.len(), 3);
    let track = framer.track(TrackId(1)).unwrap();
    // The second is for the visually impaired (service 2), mono.
    assert_eq!(hex(&track.config), "0191200400202200");
    assert_eq!(track.audio().unwrap().channels, 2);
}

#[test]
fn the_service_stands_behind_all_that_may_be_mixed() {
    for (mode, rest) in [
        ("010 0", "11111 1 00000000  0 1 011"),
        ("000 0", "11111 0 11111 0  0 1 011"),
        (
            // dmixmod, levels, effects, scales, nothing defined, no frames.
            "111 1",
            "11111 0  1 01 000000 000000 1 00000 1 000000 0 00 0  1 011",
        ),
        ("001 0", "11111 0  1 0 0 01 00000 1 00000000000000 0  1 011"),
        (
            "010 0",
            "11111 0  1 0 0 10 000000000000 1 0 1 00000 0 0 0 1 00000  1 011",
        ),
    ] {
        let frame = enhanced(0, 0, 3, mode, rest);
        assert_eq!(Frame::parse(&frame).unwrap().service, 3, "{mode} {rest}");
    }
}

#[test]
fn what_extends_ac3_is_left_out() {
    let core = ac3(0, 20, "010 00 0", 768);
    let extension = enhanced(1, 0, 3, "110 0", PLAIN);
    let unit = [&core[..], &extension].concat();
    let units = cut(&mut Framer::ac3(), &unit.repeat(4), 100);
    assert!(
        units
            .iter()
            .all(|unit| unit.payload == core && !unit.payload.is_empty())
    );
}

#[test]
fn a_loss_drops_the_access_unit_that_it_hit() {
    let unit = [
        enhanced(0, 0, 3, "111 1", PLAIN),
        enhanced(1, 0, 3, "110 0", PLAIN),
    ]
    .concat();
    let stream = unit.repeat(6);
    let mut framer = Framer::ac3();
    let mut units = cut(&mut framer, &stream[..750], 100);
    framer.lost();
    units.extend(cut(&mut framer, &stream[800..], 100));
    let at: Vec<_> = units.iter().map(|unit| unit.at).collect();
    assert_eq!(at, [0, 200, 400, 750, 950]);
    assert_eq!(framer.dropped(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_frames_are_cut_without_a_panic(
        choice in any::<u8>(),
        frames in prop::collection::vec(
            (0_u8..3, 0_u8..8, 0_u8..4, prop::collection::vec(any::<u8>(), 0..12)), 0..10),
    ) {
        let mut data = vec![choice];
        for (kind, number, blocks, rest) in frames {
            let mut frame = enhanced(kind, number, blocks, "111 1", PLAIN);
            for (to, from) in frame.iter_mut().skip(7).zip(rest) {
                *to = from;
            }
            data.extend(frame);
        }
        crate::fuzz::ac3(&data);
    }
}

#[test]
fn one_access_unit_is_enough_for_a_configuration() {
    let surround = ac3(0, 30, "111 00 00 1", 1_792);
    let config = Config::of_frame(&surround).unwrap();
    assert_eq!(hex(&config.to_bytes()), "103de0");
    assert_eq!(config.channels(), 6);
    // Not all of it needs to be there, and of what follows nothing is taken.
    assert_eq!(Config::of_frame(&surround[..16]), Some(config.clone()));
    assert_eq!(
        Config::of_frame(&[surround.clone(), surround].concat()),
        Some(config)
    );
    let stereo = enhanced(0, 0, 3, "010 0", PLAIN);
    let config = Config::of_frame(&stereo).unwrap();
    assert!(config.is_enhanced());
    assert_eq!(config.channels(), 2);
    assert_eq!(Config::of_frame(&enhanced(1, 0, 3, "010 0", PLAIN)), None);
    for other in [&[][..], &[0x0b, 0x77], &[0xff; 16]] {
        assert_eq!(Config::of_frame(other), None);
    }
}
