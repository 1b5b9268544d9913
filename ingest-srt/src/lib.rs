//! SRT in, for rillcast.
//!
//! A listener for SRT callers whose MPEG-TS becomes frames on the bus, and callers that
//! fetch streams from elsewhere (`pull`). [`proto`] speaks the protocol without
//! touching a socket; `listener` reads the one that all callers share and sorts,
//! `decide` lets callers in, `conn` serves each in a task of its own, `to_bus` makes
//! frames. No caller can stall or end another.
//!
//! Link the crate with `use rillcast_ingest_srt as _;`, or add [`Srt`] by hand.
#![forbid(unsafe_code)]

mod config;
mod conn;
mod decide;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod inbox;
mod listener;
mod plugin;
pub mod proto;
mod pull;
mod socket;
mod to_bus;

pub use config::{Config, Pull};
pub use error::BindError;
pub use plugin::Srt;
