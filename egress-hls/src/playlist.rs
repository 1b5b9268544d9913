//! Playlists as pure functions of the live window.
//!
//! [`media`] is a track's list of segments, written by hand because m3u8-rs
//! cannot say all that a live playlist needs (low latency most of all) and puts
//! tags where they are not legal; [`multivariant`] is the entry to the stream,
//! written by m3u8-rs; [`low_latency`] is what a media playlist says beside its
//! segments to players that are less than one behind; [`query`] is what players
//! say in the URLs of playlists; [`law`] checks what was written.

pub(crate) mod law;
pub(crate) mod low_latency;
pub(crate) mod media;
pub(crate) mod multivariant;
pub(crate) mod query;

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

/// EXT-X-VERSION of all playlists of a low-latency session: delta updates need
/// it (draft-pantos-hls-rfc8216bis section 8), and a version that came and went
/// with them would be no use.
const VERSION_LOW_LATENCY: u8 = 9;

/// EXT-X-VERSION of a playlist of MPEG-TS: durations have decimals.
const VERSION_TS: u8 = 3;

/// The same of a multivariant playlist with EXT-X-MEDIA.
const VERSION_TS_MULTIVARIANT: u8 = 4;
