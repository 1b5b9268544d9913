//! The wake set: who waits for what a single writer publishes, and how they
//! are woken at a cost that does not grow with their number.
//!
//! A waiter registers once, in a cell of a [`Chunk`], keeps its waker there and
//! stays *armed*: it is woken whenever the writer publishes, whether it waits
//! here or elsewhere. So to park costs no write at all. Every [`DISARM`] wake-ups
//! the arms are taken down; who still reads puts its own up again, who stands
//! still is left in peace. The writer wakes up to [`INLINE`] waiters itself;
//! when there are more it rings the pump (see `pump`), which sweeps the chunks
//! in tasks of its own.
//!
//! No wake-up is lost. Between a writer and a waiter that puts its arm up, the
//! order is decided by two read-modify-writes of one location, `Chunk::armed`:
//! the writer publishes, then reads the arms; the waiter sees nothing, puts its
//! arm up, and looks again. Whichever comes second sees what the other did. A
//! waiter whose arm is up need not look again: what is published after it looked
//! is followed by a sweep that finds the arm, or by the one that took it down,
//! and both wake it. Between a writer and a waiter that is only just
//! registering, `Core::gate` plays the same part, because the chunk may not be
//! in the list yet that the writer reads. Between a writer and the pump it is
//! the state of the pump's bell.

use std::fmt;
use std::task::Waker;

use super::pump::Pump;
use crate::sync::{AcqRel, Acquire, Arc, ArcCell, ArcValue, AtomicU32, AtomicU64, Mutex, Relaxed};

/// As many waiters as this are woken by the writer itself. One task woken from
/// a task costs no system call; many would.
const INLINE: u64 = 4;

/// After so many wake-ups those who did not come back to wait are forgotten.
pub(super) const DISARM: u64 = 64;

/// Cells of the first chunk: a stream with few readers stays small.
const FIRST_CHUNK: usize = 4;

/// Cells of every other chunk: one pass of a pump.
const CHUNK: usize = 64;

/// After so many sweeps without a change of its cells a chunk is copied.
const CALM: u32 = 8;

/// The low bits of the gate count the registered waiters, the high ones tick.
const COUNT_BITS: u32 = 32;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const TICK: u64 = 1 << COUNT_BITS;

/// A set of tasks that wait for one writer.
pub(crate) struct WakeSet {
    core: Arc<Core>,
}

impl WakeSet {
    pub(crate) fn new() -> Self {
        Self {
            core: Arc::new(Core {
                gate: AtomicU64::new(0),
                chunks: ArcValue::of(Vec::new()),
                pump: ArcCell::empty(),
                admin: Mutex::new(0),
            }),
        }
    }

    /// Wakes everyone who waits. To be called after what they wait for has
    /// been stored.
    pub(crate) fn wake(&self) {
        let before = self.core.gate.fetch_add(TICK, AcqRel);
        let waiting = before & COUNT_MASK;
        if waiting == 0 {
            return;
        }
        if waiting <= INLINE || !Pump::ring(&self.core) {
            self.core
                .sweep_all((before >> COUNT_BITS).is_multiple_of(DISARM));
        }
    }

    /// Orders what the caller has stored before, and looks at after, against what
    /// wakers of this set and others that pass have: see the doors of a stream.
    pub(crate) fn pass_gate(&self) {
        self.core.gate.fetch_add(0, AcqRel);
    }

    /// How many waiters are registered.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.core.gate.load(Relaxed) & COUNT_MASK).unwrap_or(usize::MAX)
    }

    /// Parks the task of `waker`, which has looked and found nothing, in the
    /// place that `waiter` keeps; that is made at the first call. If this
    /// returns true the caller must look once more before it returns `Pending`.
    #[inline]
    pub(crate) fn park(&self, waiter: &mut Option<Waiter>, waker: &Waker) -> bool {
        match waiter {
            Some(waiter) => waiter.park(waker),
            None => {
                *waiter = Some(Core::register(&self.core, waker));
                true
            }
        }
    }
}

impl fmt::Debug for WakeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeSet")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Drop for WakeSet {
    fn drop(&mut self) {
        // Waiters may keep the core; the pump must not outlive its writer.
        Pump::stop(&self.core);
    }
}

/// A place in a wake set. Dropping it clears the waker and frees the place.
pub(crate) struct Waiter {
    core: Arc<Core>,
    chunk: Arc<Chunk>,
    cell: usize,
    waker: Waker,
}

impl Waiter {
    #[inline]
    fn park(&mut self, waker: &Waker) -> bool {
        if !self.waker.will_wake(waker) {
            self.waker = waker.clone();
            self.chunk.set(self.cell, Some(waker.clone()));
        } else if self.chunk.is_armed(self.cell) {
            return false;
        }
        self.chunk.arm(self.cell);
        true
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.chunk.disarm(self.cell);
        self.chunk.set(self.cell, None);
        self.core.release(&self.chunk, self.cell);
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("cell", &self.cell)
            .finish_non_exhaustive()
    }
}

/// What the writer, the waiters and the pump share.
pub(super) struct Core {
    gate: AtomicU64,
    chunks: ArcValue<Vec<Arc<Chunk>>>,
    pub(super) pump: ArcCell<Pump>,
    /// Guards registration; holds the number of the next chunk.
    admin: Mutex<usize>,
}

impl Core {
    fn register(this: &Arc<Self>, waker: &Waker) -> Waiter {
        let (chunk, cell) = this.claim();
        chunk.set(cell, Some(waker.clone()));
        // From here on a writer that comes later finds the chunk; one that
        // came before has published what the caller looks for next.
        this.gate.fetch_add(1, AcqRel);
        chunk.arm(cell);
        Waiter {
            core: Arc::clone(this),
            chunk,
            cell,
            waker: waker.clone(),
        }
    }

    /// Takes a free cell, in a new chunk if need be.
    fn claim(&self) -> (Arc<Chunk>, usize) {
        let mut next = self.admin.lock();
        let chunks = self.chunks.load();
        for chunk in chunks.iter() {
            if let Some(cell) = chunk.claim() {
                return (Arc::clone(chunk), cell);
            }
        }
        let size = if chunks.is_empty() {
            FIRST_CHUNK
        } else {
            CHUNK
        };
        let chunk = Arc::new(Chunk::new(*next, size));
        *next = next.wrapping_add(1);
        let cell = chunk.claim().unwrap_or(0);
        let mut grown = Vec::with_capacity(chunks.len() + 1);
        grown.extend(chunks.iter().cloned());
        grown.push(Arc::clone(&chunk));
        self.chunks.store(Arc::new(grown));
        (chunk, cell)
    }

    /// Frees a cell, and its chunk if that was the last one in it.
    fn release(&self, chunk: &Arc<Chunk>, cell: usize) {
        let admin = self.admin.lock();
        if chunk.release(cell) && chunk.cells.len() > FIRST_CHUNK {
            let rest = self
                .chunks
                .load()
                .iter()
                .filter(|other| !Arc::ptr_eq(other, chunk))
                .cloned()
                .collect();
            self.chunks.store(Arc::new(rest));
        }
        self.gate.fetch_sub(1, AcqRel);
        drop(admin);
    }

    /// Wakes every armed waiter from the caller's thread.
    pub(super) fn sweep_all(&self, disarm: bool) {
        for chunk in self.chunks.load().iter() {
            chunk.sweep(disarm);
        }
    }

    /// The chunks of now, for the pump.
    pub(super) fn chunks(&self) -> Arc<Vec<Arc<Chunk>>> {
        self.chunks.load_full()
    }
}

/// Up to 64 places for wakers.
pub(super) struct Chunk {
    /// A number that stays with the chunk: pumps share the chunks out by it.
    pub(super) number: usize,
    /// One bit per cell whose waiter is to be woken.
    armed: AtomicU64,
    /// One bit per cell that is taken; changed under `Core::admin` only.
    taken: AtomicU64,
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
    fn new(number: usize, size: usize) -> Self {
        Self {
            number,
            armed: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            cells: (0..size).map(|_| ArcCell::empty()).collect(),
            version: AtomicU64::new(0),
            calm: AtomicU32::new(0),
            copy: ArcCell::empty(),
        }
    }

    fn claim(&self) -> Option<usize> {
        let taken = self.taken.load(Relaxed);
        let cell = usize::try_from(taken.trailing_ones()).ok()?;
        if cell >= self.cells.len() {
            return None;
        }
        self.taken.store(taken | 1 << cell, Relaxed);
        Some(cell)
    }

    /// Whether the chunk is empty now.
    fn release(&self, cell: usize) -> bool {
        let taken = self.taken.load(Relaxed) & !(1 << cell);
        self.taken.store(taken, Relaxed);
        taken == 0
    }

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

    fn arm(&self, cell: usize) {
        #[cfg(test)]
        probe::run();
        self.armed.fetch_or(1 << cell, AcqRel);
    }

    fn disarm(&self, cell: usize) {
        self.armed.fetch_and(!(1 << cell), AcqRel);
    }

    /// Relaxed: see the module's doc for why an arm that was taken down a
    /// moment ago does no harm.
    fn is_armed(&self, cell: usize) -> bool {
        self.armed.load(Relaxed) & 1 << cell != 0
    }

    /// Wakes whose arms are up, and takes them down if that is asked for.
    pub(super) fn sweep(&self, disarm: bool) {
        // A read-modify-write in any case: a load might miss an arm.
        let keep = if disarm { 0 } else { u64::MAX };
        let armed = self.armed.fetch_and(keep, AcqRel);
        if armed == 0 {
            return;
        }
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

/// The places of the bits that are set, from the lowest.
fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = usize::try_from(set.trailing_zeros())
            .ok()
            .filter(|_| set != 0)?;
        set &= set - 1;
        Some(bit)
    })
}

/// Lets a test act just before an arm goes up, which is when a wake-up could
/// be lost.
#[cfg(test)]
pub(crate) mod probe {
    use std::cell::RefCell;

    type Act = Box<dyn FnOnce()>;

    thread_local! {
        static ACT: RefCell<Option<Act>> = const { RefCell::new(None) };
    }

    /// Runs `act` before this thread's next arm goes up.
    pub(crate) fn before_arm(act: impl FnOnce() + 'static) {
        ACT.set(Some(Box::new(act)));
    }

    pub(super) fn run() {
        if let Some(act) = ACT.take() {
            act();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn take(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    fn waker() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn who_puts_an_arm_up_must_look_again_and_who_has_it_up_need_not() {
        let set = WakeSet::new();
        let (count, waker) = waker();
        let mut waiter = None;
        assert!(set.park(&mut waiter, &waker), "registered");
        assert!(!set.park(&mut waiter, &waker), "armed");
        // The first wake-up of all takes the arms down, and wakes.
        set.wake();
        assert_eq!(count.take(), 1);
        assert!(set.park(&mut waiter, &waker), "armed anew");
        set.wake();
        assert_eq!(count.take(), 1);
        assert!(!set.park(&mut waiter, &waker), "still armed");
        // Another waker has to be looked for anew, too.
        let (other, another) = self::waker();
        assert!(set.park(&mut waiter, &another), "another waker");
        set.wake();
        assert_eq!((count.take(), other.take()), (0, 1));
    }

    #[test]
    fn who_does_not_come_back_is_left_in_peace() {
        let set = WakeSet::new();
        let (count, waker) = waker();
        let mut waiter = None;
        set.park(&mut waiter, &waker);
        for _ in 0..10 * DISARM {
            set.wake();
        }
        assert!(count.take() <= usize::try_from(DISARM).unwrap());
        set.park(&mut waiter, &waker);
        set.wake();
        assert_eq!(count.take(), 1);
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn places_are_used_again_and_empty_chunks_go() {
        let set = WakeSet::new();
        let (count, waker) = waker();
        for round in 0..3 {
            let mut waiters: Vec<Option<Waiter>> = (0..1_000).map(|_| None).collect();
            for waiter in &mut waiters {
                set.park(waiter, &waker);
            }
            assert_eq!(set.len(), 1_000);
            assert_eq!(set.core.chunks().len(), 1 + 996_usize.div_ceil(CHUNK));
            set.wake();
            assert_eq!(count.take(), 1_000, "{round}");
            for (place, waiter) in waiters.iter_mut().enumerate() {
                if place % 3 != round {
                    *waiter = None;
                }
            }
            let left = waiters.iter().flatten().count();
            set.wake();
            assert!(count.take() <= left);
        }
        assert_eq!((set.len(), set.core.chunks().len()), (0, 1));
        // Nobody is left to hold the waker.
        drop(set);
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 1);
    }
}
