//! Headers by the specification's tables. Streams that FFmpeg wrote are in
//! `tests/audio.rs`.

use super::*;
use crate::codec::framer::Framer;
use crate::codec::framer::tests::cut;

#[test]
fn headers_by_the_tables() {
    for (header, codec, rate, channels, bitrate, samples, len) in [
        // Layer II at 192 kbit/s, 48 kHz, stereo; with padding at 44.1 kHz.
        (
            [0xff, 0xfd, 0xa4, 0x00],
            MP2,
            48_000,
            2,
            192_000,
            1_152,
            576,
        ),
        (
            [0xff, 0xfd, 0xa2, 0x00],
            MP2,
            44_100,
            2,
            192_000,
            1_152,
            627,
        ),
        (
            [0xff, 0xfd, 0xe8, 0xc0],
            MP2,
            32_000,
            1,
            384_000,
            1_152,
            1_728,
        ),
        // MPEG-2 layer II: half the rate, the same samples.
        ([0xff, 0xf5, 0x84, 0xc0], MP2, 24_000, 1, 64_000, 1_152, 384),
        // Layer III, joint stereo.
        (
            [0xff, 0xfb, 0x90, 0x64],
            MP3,
            44_100,
            2,
            128_000,
            1_152,
            417,
        ),
        (
            [0xff, 0xfb, 0x92, 0x64],
            MP3,
            44_100,
            2,
            128_000,
            1_152,
            418,
        ),
        (
            [0xff, 0xfa, 0xe4, 0x00],
            MP3,
            48_000,
            2,
            320_000,
            1_152,
            960,
        ),
        // MPEG-2 and MPEG-2.5 layer III: half the samples.
        ([0xff, 0xf3, 0x80, 0xc4], MP3, 22_050, 1, 64_000, 576, 208),
        ([0xff, 0xe3, 0x18, 0xc4], MP3, 8_000, 1, 8_000, 576, 72),
    ] {
        let header = Header::parse(header).unwrap();
        assert_eq!(header.codec, codec);
        assert_eq!((header.sample_rate, header.channels), (rate, channels));
        assert_eq!((header.bitrate, header.samples), (bitrate, samples));
        assert_eq!(header.frame_len, len);
        assert_eq!(frame_duration(codec, rate), samples);
        let track = header.track(TrackId(2));
        assert_eq!(track.timescale.hz(), rate);
        assert!(track.config.is_empty());
    }
}

#[test]
fn what_is_no_header_is_none() {
    for (what, header) in [
        ("no sync", [0xff, 0xdb, 0x90, 0x64]),
        ("reserved version", [0xff, 0xeb, 0x90, 0x64]),
        ("reserved layer", [0xff, 0xf9, 0x90, 0x64]),
        ("layer I", [0xff, 0xff, 0x90, 0x64]),
        (
            "layer II at a quarter of the rate",
            [0xff, 0xe5, 0x90, 0x64],
        ),
        ("free format", [0xff, 0xfb, 0x00, 0x64]),
        ("forbidden bitrate", [0xff, 0xfb, 0xf0, 0x64]),
        ("reserved rate", [0xff, 0xfb, 0x9c, 0x64]),
        ("reserved emphasis", [0xff, 0xfb, 0x90, 0x66]),
    ] {
        assert_eq!(Header::parse(header), None, "{what}");
    }
}

#[test]
fn every_header_gives_a_frame_longer_than_itself() {
    for bits in 0..=0x001f_ffff_u32 {
        let header = Header::parse((0xffe0_0000 | bits).to_be_bytes());
        if let Some(header) = header {
            assert!(header.frame_len >= 24 && header.frame_len <= 1_729);
        }
    }
}

#[test]
fn padding_and_bitrate_may_change_from_frame_to_frame() {
    let frame = |header: [u8; 4]| {
        let mut frame = header.to_vec();
        frame.resize(Header::parse(header).unwrap().frame_len, 0x55);
        frame
    };
    let (a, b, c) = (
        frame([0xff, 0xfb, 0x90, 0x64]),
        frame([0xff, 0xfb, 0xb2, 0x44]),
        frame([0xff, 0xfb, 0xb2, 0xc4]),
    );
    let mut framer = Framer::mpeg_audio();
    let units = cut(&mut framer, &[a.clone(), b.clone(), a, b].concat(), 100);
    let changed: Vec<_> = units.iter().map(|unit| unit.changed).collect();
    assert_eq!(changed, [true, false, false, false]);
    // One channel instead of two.
    let units = cut(&mut framer, &c.repeat(2), 100);
    assert_eq!(units.iter().filter(|unit| unit.changed).count(), 1);
    assert_eq!(
        framer.track(TrackId(0)).unwrap().audio().unwrap().channels,
        1
    );
    assert_eq!(framer.dropped(), 0);
}

#[test]
fn one_frame_is_enough_for_a_track() {
    let config = Config::of_frame(&[0xff, 0xfb, 0x90, 0x64, 1, 2, 3]).unwrap();
    let track = config.track(TrackId(1));
    assert_eq!((track.codec, track.timescale.hz()), (MP3, 44_100));
    assert_eq!(Config::of_frame(&[0xff, 0xfb, 0x90]), None);
    assert_eq!(Config::of_frame(&[0; 8]), None);
}
