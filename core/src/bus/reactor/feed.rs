//! What a lane does for one of its streams: a member of the lane's group.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use super::cohort::{Cohort, Got};
use super::sinks::{Feeding, Sinks};
use super::{Lanes, Post, Sink};
use crate::bus::stream::Stream;
use crate::bus::wake::Waiter;
use crate::sync::Arc;

/// How long a feed goes on before it lets others of its lane run.
const TURN: Duration = Duration::from_micros(200);

/// The clock is looked at after so many calls of sinks.
const CALLS: usize = 64;

/// So many sinks begin together.
const BATCH: usize = 64;

/// Cohorts that are looked at for one which a sink can join.
const LIKELY: usize = 64;

/// When sinks that are not ready are asked again, though nothing is published.
const STUCK: Duration = Duration::from_millis(20);

/// When sinks of a silent stream are asked whether they are still open.
const IDLE: Duration = Duration::from_secs(1);

/// Feeds the sinks of one stream in one lane.
pub(super) struct Feed<S: Sink> {
    lanes: Arc<Lanes<S>>,
    stream: Arc<Stream>,
    post: Arc<Post<S>>,
    of: Arc<Feeding<S>>,
    /// Those that have had everything.
    live: Vec<Cohort<S>>,
    /// Those that still have to catch up, or are stuck.
    behind: Vec<Cohort<S>>,
    /// Of all: whatever is published concerns everyone.
    waiter: Option<Waiter>,
    timer: Option<Timer>,
    /// How often cohorts were looked at for one to go.
    looked: usize,
}

struct Timer {
    sleep: Pin<Box<Sleep>>,
    every: Duration,
}

/// What is left of a feed's turn.
struct Turn {
    began: Option<Instant>,
    calls: usize,
}

impl Turn {
    /// Whether the turn is over.
    fn is_over(&mut self) -> bool {
        if self.calls > 0 {
            return false;
        }
        self.calls = CALLS;
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        now.saturating_duration_since(began) > TURN
    }
}

impl<S: Sink> Feed<S> {
    pub(super) fn new(lanes: &Arc<Lanes<S>>, stream: &Arc<Stream>, post: Arc<Post<S>>) -> Self {
        let stream = Arc::clone(stream);
        Self {
            lanes: Arc::clone(lanes),
            stream: Arc::clone(&stream),
            post: Arc::clone(&post),
            of: Arc::new(Feeding { stream, post }),
            live: Vec::new(),
            behind: Vec::new(),
            waiter: None,
            timer: None,
            looked: 0,
        }
    }

    /// Lets everyone catch up; false if the turn ended before.
    fn advance(&mut self, turn: &mut Turn) -> bool {
        let mut parted = Vec::new();
        let mut at = 0;
        while let Some(cohort) = self.live.get_mut(at) {
            match cohort.advance(&mut turn.calls, &mut parted) {
                Got::There => at += 1,
                Got::Nowhere => drop(self.live.swap_remove(at)),
                Got::Stuck => self.behind.push(self.live.swap_remove(at)),
                Got::Tired => {
                    if turn.is_over() {
                        // From here on, next time.
                        self.live.rotate_left(at);
                        self.behind.append(&mut parted);
                        return false;
                    }
                }
            }
        }
        self.merge();
        self.behind.append(&mut parted);
        self.behind.is_empty() || self.advance_behind(turn)
    }

    #[cold]
    fn advance_behind(&mut self, turn: &mut Turn) -> bool {
        let mut parted = Vec::new();
        let mut at = 0;
        let mut done = true;
        while let Some(cohort) = self.behind.get_mut(at) {
            match cohort.advance(&mut turn.calls, &mut parted) {
                Got::There => {
                    let cohort = self.behind.swap_remove(at);
                    self.bring(cohort);
                }
                Got::Nowhere => drop(self.behind.swap_remove(at)),
                Got::Stuck => at += 1,
                Got::Tired => {
                    if turn.is_over() {
                        self.behind.rotate_left(at);
                        done = false;
                        break;
                    }
                }
            }
        }
        self.behind.append(&mut parted);
        done
    }

    /// Puts a cohort that has caught up with those that stand there, or beside them.
    fn bring(&mut self, cohort: Cohort<S>) {
        let mut left = Some(cohort);
        for other in self.live.iter_mut().take(LIKELY) {
            left = left.and_then(|cohort| other.take_in(cohort));
        }
        self.live.extend(left);
    }

    /// Lets one cohort after the other go where it fits: those that differ at
    /// first, such as by a track of which one has had no keyframe, are alike in
    /// the end.
    fn merge(&mut self) {
        if self.live.len() > 1 {
            self.looked = self.looked.wrapping_add(1);
            let cohort = self.live.swap_remove(self.looked % self.live.len());
            self.bring(cohort);
        }
    }

    /// Takes new sinks in, and looks for closed ones when it is time.
    #[cold]
    fn read_mail(&mut self, cx: &Context<'_>) {
        let sinks = self.post.take(cx.waker(), BATCH);
        if !sinks.is_empty() {
            self.behind.push(Cohort::joining(sinks, &self.of));
        }
        if self
            .timer
            .as_ref()
            .is_none_or(|timer| timer.sleep.is_elapsed())
        {
            let cohorts = self.live.iter_mut().chain(&mut self.behind);
            cohorts.for_each(Cohort::drop_closed);
            self.live.retain(|cohort| cohort.len() > 0);
            self.behind.retain(|cohort| cohort.len() > 0);
            self.set_timer(IDLE);
        }
    }

    /// Has the feed polled after some time though nothing is published.
    #[cold]
    fn set_timer(&mut self, every: Duration) {
        let mut sleep = Box::pin(sleep(every));
        // By a waker of its own, so that the feed need not look at it each time.
        // It has to be polled once to run.
        let waker = Waker::from(Arc::clone(&self.post));
        if sleep
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            waker.wake_by_ref();
        }
        self.timer = Some(Timer { sleep, every });
    }

    /// Whether nobody is left to feed; the feed is out of the table then.
    fn is_over(&self) -> bool {
        self.live.is_empty()
            && self.behind.is_empty()
            && self.lanes.remove(self.key(), &self.post, false).is_ok()
    }

    fn key(&self) -> usize {
        Arc::as_ptr(&self.stream).addr()
    }
}

/// Nothing of it is pinned in its place.
impl<S: Sink> Unpin for Feed<S> {}

impl<S: Sink> Future for Feed<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let feed = &mut *self;
        let mut turn = Turn {
            began: None,
            calls: CALLS,
        };
        loop {
            if feed.post.is_rung() {
                feed.read_mail(cx);
            }
            let done = feed.advance(&mut turn);
            if feed.is_over() {
                return Poll::Ready(());
            }
            if !done {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !feed.behind.is_empty() && feed.timer.as_ref().is_some_and(|it| it.every > STUCK) {
                feed.set_timer(STUCK);
            }
            let Self { stream, waiter, .. } = feed;
            if !feed.post.is_rung() && !stream.wake.park(waiter, cx.waker()) {
                return Poll::Pending;
            }
        }
    }
}

impl<S: Sink> Drop for Feed<S> {
    /// By itself, or because it panicked or the runtime shuts down.
    fn drop(&mut self) {
        if let Ok(sinks) = self.lanes.remove(self.key(), &self.post, true) {
            drop(Sinks::new(sinks, Arc::clone(&self.of)));
        }
    }
}
