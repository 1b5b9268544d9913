//! The chain: blocks of entries, written once by the publisher, read by
//! reference by everyone else.
//!
//! A reader is a block and an index. It reads a slot once it is set, and goes
//! to the next block when the one it is in is sealed and read. The publisher
//! expires old blocks by cutting the link that leads to them; a reader that
//! comes to such an end has missed something and starts again elsewhere.

use std::mem::size_of;

use super::configs::Configs;
use super::memory::{Charge, Gauge};
use crate::sync::{Acquire, Arc, ArcCell, AtomicU32, Release, Slot};
use crate::{Discontinuity, Frame, Track};

/// Slots of a stream's first block: an idle stream is small.
pub(crate) const FIRST_BLOCK: usize = 8;

/// Slots of every other block.
pub(crate) const BLOCK: usize = 64;

/// A block takes no further entry once it holds this many payload bytes, so
/// that a reader that stands still pins no more (or one entry, if that is larger).
pub(crate) const BLOCK_BYTES: u64 = 512 << 10;

/// What `Block::sealed` holds until the block is sealed.
const OPEN: u32 = u32::MAX;

/// One place in the sequence of a stream.
#[derive(Debug)]
pub(crate) enum Entry {
    Frame {
        frame: Frame,
        /// Reading can start here.
        join: bool,
        /// The frame is of no use without an earlier one of its track.
        dependent: bool,
    },
    Track {
        track: Arc<Track>,
        /// The version of the configurations from here on.
        version: u32,
    },
    Discontinuity(Discontinuity),
}

impl Entry {
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Frame { frame, .. } => frame.payload.len(),
            Self::Track { track, .. } => track.config.len(),
            Self::Discontinuity(_) => 0,
        };
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// A run of entries.
pub(crate) struct Block {
    /// The sequence number of the first slot.
    pub(crate) base: u64,
    /// How many frames (of all entries) come before the first slot.
    pub(crate) frames: u64,
    slots: Box<[Slot<Entry>]>,
    next: ArcCell<Block>,
    /// How many slots are used, once no more will be.
    sealed: AtomicU32,
    pub(crate) charge: Charge,
}

/// What a reader finds behind the last entry it has read.
pub(crate) enum End {
    /// Nothing yet.
    Open,
    /// An entry that was not there a moment ago.
    More,
    /// The next block.
    Next(Arc<Block>),
    /// The next block was here and has expired.
    Cut,
}

impl Block {
    pub(crate) fn new(base: u64, frames: u64, slots: usize, gauge: &Arc<Gauge>) -> Arc<Self> {
        let overhead = size_of::<Self>() + slots * size_of::<Slot<Entry>>();
        let overhead = u64::try_from(overhead).unwrap_or(u64::MAX);
        Arc::new(Self {
            base,
            frames,
            slots: (0..slots).map(|_| Slot::new()).collect(),
            next: ArcCell::empty(),
            sealed: AtomicU32::new(OPEN),
            charge: Charge::new(Arc::clone(gauge), overhead),
        })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The entry at `index`, if it is published.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&Entry> {
        self.slots.get(index)?.get()
    }

    /// Publishes `entry` at `index`; the writer's own.
    pub(crate) fn set(&self, index: usize, entry: Entry) {
        self.charge.add(entry.bytes());
        if let Some(slot) = self.slots.get(index) {
            slot.set(entry);
        }
    }

    /// Ends the block after `len` entries and links `next` to it.
    pub(crate) fn seal(&self, len: usize, next: Arc<Self>) {
        self.charge.tell();
        self.next.store(Some(next));
        // After the link: a reader that sees the block sealed and finds no
        // link knows that it was cut.
        self.sealed
            .store(u32::try_from(len).unwrap_or(OPEN - 1), Release);
    }

    /// Takes the link to the next block away.
    pub(crate) fn cut(&self) {
        self.next.store(None);
    }

    /// What stands at `index`, where no entry was found.
    pub(crate) fn end(&self, index: usize) -> End {
        let sealed = self.sealed.load(Acquire);
        if sealed == OPEN {
            return End::Open;
        }
        if usize::try_from(sealed).is_ok_and(|sealed| index < sealed) {
            return End::More;
        }
        match self.next.load_full() {
            Some(next) => End::Next(next),
            None => End::Cut,
        }
    }

    /// How many entries are published by now.
    pub(crate) fn len(&self) -> usize {
        self.slots.partition_point(|slot| slot.get().is_some())
    }

    /// How many frames come before `index`, counted from the stream's start.
    pub(crate) fn frames_before(&self, index: usize) -> u64 {
        let here = self
            .slots
            .iter()
            .take(index)
            .filter(|slot| matches!(slot.get(), Some(Entry::Frame { .. })))
            .count();
        self.frames + u64::try_from(here).unwrap_or(u64::MAX)
    }

    pub(crate) fn seq(&self, index: usize) -> u64 {
        self.base + u64::try_from(index).unwrap_or(u64::MAX)
    }
}

impl Drop for Block {
    /// Drops the blocks behind this one by a loop: by recursion, a long chain
    /// would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.next.swap(None);
        while let Some(block) = next.and_then(Arc::into_inner) {
            next = block.next.swap(None);
        }
    }
}

/// Where a reader that joins starts, stored anew at each join point.
pub(crate) struct Join {
    pub(crate) point: Option<Point>,
    /// The configurations at the point; without one, those in force.
    pub(crate) configs: Arc<Configs>,
}

/// A place in the chain.
#[derive(Clone)]
pub(crate) struct Point {
    pub(crate) block: Arc<Block>,
    pub(crate) index: usize,
    /// How many frames come before it.
    pub(crate) frames: u64,
}

impl Point {
    pub(crate) fn seq(&self) -> u64 {
        self.block.seq(self.index)
    }

    /// The place behind the last entry that is published in `block`.
    pub(crate) fn after(block: Arc<Block>) -> Self {
        let index = block.len();
        let frames = block.frames_before(index);
        Self {
            block,
            index,
            frames,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::memory::Budget;

    #[test]
    fn a_long_chain_is_dropped_without_recursion() {
        let gauge = Arc::new(Gauge::new(Arc::new(Budget::new(u64::MAX))));
        let first = Block::new(0, 0, 1, &gauge);
        let mut last = Arc::clone(&first);
        for base in 1..60_000 {
            let next = Block::new(base, base, 1, &gauge);
            last.seal(0, Arc::clone(&next));
            last = next;
        }
        drop(last);
        assert!(gauge.bytes() > 0);
        drop(first);
        assert_eq!(gauge.bytes(), 0);
    }

    #[test]
    fn an_entry_is_small_enough_to_stand_inline() {
        assert!(
            size_of::<Slot<Entry>>() <= 96,
            "{}",
            size_of::<Slot<Entry>>()
        );
    }
}
