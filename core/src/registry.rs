//! The registry: which streams live, and who publishes them.
//!
//! Streams are made and continued here ([`Registry::publish`]); what they do
//! is the bus's (`bus.rs`). Its neighbours below are the events that tell of
//! streams (`registry/events.rs`) and what a publisher asks with
//! (`registry/request.rs`).

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio_util::task::TaskTracker;

use crate::admission::network;
use crate::bus::life::first_publisher;
use crate::bus::memory::Budget;
use crate::bus::stream::{Origin, Stream, session};
use crate::bus::{Observer, Publisher, Slots, StreamHandle, Watcher};
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Relaxed};
use crate::{ByteSize, CloseReason, StreamKey};

mod events;
mod request;
#[cfg(test)]
mod tests;

pub use events::{Events, StreamEvent};
pub use request::{PublishError, PublishRequest};

/// Events that a follower may be behind before it gets a new snapshot instead.
const EVENTS: usize = 1_024;

/// All streams of one server. Clones are cheap and share them; two registries
/// in one process share nothing.
#[derive(Clone)]
pub struct Registry {
    home: Arc<Home>,
}

/// What a registry may use.
#[derive(Clone)]
#[non_exhaustive]
pub struct RegistryConfig {
    /// How much all streams together keep in memory. Above it, streams that
    /// keep more than their share shrink.
    pub memory: ByteSize,
    /// The most streams at one time.
    pub max_streams: usize,
    /// The most among them that wait for their publisher to come back.
    pub max_waiting: usize,
    /// Is told what happens on every stream.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(2_048),
            max_streams: 10_000,
            max_waiting: usize::MAX,
            observer: None,
        }
    }
}

impl RegistryConfig {
    /// Sets how much all streams together keep in memory.
    #[must_use]
    pub const fn with_memory(mut self, memory: ByteSize) -> Self {
        self.memory = memory;
        self
    }

    /// Sets the most streams at one time.
    #[must_use]
    pub const fn with_max_streams(mut self, max_streams: usize) -> Self {
        self.max_streams = max_streams;
        self
    }

    /// Sets the most streams that wait for their publisher to come back.
    #[must_use]
    pub const fn with_max_waiting(mut self, max_waiting: usize) -> Self {
        self.max_waiting = max_waiting;
        self
    }

    /// Sets who is told what happens on every stream.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }
}

impl fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryConfig")
            .field("memory", &self.memory)
            .field("max_streams", &self.max_streams)
            .field("max_waiting", &self.max_waiting)
            .field("observed", &self.observer.is_some())
            .finish()
    }
}

/// Memory that the streams of a registry hold, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUse {
    /// Held now, by streams and by readers that fell behind. Each stream's
    /// share is right to 64 KiB.
    pub used: u64,
    /// The budget.
    pub limit: u64,
}

impl Registry {
    /// A registry without streams.
    #[must_use]
    pub fn new(config: RegistryConfig) -> Self {
        Self {
            home: Arc::new(Home {
                budget: Arc::new(Budget::new(config.memory.0)),
                config,
                table: Mutex::new(Table {
                    streams: HashMap::new(),
                    events: Some(broadcast::Sender::new(EVENTS)),
                }),
                slots: Slots::default(),
                cuts: AtomicU64::new(0),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// Makes a stream and its publisher, or continues the stream that has the key.
    ///
    /// A stream whose publisher left within the grace time is continued. One
    /// that is published is continued if `bus.takeover` says so, or if its
    /// publisher has been silent for `bus.stale_after`; that publisher is told
    /// ([`CloseReason::TakenOver`]) and cannot write or end anything any more.
    ///
    /// Where there are as many streams as there may be, in all or of the key's
    /// app, one that waits for its publisher gives way: first one that never
    /// carried a frame, then one of the network with the most waiting streams,
    /// then the youngest. Who comes and goes with ever new names so takes the
    /// places of nobody but himself.
    ///
    /// Grace times and idle time-outs are measured by a task of the tokio
    /// runtime that this is called in.
    ///
    /// # Errors
    /// [`PublishError`] if another publisher holds the stream, there are too
    /// many streams, or the registry has shut down.
    pub fn publish(&self, request: PublishRequest) -> Result<Publisher, PublishError> {
        let home = &self.home;
        let mut table = self.with_room(&request)?;
        let (stream, attached) = match table.streams.get(&request.key) {
            Some(stream) => {
                let stream = Arc::clone(stream);
                let attached = stream.attach(&request.bus, request.idle_timeout);
                (
                    stream,
                    attached.ok_or(PublishError::Busy(request.key.clone()))?,
                )
            }
            None => {
                let stream = Stream::new(Origin {
                    key: request.key.clone(),
                    session: session(),
                    config: request.bus.clone(),
                    observer: Watcher(home.config.observer.clone()),
                    budget: Arc::clone(&home.budget),
                    home: Some(Arc::downgrade(home)),
                    tasks: home.tasks.clone(),
                });
                table
                    .streams
                    .insert(request.key.clone(), Arc::clone(&stream));
                let attached = first_publisher(&stream, request.idle_timeout);
                (stream, attached)
            }
        };
        StreamHandle::of(Arc::clone(&stream)).update_metadata(|metadata| {
            metadata.publisher_addr = request.peer;
            metadata.ingest_protocol = request.protocol.to_owned();
            metadata.announced.clear();
            metadata.encoder = None;
        });
        table.send(attached.event());
        drop(table);
        if let Ok(runtime) = Handle::try_current() {
            stream.keep(&runtime);
        }
        let mut publisher = attached.tell();
        publisher.limit(request.bitrates);
        Ok(publisher)
    }

    /// The table, with room for what is asked for.
    fn with_room(&self, request: &PublishRequest) -> Result<MutexGuard<'_, Table>, PublishError> {
        loop {
            let table = self.home.table();
            if table.events.is_none() {
                return Err(PublishError::ShuttingDown);
            }
            if table.streams.contains_key(&request.key) {
                return Ok(table);
            }
            let app = request.key.app();
            let (waiting, refusal) = if table.count(app) >= request.max_per_app {
                let refusal = PublishError::AppFull {
                    app: app.to_owned(),
                    most: request.max_per_app,
                };
                (table.next_to_give_way(Some(app)), refusal)
            } else if table.streams.len() >= self.home.config.max_streams {
                let refusal = PublishError::Full(self.home.config.max_streams);
                (table.next_to_give_way(None), refusal)
            } else {
                return Ok(table);
            };
            drop(table);
            // Whoever comes back just then keeps it: then there is another one,
            // or none.
            waiting.ok_or(refusal)?.stop_waiting();
        }
    }

    /// The stream of `key`, while it lives.
    #[must_use]
    pub fn get(&self, key: &StreamKey) -> Option<StreamHandle> {
        self.home
            .table()
            .streams
            .get(key)
            .cloned()
            .map(StreamHandle::of)
    }

    /// Every stream that lives, sorted by key.
    #[must_use]
    pub fn list(&self) -> Vec<StreamHandle> {
        let mut streams: Vec<_> = self
            .home
            .table()
            .streams
            .values()
            .cloned()
            .map(StreamHandle::of)
            .collect();
        streams.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        streams
    }

    /// What happens to the streams, from now on: first those that live, then
    /// every change, without gap or duplicate between the two.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.home))
    }

    /// Ends the stream of `key`; false if there is none.
    pub fn close(&self, key: &StreamKey, reason: CloseReason) -> bool {
        self.get(key).is_some_and(|stream| stream.close(reason))
    }

    /// Ends every stream and refuses new ones. Publishers are told, readers
    /// read to the end; [`drained`](Self::drained) waits for the workers.
    pub fn shutdown(&self) {
        // In one step: nobody publishes from here on, and the events tell of
        // every stream's end before they end themselves.
        let streams: Vec<_> = {
            let mut table = self.home.table();
            let streams: Vec<_> = table.streams.drain().map(|(_, stream)| stream).collect();
            for stream in &streams {
                table.send(&StreamEvent::ended(stream, CloseReason::Shutdown));
            }
            table.events = None;
            streams
        };
        for stream in streams {
            StreamHandle::of(stream).close(CloseReason::Shutdown);
        }
        self.home.tasks.close();
    }

    /// Waits until every worker has read its stream to the end, after
    /// [`shutdown`](Self::shutdown). Cancel safe.
    pub async fn drained(&self) {
        self.home.tasks.wait().await;
    }

    /// The registry's slot for a `T`, filled by `init` at the first call;
    /// callers that come meanwhile wait. `init` must not ask for the same slot.
    pub fn shared<T, F>(&self, init: F) -> Arc<T>
    where
        T: Any + Send + Sync,
        F: FnOnce() -> T,
    {
        self.home.slots.get_or_init(init)
    }

    /// Streams that ended because their publisher sent more than it may.
    #[must_use]
    pub fn bitrate_cuts(&self) -> u64 {
        self.home.cuts.load(Relaxed)
    }

    /// Memory that the streams hold, now.
    #[must_use]
    pub fn memory(&self) -> MemoryUse {
        MemoryUse {
            used: self.home.budget.used(),
            limit: self.home.budget.limit(),
        }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new(RegistryConfig::default())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("streams", &self.home.table().streams.len())
            .field("memory", &self.memory())
            .finish_non_exhaustive()
    }
}

/// What the clones of a registry share.
pub(crate) struct Home {
    config: RegistryConfig,
    budget: Arc<Budget>,
    table: Mutex<Table>,
    slots: Slots,
    cuts: AtomicU64,
    /// The workers of all streams.
    tasks: TaskTracker,
}

impl Home {
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    pub(crate) fn count_cut(&self) {
        self.cuts.fetch_add(1, Relaxed);
    }

    /// Ends streams that wait for their publisher, while there are too many.
    pub(crate) fn bound_waiting(&self) {
        loop {
            let table = self.table();
            if table.waiting().count() <= self.config.max_waiting {
                return;
            }
            let stream = table.next_to_give_way(None);
            drop(table);
            match stream {
                Some(stream) => stream.stop_waiting(),
                None => return,
            }
        }
    }
}

/// Where a stream's last publisher came from, if it was a peer.
fn network_of(stream: &Stream) -> Option<IpAddr> {
    let peer = stream.metadata.load().publisher_addr;
    peer.map(|peer| network(peer.ip()))
}

/// The streams that live, and the events that tell of them.
pub(crate) struct Table {
    streams: HashMap<StreamKey, Arc<Stream>>,
    /// `None` once the registry has shut down.
    events: Option<broadcast::Sender<StreamEvent>>,
}

impl Table {
    /// How many streams the app has.
    fn count(&self, app: &str) -> usize {
        self.streams.keys().filter(|key| key.app() == app).count()
    }

    /// The streams that wait for their publisher to come back.
    fn waiting(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.streams.values().filter(|stream| stream.is_waiting())
    }

    /// The one among them, of one app or of all, that is missed least: see
    /// [`Registry::publish`].
    fn next_to_give_way(&self, app: Option<&str>) -> Option<Arc<Stream>> {
        let mut of_network: HashMap<IpAddr, usize> = HashMap::new();
        for network in self.waiting().filter_map(|stream| network_of(stream)) {
            *of_network.entry(network).or_default() += 1;
        }
        let of_app = |stream: &&Arc<Stream>| app.is_none_or(|app| stream.key.app() == app);
        let waiting = self.waiting().filter(of_app);
        let next = waiting.max_by_key(|stream| {
            let network = network_of(stream);
            let crowd = network.and_then(|network| of_network.get(&network).copied());
            (!stream.has_carried(), crowd, stream.created)
        });
        next.cloned()
    }

    pub(crate) fn send(&self, event: &StreamEvent) {
        if let Some(events) = &self.events {
            // An error says that nobody follows.
            let _ = events.send(event.clone());
        }
    }

    /// Takes a stream that has ended out of the table, and gives it back to be
    /// dropped when no lock is held.
    pub(crate) fn remove(
        &mut self,
        stream: &Arc<Stream>,
        event: &StreamEvent,
    ) -> Option<Arc<Stream>> {
        // Its key may have a successor by now.
        if !self
            .streams
            .get(&stream.key)
            .is_some_and(|other| Arc::ptr_eq(other, stream))
        {
            return None;
        }
        self.send(event);
        self.streams.remove(&stream.key)
    }
}
