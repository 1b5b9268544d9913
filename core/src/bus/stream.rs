//! A stream: what its publisher, its handles and its subscriptions share.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::chain::{Block, Join, Spot};
use super::config::BusConfig;
use super::configs::Configs;
use super::doors::Doors;
use super::life::Life;
use super::memory::{Budget, Gauge};
use super::metadata::StreamMetadata;
use super::observer::Watcher;
use super::pump::Bell;
use super::qos::{Counters, Qos, TrackMeter, nanos, read};
use super::readers::Readers;
use super::slots::Slots;
use super::state::{Lifecycle, StreamFlag, StreamState};
use super::wake::WakeSet;
use super::writer::Writer;
use crate::registry::Home;
use crate::sync::{
    AcqRel, Acquire, Arc, ArcValue, AtomicBool, AtomicU8, AtomicU64, Lease, Mutex, Relaxed,
    Release, Weak, now,
};
use crate::{CloseReason, StreamKey, Watched};

/// A keyframe that was asked for and did not come is asked for again after this.
const KEYFRAME_PATIENCE: Duration = Duration::from_secs(1);

/// Of a stream whose first frame is still to come.
const NEVER: u64 = u64::MAX;

/// The fields stand in this order in memory: what is touched for every frame
/// fills a few lines of the cache, which the subscribers' work pushes out of it
/// between two frames.
#[repr(C)]
pub(crate) struct Stream {
    // For every frame.
    pub(crate) wake: WakeSet,
    /// The sequence number behind the last entry that was published.
    published: AtomicU64,
    /// Nanoseconds from the creation to the last frame; [`NEVER`] before the first.
    last_frame: AtomicU64,
    pub(crate) created: Instant,
    pub(crate) observer: Watcher,
    pub(crate) closed: AtomicBool,
    pub(crate) readers: Readers,
    pub(crate) doors: Doors,
    pub(crate) writer: Lease<Writer>,

    // For blocks, joins and changes.
    pub(crate) head: ArcValue<Block>,
    pub(crate) join: ArcValue<Join>,
    /// The stream has ended, and keeps nothing for its readers any more.
    pub(crate) cleared: AtomicBool,
    configs: ArcValue<Configs>,
    pub(crate) counters: Counters,
    pub(crate) gauge: Arc<Gauge>,
    meters: ArcValue<Vec<Arc<TrackMeter>>>,
    pub(crate) key: StreamKey,
    /// New for every life of a stream, and never used again.
    pub(crate) session: Arc<str>,
    pub(crate) config: BusConfig,

    // The life of the stream.
    pub(crate) life: Mutex<Life>,
    lifecycle: AtomicU8,
    flags: AtomicU8,
    epoch: AtomicU64,
    /// Of the publish in force.
    pub(crate) control: ArcValue<Watched<Control>>,
    pub(crate) ended: Watched<Option<CloseReason>>,
    pub(crate) metadata: ArcValue<StreamMetadata>,
    pub(crate) slots: Slots,
    /// When a keyframe was last asked for, as `last_frame`; 0 if one has come since.
    keyframe_asked: AtomicU64,

    // What runs it.
    pub(crate) home: Option<Weak<Home>>,
    pub(crate) runtime: Option<Handle>,
    pub(crate) tasks: TaskTracker,
    /// Wakes the keeper when what it waits for has changed.
    pub(crate) keeper: Bell,
    pub(crate) kept: AtomicBool,
}

/// What is said to a publisher.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control {
    pub(crate) closed: Option<CloseReason>,
    /// How many keyframes were asked for.
    pub(crate) keyframes: u64,
}

/// What a stream is made from.
pub(crate) struct Origin {
    pub(crate) key: StreamKey,
    pub(crate) session: Arc<str>,
    pub(crate) config: BusConfig,
    pub(crate) observer: Watcher,
    pub(crate) budget: Arc<Budget>,
    pub(crate) home: Option<Weak<Home>>,
    pub(crate) tasks: TaskTracker,
}

impl Stream {
    pub(crate) fn new(origin: Origin) -> Arc<Self> {
        let now = now();
        let gauge = Arc::new(Gauge::new(origin.budget));
        let writer = Writer::new(&origin.config, Arc::clone(&gauge), 0);
        let configs = writer.configs();
        Arc::new(Self {
            key: origin.key,
            session: origin.session,
            config: origin.config,
            created: now,
            join: ArcValue::of(Join {
                point: None,
                configs: Arc::clone(&configs),
            }),
            head: ArcValue::new(writer.block()),
            configs: ArcValue::new(configs),
            closed: AtomicBool::new(false),
            cleared: AtomicBool::new(false),
            published: AtomicU64::new(0),
            wake: WakeSet::new(),
            doors: Doors::new(),
            readers: Readers::default(),
            writer: Lease::new(writer),
            last_frame: AtomicU64::new(NEVER),
            meters: ArcValue::of(Vec::new()),
            counters: Counters::default(),
            gauge,
            life: Mutex::new(Life::new(now)),
            lifecycle: AtomicU8::new(0),
            flags: AtomicU8::new(0),
            epoch: AtomicU64::new(0),
            control: ArcValue::of(Watched::new(Control::default())),
            ended: Watched::new(None),
            metadata: ArcValue::of(StreamMetadata::new("")),
            slots: Slots::default(),
            observer: origin.observer,
            keyframe_asked: AtomicU64::new(0),
            home: origin.home,
            runtime: Handle::try_current().ok(),
            tasks: origin.tasks,
            keeper: Bell::new(),
            kept: AtomicBool::new(false),
        })
    }

    /// Tells readers that all entries before `seq` stand in the chain.
    pub(crate) fn set_published(&self, seq: u64) {
        self.published.store(seq, Release);
    }

    /// Whether a reader at `seq` has nothing to read.
    #[inline]
    pub(crate) fn is_read(&self, seq: u64) -> bool {
        seq >= self.published.load(Acquire)
    }

    /// How many entries a reader at `seq` has to read.
    #[inline]
    pub(crate) fn unread(&self, seq: u64) -> u64 {
        self.published.load(Acquire).saturating_sub(seq)
    }

    /// Time since the stream's creation.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.created)
    }

    /// The time at which the stream was `age` nanoseconds old.
    pub(crate) fn at(&self, age: u64) -> Instant {
        self.created + Duration::from_nanos(age)
    }

    pub(crate) fn configs(&self) -> Arc<Configs> {
        self.configs.load_full()
    }

    pub(crate) fn store_configs(&self, configs: &Arc<Configs>) {
        self.configs.store(Arc::clone(configs));
        self.metadata.update(|metadata| {
            let mut metadata = metadata.clone();
            metadata.set_tracks(Arc::clone(&configs.tracks));
            metadata
        });
    }

    pub(crate) fn store_join(&self, point: Option<Spot>, configs: &Arc<Configs>) {
        self.join.store(Arc::new(Join {
            point,
            configs: Arc::clone(configs),
        }));
    }

    /// Notes that a frame came when the stream was `age` nanoseconds old.
    pub(crate) fn set_last_frame(&self, age: u64) {
        self.last_frame.store(age, Relaxed);
    }

    /// When the last frame came; at creation, if none did.
    pub(crate) fn last_frame(&self) -> Instant {
        match self.last_frame.load(Relaxed) {
            NEVER => self.created,
            age => self.at(age),
        }
    }

    /// Whether a frame came at all.
    pub(crate) fn has_carried(&self) -> bool {
        self.last_frame.load(Relaxed) != NEVER
    }

    pub(crate) fn add_meter(&self, meter: &Arc<TrackMeter>) {
        self.meters.update(|meters| {
            let mut meters = meters.clone();
            meters.push(Arc::clone(meter));
            meters
        });
    }

    pub(crate) fn qos(&self) -> Qos {
        read(
            &self.meters.load(),
            &self.counters,
            &self.configs.load(),
            nanos(self.age(now())),
        )
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    /// Why the stream ended, once it has. Whoever has read its end is told: the
    /// reason is shown to those who wait for it only after that.
    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        let shown = *self.ended.load();
        shown.or_else(|| self.is_closed().then(|| self.life.lock().why_closed()))
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Acquire)
    }

    pub(crate) fn state(&self) -> StreamState {
        let flags = self.flags.load(Relaxed);
        StreamState {
            lifecycle: match self.lifecycle.load(Acquire) {
                0 => Lifecycle::Idle,
                1 => Lifecycle::Publishing,
                _ => Lifecycle::Ended,
            },
            recording: flags & StreamFlag::Recording.bit() != 0,
            transcoding: flags & StreamFlag::Transcoding.bit() != 0,
        }
    }

    pub(crate) fn set_flag(&self, flag: StreamFlag, on: bool) {
        if on {
            self.flags.fetch_or(flag.bit(), Relaxed);
        } else {
            self.flags.fetch_and(!flag.bit(), Relaxed);
        }
    }

    pub(crate) fn set_lifecycle(&self, lifecycle: Lifecycle, epoch: u64) {
        self.epoch.store(epoch, Release);
        let code = match lifecycle {
            Lifecycle::Idle => 0,
            Lifecycle::Publishing => 1,
            Lifecycle::Ended => 2,
        };
        self.lifecycle.store(code, Release);
    }

    /// Asks the publisher for a keyframe, unless one is awaited already.
    pub(crate) fn request_keyframe(&self) -> bool {
        if self.is_closed() {
            return false;
        }
        let age = nanos(self.age(now())).max(1);
        let asked = self.keyframe_asked.load(Relaxed);
        if asked != 0 && age.saturating_sub(asked) < nanos(KEYFRAME_PATIENCE) {
            return false;
        }
        if self
            .keyframe_asked
            .compare_exchange(asked, age, AcqRel, Relaxed)
            .is_err()
        {
            // Another thread asks at the same moment.
            return false;
        }
        self.counters.keyframe_requests.fetch_add(1, Relaxed);
        self.control.load().update(|control| Control {
            keyframes: control.keyframes + 1,
            ..control.clone()
        });
        self.observer
            .tell(|observer| observer.on_keyframe_requested(&self.key));
        true
    }

    /// A join point was put: a keyframe that is asked for from now on is another one.
    pub(crate) fn keyframe_came(&self) {
        self.keyframe_asked.store(0, Relaxed);
    }

    pub(crate) fn release_laggards(&self, oldest: u64, more: impl Fn() -> bool) {
        self.readers.release_laggards(oldest, more);
    }

    pub(crate) fn subscriber_count(&self) -> usize {
        if self.is_closed() {
            0
        } else {
            self.readers.len()
        }
    }
}

/// A name for a stream's life: 60 random bits, fit for URLs and file names.
pub(crate) fn session() -> Arc<str> {
    use std::collections::hash_map::RandomState;
    use std::hash::{BuildHasher, Hasher};
    use std::time::{SystemTime, UNIX_EPOCH};

    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

    // Its keys are the operating system's randomness, and no two are equal.
    let mut hasher = RandomState::new().build_hasher();
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    hasher.write_u128(wall.as_nanos());
    let bits = hasher.finish();
    (0..12)
        .filter_map(|digit| DIGITS.get(usize::try_from(bits >> (digit * 5) & 31).ok()?))
        .map(|digit| char::from(*digit))
        .collect::<String>()
        .into()
}
