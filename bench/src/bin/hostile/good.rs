//! The good side: what must not notice. Twenty publishers, twenty viewers, and
//! what the viewers saw.
//!
//! A viewer is in `good/viewer.rs`, `good/fragment.rs` reads the fragments that
//! it is given.

mod fragment;
mod viewer;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rillcast_bench::{Clip, Error, Publisher, Result};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arena::GOOD;

/// All publishers and viewers.
pub(crate) struct Good {
    publisher: Publisher,
    seen: Arc<Seen>,
    stop: CancellationToken,
    viewers: TaskTracker,
}

/// What the viewers saw.
#[derive(Debug)]
pub(crate) struct Seen {
    begun: Instant,
    /// The arrival of each piece of an open segment, since the begin, and the
    /// time since the one before it of the same viewer.
    cadence: Mutex<Vec<(Duration, Duration)>>,
    /// How late a task that only sleeps was woken, beside the viewers: the time
    /// that their own side takes.
    own: Mutex<Vec<(Duration, Duration)>>,
    /// What was wrong, in words; the first ones.
    faults: Mutex<Vec<String>>,
    fragments: AtomicU64,
    segments: AtomicU64,
    playlists: AtomicU64,
    /// Viewers that play.
    playing: AtomicU64,
}

/// A time with its samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cadence {
    pub(crate) samples: usize,
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    pub(crate) longest: Duration,
    /// The p99 of what the viewers' own side took.
    pub(crate) own: Duration,
}

impl Good {
    /// Begins to publish.
    pub(crate) fn publish(rtmp: SocketAddr, clip: &Clip) -> Result<Self> {
        Ok(Self {
            publisher: Publisher::start(rtmp, GOOD, clip, 4_096)?,
            seen: Arc::new(Seen {
                begun: Instant::now(),
                cadence: Mutex::default(),
                own: Mutex::default(),
                faults: Mutex::default(),
                fragments: AtomicU64::new(0),
                segments: AtomicU64::new(0),
                playlists: AtomicU64::new(0),
                playing: AtomicU64::new(0),
            }),
            stop: CancellationToken::new(),
            viewers: TaskTracker::new(),
        })
    }

    /// Lets everybody watch, and returns when all see pictures.
    pub(crate) async fn watch(&self, http: SocketAddr) -> Result {
        for index in 0..GOOD {
            for sound in [false, true] {
                let (seen, stop) = (Arc::clone(&self.seen), self.stop.clone());
                self.viewers.spawn(async move {
                    let viewing = viewer::view(http, index, sound, &seen);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        Err(error) = viewing => seen.fault(format!("viewer {index}: {error}")),
                    }
                });
            }
        }
        let (seen, stop) = (Arc::clone(&self.seen), self.stop.clone());
        self.viewers.spawn(async move {
            while !stop.is_cancelled() {
                let due = Instant::now() + BEAT;
                tokio::time::sleep_until(due).await;
                let late = due.elapsed();
                lock(&seen.own).push((seen.now(), late));
            }
        });
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.seen.playing.load(Ordering::Relaxed) < 2 * GOOD as u64 {
            self.check()?;
            if Instant::now() > deadline {
                return Err(Error::new("the viewers do not come to play"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Fails if a publisher has failed, or a viewer saw a fault since the last call.
    pub(crate) fn check(&self) -> Result {
        if self.publisher.failed() {
            return Err(Error::new("a good publisher has failed"));
        }
        // Each is told once, of the attack that it came with.
        let faults = std::mem::take(&mut *lock(&self.seen.faults));
        if faults.is_empty() {
            return Ok(());
        }
        Err(Error::new(faults.join("; ")))
    }

    /// How late a message left a publisher on average since the begin: what is
    /// late there is no fault of the server's.
    pub(crate) fn mean_late(&self) -> Duration {
        self.publisher.pace().mean_late()
    }

    /// Everybody leaves.
    pub(crate) async fn stop(self) -> Result {
        self.stop.cancel();
        self.viewers.close();
        self.viewers.wait().await;
        self.publisher.stop()
    }
}

impl Seen {
    /// Now, since the begin.
    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What arrived between two moments.
    pub(crate) fn cadence(&self, from: Duration, until: Duration) -> Cadence {
        let gaps = within(&self.cadence, from, until);
        let own = within(&self.own, from, until);
        Cadence {
            samples: gaps.len(),
            median: at(&gaps, 50),
            p99: at(&gaps, 99),
            longest: at(&gaps, 100),
            own: at(&own, 99),
        }
    }

    /// What was seen in all, in words.
    pub(crate) fn counts(&self) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "{} fragments without a gap in {} segments, {} playlists",
            of(&self.fragments),
            of(&self.segments),
            of(&self.playlists)
        )
    }

    fn fault(&self, text: String) {
        let mut faults = lock(&self.faults);
        if faults.len() < MOST_FAULTS {
            faults.push(text);
        }
    }

    fn arrived(&self, gap: Duration) {
        lock(&self.cadence).push((self.now(), gap));
    }
}

/// The values between two moments, in order of size.
fn within(
    samples: &Mutex<Vec<(Duration, Duration)>>,
    from: Duration,
    until: Duration,
) -> Vec<Duration> {
    let samples = lock(samples);
    let within = samples.iter().filter(|(at, _)| (from..until).contains(at));
    let mut values: Vec<Duration> = within.map(|(_, value)| *value).collect();
    values.sort_unstable();
    values
}

/// A percentile of sorted values.
fn at(values: &[Duration], percent: usize) -> Duration {
    let index = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(index).copied().unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often it is looked how late the viewers' own side is.
const BEAT: Duration = Duration::from_millis(10);

/// Faults that are kept: the first ones tell the story.
const MOST_FAULTS: usize = 8;
