//! How old frames are when subscribers get them, on two workers at 60 frames a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval};

use crate::rounds::precise;
use crate::ways::{Frames, Tally, Way, scene};

/// Ages of frames, in steps of a quarter of an octave of microseconds.
pub(crate) struct Ages {
    steps: [AtomicU64; STEPS],
}

const STEPS: usize = 128;

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
            if precise(seen) >= part * precise(all) {
                let (octave, quarter) = ((step + 1) / 4, (step + 1) % 4);
                return f64::from(u32::try_from(octave).unwrap_or(0)).exp2()
                    * (1.0 + precise(quarter) / 4.0);
            }
        }
        f64::NAN
    }
}

/// The step of an age: four between each power of two of microseconds.
fn step(age: Duration) -> usize {
    let quarters = u64::try_from(age.as_micros()).unwrap_or(u64::MAX).max(1);
    let octave = quarters.ilog2();
    let rest = quarters - (1 << octave);
    let quarter = rest.saturating_mul(4) >> octave;
    usize::try_from(u64::from(octave) * 4 + quarter).unwrap_or(usize::MAX)
}

/// Microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Of the publisher's call.
    pub(crate) publish: f64,
}

/// Publishes for `time` at 60 frames a second to `subscribers`.
pub(crate) fn run(way: Way, subscribers: usize, time: Duration) -> Latency {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime of two threads");
    let ages = Ages::new();
    let tally = Tally::noting(&ages);
    // In a task, as an ingest is: what it wakes can run where it runs.
    let publishing = runtime.block_on(async {
        let task = tokio::spawn(async move {
            let mut source = scene(way, subscribers, &tally);
            let mut made = Frames::new();
            let mut tick = interval(Duration::from_nanos(16_666_667));
            tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let (mut publishing, mut frames) = (Duration::ZERO, 0_usize);
            let begin = Instant::now();
            while begin.elapsed() < time {
                tick.tick().await;
                let frame = made.next();
                let publish = Instant::now();
                source.publish(frame);
                publishing += publish.elapsed();
                frames += 1;
            }
            crate::rounds::nanos(publishing, frames) / 1e3
        });
        task.await.unwrap_or(f64::NAN)
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    Latency {
        p50: ages.at(0.5),
        p99: ages.at(0.99),
        publish: publishing,
    }
}
