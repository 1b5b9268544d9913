//! The table of a stream's readers: how many there are, and where they stand.

use super::chain::Block;
use crate::sync::{Arc, ArcCell, AtomicUsize, Mutex, Relaxed};

/// The block that a reader reads. The reader alone moves it on; the publisher
/// may empty it.
pub(crate) struct Cursor {
    pub(crate) cell: ArcCell<Block>,
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

    pub(crate) fn add(&self, cursor: &Arc<Cursor>) -> Place {
        self.count.fetch_add(1, Relaxed);
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
        self.count.fetch_sub(1, Relaxed);
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
                let base = cursor.cell.load().as_ref()?.base;
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
            let seen = cursor.cell.load();
            if seen.as_ref().is_some_and(|block| block.base == base) {
                cursor.cell.clear_if(&seen);
            }
        }
    }
}
