//! Of which tracks a resilient reader can hand frames on: those of which it has
//! read a keyframe.

use super::State;
use crate::{MediaKind, Track, TrackId};

impl State {
    /// Whether a frame of `track` can be decoded from here on.
    pub(super) fn is_open(&mut self, track: TrackId, dependent: bool) -> bool {
        if !self.resilient {
            return true;
        }
        let (word, bit) = place(track);
        let Some(opened) = self.opened.get_mut(word) else {
            return true;
        };
        if *opened & bit == 0 {
            if dependent {
                return false;
            }
            *opened |= bit;
            self.open = self.is_all_open();
        }
        true
    }

    /// The reader knows of the track from here on.
    pub(super) fn await_track(&mut self, track: &Track) {
        let (word, bit) = place(track.id);
        if let Some(awaited) = self.awaited.get_mut(word) {
            // Data has no keyframes to wait for.
            match track.kind() {
                MediaKind::Data => *awaited &= !bit,
                _ => *awaited |= bit,
            }
        }
        self.open = self.is_all_open();
    }

    /// Whether no frame can come that has to be left out, but for those that
    /// the writer marks.
    pub(super) fn is_all_open(&self) -> bool {
        let mut closed = self.awaited;
        for (word, opened) in closed.iter_mut().zip(&self.opened) {
            *word &= !opened;
        }
        if !self.resilient || closed == [0; 4] {
            return true;
        }
        // Those that were dropped before the place where the reader stands.
        let configs = self.stream.configs();
        if self.seq < configs.dropped_at {
            return false;
        }
        for track in configs.tracks.iter() {
            let (word, bit) = place(track.id);
            if closed.get(word).is_some_and(|word| word & bit != 0) {
                return false;
            }
        }
        true
    }

    pub(super) fn close_tracks(&mut self) {
        self.opened = [0; 4];
        self.open = self.is_all_open();
    }
}

/// The word of a track's bit, and the bit.
fn place(track: TrackId) -> (usize, u64) {
    (usize::from(track.0 / 64), 1 << (track.0 % 64))
}
