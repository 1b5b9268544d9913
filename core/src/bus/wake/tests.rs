//! What a wake set promises, one call after the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;
use crate::bus::group::Marks;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

fn waker() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (Arc::clone(&count), Waker::from(count))
}

#[test]
fn who_puts_an_arm_up_must_look_again_and_who_has_it_up_need_not() {
    let set = WakeSet::new();
    let (count, waker) = waker();
    let mut waiter = None;
    assert!(set.park(&mut waiter, &waker), "registered");
    assert!(!set.park(&mut waiter, &waker), "armed");
    // The first wake-up of all takes the arms down, and wakes.
    set.wake();
    assert_eq!(count.take(), 1);
    assert!(set.park(&mut waiter, &waker), "armed anew");
    set.wake();
    assert_eq!(count.take(), 1);
    assert!(!set.park(&mut waiter, &waker), "still armed");
    // Another waker has to be looked for anew, too.
    let (other, another) = self::waker();
    assert!(set.park(&mut waiter, &another), "another waker");
    set.wake();
    assert_eq!((count.take(), other.take()), (0, 1));
}

#[test]
fn who_does_not_come_back_is_left_in_peace() {
    let set = WakeSet::new();
    let (count, waker) = waker();
    let mut waiter = None;
    set.park(&mut waiter, &waker);
    for _ in 0..10 * DISARM {
        set.wake();
    }
    assert!(count.take() <= usize::try_from(DISARM).unwrap());
    set.park(&mut waiter, &waker);
    set.wake();
    assert_eq!(count.take(), 1);
    assert_eq!(set.len(), 1);
}

#[test]
fn places_are_used_again_and_empty_chunks_go() {
    let set = WakeSet::new();
    let (count, waker) = waker();
    for round in 0..3 {
        let mut waiters: Vec<Option<Waiter>> = (0..1_000).map(|_| None).collect();
        for waiter in &mut waiters {
            set.park(waiter, &waker);
        }
        assert_eq!(set.len(), 1_000);
        assert_eq!(set.core.chunks().len(), 1 + 996_usize.div_ceil(CHUNK));
        set.wake();
        assert_eq!(count.take(), 1_000, "{round}");
        for (place, waiter) in waiters.iter_mut().enumerate() {
            if place % 3 != round {
                *waiter = None;
            }
        }
        let left = waiters.iter().flatten().count();
        set.wake();
        assert!(count.take() <= left);
    }
    assert_eq!((set.len(), set.core.chunks().len()), (0, 1));
    // Nobody is left to hold the waker.
    drop(set);
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 1);
}

#[test]
fn members_of_a_group_are_woken_by_their_bits() {
    let set = WakeSet::new();
    let (count, task) = waker();
    let marks = Marks::new();
    marks.set_task(Some(&task));
    let member = |place: usize| {
        let (_, own) = waker();
        let bit = Bit {
            marks: Arc::clone(&marks),
            word: place / 64,
            bit: place % 64,
        };
        let mut waiter = None;
        set.settle(&mut waiter, &own, Some(bit));
        (waiter, own)
    };
    let mut members: Vec<_> = (0..200).map(member).collect();
    assert_eq!((set.len(), set.core.chunks().len()), (200, 4));
    // The first wake-up takes the arms down.
    set.wake();
    assert_eq!(count.take(), 1, "one task for all");
    assert_eq!(marks.take_summary(), 0b1111);
    assert_eq!(marks.take(0), u64::MAX);
    assert_eq!((marks.take(3), marks.take(4)), (0xff, 0));
    for (waiter, own) in &mut members {
        assert!(set.park(waiter, own), "the arm was down");
        assert!(!set.park(waiter, own), "it is up");
    }
    members.truncate(70);
    members.swap_remove(3);
    assert_eq!((set.len(), set.core.chunks().len()), (69, 2));
    marks.take(1);
    marks.take(2);
    set.wake();
    assert_eq!((count.take(), marks.take_summary()), (1, 0b11));
    assert_eq!((marks.take(0), marks.take(1)), (!(1 << 3), 0x3f));
    // A second place of one member is one for tasks.
    let (second, _own) = member(5);
    assert_eq!((set.len(), set.core.chunks().len()), (70, 3));
    drop((second, members));
    assert_eq!((set.len(), set.core.chunks().len()), (0, 1));
    assert_eq!(set.core.gate.load(crate::sync::Relaxed) & COUNT_MASK, 0);
}

#[test]
fn a_runtime_that_has_shut_down_forgets_nobody() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    // The pump is spawned there, and never polled.
    let _inside = handle.enter();
    let set = WakeSet::new();
    let (count, waker) = waker();
    let mut waiters = [const { None }; 10];
    for _ in 0..3 {
        for waiter in &mut waiters {
            set.park(waiter, &waker);
        }
        set.wake();
        assert_eq!(count.take(), waiters.len());
    }
}
