//! FLV: the bodies of its tags, which are RTMP's messages too, and its files
//! (Adobe's "Video File Format Specification", version 10.1).
//!
//! [`Demuxer`] turns bodies into tracks and access units, for RTMP and for
//! files alike; [`file::Reader`] finds the tags of a file; [`amf0`] holds the
//! values of script data and of RTMP's commands.

pub mod amf0;
mod demuxer;
mod error;
pub mod file;
mod script;
mod tag;

use rillcast_core::TrackId;

pub use demuxer::Demuxer;
pub use error::{Error, Unsupported};
pub use script::Metadata;

/// The one video track of a stream in FLV.
pub const VIDEO: TrackId = TrackId(0);

/// The one audio track of a stream in FLV.
pub const AUDIO: TrackId = TrackId(1);
