//! What a stream measures of itself: totals, and rates over a sliding window
//! that fall to zero when frames stop.

use std::time::Duration;

use super::configs::Configs;
use crate::sync::{Acquire, Arc, AtomicU32, AtomicU64, Relaxed, Release};
use crate::{MediaKind, TrackId};

/// Tracks that a [`Qos`] lists one by one; all of them are in its totals.
const LISTED: usize = 8;

/// Buckets of the sliding window.
const BUCKETS: u32 = 16;

/// Length of a bucket in nanoseconds: the window is 4 s long.
const BUCKET: u64 = 250_000_000;

/// The quality of a stream as the bus measures it, at one moment.
///
/// Rates are measured by arrival over the last 4 seconds. Configurations and
/// discontinuities are not counted as frames. Totals are those of the stream's
/// life, across reconnects.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Qos {
    /// Payload bits per second of all tracks.
    pub bitrate_bps: u64,
    /// Pictures per second of the primary video track; 0 without one.
    pub fps: f64,
    /// Frames of the primary track in its last complete GOP; 0 if frames stopped.
    pub gop_frames: u64,
    /// Length of that GOP in stream time.
    pub gop_duration: Duration,
    /// Frames published.
    pub frames: u64,
    /// Payload bytes published.
    pub bytes: u64,
    /// Discontinuities published.
    pub discontinuities: u64,
    /// Timestamps that the timeline repaired.
    pub repairs: u64,
    /// How often a subscriber fell behind.
    pub lagged: u64,
    /// Frames that subscribers missed because of it, added up over all of them.
    pub dropped: u64,
    /// Subscribers evicted because they fell behind too often.
    pub evicted: u64,
    /// How often a GOP outgrew the bounds of its cache.
    pub gop_truncated: u64,
    /// How often a keyframe was asked for.
    pub keyframe_requests: u64,
    /// Workers of the stream that panicked.
    pub worker_panics: u64,
    /// Publishes that sent more than `limits.bitrate_warn`.
    pub bitrate_warnings: u64,
    tracks: [TrackQos; LISTED],
    listed: usize,
}

impl Qos {
    /// The first eight tracks, in the order in which they came.
    #[must_use]
    pub fn tracks(&self) -> &[TrackQos] {
        self.tracks.get(..self.listed).unwrap_or_default()
    }
}

/// What is measured of one track.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrackQos {
    /// The track.
    pub track: TrackId,
    /// Its kind, once it was announced.
    pub kind: Option<MediaKind>,
    /// Payload bits per second.
    pub bitrate_bps: u64,
    /// Frames per second.
    pub fps: f64,
    /// Frames published.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Payload bytes published.
    pub bytes: u64,
}

impl Default for TrackQos {
    fn default() -> Self {
        Self {
            track: TrackId(0),
            kind: None,
            bitrate_bps: 0,
            fps: 0.0,
            frames: 0,
            keyframes: 0,
            bytes: 0,
        }
    }
}

/// Counters of a stream that more than one thread may raise.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) discontinuities: AtomicU64,
    pub(crate) repairs: AtomicU64,
    pub(crate) lagged: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) gop_truncated: AtomicU64,
    pub(crate) keyframe_requests: AtomicU64,
    pub(crate) worker_panics: AtomicU64,
    pub(crate) bitrate_warnings: AtomicU64,
    pub(crate) gop_frames: AtomicU64,
    pub(crate) gop_nanos: AtomicU64,
}

/// The meter of one track. The publisher alone records; anyone reads.
#[derive(Debug)]
pub(crate) struct TrackMeter {
    id: TrackId,
    frames: AtomicU64,
    keyframes: AtomicU64,
    bytes: AtomicU64,
    /// When the first frame came, since the stream's creation.
    first_nanos: AtomicU64,
    buckets: [Bucket; BUCKETS as usize],
}

#[derive(Debug, Default)]
struct Bucket {
    /// The number of the bucket's time plus one; 0 if never used.
    stamp: AtomicU32,
    frames: AtomicU32,
    bytes: AtomicU64,
}

impl TrackMeter {
    /// A meter of a track that began when the stream was `age` nanoseconds old.
    pub(crate) fn new(id: TrackId, age: u64) -> Self {
        Self {
            id,
            frames: AtomicU64::new(0),
            keyframes: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            first_nanos: AtomicU64::new(age),
            buckets: Default::default(),
        }
    }

    /// Counts a frame that came when the stream was `age` nanoseconds old.
    pub(crate) fn record(&self, age: u64, bytes: usize, keyframe: bool) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        add(&self.frames, 1);
        add(&self.bytes, bytes);
        if keyframe {
            add(&self.keyframes, 1);
        }
        let stamp = stamp(age);
        let Some(bucket) = self.buckets.get((stamp % BUCKETS) as usize) else {
            return;
        };
        if bucket.stamp.load(Relaxed) == stamp {
            bucket
                .frames
                .store(bucket.frames.load(Relaxed).saturating_add(1), Relaxed);
            add(&bucket.bytes, bytes);
        } else {
            bucket.frames.store(1, Relaxed);
            bucket.bytes.store(bytes, Relaxed);
            bucket.stamp.store(stamp, Release);
        }
    }

    fn read(&self, age: u64, kind: Option<MediaKind>) -> TrackQos {
        let newest = stamp(age);
        let oldest = newest.saturating_sub(BUCKETS - 1).max(1);
        let (mut frames, mut bytes) = (0, 0);
        for bucket in &self.buckets {
            if (oldest..=newest).contains(&bucket.stamp.load(Acquire)) {
                frames += u64::from(bucket.frames.load(Relaxed));
                bytes += bucket.bytes.load(Relaxed);
            }
        }
        // The window starts with its oldest bucket, or with the first frame.
        let start = (u64::from(oldest - 1) * BUCKET).max(self.first_nanos.load(Relaxed));
        let seconds = Duration::from_nanos(age.saturating_sub(start).max(BUCKET)).as_secs_f64();
        TrackQos {
            track: self.id,
            kind,
            bitrate_bps: whole(per_second(bytes.saturating_mul(8), seconds)),
            fps: per_second(frames, seconds),
            frames: self.frames.load(Relaxed),
            keyframes: self.keyframes.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }
}

/// Reads the meters of a stream that is `age` nanoseconds old.
pub(crate) fn read(
    meters: &[Arc<TrackMeter>],
    counters: &Counters,
    configs: &Configs,
    age: u64,
) -> Qos {
    let mut qos = Qos {
        discontinuities: counters.discontinuities.load(Relaxed),
        repairs: counters.repairs.load(Relaxed),
        lagged: counters.lagged.load(Relaxed),
        dropped: counters.dropped.load(Relaxed),
        evicted: counters.evicted.load(Relaxed),
        gop_truncated: counters.gop_truncated.load(Relaxed),
        keyframe_requests: counters.keyframe_requests.load(Relaxed),
        worker_panics: counters.worker_panics.load(Relaxed),
        bitrate_warnings: counters.bitrate_warnings.load(Relaxed),
        ..Qos::default()
    };
    let primary = configs.primary().map(|track| track.id);
    for (place, meter) in meters.iter().enumerate() {
        let kind = configs.get(meter.id).map(|track| track.kind());
        let track = meter.read(age, kind);
        qos.frames += track.frames;
        qos.bytes += track.bytes;
        qos.bitrate_bps += track.bitrate_bps;
        if primary == Some(track.track) {
            qos.fps = track.fps;
        }
        if let Some(listed) = qos.tracks.get_mut(place) {
            *listed = track;
            qos.listed = place + 1;
        }
    }
    if qos.tracks().iter().any(|track| track.fps > 0.0) {
        qos.gop_frames = counters.gop_frames.load(Relaxed);
        qos.gop_duration = Duration::from_nanos(counters.gop_nanos.load(Relaxed));
    }
    qos
}

/// Adds without a read-modify-write: the publisher alone adds.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

/// The number of the bucket for `age`, from 1.
fn stamp(age: u64) -> u32 {
    u32::try_from(age / BUCKET + 1).unwrap_or(u32::MAX)
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for display")]
fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and the cast saturates"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLIS: u64 = 1_000_000;
    const FRAME: u64 = 40 * MILLIS;

    fn qos_at(meter: &TrackMeter, age: u64) -> TrackQos {
        meter.read(age, None)
    }

    #[test]
    fn rates_are_those_of_the_window() {
        for start in [0, 130, 10_000] {
            let start = start * MILLIS;
            let meter = TrackMeter::new(TrackId(0), start);
            let mut age = start;
            for _ in 0..250 {
                meter.record(age, 5_000, false);
                age += FRAME;
            }
            let qos = qos_at(&meter, age);
            assert!((qos.fps - 25.0).abs() < 0.5, "{qos:?}");
            assert!(qos.bitrate_bps.abs_diff(1_000_000) < 20_000, "{qos:?}");
            assert_eq!((qos.frames, qos.bytes), (250, 1_250_000));
        }
    }

    #[test]
    fn rates_fall_to_zero_when_frames_stop() {
        let meter = TrackMeter::new(TrackId(0), 0);
        for frame in 0..100 {
            meter.record(FRAME * frame, 5_000, false);
        }
        let half = qos_at(&meter, 6_000 * MILLIS);
        assert!((half.fps - 12.5).abs() < 1.5, "{half:?}");
        let zero = qos_at(&meter, 8_251 * MILLIS);
        assert_eq!((zero.fps, zero.bitrate_bps, zero.frames), (0.0, 0, 100));
    }

    #[test]
    fn rates_are_right_soon_after_the_start() {
        let meter = TrackMeter::new(TrackId(0), 7_000 * MILLIS);
        for frame in 0..25 {
            meter.record(7_000 * MILLIS + FRAME * frame, 5_000, false);
        }
        let qos = qos_at(&meter, 8_000 * MILLIS);
        assert!((qos.fps - 25.0).abs() < 0.1, "{qos:?}");
    }
}
