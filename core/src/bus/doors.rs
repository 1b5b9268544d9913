//! Where the stream's own workers wait: each says what it wants to be woken
//! for, and frames that are none of that let it sleep.
//!
//! A packager has something to show some ten times a second, and frames come
//! seventy times. To run it for each of them would cost as much as its work.
//!
//! No wake-up is lost, by the door's lock: the publisher puts an entry, then
//! looks at the door; the worker leaves its waker there, then looks for entries.
//! Whichever comes second sees what the other did.

use std::task::Waker;

use super::chain::{BLOCK, BLOCK_BYTES};
use crate::sync::{Arc, ArcValue, Mutex};
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
}

/// Where one worker waits.
pub(crate) struct Door {
    waiting: Mutex<Option<Waiting>>,
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
        }
    }

    pub(crate) fn add(&self) -> Arc<Door> {
        let door = Arc::new(Door {
            waiting: Mutex::new(None),
        });
        self.doors.update(|doors| {
            let mut doors = doors.clone();
            doors.push(Arc::clone(&door));
            doors
        });
        door
    }

    pub(crate) fn remove(&self, door: &Arc<Door>) {
        self.doors.update(|doors| {
            let others = doors.iter().filter(|other| !Arc::ptr_eq(other, door));
            others.cloned().collect()
        });
    }

    /// A frame was put.
    pub(super) fn frame(&self, track: TrackId, dts: i64, keyframe: bool, bytes: u64) {
        for door in self.doors.load().iter() {
            door.knock(|waiting| {
                waiting.unread += 1;
                waiting.unread_bytes = waiting.unread_bytes.saturating_add(bytes);
                waiting.unread >= MOST_UNREAD
                    || waiting.unread_bytes >= MOST_UNREAD_BYTES
                    || waiting.interest.wants(track, dts, keyframe)
            });
        }
    }

    /// Something was put that concerns everybody, or the stream has ended.
    pub(super) fn open(&self) {
        for door in self.doors.load().iter() {
            door.knock(|_| true);
        }
    }
}

impl Door {
    /// Waits for what is of `interest`. The caller must look for entries after this.
    pub(crate) fn wait(&self, waker: &Waker, interest: Interest) {
        *self.waiting.lock() = Some(Waiting {
            waker: waker.clone(),
            interest,
            unread: 0,
            unread_bytes: 0,
        });
    }

    /// Whether nobody has come yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.lock().is_some()
    }

    fn knock(&self, wakes: impl FnOnce(&mut Waiting) -> bool) {
        let mut place = self.waiting.lock();
        if place.as_mut().is_some_and(wakes) {
            let waiting = place.take();
            drop(place);
            if let Some(waiting) = waiting {
                waiting.waker.wake();
            }
        }
    }
}
