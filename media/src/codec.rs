//! Codecs: four-character codes, and what their configurations and access
//! units say. One file for each codec that is understood; whatever asks by
//! codec asks here.

pub mod aac;
pub mod ac3;
pub mod av1;
pub mod avc;
mod bits;
pub mod flac;
pub mod framer;
pub mod hevc;
pub mod light;
pub mod mpeg_audio;
mod nal;
pub mod opus;
mod sets;
pub mod vp9;
mod vui;

use rillcast_core::{Codec, Track};

/// H.264 / MPEG-4 AVC (ISO/IEC 14496-10), parameter sets out of band.
pub const AVC: Codec = Codec::new(*b"avc1");
/// H.265 / HEVC (ISO/IEC 23008-2), parameter sets out of band.
pub const HEVC: Codec = Codec::new(*b"hvc1");
/// H.266 / VVC (ISO/IEC 23090-3).
pub const VVC: Codec = Codec::new(*b"vvc1");
/// AV1 (AOMedia).
pub const AV1: Codec = Codec::new(*b"av01");
/// VP8.
pub const VP8: Codec = Codec::new(*b"vp08");
/// VP9.
pub const VP9: Codec = Codec::new(*b"vp09");
/// AAC in all its profiles (ISO/IEC 14496-3).
pub const AAC: Codec = Codec::new(*b"mp4a");
/// Opus (RFC 6716).
pub const OPUS: Codec = Codec::new(*b"Opus");
/// FLAC (RFC 9639).
pub const FLAC: Codec = Codec::new(*b"fLaC");
/// AC-3 (ETSI TS 102 366).
pub const AC3: Codec = Codec::new(*b"ac-3");
/// Enhanced AC-3 (ETSI TS 102 366, annex E).
pub const EAC3: Codec = Codec::new(*b"ec-3");
/// MPEG-1 or MPEG-2 audio, layer II.
pub const MP2: Codec = Codec::new(*b".mp2");
/// MPEG-1 or MPEG-2 audio, layer III.
pub const MP3: Codec = Codec::new(*b".mp3");

/// What people call the codec; its four-character code if it is not known here.
#[must_use]
pub fn name(codec: Codec) -> String {
    let known = match codec {
        AVC => "H.264",
        HEVC => "H.265",
        VVC => "H.266",
        AV1 => "AV1",
        VP8 => "VP8",
        VP9 => "VP9",
        AAC => "AAC",
        OPUS => "Opus",
        FLAC => "FLAC",
        AC3 => "AC-3",
        EAC3 => "E-AC-3",
        MP2 => "MP2",
        MP3 => "MP3",
        other => return other.to_string(),
    };
    known.to_owned()
}

/// How long each frame of an audio track is, in the track's timescale, where
/// its configuration fixes it; `None` for video, for Opus, whose packets differ,
/// for FLAC where blocks do, and for codecs not known here.
#[must_use]
pub fn frame_duration(track: &Track) -> Option<u32> {
    match track.codec {
        AAC => Some(aac::Config::parse(&track.config).ok()?.frame_duration()),
        AC3 | EAC3 => Some(ac3::FRAME_DURATION),
        FLAC => flac::Config::parse(&track.config).ok()?.frame_duration(),
        MP2 | MP3 => {
            let audio = track.audio()?;
            Some(mpeg_audio::frame_duration(track.codec, audio.sample_rate))
        }
        _ => None,
    }
}

/// How long one access unit of an audio track is, in the track's timescale, by
/// its configuration or by what the access unit itself says; `None` for video,
/// for malformed access units and for codecs not known here.
#[must_use]
pub fn unit_duration(track: &Track, payload: &[u8]) -> Option<u32> {
    match track.codec {
        OPUS => opus::packet_duration(payload),
        // The last block may be shorter than all others.
        FLAC => flac::frame_duration(payload),
        _ => frame_duration(track),
    }
}

/// Whether decoding can start at this access unit, as the bitstream says.
/// `false` for a malformed one and for codecs not known here.
#[must_use]
pub fn is_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        AVC => avc::is_keyframe(payload),
        HEVC => hevc::is_keyframe(payload),
        AV1 => av1::is_keyframe(payload),
        VP9 => vp9::is_keyframe(payload),
        AAC | AC3 | EAC3 | FLAC | MP2 | MP3 | OPUS => true,
        _ => false,
    }
}

/// Whether two access units in canonical form are equal as far as a decoder
/// cares: for H.264 and HEVC, the same NAL units in the same order, access unit
/// delimiters, filler data and parameter sets left out; for AV1, the same OBUs
/// without sequence headers; for all other codecs, the same bytes.
#[must_use]
pub fn equal_payloads(codec: Codec, a: &[u8], b: &[u8]) -> bool {
    match codec {
        AVC => avc::equal(a, b),
        HEVC => hevc::equal(a, b),
        AV1 => av1::equal(a, b),
        _ => a == b,
    }
}
