//! Publishing, parking and waking, with few waiters: the writer wakes them.

use std::task::Waker;

use crate::sync::block_on;

use super::{Published, check, spawn};
use crate::sync::Arc;

#[test]
fn what_is_published_while_a_waiter_registers_wakes_it() {
    check(|| {
        let published = Published::new();
        let waiting = Arc::clone(&published);
        let reader = spawn(move || block_on(waiting.reach(&mut None, 1)));
        published.publish(1);
        reader.join().unwrap();
        assert_eq!(published.set.len(), 0);
    });
}

#[test]
fn a_waiter_that_stays_is_woken_each_time_whether_its_arm_is_up_or_down() {
    check(|| {
        let published = Published::new();
        let publishing = Arc::clone(&published);
        let publisher = spawn(move || {
            // The first wake-up takes the arms down, the others leave them.
            for number in 1..=3 {
                publishing.publish(number);
            }
        });
        let mut waiter = None;
        block_on(async {
            for number in 1..=3 {
                published.reach(&mut waiter, number).await;
            }
        });
        publisher.join().unwrap();
    });
}

#[test]
fn two_that_register_at_once_are_both_woken() {
    check(|| {
        let published = Published::new();
        let readers = [(); 2].map(|()| {
            let waiting = Arc::clone(&published);
            spawn(move || block_on(waiting.reach(&mut None, 1)))
        });
        published.publish(1);
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(published.set.len(), 0);
    });
}

#[test]
fn one_that_takes_the_place_of_another_is_woken() {
    check(|| {
        let published = Published::new();
        let mut leaving = None;
        assert!(published.set.park(&mut leaving, Waker::noop()));
        let waiting = Arc::clone(&published);
        let reader = spawn(move || {
            drop(leaving);
            block_on(waiting.reach(&mut None, 1));
        });
        published.publish(1);
        reader.join().unwrap();
    });
}

#[test]
fn one_that_moves_to_another_task_is_woken_there() {
    check(|| {
        let published = Published::new();
        let mut waiter = None;
        assert!(published.set.park(&mut waiter, Waker::noop()));
        let waiting = Arc::clone(&published);
        let reader = spawn(move || block_on(waiting.reach(&mut waiter, 1)));
        published.publish(1);
        reader.join().unwrap();
    });
}

/// A chunk that has been swept eight times without a change is copied.
#[test]
fn one_that_comes_while_the_wakers_are_copied_is_woken() {
    check(|| {
        let published = Published::new();
        let mut other = None;
        assert!(published.set.park(&mut other, Waker::noop()));
        for _ in 0..9 {
            // The first one takes the arm down.
            published.set.wake();
            published.set.park(&mut other, Waker::noop());
        }
        let waiting = Arc::clone(&published);
        let reader = spawn(move || block_on(waiting.reach(&mut None, 1)));
        published.publish(1);
        reader.join().unwrap();
        drop(other);
        assert_eq!(published.set.len(), 0);
    });
}

#[test]
fn one_that_needs_another_chunk_is_woken() {
    check(|| {
        let published = Published::new();
        let mut others = [const { None }; 4];
        for other in &mut others {
            assert!(published.set.park(other, Waker::noop()));
        }
        let waiting = Arc::clone(&published);
        let reader = spawn(move || block_on(waiting.reach(&mut None, 1)));
        published.publish(1);
        reader.join().unwrap();
        assert_eq!(published.set.len(), 4);
    });
}
