//! Playlists as pure functions of the live window.
//!
//! [`media`] is a track's list of segments, written by hand because m3u8-rs
//! cannot say all that a live playlist needs (low latency most of all) and puts
//! tags where they are not legal; [`multivariant`] is the entry to the stream,
//! written by m3u8-rs; [`law`] checks what was written against RFC 8216.

pub(crate) mod law;
pub(crate) mod media;
pub(crate) mod multivariant;

#[cfg(test)]
mod tests;

use http::HeaderValue;

/// The media type of both kinds (RFC 8216 section 4).
pub(crate) const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/vnd.apple.mpegurl");

/// EXT-X-VERSION of a playlist with EXT-X-MAP and without EXT-X-GAP (RFC 8216
/// section 7): also the version of the multivariant playlist, since it leads there.
const VERSION: u8 = 6;

/// EXT-X-VERSION of a playlist with EXT-X-GAP.
const VERSION_WITH_GAP: u8 = 8;
