//! The recording of one life of a stream: looks at its window once a flush interval,
//! and has the disk do what `take` says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rillcast_core::{Shutdown, StreamFlag, StreamHandle, StreamKey};
use rillcast_media::cmaf::{Snapshot, State, Store, Window};
use tokio::time::{sleep_until, timeout};

use crate::config::{Config, Durability};
use crate::disk::{Disk, Place};
use crate::index::EndCause;
use crate::take::{Step, Taker};

/// What is recorded, and what for.
pub(crate) struct Recording {
    pub(crate) key: StreamKey,
    pub(crate) handle: StreamHandle,
    pub(crate) config: Config,
    pub(crate) window: Arc<Window>,
    pub(crate) store: Arc<Store>,
    pub(crate) shutdown: Shutdown,
}

impl Recording {
    /// Records until the stream ends or the server stops.
    pub(crate) async fn run(self) {
        let place = Place {
            folder: self.config.path.clone(),
            key: self.key.clone(),
            sync: self.config.durability == Durability::Power,
        };
        let started = Taker::new(self.key.clone(), &self.config).and_then(|taker| {
            let disk = Disk::start(place).map_err(|error| error.to_string())?;
            Ok((taker, disk))
        });
        let (mut taker, disk) = match started {
            Ok(started) => started,
            Err(error) => {
                tracing::error!(stream = %self.key, error, "the stream is not recorded");
                return;
            }
        };
        let mut trouble = Trouble::default();
        let mut refused = false;
        let mut looked = Instant::now();
        loop {
            // Who looks a window up keeps it from pausing.
            drop(self.store.get(&self.key, Instant::now()));
            let snapshot = self.window.load();
            if let State::Refused(refusal) = snapshot.state
                && !std::mem::replace(&mut refused, true)
            {
                tracing::warn!(stream = %self.key, reason = refusal.reason(), "the stream is not recorded, since it is not packaged");
            }
            self.pass(&mut taker, &disk, &mut trouble, &snapshot).await;
            self.handle
                .set_state(StreamFlag::Recording, taker.is_open());
            if snapshot.is_ended() {
                break;
            }
            // What the disk took of the interval is part of it.
            looked += match taker.is_waiting() {
                true => self.config.flush_interval.0.min(SOON),
                false => self.config.flush_interval.0,
            };
            looked = looked.max(Instant::now());
            tokio::select! {
                () = sleep_until(looked.into()) => {}
                () = self.shutdown.requested() => {
                    // The streams have just been ended: what they leave comes now.
                    let ended = self.window.watched().wait_for(Snapshot::is_ended);
                    let last = timeout(LAST_PARTS, ended).await;
                    let last = last.unwrap_or_else(|_| self.window.load());
                    self.pass(&mut taker, &disk, &mut trouble, &last).await;
                    break;
                }
            }
        }
        if taker.is_open() {
            let _ = disk.step(Step::End(EndCause::Stopped)).await;
        }
        if taker.failed > 0 {
            tracing::warn!(stream = %self.key, parts = taker.failed, "parts could not be recorded");
        }
    }

    /// Has the disk do all that `snapshot` allows.
    async fn pass(
        &self,
        taker: &mut Taker,
        disk: &Disk,
        trouble: &mut Trouble,
        snapshot: &Snapshot,
    ) {
        if trouble.until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        while let Some(step) = taker.take(snapshot) {
            let writes = matches!(step, Step::Write(_));
            match disk.step(step).await {
                Ok(()) if writes && trouble.until.take().is_some() => {
                    tracing::info!(stream = %self.key, "recording goes on");
                }
                Ok(()) => {}
                Err(error) => {
                    taker.give_up();
                    if trouble.until.is_none() {
                        tracing::error!(stream = %self.key, %error, "the disk takes no more: the stream is not recorded, until it does");
                    }
                    trouble.until = Some(Instant::now() + RETRY);
                    return;
                }
            }
        }
    }
}

/// Whether the disk fails, and when it is tried again.
#[derive(Default)]
struct Trouble {
    until: Option<Instant>,
}

/// How long a disk is left alone that has failed.
const RETRY: Duration = Duration::from_secs(2);

/// How soon it looks again where a track is a little behind.
const SOON: Duration = Duration::from_millis(200);

/// What a stream had when it was ended is cut by then.
const LAST_PARTS: Duration = Duration::from_millis(500);
