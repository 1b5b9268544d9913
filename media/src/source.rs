//! What a demuxer yields: tracks and access units on the source's own clock.
//!
//! Demuxers (`flv`, MPEG-TS later) fill these in exactly as the wire
//! has them; the timeline turns them into the frames of the bus, and
//! the feed carries them there.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use rillcast_core::{MediaKind, Timescale, Track, TrackId};

/// One thing that a demuxer found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SourceItem {
    /// A track's description and configuration: before the track's first
    /// frame, and again whenever it may have changed.
    Track(Track),
    /// One access unit.
    Frame(SourceFrame),
    /// The kinds of media that the publisher says it will send, one entry for
    /// each track (`onMetaData` of RTMP).
    Announce(Vec<MediaKind>),
}

/// One access unit with its times as the wire has them.
#[derive(Clone)]
pub struct SourceFrame {
    /// The track that the access unit belongs to.
    pub track: TrackId,
    /// Decoding time in ticks of [`SourceFrame::clock`], possibly wrapped.
    pub dts: i64,
    /// Presentation minus decoding time, in ticks of [`SourceFrame::clock`].
    pub cts: i32,
    /// The clock that `dts` and `cts` count in.
    pub clock: SourceClock,
    /// What stands between two ticks of the clock: nanoseconds, less than one
    /// tick of them, by which both times are later. 0 where the source does
    /// not say it.
    pub nanos: u32,
    /// Duration in the **track's** timescale (1024 for AAC-LC); 0 if unknown.
    pub duration: u32,
    /// Whether decoding can start here, as the bitstream says.
    pub keyframe: bool,
    /// The access unit in the canonical form of its codec.
    pub payload: Bytes,
    /// When it arrived, on this machine's monotonic clock.
    pub received: Instant,
}

/// A source's clock: how fast it ticks and where it wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceClock {
    timescale: Timescale,
    wraps: &'static [u8],
}

impl SourceClock {
    /// The clock of RTMP and FLV: milliseconds, 32 bits wide. Publishers that
    /// forget the extended timestamp wrap it at 24 bits, FFmpeg's FLV muxer at
    /// 31 (its `int32_t` timestamps): all three are recognised.
    pub const RTMP_MILLIS: Self = Self {
        timescale: Timescale::MILLIS,
        wraps: &[24, 31, 32],
    };

    /// The clock of MPEG-TS (ISO/IEC 13818-1, 2.4.3.7): 90 kHz, 33 bits wide.
    pub const MPEG: Self = Self {
        timescale: Timescale::VIDEO,
        wraps: &[33],
    };

    /// A clock of any rate that never wraps.
    #[must_use]
    pub const fn unwrapped(timescale: Timescale) -> Self {
        Self {
            timescale,
            wraps: &[],
        }
    }

    /// Ticks per second.
    #[must_use]
    pub const fn timescale(self) -> Timescale {
        self.timescale
    }

    /// The widths in bits at which the clock may wrap, narrowest first; all
    /// are below 63.
    #[must_use]
    pub const fn wraps(self) -> &'static [u8] {
        self.wraps
    }
}

/// Prints times and sizes, never the payload.
impl fmt::Debug for SourceFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFrame")
            .field("track", &self.track.0)
            .field("dts", &self.dts)
            .field("cts", &self.cts)
            .field("nanos", &self.nanos)
            .field("clock", &self.clock.timescale)
            .field("duration", &self.duration)
            .field("keyframe", &self.keyframe)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}
