//! From access units to a transport stream (ISO/IEC 13818-1), a segment at a
//! time, as HLS wants it (RFC 8216, section 3.2): each begins with the tables,
//! and a player can begin with each.
//!
//! The way of an access unit: `mux/walk.rs` puts all of a segment in order and
//! keeps the clock, `mux/stream.rs` says what becomes of one in its stream,
//! `mux/pes.rs` writes the header before it, `mux/packets.rs` cuts all that into
//! packets. `mux/tables.rs` has the tables.

mod packets;
mod pes;
mod stream;
mod tables;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::Arc;

use rillcast_core::{MediaKind, Track};

use super::sync::PACKET;
use crate::codec::{self, aac, avc, hevc, opus};
use stream::Stream;
use tables::Tables;
use walk::Walk;

/// Writes tracks as a transport stream. Made once for a configuration: what
/// does not depend on access units is ready then. Cheap to clone.
///
/// **The clock.** PCRs are half a second behind what is decoded, come at least
/// every 100 ms of it whatever the rate of pictures, and never go back; where
/// nothing else is to be written, in packets of their own. All times are ten
/// seconds later than the session's, so that the clock has begun before them.
///
/// **Pictures.** Each has a PES packet of its own, an access unit delimiter
/// first; keyframes have their parameter sets and say that decoding can start
/// there.
///
/// **Audio.** Frames that follow each other share a PES packet, of 100 ms at
/// most. It lies where its first frame is to be decoded.
///
/// **Damage.** An access unit whose lengths run past its end is written up to
/// there if it has a slice by then; one that cannot be written is left out.
/// Both are counted ([`Continuity::left_out`]).
#[derive(Clone, Debug)]
pub struct Mux {
    made: Arc<Made>,
}

#[derive(Debug)]
struct Made {
    streams: Vec<Stream>,
    tables: Tables,
    /// The track whose packets carry the clock.
    clock: usize,
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
    /// Counters of the next packets.
    pat: u8,
    pmt: u8,
    streams: [u8; MAX_TRACKS],
    /// The last PCR, in ticks that do not wrap.
    clock: Option<u64>,
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
        let streams = (0_u8..).zip(tracks).map(|(number, track)| {
            let pid = tables::FIRST_STREAM + u16::from(number);
            Stream::of(track, number, pid)
        });
        let streams: Vec<Stream> = streams.collect::<Result<_, _>>()?;
        let video = |track: &&Track| track.kind() == MediaKind::Video;
        let clock = tracks.iter().position(video).unwrap_or(0);
        let pid = streams.get(clock).map_or(0, |stream| stream.pid);
        let tables = Tables::of(&streams, pid);
        Ok(Self {
            made: Arc::new(Made {
                streams,
                tables,
                clock,
            }),
        })
    }

    /// Adds one segment to `out`: the tables, then the access units by their
    /// decoding times. Returns what the next segment takes.
    ///
    /// Those of one track have to come in decoding order, the tracks in any.
    pub fn segment(
        &self,
        counters: Continuity,
        units: &[Unit<'_>],
        out: &mut Vec<u8>,
    ) -> Continuity {
        out.reserve(self.size(counters, units));
        Walk::run(self, counters, units, Some(out)).0
    }

    /// What [`Mux::segment`] would return, without writing: so that segments
    /// can be written later, and in any order. Of a picture, only the lengths
    /// of its NAL units are looked at.
    #[must_use]
    pub fn advance(&self, counters: Continuity, units: &[Unit<'_>]) -> Continuity {
        Walk::run(self, counters, units, None).0
    }

    /// How many bytes [`Mux::segment`] would add.
    #[must_use]
    pub fn size(&self, counters: Continuity, units: &[Unit<'_>]) -> usize {
        Walk::run(self, counters, units, None).1 * PACKET
    }

    fn streams(&self) -> &[Stream] {
        &self.made.streams
    }

    fn tables(&self) -> &Tables {
        &self.made.tables
    }

    /// The track whose packets carry the clock.
    fn clock(&self) -> usize {
        self.made.clock
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
