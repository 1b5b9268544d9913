//! A chunk of a wake set: up to 64 places, and what is woken for those whose
//! arms are up.

use std::task::Waker;

use super::{FIRST_CHUNK, bits};
use crate::bus::group::{Bit, Marks};
use crate::sync::{AcqRel, Acquire, Arc, ArcCell, AtomicU32, AtomicU64, Relaxed};

/// After so many sweeps without a change of its cells a chunk is copied.
const CALM: u32 = 8;

/// What it takes to sweep a chunk of tasks, where a word of a group takes one.
/// (In a model, fewer.)
pub(in crate::bus) const TASKS: usize = if cfg!(loom) { 3 } else { 32 };

/// Up to 64 places of waiters.
pub(in crate::bus) struct Chunk {
    /// A number that stays with the chunk: pumps share the chunks out by it.
    pub(in crate::bus) number: usize,
    /// One bit per place whose waiter is to be woken.
    armed: AtomicU64,
    /// One bit per place that is taken; changed under `Core::admin` only.
    taken: AtomicU64,
    wakes: Wakes,
}

/// Who waits in a chunk.
enum Wakes {
    /// Tasks, each by its waker.
    Tasks(Cells),
    /// Members of one word of a group, each in the place of its bit: all are
    /// woken by one write.
    Group { marks: Arc<Marks>, word: usize },
}

struct Cells {
    cells: Box<[ArcCell<Waker>]>,
    /// How often a cell has changed.
    version: AtomicU64,
    /// Sweeps since then.
    calm: AtomicU32,
    /// What all cells hold, so that a sweep has one load instead of one for
    /// each waiter. Of use only if its version is the chunk's.
    copy: ArcCell<Copied>,
}

/// The wakers of a chunk at one version.
struct Copied {
    version: u64,
    wakers: Box<[Option<Waker>]>,
}

impl Chunk {
    /// A chunk for `size` tasks.
    pub(super) fn of_tasks(number: usize, size: usize) -> Self {
        let cells = Cells {
            cells: (0..size).map(|_| ArcCell::empty()).collect(),
            version: AtomicU64::new(0),
            calm: AtomicU32::new(0),
            copy: ArcCell::empty(),
        };
        Self::new(number, Wakes::Tasks(cells))
    }

    /// A chunk for the members of one word of a group.
    pub(super) fn of_group(number: usize, marks: &Arc<Marks>, word: usize) -> Self {
        let marks = Arc::clone(marks);
        Self::new(number, Wakes::Group { marks, word })
    }

    fn new(number: usize, wakes: Wakes) -> Self {
        Self {
            number,
            armed: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            wakes,
        }
    }

    /// Whether the waiters here are members of groups.
    pub(super) const fn is_of_group(&self) -> bool {
        matches!(self.wakes, Wakes::Group { .. })
    }

    /// Whether the waiters here are members of the group of `marks`.
    pub(super) fn is_of(&self, marks: &Arc<Marks>) -> bool {
        matches!(&self.wakes, Wakes::Group { marks: own, .. } if Arc::ptr_eq(own, marks))
    }

    /// Whether it is the small one, which stays when it is empty.
    pub(super) fn is_first(&self) -> bool {
        matches!(&self.wakes, Wakes::Tasks(cells) if cells.cells.len() == FIRST_CHUNK)
    }

    /// What it takes to sweep it, in words of groups: each as much as two tasks.
    pub(in crate::bus) fn effort(&self) -> usize {
        match self.wakes {
            Wakes::Tasks(_) => self.len().div_ceil(2) as usize,
            Wakes::Group { .. } => 1,
        }
    }

    /// How many places are taken.
    pub(super) fn len(&self) -> u32 {
        self.taken.load(Relaxed).count_ones()
    }

    /// Takes a free place for a task.
    pub(super) fn claim(&self) -> Option<usize> {
        let Wakes::Tasks(Cells { cells, .. }) = &self.wakes else {
            return None;
        };
        let taken = self.taken.load(Relaxed);
        let cell = usize::try_from(taken.trailing_ones()).ok()?;
        if cell >= cells.len() {
            return None;
        }
        self.taken.store(taken | 1 << cell, Relaxed);
        Some(cell)
    }

    /// The place of a member of this chunk's word, if that is free; the outer
    /// `None` says that the member is of another word.
    pub(super) fn claim_bit(&self, member: &Bit) -> Option<Option<usize>> {
        let Wakes::Group { word, .. } = self.wakes else {
            return None;
        };
        if word != member.word || !self.is_of(&member.marks) {
            return None;
        }
        let taken = self.taken.load(Relaxed);
        if taken & 1 << member.bit != 0 {
            return Some(None);
        }
        self.taken.store(taken | 1 << member.bit, Relaxed);
        Some(Some(member.bit))
    }

    /// Whether the chunk is empty now.
    pub(super) fn release(&self, cell: usize) -> bool {
        let taken = self.taken.load(Relaxed) & !(1 << cell);
        self.taken.store(taken, Relaxed);
        taken == 0
    }

    /// Keeps the waker of a task.
    pub(super) fn set(&self, cell: usize, waker: Option<Waker>) {
        if let Wakes::Tasks(cells) = &self.wakes {
            cells.set(cell, waker);
        }
    }

    pub(super) fn arm(&self, cell: usize) {
        #[cfg(test)]
        super::probe::run();
        self.armed.fetch_or(1 << cell, AcqRel);
    }

    pub(super) fn disarm(&self, cell: usize) {
        self.armed.fetch_and(!(1 << cell), AcqRel);
    }

    /// Relaxed: see the module's doc for why an arm that was taken down a
    /// moment ago does no harm.
    #[inline(always)]
    pub(super) fn is_armed(&self, cell: usize) -> bool {
        self.armed.load(Relaxed) & 1 << cell != 0
    }

    /// Wakes whose arms are up, and takes them down if that is asked for.
    pub(in crate::bus) fn sweep(&self, disarm: bool) {
        // A read-modify-write in any case: a load might miss an arm.
        let keep = if disarm { 0 } else { u64::MAX };
        let armed = self.armed.fetch_and(keep, AcqRel);
        if armed == 0 {
            return;
        }
        match &self.wakes {
            Wakes::Tasks(cells) => cells.wake(armed),
            Wakes::Group { marks, word } => marks.mark(*word, armed),
        }
    }
}

impl Cells {
    fn set(&self, cell: usize, waker: Option<Waker>) {
        if let Some(place) = self.cells.get(cell) {
            place.store(waker.map(Arc::new));
        }
        // After the cell, and before the arm goes up: whoever sees the arm
        // takes no copy for good that was made before.
        self.version.fetch_add(1, AcqRel);
        self.calm.store(0, Relaxed);
        if self.copy.load().is_some() {
            self.copy.store(None);
        }
    }

    /// Wakes the tasks of the cells whose bits are set.
    fn wake(&self, armed: u64) {
        let version = self.version.load(Acquire);
        let copy = self.copy.load();
        if let Some(copy) = copy.as_ref().filter(|copy| copy.version == version) {
            for waker in bits(armed).filter_map(|cell| copy.wakers.get(cell)?.as_ref()) {
                waker.wake_by_ref();
            }
            return;
        }
        drop(copy);
        for place in bits(armed).filter_map(|cell| self.cells.get(cell)) {
            if let Some(waker) = &*place.load() {
                waker.wake_by_ref();
            }
        }
        if self.calm.fetch_add(1, Relaxed) == CALM {
            self.make_copy(version);
        }
    }

    /// Copies the wakers of `version`.
    fn make_copy(&self, version: u64) {
        let wakers = self
            .cells
            .iter()
            .map(|cell| cell.load().as_deref().cloned());
        let wakers = wakers.collect();
        self.copy.store(Some(Arc::new(Copied { version, wakers })));
        // A cell that changed meanwhile was emptied of its waker, perhaps, and
        // may have found no copy to take away.
        if self.version.load(Acquire) != version {
            self.copy.store(None);
        }
    }
}
