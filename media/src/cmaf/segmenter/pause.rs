//! Streams that nobody watches, where packaging waits for viewers
//! (`cmaf.start = "on-demand"`).
//!
//! A pause lets go of all media and cuts no more, but keeps the pictures since the
//! last keyframe, which the bus holds too: who comes gets them at once. What is cut
//! then is in the same session, with the next numbers, behind a discontinuity.

use std::time::Instant;

use rillcast_core::{Frame, Interest, MediaKind};

use super::{Backlog, Phase, Segmenter};
use crate::cmaf::part::length;

/// What has come since the last keyframe of the primary track.
#[derive(Debug, Default)]
pub(super) struct Kept {
    frames: Vec<Frame>,
    pub(super) bytes: u64,
}

impl Segmenter {
    /// Stops cutting until [`resume`](Self::resume), if it has begun.
    pub(in crate::cmaf) fn pause(&mut self, now: Instant) {
        if self.ended.is_some() || !matches!(self.phase, Phase::Cutting) {
            return;
        }
        self.break_off(now, true);
        for track in &mut self.tracks {
            track.clear();
            track.begin(self.cut);
        }
        self.listing.first = self.listing.first.max(self.cut.number);
        self.grant.keep(self.memory());
        self.phase = Phase::Paused(Kept::default());
        self.dirty = true;
        tracing::debug!(stream = %self.key, "nobody watches: packaging pauses");
    }

    /// Goes on cutting, with what has come since the last keyframe.
    pub(in crate::cmaf) fn resume(&mut self, now: Instant) {
        let Phase::Paused(kept) = &mut self.phase else {
            return;
        };
        let kept = std::mem::take(kept);
        self.phase = Phase::Cutting;
        self.break_off(now, true);
        let whole = kept
            .frames
            .first()
            .is_some_and(|first| self.begins_gop(first));
        if whole {
            self.backlog = Backlog::Reading;
        }
        for frame in kept.frames {
            self.take_frame(frame, now);
        }
        tracing::debug!(stream = %self.key, "packaging goes on");
    }

    /// Whether a frame begins a GOP, as far as the stream has any.
    pub(in crate::cmaf) fn begins_gop(&self, frame: &Frame) -> bool {
        let primary = self.lead.primary.and_then(|index| self.tracks.get(index));
        primary.is_none_or(|track| {
            track.kind != MediaKind::Video || (track.id == frame.track && frame.keyframe)
        })
    }

    /// Whether it waits for viewers.
    pub(in crate::cmaf) const fn is_paused(&self) -> bool {
        matches!(self.phase, Phase::Paused(_))
    }

    /// A frame while nobody watches.
    pub(super) fn keep(&mut self, frame: &Frame) {
        let most = self.config.memory.0 / 4;
        let primary = self.lead.primary.and_then(|index| self.tracks.get(index));
        let begins = frame.keyframe
            && primary
                .is_some_and(|track| track.id == frame.track && track.kind == MediaKind::Video);
        let Phase::Paused(kept) = &mut self.phase else {
            return;
        };
        if begins {
            kept.forget();
        }
        kept.frames.push(frame.clone());
        kept.bytes += length(frame);
        // Sound alone has no keyframes to begin at, and not every GOP ends.
        let fits = kept.bytes <= most && kept.frames.len() <= MOST_KEPT;
        if !fits || !self.grant.grow(kept.bytes, most) {
            kept.forget();
        }
    }

    /// What came before a break is of no use behind it.
    pub(super) fn forget_kept(&mut self) {
        if let Phase::Paused(kept) = &mut self.phase {
            kept.forget();
        }
    }

    /// Keyframes, so that no more is kept for it than there must be.
    pub(super) fn interest_in_pause(&self) -> Interest {
        let tracks = self.tracks.iter();
        tracks.fold(Interest::everything(), |interest, track| {
            let video = track.kind == MediaKind::Video;
            interest.in_track_from(track.id, i64::MAX, video)
        })
    }
}

impl Kept {
    fn forget(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }
}

/// Frames that are kept for who comes: some ten seconds of pictures and sound.
const MOST_KEPT: usize = 1_024;
