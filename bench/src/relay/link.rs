//! One direction of a bad network, without a socket: what is put in comes out
//! later, twice, in another order, or never, as a seed says.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::chance::Chance;

/// What a network does to datagrams. Shares are parts of one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairments {
    /// The share that is lost.
    pub loss: f64,
    /// How long each one takes, in each direction.
    pub delay: Duration,
    /// How much longer it may take, evenly distributed. Order is kept.
    pub jitter: Duration,
    /// The share that is held back by [`REORDER_BY`], so that others pass it.
    pub reorder: f64,
    /// The share that comes twice.
    pub duplicate: f64,
    /// Of all chance: the same datagrams in the same order fare the same.
    pub seed: u64,
}

/// How much later one comes that others pass.
pub const REORDER_BY: Duration = Duration::from_millis(5);

/// What has become of the datagrams of a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that came in.
    pub received: u64,
    /// Those that were lost on purpose.
    pub lost: u64,
    /// Those that were sent twice.
    pub duplicated: u64,
    /// Those that were held back.
    pub reordered: u64,
    /// Those that were dropped because too many were on their way. A run with any
    /// is not what its seed says.
    pub overflowed: u64,
}

/// The most datagrams on their way: half a second of 1 Gb/s.
const MOST_QUEUED: usize = 65_536;

/// One direction between two ends.
///
/// Put datagrams in by [`push`](Self::push), ask [`due`](Self::due) when to come
/// back, and take out by [`pop`](Self::pop) what has arrived by then.
#[derive(Debug)]
pub struct Link {
    impairments: Impairments,
    chance: Chance,
    queue: BinaryHeap<Reverse<Travelling>>,
    serial: u64,
    /// When the last one arrives that keeps the order.
    last: Option<Instant>,
    counts: Counts,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Travelling {
    due: Instant,
    serial: u64,
    datagram: Bytes,
}

impl Link {
    /// A direction with nothing on its way. `number` tells directions apart that
    /// have the same seed.
    #[must_use]
    pub fn new(impairments: Impairments, number: u64) -> Self {
        // Whatever it is, one round of the generator spreads it over all bits.
        let mut mixed = Chance::new(impairments.seed ^ number.rotate_left(32));
        Self {
            impairments,
            chance: Chance::new(mixed.next()),
            queue: BinaryHeap::new(),
            serial: 0,
            last: None,
            counts: Counts::default(),
        }
    }

    /// A datagram is sent.
    pub fn push(&mut self, datagram: Bytes, now: Instant) {
        // The same number of draws for each: what is lost must not depend on what
        // else happens.
        let [lost, twice, held, late] = std::array::from_fn(|_| self.share());
        let it = self.impairments;
        self.counts.received += 1;
        if lost < it.loss {
            self.counts.lost += 1;
            return;
        }
        if self.queue.len() >= MOST_QUEUED {
            self.counts.overflowed += 1;
            return;
        }
        let mut due = now + it.delay + it.jitter.mul_f64(late);
        if held < it.reorder {
            self.counts.reordered += 1;
            due += REORDER_BY;
        } else {
            due = self.last.map_or(due, |last| last.max(due));
            self.last = Some(due);
        }
        if twice < it.duplicate {
            self.counts.duplicated += 1;
            self.travel(due, datagram.clone());
        }
        self.travel(due, datagram);
    }

    /// When the next one arrives, if any is on its way.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse(next)| next.due)
    }

    /// The next one that has arrived by now.
    pub fn pop(&mut self, now: Instant) -> Option<Bytes> {
        if self.due()? > now {
            return None;
        }
        self.queue.pop().map(|Reverse(next)| next.datagram)
    }

    /// What has become of them until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn travel(&mut self, due: Instant, datagram: Bytes) {
        self.serial += 1;
        self.queue.push(Reverse(Travelling {
            due,
            serial: self.serial,
            datagram,
        }));
    }

    /// A number from zero up to one.
    fn share(&mut self) -> f64 {
        f64::from(self.chance.word()) / (f64::from(u32::MAX) + 1.0)
    }
}

impl Counts {
    /// What was added since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            received: self.received - before.received,
            lost: self.lost - before.lost,
            duplicated: self.duplicated - before.duplicated,
            reordered: self.reordered - before.reordered,
            overflowed: self.overflowed - before.overflowed,
        }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.overflowed += other.overflowed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `count` numbered datagrams, a millisecond apart, and returns when
    /// each one arrived, in milliseconds, and its number.
    fn travel(impairments: Impairments, number: u64, count: u16) -> (Vec<(u128, u16)>, Counts) {
        let start = Instant::now();
        let mut link = Link::new(impairments, number);
        let mut arrived = Vec::new();
        for tick in 0..count + 1_000 {
            let now = start + Duration::from_millis(tick.into());
            if tick < count {
                link.push(Bytes::copy_from_slice(&tick.to_be_bytes()), now);
            }
            while let Some(datagram) = link.pop(now) {
                let number = u16::from_be_bytes(datagram[..].try_into().unwrap());
                arrived.push(((now - start).as_millis(), number));
            }
        }
        assert_eq!(link.due(), None);
        (arrived, link.counts())
    }

    #[test]
    fn a_good_network_only_takes_its_time() {
        let delay = Duration::from_millis(20);
        let impairments = Impairments {
            delay,
            ..Impairments::default()
        };
        let (arrived, counts) = travel(impairments, 0, 500);
        let want: Vec<_> = (0..500).map(|n| (u128::from(n) + 20, n)).collect();
        assert_eq!(arrived, want);
        assert_eq!(counts.received, 500);
        assert_eq!(counts.lost + counts.reordered + counts.duplicated, 0);
    }

    #[test]
    fn as_many_are_lost_as_was_asked_for() {
        for (loss, least, most) in [(0.01, 60, 140), (0.05, 420, 580), (1.0, 10_000, 10_000)] {
            let impairments = Impairments {
                loss,
                ..Impairments::default()
            };
            let (arrived, counts) = travel(impairments, 0, 10_000);
            assert!((least..=most).contains(&counts.lost), "{loss}: {counts:?}");
            assert_eq!(arrived.len() as u64 + counts.lost, 10_000);
        }
    }

    #[test]
    fn a_seed_says_which_ones_whatever_else_happens() {
        let loss = Impairments {
            loss: 0.1,
            seed: 7,
            ..Impairments::default()
        };
        let more = Impairments {
            jitter: Duration::from_millis(9),
            duplicate: 0.2,
            reorder: 0.2,
            ..loss
        };
        let numbers = |impairments, number| {
            let (arrived, _) = travel(impairments, number, 1_000);
            let mut numbers: Vec<u16> = arrived.into_iter().map(|(_, it)| it).collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        assert_eq!(numbers(loss, 0), numbers(loss, 0));
        assert_eq!(numbers(loss, 0), numbers(more, 0));
        assert_ne!(numbers(loss, 0), numbers(loss, 1));
        assert_ne!(
            numbers(loss, 0),
            numbers(Impairments { seed: 8, ..loss }, 0)
        );
    }

    #[test]
    fn jitter_keeps_the_order_and_its_bound() {
        let impairments = Impairments {
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(30),
            seed: 1,
            ..Impairments::default()
        };
        let (arrived, _) = travel(impairments, 0, 2_000);
        assert!(arrived.is_sorted_by_key(|(_, number)| *number));
        let late = arrived.iter().map(|(at, n)| at - u128::from(*n));
        assert!(late.clone().all(|late| (20..=51).contains(&late)));
        assert!(late.clone().max() > Some(40) && late.min() < Some(35));
    }

    #[test]
    fn some_are_passed_by_others_and_some_come_twice() {
        let impairments = Impairments {
            reorder: 0.05,
            duplicate: 0.05,
            seed: 3,
            ..Impairments::default()
        };
        let (arrived, counts) = travel(impairments, 0, 2_000);
        assert!(!arrived.is_sorted_by_key(|(_, number)| *number));
        assert!(
            counts.reordered > 50 && counts.duplicated > 50,
            "{counts:?}"
        );
        assert_eq!(arrived.len() as u64, 2_000 + counts.duplicated);
    }

    #[test]
    fn no_more_than_the_bound_are_on_their_way() {
        let impairments = Impairments {
            delay: Duration::from_secs(1),
            ..Impairments::default()
        };
        let now = Instant::now();
        let mut link = Link::new(impairments, 0);
        for _ in 0..MOST_QUEUED + 3 {
            link.push(Bytes::new(), now);
        }
        assert_eq!(link.counts().overflowed, 3);
    }
}
