//! HEVC: configuration records, parameter sets and access units.

use bytes::Bytes;
use rillcast_core::TrackId;

use crate::codec::{self, hevc};

/// HEVC configuration records: what parses has a canonical form that parses to
/// the same. Sequence parameter sets: what parses has pictures of some size.
pub fn hevc_config(data: &[u8]) {
    if let Ok(sps) = hevc::Sps::parse(data) {
        assert!(sps.width > 0 && sps.height > 0);
        let (width, height) = sps.display_size();
        assert!(width > 0 && height > 0);
        assert!((1..=7).contains(&sps.temporal_layers));
    }
    let Ok(config) = hevc::Config::parse(data) else {
        return;
    };
    let bytes = config.to_bytes();
    let again = hevc::Config::parse(&bytes).ok();
    assert_eq!(again.as_ref(), Some(&config));
    assert_eq!(again.map(|config| config.to_bytes()), Some(bytes));
    let track = config.track(TrackId(0));
    assert!(track.codec_string.starts_with("hvc1."));
}

/// HEVC access units; the first byte chooses the size of their lengths.
pub fn hevc_access_unit(data: &[u8]) {
    let Some((choice, payload)) = data.split_first() else {
        return;
    };
    let length_size = match choice % 3 {
        0 => 1,
        1 => 2,
        _ => 4,
    };
    let payload = Bytes::copy_from_slice(payload);
    let Ok((canonical, summary)) = hevc::canonical(payload, length_size) else {
        return;
    };
    assert_eq!(hevc::summarize(&canonical), Ok(summary));
    assert!(hevc::units(&canonical).all(|unit| unit.is_ok_and(|unit| !unit.is_empty())));
    assert!(hevc::equal(&canonical, &canonical));
    assert_eq!(
        codec::is_keyframe(codec::HEVC, &canonical),
        summary.keyframe
    );
    let again = hevc::canonical(canonical.clone(), 4);
    assert!(again.is_ok_and(|(again, _)| again.as_ptr() == canonical.as_ptr()));
    // Parameter sets that come with it: what is taken over can be written.
    if let Some(config) = hevc::Config::gather(&canonical) {
        hevc_config(&config.to_bytes());
        assert_eq!(hevc::Config::parse(&config.to_bytes()), Ok(config));
    }
    let Ok(mut config) = hevc::Config::parse(RECORD) else {
        panic!("the record is one of x265");
    };
    let before = config.clone();
    match config.absorb(&canonical) {
        Ok(changed) => assert_eq!(changed, config != before),
        Err(_) => assert_eq!(config, before),
    }
    hevc_config(&config.to_bytes());
    assert_eq!(hevc::Config::parse(&config.to_bytes()), Ok(config));
}

/// A record of FFmpeg 5.1 with x265 3.5: 640x360, one set of each kind.
const RECORD: &[u8] = &[
    0x01, 0x01, 0x60, 0x00, 0x00, 0x00, 0x90, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3f, 0xf0, 0x00, 0xfc,
    0xfd, 0xf8, 0xf8, 0x00, 0x00, 0x0f, 0x03, 0xa0, 0x00, 0x01, 0x00, 0x18, 0x40, 0x01, 0x0c, 0x01,
    0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
    0x3f, 0x95, 0x94, 0x09, 0xa1, 0x00, 0x01, 0x00, 0x2b, 0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00,
    0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x3f, 0xa0, 0x05, 0x02, 0x01, 0x71,
    0xf2, 0xe5, 0x95, 0x95, 0x29, 0x30, 0xbc, 0x05, 0xa0, 0x20, 0x00, 0x00, 0x03, 0x00, 0x20, 0x00,
    0x00, 0x03, 0x03, 0x21, 0xa2, 0x00, 0x01, 0x00, 0x06, 0x44, 0x01, 0xc0, 0x73, 0xc1, 0x89,
];
