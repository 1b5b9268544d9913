//! What joining costs, and an idle stream's memory.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rillcast_core::Run;
use tokio::sync::broadcast;

use crate::frames::{GOP, Made, stream};
use crate::rounds::{in_a_task, nanos, one_thread, precise};

/// Nanoseconds of one join into a whole GOP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joins {
    /// Until the subscriber can read.
    pub(crate) join: f64,
    /// Until it has read the GOP as well.
    pub(crate) replay: f64,
}

/// Joins that are measured in a row, and how often.
const ROW: usize = 16;
const ROWS: usize = 500;

/// A ring, and a vector with the GOP that is copied under a lock.
pub(crate) fn broadcast() -> Joins {
    let mut made = Made::new();
    copies((0..GOP).map(|_| made.next()).collect(), |frame| {
        frame.payload.len()
    })
}

/// The same with frames in an `Arc`.
pub(crate) fn arcs() -> Joins {
    let mut made = Made::new();
    copies((0..GOP).map(|_| Arc::new(made.next())).collect(), |frame| {
        frame.payload.len()
    })
}

fn copies<T: Clone>(gop: Vec<T>, len: impl Fn(&T) -> usize) -> Joins {
    let (sender, _) = broadcast::channel::<T>(256);
    let gop = Mutex::new(gop);
    let copy = || {
        let gop = gop.lock().unwrap_or_else(PoisonError::into_inner);
        (gop.clone(), sender.subscribe())
    };
    measure(copy, |(gop, _)| gop.iter().map(&len).sum())
}

/// A subscription of the bus.
pub(crate) fn bus() -> Joins {
    in_a_task(async {
        let (mut publisher, handle) = stream();
        let mut made = Made::new();
        for _ in 0..GOP {
            let _ = publisher.publish_frame(made.next());
        }
        measure(
            || handle.subscribe_resilient(),
            |subscription| {
                let mut bytes = 0;
                while let Some(run) = subscription.try_recv_run() {
                    if let Run::Frames(frames) = run {
                        bytes += frames.iter().map(|it| it.payload.len()).sum::<usize>();
                    }
                }
                bytes
            },
        )
    })
}

/// Leaving is not in the figures.
fn measure<T>(join: impl Fn() -> T, read: impl Fn(&mut T) -> usize) -> Joins {
    let (mut joining, mut reading) = (Duration::ZERO, Duration::ZERO);
    let mut joined = Vec::with_capacity(ROW);
    for _ in 0..ROWS {
        let begin = Instant::now();
        joined.extend((0..ROW).map(|_| join()));
        joining += begin.elapsed();
        let begin = Instant::now();
        let bytes: usize = joined.iter_mut().map(&read).sum();
        reading += begin.elapsed();
        assert!(
            bytes >= ROW * GOP * 1_200,
            "a GOP was not read: {bytes} bytes"
        );
        joined.clear();
    }
    Joins {
        join: nanos(joining, ROW * ROWS),
        replay: nanos(joining + reading, ROW * ROWS),
    }
}

/// Bytes of memory that an idle stream with its publisher takes, if the system tells.
pub(crate) fn idle_stream() -> Option<f64> {
    const STREAMS: usize = 10_000;
    one_thread().block_on(async {
        let mut streams = Vec::with_capacity(STREAMS);
        let warm: Vec<_> = (0..100).map(|_| stream()).collect();
        let before = resident()?;
        streams.extend((0..STREAMS).map(|_| stream()));
        let after = resident()?;
        drop((warm, streams));
        Some(precise(after.saturating_sub(before)) / precise(STREAMS))
    })
}

/// Bytes of this process in memory.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}
