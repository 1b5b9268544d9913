//! Crash-safe recordings of live streams, for rillcast.
//!
//! Each stream is written as fragmented MP4 (`file`), from the parts of its live
//! window (`take`, pure), by a thread of its own (`disk`), with an index of what there
//! is and what is missing (`index`). A start repairs what a crash has left (`repair`).
//! docs/RECORDING.md says what lies on the disk and what survives what.
//!
//! Link the crate with `use rillcast_recorder as _;`, or add [`Record`] by hand.
#![forbid(unsafe_code)]

mod config;
mod disk;
mod file;
mod index;
mod name;
mod plugin;
mod repair;
mod stream;
mod take;
#[cfg(test)]
mod tests;

pub use config::{Config, Durability};
pub use plugin::Record;
