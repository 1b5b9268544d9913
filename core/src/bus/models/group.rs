//! Groups: members that are bits, and the task that polls them.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::sync::block_on;

use super::{Published, check, spawn};
use crate::bus::group::{Bit, Marks};
use crate::sync::{Arc, AtomicU64, Relaxed};

const WORD: usize = 0;

/// What a group's task does: polls the members whose bits are set, until `done`
/// says that it has seen enough.
fn host(marks: &Marks, mut done: impl FnMut(u64) -> bool) {
    let mut task: Option<Waker> = None;
    block_on(poll_fn(|cx| {
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            task = Some(cx.waker().clone());
            marks.set_task(task.as_ref());
        }
        while marks.take_summary() != 0 {
            if done(marks.take(WORD)) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }));
    marks.set_task(None);
}

#[test]
fn a_member_that_is_woken_is_polled_even_before_its_group_runs() {
    check(|| {
        let marks = Marks::new();
        let work = Arc::new(AtomicU64::new(0));
        let (hosting, seen) = (Arc::clone(&marks), Arc::clone(&work));
        let host = spawn(move || {
            host(&hosting, |members| {
                members & 1 << 3 != 0 && seen.load(Relaxed) == 1
            });
        });
        work.store(1, Relaxed);
        marks.mark(WORD, 1 << 3);
        host.join().unwrap();
    });
}

#[test]
fn members_that_are_woken_at_once_are_all_polled() {
    check(|| {
        let marks = Marks::new();
        let hosting = Arc::clone(&marks);
        let host = spawn(move || {
            let mut polled = 0;
            host(&hosting, |members| {
                polled |= members;
                polled == 0b11
            });
        });
        let other = Arc::clone(&marks);
        let waking = spawn(move || other.mark(WORD, 0b10));
        marks.mark(WORD, 0b01);
        waking.join().unwrap();
        host.join().unwrap();
    });
}

#[test]
fn a_member_that_registers_while_a_frame_is_published_is_polled_for_it() {
    check(|| {
        let published = Published::new();
        let marks = Marks::new();
        let waiting = Arc::clone(&published);
        let reader = spawn(move || {
            let bit = Bit {
                marks: Arc::clone(&marks),
                word: WORD,
                bit: 5,
            };
            let mut waiter = None;
            waiting.set.settle(&mut waiter, Waker::noop(), Some(bit));
            if waiting.number.load(Relaxed) == 1 {
                return;
            }
            host(&marks, |members| {
                members & 1 << 5 != 0 && waiting.number.load(Relaxed) == 1
            });
        });
        published.publish(1);
        reader.join().unwrap();
        assert_eq!(published.set.len(), 0);
    });
}
