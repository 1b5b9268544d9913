//! Tracks that are left out, since CMAF does not carry their codec here: their
//! stream is packaged without them.

use rillcast_core::{Codec, MediaKind, StreamKey, Track, TrackId};

use crate::codec;
use crate::fmp4;

/// The tracks that are left out, with their codecs.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    tracks: Vec<(TrackId, Codec)>,
    /// How often the log was told of one.
    told: u32,
}

impl Foreign {
    /// Takes note of a track's description, and tells the log of one that is
    /// left out from here on.
    pub(super) fn look_at(&mut self, key: &StreamKey, track: &Track) {
        let known = self.tracks.iter().position(|(id, _)| *id == track.id);
        let Some(why) = not_packaged(track) else {
            if let Some(at) = known {
                self.tracks.swap_remove(at);
            }
            return;
        };
        match known.and_then(|at| self.tracks.get_mut(at)) {
            Some((_, codec)) if *codec == track.codec => return,
            Some((_, codec)) => *codec = track.codec,
            None => self.tracks.push((track.id, track.codec)),
        }
        if self.told < MOST_TOLD {
            self.told += 1;
            tracing::warn!(stream = %key, track = %track.id, "a track is left out: {why}");
        }
    }

    /// The tracks that are left out now.
    pub(super) fn tracks(&self) -> impl Iterator<Item = TrackId> {
        self.tracks.iter().map(|(id, _)| *id)
    }
}

/// Why a stream is packaged without this track, in a sentence; `None` for a
/// codec that CMAF carries here.
#[must_use]
pub fn not_packaged(track: &Track) -> Option<String> {
    if fmp4::can_carry(track.codec) {
        return None;
    }
    let name = codec::name(track.codec);
    Some(match track.kind() {
        MediaKind::Video => format!("{name} is not packaged; send H.264 for viewers to see it"),
        MediaKind::Audio => format!("{name} is not packaged; send AAC for viewers to hear it"),
        _ => format!("{name} is not packaged"),
    })
}

/// A publisher can change the codec of a track with every message: so many
/// sentences must do for one life of a stream.
const MOST_TOLD: u32 = 16;
