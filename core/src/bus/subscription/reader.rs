//! The reader behind both kinds of subscription: a block, an index, and what
//! it takes to start, to fall behind and to start again.

use std::collections::VecDeque;
use std::marker::PhantomData;
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
use crate::sync::{Arc, ArcCell, ArcGuard, Relaxed, now};
use crate::{Discontinuity, DiscontinuityCause, StreamKey, Track, TrackId};

/// A reader that never has to wait lets others run after so many entries.
const STREAK: u32 = 128;

pub(crate) struct Reader {
    stream: Arc<Stream>,
    cursor: Arc<Cursor>,
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

/// What comes next, without the borrow.
pub(super) enum Delivery {
    Frame {
        block: ArcGuard<Block>,
        index: usize,
    },
    Track(Arc<Track>),
    Lagged(u64),
    Discontinuity(Discontinuity),
    Ended,
}

impl Delivery {
    #[inline]
    pub(super) fn into_recv<'a>(self) -> Recv<'a> {
        match self {
            Self::Frame { block, index } => Recv::Frame(FrameRef {
                block,
                index,
                reader: PhantomData,
            }),
            Self::Track(track) => Recv::Track(track),
            Self::Lagged(skipped) => Recv::Lagged { skipped },
            Self::Discontinuity(discontinuity) => Recv::Discontinuity(discontinuity),
            Self::Ended => Recv::Ended,
        }
    }
}

impl Reader {
    pub(super) fn new(stream: Arc<Stream>, at: JoinAt) -> Self {
        let mut reader = Self::outside(stream, at);
        if reader.stream.is_closed() {
            reader.leave();
        } else {
            reader.place = Some(reader.stream.readers.add(&reader.cursor));
            if reader.waiting && reader.frames > 0 {
                reader.stream.request_keyframe();
            }
        }
        reader
    }

    /// A reader that the stream does not know of.
    fn outside(stream: Arc<Stream>, at: JoinAt) -> Self {
        let max_lag = stream.config.max_lag();
        let mut reader = Self {
            cursor: Arc::new(Cursor {
                cell: ArcCell::empty(),
            }),
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
                let point = reader.live();
                reader.go_to(point);
            }
            JoinAt::Configs => {
                // Configurations first: one that is put between the two loads
                // is read in its place; one that is in both is passed over.
                let configs = reader.stream.configs();
                let point = reader.live();
                reader.go_to(point);
                reader.pending = Some((configs, 0));
            }
            JoinAt::Keyframe => {
                // The head first: if there is no join point after that, none
                // lies behind the head as it was.
                let head = reader.live();
                let join = reader.stream.join.load_full();
                reader.waiting = join.point.is_none();
                reader.go_to(join.point.clone().unwrap_or(head));
                reader.pending = Some((Arc::clone(&join.configs), 0));
            }
        }
        reader
    }

    /// A copy of what a new reader would find.
    pub(crate) fn replay(stream: &Arc<Stream>) -> Vec<BusEntry> {
        let mut reader = Self::outside(Arc::clone(stream), JoinAt::Keyframe);
        let mut entries = Vec::new();
        loop {
            match reader.try_next() {
                Some(Delivery::Frame { block, index }) => {
                    entries.extend(
                        block
                            .as_ref()
                            .and_then(|block| block.get(index))
                            .map(BusEntry::of),
                    );
                }
                Some(Delivery::Track(track)) => entries.push(BusEntry::Track(track)),
                Some(Delivery::Discontinuity(discontinuity)) => {
                    entries.push(BusEntry::Discontinuity(discontinuity));
                }
                Some(Delivery::Lagged(_)) => {
                    // The start of it expired while it was copied.
                    entries.retain(|entry| matches!(entry, BusEntry::Track(_)));
                }
                Some(Delivery::Ended) | None => return entries,
            }
        }
    }

    pub(super) fn make_resilient(&mut self) {
        self.resilient = true;
    }

    pub(super) fn make_raw(&mut self) {
        self.resilient = false;
    }

    pub(super) fn set_max_lag(&mut self, max_lag: Option<MaxLag>) {
        self.max_lag = max_lag;
    }

    pub(super) const fn position(&self) -> u64 {
        self.seq
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn key(&self) -> &StreamKey {
        &self.stream.key
    }

    pub(super) fn ended(&self) -> Option<SubscriptionEnd> {
        if !self.done {
            return None;
        }
        if self.evicted {
            return Some(SubscriptionEnd::Evicted);
        }
        let reason = *self.stream.ended.load();
        Some(SubscriptionEnd::Closed(
            reason.unwrap_or(CloseReason::Finished),
        ))
    }

    #[inline]
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        if self.streak >= STREAK {
            self.streak = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(delivery) = self.try_next() {
            self.streak += 1;
            return Poll::Ready(delivery);
        }
        self.streak = 0;
        if !self.stream.wake.park(&mut self.waiter, cx.waker()) {
            return Poll::Pending;
        }
        match self.try_next() {
            Some(delivery) => Poll::Ready(delivery),
            None => Poll::Pending,
        }
    }

    /// What comes next. Nearly always that is a frame, or nothing yet: both are
    /// found here, everything else below.
    #[inline]
    pub(super) fn try_next(&mut self) -> Option<Delivery> {
        if self.steady {
            // Before what is published: whoever closes does so after the last entry.
            let closed = self.stream.is_closed();
            if !closed && self.stream.is_read(self.seq) {
                return None;
            }
            let block = self.cursor.cell.load();
            if let Some(here) = block.as_ref()
                && let Some(Entry::Frame {
                    frame, dependent, ..
                }) = here.get(self.index)
            {
                let (track, dependent) = (frame.track, *dependent);
                let index = self.index;
                self.step();
                self.frames += 1;
                if !self.resilient || self.is_open(track, dependent) {
                    return Some(Delivery::Frame { block, index });
                }
            }
        }
        let next = self.advance();
        self.steady = !self.lagged && !self.waiting && !self.done && self.pending.is_none();
        next
    }

    /// What comes next, whatever it is.
    fn advance(&mut self) -> Option<Delivery> {
        loop {
            if self.lagged && (!self.waiting || self.done) {
                return Some(self.report_lag());
            }
            if self.done {
                return Some(Delivery::Ended);
            }
            if let Some(track) = self.next_pending() {
                return Some(Delivery::Track(track));
            }
            // Before the slot: whoever closes does so after the last entry.
            let closed = self.stream.is_closed();
            let block = self.cursor.cell.load();
            let Some(here) = block.as_ref() else {
                self.start_again();
                continue;
            };
            match here.get(self.index) {
                Some(Entry::Frame {
                    frame,
                    join,
                    dependent,
                }) => {
                    let (track, join, dependent) = (frame.track, *join, *dependent);
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
                        return Some(Delivery::Frame { block, index });
                    }
                }
                Some(Entry::Track { track, version }) => {
                    let (track, version) = (Arc::clone(track), *version);
                    self.step();
                    if version > self.seen {
                        self.seen = version;
                        return Some(Delivery::Track(track));
                    }
                }
                Some(Entry::Discontinuity(discontinuity)) => {
                    let discontinuity = *discontinuity;
                    self.step();
                    if matches!(
                        discontinuity.cause,
                        DiscontinuityCause::Reconnect | DiscontinuityCause::Takeover
                    ) {
                        // Another encoder: what it sends refers to its own frames.
                        self.opened = [0; 4];
                    }
                    if !self.waiting {
                        return Some(Delivery::Discontinuity(discontinuity));
                    }
                }
                None => match here.end(self.index) {
                    End::Open if closed => self.leave(),
                    End::Open => return None,
                    End::More => {}
                    End::Next(next) => {
                        self.index = 0;
                        self.cursor.cell.store(Some(next));
                    }
                    End::Cut => self.start_again(),
                },
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

    fn go_to(&mut self, point: Point) {
        self.index = point.index;
        self.seq = point.seq();
        self.frames = point.frames;
        self.cursor.cell.store(Some(point.block));
    }

    /// What the reader stood before has expired: goes on at the join point, or
    /// where there is none at the head, never backwards.
    fn start_again(&mut self) {
        let head = self.live();
        let join = self.stream.join.load_full();
        let point = join.point.clone().filter(|point| point.seq() >= self.seq);
        let next = point.as_ref().unwrap_or(&head);
        if next.seq() == self.seq {
            // Its place was taken, but nothing was missed by it.
            self.go_to(next.clone());
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
        self.go_to(point);
        if self.waiting {
            self.stream.request_keyframe();
        }
    }

    /// Reports what was missed, and evicts the reader that misses too much.
    fn report_lag(&mut self) -> Delivery {
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
                self.leave();
                stream.counters.evicted.fetch_add(1, Relaxed);
                stream
                    .observer
                    .tell(|observer| observer.on_subscriber_evicted(&stream.key, missed));
            }
        }
        Delivery::Lagged(skipped)
    }

    /// Ends the reading: nothing is held any more.
    fn leave(&mut self) {
        self.done = true;
        self.pending = None;
        self.waiter = None;
        self.cursor.cell.store(None);
        if let Some(place) = self.place.take() {
            self.stream.readers.remove(place);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.leave();
    }
}
