//! One task that is rung for.

use crate::sync::block_on;

use super::{check, spawn};
use crate::bus::pump::Bell;
use crate::sync::{Arc, AtomicU64, Relaxed};

#[test]
fn a_ring_during_a_pass_leads_to_another_pass() {
    check(|| {
        let bell = Arc::new((Bell::new(), AtomicU64::new(0)));
        let rung = Arc::clone(&bell);
        let task = spawn(move || {
            block_on(async {
                let (bell, work) = &*rung;
                // Each time it sees what was there when it was rung for.
                while work.load(Relaxed) < 2 {
                    assert!(bell.rung().await);
                }
            });
        });
        for number in 1..=2 {
            bell.1.store(number, Relaxed);
            assert!(bell.0.ring());
        }
        task.join().unwrap();
    });
}

#[test]
fn two_that_ring_at_once_are_both_answered() {
    check(|| {
        let bell = Arc::new((Bell::new(), [AtomicU64::new(0), AtomicU64::new(0)]));
        let rung = Arc::clone(&bell);
        let task = spawn(move || {
            block_on(async {
                let (bell, work) = &*rung;
                while work.iter().any(|it| it.load(Relaxed) == 0) {
                    assert!(bell.rung().await);
                }
            });
        });
        let other = Arc::clone(&bell);
        let ringing = spawn(move || {
            other.1[1].store(1, Relaxed);
            assert!(other.0.ring());
        });
        bell.1[0].store(1, Relaxed);
        assert!(bell.0.ring());
        ringing.join().unwrap();
        task.join().unwrap();
    });
}

#[test]
fn a_bell_that_is_stopped_ends_its_task_and_says_so_to_whoever_rings() {
    check(|| {
        let bell = Arc::new(Bell::new());
        let rung = Arc::clone(&bell);
        let task = spawn(move || {
            block_on(async { while rung.rung().await {} });
        });
        let other = Arc::clone(&bell);
        let ringing = spawn(move || other.ring());
        bell.stop();
        assert!(!bell.ring());
        ringing.join().unwrap();
        task.join().unwrap();
    });
}
