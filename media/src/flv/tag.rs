//! The headers of audio and video bodies (sections E.4.2 and E.4.3), and
//! those of enhanced RTMP that mark four-character codes.

use bytes::{Buf, Bytes};
use rillcast_core::{Codec, MediaKind};

use super::{Error, Unsupported};
use crate::cursor::Cursor;

/// A video body whose header is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum VideoBody {
    /// An AVC configuration record.
    Configuration(Bytes),
    /// An access unit, and its composition time in milliseconds.
    AccessUnit(Bytes, i32),
    /// Nothing for anyone: the end of a sequence, a command frame.
    Nothing,
}

/// An audio body whose header is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AudioBody {
    /// An AudioSpecificConfig.
    Configuration(Bytes),
    /// One raw AAC frame.
    Frame(Bytes),
    /// Nothing for anyone.
    Nothing,
}

pub(super) fn video(mut body: Bytes) -> Result<VideoBody, Error> {
    const KIND: MediaKind = MediaKind::Video;
    let mut cursor = Cursor::new(&body);
    let first = cursor.u8().ok_or(Error::Empty(KIND))?;
    if first & EXTENDED_VIDEO != 0 {
        return Err(extended(KIND, &mut cursor));
    }
    let codec = first & 0x0f;
    if first >> 4 == COMMAND_FRAME {
        return Ok(VideoBody::Nothing);
    }
    if codec != CODEC_AVC {
        return Err(Unsupported::legacy(KIND, video_codec_name(codec)).into());
    }
    let packet = cursor.u8().ok_or(Error::Truncated(KIND))?;
    if packet == AVC_END_OF_SEQUENCE {
        return Ok(VideoBody::Nothing);
    }
    let composition_time = cursor.i24().ok_or(Error::Truncated(KIND))?;
    if cursor.is_empty() {
        return Err(Error::Empty(KIND));
    }
    body.advance(VIDEO_HEADER);
    Ok(match packet {
        AVC_SEQUENCE_HEADER => VideoBody::Configuration(body),
        AVC_NAL_UNITS => VideoBody::AccessUnit(body, composition_time),
        _ => VideoBody::Nothing,
    })
}

pub(super) fn audio(mut body: Bytes) -> Result<AudioBody, Error> {
    const KIND: MediaKind = MediaKind::Audio;
    let mut cursor = Cursor::new(&body);
    let first = cursor.u8().ok_or(Error::Empty(KIND))?;
    let format = first >> 4;
    if format == EXTENDED_AUDIO {
        return Err(extended(KIND, &mut cursor));
    }
    if format != FORMAT_AAC {
        return Err(Unsupported::legacy(KIND, audio_format_name(format)).into());
    }
    let packet = cursor.u8().ok_or(Error::Truncated(KIND))?;
    if cursor.is_empty() {
        return Err(Error::Empty(KIND));
    }
    body.advance(AUDIO_HEADER);
    Ok(match packet {
        AAC_SEQUENCE_HEADER => AudioBody::Configuration(body),
        AAC_RAW => AudioBody::Frame(body),
        _ => AudioBody::Nothing,
    })
}

/// Names the codec of an extended header. Only single-track bodies have their
/// code in this place; in the others the packet type says so.
fn extended(kind: MediaKind, cursor: &mut Cursor<'_>) -> Error {
    match cursor.array() {
        Some(code) => Unsupported::four_cc(kind, Codec::new(code)).into(),
        None => Error::Truncated(kind),
    }
}

pub(super) const fn video_codec_name(codec: u8) -> &'static str {
    match codec {
        1 => "JPEG",
        2 => "Sorenson H.263",
        3 | 6 => "Screen Video",
        4 | 5 => "VP6",
        CODEC_AVC => "H.264",
        8 => "H.263",
        9 => "MPEG-4 part 2",
        12 => "H.265 (in the unofficial form, codec id 12)",
        13 => "AV1 (in the unofficial form, codec id 13)",
        _ => "an unknown codec",
    }
}

pub(super) const fn audio_format_name(format: u8) -> &'static str {
    match format {
        0 | 3 => "PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        7 => "G.711 A-law",
        8 => "G.711 mu-law",
        FORMAT_AAC => "AAC",
        11 => "Speex",
        13 => "Opus (in the unofficial form, sound format 13)",
        _ => "an unknown codec",
    }
}

/// Frame and packet type, and the composition time.
const VIDEO_HEADER: usize = 5;
/// Sound format and packet type.
const AUDIO_HEADER: usize = 2;

/// The top bit of a video body: an enhanced RTMP header follows.
const EXTENDED_VIDEO: u8 = 0x80;
/// The sound format that says the same for audio.
const EXTENDED_AUDIO: u8 = 9;

/// The frame type "video info/command frame".
const COMMAND_FRAME: u8 = 5;
const CODEC_AVC: u8 = 7;
const AVC_SEQUENCE_HEADER: u8 = 0;
const AVC_NAL_UNITS: u8 = 1;
const AVC_END_OF_SEQUENCE: u8 = 2;

const FORMAT_AAC: u8 = 10;
const AAC_SEQUENCE_HEADER: u8 = 0;
const AAC_RAW: u8 = 1;

#[cfg(test)]
mod tests;
