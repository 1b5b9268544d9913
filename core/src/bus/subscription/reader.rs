//! The reader behind both kinds of subscription: the way that every frame
//! takes. What it takes to start, to fall behind and to start again is in
//! `state.rs`.
//!
//! What is `inline(always)` here becomes part of the loop that reads: then what
//! is read stays in registers. Handed over by memory, a frame costs thrice as much.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::run::{Frames, Run};
use super::state::{Next, State};
use super::{BusEntry, FrameRef, Recv, SubscriptionEnd};
use crate::StreamKey;
use crate::bus::config::MaxLag;
use crate::bus::readers::Cursor;
use crate::bus::state::{CloseReason, JoinAt};
use crate::bus::stream::Stream;
use crate::sync::Arc;

/// A reader that never has to wait lets others run after so many entries.
const STREAK: usize = 128;

/// In this order in memory, as [`State`] is.
#[repr(C)]
pub(crate) struct Reader {
    /// Beside the rest: what is read is borrowed from here, and from here alone.
    /// `None` until something is read.
    cursor: Option<Arc<Cursor>>,
    state: State,
}

/// Waits for what comes next.
pub(super) struct NextRecv<'a> {
    cursor: &'a Cursor,
    state: &'a mut State,
}

impl<'a> Future for NextRecv<'a> {
    type Output = Recv<'a>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Recv<'a>> {
        let cursor = self.cursor;
        self.state.poll_next(cursor, cx)
    }
}

/// Waits for what comes next, frames in rows.
pub(super) struct NextRun<'a> {
    cursor: &'a Cursor,
    state: &'a mut State,
}

impl<'a> Future for NextRun<'a> {
    type Output = Run<'a>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Run<'a>> {
        let cursor = self.cursor;
        self.state.poll_run(cursor, cx)
    }
}

impl Reader {
    pub(super) fn new(stream: Arc<Stream>, at: JoinAt) -> Self {
        let mut reader = Self::outside(stream, at);
        reader.state.enter(reader.cursor.as_ref());
        reader
    }

    /// A reader that the stream does not know of.
    fn outside(stream: Arc<Stream>, at: JoinAt) -> Self {
        let (state, cursor) = State::new(stream, at);
        Self { cursor, state }
    }

    /// A copy of what a new reader would find.
    pub(crate) fn replay(stream: &Arc<Stream>) -> Vec<BusEntry> {
        let mut reader = Self::outside(Arc::clone(stream), JoinAt::Keyframe);
        let mut entries = Vec::new();
        loop {
            match reader.try_run() {
                Some(Run::Frames(frames)) => {
                    entries.extend(frames.iter().cloned().map(BusEntry::Frame));
                }
                Some(Run::Track(track)) => entries.push(BusEntry::Track(track)),
                Some(Run::Discontinuity(discontinuity)) => {
                    entries.push(BusEntry::Discontinuity(discontinuity));
                }
                Some(Run::Lagged { .. }) => {
                    // The start of it expired while it was copied.
                    entries.retain(|entry| matches!(entry, BusEntry::Track(_)));
                }
                Some(Run::Ended) | None => return entries,
            }
        }
    }

    /// A reader that goes on as this one would, from where it stands; the stream
    /// does not count it.
    pub(super) fn fork(&self) -> Self {
        let (state, cursor) = self.state.fork(self.cursor.as_deref());
        Self { cursor, state }
    }

    /// Has the stream count this reader no longer.
    pub(super) fn uncount(&mut self) {
        self.state.uncount();
    }

    /// Whether there is anything to look at, be it the end.
    #[inline]
    pub(super) fn has_more(&self) -> bool {
        self.state.has_more()
    }

    /// Lets go of what is unread: it counts as missed.
    pub(super) fn give_up(&mut self) {
        let (cursor, _) = self.halves();
        cursor.place(None);
    }

    /// How many frames were missed lately, as far as that counts for an eviction.
    pub(super) fn missed_lately(&self) -> u64 {
        self.state.missed_lately()
    }

    /// Whether both go on alike from the same place.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.state.is_like(&other.state)
    }

    pub(super) fn make_resilient(&mut self) {
        self.state.set_resilient(true);
    }

    pub(super) fn make_raw(&mut self) {
        self.state.set_resilient(false);
    }

    pub(super) fn set_max_lag(&mut self, max_lag: Option<MaxLag>) {
        self.state.max_lag = max_lag;
    }

    pub(super) const fn position(&self) -> u64 {
        self.state.seq
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.state.dropped
    }

    pub(super) fn key(&self) -> &StreamKey {
        &self.state.stream.key
    }

    pub(super) fn ended(&self) -> Option<SubscriptionEnd> {
        if !self.state.done {
            return None;
        }
        if self.state.evicted {
            return Some(SubscriptionEnd::Evicted);
        }
        let reason = self.state.stream.close_reason();
        Some(SubscriptionEnd::Closed(
            reason.unwrap_or(CloseReason::Finished),
        ))
    }

    /// The two halves of the reader, which begins to read if it has not yet.
    #[inline(always)]
    fn halves(&mut self) -> (&Cursor, &mut State) {
        let Self { cursor, state } = self;
        let cursor = cursor.get_or_insert_with(|| state.begin());
        (cursor, state)
    }

    #[inline(always)]
    pub(super) fn next(&mut self) -> NextRecv<'_> {
        let (cursor, state) = self.halves();
        NextRecv { cursor, state }
    }

    #[inline(always)]
    pub(super) fn next_run(&mut self) -> NextRun<'_> {
        let (cursor, state) = self.halves();
        NextRun { cursor, state }
    }

    #[inline(always)]
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Recv<'_>> {
        let (cursor, state) = self.halves();
        state.poll_next(cursor, cx)
    }

    #[inline(always)]
    pub(super) fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Run<'_>> {
        let (cursor, state) = self.halves();
        state.poll_run(cursor, cx)
    }

    #[inline(always)]
    pub(super) fn try_next(&mut self) -> Option<Recv<'_>> {
        let (cursor, state) = self.halves();
        state.try_next(cursor)
    }

    #[inline(always)]
    pub(super) fn try_run(&mut self) -> Option<Run<'_>> {
        let (cursor, state) = self.halves();
        state.try_run(cursor)
    }
}

impl State {
    #[inline(always)]
    fn poll_next<'a>(&mut self, cursor: &'a Cursor, cx: &mut Context<'_>) -> Poll<Recv<'a>> {
        if self.must_rest(cx) {
            return Poll::Pending;
        }
        if let Some(recv) = self.try_next(cursor) {
            self.streak += 1;
            return Poll::Ready(recv);
        }
        if !self.park(cx) {
            return Poll::Pending;
        }
        match self.try_next(cursor) {
            Some(recv) => Poll::Ready(recv),
            None => Poll::Pending,
        }
    }

    #[inline(always)]
    fn poll_run<'a>(&mut self, cursor: &'a Cursor, cx: &mut Context<'_>) -> Poll<Run<'a>> {
        if self.must_rest(cx) {
            return Poll::Pending;
        }
        if let Some(run) = self.try_run(cursor) {
            self.streak += match &run {
                Run::Frames(frames) => frames.len(),
                _ => 1,
            };
            return Poll::Ready(run);
        }
        if !self.park(cx) {
            return Poll::Pending;
        }
        match self.try_run(cursor) {
            Some(run) => Poll::Ready(run),
            None => Poll::Pending,
        }
    }

    /// Whether the task has read so much in a row that others must run first; it
    /// is woken for the rest.
    #[inline]
    fn must_rest(&mut self, cx: &Context<'_>) -> bool {
        let rests = self.streak >= STREAK;
        if rests {
            self.streak = 0;
            cx.waker().wake_by_ref();
        }
        rests
    }

    /// Parks the task; whether it must look once more.
    #[inline]
    fn park(&mut self, cx: &Context<'_>) -> bool {
        self.streak = 0;
        self.stream.wake.park(&mut self.waiter, cx.waker())
    }

    /// What comes next. Nearly always that is a frame, or nothing yet: both are
    /// found here, everything else in [`State::advance`].
    #[inline(always)]
    fn try_next<'a>(&mut self, cursor: &'a Cursor) -> Option<Recv<'a>> {
        if self.steady {
            if self.stream.is_read(self.seq) {
                if !self.stream.is_closed() {
                    return None;
                }
            } else if self.open
                && let Some(held) = cursor.hold()
                && let Some(here) = &*held
                && here.row(self.index, 1) == 1
            {
                let index = self.index;
                self.step(1);
                return Some(Recv::Frame(FrameRef { held, index }));
            }
        }
        Some(match self.advance(cursor)? {
            Next::Frame(held) => {
                let index = self.index;
                self.step(1);
                Recv::Frame(FrameRef { held, index })
            }
            Next::Track(track) => Recv::Track(track),
            Next::Lagged(skipped) => Recv::Lagged { skipped },
            Next::Discontinuity(discontinuity) => Recv::Discontinuity(discontinuity),
            Next::Ended => Recv::Ended,
        })
    }

    /// The same, with all frames that lie there in a row.
    #[inline(always)]
    fn try_run<'a>(&mut self, cursor: &'a Cursor) -> Option<Run<'a>> {
        if self.steady {
            let published = self.stream.unread(self.seq);
            if published == 0 {
                if !self.stream.is_closed() {
                    return None;
                }
            } else if self.open
                && let Some(held) = cursor.hold()
                && let Some(here) = &*held
            {
                let len = here.row(self.index, published);
                if len > 0 {
                    let index = self.index;
                    self.step(len);
                    return Some(Run::Frames(Frames::new(held, index, len)));
                }
            }
        }
        Some(match self.advance(cursor)? {
            Next::Frame(held) => {
                let index = self.index;
                let len = held.as_ref().map_or(1, |here| self.row(here));
                self.step(len);
                Run::Frames(Frames::new(held, index, len))
            }
            Next::Track(track) => Run::Track(track),
            Next::Lagged(skipped) => Run::Lagged { skipped },
            Next::Discontinuity(discontinuity) => Run::Discontinuity(discontinuity),
            Next::Ended => Run::Ended,
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.state.leave(self.cursor.as_deref());
    }
}
