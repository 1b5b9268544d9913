//! What the writer knows of each track: for joins, for publishers that go on
//! with the stream, and for the stream's measure of itself.

use std::time::Instant;

use crate::bus::qos::{TrackMeter, nanos};
use crate::bus::stream::Stream;
use crate::sync::{Arc, Relaxed};
use crate::{Frame, MediaKind, ResumePoint, Timescale, TrackId};

/// What the writer knows of a track.
pub(super) struct TrackState {
    pub(super) id: TrackId,
    pub(super) kind: Option<MediaKind>,
    pub(super) timescale: Option<Timescale>,
    pub(super) meter: Arc<TrackMeter>,
    /// The last publish that announced the track or sent a frame of it.
    pub(super) epoch: u64,
    /// When the track was announced or sent its last frame.
    pub(super) alive_at: Instant,
    last_dts: Option<i64>,
    step: i64,
    /// End of the last frame on the stream's time line, and its arrival.
    pub(super) end: Option<ResumePoint>,
    gop_dts: Option<i64>,
    pub(super) gop_frames: u64,
}

impl TrackState {
    pub(super) fn new(id: TrackId, meter: Arc<TrackMeter>, epoch: u64, now: Instant) -> Self {
        Self {
            id,
            kind: None,
            timescale: None,
            meter,
            epoch,
            alive_at: now,
            last_dts: None,
            step: 0,
            end: None,
            gop_dts: None,
            gop_frames: 0,
        }
    }

    /// Takes note of a frame.
    pub(super) fn advance(&mut self, frame: &Frame, now: Instant, epoch: u64) {
        self.epoch = epoch;
        self.alive_at = now;
        if let Some(last) = self.last_dts {
            self.step = frame.dts.saturating_sub(last).max(0);
        }
        self.last_dts = Some(frame.dts);
        if let Some(timescale) = self.timescale {
            let duration = frame
                .duration
                .map_or(self.step, |duration| i64::from(duration.get()));
            self.end = Some(ResumePoint {
                time: timescale.to_nanos(frame.dts.saturating_add(duration)),
                at: frame.received,
            });
        }
    }

    /// Measures the GOP that the keyframe at `dts` ends.
    pub(super) fn close_gop(&mut self, stream: &Stream, dts: i64) {
        if let (Some(start), Some(timescale)) = (self.gop_dts, self.timescale) {
            let length = timescale.to_duration(dts.saturating_sub(start));
            stream.counters.gop_nanos.store(nanos(length), Relaxed);
        }
        if self.gop_dts.is_some() {
            stream.counters.gop_frames.store(self.gop_frames, Relaxed);
        }
        self.gop_dts = Some(dts);
        self.gop_frames = 0;
    }
}
