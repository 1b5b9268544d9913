//! The peer's clock as ours: when a packet was sent, and when it is to be delivered.
//!
//! A packet's age is how much longer it took than the shortest way (draft-sharabayko-srt
//! section 4.5). The shortest way is the least that arrival was behind timestamp within
//! the last seconds, so a clock that drifts, or a route that changes, moves it along,
//! and jitter does not.

use std::time::{Duration, Instant};

use crate::proto::packet::Timestamp;

/// Maps timestamps of a peer to moments here.
#[derive(Debug)]
pub(super) struct Clock {
    /// When the first packet arrived; all times below are microseconds since.
    origin: Instant,
    /// The newest timestamp, and its distance from that of the first packet.
    newest: (Timestamp, i64),
    /// The shortest way: the least that arrival was behind timestamp. Until data has
    /// come it is guessed by the handshake, whose timestamps not all peers mean.
    base: i64,
    measured: bool,
    /// When the bucket ends that is filled, and its least.
    until: i64,
    filling: Option<i64>,
    /// The least of each bucket that is over, the latest last.
    buckets: [Option<i64>; BUCKETS],
}

/// The shortest way is looked for in so much time.
const BUCKETS: usize = 16;
const BUCKET: i64 = 1_000_000;

/// A pause of so long makes what was known of the way worthless: 100 ppm are 6 ms.
const FORGOTTEN: i64 = 60 * BUCKET;

impl Clock {
    /// The peer's clock showed `timestamp` as it sent what arrived at `arrival`.
    pub(super) const fn new(timestamp: Timestamp, arrival: Instant) -> Self {
        Self {
            origin: arrival,
            newest: (timestamp, 0),
            base: 0,
            measured: false,
            until: BUCKET,
            filling: None,
            buckets: [None; BUCKETS],
        }
    }

    /// A timestamp without its wraps (every 71 minutes): microseconds since the first.
    /// Every packet's must go through here.
    pub(super) fn unwrap(&mut self, timestamp: Timestamp) -> i64 {
        let (newest, at) = self.newest;
        let after = i64::from(newest.distance(timestamp));
        let unwrapped = at.saturating_add(after);
        if after > 0 {
            self.newest = (timestamp, unwrapped);
        }
        unwrapped
    }

    /// A packet that was first sent at `sent` has arrived, at the first attempt or
    /// `again`. What came late because it was lost says nothing of the way, but no packet
    /// comes before it was sent.
    pub(super) fn arrived(&mut self, sent: i64, again: bool, now: Instant) {
        let at = self.micros(now);
        if again && at.saturating_sub(sent) >= self.base {
            return;
        }
        if at >= self.until {
            self.turn(at);
        }
        let way = at.saturating_sub(sent);
        if self.filling.is_none_or(|least| way < least) {
            self.filling = Some(way);
            // A shorter way is known at once, a longer one after all buckets.
            let known = std::mem::replace(&mut self.measured, true);
            self.base = if known { self.base.min(way) } else { way };
        }
    }

    /// Begins another bucket.
    #[cold]
    fn turn(&mut self, at: i64) {
        if at.saturating_sub(self.until) >= FORGOTTEN {
            // After a pause so long that clocks may have drifted apart all begins anew.
            self.buckets = [None; BUCKETS];
            self.filling = None;
            self.measured = false;
        }
        if self.filling.is_some() {
            self.buckets.rotate_left(1);
            if let Some(last) = self.buckets.last_mut() {
                *last = self.filling.take();
            }
        }
        self.until = at.saturating_add(BUCKET);
        if let Some(least) = self.buckets.iter().flatten().min() {
            let whole = self.buckets.iter().all(Option::is_some);
            self.base = if whole { *least } else { self.base.min(*least) };
        }
    }

    /// When what was sent at `sent` is to be delivered.
    pub(super) fn deliver_at(&self, sent: i64, latency: Duration) -> Instant {
        let at = sent.saturating_add(self.base);
        let moment = match u64::try_from(at) {
            Ok(after) => self.origin.checked_add(Duration::from_micros(after)),
            Err(_) => self
                .origin
                .checked_sub(Duration::from_micros(at.unsigned_abs())),
        };
        moment
            .and_then(|moment| moment.checked_add(latency))
            .unwrap_or(self.origin)
    }

    fn micros(&self, now: Instant) -> i64 {
        let since = now.saturating_duration_since(self.origin).as_micros();
        i64::try_from(since).unwrap_or(i64::MAX)
    }
}
