//! What a stream says of itself.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sync::Arc;
use crate::{MediaKind, MediaParams, Track};

/// What is known of a stream beside its media, for the API and the logs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamMetadata {
    /// Where the publisher of now connects from, if it is a peer.
    pub publisher_addr: Option<SocketAddr>,
    /// The name of the ingest that publishes, for example `rtmp`.
    pub ingest_protocol: String,
    /// When the stream's life began, in milliseconds since 1970 (UTC): for
    /// display only, since the wall clock may be set.
    pub started_at_ms: u64,
    /// Width of the primary video track in pixels; 0 if unknown.
    pub width: u32,
    /// Height of the primary video track in pixels; 0 if unknown.
    pub height: u32,
    /// Every track with its codec and parameters, in the order of their announcement.
    pub tracks: Arc<[Arc<Track>]>,
    /// The kinds of media that the publisher said it will send, for readers
    /// that wait for a late track; empty if it did not say.
    pub announced: Vec<MediaKind>,
    /// The encoder, as it names itself.
    pub encoder: Option<String>,
}

impl StreamMetadata {
    /// Metadata of a stream that starts now and is published by `ingest_protocol`.
    #[must_use]
    pub fn new(ingest_protocol: impl Into<String>) -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            publisher_addr: None,
            ingest_protocol: ingest_protocol.into(),
            started_at_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            width: 0,
            height: 0,
            tracks: Arc::new([]),
            announced: Vec::new(),
            encoder: None,
        }
    }

    /// Takes over what the tracks say.
    pub(super) fn set_tracks(&mut self, tracks: Arc<[Arc<Track>]>) {
        let video = tracks.iter().find_map(|track| match track.params {
            MediaParams::Video(video) => Some(video),
            _ => None,
        });
        if let Some(video) = video {
            (self.width, self.height) = (video.width, video.height);
        }
        self.tracks = tracks;
    }
}
