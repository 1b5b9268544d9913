//! The configurations in force, as one immutable set.

use crate::sync::Arc;
use crate::{MediaKind, Track, TrackId};

/// The latest configuration of every track, in the order in which the tracks
/// were announced.
#[derive(Debug)]
pub(crate) struct Configs {
    /// Counts the changes from 0.
    pub(crate) version: u32,
    pub(crate) tracks: Arc<[Arc<Track>]>,
    /// For each track the version at which it changed last.
    since: Box<[u32]>,
    /// The sequence number from which on nothing comes of the tracks that were
    /// dropped last.
    pub(crate) dropped_at: u64,
}

impl Configs {
    pub(crate) fn new() -> Self {
        Self {
            version: 0,
            tracks: Arc::new([]),
            since: Box::default(),
            dropped_at: 0,
        }
    }

    pub(crate) fn get(&self, id: TrackId) -> Option<&Arc<Track>> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// The primary track: the first video track that was announced.
    pub(crate) fn primary(&self) -> Option<&Arc<Track>> {
        self.tracks
            .iter()
            .find(|track| track.kind() == MediaKind::Video)
    }

    /// This set with `track` in the place of the one with its id, or at the end.
    pub(crate) fn with(&self, track: &Arc<Track>) -> Self {
        let version = self.version.wrapping_add(1);
        let mut tracks = self.tracks.to_vec();
        let mut since = self.since.to_vec();
        let place = tracks
            .iter()
            .zip(&mut since)
            .position(|(old, _)| old.id == track.id);
        match place.and_then(|at| Some((tracks.get_mut(at)?, since.get_mut(at)?))) {
            Some((old, changed)) => {
                *old = Arc::clone(track);
                *changed = version;
            }
            None => {
                tracks.push(Arc::clone(track));
                since.push(version);
            }
        }
        Self {
            version,
            tracks: tracks.into(),
            since: since.into(),
            dropped_at: self.dropped_at,
        }
    }

    /// This set without the tracks that `keep` refuses, of which nothing comes
    /// from the sequence number `at` on.
    pub(crate) fn retain(&self, at: u64, keep: impl Fn(TrackId) -> bool) -> Self {
        let kept = || {
            self.tracks
                .iter()
                .zip(&self.since)
                .filter(|(track, _)| keep(track.id))
        };
        Self {
            version: self.version,
            tracks: kept().map(|(track, _)| Arc::clone(track)).collect(),
            since: kept().map(|(_, since)| *since).collect(),
            dropped_at: at,
        }
    }

    /// The tracks from `at` on that changed after `seen`: the first of them and its place.
    pub(crate) fn next_after(&self, at: usize, seen: u32) -> Option<(usize, &Arc<Track>)> {
        self.tracks
            .iter()
            .zip(&self.since)
            .enumerate()
            .skip(at)
            .find(|(_, (_, since))| **since > seen)
            .map(|(at, (track, _))| (at, track))
    }
}
