//! The bounds of what a stream keeps.

use std::time::Duration;

use crate::bus::config::BusConfig;

/// The numbers of [`BusConfig`] that the writer uses.
pub(super) struct Limits {
    pub(super) gop_frames: u64,
    pub(super) gop_bytes: u64,
    pub(super) gop_age: Duration,
    pub(super) lag_window: Duration,
    pub(super) lag_frames: u64,
    pub(super) memory: u64,
    pub(super) pinned: u64,
    pub(super) audio_join_interval: Duration,
}

impl Limits {
    pub(super) fn new(config: &BusConfig) -> Self {
        Self {
            gop_frames: config.gop_cache,
            gop_bytes: config.gop_cache_bytes.0,
            gop_age: config.gop_cache_age.0,
            lag_window: config.lag_window.0,
            lag_frames: config.lag_frames,
            memory: config.memory.0,
            pinned: config.pinned_limit.0,
            audio_join_interval: config.audio_join_interval.0,
        }
    }
}
