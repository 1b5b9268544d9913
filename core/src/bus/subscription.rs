//! Reading a stream: subscriptions and what they yield.

use std::fmt;
use std::ops::Deref;
use std::task::{Context, Poll};

use super::chain::Entry;
use super::config::MaxLag;
use super::readers::HeldBlock;
use super::state::{CloseReason, JoinAt};
use super::stream::Stream;
use crate::sync::Arc;
use crate::{Discontinuity, Frame, StreamKey, Track};

mod reader;
mod run;
mod state;

pub(crate) use reader::Reader;
pub use run::{Frames, FramesIter, Run};

/// What a subscription yields next. The subscription is borrowed until it is
/// dropped; so let it out of `tokio::select!` before it is looked at:
/// `let recv = select! { recv = subscription.recv() => recv, … };`
#[derive(Debug)]
#[non_exhaustive]
pub enum Recv<'a> {
    /// A frame.
    Frame(FrameRef<'a>),
    /// A track's configuration, to which its frames belong from here on.
    Track(Arc<Track>),
    /// The reader fell behind: something is missing before what comes next.
    Lagged {
        /// Frames, of all tracks, that were published and not read. 0 if only
        /// other things are missing, such as a discontinuity.
        skipped: u64,
    },
    /// A break in the stream's time or origin.
    Discontinuity(Discontinuity),
    /// The end; see [`Subscription::end`]. Whoever goes on gets this again.
    Ended,
}

/// A frame on the bus, read where it stands.
///
/// It keeps the block of frames that it stands in, and the publisher cannot take
/// that away from a reader that holds a frame. Before an await that may
/// take long (a slow peer), take a copy by [`into_owned`](Self::into_owned):
/// that shares the payload alone. One that is never dropped ([`mem::forget`](std::mem::forget))
/// leaves its subscription waiting for it for ever, and the thread with it.
pub struct FrameRef<'a> {
    held: HeldBlock<'a>,
    index: usize,
}

impl FrameRef<'_> {
    /// The frame itself; its payload is shared, not copied.
    #[must_use]
    pub fn into_owned(self) -> Frame {
        Frame::clone(&self)
    }
}

impl Deref for FrameRef<'_> {
    type Target = Frame;

    #[inline(always)]
    fn deref(&self) -> &Frame {
        match self.held.as_ref().and_then(|block| block.get(self.index)) {
            Some(Entry::Frame { frame, .. }) => frame,
            #[expect(
                clippy::unreachable,
                reason = "made for a frame that was seen, and slots are written once"
            )]
            _ => unreachable!("a reference to what is no frame"),
        }
    }
}

impl fmt::Debug for FrameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Frame::fmt(self, f)
    }
}

/// One thing on the bus, owned.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BusEntry {
    /// A frame.
    Frame(Frame),
    /// A track's configuration.
    Track(Arc<Track>),
    /// A break in the stream's time or origin.
    Discontinuity(Discontinuity),
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionEnd {
    /// The stream ended.
    Closed(CloseReason),
    /// The reader fell behind too often; see [`ResilientSubscription::max_lag`].
    Evicted,
}

/// The raw view of a stream: from where it joined, everything that is
/// published, in order.
///
/// A subscription that joins at [`JoinAt::Keyframe`] yields the configuration
/// of every track, then the current GOP, then live, without gap or duplicate.
/// Tracks that were first announced, or changed, within the GOP come in their
/// place. Where there is no join point, because the stream has no GOP cache, it
/// starts at the next one.
///
/// A reader that falls out of what the stream keeps gets [`Recv::Lagged`], then
/// what configurations changed meanwhile (one may have changed back, and equal
/// the one that is known), and goes on at the join point of that moment, or
/// live if there is none. A discontinuity that was missed is part of the lag.
pub struct Subscription {
    reader: Reader,
}

/// The view of a stream for those who decode it.
///
/// As [`Subscription`], with two differences. After a lag it goes on **at a
/// keyframe** of the primary track in any case (asking for one if need be); what
/// it misses until there is in the one count of [`Recv::Lagged`], before which
/// configurations may come that change meanwhile. And frames that cannot be
/// decoded are left out: those of a track of which no keyframe has come since
/// the join, the lag, or another publisher's start.
///
/// It does not end on lag, unless a [`max_lag`](Self::max_lag) is set, here or
/// by default (`bus.max_lag`).
pub struct ResilientSubscription {
    inner: Subscription,
}

impl Subscription {
    pub(super) fn new(stream: Arc<Stream>, at: JoinAt) -> Self {
        Self {
            reader: Reader::new(stream, at),
        }
    }

    /// This subscription as one for decoders. To be called before anything is read.
    #[must_use]
    pub fn resilient(mut self) -> ResilientSubscription {
        self.reader.make_resilient();
        ResilientSubscription { inner: self }
    }

    /// Waits for what comes next.
    ///
    /// Cancel safe: an entry is taken only when it is returned.
    #[inline(always)]
    pub fn recv(&mut self) -> impl Future<Output = Recv<'_>> + Send {
        self.reader.next()
    }

    /// What comes next, if it is there; `None` if one has to wait for it.
    #[inline(always)]
    pub fn try_recv(&mut self) -> Option<Recv<'_>> {
        self.reader.try_next()
    }

    /// As [`recv`](Self::recv), for hand-written futures: the task is woken when
    /// there is something to read.
    #[inline(always)]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Recv<'_>> {
        self.reader.poll_next(cx)
    }

    /// As [`recv`](Self::recv), with all frames that lie there in a row: who
    /// handles many at once, or was away for a while, reads so at a fraction of
    /// the cost.
    ///
    /// Cancel safe: entries are taken only when they are returned.
    #[inline(always)]
    pub fn recv_run(&mut self) -> impl Future<Output = Run<'_>> + Send {
        self.reader.next_run()
    }

    /// As [`try_recv`](Self::try_recv), with all frames that lie there in a row.
    #[inline(always)]
    pub fn try_recv_run(&mut self) -> Option<Run<'_>> {
        self.reader.try_run()
    }

    /// As [`recv_run`](Self::recv_run), for hand-written futures.
    #[inline(always)]
    pub fn poll_recv_run(&mut self, cx: &mut Context<'_>) -> Poll<Run<'_>> {
        self.reader.poll_run(cx)
    }

    /// The sequence number of the next entry. Frames, configurations and
    /// discontinuities of a stream share one sequence from 0.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.reader.position()
    }

    /// Frames that this subscription missed by falling behind, in its whole life.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.reader.dropped()
    }

    /// Why the subscription ended, once it has.
    #[must_use]
    pub fn end(&self) -> Option<SubscriptionEnd> {
        self.reader.ended()
    }

    /// The key of the stream.
    #[must_use]
    pub fn key(&self) -> &StreamKey {
        self.reader.key()
    }
}

impl ResilientSubscription {
    /// For a number of sinks that are counted each.
    pub(super) fn uncounted(mut self) -> Self {
        self.inner.reader.uncount();
        self
    }

    /// One that goes on as this one would, from where it stands; not counted.
    pub(super) fn fork(&self) -> Self {
        let reader = self.inner.reader.fork();
        Self {
            inner: Subscription { reader },
        }
    }

    /// Whether there is anything to look at, be it the end.
    #[inline]
    pub(super) fn has_more(&self) -> bool {
        self.inner.reader.has_more()
    }

    /// Lets go of what is unread: it counts as missed.
    pub(super) fn give_up(&mut self) {
        self.inner.reader.give_up();
    }

    /// How many frames were missed lately, as far as that counts for an eviction.
    pub(super) fn missed_lately(&self) -> u64 {
        self.inner.reader.missed_lately()
    }

    /// Whether both go on alike from the same place.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.inner.reader.is_like(&other.inner.reader)
    }

    /// Evicts this reader, that is, ends the subscription, when it misses more
    /// frames within a sliding window than `max_lag` says; `None` never does.
    #[must_use]
    pub fn max_lag(mut self, max_lag: Option<MaxLag>) -> Self {
        self.inner.reader.set_max_lag(max_lag);
        self
    }

    /// The raw view from where this one stands.
    #[must_use]
    pub fn raw(mut self) -> Subscription {
        self.inner.reader.make_raw();
        self.inner
    }

    /// Waits for what comes next.
    ///
    /// Cancel safe: an entry is taken only when it is returned.
    #[inline(always)]
    pub fn recv(&mut self) -> impl Future<Output = Recv<'_>> + Send {
        self.inner.recv()
    }

    /// What comes next, if it is there; `None` if one has to wait for it.
    #[inline(always)]
    pub fn try_recv(&mut self) -> Option<Recv<'_>> {
        self.inner.try_recv()
    }

    /// As [`recv`](Self::recv), for hand-written futures.
    #[inline(always)]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Recv<'_>> {
        self.inner.poll_recv(cx)
    }

    /// As [`recv`](Self::recv), with all frames that lie there in a row; see
    /// [`Subscription::recv_run`].
    ///
    /// Cancel safe: entries are taken only when they are returned.
    #[inline(always)]
    pub fn recv_run(&mut self) -> impl Future<Output = Run<'_>> + Send {
        self.inner.recv_run()
    }

    /// As [`try_recv`](Self::try_recv), with all frames that lie there in a row.
    #[inline(always)]
    pub fn try_recv_run(&mut self) -> Option<Run<'_>> {
        self.inner.try_recv_run()
    }

    /// As [`recv_run`](Self::recv_run), for hand-written futures.
    #[inline(always)]
    pub fn poll_recv_run(&mut self, cx: &mut Context<'_>) -> Poll<Run<'_>> {
        self.inner.poll_recv_run(cx)
    }

    /// The sequence number of the next entry; see [`Subscription::position`].
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.inner.position()
    }

    /// Frames that this subscription missed by falling behind, in its whole life.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.inner.dropped()
    }

    /// Why the subscription ended, once it has.
    #[must_use]
    pub fn end(&self) -> Option<SubscriptionEnd> {
        self.inner.end()
    }

    /// The key of the stream.
    #[must_use]
    pub fn key(&self) -> &StreamKey {
        self.inner.key()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("key", self.key())
            .field("position", &self.position())
            .field("dropped", &self.dropped())
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ResilientSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resilient").field(&self.inner).finish()
    }
}
