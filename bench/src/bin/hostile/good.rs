//! The good side: what must not notice. Twenty publishers over RTMP and ten over
//! SRT, their viewers, and what those saw.
//!
//! A viewer is in `good/viewer.rs`, `good/fragment.rs` reads the fragments that
//! it is given. `good/callers.rs` has the programs that call over SRT,
//! `good/circle.rs` what they send.

mod callers;
mod circle;
mod fragment;
mod viewer;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rillcast_bench::{Clip, Error, Publisher, Result, Rillcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::callers::Callers;
pub(crate) use self::callers::{SECRET, name as srt_name};
pub(crate) use self::circle::Circle;
use crate::arena::GOOD;

/// All publishers and viewers.
pub(crate) struct Good {
    publisher: Publisher,
    srt: SocketAddr,
    callers: Mutex<Callers>,
    seen: Arc<Seen>,
    stop: CancellationToken,
    viewers: TaskTracker,
}

/// What the viewers saw.
#[derive(Debug)]
pub(crate) struct Seen {
    begun: Instant,
    /// The arrival of each piece of an open segment, since the begin, and the
    /// time since the one before it of the same viewer; of streams over RTMP …
    rtmp: Samples,
    /// … and over SRT: what callers bundle and latency smooths has another cadence.
    srt: Samples,
    /// How late a task that only sleeps was woken, beside the viewers: the time
    /// that their own side takes.
    own: Samples,
    /// What was wrong, in words; the first ones.
    faults: Mutex<Vec<String>>,
    fragments: AtomicU64,
    segments: AtomicU64,
    playlists: AtomicU64,
    /// Viewers that play.
    playing: AtomicU64,
}

/// Moments since the begin, each with what was measured then.
type Samples = Mutex<Vec<(Duration, Duration)>>;

/// What a stream comes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Rtmp,
    Srt,
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
    /// Begins to publish; what the callers of SRT say goes into `folder`.
    pub(crate) fn publish(
        server: &Rillcast,
        clip: &Clip,
        circle: Circle,
        folder: &Path,
    ) -> Result<Self> {
        let srt = server.srt();
        let srt = srt.ok_or_else(|| Error::new("the server takes no SRT"))?;
        Ok(Self {
            publisher: Publisher::start(server.rtmp(), GOOD, clip, 4_096)?,
            srt,
            callers: Mutex::new(Callers::start(srt, circle, folder)?),
            seen: Arc::new(Seen {
                begun: Instant::now(),
                rtmp: Mutex::default(),
                srt: Mutex::default(),
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
        let rtmp = (0..GOOD).map(|index| (format!("bench-{index}"), Over::Rtmp));
        let srt = WATCHED
            .into_iter()
            .map(|index| (srt_name(index), Over::Srt));
        let watched: Vec<(String, Over)> = rtmp.chain(srt).collect();
        let viewers = 2 * watched.len();
        for (name, over) in watched {
            for sound in [false, true] {
                let (seen, stop) = (Arc::clone(&self.seen), self.stop.clone());
                let name = name.clone();
                self.viewers.spawn(async move {
                    let viewing = viewer::view(http, (&name, over), sound, &seen);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        Err(error) = viewing => seen.fault(format!("viewer of {name}: {error}")),
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
        while self.seen.playing.load(Ordering::Relaxed) < viewers as u64 {
            self.check()?;
            if Instant::now() > deadline {
                return Err(Error::new("the viewers do not come to play"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Where SRT is taken.
    pub(crate) const fn srt(&self) -> SocketAddr {
        self.srt
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Fails if a publisher has failed, or a viewer saw a fault since the last call.
    pub(crate) fn check(&self) -> Result {
        if self.publisher.failed() {
            return Err(Error::new("a good publisher has failed"));
        }
        lock(&self.callers).check()?;
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
        let callers = self.callers.into_inner();
        callers.unwrap_or_else(PoisonError::into_inner).stop()?;
        self.publisher.stop()
    }
}

impl Seen {
    /// Now, since the begin.
    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What arrived between two moments.
    pub(crate) fn cadence(&self, over: Over, from: Duration, until: Duration) -> Cadence {
        let gaps = within(self.arrivals(over), from, until);
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

    fn arrived(&self, over: Over, gap: Duration) {
        lock(self.arrivals(over)).push((self.now(), gap));
    }

    const fn arrivals(&self, over: Over) -> &Samples {
        match over {
            Over::Rtmp => &self.rtmp,
            Over::Srt => &self.srt,
        }
    }
}

/// The values between two moments, in order of size.
fn within(samples: &Samples, from: Duration, until: Duration) -> Vec<Duration> {
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

/// The streams over SRT that are watched: of both programs, sealed and open.
const WATCHED: [usize; 4] = [0, 1, 4, 9];

/// How often it is looked how late the viewers' own side is.
const BEAT: Duration = Duration::from_millis(10);

/// Faults that are kept: the first ones tell the story.
const MOST_FAULTS: usize = 8;
