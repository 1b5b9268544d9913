//! RTMP in: the plugin `rtmp` of rillcast.
//!
//! [`proto`] speaks the protocol without touching a socket; the driver around
//! it listens, reads and writes, and hands what was received to the bus.
#![forbid(unsafe_code)]

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
pub mod proto;
