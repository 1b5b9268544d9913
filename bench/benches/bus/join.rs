//! What joining costs, and an idle stream's memory.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rillcast_core::{Frame, Recv};
use tokio::sync::broadcast;

use crate::rounds::{nanos, one_thread, precise};
use crate::ways::{Frames, GOP, stream};

/// Nanoseconds of one join into a whole GOP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joins {
    /// Until the subscriber can read.
    pub(crate) join: f64,
    /// Until it has read the GOP as well.
    pub(crate) replay: f64,
}

const JOINS: usize = 2_000;

/// A ring, and a vector with the GOP that is copied under a lock.
pub(crate) fn broadcast() -> Joins {
    let (sender, _) = broadcast::channel::<Arc<Frame>>(256);
    let mut made = Frames::new();
    let gop: Vec<_> = (0..GOP).map(|_| Arc::new(made.next())).collect();
    let gop = Mutex::new(gop);
    let copy = || {
        let gop = gop.lock().unwrap_or_else(PoisonError::into_inner);
        (gop.clone(), sender.subscribe())
    };
    let (join, replay) = measure(copy, |(gop, _)| {
        gop.iter().map(|frame| frame.payload.len()).sum()
    });
    Joins { join, replay }
}

/// A subscription of the bus.
pub(crate) fn bus() -> Joins {
    one_thread().block_on(async {
        let (mut publisher, handle) = stream();
        let mut made = Frames::new();
        for _ in 0..GOP {
            let _ = publisher.publish_frame(made.next());
        }
        let (join, replay) = measure(
            || handle.subscribe_resilient(),
            |subscription| {
                let mut bytes = 0;
                while let Some(entry) = subscription.try_recv() {
                    if let Recv::Frame(frame) = entry {
                        bytes += frame.payload.len();
                    }
                }
                bytes
            },
        );
        Joins { join, replay }
    })
}

fn measure<T>(join: impl Fn() -> T, read: impl Fn(&mut T) -> usize) -> (f64, f64) {
    let begin = Instant::now();
    for _ in 0..JOINS {
        std::hint::black_box(join());
    }
    let joined = begin.elapsed();
    let begin = Instant::now();
    for _ in 0..JOINS {
        let bytes = read(&mut join());
        assert!(bytes >= 1_200 * 100, "a GOP was not read: {bytes}");
    }
    (nanos(joined, JOINS), nanos(begin.elapsed(), JOINS))
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
