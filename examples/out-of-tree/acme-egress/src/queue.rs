//! What waits for one viewer: shared slices, bounded in bytes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use rillcast_core::http::Chunk;

/// Between the sink, which puts whole tags in, and the response, which takes
/// them out. What is once in comes out, in order: a gap is made before.
pub(crate) struct Queue {
    /// With so many bytes no more is wanted; what comes last may exceed it.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<(Arc<[Bytes]>, usize)>,
    bytes: usize,
    /// What waits is to leave now.
    due: bool,
    /// No more will come.
    ended: bool,
    /// The viewer has left.
    left: bool,
    waker: Option<Waker>,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    /// Adds whole tags of `bytes` bytes. They are not looked for before
    /// [`wake`](Self::wake) unless something else wakes the viewer.
    pub(crate) fn push(&self, slices: Arc<[Bytes]>, bytes: usize) {
        let mut state = self.lock();
        if !state.left {
            state.bytes += bytes;
            state.pieces.push_back((slices, bytes));
        }
    }

    /// Has what waits sent.
    pub(crate) fn wake(&self) {
        let waker = {
            let mut state = self.lock();
            state.due = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether more may come.
    pub(crate) fn has_room(&self) -> bool {
        self.lock().bytes < self.limit
    }

    /// How many bytes wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().bytes
    }

    /// Ends the response behind what waits.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.wake();
    }

    /// Forgets what waits: the viewer has left.
    pub(crate) fn leave(&self) {
        let pieces = {
            let mut state = self.lock();
            state.left = true;
            state.bytes = 0;
            state.waker = None;
            std::mem::take(&mut state.pieces)
        };
        // Slices of many frames, freed outside of the lock.
        drop(pieces);
    }

    /// Whether the viewer has left.
    pub(crate) fn is_left(&self) -> bool {
        self.lock().left
    }

    /// What waits, a part of it if it is much; `None` at the end.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Chunk>> {
        let mut state = self.lock();
        if let Some(chunk) = state.take() {
            return Poll::Ready(Some(chunk));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// What waits, a part of it if it is much, if it is to leave now.
    pub(crate) fn take_due(&self) -> Option<Chunk> {
        let mut state = self.lock();
        if state.due { state.take() } else { None }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<Chunk> {
        let (mut count, mut bytes) = (0, 0);
        for (_, piece) in &self.pieces {
            if count > 0 && bytes + piece > MOST_AT_ONCE {
                break;
            }
            count += 1;
            bytes += piece;
        }
        let chunk = match count {
            0 => return None,
            1 => self
                .pieces
                .pop_front()
                .map(|(slices, _)| Chunk::from_slices(slices)),
            _ => {
                let taken = self.pieces.drain(..count);
                Some(Chunk::from_lists(taken.map(|(slices, _)| slices).collect()))
            }
        };
        self.bytes -= bytes;
        self.due &= !self.pieces.is_empty();
        chunk
    }
}

/// What a response takes at once, if it is more than one piece: what it has
/// taken does not count against the limit any more.
const MOST_AT_ONCE: usize = 256 << 10;

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Queue")
            .field("bytes", &state.bytes)
            .field("ended", &state.ended)
            .field("left", &state.left)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
