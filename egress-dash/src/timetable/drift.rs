//! How far arrival is behind stream time, and whether a Period still says so.
//!
//! An encoder's clock is off by some ten millionths, and a viewer who trusts the
//! manifest would ask too early after some minutes, or watch ever later.

use std::time::SystemTime;

use rillcast_media::cmaf::{Segment, Snapshot};

/// How late segments came of late, beside what their Period says.
#[derive(Debug, Default)]
pub(super) struct Drift {
    offset: i64,
    /// Of the last segments, in nanoseconds, the latest last.
    late: [Option<i64>; ENOUGH],
}

impl Drift {
    /// Of a Period that stands `offset` nanoseconds behind stream time.
    pub(super) fn around(offset: i64) -> Self {
        Self {
            offset,
            late: [None; ENOUGH],
        }
    }

    /// A segment came so late.
    pub(super) fn add(&mut self, late: i64) {
        self.late.rotate_left(1);
        if let Some(last) = self.late.last_mut() {
            *last = Some(late);
        }
    }

    /// The offset that the segments have by now, if it is another one.
    pub(super) fn offset(&self) -> Option<i64> {
        let mut latest = i64::MIN;
        let (mut late, mut early) = (true, true);
        for seen in self.late {
            let seen = seen?;
            let by = seen.saturating_sub(self.offset);
            late &= by > FAR;
            early &= by < -FAR;
            latest = latest.max(seen);
        }
        (late || early).then_some(latest)
    }
}

/// How long after its stream time the end of a segment arrived, in nanoseconds.
///
/// The last sample arrives when it begins, at its decode time: its own length is
/// taken off, and that of the whole delay for reordering is in the result.
pub(super) fn lateness(snapshot: &Snapshot, segment: &Segment) -> i64 {
    let (Some(anchor), Some(part)) = (snapshot.anchor, segment.parts.last()) else {
        return 0;
    };
    let came = nanos_between(anchor, snapshot.clock.date(part.received));
    let samples: u32 = segment.parts.iter().map(|part| part.samples).sum();
    let length = i64::try_from(segment.duration).unwrap_or(i64::MAX);
    let length = segment.timescale.to_nanos(length);
    let last = length / i64::from(samples.max(1));
    let due = super::end_of(segment).saturating_sub(last);
    came.saturating_sub(due)
}

fn nanos_between(from: SystemTime, to: SystemTime) -> i64 {
    match to.duration_since(from) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |it| -it),
    }
}

/// So many segments in a row show a drift: one may be late by chance.
const ENOUGH: usize = 3;

/// So far arrival may be off in either direction, in nanoseconds (MEDIA.md section 6).
const FAR: i64 = 100_000_000;
