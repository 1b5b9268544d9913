//! The table of a stream's readers: how many there are, and where they stand.

use super::chain::Block;
use crate::sync::{Arc, AtomicU64, AtomicUsize, Held, Lease, Mutex, Relaxed};

/// The block that a reader reads. The reader alone moves it on; the publisher
/// may empty it.
pub(crate) struct Cursor {
    block: Lease<Option<Arc<Block>>>,
    /// Where the block begins, for the publisher, which so need not take it to
    /// look; the largest number if there is none.
    base: AtomicU64,
}

/// A cursor's block, while its reader reads.
pub(crate) type HeldBlock<'a> = Held<'a, Option<Arc<Block>>>;

impl Cursor {
    pub(crate) fn new() -> Self {
        Self {
            block: Lease::new(None),
            base: AtomicU64::new(u64::MAX),
        }
    }

    /// The block, for its reader. `None` while the publisher looks at it.
    #[inline]
    pub(crate) fn hold(&self) -> Option<HeldBlock<'_>> {
        self.block.take()
    }

    /// The block, once the publisher has looked at it.
    pub(crate) fn wait(&self) -> HeldBlock<'_> {
        self.block.wait()
    }

    /// Moves the reader, which holds the cursor, to `block`.
    pub(crate) fn move_on(&self, held: &mut HeldBlock<'_>, block: Arc<Block>) {
        self.base.store(block.base, Relaxed);
        **held = Some(block);
    }

    /// Places the reader, which does not hold the cursor, at `block`, or nowhere.
    pub(crate) fn place(&self, block: Option<Arc<Block>>) {
        let base = block.as_ref().map_or(u64::MAX, |block| block.base);
        self.base.store(base, Relaxed);
        // The publisher holds it for as long as it takes to take a pointer away,
        // and that from a reader that has fallen out. Here and where such a reader
        // reads on are the only places where a reader waits for anyone.
        let before = std::mem::replace(&mut *self.block.wait(), block);
        drop(before);
    }

    /// Takes the block away that begins at `base`, if the reader is not reading.
    fn empty(&self, base: u64) {
        let block = self.block.take().and_then(|mut held| {
            let is_it = held.as_ref().is_some_and(|block| block.base == base);
            if !is_it {
                return None;
            }
            self.base.store(u64::MAX, Relaxed);
            held.take()
        });
        // Not while it is held: this may free a chain of blocks.
        drop(block);
    }
}

#[derive(Default)]
pub(crate) struct Readers {
    count: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    places: Vec<Option<Arc<Cursor>>>,
    free: Vec<usize>,
}

/// A reader's entry in the table.
#[derive(Debug)]
pub(crate) struct Place(usize);

impl Readers {
    pub(crate) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// How many hold a block, or may.
    #[cfg(test)]
    pub(crate) fn cursors(&self) -> usize {
        self.table.lock().places.iter().flatten().count()
    }

    /// Counts a reader that has joined.
    pub(crate) fn join(&self) {
        self.count.fetch_add(1, Relaxed);
    }

    /// Counts it no longer.
    pub(crate) fn leave(&self) {
        self.count.fetch_sub(1, Relaxed);
    }

    /// Enters one that begins to read, and so to hold a block.
    pub(crate) fn add(&self, cursor: &Arc<Cursor>) -> Place {
        let mut table = self.table.lock();
        let cursor = Some(Arc::clone(cursor));
        let at = match table.free.pop() {
            Some(at) => at,
            None => {
                table.places.push(None);
                table.places.len() - 1
            }
        };
        if let Some(place) = table.places.get_mut(at) {
            *place = cursor;
        }
        Place(at)
    }

    #[expect(clippy::needless_pass_by_value, reason = "a place is given back once")]
    pub(crate) fn remove(&self, place: Place) {
        let mut table = self.table.lock();
        let cursor = table.places.get_mut(place.0).and_then(Option::take);
        table.free.push(place.0);
        if table.free.len() == table.places.len() {
            *table = Table::default();
        }
        drop(table);
        drop(cursor);
    }

    /// Empties the cells of readers whose block comes before `oldest`, from
    /// the one that is furthest behind, while there is `more` to free.
    pub(crate) fn release_laggards(&self, oldest: u64, more: impl Fn() -> bool) {
        let mut laggards: Vec<_> = {
            let table = self.table.lock();
            let behind = table.places.iter().flatten().filter_map(|cursor| {
                let base = cursor.base.load(Relaxed);
                (base < oldest).then(|| (base, Arc::clone(cursor)))
            });
            behind.collect()
        };
        laggards.sort_unstable_by_key(|(base, _)| *base);
        let mut released = None;
        for (base, cursor) in laggards {
            // All readers of one block together: it is freed with the last.
            if released != Some(base) && !more() {
                break;
            }
            released = Some(base);
            cursor.empty(base);
        }
    }
}
