//! Models of the bus for loom, which runs each of them through every order of
//! its threads' steps, and through every value that a load may see:
//! `cargo xtask loom`. They run the code that is shipped, through `sync.rs`.
//!
//! A lost wake-up shows as a deadlock, which loom reports. That every one of these
//! models can fail is shown by `cargo xtask loom --mutations`.

mod bell;
mod chain;
mod doors;
mod group;
mod pump;
mod stream;
mod wake;
mod watched;

use std::future::poll_fn;
use std::task::Poll;

use loom::thread::JoinHandle;

use super::wake::{Waiter, WakeSet};
use crate::sync::{Arc, AtomicU64, Relaxed};

/// Steps of one run; one that takes more spins for ever.
const STEPS: usize = 50_000;

/// Runs `model` with up to three stops of threads where they need not stop: what
/// goes wrong nearly always does so with fewer. `LOOM_MAX_PREEMPTIONS` overrides.
fn check(model: impl Fn() + Send + Sync + 'static) {
    check_within(3, model);
}

/// As [`check`], for models of so many steps that three would take too long.
fn check_within(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = STEPS;
    builder.check(model);
}

fn spawn<T: 'static>(thread: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    loom::thread::spawn(thread)
}

/// A number that is published to those who wait for it.
struct Published {
    number: AtomicU64,
    set: WakeSet,
}

impl Published {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            number: AtomicU64::new(0),
            set: WakeSet::new(),
        })
    }

    /// Publishes without an order of its own: what there is, is the wake set's.
    fn publish(&self, number: u64) {
        self.number.store(number, Relaxed);
        self.set.wake();
    }

    /// Waits for `number`, as readers do.
    async fn reach(&self, waiter: &mut Option<Waiter>, number: u64) {
        poll_fn(|cx| {
            let is_there = || self.number.load(Relaxed) >= number;
            if is_there() || self.set.park(waiter, cx.waker()) && is_there() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
