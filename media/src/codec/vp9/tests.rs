//! Keyframes of libvpx, records of FFmpeg, and frames by hand.

use proptest::prelude::*;
use rillcast_core::{Colour, FrameRate, TrackId};

use super::*;
use crate::codec::avc::captures::bytes;

/// Begins of keyframes of libvpx 1.12, 320x180: 4:2:0 in 8 bits, BT.2020 in 10
/// bits, 4:4:4 in 8 bits; and of a frame that is predicted.
const KEY: &str = "824983420013f00b360438241c184a000a40";
const KEY_10: &str = "924983425009f8059b021c120e0c2c000538";
const KEY_444: &str = "a249834200027e0166c08704838309400212";
const INTER: &str = "86004092f0e1400000546b5d82fc35cfecfc";
/// `vpcC` of FFmpeg 5.1 for 320x180 at 30 pictures a second.
const RECORD: &str = "01000000000b820202020000";

/// Frames with an index of one-byte sizes behind them.
fn superframe(frames: &[&[u8]]) -> Vec<u8> {
    let marker = 0xc0 | u8::try_from(frames.len() - 1).unwrap();
    let sizes: Vec<u8> = frames
        .iter()
        .map(|frame| u8::try_from(frame.len()).unwrap())
        .collect();
    [&frames.concat()[..], &[marker], &sizes, &[marker]].concat()
}

#[test]
fn keyframes_say_size_and_format() {
    for (hex, string, colour) in [
        (KEY, "vp09.00.20.08", None),
        (
            KEY_10,
            "vp09.02.20.10.01.09.02.09.00",
            Some(Colour::new(9, 2, 9, false)),
        ),
        (KEY_444, "vp09.01.20.08.03.01.01.01.00", None),
    ] {
        let config = Config::gather(&bytes(hex)).unwrap();
        assert_eq!(config.codec_string(), string);
        let track = config.track(TrackId(0));
        let video = track.video().unwrap();
        assert_eq!((video.width, video.height), (320, 180), "{hex}");
        assert_eq!(video.colour, colour);
        assert_eq!(
            Config::parse(&track.config).unwrap().to_bytes(),
            track.config
        );
        assert!(is_keyframe(&bytes(hex)));
    }
    for hex in [INTER, "", "82", "82498343", "8249834200", "42"] {
        assert_eq!(Config::gather(&bytes(hex)), None, "{hex}");
    }
}

#[test]
fn a_record_becomes_whole_with_the_first_keyframe() {
    for hex in [RECORD, RECORD.trim_start_matches("01000000")] {
        let mut config = Config::parse(&bytes(hex)).unwrap();
        assert_eq!(config.codec_string(), "vp09.00.11.08");
        assert_eq!(config.track(TrackId(0)).video().unwrap().width, 0);
        assert_eq!(config.absorb(&bytes(INTER)), Ok(false));
        assert_eq!(config.absorb(&bytes(KEY)), Ok(true));
        assert_eq!(config.absorb(&bytes(KEY)), Ok(false));
        let track = config.track(TrackId(0));
        assert_eq!(track.video().unwrap().height, 180);
        // What the record said otherwise stays.
        assert_eq!(track.codec_string, "vp09.00.11.08");
        assert_eq!(track.config, bytes(RECORD)[4..]);
    }
    // The record alone knows how BT.2020 is to be shown.
    let mut config = Config::parse(&bytes("0214a20910090000")).unwrap();
    assert_eq!(config.absorb(&bytes(KEY_10)), Ok(true));
    assert_eq!(config.codec_string(), "vp09.02.20.10.01.09.16.09.00");
    for (hex, want) in [
        ("000b8202020200", Error::Truncated),
        ("040b820202020000", Error::Reserved("profile")),
        ("000b920202020000", Error::Reserved("bit depth")),
        ("000b880202020000", Error::Reserved("chroma subsampling")),
    ] {
        assert_eq!(Config::parse(&bytes(hex)), Err(want), "{hex}");
    }
}

#[test]
fn another_size_or_profile_is_a_change() {
    let mut config = Config::gather(&bytes(KEY)).unwrap();
    let mut larger = bytes(KEY);
    larger[5] = 0x27; // 640
    assert_eq!(config.absorb(&larger), Ok(true));
    assert!(config.header().unwrap().width > 600);
    assert_eq!(config.absorb(&larger), Ok(false));
    assert_eq!(config.absorb(&bytes(KEY_10)), Ok(true));
    let before = config;
    let mut broken = bytes(KEY);
    broken[1] = 0;
    assert_eq!(config.absorb(&broken), Err(Error::Header));
    assert_eq!(config, before);
}

#[test]
fn levels_by_size_and_rate() {
    let mut header = Header::parse(&bytes(KEY)).unwrap();
    for (width, height, rate, level) in [
        (256, 144, 15, "10"),
        (320, 180, 30, "11"),
        (640, 360, 30, "21"),
        (1_280, 720, 30, "31"),
        (1_920, 1_080, 30, "40"),
        (1_920, 1_080, 60, "41"),
        (3_840, 2_160, 30, "50"),
        (3_840, 2_160, 60, "51"),
        (60_000, 60_000, 60, "62"),
    ] {
        (header.width, header.height) = (width, height);
        let config = Config::of(header).unwrap();
        let config = config.with_frame_rate(FrameRate::new(rate, 1));
        let string = config.codec_string();
        assert_eq!(string, format!("vp09.00.{level}.08"), "{width} {rate}");
    }
}

#[test]
fn the_first_frame_of_a_superframe_decides() {
    let (key, inter) = (&bytes(KEY)[..], &bytes(INTER)[..]);
    let mut hidden = key.to_vec();
    hidden[0] &= !2;
    let existing = [0x88];
    for (frames, keyframe) in [
        (&[key][..], true),
        (&[&hidden, inter], true),
        (&[&hidden, &existing], true),
        (&[inter, key], false),
        (&[&existing, key], false),
        (&[&[], key], true),
        (&[&[], &[]], false),
    ] {
        let payload = superframe(frames);
        assert_eq!(is_keyframe(&payload), keyframe, "{frames:02x?}");
        assert_eq!(Header::parse(&payload).is_some(), keyframe);
    }
    // Sizes that reach beyond the frames; an index whose begin is another.
    let mut long = superframe(&[inter]);
    let at = long.len() - 2;
    long[at] = 0xff;
    assert!(!is_keyframe(&long));
    assert!(is_keyframe(&[key, &[0xc0]].concat()));
    assert!(!is_keyframe(&[0x88]) && !is_keyframe(&[]));
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(config) = Config::parse(&data) {
            prop_assert_eq!(Config::parse(&config.to_bytes()).unwrap(), config);
        }
        if let Some(mut config) = Config::gather(&data) {
            prop_assert_eq!(config.absorb(&data), Ok(false));
        }
    }
}
