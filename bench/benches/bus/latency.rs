//! How old frames are when subscribers get them, on two workers at 60 frames a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval};

use rillcast_bench::median;

use crate::frames::Made;
use crate::rounds::precise;
use crate::ways::{Hosts, Scene, Way};

/// Ages of frames, in steps of a sixteenth of an octave of microseconds.
pub(crate) struct Ages {
    steps: [AtomicU64; STEPS],
}

const STEPS: usize = 32 * PARTS;

/// Steps of an octave.
const PARTS: usize = 16;

impl Ages {
    /// One subscriber in so many notes ages, so that noting costs nothing.
    pub(crate) const ONE_IN: usize = 16;

    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            steps: [const { AtomicU64::new(0) }; STEPS],
        })
    }

    pub(crate) fn note(&self, age: Duration) {
        let place = self.steps.get(step(age)).or(self.steps.last());
        if let Some(place) = place {
            place.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The age in microseconds that `part` of all frames are below.
    fn at(&self, part: f64) -> f64 {
        let counts: Vec<usize> = (self.steps.iter())
            .map(|step| usize::try_from(step.load(Ordering::Relaxed)).unwrap_or(0))
            .collect();
        let all: usize = counts.iter().sum();
        let mut seen = 0;
        for (step, count) in counts.iter().enumerate() {
            seen += count;
            if seen > 0 && precise(seen) >= part * precise(all) {
                let (octave, rest) = ((step + 1) / PARTS, (step + 1) % PARTS);
                let octave = f64::from(u32::try_from(octave).unwrap_or(0)).exp2();
                return octave * (1.0 + precise(rest) / precise(PARTS)) / precise(PARTS);
            }
        }
        f64::NAN
    }
}

/// The step of an age: [`PARTS`] between each power of two, the first of them a
/// microsecond long in all.
fn step(age: Duration) -> usize {
    let parts = u128::try_from(PARTS).unwrap_or(1);
    let count = (age.as_nanos() * parts / 1_000).max(1);
    let octave = count.ilog2();
    let rest = ((count - (1 << octave)) * parts) >> octave;
    usize::try_from(octave).unwrap_or(0) * PARTS + usize::try_from(rest).unwrap_or(0)
}

/// Microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Of the publisher's call: the mean.
    pub(crate) publish: f64,
    /// And the median.
    pub(crate) publish_p50: f64,
}

/// Publishes for `time` at 60 frames a second to `subscribers`.
pub(crate) fn run(way: Way, subscribers: usize, time: Duration) -> Latency {
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime of two threads");
    let ages = Ages::new();
    // In a task, as an ingest is: what it wakes can run where it runs.
    let publishing = runtime.block_on(async {
        let ages = Arc::clone(&ages);
        let task = tokio::spawn(async move {
            let hosts = Hosts::new(WORKERS);
            let scene = Scene {
                way,
                subscribers,
                workers: WORKERS,
                rows: false,
                ages: Some(&ages),
                hosts: &hosts,
            };
            let mut source = scene.make();
            let mut made = Made::new();
            let mut tick = interval(Duration::from_nanos(16_666_667));
            tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut publishing = Vec::new();
            let begin = Instant::now();
            while begin.elapsed() < time {
                tick.tick().await;
                let frame = made.next();
                let publish = Instant::now();
                source.publish(frame);
                publishing.push(publish.elapsed().as_secs_f64() * 1e6);
            }
            publishing
        });
        task.await.unwrap_or_default()
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    Latency {
        p50: ages.at(0.5),
        p99: ages.at(0.99),
        publish: publishing.iter().sum::<f64>() / precise(publishing.len()),
        publish_p50: median(publishing),
    }
}

/// Threads of the runtime.
const WORKERS: usize = 2;
