//! Streams that are not packaged, since not enough of them can be held.

use std::time::{Duration, Instant};

use rillcast_core::Frame;

use super::{Phase, Segmenter};
use crate::cmaf::part::length;
use crate::cmaf::snapshot::Refusal;

impl Segmenter {
    /// Stops packaging: three target durations cannot be held.
    pub(super) fn refuse(&mut self, why: Refusal) {
        self.tell(why);
        if self.used {
            // What was begun is lost: its number must not come to hold anything else.
            self.next_number(self.cut.time, false);
        }
        for track in &mut self.tracks {
            track.clear();
            track.begin(self.cut);
        }
        self.grant.keep(0);
        self.phase = Phase::Refused {
            why,
            bytes: 0,
            since: None,
        };
        self.dirty = true;
    }

    pub(super) fn tell(&self, why: Refusal) {
        let reason = why.reason();
        if why == Refusal::TotalMemory {
            let total_memory = self.config.total_memory;
            tracing::warn!(stream = %self.key, %total_memory, "the stream is not packaged: {reason}");
        } else {
            let memory = self.config.memory;
            tracing::warn!(stream = %self.key, %memory, "the stream is not packaged: {reason}");
        }
    }

    /// Whether a stream that was refused would fit now: it is packaged again
    /// when three target durations of it have stayed well below the bound, and
    /// twice as much has been reserved of what all streams may hold.
    pub(super) fn look_again(&mut self, frame: &Frame, now: Instant) {
        self.counters.skipped_frames += 1;
        let Some(index) = self.lead.primary else {
            return;
        };
        let Some(track) = self
            .tracks
            .get(index)
            .filter(|track| track.id == frame.track)
        else {
            if let Phase::Refused { bytes, .. } = &mut self.phase {
                *bytes += length(frame);
            }
            return;
        };
        let time = track.track().timescale.to_nanos(frame.dts);
        let Phase::Refused { why, bytes, since } = &mut self.phase else {
            return;
        };
        *bytes += length(frame);
        let begin = *since.get_or_insert(time);
        let span = Duration::from_nanos(u64::try_from(time.saturating_sub(begin)).unwrap_or(0));
        if !frame.keyframe || span < self.target * 3 {
            return;
        }
        let fits = *bytes < self.config.memory.0 / 2;
        let has_room = fits && self.grant.reserve(bytes.saturating_mul(2));
        if fits && !has_room && *why != Refusal::TotalMemory {
            *why = Refusal::TotalMemory;
            self.dirty = true;
        }
        *bytes = 0;
        *since = Some(time);
        if has_room {
            tracing::info!(stream = %self.key, "the stream is packaged again");
            self.phase = Phase::Cutting;
            self.counters.skipped_frames -= 1;
            self.break_off(now, true);
            self.take_frame(frame.clone(), now);
        }
    }
}
