//! What one round of one way costs on one thread.

use std::time::{Duration, Instant};

use rillcast_bench::median;
use rillcast_core::Frame;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

use crate::frames::{GOP, Made, all_taken, taken};
use crate::ways::{Hosts, Scene, Source, Way};

/// How frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pace {
    /// One at a time: every subscriber waits for every frame.
    Steady,
    /// A row of them at once: subscribers wait for the first only.
    Flood,
}

impl Pace {
    /// Frames that are published before subscribers run.
    const fn row(self) -> usize {
        match self {
            Self::Steady => 1,
            Self::Flood => 60,
        }
    }
}

/// How many streams with how many subscribers each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) streams: usize,
    pub(crate) subscribers: usize,
}

impl Load {
    pub(crate) const fn one(subscribers: usize) -> Self {
        Self {
            streams: 1,
            subscribers,
        }
    }

    /// As many whole GOPs for each stream as make a round long enough, and not too long.
    pub(crate) fn frames(self, deliveries: usize) -> usize {
        let gops = deliveries / (self.streams * self.subscribers * GOP);
        gops.clamp(1, 50_000 / GOP) * GOP
    }
}

/// Nanoseconds of one thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Of everything, for each frame that a subscriber got, in CPU time.
    pub(crate) delivery: f64,
    /// Of the publisher's call, for each frame.
    pub(crate) publish: f64,
}

/// Publishes `frames` frames to each stream of `load` on one thread, twice: once
/// with a look at the clock before and after all of it, and once with one before
/// and after each of the publisher's calls.
pub(crate) fn run(way: Way, load: Load, pace: Pace, frames: usize) -> Cost {
    in_a_task(async move {
        let mut round = Round::new(way, load, pace).await;
        let made = round.make(frames);
        let begin = thread_time();
        round.publish(made).await;
        let spent = thread_time().saturating_sub(begin);
        let made = round.make(frames);
        let published = frames * load.streams;
        Cost {
            delivery: nanos(spent, published * load.subscribers),
            publish: round.time_publisher(made).await,
        }
    })
}

/// Only publishes, for valgrind.
pub(crate) fn run_once(way: Way, load: Load, frames: usize) {
    in_a_task(async move {
        let mut round = Round::new(way, load, Pace::Steady).await;
        let made = round.make(frames);
        round.publish(made).await;
    });
}

struct Round {
    sources: Vec<Source>,
    made: Made,
    load: Load,
    pace: Pace,
}

impl Round {
    /// Subscribers that wait, in tables that have their size.
    async fn new(way: Way, load: Load, pace: Pace) -> Self {
        let hosts = Hosts::new(1);
        let scene = Scene {
            way,
            subscribers: load.subscribers,
            workers: 1,
            rows: pace == Pace::Flood,
            ages: None,
            hosts: &hosts,
        };
        let mut round = Self {
            sources: (0..load.streams).map(|_| scene.make()).collect(),
            made: Made::new(),
            load,
            pace,
        };
        // Once each has run, it waits.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let made = round.make(2 * pace.row());
        round.publish(made).await;
        round
    }

    /// The next frames, in rows, each for every stream in turn: an ingest has its
    /// frames already.
    fn make(&mut self, frames: usize) -> Vec<Frame> {
        let mut made = Vec::with_capacity(frames * self.load.streams);
        for _ in 0..frames / self.pace.row() {
            let row: Vec<_> = (0..self.pace.row()).map(|_| self.made.next()).collect();
            for _ in 0..self.load.streams {
                made.extend_from_slice(&row);
            }
        }
        made
    }

    /// Publishes, and lets subscribers run until all have got everything.
    async fn publish(&mut self, made: Vec<Frame>) {
        let mut made = made.into_iter();
        while made.len() > 0 {
            let before = taken();
            let mut row = 0;
            for source in &mut self.sources {
                for frame in made.by_ref().take(self.pace.row()) {
                    source.publish(frame);
                    row += 1;
                }
            }
            self.all_have(before, row).await;
        }
    }

    /// The same, and what the publisher's call took: the median of GOPs, so that
    /// where the thread was taken from its processor it does not count. Without
    /// what looking at the clock takes.
    async fn time_publisher(&mut self, made: Vec<Frame>) -> f64 {
        let looks = clock_looks(self.pace.row());
        let rows = (GOP / self.pace.row()) * self.load.streams;
        let mut gops = Vec::new();
        let (mut gop, mut seen) = (Duration::ZERO, 0);
        let mut made = made.into_iter();
        while made.len() > 0 {
            let before = taken();
            let mut row = 0;
            for source in &mut self.sources {
                let frames = made.by_ref().take(self.pace.row());
                let begin = Instant::now();
                for frame in frames {
                    source.publish(frame);
                    row += 1;
                }
                gop += begin.elapsed();
                seen += 1;
                if seen == rows {
                    gops.push(nanos(std::mem::take(&mut gop), rows * self.pace.row()));
                    seen = 0;
                }
            }
            self.all_have(before, row).await;
        }
        (median(gops) - looks).max(0.0)
    }

    /// Lets subscribers run until all have got the `row` frames since `before`.
    async fn all_have(&self, before: u64, row: usize) {
        let all = u64::try_from(row * self.load.subscribers).unwrap_or(u64::MAX);
        all_taken(before + all).await;
    }
}

/// Nanoseconds that a look before and one after `row` calls adds to each.
fn clock_looks(row: usize) -> f64 {
    let looks = (0..1_000).map(|_| {
        let begin = Instant::now();
        begin.elapsed().as_secs_f64() * 1e9
    });
    median(looks) / precise(row)
}

/// CPU time of this thread: what else the machine does is not in it.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Runs `future` in a task, as an ingest is one, on a runtime of one thread.
pub(crate) fn in_a_task<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let task = async { tokio::time::timeout(PATIENCE, tokio::spawn(future)).await };
    let done = one_thread().block_on(task);
    done.expect("subscribers that get all frames")
        .expect("a round that ends")
}

pub(crate) fn one_thread() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime of one thread")
}

/// Nanoseconds for each of `count`.
pub(crate) fn nanos(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e9 / precise(count)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below 2^52"
)]
pub(crate) const fn precise(count: usize) -> f64 {
    count as f64
}

/// Nothing that is measured takes so long.
const PATIENCE: Duration = Duration::from_secs(20);
