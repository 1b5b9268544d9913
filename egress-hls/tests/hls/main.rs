//! HLS as a whole: a registry, a publisher with real frames, the plugin, and
//! requests to what it mounted.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "all of this is test code, also what stands outside of test functions"
)]

mod clip;
mod delivery;
mod ffmpeg;
mod lives;
mod low_latency;
mod server;
