//! The handle of a stream.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use super::config::BusConfig;
use super::life::{Close, attach_alone};
use super::metadata::StreamMetadata;
use super::observer::{Observer, Watcher};
use super::publisher::Publisher;
use super::qos::Qos;
use super::state::{CloseReason, JoinAt, StreamFlag, StreamState};
use super::stream::Stream;
use super::subscription::{BusEntry, Reader, ResilientSubscription, Subscription};
use crate::sync::{Arc, Weak, now};
use crate::{StreamKey, Track};

/// A stream, as everyone but its publisher sees it. Clones are cheap and any
/// number of them may be alive: they keep its memory, but not the stream.
#[derive(Clone)]
pub struct StreamHandle {
    pub(crate) stream: Arc<Stream>,
}

/// Memory that a stream holds, in bytes. Payloads are counted by their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamMemory {
    /// Kept by the stream for its readers: the GOP cache and what slow
    /// readers have not read yet.
    pub kept: u64,
    /// Kept alive beyond that, by readers that fell out of it.
    pub pinned: u64,
}

impl StreamHandle {
    /// A stream of its own, which belongs to no registry, with its publisher.
    ///
    /// Inside a tokio runtime it ends when the grace time has passed after its
    /// publisher was dropped; outside of one, at once.
    #[must_use]
    pub fn new(key: StreamKey, config: BusConfig) -> (Publisher, Self) {
        attach_alone(key, config, Watcher::default())
    }

    /// As [`new`](Self::new), with an observer.
    #[must_use]
    pub fn with_observer(
        key: StreamKey,
        config: BusConfig,
        observer: Arc<dyn Observer>,
    ) -> (Publisher, Self) {
        attach_alone(key, config, Watcher(Some(observer)))
    }

    pub(crate) const fn of(stream: Arc<Stream>) -> Self {
        Self { stream }
    }

    /// The stream's key.
    #[must_use]
    pub fn key(&self) -> &StreamKey {
        &self.stream.key
    }

    /// A name for this life of the stream: short, fit for URLs, and never used
    /// for another life, of this key or any, on this server or after a restart.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.stream.session
    }

    /// The number of the publish in force, or of the last one, from 1.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.stream.epoch()
    }

    /// Whether both are handles of one life of one stream.
    #[must_use]
    pub fn same_stream(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stream, &other.stream)
    }

    /// Every track with its latest configuration, in the order of their
    /// announcement; the first video track is the primary one.
    #[must_use]
    pub fn tracks(&self) -> Arc<[Arc<Track>]> {
        Arc::clone(&self.stream.configs().tracks)
    }

    /// The latest configuration of every track: another name for [`tracks`](Self::tracks).
    #[must_use]
    pub fn cached_configs(&self) -> Arc<[Arc<Track>]> {
        self.tracks()
    }

    /// The raw view from the current GOP on: everything that is published
    /// behind the join point, in one sequence. See [`Subscription`].
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.subscribe_at(JoinAt::Keyframe)
    }

    /// The raw view from a place of choice on.
    #[must_use]
    pub fn subscribe_at(&self, at: JoinAt) -> Subscription {
        Subscription::new(Arc::clone(&self.stream), at)
    }

    /// The view for consumers that decode: from the current GOP on, and after
    /// a lag again from a keyframe. See [`ResilientSubscription`].
    #[must_use]
    pub fn subscribe_resilient(&self) -> ResilientSubscription {
        self.subscribe_at(JoinAt::Keyframe).resilient()
    }

    /// A copy of what a subscriber that joins now would read at once:
    /// configurations first, then the current GOP.
    #[must_use]
    pub fn replay_buffer(&self) -> Vec<BusEntry> {
        Reader::replay(&self.stream)
    }

    /// What the bus measures of the stream, now.
    #[must_use]
    pub fn qos(&self) -> Qos {
        self.stream.qos()
    }

    /// Memory that the stream holds, now.
    #[must_use]
    pub fn memory(&self) -> StreamMemory {
        let kept = self.stream.gauge.kept();
        StreamMemory {
            kept,
            pinned: self.stream.gauge.bytes().saturating_sub(kept),
        }
    }

    /// What the stream says of itself, now.
    #[must_use]
    pub fn metadata_snapshot(&self) -> Arc<StreamMetadata> {
        self.stream.metadata.load_full()
    }

    /// Changes what the stream says of itself. `change` may run more than once.
    pub fn update_metadata(&self, change: impl Fn(&mut StreamMetadata)) {
        self.stream.metadata.update(|metadata| {
            let mut metadata = metadata.clone();
            change(&mut metadata);
            metadata
        });
    }

    /// The state of now.
    #[must_use]
    pub fn current_state(&self) -> StreamState {
        self.stream.state()
    }

    /// Sets or clears one of the flags that are shown beside the lifecycle.
    pub fn set_state(&self, flag: StreamFlag, on: bool) {
        self.stream.set_flag(flag, on);
    }

    /// Milliseconds since the last frame; since the stream's creation while
    /// there was none.
    #[must_use]
    pub fn last_frame_ms(&self) -> u64 {
        let silence = now().saturating_duration_since(self.stream.last_frame());
        u64::try_from(silence.as_millis()).unwrap_or(u64::MAX)
    }

    /// Time since the stream's creation.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.stream.age(now())
    }

    /// The wall clock and the monotonic clock at this moment, for whoever turns
    /// arrival times into dates and reads no clock itself.
    #[must_use]
    pub fn clocks(&self) -> (SystemTime, Instant) {
        (SystemTime::now(), now())
    }

    /// How many subscriptions read the stream, workers included; 0 once it is closed.
    #[must_use]
    pub fn subscriber_count(&self) -> usize {
        self.stream.subscriber_count()
    }

    /// Asks the publisher for a keyframe; false if one is awaited already.
    /// Whether it can do so depends on its protocol.
    pub fn request_keyframe(&self) -> bool {
        self.stream.request_keyframe()
    }

    /// Ends the stream, whoever publishes it: subscribers read what was
    /// published before, then the end. False if it had ended already.
    pub fn close(&self, reason: CloseReason) -> bool {
        self.stream.end(Close::Any, reason)
    }

    /// Why the stream has ended, once it has.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.stream.close_reason()
    }

    /// Waits for the stream's end (after the grace time, not merely a publisher's
    /// end). The future owns what it needs, and may be dropped at any time.
    pub fn ended(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        let stream = Arc::clone(&self.stream);
        async move {
            let reason = stream.ended.wait_for(Option::is_some).await;
            reason.unwrap_or(CloseReason::Finished)
        }
    }

    /// The stream's slot for a `T`, filled by `init` at the first call; callers
    /// that come meanwhile wait. `init` must not ask for the same slot.
    ///
    /// The slot lives as long as the stream's memory: a value that keeps a
    /// handle of the same stream must keep a [`WeakStreamHandle`].
    pub fn slot<T, F>(&self, init: F) -> Arc<T>
    where
        T: Any + Send + Sync,
        F: FnOnce() -> T,
    {
        self.stream.slots.get_or_init(init)
    }

    /// The stream's slot for a `T`, if it has been filled.
    #[must_use]
    pub fn existing_slot<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.stream.slots.get()
    }

    /// A handle that does not keep the stream's memory.
    #[must_use]
    pub fn downgrade(&self) -> WeakStreamHandle {
        WeakStreamHandle(Arc::downgrade(&self.stream))
    }
}

/// Prints names and numbers, never the payload.
impl fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHandle")
            .field("key", &self.stream.key)
            .field("session", &self.session())
            .field("epoch", &self.epoch())
            .field("state", &format_args!("{}", self.current_state()))
            .field("subscribers", &self.subscriber_count())
            .finish_non_exhaustive()
    }
}

/// A [`StreamHandle`] that does not keep the stream's memory.
#[derive(Clone)]
pub struct WeakStreamHandle(Weak<Stream>);

impl WeakStreamHandle {
    /// The handle, while anyone else keeps the stream.
    #[must_use]
    pub fn upgrade(&self) -> Option<StreamHandle> {
        self.0.upgrade().map(StreamHandle::of)
    }
}

impl fmt::Debug for WeakStreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakStreamHandle")
    }
}
