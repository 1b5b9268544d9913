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
    /// The track is one of the configurations in force.
    pub(super) announced: bool,
    /// The last publish that sent a frame of the track which needs no other one.
    opened: u64,
    pub(super) timescale: Option<Timescale>,
    pub(super) meter: Arc<TrackMeter>,
    /// The last publish that announced the track or sent a frame of it.
    pub(super) epoch: u64,
    /// When the track was announced or sent its last frame.
    pub(super) alive_at: u64,
    last: Option<Last>,
    /// The last distance of two frames, in ticks: how long a frame lasts that
    /// does not say so.
    step: i64,
    gop_dts: Option<i64>,
    pub(super) gop_frames: u64,
}

/// The last frame of a track; times in the timescale of then.
#[derive(Clone, Copy)]
struct Last {
    dts: i64,
    duration: i64,
    timescale: Timescale,
    received: Instant,
}

impl TrackState {
    pub(super) fn new(id: TrackId, meter: Arc<TrackMeter>, epoch: u64, age: u64) -> Self {
        Self {
            id,
            kind: None,
            announced: false,
            opened: 0,
            timescale: None,
            meter,
            epoch,
            alive_at: age,
            last: None,
            step: 0,
            gop_dts: None,
            gop_frames: 0,
        }
    }

    /// Takes note of a frame.
    pub(super) fn advance(&mut self, frame: &Frame, age: u64, epoch: u64) {
        self.epoch = epoch;
        self.alive_at = age;
        if frame.keyframe {
            self.opened = epoch;
        }
        let Some(timescale) = self.timescale else {
            return;
        };
        if let Some(last) = self.last
            && last.timescale == timescale
        {
            // A longer one is a gap.
            let step = frame.dts.saturating_sub(last.dts);
            if (1..=i64::from(timescale.hz())).contains(&step) {
                self.step = step;
            }
        }
        let duration = frame.duration.map(|duration| i64::from(duration.get()));
        self.last = Some(Last {
            dts: frame.dts,
            duration: duration.unwrap_or(self.step),
            timescale,
            received: frame.received,
        });
    }

    /// Whether a frame that needs no other one came in the publish of `epoch`.
    pub(super) const fn is_opened(&self, epoch: u64) -> bool {
        self.opened == epoch
    }

    /// The end of the last frame on the stream's time line, and its arrival.
    pub(super) fn end(&self) -> Option<ResumePoint> {
        let last = self.last?;
        Some(ResumePoint {
            time: last
                .timescale
                .to_nanos(last.dts.saturating_add(last.duration)),
            at: last.received,
        })
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
