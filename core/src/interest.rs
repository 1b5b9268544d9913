//! What a [`StreamWorker`](crate::StreamWorker) wants to be woken for.

use crate::TrackId;

/// Tracks that an interest can tell apart.
const MOST: usize = 4;

/// What a worker wants to be woken for.
///
/// Whatever is no frame always wakes it, and so does a frame of a track that
/// is not named here; it then reads all that has come meanwhile, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    tracks: [Option<Beyond>; MOST],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Beyond {
    track: TrackId,
    dts: i64,
    keyframes: bool,
}

impl Interest {
    /// An interest in everything.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            tracks: [None; MOST],
        }
    }

    /// The same, but in frames of `track` only from the decode time `dts` on
    /// (in its ticks) and, if `keyframes` is set, in keyframes. There is room
    /// for four tracks; the interest in others stays.
    #[must_use]
    pub fn in_track_from(mut self, track: TrackId, dts: i64, keyframes: bool) -> Self {
        if let Some(place) = self.tracks.iter_mut().find(|place| place.is_none()) {
            *place = Some(Beyond {
                track,
                dts,
                keyframes,
            });
        }
        self
    }

    /// Whether such a frame is of interest.
    #[must_use]
    pub fn wants(&self, track: TrackId, dts: i64, keyframe: bool) -> bool {
        let named = self.tracks.iter().flatten().find(|it| it.track == track);
        named.is_none_or(|it| dts >= it.dts || (keyframe && it.keyframes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_before_the_time_named_are_of_no_interest_and_all_others_are() {
        let interest = Interest::everything()
            .in_track_from(TrackId(0), 900, true)
            .in_track_from(TrackId(1), 480, false);
        for (track, dts, keyframe, want) in [
            (0, 899, false, false),
            (0, 899, true, true),
            (0, 900, false, true),
            (1, 479, true, false),
            (1, 480, true, true),
            (2, 0, false, true),
        ] {
            let got = interest.wants(TrackId(track), dts, keyframe);
            assert_eq!(got, want, "track {track}, {dts}, {keyframe}");
        }
        assert!(Interest::everything().wants(TrackId(0), i64::MIN, false));
        // A fifth track is read with everything.
        let many = (0..9).fold(Interest::everything(), |interest, track| {
            interest.in_track_from(TrackId(track), 1, false)
        });
        assert!(!many.wants(TrackId(3), 0, false) && many.wants(TrackId(4), 0, false));
    }
}
