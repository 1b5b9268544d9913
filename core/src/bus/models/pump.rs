//! More waiters than the writer wakes itself: the pump does, in tasks of its own.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::sync::block_on;

use super::{Published, check, check_within, spawn};
use crate::bus::wake::Waiter;
use crate::sync::{Arc, Runtime};

/// So many that are of no interest. With four of them and one more the writer
/// rings the pump, with six the root shares the work out.
fn crowd<const N: usize>(published: &Published) -> [Option<Waiter>; N] {
    [(); N].map(|()| {
        let mut waiter = None;
        assert!(published.set.park(&mut waiter, Waker::noop()));
        waiter
    })
}

/// A pump that is not stopped with its wake set would never end, which is a
/// deadlock here.
#[test]
fn the_pump_wakes_who_waits_and_ends_with_its_wake_set() {
    check(|| {
        Runtime::enter(1);
        let published = Published::new();
        let others = crowd::<4>(&published);
        let waiting = Arc::clone(&published);
        let reader = spawn(move || block_on(waiting.reach(&mut None, 1)));
        published.publish(1);
        reader.join().unwrap();
        drop(others);
    });
}

#[test]
fn a_pump_that_runs_already_misses_no_ring() {
    check_within(2, || {
        Runtime::enter(1);
        let published = Published::new();
        let mut others = crowd::<4>(&published);
        let mut fifth = None;
        assert!(published.set.park(&mut fifth, Waker::noop()));
        published.set.wake();
        let waiting = Arc::clone(&published);
        let reader = spawn(move || {
            let mut waiter = others[0].take();
            block_on(waiting.reach(&mut waiter, 1));
        });
        published.publish(1);
        reader.join().unwrap();
    });
}

/// With two workers the root shares the chunks out.
#[test]
fn the_branches_of_the_pump_wake_who_waits_and_end() {
    check_within(1, || {
        Runtime::enter(2);
        let published = Published::new();
        let others = crowd::<6>(&published);
        let mut waiter = None;
        let mut waits = false;
        block_on(poll_fn(|cx| {
            if waits {
                return Poll::Ready(());
            }
            waits = true;
            assert!(published.set.park(&mut waiter, cx.waker()));
            published.publish(1);
            Poll::Pending
        }));
        drop(others);
    });
}

#[test]
fn nobody_is_forgotten_when_the_runtime_of_the_pump_shuts_down() {
    check_within(2, || {
        let runtime = Runtime::enter(1);
        let published = Published::new();
        let mut others = crowd::<4>(&published);
        let mut fifth = None;
        assert!(published.set.park(&mut fifth, Waker::noop()));
        let waiting = Arc::clone(&published);
        let reader = spawn(move || {
            let mut waiter = others[0].take();
            block_on(waiting.reach(&mut waiter, 1));
        });
        let stopping = spawn(move || runtime.shut_down());
        published.publish(1);
        reader.join().unwrap();
        stopping.join().unwrap();
        drop(fifth);
    });
}

#[test]
fn who_rings_while_the_pump_ends_wakes_those_who_wait_itself() {
    check_within(2, || {
        let runtime = Runtime::enter(1);
        let published = Published::new();
        let others = crowd::<4>(&published);
        let mut waiter = None;
        assert!(published.set.park(&mut waiter, Waker::noop()));
        // The pump starts, and ends whenever it runs next.
        published.set.wake();
        runtime.shut_down();
        let publishing = Arc::clone(&published);
        let publisher = spawn(move || publishing.publish(1));
        block_on(published.reach(&mut waiter, 1));
        publisher.join().unwrap();
        drop(others);
    });
}
