//! Where the stream's own workers wait: each says what it wants to be woken
//! for, and frames that are none of that let it sleep.
//!
//! A packager has something to show some ten times a second, and frames come
//! seventy times. To run it for each of them would cost as much as its work.
//!
//! No wake-up is lost. The publisher puts an entry, passes the gate of the
//! stream's wake set, then looks at the doors; the worker leaves its waker at the
//! door, passes the gate, then looks for entries. Both pass by a read-modify-write
//! of one location, and whoever passes second sees what the other did. A door is
//! a lease: a publisher that finds it held by its worker passes on, since the
//! worker will look for entries after. The worker takes it for nothing else: that
//! somebody has come it reads beside the lease.

use std::task::Waker;

use super::chain::{BLOCK, BLOCK_BYTES};
use super::wake::WakeSet;
use crate::sync::{AcqRel, Acquire, Arc, ArcValue, AtomicBool, AtomicU64, Held, Lease, Release};
use crate::{Interest, TrackId};

/// As many frames may lie there before a worker is woken for all of them, and as
/// many bytes: half of what a block takes ([`BLOCK`], [`BLOCK_BYTES`]). Where
/// memory is short the stream keeps one block, and a worker that slept while two
/// came would find the link from its own to them cut. The other half is for the
/// time that it takes to wake.
const MOST_UNREAD: usize = BLOCK / 2;
const MOST_UNREAD_BYTES: u64 = BLOCK_BYTES / 2;

/// The doors of a stream's workers.
pub(crate) struct Doors {
    doors: ArcValue<Vec<Arc<Door>>>,
    /// Counts the changes of the list.
    version: AtomicU64,
}

/// The doors as a publisher knows them, so that it need not load the list for
/// each frame.
#[derive(Default)]
pub(super) struct KnownDoors {
    doors: Arc<Vec<Arc<Door>>>,
    version: u64,
}

/// Where one worker waits.
pub(crate) struct Door {
    waiting: Lease<Option<Waiting>>,
    /// Nobody has come since the worker went to wait. Set with the lease held,
    /// and read without: a worker that held it to look would turn away a knock.
    is_waiting: AtomicBool,
}

struct Waiting {
    waker: Waker,
    interest: Interest,
    unread: usize,
    unread_bytes: u64,
}

impl Doors {
    pub(super) fn new() -> Self {
        Self {
            doors: ArcValue::of(Vec::new()),
            version: AtomicU64::new(0),
        }
    }

    pub(crate) fn add(&self) -> Arc<Door> {
        let door = Arc::new(Door {
            waiting: Lease::new(None),
            is_waiting: AtomicBool::new(false),
        });
        self.doors.update(|doors| {
            let mut doors = doors.clone();
            doors.push(Arc::clone(&door));
            doors
        });
        self.version.fetch_add(1, AcqRel);
        door
    }

    pub(crate) fn remove(&self, door: &Arc<Door>) {
        self.doors.update(|doors| {
            let others = doors.iter().filter(|other| !Arc::ptr_eq(other, door));
            others.cloned().collect()
        });
        self.version.fetch_add(1, AcqRel);
    }

    /// A frame was put, and the gate passed.
    #[inline]
    pub(super) fn frame(
        &self,
        known: &mut KnownDoors,
        track: TrackId,
        dts: i64,
        keyframe: bool,
        bytes: u64,
    ) {
        let version = self.version.load(Acquire);
        if known.version != version {
            known.version = version;
            known.doors = self.doors.load_full();
        }
        for door in known.doors.iter() {
            door.knock(|waiting| {
                waiting.unread += 1;
                waiting.unread_bytes = waiting.unread_bytes.saturating_add(bytes);
                waiting.unread >= MOST_UNREAD
                    || waiting.unread_bytes >= MOST_UNREAD_BYTES
                    || waiting.interest.wants(track, dts, keyframe)
            });
        }
    }

    /// Something was put that concerns everybody, or the stream has ended, and
    /// the gate was passed.
    pub(super) fn open(&self) {
        for door in self.doors.load().iter() {
            door.open();
        }
    }
}

impl Door {
    /// Waits for what is of `interest`. The caller must look for entries after this.
    pub(crate) fn wait(&self, wake: &WakeSet, waker: &Waker, interest: Interest) {
        let mut place = self.waiting.wait();
        *place = Some(Waiting {
            waker: waker.clone(),
            interest,
            unread: 0,
            unread_bytes: 0,
        });
        self.is_waiting.store(true, Release);
        drop(place);
        wake.pass_gate();
    }

    /// Whether nobody has come yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_waiting.load(Acquire)
    }

    fn knock(&self, wakes: impl FnOnce(&mut Waiting) -> bool) {
        let Some(mut place) = self.waiting.take() else {
            return;
        };
        if place.as_mut().is_some_and(wakes) {
            self.wake(place);
        }
    }

    /// As a knock that wakes in any case, even behind another one.
    fn open(&self) {
        self.wake(self.waiting.wait());
    }

    /// Wakes who waits, if anybody does.
    fn wake(&self, mut place: Held<'_, Option<Waiting>>) {
        let waiting = place.take();
        self.is_waiting.store(false, Release);
        drop(place);
        if let Some(waiting) = waiting {
            waiting.waker.wake();
        }
    }
}
