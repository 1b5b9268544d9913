//! Who reads: in each way that there is, each with habits of its own.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rillcast_bench::Chance;
use rillcast_core::{Discontinuity, Groups, Reactor, StreamKey};
use rillcast_core::{
    Frame, Frames, JoinAt, MaxLag, Recv, ResilientSubscription, Run, Sink, StreamHandle,
    Subscription, SubscriptionEnd, Track,
};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::checker::{Check, Checker};
use crate::life::Life;
use crate::world::World;

/// The way in which a reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    way: Way,
    resilient: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Task,
    TaskRows,
    Group,
    GroupRows,
    Sink,
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.way {
            Way::Task => "task",
            Way::TaskRows => "task, rows",
            Way::Group => "group",
            Way::GroupRows => "group, rows",
            Way::Sink => "reactor",
        })?;
        f.write_str(if self.resilient { "" } else { ", raw" })
    }
}

/// What a reader does between two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Nothing.
    Prompt,
    /// It lets others run each time.
    Slow,
    /// Now and then it does not read for a while.
    Stalling,
    /// The same with a frame in its hands.
    Holding,
    /// Some time it reads no more, and stays.
    Forgetful,
    /// It gives up waiting all the time, and waits again.
    Impatient,
}

const HABITS: &[Habit] = &[
    Habit::Prompt,
    Habit::Prompt,
    Habit::Slow,
    Habit::Stalling,
    Habit::Stalling,
    Habit::Stalling,
    Habit::Holding,
    Habit::Forgetful,
    Habit::Impatient,
];

const WAYS: &[Way] = &[
    Way::Task,
    Way::TaskRows,
    Way::Group,
    Way::GroupRows,
    Way::Sink,
];

/// Where readers run.
pub(crate) struct Stage {
    pub(crate) world: Arc<World>,
    pub(crate) keys: Vec<StreamKey>,
    pub(crate) groups: Groups,
    pub(crate) reactor: Reactor<Viewer>,
    /// How many there are.
    pub(crate) there: Arc<AtomicU64>,
}

impl Stage {
    /// Lets one more reader come; false if there is no stream for it now.
    pub(crate) fn admit(&self, number: u64, chance: &mut Chance) -> bool {
        let Some(key) = chance.of(&self.keys) else {
            return false;
        };
        let stream = self.world.registry.get(key);
        let Some((handle, life)) = stream
            .and_then(|handle| Some((handle.existing_slot::<Life>()?, handle)))
            .map(|(life, handle)| (handle, life))
        else {
            return false;
        };
        let way = chance.of(WAYS).copied().unwrap_or(Way::Task);
        let manner = Manner {
            way,
            resilient: way == Way::Sink || chance.below(3) > 0,
        };
        let at = match chance.below(8) {
            0 => JoinAt::Live,
            1 => JoinAt::Configs,
            _ => JoinAt::Keyframe,
        };
        let at = if way == Way::Sink {
            JoinAt::Keyframe
        } else {
            at
        };
        let habit = chance.of(HABITS).copied().unwrap_or(Habit::Prompt);
        let who = format!("reader {number} ({manner}, {habit:?}, {at:?}, of {key})");
        let evictable = manner.resilient && chance.below(4) == 0;
        self.there.fetch_add(1, Ordering::Relaxed);
        let seat = Seat {
            world: Arc::clone(&self.world),
            manner,
            there: Arc::clone(&self.there),
        };
        let view = |handle: &StreamHandle| {
            let subscription = handle.subscribe_at(at);
            if !manner.resilient {
                return View::Raw(subscription);
            }
            let max_lag = evictable.then(|| MaxLag::new(3_000, Duration::from_millis(500)));
            View::Resilient(subscription.resilient().max_lag(max_lag))
        };
        let mut visit = Visit {
            checker: None,
            habit,
            chance: Chance::new(chance.next()),
            quota: match chance.below(4) {
                0 => 1 + chance.next() % 300,
                1 => 1 + chance.next() % 20_000,
                _ => u64::MAX,
            },
            forgotten: false,
            seat,
        };
        let who = Arc::from(who);
        let life = Arc::clone(&life);
        if way == Way::Sink {
            let (checker, ()) = Checker::join(who, &handle, life, at, true, |_| ());
            visit.checker = Some(checker);
            let until = None;
            self.reactor.add(&handle, Viewer { visit, until });
            return true;
        }
        let (checker, view) = Checker::join(who, &handle, life, at, manner.resilient, view);
        visit.checker = Some(checker);
        drop(handle);
        match way {
            Way::Task => drop(tokio::spawn(visit.entries(view))),
            Way::TaskRows => drop(tokio::spawn(visit.rows(view))),
            Way::Group => drop(self.groups.spawn(visit.entries(view))),
            _ => drop(self.groups.spawn(visit.rows(view))),
        }
        true
    }
}

/// Either view of a stream.
enum View {
    Raw(Subscription),
    Resilient(ResilientSubscription),
}

impl View {
    async fn recv(&mut self) -> Recv<'_> {
        match self {
            Self::Raw(view) => view.recv().await,
            Self::Resilient(view) => view.recv().await,
        }
    }

    async fn recv_run(&mut self) -> Run<'_> {
        match self {
            Self::Raw(view) => view.recv_run().await,
            Self::Resilient(view) => view.recv_run().await,
        }
    }

    fn end(&self) -> (Option<SubscriptionEnd>, Option<u64>) {
        match self {
            Self::Raw(view) => (view.end(), Some(view.dropped())),
            Self::Resilient(view) => (view.end(), Some(view.dropped())),
        }
    }
}

/// Tells that its reader has left, however that came.
struct Seat {
    world: Arc<World>,
    manner: Manner,
    there: Arc<AtomicU64>,
}

/// A reader's time at a stream.
pub(crate) struct Visit {
    checker: Option<Checker>,
    habit: Habit,
    chance: Chance,
    /// Frames after which it leaves.
    quota: u64,
    forgotten: bool,
    seat: Seat,
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(checker) = &self.checker {
            self.seat.world.left(self.seat.manner, checker.seen);
        }
        self.seat.there.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Visit {
    /// Checks, and notes a violation.
    fn check(&mut self, check: impl FnOnce(&mut Checker) -> Check) {
        if let Some(checker) = &mut self.checker {
            let checked = check(checker);
            self.seat.world.check(checked);
        }
    }

    fn has_enough(&self) -> bool {
        let seen = self.checker.as_ref().map_or(0, |it| it.seen.frames);
        seen >= self.quota || self.seat.world.violation().is_some()
    }

    /// Whether a frame came late to one who had waited for it: then nobody woke it.
    fn not_woken(&mut self, frame: &Frame, waited_since: Instant) {
        let late = frame.received.elapsed();
        if frame.received > waited_since
            && late > Duration::from_secs(3)
            && self.seat.world.was_calm()
        {
            self.check(|it| {
                it.fault(format!(
                    "waited, and was woken {late:?} after its frame came"
                ))
            });
        }
    }

    /// What the reader does before it reads on.
    async fn pause(&mut self) {
        match self.habit {
            Habit::Slow => yield_now().await,
            Habit::Stalling | Habit::Holding if self.chance.below(200) == 0 => {
                sleep(Duration::from_millis(self.chance.next() % 120)).await;
            }
            Habit::Forgetful if self.chance.below(500) == 0 => self.forgotten = true,
            _ => {}
        }
    }

    /// Stays without reading, until the world ends.
    async fn forget(&mut self) {
        let until = Duration::from_millis(self.chance.next() % 3_000);
        sleep(until).await;
    }

    async fn entries(mut self, mut view: View) {
        loop {
            let waited_since = Instant::now();
            let recv = if self.habit == Habit::Impatient {
                // What was given up must not be lost.
                let wait = Duration::from_micros(self.chance.next() % 3_000);
                match timeout(wait, view.recv()).await {
                    Ok(recv) => recv,
                    Err(_) => continue,
                }
            } else {
                view.recv().await
            };
            let holds = self.habit == Habit::Holding && self.chance.below(200) == 0;
            match recv {
                Recv::Frame(frame) => {
                    self.not_woken(&frame, waited_since);
                    self.check(|it| it.frame(&frame));
                    if holds {
                        let _hand = Hand::new(&self.seat.world);
                        sleep(Duration::from_millis(self.chance.next() % 80)).await;
                        let again = frame.payload.len();
                        std::hint::black_box(again);
                        drop(frame);
                    }
                }
                Recv::Track(track) => self.check(|it| it.track(&track)),
                Recv::Lagged { skipped } => self.check(|it| it.lagged(skipped)),
                Recv::Discontinuity(it) => self.check(|checker| checker.discontinuity(it)),
                _ => break,
            }
            if self.has_enough() {
                return;
            }
            self.pause().await;
            if self.forgotten {
                return self.forget().await;
            }
        }
        self.end(&view);
    }

    async fn rows(mut self, mut view: View) {
        loop {
            let waited_since = Instant::now();
            let run = if self.habit == Habit::Impatient {
                let wait = Duration::from_micros(self.chance.next() % 3_000);
                match timeout(wait, view.recv_run()).await {
                    Ok(run) => run,
                    Err(_) => continue,
                }
            } else {
                view.recv_run().await
            };
            let holds = self.habit == Habit::Holding && self.chance.below(20) == 0;
            match run {
                Run::Frames(frames) => {
                    if let Some(frame) = frames.first() {
                        self.not_woken(frame, waited_since);
                    }
                    for frame in &frames {
                        self.check(|it| it.frame(frame));
                    }
                    if holds {
                        let _hand = Hand::new(&self.seat.world);
                        sleep(Duration::from_millis(self.chance.next() % 80)).await;
                        drop(frames);
                    }
                }
                Run::Track(track) => self.check(|it| it.track(&track)),
                Run::Lagged { skipped } => self.check(|it| it.lagged(skipped)),
                Run::Discontinuity(it) => self.check(|checker| checker.discontinuity(it)),
                _ => break,
            }
            if self.has_enough() {
                return;
            }
            self.pause().await;
            if self.forgotten {
                return self.forget().await;
            }
        }
        self.end(&view);
    }

    fn end(&mut self, view: &View) {
        let (end, dropped) = view.end();
        self.check(|it| it.ended(end, dropped));
    }
}

/// Counts a reader that holds a frame.
struct Hand<'a>(&'a World);

impl<'a> Hand<'a> {
    fn new(world: &'a World) -> Self {
        world.totals.holding.fetch_add(1, Ordering::Relaxed);
        Self(world)
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.0.totals.holding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A reader of the reactor.
pub(crate) struct Viewer {
    visit: Visit,
    /// Until when it takes nothing.
    until: Option<Instant>,
}

impl Sink for Viewer {
    fn track(&mut self, track: &Arc<Track>) {
        self.visit.check(|it| it.track(track));
    }

    fn frames(&mut self, frames: &Frames<'_>) {
        for frame in frames {
            self.visit.check(|it| it.frame(frame));
        }
        let stalls = matches!(self.visit.habit, Habit::Stalling | Habit::Holding);
        if stalls && self.visit.chance.below(50) == 0 {
            let pause = Duration::from_millis(self.visit.chance.next() % 120);
            self.until = Some(Instant::now() + pause);
        }
    }

    fn discontinuity(&mut self, discontinuity: Discontinuity) {
        self.visit.check(|it| it.discontinuity(discontinuity));
    }

    fn lagged(&mut self, skipped: u64) {
        self.visit.check(|it| it.lagged(skipped));
    }

    fn is_ready(&mut self) -> bool {
        if self.until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        self.until = None;
        true
    }

    fn is_open(&self) -> bool {
        !self.visit.has_enough()
    }

    fn end(&mut self, end: SubscriptionEnd) {
        self.visit.check(|it| it.ended(Some(end), None));
    }
}
