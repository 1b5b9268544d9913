//! Configurations and frames of FFmpeg, and frame headers by hand.

use proptest::prelude::*;

use super::*;
use crate::codec::avc::captures::bytes;

/// STREAMINFO of FFmpeg 5.1: 44.1 kHz, one channel, 16 bits, blocks of 4608.
const INFO: &str = "120012000004490004de0ac440f0000033aecd36f8ab0a878da30b37b9efb6c64d51";

#[test]
fn streaminfo_is_found_in_all_its_wrappings() {
    let canonical = bytes("120012000000000000000ac440f0000000000000000000000000000000000000000000");
    let canonical = &canonical[..34];
    for prefix in [
        "",
        "80000022",
        "00000022",
        "664c614300000022",
        "664c614380000022",
        // Behind another block.
        "664c61430400000201028000 0022",
    ] {
        let hex = format!("{prefix}{INFO}").replace(' ', "");
        let config = Config::parse(&bytes(&hex)).unwrap();
        assert_eq!((config.sample_rate(), config.channels()), (44_100, 1));
        assert_eq!(config.bits_per_sample(), 16);
        assert_eq!(config.frame_duration(), Some(4_608));
        assert_eq!(config.to_bytes(), canonical, "{prefix}");
        let track = config.track(TrackId(1));
        assert_eq!(track.timescale.hz(), 44_100);
        assert_eq!(Config::parse(&track.config), Ok(config));
    }
    let no_rate = INFO.replace("0ac440f0", "000000f0");
    let short_blocks = INFO.replacen("1200", "000f", 1);
    let crossed = INFO.replacen("12001200", "12001000", 1);
    for (hex, want) in [
        ("", Error::Truncated),
        ("664c6143", Error::Truncated),
        ("8000002212", Error::Truncated),
        ("800000021200", Error::Truncated),
        ("840000020102", Error::NoStreamInfo),
        ("040000020102", Error::NoStreamInfo),
        (&no_rate, Error::SampleRate),
        (&short_blocks, Error::BlockSize),
        (&crossed, Error::BlockSize),
    ] {
        assert_eq!(Config::parse(&bytes(hex)), Err(want), "{hex}");
    }
}

#[test]
fn a_frame_is_as_long_as_its_header_says() {
    for (hex, want) in [
        ("fff85908003c4e00", Some(4_608)), // FFmpeg
        ("fff85908013b", Some(4_608)),
        ("fff87908020fe7", Some(0x0fe8)), // its last: 16 bits of the size
        ("fff8690802ff", Some(256)),
        ("fff81908003c", Some(192)),
        ("fff82908003c", Some(576)),
        ("fff88908003c", Some(256)),
        ("fff9c90800", Some(4_096)), // blocks that differ
        ("fff8f90800", Some(32_768)),
        ("fff85908c280", Some(4_608)), // longer numbers
        ("fff85908fe8080808080 80", Some(4_608)),
        ("fff85908c2", None),
        ("fff85908c200", None),
        ("fff85908ff", None),
        ("fff8590880", None),
        ("fff8090800", None), // reserved
        ("fff8590900", None),
        ("fffa590800", None),
        ("fff8790800", None),
        ("", None),
    ] {
        assert_eq!(frame_duration(&bytes(&hex.replace(' ', ""))), want, "{hex}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(config) = Config::parse(&data) {
            prop_assert_eq!(Config::parse(&config.to_bytes()), Ok(config));
        }
        if let Some(samples) = frame_duration(&data) {
            prop_assert!(samples > 0);
        }
    }
}
