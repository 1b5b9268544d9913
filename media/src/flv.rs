//! FLV: the bodies of its tags, which are RTMP's messages too, and its files
//! (Adobe's "Video File Format Specification", version 10.1).
//!
//! [`Demuxer`] turns bodies into tracks and access units, for RTMP and for
//! files alike; [`file::Reader`] finds the tags of a file; [`amf0`] holds the
//! values of script data and of RTMP's commands.

pub mod amf0;
mod colour;
mod demuxer;
mod error;
pub mod file;
mod script;
mod tag;

use rillcast_core::{Codec, MediaKind, TrackId};

use crate::codec::{AAC, AC3, AV1, AVC, EAC3, FLAC, HEVC, MP3, OPUS, VP9};

pub use demuxer::Demuxer;
pub use error::{Error, Unsupported};
pub use script::{Metadata, TrackInfo};

/// The video codecs that are carried.
pub const VIDEO_CODECS: &[Codec] = &[AVC, HEVC, AV1, VP9];

/// The audio codecs that are carried.
pub const AUDIO_CODECS: &[Codec] = &[AAC, OPUS, FLAC, AC3, EAC3, MP3];

/// The first video track of a stream in FLV, or the only one: see [`track_id`].
pub const VIDEO: TrackId = TrackId(0);

/// The first audio track of a stream in FLV, or the only one.
pub const AUDIO: TrackId = TrackId(1);

/// Tracks of a kind that one publish may have. OBS sends up to six of sound
/// and as many of video; each costs its configuration and a place in every
/// playlist.
pub const MAX_TRACKS: usize = 16;

/// The highest number of a track that has an id: two ids for each number are
/// all that there are.
const MAX_NUMBER: u8 = 127;

/// The id of the track to which the publisher gives `number`. Messages without
/// a number are of number 0. It depends on nothing else, so a publisher that
/// comes back finds its tracks again. `None` above 127.
#[must_use]
pub const fn track_id(kind: MediaKind, number: u8) -> Option<TrackId> {
    if number > MAX_NUMBER {
        return None;
    }
    let first = match kind {
        MediaKind::Video => VIDEO,
        _ => AUDIO,
    };
    Some(TrackId(number * 2 + first.0))
}
