//! The pump: the tasks that wake the waiters of a [`WakeSet`](super::wake::WakeSet)
//! when they are too many for the writer.
//!
//! The writer rings one bell. The root task answers it; it sweeps few chunks
//! itself and shares many out among one branch per worker of the runtime. A
//! branch wakes 64 tasks, or 32 words of groups, and yields, so that what it woke
//! runs.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::wake::{Chunk, Core, DISARM, TASKS};
use crate::sync::{AcqRel, Arc, ArcCell, AtomicU8, Relaxed, Runtime, Slot, Weak};

/// Up to three chunks of tasks, or as many of groups as take no longer, the root
/// sweeps alone: below, a second task costs more than it takes over.
/// (For a model, where chunks are few: whatever there is, is shared out.)
const ROOT_EFFORT: usize = if cfg!(loom) { 0 } else { 3 * TASKS };

/// More branches than this help no one.
const MAX_BRANCHES: usize = 16;

/// The bells of a wake set's pump tasks.
pub(super) struct Pump {
    root: Bell,
    branches: Box<[Bell]>,
}

impl Pump {
    /// Rings the pump of `core`, starting one where there is a runtime to run
    /// it; false if the caller has to wake everyone itself.
    pub(super) fn ring(core: &Arc<Core>) -> bool {
        if core.first_pump.get().is_some_and(|pump| pump.root.ring()) {
            return true;
        }
        if let Some(pump) = &*core.pump.load()
            && pump.root.ring()
        {
            return true;
        }
        let Some(runtime) = Runtime::current() else {
            return false;
        };
        let workers = runtime.workers().clamp(1, MAX_BRANCHES);
        let pump = Arc::new(Self {
            root: Bell::new(),
            branches: (0..workers).map(|_| Bell::new()).collect(),
        });
        pump.root.ring();
        // Two writers may both get here; one pump is enough.
        if core.first_pump.set(Arc::clone(&pump)).is_err() {
            if core.first_pump.get().is_some_and(|pump| pump.root.ring()) {
                return true;
            }
            if let Some(other) = core.pump.swap(Some(Arc::clone(&pump))) {
                other.each_bell(Bell::stop);
            }
        }
        let core = Arc::downgrade(core);
        runtime.spawn(root(End { core, pump }));
        true
    }

    /// Ends the tasks of the pump of `core`, if it has one.
    pub(super) fn stop(core: &Core) {
        if let Some(pump) = core.first_pump.get() {
            pump.each_bell(Bell::stop);
        }
        if let Some(pump) = core.pump.swap(None) {
            pump.each_bell(Bell::stop);
        }
    }

    fn each_bell(&self, f: impl Fn(&Bell)) {
        f(&self.root);
        self.branches.iter().for_each(f);
    }
}

async fn root(end: End) {
    let mut started = false;
    let mut passes: u64 = 0;
    while end.pump.root.rung().await {
        let Some(core) = end.core.upgrade() else {
            return;
        };
        if core.sweep_turn(passes.is_multiple_of(DISARM)) {
            passes = passes.wrapping_add(1);
            continue;
        }
        let chunks = core.chunks();
        let lanes = end.pump.branches.len();
        let effort: usize = chunks.iter().map(|chunk| chunk.effort()).sum();
        if effort <= ROOT_EFFORT || lanes < 2 {
            pass(chunks.iter(), &mut passes).await;
            continue;
        }
        if !started && let Some(runtime) = Runtime::current() {
            for lane in 0..lanes {
                runtime.spawn(branch(end.clone(), lane));
            }
            started = true;
        }
        for (lane, bell) in end.pump.branches.iter().enumerate() {
            if !bell.ring() {
                pass(of_lane(&chunks, lane, lanes), &mut passes).await;
            }
        }
    }
}

/// Sweeps the chunks of one lane. They are told by their number, which stays,
/// and not by their place in the list, which moves when a chunk is removed.
async fn branch(end: End, lane: usize) {
    let lanes = end.pump.branches.len();
    let Some(bell) = end.pump.branches.get(lane) else {
        return;
    };
    let mut passes = 0;
    while bell.rung().await {
        let Some(core) = end.core.upgrade() else {
            return;
        };
        let chunks = core.chunks();
        pass(of_lane(&chunks, lane, lanes), &mut passes).await;
    }
}

fn of_lane(chunks: &[Arc<Chunk>], lane: usize, lanes: usize) -> impl Iterator<Item = &Arc<Chunk>> {
    chunks
        .iter()
        .filter(move |chunk| chunk.number % lanes == lane)
}

async fn pass(chunks: impl Iterator<Item = &Arc<Chunk>>, passes: &mut u64) {
    let disarm = passes.is_multiple_of(DISARM);
    *passes = passes.wrapping_add(1);
    let mut turn = 0;
    for chunk in chunks {
        if turn >= TASKS {
            let_others_run().await;
            turn = 0;
        }
        turn += chunk.effort();
        chunk.sweep(disarm);
    }
}

/// Goes to the end of the worker's queue. tokio's `yield_now` would wait for the
/// next look at the sockets as well, which is a system call.
async fn let_others_run() {
    let mut ran = false;
    poll_fn(|cx| {
        if ran {
            return Poll::Ready(());
        }
        ran = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Held by every pump task, from before its first poll. A runtime that shuts down
/// drops its tasks anywhere, or never runs them; then the bells must say so, and
/// whoever was rung for is woken here.
#[derive(Clone)]
struct End {
    core: Weak<Core>,
    pump: Arc<Pump>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.pump.each_bell(Bell::stop);
        if let Some(core) = self.core.upgrade() {
            core.sweep_all(true);
        }
    }
}

const RUNG: u8 = 1;
const STOPPED: u8 = 2;
/// Another waker than the first one is in force.
const MOVED: u8 = 4;

/// Wakes one task, and remembers that it was rung while the task ran.
pub(crate) struct Bell {
    state: AtomicU8,
    /// The waker with which the task waited first. A task seldom has another one,
    /// and this is read for every frame.
    first: Slot<Waker>,
    other: ArcCell<Waker>,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU8::new(0),
            first: Slot::new(),
            other: ArcCell::empty(),
        }
    }

    /// False if nobody will answer any more.
    pub(crate) fn ring(&self) -> bool {
        let before = self.state.fetch_or(RUNG, AcqRel);
        if before & STOPPED != 0 {
            return false;
        }
        if before & RUNG == 0 {
            self.wake(before);
        }
        true
    }

    /// Ends the task that answers.
    pub(crate) fn stop(&self) {
        let before = self.state.fetch_or(STOPPED, AcqRel);
        self.wake(before);
    }

    /// Waits for the next ring, which is used up before this returns; false
    /// once the bell is stopped. One task only may wait.
    pub(crate) async fn rung(&self) -> bool {
        poll_fn(|cx| self.poll_rung(cx)).await
    }

    fn poll_rung(&self, cx: &Context<'_>) -> Poll<bool> {
        if let Some(rung) = self.take() {
            return Poll::Ready(rung);
        }
        if !self.keep(cx.waker()) {
            // Whoever rings after that look finds the waker.
            return Poll::Pending;
        }
        match self.take() {
            Some(rung) => Poll::Ready(rung),
            None => Poll::Pending,
        }
    }

    /// Keeps the waker of the task that waits; false if it was kept already.
    fn keep(&self, waker: &Waker) -> bool {
        let is_moved = self.state.load(Relaxed) & MOVED != 0;
        if is_moved {
            let other = self.other.load();
            if other.as_ref().is_some_and(|other| other.will_wake(waker)) {
                return false;
            }
        } else {
            match self.first.get() {
                Some(first) if first.will_wake(waker) => return false,
                Some(_) => {}
                None => {
                    self.first.set(waker.clone());
                    return true;
                }
            }
        }
        self.other.store(Some(Arc::new(waker.clone())));
        self.state.fetch_or(MOVED, AcqRel);
        true
    }

    fn take(&self) -> Option<bool> {
        let before = self.state.fetch_and(!RUNG, AcqRel);
        if before & STOPPED != 0 {
            Some(false)
        } else {
            (before & RUNG != 0).then_some(true)
        }
    }

    /// Wakes the task, whose waker `state` tells.
    fn wake(&self, state: u8) {
        if state & MOVED != 0 {
            if let Some(waker) = &*self.other.load() {
                waker.wake_by_ref();
            }
        } else if let Some(waker) = self.first.get() {
            waker.wake_by_ref();
        }
    }
}
