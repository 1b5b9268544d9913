//! The ways to hand one publisher's frames to many subscribers.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};

use clap::ValueEnum;
use rillcast_core::{
    Frame, Frames, Groups, Publisher, Reactor, Recv, ResilientSubscription, Run, Sink, Track,
};
use tokio::runtime::Handle;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;

use crate::frames::{Taker, VIDEO, stream};
use crate::latency::Ages;

/// A way to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// A ring of `tokio::sync::broadcast` that holds frames (T), as servers
    /// have it, with the current GOP in a vector behind a mutex for those who join.
    Broadcast,
    /// The same with a frame in an `Arc`: the best that such a server can do.
    Arcs,
    /// A queue of `tokio::sync::mpsc` for each subscriber.
    Mpsc,
    /// The bus, with a task for each subscriber.
    Tasks,
    /// The bus, with subscribers by the hundred in one task.
    Groups,
    /// T with one receiver for each worker, which loops over its sinks.
    Loops,
    /// The bus, with sinks.
    Reactor,
    /// Tasks that are woken and look at one frame: what no bus can beat with a
    /// task for each subscriber.
    Bare,
}

impl Way {
    /// As the command line has it.
    pub(crate) fn option(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Broadcast => "broadcast (T)",
            Self::Arcs => "of Arcs",
            Self::Mpsc => "mpsc each",
            Self::Tasks => "bus, tasks",
            Self::Groups => "bus, groups",
            Self::Loops => "T, looping",
            Self::Reactor => "bus, reactor",
            Self::Bare => "bare poll",
        }
    }
}

/// The publisher's end of one stream. Dropping it ends the subscribers' tasks.
pub(crate) enum Source {
    Broadcast(Ring<Frame>),
    Arcs(Ring<Arc<Frame>>),
    Mpsc(Vec<mpsc::Sender<Arc<Frame>>>),
    Bus(Option<Publisher>),
    Bare(Arc<Bare>),
}

/// A ring, and the current GOP.
pub(crate) struct Ring<T> {
    sender: broadcast::Sender<T>,
    gop: Arc<Mutex<Vec<T>>>,
}

/// A frame, and who is to look at it.
#[derive(Default)]
pub(crate) struct Bare {
    frame: OnceLock<Frame>,
    wakers: Mutex<Vec<Waker>>,
}

impl<T: Clone> Ring<T> {
    fn new() -> Self {
        let (sender, _) = broadcast::channel(QUEUE);
        let gop = Arc::default();
        Self { sender, gop }
    }

    #[inline]
    fn publish(&self, frame: T, starts: bool) {
        let mut gop = self.gop.lock().unwrap_or_else(PoisonError::into_inner);
        if starts {
            gop.clear();
        }
        gop.push(frame.clone());
        drop(gop);
        let _ = self.sender.send(frame);
    }
}

impl Source {
    /// The publisher's call. Not inlined, so that valgrind finds it.
    #[inline(never)]
    pub(crate) fn publish(&mut self, frame: Frame) {
        let starts = frame.keyframe && frame.track == VIDEO;
        match self {
            Self::Broadcast(ring) => ring.publish(frame, starts),
            Self::Arcs(ring) => ring.publish(Arc::new(frame), starts),
            Self::Mpsc(senders) => {
                let frame = Arc::new(frame);
                for sender in senders {
                    let _ = sender.try_send(Arc::clone(&frame));
                }
            }
            Self::Bare(bare) => {
                let _ = bare.frame.set(frame);
                let wakers = bare.wakers.lock().unwrap_or_else(PoisonError::into_inner);
                wakers.iter().for_each(Waker::wake_by_ref);
            }
            Self::Bus(publisher) => {
                if let Some(publisher) = publisher {
                    let _ = publisher.publish_frame(frame);
                }
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Self::Bus(publisher) = self
            && let Some(publisher) = publisher.take()
        {
            publisher.finish();
        }
    }
}

/// Frames that a ring or a queue holds: as many as the bus keeps of a GOP, at least.
const QUEUE: usize = 256;

/// What subscribers are like.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) way: Way,
    pub(crate) subscribers: usize,
    /// Threads of the runtime.
    pub(crate) workers: usize,
    /// Whether frames come in rows, and are read so where that can be done.
    pub(crate) rows: bool,
    /// Where some of them note how old frames are.
    pub(crate) ages: Option<&'a Arc<Ages>>,
    pub(crate) hosts: &'a Hosts,
}

impl Scene<'_> {
    /// A stream with its subscribers, all in the runtime that this is called in.
    pub(crate) fn make(self) -> Source {
        let takers = (0..self.subscribers).map(|number| Taker::of(self.ages, number));
        match self.way {
            Way::Broadcast => {
                let ring = Ring::new();
                for taker in takers {
                    tokio::spawn(receive(ring.sender.subscribe(), move |frame| {
                        taker.took(frame);
                    }));
                }
                Source::Broadcast(ring)
            }
            Way::Arcs => {
                let ring = Ring::<Arc<Frame>>::new();
                for taker in takers {
                    tokio::spawn(receive(ring.sender.subscribe(), move |frame| {
                        taker.took(frame);
                    }));
                }
                Source::Arcs(ring)
            }
            Way::Loops => {
                let ring = Ring::new();
                let takers: Vec<Taker> = takers.collect();
                for sinks in takers.chunks(takers.len().div_ceil(self.workers)) {
                    let sinks = sinks.to_vec();
                    tokio::spawn(receive(ring.sender.subscribe(), move |frame| {
                        sinks.iter().for_each(|sink| sink.took(frame));
                    }));
                }
                Source::Broadcast(ring)
            }
            Way::Mpsc => {
                let senders = takers.map(|taker| {
                    let (sender, mut receiver) = mpsc::channel::<Arc<Frame>>(QUEUE);
                    tokio::spawn(async move {
                        while let Some(frame) = receiver.recv().await {
                            taker.took(&frame);
                        }
                    });
                    sender
                });
                Source::Mpsc(senders.collect())
            }
            Way::Bare => {
                let bare = Arc::new(Bare::default());
                takers.for_each(|taker| bare_task(&bare, taker));
                Source::Bare(bare)
            }
            Way::Reactor => {
                let (publisher, handle) = stream();
                for taker in takers {
                    self.hosts.reactor.add(&handle, Sinking(taker));
                }
                Source::Bus(Some(publisher))
            }
            Way::Tasks | Way::Groups => {
                let (publisher, handle) = stream();
                let groups = (self.way == Way::Groups).then_some(&self.hosts.groups);
                for taker in takers {
                    let subscription = handle.subscribe_resilient();
                    if self.rows {
                        spawn(groups, read_rows(subscription, taker));
                    } else {
                        spawn(groups, read(subscription, taker));
                    }
                }
                Source::Bus(Some(publisher))
            }
        }
    }
}

/// Runs a subscriber in a group, or in a task of its own.
fn spawn(groups: Option<&Groups>, subscriber: impl Future<Output = ()> + Send + 'static) {
    match groups {
        Some(groups) => drop(groups.spawn(subscriber)),
        None => drop(tokio::spawn(subscriber)),
    }
}

/// Reads a ring to its end.
async fn receive<T: Clone>(mut receiver: broadcast::Receiver<T>, take: impl Fn(&T)) {
    loop {
        match receiver.recv().await {
            Ok(frame) => take(&frame),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Reads the bus to its end, an entry at a time.
async fn read(mut subscription: ResilientSubscription, taker: Taker) {
    loop {
        match subscription.recv().await {
            Recv::Frame(frame) => taker.took(&frame),
            Recv::Ended => return,
            _ => {}
        }
    }
}

/// Reads the bus to its end, all frames that lie there at a time.
async fn read_rows(mut subscription: ResilientSubscription, taker: Taker) {
    loop {
        match subscription.recv_run().await {
            Run::Frames(frames) => frames.iter().for_each(|frame| taker.took(frame)),
            Run::Ended => return,
            _ => {}
        }
    }
}

fn bare_task(bare: &Arc<Bare>, taker: Taker) {
    let bare = Arc::clone(bare);
    let mut known = false;
    tokio::spawn(poll_fn(move |cx| {
        if let Some(frame) = bare.frame.get().filter(|_| known) {
            taker.took(frame);
        } else {
            known = true;
            let mut wakers = bare.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            wakers.push(cx.waker().clone());
        }
        Poll::<()>::Pending
    }));
}

/// Those that host subscribers of all streams, as a server has them.
pub(crate) struct Hosts {
    groups: Groups,
    reactor: Reactor<Sinking>,
}

impl Hosts {
    /// In the runtime that this is called in, which has so many `workers`.
    pub(crate) fn new(workers: usize) -> Self {
        let runtime = Handle::current();
        Self {
            groups: Groups::new(&runtime),
            reactor: Reactor::new(&runtime, workers),
        }
    }
}

/// A subscriber that is called.
struct Sinking(Taker);

impl Sink for Sinking {
    fn track(&mut self, _: &Arc<Track>) {}

    #[inline]
    fn frames(&mut self, frames: &Frames<'_>) {
        frames.iter().for_each(|frame| self.0.took(frame));
    }
}
