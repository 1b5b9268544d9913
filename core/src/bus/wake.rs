//! The wake set: who waits for what a single writer publishes, and how they
//! are woken at a cost that does not grow with their number.
//!
//! A waiter registers once, in a place of a [`Chunk`], and stays *armed*: it is
//! woken whenever the writer publishes, whether it waits here or elsewhere. So
//! to park costs no write at all. Every [`DISARM`] wake-ups the arms are taken
//! down; who still reads puts its own up again, who stands still is left in
//! peace. There are two kinds of chunk. In one for tasks each place keeps a
//! waker. One for a group (see `group`) belongs to a word of 64 of its members,
//! and each member's place is its own bit: the arms are what is written to the
//! group's word, so that 64 wake-ups are one. The writer sweeps the chunks itself
//! while that wakes no more than [`INLINE`]; when there are more it rings the
//! pump (see `pump`), which does so in tasks of its own.
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

use super::group::{Bit, polled};
use super::pump::Pump;
use crate::sync::{AcqRel, Arc, ArcCell, ArcValue, AtomicU64, Mutex, OnceLock};

mod chunk;

pub(super) use chunk::{Chunk, TASKS};

/// As many tasks, or words of groups, as this are woken by the writer itself.
/// One task woken from a task costs no system call; many would.
const INLINE: u64 = 4;

/// After so many wake-ups those who did not come back to wait are forgotten.
pub(super) const DISARM: u64 = 64;

/// Places of the first chunk of tasks: a stream with few readers stays small.
const FIRST_CHUNK: usize = 4;

/// Places of every other one: one pass of a pump.
const CHUNK: usize = 64;

/// The low bits of the gate count the tasks and the words of groups that wait,
/// the high ones tick.
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
                first_pump: OnceLock::new(),
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
        let chunks = self.core.chunks.load();
        let waiters: u32 = chunks.iter().map(|chunk| chunk.len()).sum();
        usize::try_from(waiters).unwrap_or(usize::MAX)
    }

    /// Parks the task of `waker`, which has looked and found nothing, in the
    /// place that `waiter` keeps; that is made at the first call. If this
    /// returns true the caller must look once more before it returns `Pending`.
    #[inline(always)]
    pub(crate) fn park(&self, waiter: &mut Option<Waiter>, waker: &Waker) -> bool {
        match waiter {
            Some(waiter) if waiter.waker.will_wake(waker) => waiter.park(),
            _ => {
                self.settle(waiter, waker, polled(waker));
                true
            }
        }
    }

    /// Gives `waiter` the place of another waker than it had, or its first one:
    /// that of `member`, if the waker is the one of that member of a group.
    #[cold]
    pub(super) fn settle(&self, waiter: &mut Option<Waiter>, waker: &Waker, member: Option<Bit>) {
        match waiter {
            Some(waiter) if member.is_none() && !waiter.chunk.is_of_group() => {
                waiter.waker = waker.clone();
                waiter.chunk.set(waiter.cell, Some(waker.clone()));
                waiter.chunk.arm(waiter.cell);
            }
            _ => *waiter = Some(Core::register(&self.core, waker, member)),
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
    /// Puts the arm up; whether it was down.
    #[inline(always)]
    fn park(&self) -> bool {
        if self.chunk.is_armed(self.cell) {
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
    /// The first pump, and the one that came when its runtime was gone: to ring
    /// one that never changes takes no guard.
    pub(super) first_pump: OnceLock<Arc<Pump>>,
    pub(super) pump: ArcCell<Pump>,
    /// Guards registration; holds the number of the next chunk.
    admin: Mutex<usize>,
}

impl Core {
    fn register(this: &Arc<Self>, waker: &Waker, member: Option<Bit>) -> Waiter {
        let (chunk, cell) = this.claim(member);
        chunk.set(cell, Some(waker.clone()));
        chunk.arm(cell);
        Waiter {
            core: Arc::clone(this),
            chunk,
            cell,
            waker: waker.clone(),
        }
    }

    /// Takes a free place, in a new chunk if need be: that of `member`, if it
    /// does not wait for the same already.
    fn claim(&self, member: Option<Bit>) -> (Arc<Chunk>, usize) {
        let mut next = self.admin.lock();
        let chunks = self.chunks.load();
        let (chunk, cell) = (member.and_then(|member| claim_bit(&chunks, &member, *next)))
            .unwrap_or_else(|| claim_cell(&chunks, *next));
        if chunk.number == *next {
            *next = next.wrapping_add(1);
        }
        if !chunks.iter().any(|other| Arc::ptr_eq(other, &chunk)) {
            self.chunks
                .store(Arc::new(chunks.iter().chain([&chunk]).cloned().collect()));
        }
        // Here, after the list and under the lock: a writer that comes later
        // finds the chunk, whoever made it; one that came before has published
        // what the caller looks for next.
        let more = !chunk.is_of_group() || chunk.len() == 1;
        self.gate.fetch_add(u64::from(more), AcqRel);
        (chunk, cell)
    }

    /// Frees a place, and its chunk if that was the last one in it.
    fn release(&self, chunk: &Arc<Chunk>, cell: usize) {
        let admin = self.admin.lock();
        let is_empty = chunk.release(cell);
        let fewer = !chunk.is_of_group() || is_empty;
        self.gate.fetch_sub(u64::from(fewer), AcqRel);
        if is_empty && !chunk.is_first() {
            let chunks = self.chunks.load();
            let rest = chunks.iter().filter(|other| !Arc::ptr_eq(other, chunk));
            self.chunks.store(Arc::new(rest.cloned().collect()));
        }
        drop(admin);
    }

    /// Wakes every armed waiter from the caller's thread.
    pub(super) fn sweep_all(&self, disarm: bool) {
        for chunk in self.chunks.load().iter() {
            chunk.sweep(disarm);
        }
    }

    /// The same, if that is no more than one turn's work; false if it is more.
    pub(super) fn sweep_turn(&self, disarm: bool) -> bool {
        let chunks = self.chunks.load();
        let effort: usize = chunks.iter().map(|chunk| chunk.effort()).sum();
        if effort > TASKS {
            return false;
        }
        chunks.iter().for_each(|chunk| chunk.sweep(disarm));
        true
    }

    /// The chunks of now, for the pump.
    pub(super) fn chunks(&self) -> Arc<Vec<Arc<Chunk>>> {
        self.chunks.load_full()
    }
}

/// A free place among `chunks` for a task, or the first of a new chunk.
fn claim_cell(chunks: &[Arc<Chunk>], next: usize) -> (Arc<Chunk>, usize) {
    for chunk in chunks {
        if let Some(cell) = chunk.claim() {
            return (Arc::clone(chunk), cell);
        }
    }
    let first = chunks.iter().all(|chunk| chunk.is_of_group());
    let size = if first { FIRST_CHUNK } else { CHUNK };
    let chunk = Chunk::of_tasks(next, size);
    let cell = chunk.claim().unwrap_or(0);
    (Arc::new(chunk), cell)
}

/// The place of `member`, in a new chunk if its word has none. `None` if the
/// member has taken it.
fn claim_bit(chunks: &[Arc<Chunk>], member: &Bit, next: usize) -> Option<(Arc<Chunk>, usize)> {
    let mut number = next;
    for chunk in chunks {
        if let Some(bit) = chunk.claim_bit(member) {
            return Some((Arc::clone(chunk), bit?));
        }
        // One pump sweeps all words of a group, which is one task.
        if chunk.is_of(&member.marks) {
            number = chunk.number;
        }
    }
    let chunk = Chunk::of_group(number, &member.marks, member.word);
    let bit = chunk.claim_bit(member)??;
    Some((Arc::new(chunk), bit))
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
mod tests;
