//! Frames: what travels on the bus.

use std::fmt;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// The number of a track within its stream, chosen by the ingest and stable
/// for the life of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u8);

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One access unit of one track (a picture, or an audio frame) with its times.
///
/// Once published, a frame is immutable; subscribers share its payload.
#[derive(Clone)]
#[non_exhaustive]
pub struct Frame {
    /// The track that the frame belongs to.
    pub track: TrackId,
    /// Whether decoding can start here, as the bitstream says (not the
    /// container's flag). Every audio frame that needs no other one is a keyframe.
    pub keyframe: bool,
    /// Duration in the track's timescale where the format states one (audio
    /// frames); `None` where it follows from the next frame's DTS (RTMP video).
    pub duration: Option<NonZeroU32>,
    /// Decoding time in the track's timescale, on the stream's time line.
    pub dts: i64,
    /// Presentation time in the track's timescale, on the stream's time line.
    pub pts: i64,
    /// When the frame arrived, on this machine's monotonic clock.
    pub received: Instant,
    /// The access unit in the canonical form of its codec.
    pub payload: Bytes,
}

impl Frame {
    /// A frame that is no keyframe, has `pts == dts` and no stated duration.
    #[must_use]
    pub fn new(track: TrackId, dts: i64, received: Instant, payload: Bytes) -> Self {
        Self {
            track,
            keyframe: false,
            duration: None,
            dts,
            pts: dts,
            received,
            payload,
        }
    }

    /// Sets whether decoding can start at this frame.
    #[must_use]
    pub fn with_keyframe(mut self, keyframe: bool) -> Self {
        self.keyframe = keyframe;
        self
    }

    /// Sets the presentation time, in the track's timescale.
    #[must_use]
    pub fn with_pts(mut self, pts: i64) -> Self {
        self.pts = pts;
        self
    }

    /// Sets the duration, in the track's timescale; zero means unknown.
    #[must_use]
    pub fn with_duration(mut self, duration: u32) -> Self {
        self.duration = NonZeroU32::new(duration);
        self
    }
}

/// Prints times and sizes, never the payload: logs are no place for media.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("track", &self.track.0)
            .field("keyframe", &self.keyframe)
            .field("dts", &self.dts)
            .field("pts", &self.pts)
            .field("duration", &self.duration)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// A break in the stream's time or origin that every reader must know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discontinuity {
    /// Why time broke.
    pub cause: DiscontinuityCause,
    /// How much stream time holds no media because of it; zero where unknown.
    pub missing: Duration,
}

impl Discontinuity {
    /// A discontinuity of the given cause, with `missing` of stream time without media.
    #[must_use]
    pub const fn new(cause: DiscontinuityCause, missing: Duration) -> Self {
        Self { cause, missing }
    }
}

/// Why a [`Discontinuity`] happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiscontinuityCause {
    /// The publisher sent nothing for a while, and its clock says so too.
    Gap,
    /// The publisher's clock jumped; its times were rebased.
    Jump,
    /// A publisher left and came back within the grace time.
    Reconnect,
    /// Another publisher took the stream over.
    Takeover,
    /// The source itself announced a break.
    Source,
}

impl DiscontinuityCause {
    /// The name that logs, metrics and the API show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Jump => "jump",
            Self::Reconnect => "reconnect",
            Self::Takeover => "takeover",
            Self::Source => "source",
        }
    }
}

impl fmt::Display for DiscontinuityCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_no_payload() {
        let payload = Bytes::from_static(b"SECRET");
        let frame = Frame::new(TrackId(1), 40, Instant::now(), payload).with_keyframe(true);
        let shown = format!("{frame:?}");
        assert!(
            shown.contains("bytes: 6") && shown.contains("dts: 40"),
            "{shown}"
        );
        assert!(
            !shown.contains("SECRET") && !shown.contains("83, 69"),
            "{shown}"
        );
    }

    #[test]
    fn a_duration_of_zero_is_unknown() {
        let frame = Frame::new(TrackId(0), 0, Instant::now(), Bytes::new());
        assert_eq!(frame.clone().with_duration(0).duration, None);
        assert_eq!(frame.with_duration(1_024).duration, NonZeroU32::new(1_024));
    }
}
