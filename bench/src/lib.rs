//! What the benchmarks of the whole server stand on: the server and nginx as
//! processes of their own, a publisher for many streams, viewers for many
//! connections, and what a process costs.
//!
//! `benches/ingest.rs`, `benches/srt.rs`, `benches/http.rs` and `benches/hls/` use
//! them; `benches/bus/` measures the bus alone. `cargo xtask bench` runs them.
//! Nothing leaves the loopback interface, and all is bounded in count and time.
#![forbid(unsafe_code)]

mod chance;
mod clip;
mod error;
mod nginx;
mod place;
mod publisher;
mod relay;
mod rillcast;
mod table;
mod transport;
mod usage;
mod viewer;
mod wire;

pub use chance::Chance;
pub use clip::Clip;
pub use error::{Error, Result};
pub use nginx::Nginx;
pub use place::{clips, memory_folder, share};
pub use publisher::{Pace, Publisher};
pub use relay::{Both, Counts, Impairments, Link, REORDER_BY, Relay};
pub use rillcast::{Held, Rillcast, build};
pub use table::{Table, median, verdict};
pub use transport::{Feed, Lines, Transport};
pub use usage::{Sample, Spent, Watched};
pub use viewer::{Load, Protocol, Round, Viewer, resolve};
