//! SRT in, for rillcast.
//!
//! A listener for SRT callers whose MPEG-TS becomes frames on the bus, by a
//! receiver of its own that no caller can stall for another. [`proto`] speaks the
//! protocol without touching a socket.
//!
//! The crate has its place in the workspace and no plugin yet: the server links
//! it as feature `srt` once it works.
#![forbid(unsafe_code)]

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod proto;
