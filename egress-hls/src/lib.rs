//! HLS out, for rillcast.
//!
//! Playlists are pure functions of the live window that `rillcast-media` cuts
//! (`playlist`); they are rendered once for all viewers (`renders`) and
//! answered below `/hls` (`handler`), by the rules of
//! `rillcast_media::delivery`. The media bytes that they point at are served
//! below `/cmaf` by the handler that all egresses share. `plugin` starts
//! packaging with the publish and ties it all to a server.
//!
//! Where it is asked for, the same segments are offered as MPEG-TS too (`transport`).
//!
//! Serves RFC 8216 playlists of fragmented MP4, with the parts, blocking reloads,
//! hints and delta updates of Low-Latency HLS (draft-pantos-hls-rfc8216bis). Link the crate with
//! `use rillcast_egress_hls as _;`, or add [`Hls`] by hand.
#![forbid(unsafe_code)]

mod config;
mod handler;
mod playlist;
mod plugin;
mod renders;
mod transport;

pub use config::{Config, Container};
pub use playlist::law::{
    Parsed, ParsedControl, ParsedPart, ParsedReport, ParsedSegment, Violation,
};
pub use plugin::Hls;
