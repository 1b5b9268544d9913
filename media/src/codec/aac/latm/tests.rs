//! Configurations and payloads bit by bit. Streams that FFmpeg wrote are in
//! `tests/audio.rs`.

use proptest::prelude::*;

use super::*;
use crate::codec::framer::Framer;
use crate::codec::framer::tests::cut;

/// A LOAS frame of the bits that `text` has.
fn frame(text: &str) -> Vec<u8> {
    let mut out = BitWriter::default();
    for bit in text.chars().filter(|bit| matches!(bit, '0' | '1')) {
        out.put(u32::from(bit == '1'), 1);
    }
    let element = out.into_bytes();
    let [high, low] = u16::try_from(element.len()).unwrap().to_be_bytes();
    [&[0x56, 0xe0 | high, low][..], &element].concat()
}

/// Version 0, one frame, AAC-LC at 48 kHz with two channels, lengths stated.
const MUX: &str = "0  0 1 000000 0000 000  00010 0011 0010 000  000 11111111 0 0";
const PAYLOAD: &str = "00000010 10101010 11001100";

#[test]
fn payloads_are_moved_to_where_bytes_begin() {
    let first = frame(&format!("{MUX} {PAYLOAD}"));
    let second = frame("1 00000011 00000001 00000010 00000011");
    let mut framer = Framer::latm();
    let units = cut(&mut framer, &[first, second.clone(), second].concat(), 5);
    let payloads: Vec<_> = units.iter().map(|unit| &unit.payload[..]).collect();
    assert_eq!(payloads, [&[0xaa, 0xcc][..], &[1, 2, 3], &[1, 2, 3]]);
    let changed: Vec<_> = units.iter().map(|unit| unit.changed).collect();
    assert_eq!(changed, [true, false, false]);
    let track = framer.track(TrackId(1)).unwrap();
    assert_eq!(track.config[..], [0x11, 0x90]);
    assert_eq!(track.codec_string, "mp4a.40.2");
    assert_eq!(units[0].samples, 1_024);
}

#[test]
fn configurations_in_all_their_forms() {
    for (what, mux, config, samples) in [
        (
            "replication, told before",
            "0  0 1 000000 0000 000  00101 0110 0010 0011 00010 000  000 11111111 0 0",
            &[0x2b, 0x11, 0x88, 0][..],
            2_048,
        ),
        (
            "other data and a checksum",
            "0  0 1 000000 0000 000  00010 0011 0010 000  000 11111111 \
             1 1 00000001 0 00000010 1 10101010",
            &[0x11, 0x90],
            1_024,
        ),
        (
            "version 1, a length stated, more bits than it needs, other data",
            "0  1 0 00 00000111 1 000000 0000 000  00 00011000 00010 0011 0010 000 00000000 \
             000 11111111 1 01 00000001 00000000 0",
            &[0x11, 0x90, 0],
            1_024,
        ),
    ] {
        let stream = frame(&format!("{mux} {PAYLOAD}")).repeat(2);
        let mut framer = Framer::latm();
        let units = cut(&mut framer, &stream, 100);
        assert_eq!((units.len(), framer.dropped()), (2, 0), "{what}");
        assert_eq!(units[0].payload[..], [0xaa, 0xcc], "{what}");
        assert_eq!(units[0].samples, samples, "{what}");
        let track = framer.track(TrackId(1)).unwrap();
        let want = config.strip_suffix(&[0]).unwrap_or(config);
        assert!(
            track.config.starts_with(want),
            "{what}: {:02x?}",
            &track.config[..]
        );
        assert_eq!(track.audio().unwrap().sample_rate, 48_000, "{what}");
    }
}

#[test]
fn several_frames_and_lengths_that_are_fixed() {
    let mux = "0  0 1 000001 0000 000  00010 0011 0010 000  001 000000001 0 0";
    let payload = "0000 1111".repeat(21) + &"1111 0000".repeat(21);
    let stream = frame(&format!("{mux} {payload}")).repeat(2);
    let mut framer = Framer::latm();
    let units = cut(&mut framer, &stream, 40);
    assert_eq!(units.len(), 4);
    assert_eq!(units[0].payload[..], [0x0f; 21]);
    assert_eq!(units[1].payload[..], [0xf0; 21]);
    assert!(units.windows(2).all(|pair| pair[0].at < pair[1].at));
    assert_eq!((units[0].at, units[2].at), (0, stream.len() as u64 / 2));

    // A length above 254 takes several bytes.
    let payload = "11111111 11111111 00000000".to_owned() + &"01010101".repeat(510);
    let stream = frame(&format!("{MUX} {payload}")).repeat(2);
    let units = cut(&mut Framer::latm(), &stream, 40);
    assert_eq!(units[1].payload[..], [0x55; 510]);
}

#[test]
fn frames_before_the_first_configuration_are_left_out() {
    let bare = frame(&format!("1 {PAYLOAD}"));
    let whole = frame(&format!("{MUX} {PAYLOAD}"));
    let mut framer = Framer::latm();
    assert!(cut(&mut framer, &bare.repeat(3), 100).is_empty());
    assert_eq!(framer.track(TrackId(0)), None);
    let units = cut(&mut framer, &[whole, bare].concat(), 100);
    assert_eq!((units.len(), framer.dropped()), (2, 0));
    assert!(units[0].changed);
}

#[test]
fn what_is_not_carried_is_counted() {
    for (what, text) in [
        (
            "a reserved version",
            "0  1 1 0000 0000 0000 0000".to_owned(),
        ),
        ("two programs", format!("0  0 1 000000 0001 000 {PAYLOAD}")),
        ("two layers", format!("0  0 1 000000 0000 001 {PAYLOAD}")),
        (
            "layers out of step",
            format!("0  0 0 000000 0000 000 {PAYLOAD}"),
        ),
        (
            "speech",
            "0  0 1 000000 0000 000  01000 0011 0010 000 100 0000".to_owned(),
        ),
        (
            "a payload that is cut short",
            format!("{MUX} 11111110 {PAYLOAD}"),
        ),
    ] {
        let stream = frame(&text).repeat(3);
        let mut framer = Framer::latm();
        assert!(cut(&mut framer, &stream, 100).is_empty(), "{what}");
        assert!(framer.dropped() >= 2, "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_elements_are_cut_without_a_panic(
        choice in any::<u8>(),
        elements in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5),
        flips in prop::collection::vec((0_usize..12, 0_u8..8), 0..3),
    ) {
        let mut data = vec![choice];
        let mut whole = frame(&format!("{MUX} {PAYLOAD}"));
        for (at, bit) in flips {
            whole[3 + at % 8] ^= 1 << bit;
        }
        data.extend(whole);
        for element in elements {
            data.extend([0x56, 0xe0, u8::try_from(element.len()).unwrap()]);
            data.extend(element);
        }
        crate::fuzz::latm(&data);
    }
}
