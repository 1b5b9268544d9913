//! Where workers wait for the frames that make a difference to them.

use std::future::poll_fn;
use std::task::Poll;

use crate::sync::block_on;

use super::{check, spawn};
use crate::bus::doors::{Doors, KnownDoors};
use crate::bus::wake::WakeSet;
use crate::sync::{Arc, AtomicU64, Relaxed};
use crate::{Interest, TrackId};

struct Stream {
    number: AtomicU64,
    wake: WakeSet,
    doors: Doors,
}

impl Stream {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            number: AtomicU64::new(0),
            wake: WakeSet::new(),
            doors: Doors::new(),
        })
    }

    /// As a publisher does it.
    fn publish(&self, known: &mut KnownDoors, number: u64) {
        self.number.store(number, Relaxed);
        self.wake.wake();
        self.doors.frame(known, TrackId(0), 0, true, 1);
    }

    /// As a worker does it: goes to its door, looks once more, and sleeps as long
    /// as nobody has come.
    fn wait(&self, number: u64) {
        let door = self.doors.add();
        let is_there = || self.number.load(Relaxed) >= number;
        block_on(async {
            while !is_there() {
                poll_fn(|cx| {
                    door.wait(&self.wake, cx.waker(), Interest::everything());
                    Poll::Ready(())
                })
                .await;
                if is_there() {
                    break;
                }
                poll_fn(|_| match door.is_waiting() {
                    true => Poll::Pending,
                    false => Poll::Ready(()),
                })
                .await;
            }
        });
        self.doors.remove(&door);
    }
}

#[test]
fn a_frame_that_is_published_while_a_worker_goes_to_its_door_wakes_it() {
    check(|| {
        let stream = Stream::new();
        let waiting = Arc::clone(&stream);
        let worker = spawn(move || waiting.wait(1));
        stream.publish(&mut KnownDoors::default(), 1);
        worker.join().unwrap();
    });
}

#[test]
fn a_worker_that_waits_again_is_woken_again() {
    check(|| {
        let stream = Stream::new();
        let waiting = Arc::clone(&stream);
        let worker = spawn(move || {
            waiting.wait(1);
            waiting.wait(2);
        });
        let mut known = KnownDoors::default();
        stream.publish(&mut known, 1);
        stream.publish(&mut known, 2);
        worker.join().unwrap();
    });
}

#[test]
fn an_end_wakes_a_worker_behind_a_frame() {
    check(|| {
        let stream = Stream::new();
        let waiting = Arc::clone(&stream);
        let worker = spawn(move || waiting.wait(2));
        let ending = Arc::clone(&stream);
        let publisher = spawn(move || ending.publish(&mut KnownDoors::default(), 1));
        publisher.join().unwrap();
        stream.number.store(2, Relaxed);
        stream.wake.pass_gate();
        stream.doors.open();
        worker.join().unwrap();
    });
}
