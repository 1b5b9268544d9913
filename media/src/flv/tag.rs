//! The headers of audio and video bodies (sections E.4.2 and E.4.3). Those of
//! enhanced RTMP, with four-character codes and several tracks, are the
//! neighbour `enhanced`'s.

mod enhanced;

use bytes::Bytes;
use rillcast_core::{Codec, MediaKind};

use super::{Error, Unsupported};
use crate::codec::{AAC, AC3, AV1, AVC, EAC3, HEVC, MP3, VVC};
use crate::cursor::Cursor;

pub(super) use enhanced::Parts;

/// What a body holds of one track.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The publisher's number of the track, which is 0 where it gives none.
    pub(super) number: u8,
    pub(super) codec: Codec,
    pub(super) data: Data,
}

/// What a part is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// The decoder's configuration in the codec's own form. Empty if there is
    /// none and the codec needs none.
    Configuration(Bytes),
    /// An access unit, and its composition time in milliseconds.
    AccessUnit(Bytes, i32),
    /// What enhanced RTMP says of a picture's colours, in AMF0.
    Metadata(Bytes),
    /// Nothing for anyone: the end of a sequence, a command frame.
    Nothing,
}

/// The parts of a video body.
pub(super) fn video(body: Bytes) -> Result<Parts, Error> {
    const KIND: MediaKind = MediaKind::Video;
    let mut cursor = Cursor::new(&body);
    let first = cursor.u8().ok_or(Error::Empty(KIND))?;
    if first & EXTENDED_VIDEO != 0 {
        return enhanced::parts(KIND, first & 0x0f, first >> 4 & 7 == COMMAND_FRAME, &body);
    }
    if first >> 4 == COMMAND_FRAME {
        return Ok(Parts::none());
    }
    let codec = match first & 0x0f {
        CODEC_AVC => AVC,
        // The form of encoders that are older than enhanced RTMP's: as H.264,
        // with another number.
        CODEC_HEVC => HEVC,
        other => return Err(Unsupported::legacy(KIND, video_codec_name(other)).into()),
    };
    let packet = cursor.u8().ok_or(Error::Truncated(KIND))?;
    if !matches!(packet, SEQUENCE_START | CODED_FRAMES) {
        return Ok(Parts::none());
    }
    let composition_time = cursor.i24().ok_or(Error::Truncated(KIND))?;
    let payload = rest(KIND, &body, &cursor)?;
    Ok(Parts::one(
        codec,
        match packet {
            SEQUENCE_START => Data::Configuration(payload),
            _ => Data::AccessUnit(payload, composition_time),
        },
    ))
}

/// The parts of an audio body.
pub(super) fn audio(body: Bytes) -> Result<Parts, Error> {
    const KIND: MediaKind = MediaKind::Audio;
    let mut cursor = Cursor::new(&body);
    let first = cursor.u8().ok_or(Error::Empty(KIND))?;
    match first >> 4 {
        EXTENDED_AUDIO => enhanced::parts(KIND, first & 0x0f, false, &body),
        FORMAT_AAC => {
            let packet = cursor.u8().ok_or(Error::Truncated(KIND))?;
            Ok(match packet {
                SEQUENCE_START => Parts::one(AAC, Data::Configuration(rest(KIND, &body, &cursor)?)),
                CODED_FRAMES => Parts::one(AAC, Data::AccessUnit(rest(KIND, &body, &cursor)?, 0)),
                _ => Parts::none(),
            })
        }
        FORMAT_MP3 | FORMAT_MP3_8_KHZ => {
            let payload = rest(KIND, &body, &cursor)?;
            Ok(Parts::one(MP3, Data::AccessUnit(payload, 0)))
        }
        other => Err(Unsupported::legacy(KIND, audio_format_name(other)).into()),
    }
}

/// What stands behind the header, as a slice of the body.
fn rest(kind: MediaKind, body: &Bytes, cursor: &Cursor<'_>) -> Result<Bytes, Error> {
    if cursor.is_empty() {
        return Err(Error::Empty(kind));
    }
    Ok(body.slice_ref(cursor.rest()))
}

/// Whether coded frames of the codec have a composition time before them.
const fn has_composition_time(codec: Codec) -> bool {
    matches!(codec, AVC | HEVC | VVC)
}

/// Whether a sequence may start without a configuration: the access units say
/// it all. FFmpeg 9.0 sends such starts for AC-3 and, when the encoder has not
/// made a configuration yet, for AV1.
const fn starts_without_configuration(codec: Codec) -> bool {
    matches!(codec, AV1 | AC3 | EAC3 | MP3)
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
        CODEC_HEVC => "H.265",
        13 => "AV1 (in the unofficial form, codec id 13)",
        _ => "an unknown codec",
    }
}

pub(super) const fn audio_format_name(format: u8) -> &'static str {
    match format {
        0 | 3 => "PCM",
        1 => "ADPCM",
        FORMAT_MP3 | FORMAT_MP3_8_KHZ => "MP3",
        4..=6 => "Nellymoser",
        7 => "G.711 A-law",
        8 => "G.711 mu-law",
        FORMAT_AAC => "AAC",
        11 => "Speex",
        13 => "Opus (in the unofficial form, sound format 13)",
        _ => "an unknown codec",
    }
}

/// The top bit of a video body: an enhanced RTMP header follows.
const EXTENDED_VIDEO: u8 = 0x80;
/// The sound format that says the same for audio.
const EXTENDED_AUDIO: u8 = 9;

/// The frame type "video info/command frame".
const COMMAND_FRAME: u8 = 5;
const CODEC_AVC: u8 = 7;
const CODEC_HEVC: u8 = 12;

const FORMAT_MP3: u8 = 2;
const FORMAT_AAC: u8 = 10;
const FORMAT_MP3_8_KHZ: u8 = 14;

// Packet types that the old headers and the enhanced ones have in common.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;

#[cfg(test)]
mod tests;
