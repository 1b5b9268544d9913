//! The one place where the bus takes its atomics, locks, tasks and clock from.
//!
//! Everything in `bus`, `watched` and `registry` that two threads share goes
//! through the names below. They are what they say (`sync/plain.rs`), or, under
//! `--cfg loom`, their stand-ins for the model checker (`sync/model.rs`), so that
//! what the models in `bus/models.rs` run is the code that is shipped.
//!
//! Reference counts are the standard library's in both: loom has no [`Weak`].

#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod plain;

pub(crate) use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
pub(crate) use std::sync::{Arc, OnceLock, Weak};

#[cfg(loom)]
pub(crate) use model::*;
#[cfg(not(loom))]
pub(crate) use plain::*;
