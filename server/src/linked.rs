//! The plugins that this build links. A crate that is named only in Cargo.toml
//! is never loaded by rustc, and its plugin would silently be missing: each
//! feature has its line here, and the lint in lib.rs refuses a build in which
//! one was forgotten.

#[cfg(feature = "dash")]
use rillcast_egress_dash as _;
#[cfg(feature = "hls")]
use rillcast_egress_hls as _;
#[cfg(feature = "rtmp")]
use rillcast_ingest_rtmp as _;
#[cfg(feature = "srt")]
use rillcast_ingest_srt as _;
#[cfg(feature = "record")]
use rillcast_recorder as _;
