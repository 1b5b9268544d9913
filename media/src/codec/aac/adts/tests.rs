//! Headers as they are on the wire, and what becomes of them. Streams that
//! FFmpeg wrote are in `tests/audio.rs`.

use proptest::prelude::*;

use super::*;
use crate::codec::framer::Framer;
use crate::codec::framer::tests::cut;

/// Bits given as text, spaces left out.
fn bits(text: &str) -> Vec<u8> {
    let mut out = BitWriter::default();
    for bit in text.chars().filter(|bit| !bit.is_whitespace()) {
        out.put(u32::from(bit == '1'), 1);
    }
    out.into_bytes().to_vec()
}

/// A frame without a checksum: MPEG-4, `profile` and so on as the header has them.
fn frame(profile: u8, rate: u8, channels: u8, block: &[u8]) -> Vec<u8> {
    let len = 7 + block.len();
    let header = format!(
        "111111111111 0 00 1 {profile:02b} {rate:04b} 0 {channels:03b} 0 0 0 0 \
         {len:013b} 11111111111 00"
    );
    [bits(&header), block.to_vec()].concat()
}

#[test]
fn the_configuration_follows_from_the_header() {
    for (profile, rate, channels, want) in [
        // Main, LC, SSR, LTP with their object types 1 to 4.
        (0, 3, 2, (1, 48_000, 2, "0990")),
        (1, 4, 2, (2, 44_100, 2, "1210")),
        (1, 3, 6, (2, 48_000, 6, "11b0")),
        (1, 11, 1, (2, 8_000, 1, "1588")),
        (1, 12, 7, (2, 7_350, 8, "1638")),
        (2, 0, 1, (3, 96_000, 1, "1808")),
        (3, 8, 2, (4, 16_000, 2, "2410")),
    ] {
        let stream = frame(profile, rate, channels, &[0x21, 1, 2]).repeat(2);
        let mut framer = Framer::adts();
        let units = cut(&mut framer, &stream, 3);
        assert_eq!(units.len(), 2);
        assert_eq!(units[0].payload[..], [0x21, 1, 2]);
        let track = framer.track(TrackId(1)).unwrap();
        let config = Config::parse(&track.config).unwrap();
        let hex: String = track.config.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            (
                config.object_type(),
                config.sample_rate(),
                config.channels(),
                hex.as_str()
            ),
            want
        );
        assert_eq!(track.timescale.hz(), want.1);
    }
}

#[test]
fn what_is_no_header_is_none() {
    let good = frame(1, 4, 2, &[1]);
    let parse = |bytes: &[u8]| Header::parse(bytes.first_chunk().unwrap());
    assert!(parse(&good).is_some());
    for (what, at, mask) in [
        ("a syncword with a zero in it", 1, 0x10),
        ("layer 1", 1, 0x02),
        ("a reserved rate", 2, 0x24),
        ("a length of the header alone", 5, 0x20),
    ] {
        let mut bytes = good.clone();
        bytes[at] ^= mask;
        if what.starts_with("a length") {
            bytes[4] = 0;
            bytes[5] = 0xff;
        }
        assert_eq!(parse(&bytes), None, "{what}");
    }
}

#[test]
fn a_checksum_is_no_part_of_the_payload() {
    let header = "111111111111 0 00 0 01 0100 0 010 0 0 0 0 0000000001100 11111111111 00";
    let stream = [&bits(header)[..], &[0xab, 0xcd, 1, 2, 3]]
        .concat()
        .repeat(3);
    let mut framer = Framer::adts();
    let units = cut(&mut framer, &stream, 100);
    assert_eq!(units.len(), 3);
    assert!(units.iter().all(|unit| unit.payload[..] == [1, 2, 3]));
}

#[test]
fn several_blocks_are_several_units_where_their_ends_are_written() {
    // Three blocks of 3, 2 and 4 bytes, each with a checksum behind it.
    let header = "111111111111 0 00 0 01 0100 0 010 0 0 0 0 0000000011100 11111111111 10";
    let body = [
        0, 5, 0, 9, 0xcc, 0xcc, 1, 1, 1, 0xcc, 0xcc, 2, 2, 0xcc, 0xcc, 3, 3, 3, 3, 0xcc, 0xcc,
    ];
    let stream = [&bits(header)[..], &body].concat().repeat(2);
    assert_eq!(stream.len(), 56);
    let mut framer = Framer::adts();
    let units = cut(&mut framer, &stream, 10);
    let payloads: Vec<_> = units.iter().map(|unit| &unit.payload[..]).collect();
    let once: [&[u8]; 3] = [&[1, 1, 1], &[2, 2], &[3, 3, 3, 3]];
    assert_eq!(payloads, [once, once].concat());
    let at: Vec<_> = units.iter().map(|unit| unit.at).collect();
    assert_eq!(at, [0, 18, 22, 28, 46, 50]);

    // Without checksums nobody knows where the second begins.
    let header = "111111111111 0 00 1 01 0100 0 010 0 0 0 0 0000000011100 11111111111 10";
    let stream = [&bits(header)[..], &body].concat().repeat(2);
    let mut framer = Framer::adts();
    assert!(cut(&mut framer, &stream, 10).is_empty());
    assert_eq!(framer.dropped(), 2);
    // Positions behind the frame's end, or in front of the one before.
    for (at, value) in [(8, 200), (8, 0), (10, 4), (7, 255)] {
        let header = "111111111111 0 00 0 01 0100 0 010 0 0 0 0 0000000011100 11111111111 10";
        let mut stream = [&bits(header)[..], &body].concat();
        stream[at] = value;
        let mut framer = Framer::adts();
        assert!(cut(&mut framer, &stream.repeat(2), 10).is_empty(), "{at}");
    }
}

#[test]
fn channels_that_only_a_program_config_element_tells_are_in_the_configuration() {
    // Front: one single, one pair; back: one pair; one LFE: 5.1; "AB".
    let fields = "0000 01 0011  0010 0000 0001 01 000 0000  0 0 0 \
                  0 0000  1 0001  1 0010  0011";
    let used = 3 + fields.chars().filter(|c| matches!(c, '0' | '1')).count();
    let fill = "0".repeat(used.next_multiple_of(8) - used);
    let element = format!("101 {fields} {fill} 00000010 01000001 01000010");
    let first = [&bits(&element)[..], &[0x21, 7, 7]].concat();
    let frames = [
        frame(1, 3, 0, &[0x21, 7]),
        frame(1, 3, 0, &first),
        frame(1, 3, 0, &[0x21, 8]),
    ];
    let mut framer = Framer::adts();
    let units = cut(&mut framer, &frames.concat(), 1_000);
    // Nothing is known of the channels before the element.
    assert_eq!(framer.dropped(), 1);
    assert_eq!(units.len(), 2);
    assert_eq!((units[0].changed, units[1].changed), (true, false));
    assert_eq!(units[0].payload[..], first[..]);
    let track = framer.track(TrackId(0)).unwrap();
    assert_eq!(track.audio().unwrap().channels, 6);
    let fields_of_config = format!("00010 0011 0000 000 {fields}");
    let used = fields_of_config
        .chars()
        .filter(|c| matches!(c, '0' | '1'))
        .count();
    let fill = "0".repeat(used.next_multiple_of(8) - used);
    let want = format!("{fields_of_config} {fill} 00000010 01000001 01000010");
    assert_eq!(track.config[..], bits(&want)[..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_blocks_are_cut_without_a_panic(
        profile in 0_u8..4,
        rate in 0_u8..16,
        channels in 0_u8..8,
        block in prop::collection::vec(any::<u8>(), 0..40),
        second in any::<u8>(),
        last in any::<u8>(),
    ) {
        let mut frame = frame(profile, rate, channels, &block);
        frame[1] ^= second & 1;
        frame[6] ^= last & 3;
        let mut data = vec![last];
        data.extend(frame.repeat(2));
        crate::fuzz::adts(&data);
    }
}
