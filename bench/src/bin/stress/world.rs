//! What all of the run share: the registry, the counts, the first violation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rillcast_bench::Table;
use rillcast_core::Registry;

use crate::checker::{Check, Seen};
use crate::readers::Manner;

pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) totals: Totals,
    over: AtomicBool,
    violation: Mutex<Option<String>>,
    /// When this began, and the longest that the runtime was held up lately, in
    /// milliseconds: what comes late then was not forgotten.
    begun: Instant,
    held_up: AtomicU64,
}

/// What happened.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) published: AtomicU64,
    pub(crate) lives: AtomicU64,
    pub(crate) returns: AtomicU64,
    pub(crate) takeovers: AtomicU64,
    pub(crate) silences: AtomicU64,
    pub(crate) kicks: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) reaped: AtomicU64,
    /// Readers that hold a frame in their hands.
    pub(crate) holding: AtomicU64,
    /// The most bytes that a stream kept, and that readers pinned.
    pub(crate) kept: AtomicU64,
    pub(crate) pinned: AtomicU64,
    readers: Mutex<Vec<(Manner, u64, Seen)>>,
}

impl World {
    pub(crate) fn new(registry: Registry) -> Self {
        Self {
            registry,
            totals: Totals::default(),
            over: AtomicBool::new(false),
            violation: Mutex::new(None),
            begun: Instant::now(),
            held_up: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// The first one counts, and ends the run.
    pub(crate) fn violated(&self, what: String) {
        let mut violation = self
            .violation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        violation.get_or_insert(what);
        drop(violation);
        self.end();
    }

    pub(crate) fn check(&self, check: Check) {
        if let Err(what) = check {
            self.violated(what);
        }
    }

    pub(crate) fn violation(&self) -> Option<String> {
        let violation = self
            .violation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        violation.clone()
    }

    /// Beats every few milliseconds, to know how long tasks have to wait at most.
    pub(crate) async fn beat(&self) {
        let mut last = Instant::now();
        let mut epoch = self.begun;
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let gap = u64::try_from(last.elapsed().as_millis()).unwrap_or(u64::MAX);
            last = Instant::now();
            self.held_up.fetch_max(gap, Ordering::Relaxed);
            if epoch.elapsed() > Duration::from_secs(10) {
                self.held_up.store(gap, Ordering::Relaxed);
                epoch = last;
            }
        }
    }

    /// Whether tasks ran when they should.
    pub(crate) fn was_calm(&self) -> bool {
        self.held_up.load(Ordering::Relaxed) < 500
    }

    /// A reader of this manner has left.
    pub(crate) fn left(&self, manner: Manner, seen: Seen) {
        let mut readers = (self.totals.readers.lock()).unwrap_or_else(PoisonError::into_inner);
        match readers.iter_mut().find(|(it, ..)| *it == manner) {
            Some((_, count, all)) => {
                *count += 1;
                all.add(&seen);
            }
            None => readers.push((manner, 1, seen)),
        }
    }

    /// What happened, for a person.
    pub(crate) fn table(&self) -> String {
        let totals = &self.totals;
        let mut table = Table::new(["publishers", ""]);
        for (what, count) in [
            ("frames", &totals.published),
            ("lives of streams", &totals.lives),
            ("returns within the grace", &totals.returns),
            ("take-overs", &totals.takeovers),
            ("silences", &totals.silences),
            ("kicked while publishing", &totals.kicks),
            ("abandoned", &totals.abandoned),
            ("silent for too long", &totals.reaped),
            ("most bytes kept by a stream", &totals.kept),
            ("most bytes pinned by its readers", &totals.pinned),
        ] {
            table.row([what.to_owned(), count.load(Ordering::Relaxed).to_string()]);
        }
        let headings = [
            "readers", "left", "frames", "lags", "skipped", "breaks", "left out", "ended",
            "evicted",
        ];
        let mut readers = Table::new(headings);
        let mut list = (totals.readers.lock()).unwrap_or_else(PoisonError::into_inner);
        list.sort_by_key(|(manner, ..)| manner.to_string());
        for (manner, count, seen) in &*list {
            let counts = [
                *count,
                seen.frames,
                seen.lags,
                seen.skipped,
                seen.breaks,
                seen.left_out,
                seen.ended,
                seen.evicted,
            ];
            let cells = counts.iter().map(u64::to_string);
            readers.row([manner.to_string()].into_iter().chain(cells));
        }
        format!("{table}\n{readers}")
    }
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.lags += other.lags;
        self.skipped += other.skipped;
        self.breaks += other.breaks;
        self.left_out += other.left_out;
        self.ended += other.ended;
        self.evicted += other.evicted;
    }
}
