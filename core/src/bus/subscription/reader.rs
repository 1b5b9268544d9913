//! The reader behind both kinds of subscription: a block, an index, and what
//! it takes to start, to fall behind and to start again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::{BusEntry, FrameRef, Recv, SubscriptionEnd};
use crate::bus::chain::{Block, End, Entry, Point};
use crate::bus::config::MaxLag;
use crate::bus::configs::Configs;
use crate::bus::readers::{Cursor, Place};
use crate::bus::state::{CloseReason, JoinAt};
use crate::bus::stream::Stream;
use crate::bus::wake::Waiter;
use crate::sync::{Arc, Relaxed, now};
use crate::{Discontinuity, DiscontinuityCause, StreamKey, Track, TrackId};

/// A reader that never has to wait lets others run after so many entries.
const STREAK: u32 = 128;

pub(crate) struct Reader {
    /// Beside the rest: what is read is borrowed from here, and from here alone.
    cursor: Arc<Cursor>,
    state: State,
}

/// All that a reader knows beside its block.
struct State {
    stream: Arc<Stream>,
    /// The entry in the stream's table; `None` for a reader that has left, or
    /// never was in it.
    place: Option<Place>,
    /// Where the reader stands: slot in its block, and sequence and frame number.
    index: usize,
    seq: u64,
    frames: u64,
    /// The version of the configurations that the reader knows.
    seen: u32,
    /// Configurations that come before the next entry, and how many of them are done.
    pending: Option<(Arc<Configs>, usize)>,
    /// Frames are passed over until one at which reading can start.
    waiting: bool,
    resilient: bool,
    /// One bit per track of which a keyframe has been read.
    opened: [u64; 4],
    /// A lag has to be reported, and the frames that were missed by it.
    lagged: bool,
    missed: u64,
    /// Frames passed over while `waiting` count as missed.
    lagging: bool,
    dropped: u64,
    max_lag: Option<MaxLag>,
    lags: VecDeque<(Instant, u64)>,
    evicted: bool,
    done: bool,
    /// Nothing is left of a start, a lag or an end: what is in the chain comes next.
    steady: bool,
    waiter: Option<Waiter>,
    streak: u32,
}

/// Waits for what comes next.
pub(super) struct NextRecv<'a> {
    cursor: &'a Cursor,
    state: &'a mut State,
}

impl<'a> Future for NextRecv<'a> {
    type Output = Recv<'a>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Recv<'a>> {
        let cursor = self.cursor;
        self.state.poll_next(cursor, cx)
    }
}

impl Reader {
    pub(super) fn new(stream: Arc<Stream>, at: JoinAt) -> Self {
        let mut reader = Self::outside(stream, at);
        let Self { cursor, state } = &mut reader;
        if state.stream.is_closed() {
            state.leave(cursor);
        } else {
            state.place = Some(state.stream.readers.add(cursor));
            if state.waiting && state.frames > 0 {
                state.stream.request_keyframe();
            }
        }
        reader
    }

    /// A reader that the stream does not know of.
    fn outside(stream: Arc<Stream>, at: JoinAt) -> Self {
        let cursor = Cursor::new();
        let state = State::new(stream, at, &cursor);
        Self {
            cursor: Arc::new(cursor),
            state,
        }
    }

    /// A copy of what a new reader would find.
    pub(crate) fn replay(stream: &Arc<Stream>) -> Vec<BusEntry> {
        let mut reader = Self::outside(Arc::clone(stream), JoinAt::Keyframe);
        let mut entries = Vec::new();
        loop {
            match reader.try_next() {
                Some(Recv::Frame(frame)) => entries.push(BusEntry::Frame(frame.into_owned())),
                Some(Recv::Track(track)) => entries.push(BusEntry::Track(track)),
                Some(Recv::Discontinuity(discontinuity)) => {
                    entries.push(BusEntry::Discontinuity(discontinuity));
                }
                Some(Recv::Lagged { .. }) => {
                    // The start of it expired while it was copied.
                    entries.retain(|entry| matches!(entry, BusEntry::Track(_)));
                }
                Some(Recv::Ended) | None => return entries,
            }
        }
    }

    pub(super) fn make_resilient(&mut self) {
        self.state.resilient = true;
    }

    pub(super) fn make_raw(&mut self) {
        self.state.resilient = false;
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
        let reason = *self.state.stream.ended.load();
        Some(SubscriptionEnd::Closed(
            reason.unwrap_or(CloseReason::Finished),
        ))
    }

    #[inline]
    pub(super) fn next(&mut self) -> NextRecv<'_> {
        NextRecv {
            cursor: &self.cursor,
            state: &mut self.state,
        }
    }

    #[inline]
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Recv<'_>> {
        self.state.poll_next(&self.cursor, cx)
    }

    #[inline]
    pub(super) fn try_next(&mut self) -> Option<Recv<'_>> {
        self.state.try_next(&self.cursor)
    }
}

impl State {
    fn new(stream: Arc<Stream>, at: JoinAt, cursor: &Cursor) -> Self {
        let max_lag = stream.config.max_lag();
        let mut state = Self {
            stream,
            place: None,
            index: 0,
            seq: 0,
            frames: 0,
            seen: 0,
            pending: None,
            waiting: false,
            resilient: false,
            opened: [0; 4],
            lagged: false,
            missed: 0,
            lagging: false,
            dropped: 0,
            max_lag,
            lags: VecDeque::new(),
            evicted: false,
            done: false,
            steady: false,
            waiter: None,
            streak: 0,
        };
        match at {
            JoinAt::Live => {
                let point = state.live();
                state.go_to(cursor, point);
            }
            JoinAt::Configs => {
                // Configurations first: one that is put between the two loads
                // is read in its place; one that is in both is passed over.
                let configs = state.stream.configs();
                let point = state.live();
                state.go_to(cursor, point);
                state.pending = Some((configs, 0));
            }
            JoinAt::Keyframe => {
                // The head first: if there is no join point after that, none
                // lies behind the head as it was.
                let head = state.live();
                let join = state.stream.join.load_full();
                state.waiting = join.point.is_none();
                state.go_to(cursor, join.point.clone().unwrap_or(head));
                state.pending = Some((Arc::clone(&join.configs), 0));
            }
        }
        state
    }

    #[inline]
    fn poll_next<'a>(&mut self, cursor: &'a Cursor, cx: &mut Context<'_>) -> Poll<Recv<'a>> {
        if self.streak >= STREAK {
            self.streak = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(recv) = self.try_next(cursor) {
            self.streak += 1;
            return Poll::Ready(recv);
        }
        self.streak = 0;
        if !self.stream.wake.park(&mut self.waiter, cx.waker()) {
            return Poll::Pending;
        }
        match self.try_next(cursor) {
            Some(recv) => Poll::Ready(recv),
            None => Poll::Pending,
        }
    }

    /// What comes next. Nearly always that is a frame, or nothing yet: both are
    /// found here, everything else below.
    #[inline]
    fn try_next<'a>(&mut self, cursor: &'a Cursor) -> Option<Recv<'a>> {
        if self.steady {
            // Before what is published: whoever closes does so after the last entry.
            let closed = self.stream.is_closed();
            if !closed && self.stream.is_read(self.seq) {
                return None;
            }
            if let Some(held) = cursor.hold()
                && let Some(here) = &*held
                && let Some(Entry::Frame {
                    frame, dependent, ..
                }) = here.get(self.index)
            {
                let (track, dependent) = (frame.track, *dependent);
                let index = self.index;
                self.step();
                self.frames += 1;
                if !self.resilient || self.is_open(track, dependent) {
                    return Some(Recv::Frame(FrameRef { held, index }));
                }
            }
        }
        let next = self.advance(cursor);
        self.steady = !self.lagged && !self.waiting && !self.done && self.pending.is_none();
        next
    }

    /// What comes next, whatever it is.
    fn advance<'a>(&mut self, cursor: &'a Cursor) -> Option<Recv<'a>> {
        loop {
            if self.lagged && (!self.waiting || self.done) {
                return Some(self.report_lag(cursor));
            }
            if self.done {
                return Some(Recv::Ended);
            }
            if let Some(track) = self.next_pending() {
                return Some(Recv::Track(track));
            }
            // Before the slot: whoever closes does so after the last entry.
            let closed = self.stream.is_closed();
            // The publisher holds a cursor for a moment, to empty it or only to look.
            let Some(mut held) = cursor.hold() else {
                std::thread::yield_now();
                continue;
            };
            let here = held.as_ref();
            match here.map_or(Found::Gone, |here| Found::at(here, self.index)) {
                Found::Frame {
                    track,
                    join,
                    dependent,
                } => {
                    if self.waiting && join {
                        self.waiting = false;
                        self.lagging = false;
                        // What was missed comes first, then this frame.
                        continue;
                    }
                    self.step();
                    self.frames += 1;
                    if self.waiting {
                        self.missed += u64::from(self.lagging);
                    } else if !self.resilient || self.is_open(track, dependent) {
                        let index = self.index - 1;
                        return Some(Recv::Frame(FrameRef { held, index }));
                    }
                }
                Found::Track(track, version) => {
                    self.step();
                    if version > self.seen {
                        self.seen = version;
                        return Some(Recv::Track(track));
                    }
                }
                Found::Discontinuity(discontinuity) => {
                    self.step();
                    if matches!(
                        discontinuity.cause,
                        DiscontinuityCause::Reconnect | DiscontinuityCause::Takeover
                    ) {
                        // Another encoder: what it sends refers to its own frames.
                        self.opened = [0; 4];
                    }
                    if !self.waiting {
                        return Some(Recv::Discontinuity(discontinuity));
                    }
                }
                Found::End(End::Open) if closed => {
                    drop(held);
                    self.leave(cursor);
                }
                Found::End(End::Open) => return None,
                Found::End(End::More) => {}
                Found::End(End::Next(next)) => {
                    self.index = 0;
                    cursor.move_on(&mut held, next);
                }
                Found::End(End::Cut) | Found::Gone => {
                    drop(held);
                    self.start_again(cursor);
                }
            }
        }
    }

    #[inline]
    fn step(&mut self) {
        self.index += 1;
        self.seq += 1;
    }

    /// The next of the configurations that come before the next entry.
    fn next_pending(&mut self) -> Option<Arc<Track>> {
        let (configs, done) = self.pending.as_mut()?;
        if let Some((at, track)) = configs.next_after(*done, self.seen) {
            *done = at + 1;
            return Some(Arc::clone(track));
        }
        self.seen = self.seen.max(configs.version);
        self.pending = None;
        None
    }

    /// Whether a frame of `track` can be decoded from here on.
    fn is_open(&mut self, track: TrackId, dependent: bool) -> bool {
        let bit = 1 << (track.0 % 64);
        let Some(opened) = self.opened.get_mut(usize::from(track.0 / 64)) else {
            return true;
        };
        if !dependent {
            *opened |= bit;
        }
        *opened & bit != 0
    }

    /// The place behind everything that is published.
    fn live(&self) -> Point {
        Point::after(self.stream.head.load_full())
    }

    fn go_to(&mut self, cursor: &Cursor, point: Point) {
        self.index = point.index;
        self.seq = point.seq();
        self.frames = point.frames;
        cursor.place(Some(point.block));
    }

    /// What the reader stood before has expired: goes on at the join point, or
    /// where there is none at the head, never backwards.
    fn start_again(&mut self, cursor: &Cursor) {
        let head = self.live();
        let join = self.stream.join.load_full();
        let point = join.point.clone().filter(|point| point.seq() >= self.seq);
        let next = point.as_ref().unwrap_or(&head);
        if next.seq() == self.seq {
            // Its place was taken, but nothing was missed by it.
            self.go_to(cursor, next.clone());
            return;
        }
        // One that has not started yet misses nothing, and still starts at a keyframe.
        let started = !self.waiting || self.lagging;
        self.waiting = point.is_none() && (self.resilient || !started);
        self.lagging = self.waiting && started;
        let point = point.unwrap_or(head);
        if started {
            // Even if no frame is among what was missed, something is.
            self.lagged = true;
            self.missed += point.frames.saturating_sub(self.frames);
        }
        self.opened = [0; 4];
        self.pending = Some((Arc::clone(&join.configs), 0));
        self.go_to(cursor, point);
        if self.waiting {
            self.stream.request_keyframe();
        }
    }

    /// Reports what was missed, and evicts the reader that misses too much.
    fn report_lag<'a>(&mut self, cursor: &Cursor) -> Recv<'a> {
        self.lagged = false;
        let skipped = std::mem::take(&mut self.missed);
        self.dropped += skipped;
        let stream = Arc::clone(&self.stream);
        stream.counters.lagged.fetch_add(1, Relaxed);
        stream.counters.dropped.fetch_add(skipped, Relaxed);
        stream
            .observer
            .tell(|observer| observer.on_subscriber_lagged(&stream.key, skipped));
        if let Some(MaxLag { frames, window }) = self.max_lag.filter(|_| self.resilient) {
            let now = now();
            self.lags.push_back((now, skipped));
            while let Some((at, _)) = self.lags.front()
                && now.saturating_duration_since(*at) > window
            {
                self.lags.pop_front();
            }
            let missed = self.lags.iter().map(|(_, skipped)| skipped).sum();
            if missed > frames && !self.done {
                self.evicted = true;
                self.leave(cursor);
                stream.counters.evicted.fetch_add(1, Relaxed);
                stream
                    .observer
                    .tell(|observer| observer.on_subscriber_evicted(&stream.key, missed));
            }
        }
        Recv::Lagged { skipped }
    }

    /// Ends the reading: nothing is held any more.
    fn leave(&mut self, cursor: &Cursor) {
        self.done = true;
        self.pending = None;
        self.waiter = None;
        cursor.place(None);
        if let Some(place) = self.place.take() {
            self.stream.readers.remove(place);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.state.leave(&self.cursor);
    }
}

/// What stands where a reader reads.
enum Found {
    Frame {
        track: TrackId,
        join: bool,
        dependent: bool,
    },
    Track(Arc<Track>, u32),
    Discontinuity(Discontinuity),
    /// No entry.
    End(End),
    /// The reader's block was taken away.
    Gone,
}

impl Found {
    fn at(block: &Block, index: usize) -> Self {
        match block.get(index) {
            Some(Entry::Frame {
                frame,
                join,
                dependent,
            }) => Self::Frame {
                track: frame.track,
                join: *join,
                dependent: *dependent,
            },
            Some(Entry::Track { track, version }) => Self::Track(Arc::clone(track), *version),
            Some(Entry::Discontinuity(discontinuity)) => Self::Discontinuity(*discontinuity),
            None => Self::End(block.end(index)),
        }
    }
}
