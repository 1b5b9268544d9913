//! What a reader knows beside its block, and what it takes to start, to fall
//! behind and to start again.

use std::collections::VecDeque;
use std::time::Instant;

use crate::bus::chain::{Block, End, Entry, Join, Point};
use crate::bus::config::MaxLag;
use crate::bus::configs::Configs;
use crate::bus::readers::{Cursor, HeldBlock, Place};
use crate::bus::state::JoinAt;
use crate::bus::stream::Stream;
use crate::bus::wake::Waiter;
use crate::sync::{Arc, Relaxed, now};
use crate::{Discontinuity, DiscontinuityCause, Track, TrackId};

mod fork;
mod open;

/// In this order in memory: what every frame needs comes first, and fills two
/// lines of the cache with the reader's cursor.
#[repr(C)]
pub(super) struct State {
    // For every frame.
    pub(super) stream: Arc<Stream>,
    /// Where the reader stands: sequence number, and slot in its block.
    pub(super) seq: u64,
    pub(super) index: usize,
    pub(super) waiter: Option<Waiter>,
    /// Entries read without a pause.
    pub(super) streak: usize,
    /// Nothing is left of a start, a lag or an end: what is in the chain comes next.
    pub(super) steady: bool,
    /// Every frame can be handed on that the writer has not marked.
    pub(super) open: bool,

    // For everything else.
    pub(super) done: bool,
    pub(super) evicted: bool,
    resilient: bool,
    /// Frames are passed over until one at which reading can start.
    waiting: bool,
    /// Frames passed over while `waiting` count as missed.
    lagging: bool,
    /// A lag has to be reported, and the frames that were missed by it.
    lagged: bool,
    missed: u64,
    pub(super) dropped: u64,
    /// Entries before `seq` which are no frames.
    others: u64,
    /// Where to start, as long as nothing is read: no block is held for it.
    join: Option<Arc<Join>>,
    /// The stream knows of this reader, and counts it.
    known: bool,
    /// The stream counts this reader.
    counted: bool,
    /// The version of the configurations that the reader knows.
    seen: u32,
    /// The entry in the stream's table, of a reader that may hold a block.
    place: Option<Place>,
    /// Configurations that come before the next entry, and how many of them are done.
    pending: Option<(Arc<Configs>, usize)>,
    /// One bit per track that the reader was told of and that has keyframes to
    /// wait for: frames of these can come, whatever the stream has by now.
    awaited: [u64; 4],
    /// One bit per track of which a keyframe has been read.
    opened: [u64; 4],
    pub(super) max_lag: Option<MaxLag>,
    lags: VecDeque<(Instant, u64)>,
}

/// What comes next.
pub(super) enum Next<'a> {
    /// The frame at which the reader stands, and perhaps more.
    Frame(HeldBlock<'a>),
    Track(Arc<Track>),
    Lagged(u64),
    Discontinuity(Discontinuity),
    Ended,
}

impl State {
    /// A reader that starts `at`, and its cursor if it holds a block already.
    pub(super) fn new(stream: Arc<Stream>, at: JoinAt) -> (Self, Option<Arc<Cursor>>) {
        let max_lag = stream.config.max_lag();
        let mut state = Self {
            stream,
            seq: 0,
            index: 0,
            others: 0,
            streak: 0,
            waiter: None,
            steady: false,
            open: true,
            done: false,
            evicted: false,
            resilient: false,
            waiting: false,
            lagging: false,
            lagged: false,
            missed: 0,
            dropped: 0,
            join: None,
            known: false,
            counted: false,
            place: None,
            seen: 0,
            pending: None,
            awaited: [0; 4],
            opened: [0; 4],
            max_lag,
            lags: VecDeque::new(),
        };
        let cursor = match at {
            JoinAt::Keyframe => state.at_join(),
            JoinAt::Live => Some(state.at_live()),
            JoinAt::Configs => {
                // Configurations first: one that is put between the two loads
                // is read in its place; one that is in both is passed over.
                let (live, configs) = state.live();
                let cursor = Arc::new(Cursor::new());
                state.go_to(&cursor, live);
                state.pending = Some((configs, 0));
                Some(cursor)
            }
        };
        (state, cursor)
    }

    /// Starts at the join point; where there is none, at the next one.
    #[inline]
    fn at_join(&mut self) -> Option<Arc<Cursor>> {
        let join = self.stream.join.load_full();
        if let Some(spot) = &join.point {
            (self.seq, self.others) = (spot.seq, spot.seq - spot.frames);
            self.join = Some(join);
            return None;
        }
        drop(join);
        // The head first: if there is no join point after that, none lies behind
        // the head as it was.
        let (head, configs) = self.live();
        let join = self.stream.join.load_full();
        let point = join.point.as_ref().and_then(|spot| spot.point());
        self.waiting = point.is_none();
        let at_point = point.is_some().then(|| Arc::clone(&join.configs));
        self.pending = Some((at_point.unwrap_or(configs), 0));
        let cursor = Arc::new(Cursor::new());
        self.go_to(&cursor, point.unwrap_or(head));
        Some(cursor)
    }

    fn at_live(&mut self) -> Arc<Cursor> {
        let cursor = Arc::new(Cursor::new());
        let (point, configs) = self.live();
        for track in configs.tracks.iter() {
            self.await_track(track);
        }
        self.go_to(&cursor, point);
        cursor
    }

    /// Makes the reader known to the stream, if that has not ended.
    pub(super) fn enter(&mut self, cursor: Option<&Arc<Cursor>>) {
        if self.stream.is_closed() {
            self.leave(cursor.map(|cursor| &**cursor));
            return;
        }
        self.stream.readers.join();
        (self.known, self.counted) = (true, true);
        if let Some(cursor) = cursor {
            self.place = Some(self.stream.readers.add(cursor));
        }
        if self.waiting && self.seq > self.others {
            self.stream.request_keyframe();
        }
    }

    /// Takes hold of the block in which the reader starts.
    #[cold]
    pub(super) fn begin(&mut self) -> Arc<Cursor> {
        let cursor = Arc::new(Cursor::new());
        if let Some(join) = self.join.take() {
            self.pending = Some((Arc::clone(&join.configs), 0));
            // Without it the reader has fallen behind before its first frame.
            if let Some(point) = join.point.as_ref().and_then(|spot| spot.point()) {
                self.go_to(&cursor, point);
            }
        }
        if self.known {
            self.place = Some(self.stream.readers.add(&cursor));
        }
        cursor
    }

    pub(super) fn set_resilient(&mut self, resilient: bool) {
        self.resilient = resilient;
        self.open = self.is_all_open();
    }

    /// What comes next, whatever it is.
    pub(super) fn advance<'a>(&mut self, cursor: &'a Cursor) -> Option<Next<'a>> {
        let next = self.find(cursor);
        self.steady = !self.lagged && !self.waiting && !self.done && self.pending.is_none();
        next
    }

    fn find<'a>(&mut self, cursor: &'a Cursor) -> Option<Next<'a>> {
        loop {
            if self.lagged && (!self.waiting || self.done) {
                return Some(Next::Lagged(self.report_lag(cursor)));
            }
            if self.done {
                return Some(Next::Ended);
            }
            if let Some(track) = self.next_pending() {
                return Some(Next::Track(track));
            }
            // Before the slot: whoever closes does so after the last entry.
            let closed = self.stream.is_closed();
            // The publisher holds a cursor for a moment, to empty it or only to look.
            let mut held = cursor.wait();
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
                    if self.waiting {
                        self.missed += u64::from(self.lagging);
                    } else if self.is_open(track, dependent) {
                        if join && !self.open {
                            // A track may be gone since.
                            self.open = self.is_all_open();
                        }
                        return Some(Next::Frame(held));
                    }
                    self.step(1);
                }
                Found::Track(track, version) => {
                    self.step_over();
                    if version > self.seen {
                        self.seen = version;
                        self.await_track(&track);
                        return Some(Next::Track(track));
                    }
                }
                Found::Discontinuity(discontinuity) => {
                    self.step_over();
                    if matches!(
                        discontinuity.cause,
                        DiscontinuityCause::Reconnect | DiscontinuityCause::Takeover
                    ) {
                        // Another encoder: what it sends refers to its own frames.
                        self.close_tracks();
                    }
                    if !self.waiting {
                        return Some(Next::Discontinuity(discontinuity));
                    }
                }
                Found::End(End::Open) if closed => {
                    drop(held);
                    self.leave(Some(cursor));
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

    /// Goes past `len` frames.
    #[inline]
    pub(super) fn step(&mut self, len: usize) {
        self.index += len;
        self.seq += u64::try_from(len).unwrap_or(u64::MAX);
    }

    /// Goes past an entry that is no frame.
    fn step_over(&mut self) {
        self.step(1);
        self.others += 1;
    }

    /// How many frames can be handed on in a row from where the reader stands,
    /// before a frame that can.
    pub(super) fn row(&mut self, here: &Block) -> usize {
        let next = self.index + 1;
        if self.open {
            let published = self.stream.unread(self.seq).saturating_sub(1);
            return 1 + here.row(next, published);
        }
        let mut len = 1;
        while let Some(Entry::Frame {
            frame, dependent, ..
        }) = here.get(self.index + len)
            && self.is_open(frame.track, *dependent)
        {
            len += 1;
        }
        len
    }

    /// The next of the configurations that come before the next entry.
    fn next_pending(&mut self) -> Option<Arc<Track>> {
        let (configs, done) = self.pending.as_mut()?;
        if let Some((at, track)) = configs.next_after(*done, self.seen) {
            *done = at + 1;
            let track = Arc::clone(track);
            self.await_track(&track);
            return Some(track);
        }
        self.seen = self.seen.max(configs.version);
        self.pending = None;
        None
    }

    /// The place behind everything that is published, and the configurations in
    /// force there. One that changes meanwhile lies before the place or behind it,
    /// so both are looked up until none does.
    fn live(&self) -> (Point, Arc<Configs>) {
        let mut before = self.stream.configs();
        loop {
            let point = Point::after(self.stream.head.load_full());
            let configs = self.stream.configs();
            if Arc::ptr_eq(&configs, &before) {
                return (point, configs);
            }
            before = configs;
        }
    }

    fn go_to(&mut self, cursor: &Cursor, point: Point) {
        self.index = point.index;
        self.seq = point.seq();
        self.others = self.seq - point.frames;
        cursor.place(Some(point.block));
    }

    /// What the reader stood before has expired: goes on at the join point, or
    /// where there is none at the head, never backwards.
    fn start_again(&mut self, cursor: &Cursor) {
        let (head, configs) = self.live();
        let (join, point) = self.next_join();
        // The join's own are those of its point, which may lie far behind the head.
        let at_point = point.is_some().then(|| Arc::clone(&join.configs));
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
            let frames = self.seq - self.others;
            self.missed += point.frames.saturating_sub(frames);
        }
        self.close_tracks();
        self.pending = Some((at_point.unwrap_or(configs), 0));
        self.go_to(cursor, point);
        if self.waiting {
            self.stream.request_keyframe();
        }
    }

    /// The join of now, with its point if that does not lie behind the reader.
    fn next_join(&self) -> (Arc<Join>, Option<Point>) {
        loop {
            let join = self.stream.join.load_full();
            let spot = join.point.as_ref().filter(|spot| spot.seq >= self.seq);
            let Some(spot) = spot else {
                return (join, None);
            };
            if let Some(point) = spot.point() {
                return (join, Some(point));
            }
            // Its block has expired since: there is another join, or none.
        }
    }

    /// Reports what was missed, and evicts the reader that misses too much.
    fn report_lag(&mut self, cursor: &Cursor) -> u64 {
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
            let missed = self.missed_lately();
            if missed > frames && !self.done {
                self.evicted = true;
                self.leave(Some(cursor));
                stream.counters.evicted.fetch_add(1, Relaxed);
                stream
                    .observer
                    .tell(|observer| observer.on_subscriber_evicted(&stream.key, missed));
            }
        }
        skipped
    }

    pub(super) fn missed_lately(&self) -> u64 {
        self.lags.iter().map(|(_, skipped)| skipped).sum()
    }

    /// Ends the reading: nothing is held any more.
    pub(super) fn leave(&mut self, cursor: Option<&Cursor>) {
        self.done = true;
        self.steady = false;
        self.join = None;
        self.pending = None;
        self.waiter = None;
        if let Some(cursor) = cursor {
            cursor.place(None);
        }
        if let Some(place) = self.place.take() {
            self.stream.readers.remove(place);
        }
        if std::mem::take(&mut self.counted) {
            self.stream.readers.leave();
        }
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
