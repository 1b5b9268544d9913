//! The bodies of the fuzz targets: each takes any bytes and checks what must
//! hold for all of them. The normal tests run them too, on what is committed
//! for them in `fuzz/` and by property tests, so a target cannot rot.
//!
//! What they do not cover: that a reading is the right one. The tests beside
//! each parser and the checks with FFmpeg do.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what must hold and does not is a finding"
)]

mod framers;
mod hevc;
mod input;
mod newer;
mod request;
mod streams;
#[cfg(test)]
mod tests;
mod timeline;
pub(crate) mod ts;

use std::time::Instant;

use bytes::Bytes;
use rillcast_core::TrackId;

use crate::codec::{aac, avc};
use crate::flv::{Demuxer, MAX_TRACKS, amf0, file};
use crate::{SourceItem, codec, fmp4};

pub use framers::{ac3, adts, latm, mpeg_audio, opus};
pub use hevc::{hevc_access_unit, hevc_config};
pub use newer::{av1, flac, vp9};
pub use request::request;
pub use streams::{publish, segmenter};
pub use timeline::timeline;
pub use ts::ts;

/// H.264 configuration records: what parses has a canonical form that parses
/// to the same, and an init segment. Sequence parameter sets: what parses has
/// pictures of some size.
pub fn avc_config(data: &[u8]) {
    if let Ok(sps) = avc::Sps::parse(data) {
        assert!(sps.width > 0 && sps.height > 0);
        let (width, height) = sps.display_size();
        assert!(width > 0 && height > 0);
    }
    let Ok(config) = avc::Config::parse(data) else {
        return;
    };
    let bytes = config.to_bytes();
    let again = avc::Config::parse(&bytes).ok();
    assert_eq!(again.as_ref(), Some(&config));
    assert_eq!(again.map(|config| config.to_bytes()), Some(bytes));
    assert!(fmp4::init(&config.track(TrackId(0))).is_ok());
}

/// H.264 access units; the first byte chooses the size of their lengths.
pub fn avc_access_unit(data: &[u8]) {
    let Some((choice, payload)) = data.split_first() else {
        return;
    };
    let length_size = match choice % 3 {
        0 => 1,
        1 => 2,
        _ => 4,
    };
    let payload = Bytes::copy_from_slice(payload);
    let Ok((canonical, summary)) = avc::canonical(payload, length_size) else {
        return;
    };
    assert_eq!(avc::summarize(&canonical), Ok(summary));
    assert!(avc::units(&canonical).all(|unit| unit.is_ok_and(|unit| !unit.is_empty())));
    assert!(avc::equal(&canonical, &canonical));
    assert_eq!(codec::is_keyframe(codec::AVC, &canonical), summary.keyframe);
    let again = avc::canonical(canonical.clone(), 4);
    assert!(again.is_ok_and(|(again, _)| again.as_ptr() == canonical.as_ptr()));
    // Parameter sets that come with it: what is taken over can be written.
    let track = streams::video_track(TrackId(0), true);
    let Ok(mut config) = avc::Config::parse(&track.config) else {
        return;
    };
    let before = config.clone();
    match config.absorb(&canonical) {
        Ok(changed) => assert_eq!(changed, config != before),
        Err(_) => assert_eq!(config, before),
    }
    avc_config(&config.to_bytes());
    assert_eq!(avc::Config::parse(&config.to_bytes()), Ok(config));
}

/// AudioSpecificConfigs: what parses has a rate, a duration and an init segment.
pub fn aac_config(data: &[u8]) {
    let Ok(config) = aac::Config::parse(data) else {
        return;
    };
    assert!(config.sample_rate() > 0 && config.frame_duration() > 0);
    assert_eq!(aac::Config::parse(&config.to_bytes()).as_ref(), Ok(&config));
    let track = config.track(TrackId(1));
    assert_eq!(codec::frame_duration(&track), Some(config.frame_duration()));
    assert!(fmp4::init(&track).is_ok());
}

/// AMF0: what decodes and is encoded again decodes and encodes to the same.
pub fn amf0(data: &[u8]) {
    let encode = |values: &[amf0::Value]| {
        let mut out = Vec::new();
        for value in values {
            amf0::encode(value, &mut out);
        }
        out
    };
    // Compared encoded, because a NaN equals nothing.
    let (values, _) = amf0::decode_some(data, amf0::Limits::default());
    let once = encode(&values);
    let again = amf0::decode_all(&once, amf0::Limits::default()).map(|values| encode(&values));
    assert_eq!(again, Ok(once));
}

/// Tag bodies in sequence: each one is a byte for its kind and one for its
/// length. Every track has an init segment, every frame a payload.
pub fn flv_bodies(data: &[u8]) {
    let mut demuxer = Demuxer::new();
    let mut rest = data;
    let now = Instant::now();
    while let Some(([kind, len], tail)) = rest.split_first_chunk() {
        let (body, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        let body = Bytes::copy_from_slice(body);
        let items = match kind % 3 {
            0 => demuxer.video(0, body, now),
            1 => demuxer.audio(0, body, now),
            _ => demuxer.script(&body),
        };
        check_items(&items.unwrap_or_default());
    }
}

/// FLV files, cut into reads of 1 to 64 bytes by the first byte.
pub fn flv_file(data: &[u8]) {
    let Some((step, data)) = data.split_first() else {
        return;
    };
    let mut reader = file::Reader::new();
    let mut demuxer = Demuxer::new();
    let now = Instant::now();
    for read in data.chunks(usize::from(step % 64) + 1) {
        reader.push(read);
        loop {
            match reader.next_tag() {
                Ok(Some(tag)) => check_items(&demuxer.tag(tag, now).unwrap_or_default()),
                Ok(None) => break,
                Err(crate::flv::Error::NoFlv) => return,
                Err(_) => {}
            }
        }
    }
}

fn check_items(items: &[SourceItem]) {
    for item in items {
        match item {
            SourceItem::Track(track) => {
                assert!(!fmp4::can_carry(track.codec) || fmp4::init(track).is_ok());
                assert!(!track.codec_string.is_empty());
            }
            SourceItem::Frame(frame) => assert!(!frame.payload.is_empty()),
            SourceItem::Announce(kinds) => {
                assert!(!kinds.is_empty() && kinds.len() <= 2 * MAX_TRACKS);
            }
        }
    }
}
