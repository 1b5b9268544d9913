//! The server from outside: its program, its HTTP, its API. Everything listens
//! on port 0 of 127.0.0.1.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect fails so"
)]

#[path = "server/api.rs"]
mod api;
#[path = "server/bounds.rs"]
mod bounds;
#[path = "server/cli.rs"]
mod cli;
#[path = "server/client.rs"]
mod client;
#[path = "server/fixture.rs"]
mod fixture;
#[path = "server/floods.rs"]
mod floods;
#[path = "server/http.rs"]
mod http;
#[path = "server/http2.rs"]
mod http2;
#[path = "server/http2_client.rs"]
mod http2_client;
#[path = "server/limits.rs"]
mod limits;
#[cfg(feature = "hls")]
#[path = "server/live.rs"]
mod live;
#[path = "../../ingest-rtmp/tests/bounds/log.rs"]
mod log;
#[cfg(all(feature = "record", feature = "rtmp"))]
#[path = "server/record.rs"]
mod record;
#[path = "server/tls.rs"]
mod tls;
#[path = "server/transport.rs"]
mod transport;
