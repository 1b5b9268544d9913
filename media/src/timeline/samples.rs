//! Audio time as sums of samples, held to the publisher's clock.
//!
//! Timestamps of containers are rounded (RTMP's to milliseconds) and jitter;
//! sums of samples do not, but drift if the sound card's crystal and the
//! encoder's clock disagree. So the sum leads, and is set anew when the clock
//! has contradicted it by more than [`TOLERANCE`] for [`PATIENCE`]
//! (MEDIA.md section 2).

use std::time::Duration;

use rillcast_core::Timescale;

/// How far the sum may be off the publisher's clock.
pub(super) const TOLERANCE: Duration = Duration::from_millis(40);

/// For how long it must be off before it is set anew.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The sum of one track's samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct SampleClock {
    /// What the next frame's time is by the sum, in ticks.
    next: i64,
    /// The last time given out, in ticks, and that frame's duration.
    last: (i64, i64),
    /// Since when, and how far, the sum has been off.
    off: Option<Off>,
}

#[derive(Clone, Copy, Debug)]
struct Off {
    since: i64,
    sum: i64,
    count: i64,
}

/// What became of one frame's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summed {
    /// Its time in ticks.
    pub(super) dts: i64,
    /// Whether the sum was set anew at it.
    pub(super) reanchored: bool,
}

impl SampleClock {
    /// A sum that begins at `first`, with a frame of `duration` ticks.
    pub(super) const fn new(first: i64, duration: i64) -> Self {
        Self {
            next: first.saturating_add(duration),
            last: (first, duration),
            off: None,
        }
    }

    /// The publisher's clock minus the sum, if a frame came at `stamp`.
    pub(super) const fn deviation(&self, stamp: i64) -> i64 {
        stamp.saturating_sub(self.next)
    }

    /// Whether the publisher's clock is more than `tolerance` ticks off.
    pub(super) const fn off_by_more(&self, stamp: i64, tolerance: i64) -> bool {
        self.deviation(stamp).unsigned_abs() > tolerance.unsigned_abs()
    }

    /// Whether the publisher's clock agreed with the sum at the last frame.
    pub(super) const fn is_held(&self) -> bool {
        self.off.is_none()
    }

    /// The end of the last frame.
    pub(super) const fn end(&self) -> i64 {
        self.last.0.saturating_add(self.last.1)
    }

    /// Takes the next frame, which the publisher's clock puts at `stamp`.
    pub(super) fn push(&mut self, stamp: i64, duration: i64, timescale: Timescale) -> Summed {
        let reanchored = self.watch(stamp, timescale);
        // After a step back the times go on in steps of half a frame until
        // the sum has caught up: they never go back nor stand still.
        let least = self.last.0.saturating_add((self.last.1 / 2).max(1));
        let dts = self.next.max(least);
        self.next = self.next.saturating_add(duration);
        self.last = (dts, duration);
        Summed { dts, reanchored }
    }

    /// Compares sum and clock; whether the sum was set anew.
    fn watch(&mut self, stamp: i64, timescale: Timescale) -> bool {
        let deviation = self.deviation(stamp);
        let tolerance = timescale.from_duration(TOLERANCE).unsigned_abs();
        if deviation.unsigned_abs() <= tolerance {
            self.off = None;
            return false;
        }
        let off = match self.off {
            Some(off) if off.sum.signum() == deviation.signum() => Off {
                sum: off.sum.saturating_add(deviation),
                count: off.count + 1,
                ..off
            },
            _ => Off {
                since: stamp,
                sum: deviation,
                count: 1,
            },
        };
        if stamp.saturating_sub(off.since) < timescale.from_duration(PATIENCE) {
            self.off = Some(off);
            return false;
        }
        // By the mean, so that one jittering stamp does not decide.
        self.next = self.next.saturating_add(off.sum / off.count);
        self.off = None;
        true
    }
}
