//! What one round of one way costs on one thread.

use std::time::{Duration, Instant};

use rillcast_core::Frame;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use crate::ways::{Frames, Source, Tally, Way, scene};

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
            Self::Flood => 64,
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

    /// As many frames for each stream as make a round long enough, and not too long.
    pub(crate) fn frames(self, deliveries: usize) -> usize {
        (deliveries / (self.streams * self.subscribers)).clamp(32, 50_000)
    }
}

/// Nanoseconds of one thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Of everything, for each frame that a subscriber got.
    pub(crate) delivery: f64,
    /// Of the publisher's call, for each frame.
    pub(crate) publish: f64,
}

/// Publishes `frames` frames to each stream of `load` on one thread.
pub(crate) fn run(way: Way, load: Load, pace: Pace, frames: usize) -> Cost {
    one_thread().block_on(async {
        let mut round = Round {
            way,
            tally: Tally::default(),
            sources: Vec::new(),
            made: Frames::new(),
            load,
            pace,
        };
        let sources = (0..load.streams).map(|_| scene(way, load.subscribers, &round.tally));
        round.sources = sources.collect();
        // Every subscriber waits, and tables have their size.
        for _ in 0..100 + load.streams * load.subscribers / 20 {
            yield_now().await;
        }
        round.publish(2 * pace.row()).await;
        let begin = Instant::now();
        let spent = round.publish(frames).await;
        let all = begin.elapsed().saturating_sub(spent.making);
        let published = frames * load.streams;
        Cost {
            delivery: nanos(all, published * load.subscribers),
            publish: nanos(spent.publishing, published),
        }
    })
}

struct Round {
    way: Way,
    tally: Tally,
    sources: Vec<Source>,
    made: Frames,
    load: Load,
    pace: Pace,
}

#[derive(Default)]
struct Spent {
    publishing: Duration,
    making: Duration,
}

impl Round {
    /// Publishes, and lets subscribers run until all have got everything.
    async fn publish(&mut self, frames: usize) -> Spent {
        let mut spent = Spent::default();
        let mut left = frames;
        while left > 0 {
            let row = self.pace.row().min(left);
            left -= row;
            let all = row * self.load.streams * self.load.subscribers;
            let wanted = self.tally.get() + u64::try_from(all).unwrap_or(u64::MAX);
            // An ingest has its frames already.
            let making = Instant::now();
            let frames = self.row(row);
            let publishing = Instant::now();
            for (frame, source) in frames.into_iter().zip(0..) {
                let source = source % self.load.streams;
                if let Some(source) = self.sources.get_mut(source) {
                    source.publish(frame);
                }
            }
            let published = Instant::now();
            spent.making += publishing - making;
            spent.publishing += published - publishing;
            while self.tally.get() < wanted {
                yield_now().await;
                assert!(
                    published.elapsed() < PATIENCE,
                    "{} with {:?}: {} of {wanted} frames arrived",
                    self.way.name(),
                    self.load,
                    self.tally.get()
                );
            }
        }
        spent
    }

    /// The next frames, each for every stream.
    fn row(&mut self, row: usize) -> Vec<Frame> {
        let mut frames = Vec::with_capacity(row * self.load.streams);
        for _ in 0..row {
            let frame = self.made.next();
            frames.extend((0..self.load.streams).map(|_| frame.clone()));
        }
        frames
    }
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
