//! A real listener, a registry, FFmpeg, and callers that mean no good.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod caller;
mod good;
mod hostile;
mod pull;
mod server;
