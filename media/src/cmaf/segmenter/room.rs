//! What a stream holds, and what it may: its own bound and its share of what
//! all streams may hold together.

use std::sync::Arc;

use super::{Phase, Segmenter};
use crate::cmaf::budget::Grant;
use crate::cmaf::snapshot::Refusal;
use crate::cmaf::track::TrackCutter;

impl Segmenter {
    /// Holds no more than what `grant` can be had to cover.
    #[must_use]
    pub(in crate::cmaf) fn with_grant(mut self, grant: Arc<Grant>) -> Self {
        self.grant = grant;
        self
    }

    /// Bytes that are held, of all tracks.
    pub(super) fn memory(&self) -> u64 {
        let waiting = match &self.phase {
            Phase::Measuring(calibration) => calibration.bytes,
            Phase::Paused(kept) => kept.bytes,
            _ => 0,
        };
        waiting + self.tracks.iter().map(TrackCutter::memory).sum::<u64>()
    }

    /// Lists and lets go of segments, as time and memory demand.
    pub(super) fn tidy(&mut self) {
        let grown = self.tracks.iter().any(TrackCutter::is_longer);
        let used = self.memory();
        let own = self.config.memory.0;
        let full = used > self.grant.held();
        if !(grown || full) || !matches!(self.phase, Phase::Cutting) {
            return;
        }
        let held = if self.grant.grow(used, own) {
            // What is free may still become this stream's.
            self.grant.held().saturating_add(self.grant.room())
        } else {
            self.grant.held()
        };
        let bound = held.min(own);
        if !grown && used <= bound {
            return;
        }
        match self.listing.update(&mut self.tracks, self.target, bound) {
            Ok(()) => {
                let left = self.memory();
                // One that still grows, and has let go of nothing, needs more yet.
                if left < used {
                    self.grant.settle(left);
                }
            }
            Err(Refusal::Memory) if bound < own => self.refuse(Refusal::TotalMemory),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Whether what is measured has room. If not, it is let go of, and the
    /// stream is measured anew from the next frame on.
    pub(super) fn has_room_to_measure(&mut self) -> bool {
        let Phase::Measuring(calibration) = &mut self.phase else {
            return true;
        };
        let bytes = calibration.bytes;
        if bytes <= self.grant.held() || self.grant.grow(bytes, self.config.memory.0) {
            return true;
        }
        self.counters.skipped_frames += calibration.restart();
        self.grant.keep(0);
        if !std::mem::replace(&mut self.put_off, true) {
            self.dirty = true;
            self.tell(Refusal::TotalMemory);
        }
        false
    }
}
