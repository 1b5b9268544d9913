//! The reactor: viewers by the thousand that need no task and no future, only
//! calls.
//!
//! A stream's frames are read once for each lane, whatever the number of its
//! sinks there, and handed to one sink after the other. A lane is a group (see
//! `group`), or some, and each of its streams is one member (`reactor/feed.rs`),
//! which has its sinks in cohorts (`reactor/cohort.rs`): a subscription, and
//! those that stand where it stands.

use std::collections::HashMap;
use std::fmt;
use std::task::{Wake, Waker};

use tokio::runtime::Handle;

use super::group::Groups;
use super::handle::StreamHandle;
use super::subscription::{Frames, SubscriptionEnd};
use crate::sync::{AcqRel, Acquire, Arc, AtomicBool, AtomicUsize, Mutex, Relaxed, Release};
use crate::{Discontinuity, Track};

mod cohort;
mod feed;
mod sinks;

use feed::Feed;

/// Who takes what a stream carries by calls, instead of a future of its own.
///
/// All calls come from one lane of a [`Reactor`], one at a time. None may wait
/// or compute for long: all sinks of the lane stand behind it. What cannot be
/// done at once, such as writing to a socket that is full, is to be remembered
/// and reported by [`is_ready`](Self::is_ready).
///
/// The order of calls is that of a
/// [`ResilientSubscription`](crate::ResilientSubscription): configurations, the
/// current GOP from its keyframe on, then live, without gap or duplicate. A sink
/// that panics is dropped, and costs no other sink anything.
pub trait Sink: Send + 'static {
    /// A track's configuration, before its first frame and when it changes.
    fn track(&mut self, track: &Arc<Track>);

    /// Frames that follow each other. The first ones after the start or a lag
    /// begin with a keyframe of the primary track; no frame comes of a track of
    /// which no keyframe came since.
    fn frames(&mut self, frames: &Frames<'_>);

    /// A break in the stream's time or origin, before what comes next.
    fn discontinuity(&mut self, discontinuity: Discontinuity) {
        let _ = discontinuity;
    }

    /// So many frames, of all tracks, are missing before what comes next: the
    /// sink was not ready, or the lane had no time, for so long that the stream
    /// no longer keeps them. 0 if only other things are missing.
    fn lagged(&mut self, skipped: u64) {
        let _ = skipped;
    }

    /// Whether it takes more now; asked before each row of frames, and before
    /// anything else that comes. A sink that is not ready stays where it is. It is
    /// asked again whenever the stream carries something, and at least some
    /// fifty times a second; then it goes on where it was, as long as the stream
    /// keeps that, and otherwise at a keyframe, with [`lagged`](Self::lagged) before.
    /// A stream that has ended keeps it for some seconds; whoever is not ready until
    /// then is told what it missed, and ends.
    fn is_ready(&mut self) -> bool {
        true
    }

    /// Whether it is still wanted. One that is not is dropped before the next
    /// frames; where none come, within about a second.
    fn is_open(&self) -> bool {
        true
    }

    /// The end: the stream has closed and the sink has had everything, or it
    /// missed more than `bus.max_lag` allows. The sink is dropped after this. Not
    /// called for one that is dropped otherwise.
    fn end(&mut self, end: SubscriptionEnd) {
        let _ = end;
    }
}

/// Hands the frames of any number of streams to any number of sinks.
///
/// For egresses that push frames to viewers: a sink costs a call for each row of
/// frames, and no wake-up, no task and no cursor of its own. What a consumer
/// would await between two frames decides: nothing, a sink; something, a member
/// of [`Groups`], or a task if there are few.
///
/// Sinks are of one type, so that they lie side by side and are called directly;
/// for several kinds, make it an enum. They are counted as subscribers of their
/// streams. They stay when the reactor is dropped, until they are no longer
/// open, their stream ends, or the runtime does.
///
/// Clones share the sinks.
pub struct Reactor<S: Sink> {
    lanes: Arc<Lanes<S>>,
}

/// As many sinks of a stream as this go to one lane before another gets any:
/// most streams are read on one lane only.
const BLOCK: usize = 64;

struct Lanes<S> {
    lanes: Box<[Lane]>,
    /// By the address of the stream.
    streams: Mutex<HashMap<usize, Posts<S>>>,
}

/// Where the sinks of a stream are, lane by lane.
type Posts<S> = Box<[Option<Arc<Post<S>>>]>;

struct Lane {
    groups: Groups,
    sinks: Arc<AtomicUsize>,
}

/// Where sinks wait for the feed of their stream in their lane.
struct Post<S> {
    /// The feed has something else to look at than its stream: mail, or its timer.
    rung: AtomicBool,
    mail: Mutex<Mail<S>>,
    /// How many sinks the feed has, and its lane.
    sinks: AtomicUsize,
    lane: Arc<AtomicUsize>,
}

struct Mail<S> {
    sinks: Vec<S>,
    feed: Option<Waker>,
}

impl<S: Sink> Reactor<S> {
    /// A reactor with so many lanes, at least one, on `runtime`, whose timers
    /// have to be enabled. A lane runs on one worker at a time: one for each
    /// worker uses them all.
    #[must_use]
    pub fn new(runtime: &Handle, lanes: usize) -> Self {
        let lane = |_| Lane {
            groups: Groups::new(runtime),
            sinks: Arc::default(),
        };
        Self {
            lanes: Arc::new(Lanes {
                lanes: (0..lanes.max(1)).map(lane).collect(),
                streams: Mutex::default(),
            }),
        }
    }

    /// Has `sink` take what `stream` carries, from the current GOP on. Neither
    /// waits nor calls the sink. If the stream has ended, so does the sink.
    pub fn add(&self, stream: &StreamHandle, sink: S) {
        let key = Arc::as_ptr(&stream.stream).addr();
        let mut streams = self.lanes.streams.lock();
        let posts = streams
            .entry(key)
            .or_insert_with(|| self.lanes.lanes.iter().map(|_| None).collect());
        let lanes = self.lanes.lanes.iter().zip(posts.iter_mut());
        let Some((lane, post)) = lanes.min_by_key(|(lane, post)| {
            let own = post.as_ref().map_or(0, |post| post.sinks.load(Relaxed));
            (own / BLOCK, lane.sinks.load(Relaxed).saturating_sub(own))
        }) else {
            return;
        };
        lane.sinks.fetch_add(1, Relaxed);
        stream.stream.readers.join();
        if let Some(post) = post {
            let feed = post.put(sink);
            drop(streams);
            if let Some(feed) = feed {
                feed.wake();
            }
            return;
        }
        let new = Arc::new(Post::new(&lane.sinks));
        new.put(sink);
        *post = Some(Arc::clone(&new));
        drop(streams);
        // After the lock: a runtime that has shut down drops the feed at once.
        let feed = Feed::new(&self.lanes, &stream.stream, new);
        lane.groups.spawn(feed);
    }

    /// How many sinks there are, of all streams.
    #[must_use]
    pub fn len(&self) -> usize {
        let lanes = self.lanes.lanes.iter();
        lanes.map(|lane| lane.sinks.load(Relaxed)).sum()
    }

    /// Whether there is no sink.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<S> Lanes<S> {
    /// Takes the feed of `post` out of the table, if it has no mail or must go
    /// anyway; its mail if it had any.
    fn remove(&self, key: usize, post: &Arc<Post<S>>, anyway: bool) -> Result<Vec<S>, ()> {
        let mut streams = self.streams.lock();
        let mut mail = post.mail.lock();
        if !anyway && !mail.sinks.is_empty() {
            return Err(());
        }
        if let Some(posts) = streams.get_mut(&key) {
            for own in posts.iter_mut() {
                let _ = own.take_if(|own| Arc::ptr_eq(own, post));
            }
            if posts.iter().all(Option::is_none) {
                streams.remove(&key);
            }
        }
        mail.feed = None;
        Ok(std::mem::take(&mut mail.sinks))
    }
}

impl<S> Post<S> {
    fn new(lane: &Arc<AtomicUsize>) -> Self {
        let mail = Mail {
            sinks: Vec::new(),
            feed: None,
        };
        Self {
            rung: AtomicBool::new(false),
            mail: Mutex::new(mail),
            sinks: AtomicUsize::new(0),
            lane: Arc::clone(lane),
        }
    }

    /// Leaves a sink; who is to be woken for it.
    fn put(&self, sink: S) -> Option<Waker> {
        self.sinks.fetch_add(1, Relaxed);
        let mut mail = self.mail.lock();
        mail.sinks.push(sink);
        self.ring(&mut mail)
    }

    fn ring(&self, mail: &mut Mail<S>) -> Option<Waker> {
        self.rung.store(true, Release);
        // Once for all that comes until the feed looks.
        mail.feed.take()
    }

    /// Takes sinks that are there, so many at most, and leaves `feed` to be woken
    /// for more. If some are left it stays rung.
    fn take(&self, feed: &Waker, most: usize) -> Vec<S> {
        let mut mail = self.mail.lock();
        let from = mail.sinks.len().saturating_sub(most);
        let sinks = mail.sinks.split_off(from);
        self.rung.store(!mail.sinks.is_empty(), Release);
        mail.feed = Some(feed.clone());
        sinks
    }

    #[inline]
    fn is_rung(&self) -> bool {
        self.rung.load(Acquire)
    }

    /// So many sinks are gone.
    fn leave(&self, sinks: usize) {
        self.sinks.fetch_sub(sinks, AcqRel);
        self.lane.fetch_sub(sinks, AcqRel);
    }
}

/// What the timer of the feed wakes.
impl<S: Send> Wake for Post<S> {
    fn wake(self: Arc<Self>) {
        let feed = self.ring(&mut self.mail.lock());
        if let Some(feed) = feed {
            feed.wake();
        }
    }
}

impl<S: Sink> Clone for Reactor<S> {
    fn clone(&self) -> Self {
        Self {
            lanes: Arc::clone(&self.lanes),
        }
    }
}

impl<S: Sink> fmt::Debug for Reactor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("lanes", &self.lanes.lanes.len())
            .field("sinks", &self.len())
            .finish_non_exhaustive()
    }
}
