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
use crate::sync::{Acquire, Arc, ArcCell, AtomicU32, AtomicU64, Relaxed, Release, Slot, Weak};
use crate::{Discontinuity, Frame, Track};

/// Slots of a stream's first block: an idle stream is small.
pub(crate) const FIRST_BLOCK: usize = if cfg!(loom) { 2 } else { 8 };

/// Slots of every other block. (In a model, fewer.)
pub(crate) const BLOCK: usize = if cfg!(loom) { 2 } else { 64 };

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
    /// One bit for each slot that holds more than a frame which follows from
    /// the ones before it: a reader looks closely at these, and takes the
    /// others in rows. The writer sets it before the entry counts as published.
    special: AtomicU64,
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
            special: AtomicU64::new(0),
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

    /// Publishes `entry` at `index`, as one to be looked at closely or not; the
    /// writer's own.
    #[inline]
    pub(crate) fn set(&self, index: usize, entry: Entry, special: bool) {
        self.charge.add(entry.bytes());
        if special {
            let bits = self.special.load(Relaxed) | 1 << index;
            self.special.store(bits, Relaxed);
        }
        if let Some(slot) = self.slots.get(index) {
            slot.set(entry);
        }
    }

    /// Ends the block after `len` entries and links `next` to it.
    pub(crate) fn seal(&self, len: usize, next: Arc<Self>) {
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

    /// How many of the next `published` entries from `index` on stand here in a
    /// row and need no closer look. The caller has seen that so many are
    /// published, here and in the blocks behind.
    #[inline]
    pub(crate) fn row(&self, index: usize, published: u64) -> usize {
        let here = match self.sealed.load(Acquire) {
            OPEN => self.slots.len(),
            sealed => usize::try_from(sealed).unwrap_or(usize::MAX),
        };
        let special = self
            .special
            .load(Relaxed)
            .checked_shr(u32::try_from(index).unwrap_or(u32::MAX))
            .map_or(0, u64::trailing_zeros);
        here.saturating_sub(index)
            .min(usize::try_from(published).unwrap_or(usize::MAX))
            .min(usize::try_from(special).unwrap_or(usize::MAX))
    }

    /// The entries from `index` on, `len` of them.
    #[inline]
    pub(crate) fn slots(&self, index: usize, len: usize) -> &[Slot<Entry>] {
        self.slots.get(index..index + len).unwrap_or_default()
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
    pub(crate) point: Option<Spot>,
    /// The configurations at the point; without one, those in force.
    pub(crate) configs: Arc<Configs>,
}

/// A place in the chain, for those who may come to it: who has not begun to read
/// holds no block.
#[derive(Clone)]
pub(crate) struct Spot {
    pub(crate) block: Weak<Block>,
    pub(crate) index: usize,
    pub(crate) seq: u64,
    /// How many frames come before it.
    pub(crate) frames: u64,
}

impl Spot {
    /// The place, if its block is still there.
    pub(crate) fn point(&self) -> Option<Point> {
        Some(Point {
            block: self.block.upgrade()?,
            index: self.index,
            frames: self.frames,
        })
    }
}

/// A place in the chain that is held.
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
