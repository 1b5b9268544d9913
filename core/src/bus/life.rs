//! The life of a stream: publishers that attach, leave and take over, the
//! grace time between them, and the end.
//!
//! Every change is made under two locks, the home's table before the stream's
//! life, so that what the registry lists, what its events tell and who may
//! write never disagree. Everything that runs foreign code or wakes a task
//! comes after both.
//!
//! To publish takes neither. A publisher takes the writer, which is a lease: one
//! read-modify-write that never waits. Whoever takes the writer from it decides
//! so under the lock, waits for the entry that is being put, if one is, and tells
//! the writer whose it is from now on. So no entry is put after the end. A publisher
//! that finds its writer taken, or another's, has been ended, or meets one that has
//! been and finds that out just now: the lock tells which.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::{Instant as TokioInstant, sleep_until};
use tokio_util::task::TaskTracker;

use super::config::{BusConfig, Takeover};
use super::handle::StreamHandle;
use super::memory::Budget;
use super::observer::Watcher;
use super::publisher::Publisher;
use super::qos::nanos;
use super::state::{CloseReason, Lifecycle};
use super::stream::{Control, Origin, Stream, session};
use crate::registry::Home;
use crate::sync::{AcqRel, Arc, Release, Weak, now};
use crate::{DiscontinuityCause, StreamEvent, StreamKey, Watched};

/// For so long after its end a stream can still be read to the end by those who
/// read it. What is left then belongs to readers that stand still.
const DRAIN: Duration = Duration::from_secs(10);

/// How soon after the end it is looked whether they all have read it; after
/// twice that time again, and so on.
const DRAINED_AFTER: Duration = Duration::from_millis(20);

/// How often a stream that waits for its publisher looks whether it must let go
/// of what it keeps: no frame comes that would make it.
const SHRINK_EVERY: Duration = Duration::from_millis(500);

/// Who holds a stream, and which publish is in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) hold: Hold,
    /// The publish in force, counted from 1.
    pub(crate) epoch: u64,
}

/// Who holds the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hold {
    /// A publisher, which is ended if it is silent for `idle`.
    Held {
        since: Instant,
        idle: Option<Duration>,
    },
    /// Nobody, until then.
    Detached { until: Instant },
    /// Nobody any more.
    Ended(CloseReason),
}

impl Life {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            hold: Hold::Detached { until: now },
            epoch: 0,
        }
    }

    /// Whether the publish of `epoch` holds the stream.
    pub(crate) const fn is_held_by(&self, epoch: u64) -> bool {
        matches!(self.hold, Hold::Held { .. }) && self.epoch == epoch
    }

    /// Why the publish of `epoch` may not write; by default, because another
    /// one does.
    pub(crate) const fn why_closed(&self) -> CloseReason {
        match self.hold {
            Hold::Ended(reason) => reason,
            Hold::Held { .. } | Hold::Detached { .. } => CloseReason::TakenOver,
        }
    }
}

/// What is to be ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Close {
    /// The stream, whoever holds it.
    Any,
    /// The stream, if the publish of this epoch holds it.
    Publish(u64),
    /// The same, if it has been silent for so long.
    Silent(u64, Duration),
    /// The stream, if nobody has held it since the publish of this epoch.
    Detached(u64),
}

/// A publish that has begun, and what is to be told of it once no lock is held.
pub(crate) struct Attached {
    pub(crate) publisher: Publisher,
    after: After,
}

struct After {
    stream: Arc<Stream>,
    epoch: u64,
    event: StreamEvent,
    /// Of the publish that was ended for this one.
    replaced: Option<Arc<Watched<Control>>>,
}

impl Attached {
    pub(crate) const fn event(&self) -> &StreamEvent {
        &self.after.event
    }

    /// Tells everyone who wants to know. No lock may be held.
    pub(crate) fn tell(self) -> Publisher {
        let After {
            stream,
            epoch,
            event,
            replaced,
        } = self.after;
        if let Some(control) = replaced {
            close(&control, CloseReason::TakenOver);
            stream.observer.tell(|observer| {
                observer.on_publish_ended(&stream.key, epoch - 1, Some(CloseReason::TakenOver));
            });
        }
        stream
            .observer
            .tell(|observer| observer.on_publish_started(&stream.key, epoch));
        stream.observer.tell(|observer| observer.on_event(&event));
        stream.keeper.ring();
        self.publisher
    }
}

impl Stream {
    /// Gives the stream to a publisher, or says that another one holds it
    /// (`None`). The caller holds the home's table, if there is one.
    pub(crate) fn attach(
        self: &Arc<Self>,
        config: &BusConfig,
        idle: Option<Duration>,
    ) -> Option<Attached> {
        let now = now();
        let mut life = self.life.lock();
        let (cause, held) = match life.hold {
            Hold::Ended(_) => return None,
            Hold::Detached { .. } => (DiscontinuityCause::Reconnect, false),
            Hold::Held { since, .. } => {
                let silence = now.saturating_duration_since(since.max(self.last_frame()));
                if silence >= config.stale_after.0 {
                    (DiscontinuityCause::Reconnect, true)
                } else if config.takeover == Takeover::Replace {
                    (DiscontinuityCause::Takeover, true)
                } else {
                    return None;
                }
            }
        };
        life.epoch += 1;
        life.hold = Hold::Held { since: now, idle };
        let epoch = life.epoch;
        let resume = self.writer.wait().attach(config, epoch, cause);
        let control = Arc::new(Watched::new(Control::default()));
        let before = self.control.swap(Arc::clone(&control));
        self.set_lifecycle(Lifecycle::Publishing, epoch);
        drop(life);
        let event = if epoch == 1 {
            StreamEvent::published(self)
        } else {
            StreamEvent::resumed(self)
        };
        let publisher = Publisher::new(
            Arc::clone(self),
            epoch,
            config.reconnect_grace.0,
            resume,
            control,
        );
        let after = After {
            stream: Arc::clone(self),
            epoch,
            event,
            replaced: held.then_some(before),
        };
        Some(Attached { publisher, after })
    }

    /// Takes the stream from the publish of `epoch`, which may be continued
    /// within `grace`.
    pub(crate) fn detach(self: &Arc<Self>, epoch: u64, grace: Duration) {
        let runtime = Handle::try_current().ok().or_else(|| self.runtime.clone());
        let Some(runtime) = runtime.filter(|_| !grace.is_zero()) else {
            // Without a grace time, or without a clock to measure it.
            self.end(Close::Publish(epoch), CloseReason::GraceExpired);
            return;
        };
        let home = self.home();
        let mut table = home.as_ref().map(|home| home.table());
        let mut life = self.life.lock();
        if !matches!(life.hold, Hold::Held { .. }) || life.epoch != epoch {
            return;
        }
        life.hold = Hold::Detached {
            until: now() + grace,
        };
        self.writer.wait().release();
        self.set_lifecycle(Lifecycle::Idle, epoch);
        drop(life);
        let event = StreamEvent::detached(self);
        if let Some(table) = &mut table {
            table.send(&event);
        }
        drop(table);
        // Workers read what they let lie, before it may have to go.
        self.wake.pass_gate();
        self.doors.open();
        self.keep(&runtime);
        self.observer
            .tell(|observer| observer.on_publish_ended(&self.key, epoch, None));
        self.observer.tell(|observer| observer.on_event(&event));
        if let Some(home) = home {
            home.bound_waiting();
        }
    }

    /// Lets go of what there is no room for, if the stream waits still.
    fn shrink_while_waiting(&self) {
        let life = self.life.lock();
        if matches!(life.hold, Hold::Detached { .. }) {
            let age = nanos(self.age(now()));
            self.writer.wait().shrink(self, age);
        }
    }

    /// Whether the stream waits for its publisher to come back.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state().lifecycle == Lifecycle::Idle && self.epoch() > 0
    }

    /// Ends the stream before its grace time is over, if it waits still.
    pub(crate) fn stop_waiting(self: &Arc<Self>) {
        let epoch = self.epoch();
        if self.is_waiting() && self.end(Close::Detached(epoch), CloseReason::GraceExpired) {
            tracing::debug!(stream = %self.key, "no longer waited for: there are too many streams");
        }
    }

    /// Ends what `which` says; false if that is not there (any more).
    pub(crate) fn end(self: &Arc<Self>, which: Close, reason: CloseReason) -> bool {
        let home = self.home();
        let mut table = home.as_ref().map(|home| home.table());
        let mut life = self.life.lock();
        let epoch = life.epoch;
        let applies = match (which, life.hold) {
            (_, Hold::Ended(_)) => false,
            (Close::Any, _) => true,
            (Close::Publish(of), Hold::Held { .. })
            | (Close::Detached(of), Hold::Detached { .. }) => of == epoch,
            (Close::Silent(of, idle), Hold::Held { since, .. }) => {
                of == epoch && now().saturating_duration_since(since.max(self.last_frame())) >= idle
            }
            _ => false,
        };
        if !applies {
            return false;
        }
        let held = matches!(life.hold, Hold::Held { .. });
        life.hold = Hold::Ended(reason);
        self.writer.wait().end(self);
        self.set_lifecycle(Lifecycle::Ended, epoch);
        drop(life);
        let event = StreamEvent::ended(self, reason);
        let removed = table.as_mut().and_then(|table| table.remove(self, &event));
        drop(table);
        drop(removed);

        // First the end, then the wake-up: whoever wakes finds it.
        self.wake.wake();
        self.doors.open();
        close(&self.control.load(), reason);
        self.ended.store(Arc::new(Some(reason)));
        if let Some(runtime) = Handle::try_current().ok().or_else(|| self.runtime.clone()) {
            self.keep(&runtime);
        }
        if held {
            self.observer
                .tell(|observer| observer.on_publish_ended(&self.key, epoch, Some(reason)));
        }
        if matches!(which, Close::Silent(..)) {
            self.observer
                .tell(|observer| observer.on_stream_reaped(&self.key));
        }
        self.observer.tell(|observer| observer.on_event(&event));
        true
    }

    /// Sees to it that the stream has a keeper, and that it looks at the
    /// stream anew.
    pub(crate) fn keep(self: &Arc<Self>, runtime: &Handle) {
        if self.kept.swap(true, AcqRel) {
            self.keeper.ring();
        } else {
            runtime.spawn(keeper(Arc::clone(self)));
        }
    }

    pub(crate) fn home(&self) -> Option<Arc<Home>> {
        self.home.as_ref().and_then(Weak::upgrade)
    }
}

/// Ends a stream when its time has come: after the grace time, or when its
/// publisher is silent. One task per stream; it sleeps.
async fn keeper(stream: Arc<Stream>) {
    let stream = &Kept(stream).0;
    loop {
        let Life { hold, epoch } = *stream.life.lock();
        let (at, which, reason) = match hold {
            Hold::Ended(_) => break,
            Hold::Detached { until } => (until, Close::Detached(epoch), CloseReason::GraceExpired),
            Hold::Held {
                since,
                idle: Some(idle),
            } => {
                let at = since.max(stream.last_frame()) + idle;
                (at, Close::Silent(epoch, idle), CloseReason::Idle)
            }
            Hold::Held { idle: None, .. } => {
                stream.keeper.rung().await;
                continue;
            }
        };
        if now() >= at {
            stream.end(which, reason);
            continue;
        }
        let waits = matches!(hold, Hold::Detached { .. });
        let next = if waits {
            at.min(now() + SHRINK_EVERY)
        } else {
            at
        };
        tokio::select! {
            () = sleep_until(TokioInstant::from_std(next)) => {}
            _ = stream.keeper.rung() => continue,
        }
        if waits && stream.gauge.must_shrink(stream.gauge.bytes()) {
            stream.shrink_while_waiting();
        }
    }
    drained(stream).await;
    stream.writer.wait().clear(stream);
    stream.cleared.store(true, Release);
}

/// Waits for the readers of a stream that has ended, workers among them, but
/// not for ever. None can join any more: where there are none, nobody will miss
/// what the stream keeps, and streams that come and go by the thousand leave
/// nothing behind.
async fn drained(stream: &Stream) {
    let over = TokioInstant::now() + DRAIN;
    let mut pause = DRAINED_AFTER;
    while stream.readers.len() > 0 && TokioInstant::now() < over {
        sleep_until(over.min(TokioInstant::now() + pause)).await;
        pause *= 2;
    }
}

/// A stream while it has a keeper. A runtime that shuts down takes the keeper
/// with it; the stream may find another one.
struct Kept(Arc<Stream>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.kept.store(false, Release);
    }
}

/// A stream that belongs to no registry, with its first publisher.
pub(crate) fn attach_alone(
    key: StreamKey,
    config: BusConfig,
    observer: Watcher,
) -> (Publisher, StreamHandle) {
    let stream = Stream::new(Origin {
        key,
        session: session(),
        config,
        observer,
        budget: Arc::new(Budget::new(u64::MAX)),
        home: None,
        tasks: TaskTracker::new(),
    });
    let publisher = first_publisher(&stream, None).tell();
    (publisher, StreamHandle::of(stream))
}

/// The first publish of a stream that nobody else knows yet.
pub(crate) fn first_publisher(stream: &Arc<Stream>, idle: Option<Duration>) -> Attached {
    let config = stream.config.clone();
    match stream.attach(&config, idle) {
        Some(attached) => attached,
        #[expect(clippy::unreachable, reason = "a new stream is neither held nor ended")]
        None => unreachable!("a new stream cannot be attached to"),
    }
}

fn close(control: &Watched<Control>, reason: CloseReason) {
    control.update(|control| Control {
        closed: control.closed.or(Some(reason)),
        ..control.clone()
    });
}
