//! The headers of audio and video bodies (sections E.4.2 and E.4.3), and
//! those of enhanced RTMP with four-character codes (Veovera's "Enhanced
//! RTMP (V2)"), where only the codecs that FLV always had are carried yet.

use bytes::Bytes;
use rillcast_core::{Codec, MediaKind};

use super::{Error, Unsupported};
use crate::codec;
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

pub(super) fn video(body: Bytes) -> Result<VideoBody, Error> {
    const KIND: MediaKind = MediaKind::Video;
    let mut cursor = Cursor::new(&body);
    let first = cursor.u8().ok_or(Error::Empty(KIND))?;
    let (packet, has_time) = if first & EXTENDED_VIDEO != 0 {
        let packet = extended_packet(KIND, first & 0x0f, &mut cursor)?;
        if first >> 4 & 7 == COMMAND_FRAME && packet != EX_METADATA {
            return Ok(VideoBody::Nothing);
        }
        extended_codec(KIND, packet == EX_VIDEO_MULTITRACK, &mut cursor, codec::AVC)?;
        match packet {
            // Coded frames without a composition time.
            EX_CODED_FRAMES_X => (AVC_NAL_UNITS, false),
            AVC_SEQUENCE_HEADER => (packet, false),
            AVC_NAL_UNITS => (packet, true),
            _ => return Ok(VideoBody::Nothing),
        }
    } else {
        if first >> 4 == COMMAND_FRAME {
            return Ok(VideoBody::Nothing);
        }
        let codec = first & 0x0f;
        if codec != CODEC_AVC {
            return Err(Unsupported::legacy(KIND, video_codec_name(codec)).into());
        }
        match cursor.u8().ok_or(Error::Truncated(KIND))? {
            packet @ (AVC_SEQUENCE_HEADER | AVC_NAL_UNITS) => (packet, true),
            _ => return Ok(VideoBody::Nothing),
        }
    };
    let composition_time = if has_time {
        cursor.i24().ok_or(Error::Truncated(KIND))?
    } else {
        0
    };
    let payload = rest(KIND, &body, &cursor)?;
    Ok(if packet == AVC_SEQUENCE_HEADER {
        VideoBody::Configuration(payload)
    } else {
        VideoBody::AccessUnit(payload, composition_time)
    })
}

pub(super) fn audio(body: Bytes) -> Result<AudioBody, Error> {
    const KIND: MediaKind = MediaKind::Audio;
    let mut cursor = Cursor::new(&body);
    let first = cursor.u8().ok_or(Error::Empty(KIND))?;
    let format = first >> 4;
    let packet = if format == EXTENDED_AUDIO {
        let packet = extended_packet(KIND, first & 0x0f, &mut cursor)?;
        extended_codec(KIND, packet == EX_AUDIO_MULTITRACK, &mut cursor, codec::AAC)?;
        packet
    } else if format == FORMAT_AAC {
        cursor.u8().ok_or(Error::Truncated(KIND))?
    } else {
        return Err(Unsupported::legacy(KIND, audio_format_name(format)).into());
    };
    match packet {
        AAC_SEQUENCE_HEADER => Ok(AudioBody::Configuration(rest(KIND, &body, &cursor)?)),
        AAC_RAW => Ok(AudioBody::Frame(rest(KIND, &body, &cursor)?)),
        _ => Ok(AudioBody::Nothing),
    }
}

/// The packet type of an enhanced RTMP header, behind the extensions that
/// "ModEx" packets put before it. None of those changes what is carried.
fn extended_packet(kind: MediaKind, mut packet: u8, cursor: &mut Cursor<'_>) -> Result<u8, Error> {
    let truncated = || Error::Truncated(kind);
    while packet == EX_MODIFIER {
        let short = cursor.u8().ok_or_else(truncated)?;
        let size = match short {
            u8::MAX => usize::from(cursor.u16().ok_or_else(truncated)?),
            short => usize::from(short),
        };
        cursor.take(size + 1).ok_or_else(truncated)?;
        packet = cursor.u8().ok_or_else(truncated)? & 0x0f;
    }
    Ok(packet)
}

/// Reads the four-character code of an enhanced RTMP header and refuses all
/// but the one that is `carried`, and bodies of several tracks.
fn extended_codec(
    kind: MediaKind,
    multitrack: bool,
    cursor: &mut Cursor<'_>,
    carried: Codec,
) -> Result<(), Error> {
    if multitrack {
        return Err(Unsupported::legacy(kind, "messages of several tracks").into());
    }
    let code = cursor.array().ok_or(Error::Truncated(kind))?;
    match Codec::new(code) {
        codec if codec == carried => Ok(()),
        codec => Err(Unsupported::four_cc(kind, codec).into()),
    }
}

/// What stands behind the header, as a slice of the body.
fn rest(kind: MediaKind, body: &Bytes, cursor: &Cursor<'_>) -> Result<Bytes, Error> {
    if cursor.is_empty() {
        return Err(Error::Empty(kind));
    }
    Ok(body.slice_ref(cursor.rest()))
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

/// The top bit of a video body: an enhanced RTMP header follows.
const EXTENDED_VIDEO: u8 = 0x80;
/// The sound format that says the same for audio.
const EXTENDED_AUDIO: u8 = 9;

/// The frame type "video info/command frame".
const COMMAND_FRAME: u8 = 5;
const CODEC_AVC: u8 = 7;
const AVC_SEQUENCE_HEADER: u8 = 0;
const AVC_NAL_UNITS: u8 = 1;

const FORMAT_AAC: u8 = 10;
const AAC_SEQUENCE_HEADER: u8 = 0;
const AAC_RAW: u8 = 1;

// Packet types of enhanced RTMP (version 2) that the legacy headers do not
// have; 0 and 1, sequence start and coded frames, are the same in both.
const EX_CODED_FRAMES_X: u8 = 3;
const EX_METADATA: u8 = 4;
const EX_VIDEO_MULTITRACK: u8 = 6;
const EX_AUDIO_MULTITRACK: u8 = 5;
const EX_MODIFIER: u8 = 7;

#[cfg(test)]
mod tests;
