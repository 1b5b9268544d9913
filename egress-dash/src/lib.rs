//! DASH out, for rillcast.
//!
//! A manifest (`mpd`) is a pure function of the live window that `rillcast-media`
//! cuts and of the Periods that were made of it (`timetable`). It is rendered once
//! for all viewers (`session`) and answered below `/dash` (`handler`). The media
//! bytes are those that HLS points at, below `/cmaf`.
//!
//! Serves ISO/IEC 23009-1 manifests with the live profile, and low latency by
//! DASH-IF's guidelines. Link the crate with `use rillcast_egress_dash as _;`, or
//! add [`Dash`] by hand.
#![forbid(unsafe_code)]

mod config;
mod handler;
mod mpd;
mod plugin;
mod session;
#[cfg(test)]
mod tests;
mod timetable;
mod xml;

pub use config::Config;
pub use plugin::Dash;
