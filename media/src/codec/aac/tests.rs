//! AudioSpecificConfigs by table, and any bytes.

use proptest::prelude::*;

use super::*;

/// Bytes of the bits in `text`, filled up with zeros; spaces are for reading.
fn bits(text: &str) -> Vec<u8> {
    let bits: Vec<u8> = text
        .bytes()
        .filter(|byte| *byte != b' ')
        .map(|byte| byte - b'0')
        .collect();
    bits.chunks(8)
        .map(|chunk| {
            chunk
                .iter()
                .enumerate()
                .fold(0, |byte, (at, bit)| byte | bit << (7 - at))
        })
        .collect()
}

/// Object type, rate, channels, frame duration, codec string.
type Want = (u8, u32, u16, u32, &'static str);

fn check(what: &str, bytes: &[u8], want: Want) {
    let config = Config::parse(bytes).unwrap();
    let got = (
        config.object_type(),
        config.sample_rate(),
        config.channels(),
        config.frame_duration(),
    );
    assert_eq!(got, (want.0, want.1, want.2, want.3), "{what}");
    assert_eq!(config.codec_string(), want.4, "{what}");
    assert_eq!(config.to_bytes(), bytes, "{what}");
    let track = config.track(TrackId(1));
    assert_eq!(track.timescale.hz(), want.1, "{what}");
    assert_eq!(track.audio(), Some(&AudioParams::new(want.1, want.2)));
}

#[test]
fn low_complexity() {
    let lc = "mp4a.40.2";
    check("44.1 kHz", &[0x12, 0x10], (2, 44_100, 2, 1_024, lc));
    check("48 kHz", &[0x11, 0x90], (2, 48_000, 2, 1_024, lc));
    check("mono", &[0x11, 0x88], (2, 48_000, 1, 1_024, lc));
    check("5.1", &[0x11, 0xb0], (2, 48_000, 6, 1_024, lc));
    check("7.1", &[0x11, 0xb8], (2, 48_000, 8, 1_024, lc));
    check("96 kHz", &[0x10, 0x10], (2, 96_000, 2, 1_024, lc));
    check("960 samples", &[0x11, 0x94], (2, 48_000, 2, 960, lc));
    // FFmpeg's encoder says that there is no band replication.
    check(
        "FFmpeg",
        &[0x12, 0x10, 0x56, 0xe5, 0x00],
        (2, 44_100, 2, 1_024, lc),
    );
    check(
        "a rate in 24 bits",
        &bits("00010 1111 000000001011101110000000 0010 000"),
        (2, 48_000, 2, 1_024, lc),
    );
}

#[test]
fn high_efficiency() {
    check(
        "explicit",
        &[0x2b, 0x11, 0x88, 0x00],
        (2, 48_000, 2, 2_048, "mp4a.40.5"),
    );
    check(
        "explicit, with parametric stereo",
        &[0xeb, 0x09, 0x88, 0x00],
        (2, 48_000, 2, 2_048, "mp4a.40.29"),
    );
    check(
        "backward compatible",
        &[0x13, 0x10, 0x56, 0xe5, 0x98],
        (2, 48_000, 2, 2_048, "mp4a.40.5"),
    );
    check(
        "backward compatible, with parametric stereo",
        &[0x13, 0x08, 0x56, 0xe5, 0x9d, 0x48, 0x80],
        (2, 48_000, 2, 2_048, "mp4a.40.29"),
    );
    check(
        "explicit, downsampled",
        &bits("00101 0011 0010 0011 00010 000"),
        (2, 48_000, 2, 1_024, "mp4a.40.5"),
    );
    check(
        "implicit: nothing says so, and time is right all the same",
        &[0x13, 0x10],
        (2, 24_000, 2, 1_024, "mp4a.40.2"),
    );
}

#[test]
fn low_delay() {
    check(
        "LD",
        &bits("10111 0011 0010 0 0 0 00"),
        (23, 48_000, 2, 512, "mp4a.40.23"),
    );
    check(
        "ELD of 480 samples",
        &bits("11111 000111 0011 0001 1"),
        (39, 48_000, 1, 480, "mp4a.40.39"),
    );
}

#[test]
fn channels_are_counted_in_a_program_config_element() {
    // Front: one single, one pair; back: one pair; one LFE: 5.1.
    let element = "0000 01 0011  0010 0000 0001 01 000 0000  0 0 0 \
                   0 0000  1 0001  1 0010  0011";
    let header = "00010 0011 0000  0 0 0";
    // The comment's length begins at a byte boundary.
    let used = format!("{header}{element}").replace(' ', "").len();
    let fill = "0".repeat(used.next_multiple_of(8) - used);
    let text = format!("{header} {element} {fill} 00000010 01000001 01000010");
    check(
        "5.1 by elements",
        &bits(&text),
        (2, 48_000, 6, 1_024, "mp4a.40.2"),
    );
    let cut = bits(&text);
    assert_eq!(Config::parse(&cut[..cut.len() - 1]), Err(Error::Truncated));
}

#[test]
fn what_cannot_be_carried_is_typed() {
    for (bytes, want) in [
        (vec![], Error::Truncated),
        (vec![0x12], Error::Truncated),
        (bits("00010 1101 0010 000"), Error::SampleRate),
        (
            bits("00010 1111 000000000000000000000000 0010 000"),
            Error::SampleRate,
        ),
        (bits("00010 0011 1000 000"), Error::Channels(8)),
        (bits("00000 0011 0010 000"), Error::ObjectType(0)),
        // USAC, and layer III in MPEG-4.
        (bits("11111 001010 0011 0010 000"), Error::ObjectType(42)),
        (bits("11111 000010 0011 0010 000"), Error::ObjectType(34)),
        // 24 kHz "doubled" to 44.1.
        (bits("00101 0110 0010 0100 00010 000"), Error::SampleRate),
    ] {
        assert_eq!(Config::parse(&bytes), Err(want), "{bytes:02x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_bytes_give_a_whole_configuration_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        crate::fuzz::aac_config(&bytes);
    }
}
