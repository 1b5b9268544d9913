//! AV1, VP9 and FLAC: configuration records and access units.

use bytes::Bytes;
use rillcast_core::TrackId;

use crate::codec::{self, av1, flac, vp9};
use crate::fmp4;

/// AV1: configuration records, sequence headers and temporal units. What parses has a
/// canonical form that parses to the same, and an init segment.
pub fn av1(data: &[u8]) {
    if let Ok(sequence) = av1::Sequence::parse(data) {
        assert!(sequence.width > 0 && sequence.height > 0);
        assert!(matches!(sequence.bit_depth, 8 | 10 | 12));
    }
    let parsed = av1::Config::parse(data).ok();
    for config in parsed.into_iter().chain(av1::Config::gather(data)) {
        let bytes = config.to_bytes();
        let again = av1::Config::parse(&bytes).ok();
        assert_eq!(again.as_ref(), Some(&config));
        assert_eq!(again.map(|config| config.to_bytes()), Some(bytes));
        let track = config.track(TrackId(0));
        assert!(track.codec_string.starts_with("av01."));
        assert!(fmp4::init(&track).is_ok());
    }
    let payload = Bytes::copy_from_slice(data);
    let Ok((canonical, summary)) = av1::canonical(payload) else {
        assert!(!codec::is_keyframe(codec::AV1, data));
        return;
    };
    assert_eq!(av1::summarize(&canonical), Ok(summary));
    assert_eq!(codec::is_keyframe(codec::AV1, data), summary.keyframe);
    assert!(codec::equal_payloads(codec::AV1, data, &canonical));
    let again = av1::canonical(canonical.clone());
    assert!(again.is_ok_and(|(again, _)| again == canonical));
    let mut config = av1::Config::parse(RECORD).expect("the record is one of libaom");
    let before = config.clone();
    match config.absorb(&canonical) {
        Ok(changed) => assert_eq!(changed, config != before),
        Err(_) => assert_eq!(config, before),
    }
    assert_eq!(av1::Config::parse(&config.to_bytes()), Ok(config));
}

/// VP9: configuration records, and frames and superframes.
pub fn vp9(data: &[u8]) {
    if let Ok(config) = vp9::Config::parse(data) {
        assert_eq!(vp9::Config::parse(&config.to_bytes()), Ok(config));
        assert!(fmp4::init(&config.track(TrackId(0))).is_ok());
    }
    let is_keyframe = codec::is_keyframe(codec::VP9, data);
    if let Some(config) = vp9::Config::gather(data) {
        assert!(is_keyframe);
        let track = config.track(TrackId(0));
        assert!(track.codec_string.starts_with("vp09."));
        assert!(track.video().is_some_and(|video| video.width > 0));
        assert!(fmp4::init(&track).is_ok());
    }
    let mut config = vp9::Config::parse(&[0, 11, 0x82, 2, 2, 2, 0, 0]).expect("it is FFmpeg's");
    let before = config;
    match config.absorb(data) {
        Ok(changed) => {
            assert_eq!(changed, config != before);
            assert_eq!(config.absorb(data), Ok(false));
        }
        Err(_) => assert_eq!(config, before),
    }
}

/// FLAC: configurations in all wrappings, and the headers of frames.
pub fn flac(data: &[u8]) {
    if let Ok(config) = flac::Config::parse(data) {
        assert_eq!(flac::Config::parse(&config.to_bytes()), Ok(config));
        let track = config.track(TrackId(0));
        assert_eq!(codec::frame_duration(&track), config.frame_duration());
        assert!(fmp4::init(&track).is_ok());
    }
    if let Some(samples) = flac::frame_duration(data) {
        assert!((1..=65_536).contains(&samples));
    }
}

/// A record of FFmpeg 5.1 with libaom 3.6: 320x180.
const RECORD: &[u8] = &[
    0x81, 0x00, 0x0c, 0x00, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xfe, 0xcc, 0xda, 0xf9, 0x00,
    0x40,
];
