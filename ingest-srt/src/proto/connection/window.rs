//! The packets that have arrived and were not delivered, and those between them that
//! have not arrived.
//!
//! Sequence numbers wrap after 2³¹; here they are unwrapped to 64 bits. Whatever a peer
//! sends, a packet costs a few steps: what is missing is kept in ranges, and no range
//! is walked by its length.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::proto::packet::{LossRange, SeqNumber};

/// A ring of packets and the list of ranges that are missing in it.
#[derive(Debug)]
pub(super) struct Window {
    /// A power of two, grown as it is needed up to `most`.
    ring: Vec<Option<Slot>>,
    /// How many packets the window can span.
    most: u64,
    /// The number of the packet that is delivered next, and of the one that arrives next.
    next: u64,
    end: u64,
    first_seq: SeqNumber,
    /// What is missing between the two, by the first number.
    missing: BTreeMap<u64, Missing>,
    /// What is missing before this will not come any more.
    given_up: u64,
    packets: u64,
    bytes: u64,
}

/// A packet that has arrived.
#[derive(Debug)]
pub(super) struct Slot {
    /// `None` if it could not be decrypted.
    pub(super) payload: Option<Bytes>,
    /// When it was sent, in microseconds of the connection's clock.
    pub(super) sent: i64,
}

/// A range that is missing.
#[derive(Clone, Copy, Debug)]
struct Missing {
    /// The number behind its last packet.
    end: u64,
    /// When it was asked for last.
    asked: Instant,
}

/// Where a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind all that came before, and so many are missing before it. Before those it
    /// `skipped` what was farther back than the window reaches.
    New { missing: u64, skipped: u64 },
    /// Into a gap.
    Gap,
    /// It is there already.
    Again,
    /// Its time is over.
    Late,
    /// It is farther ahead than the window reaches, or there is no room.
    Beyond,
}

/// What can be delivered next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// When it was sent.
    pub(super) sent: i64,
    /// How many are missing before it.
    pub(super) missing: u64,
}

impl Window {
    /// A window for at most so many packets, which begin with `first`.
    pub(super) fn new(first: SeqNumber, most: u32) -> Self {
        // Room for what comes before the first one, if that is not the first to come.
        let begin = 1 << 32;
        Self {
            ring: Vec::new(),
            most: u64::from(most).next_power_of_two().max(LEAST),
            next: begin,
            end: begin,
            first_seq: first,
            missing: BTreeMap::new(),
            given_up: begin,
            packets: 0,
            bytes: 0,
        }
    }

    /// The number without its wraps, which lies within 2³⁰ of the end of the window.
    fn unwrap(&self, seq: SeqNumber) -> u64 {
        let distance = self.seq(self.end).distance(seq);
        self.end.saturating_add_signed(i64::from(distance))
    }

    /// The number as packets carry it.
    fn seq(&self, number: u64) -> SeqNumber {
        let since = number.wrapping_sub(1 << 32) & u64::from(SeqNumber::MAX.value());
        self.first_seq.add(u32::try_from(since).unwrap_or_default())
    }

    /// Puts a packet of `size` bytes that was `sent` then in its place; what turns out to
    /// be missing is noted as `asked` for then. The window may hold `room` bytes. The
    /// payload is made only if there is a place for it.
    pub(super) fn put(
        &mut self,
        seq: SeqNumber,
        sent: i64,
        size: u64,
        asked: Instant,
        room: u64,
        payload: impl FnOnce() -> Option<Bytes>,
    ) -> Place {
        let number = self.unwrap(seq);
        if number < self.next {
            return Place::Late;
        }
        if self.bytes.saturating_add(size) > room {
            return Place::Beyond;
        }
        let mut skipped = 0;
        if number - self.next >= self.most {
            // What waits is delivered first. With nothing left, the peer has gone on
            // while none of it arrived: so does the window.
            if self.packets > 0 {
                return Place::Beyond;
            }
            let begin = number - self.most / 2;
            skipped = begin - self.next;
            (self.next, self.end, self.given_up) = (begin, begin, begin);
        }
        let place = if number >= self.end {
            let missing = number - self.end;
            if missing > 0 {
                let end = number;
                self.missing.insert(self.end, Missing { end, asked });
            }
            self.end = number + 1;
            self.grow();
            Place::New { missing, skipped }
        } else if self.fill(number) {
            Place::Gap
        } else {
            return Place::Again;
        };
        self.packets += 1;
        let payload = payload();
        self.bytes += length(payload.as_ref());
        let slot = Slot { payload, sent };
        if let Some(free) = self.slot_mut(number) {
            *free = Some(slot);
        }
        place
    }

    /// Takes a number out of the range that it is missing in; false if it is in none.
    fn fill(&mut self, number: u64) -> bool {
        let found = self.missing.range(..=number).next_back();
        let Some((first, range)) = found.map(|(first, range)| (*first, *range)) else {
            return false;
        };
        if number >= range.end {
            return false;
        }
        self.missing.remove(&first);
        let mut keep = |first: u64, end: u64| {
            if first < end {
                let asked = range.asked;
                self.missing.insert(first, Missing { end, asked });
            }
        };
        keep(first, number);
        keep(number + 1, range.end);
        true
    }

    /// What can be delivered next, if anything has arrived.
    pub(super) fn head(&self) -> Option<Head> {
        let at = self.first_there();
        let slot = self.slot(at)?.as_ref().filter(|_| at < self.end)?;
        Some(Head {
            sent: slot.sent,
            missing: at - self.next,
        })
    }

    /// Takes out what [`head`](Self::head) shows; what is missing before it is given up.
    pub(super) fn take(&mut self) -> Option<Slot> {
        let at = self.first_there();
        if at >= self.end {
            return None;
        }
        let slot = self.slot_mut(at)?.take()?;
        if at > self.next {
            self.missing.remove(&self.next);
        }
        self.next = at + 1;
        self.given_up = self.given_up.max(self.next);
        self.packets -= 1;
        self.bytes -= length(slot.payload.as_ref());
        Some(slot)
    }

    /// The first number that is not missing.
    fn first_there(&self) -> u64 {
        let range = self.missing.get(&self.next);
        range.map_or(self.next, |range| range.end)
    }

    /// The peer will not send `first` to `last` any more. It gives up what is oldest
    /// first; a request that skips what is missing before waits for its time.
    pub(super) fn give_up(&mut self, first: SeqNumber, last: SeqNumber) {
        let first = self.unwrap(first);
        let last = self.unwrap(last).min(self.end.saturating_sub(1));
        let oldest = self.oldest_wanted();
        if oldest.is_some_and(|oldest| first <= oldest && oldest <= last) {
            self.given_up = last + 1;
        }
    }

    /// The first number that is neither there nor given up: what to acknowledge.
    pub(super) fn acknowledged(&self) -> SeqNumber {
        self.seq(self.oldest_wanted().unwrap_or(self.end))
    }

    /// The first number that is missing and not given up.
    fn oldest_wanted(&self) -> Option<u64> {
        let before = self.missing.range(..=self.given_up).next_back();
        if before.is_some_and(|(_, range)| range.end > self.given_up) {
            return Some(self.given_up);
        }
        let first = self.missing.range(self.given_up..).next();
        first.map(|(first, _)| *first)
    }

    /// The ranges that were not asked for since `patience` before now, as many as `most`,
    /// to be asked for now.
    pub(super) fn due(&mut self, now: Instant, patience: Duration, most: usize) -> Vec<LossRange> {
        let given_up = self.given_up;
        let wanted = self
            .missing
            .iter_mut()
            .filter(|(_, range)| range.end > given_up);
        let due: Vec<(u64, u64)> = wanted
            .filter(|(_, range)| range.asked + patience <= now)
            .take(most)
            .map(|(first, range)| {
                range.asked = now;
                ((*first).max(given_up), range.end - 1)
            })
            .collect();
        due.into_iter()
            .filter_map(|(first, last)| LossRange::new(self.seq(first), self.seq(last)))
            .collect()
    }

    /// When [`due`](Self::due) is worth asking next.
    pub(super) fn next_due(&self, patience: Duration) -> Option<Instant> {
        let given_up = self.given_up;
        let wanted = self.missing.values().filter(|range| range.end > given_up);
        wanted.map(|range| range.asked + patience).min()
    }

    /// How many packets wait, and their bytes.
    pub(super) const fn held(&self) -> (u64, u64) {
        (self.packets, self.bytes)
    }

    /// How many packets more it can take, if it may hold `room` bytes.
    pub(super) fn available(&self, room: u64) -> u32 {
        // Counted from what is acknowledged; what came behind that has its place.
        let acknowledged = self.oldest_wanted().unwrap_or(self.end);
        let before = acknowledged - self.next;
        let span = self.most.saturating_sub(before);
        let ahead = self.packets.saturating_sub(before);
        let left = span.min(room.saturating_sub(self.bytes) / FULL + ahead);
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// When the newest packet was sent.
    pub(super) fn newest(&self) -> Option<i64> {
        let last = self.end.checked_sub(1).filter(|last| *last >= self.next)?;
        self.slot(last)?.as_ref().map(|slot| slot.sent)
    }

    fn index(&self, number: u64) -> usize {
        let mask = self.ring.len().saturating_sub(1);
        usize::try_from(number & (u64::MAX >> 1)).unwrap_or_default() & mask
    }

    fn slot(&self, number: u64) -> Option<&Option<Slot>> {
        self.ring.get(self.index(number))
    }

    fn slot_mut(&mut self, number: u64) -> Option<&mut Option<Slot>> {
        let index = self.index(number);
        self.ring.get_mut(index)
    }

    /// Makes the ring as long as the window.
    fn grow(&mut self) {
        let span = self.end - self.next;
        let have = u64::try_from(self.ring.len()).unwrap_or(u64::MAX);
        if span <= have {
            return;
        }
        let size = span.next_power_of_two().clamp(LEAST, self.most);
        let size = usize::try_from(size).unwrap_or_default();
        let mut before = std::mem::take(&mut self.ring);
        let mask = before.len().saturating_sub(1);
        self.ring.resize_with(size, || None);
        let last = self.next + u64::try_from(before.len()).unwrap_or(0);
        for number in self.next..last {
            let from = usize::try_from(number).unwrap_or_default() & mask;
            let slot = before.get_mut(from).and_then(Option::take);
            if let Some(to) = self.slot_mut(number) {
                *to = slot;
            }
        }
    }
}

fn length(payload: Option<&Bytes>) -> u64 {
    let length = payload.map_or(0, Bytes::len);
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// What most packets carry: seven packets of a transport stream.
const FULL: u64 = 1_316;

/// The shortest ring.
const LEAST: u64 = 64;
