//! What a connection has seen: [`Stats`], and the rates that acknowledgements carry.

use std::time::{Duration, Instant};

/// The figures of one connection, from its begin if nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Data packets that arrived, all of them.
    pub received: u64,
    /// Bytes of their payloads.
    pub received_bytes: u64,
    /// Packets that were found missing, whether they came later or not.
    pub lost: u64,
    /// Packets that the peer sent again.
    pub retransmitted: u64,
    /// Packets that were there already.
    pub duplicates: u64,
    /// Packets that came after their time.
    pub belated: u64,
    /// Packets that were not there in time, and are missing in what was delivered.
    pub dropped: u64,
    /// Packets for which there was no room, or that are farther ahead than the window
    /// reaches.
    pub overflowed: u64,
    /// Packets that could not be decrypted, because there was no such key, or that were
    /// not encrypted where all others are.
    pub undecrypted: u64,
    /// How often the peer went over to another key.
    pub key_changes: u64,
    /// Datagrams that are no SRT packet, or none for this end of a connection.
    pub malformed: u64,
    /// Packets delivered.
    pub delivered: u64,
    /// NAKs sent.
    pub naks: u64,
    /// The round trip, smoothed; zero until it was measured.
    pub rtt: Duration,
    /// Its mean deviation.
    pub rtt_variance: Duration,
    /// The latency that was agreed on.
    pub latency: Duration,
    /// Packets that wait for their time.
    pub buffered: u64,
    /// Bytes of their payloads.
    pub buffered_bytes: u64,
    /// How much time they span.
    pub buffered_time: Duration,
    /// Packets per second within the last second.
    pub packets_per_second: u32,
    /// Bytes of payload per second within the last second.
    pub bytes_per_second: u64,
    /// Estimated capacity of the link, in packets per second; zero if unknown.
    pub capacity: u32,
}

/// How much arrives, over the last second.
#[derive(Debug)]
pub(super) struct Rate {
    since: Instant,
    packets: u32,
    bytes: u64,
    /// Of the second before.
    last: (u32, u64),
    pairs: [u32; PAIRS],
    first_of_pair: Option<Instant>,
}

/// The capacity is the median of so many pairs of packets.
const PAIRS: usize = 16;
const SECOND: Duration = Duration::from_secs(1);

impl Rate {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            packets: 0,
            bytes: 0,
            last: (0, 0),
            pairs: [0; PAIRS],
            first_of_pair: None,
        }
    }

    /// A data packet has arrived. Peers send the one behind each that can be divided by
    /// 16 without a pause, so the time between them tells how fast the link is.
    pub(super) fn add(&mut self, number: u32, bytes: u64, now: Instant) {
        self.turn(now);
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        match number & 0xF {
            0 => self.first_of_pair = Some(now),
            1 => {
                if let Some(first) = self.first_of_pair.take() {
                    let gap = now.saturating_duration_since(first).as_micros();
                    self.pairs.rotate_left(1);
                    if let Some(last) = self.pairs.last_mut() {
                        *last = u32::try_from(gap).unwrap_or(u32::MAX).max(1);
                    }
                }
            }
            _ => {}
        }
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed < SECOND {
            return;
        }
        let per_second = |count: u64| {
            let nanos = passed.as_nanos().max(1);
            u64::try_from(u128::from(count) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
        };
        let packets = per_second(u64::from(self.packets));
        self.last = (
            u32::try_from(packets).unwrap_or(u32::MAX),
            per_second(self.bytes),
        );
        (self.packets, self.bytes) = (0, 0);
        self.since = now;
    }

    /// Packets and bytes per second.
    pub(super) fn per_second(&mut self, now: Instant) -> (u32, u64) {
        self.turn(now);
        self.last
    }

    /// Packets per second that the link may carry; zero if unknown.
    pub(super) fn capacity(&self) -> u32 {
        let mut pairs = self.pairs;
        pairs.sort_unstable();
        let median = pairs.get(PAIRS / 2).copied().unwrap_or(0);
        1_000_000_u32.checked_div(median).unwrap_or(0)
    }
}

/// The round trip (draft-sharabayko-srt section 4.10).
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrip {
    pub(super) smoothed: Duration,
    pub(super) variance: Duration,
    pub(super) measured: bool,
}

impl RoundTrip {
    /// What both ends take it for until it was measured.
    pub(super) const fn new() -> Self {
        Self {
            smoothed: Duration::from_millis(100),
            variance: Duration::from_millis(50),
            measured: false,
        }
    }

    pub(super) fn add(&mut self, sample: Duration) {
        let sample = sample.min(LONGEST);
        if !std::mem::replace(&mut self.measured, true) {
            (self.smoothed, self.variance) = (sample, sample / 2);
            return;
        }
        let off = self.smoothed.abs_diff(sample);
        self.variance = (self.variance * 3 + off) / 4;
        self.smoothed = (self.smoothed * 7 + sample) / 8;
    }

    /// A time within which an answer comes nearly always: after that what is missing is
    /// asked for again.
    pub(super) fn patience(&self) -> Duration {
        let patience = self.smoothed + (self.variance * 4).max(LEAST_DOUBT);
        patience.max(LEAST_PATIENCE)
    }
}

/// However steady a line was, and however short, answers may take so much longer, and so
/// long.
const LEAST_DOUBT: Duration = Duration::from_millis(5);
pub(super) const LEAST_PATIENCE: Duration = Duration::from_millis(20);

/// Nobody waits longer for an acknowledgement of an acknowledgement.
const LONGEST: Duration = Duration::from_secs(10);
