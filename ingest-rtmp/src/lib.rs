//! RTMP in: the plugin `rtmp` of rillcast.
//!
//! [`proto`] speaks the protocol without touching a socket. Around it:
//! `listener.rs` takes connections in, as many as core's `Admission` allows;
//! `conn.rs` reads, feeds and writes; `to_bus.rs` makes frames of messages.
//! To link the plugin into a server, name the crate in code:
//! `use rillcast_ingest_rtmp as _;`.
#![forbid(unsafe_code)]

mod config;
mod conn;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod listener;
mod plugin;
pub mod proto;
mod to_bus;

pub use config::Config;
pub use error::{BindError, ConfigError};
pub use plugin::Rtmp;
