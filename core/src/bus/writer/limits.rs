//! The bounds of what a stream keeps.

use crate::bus::config::BusConfig;
use crate::bus::qos::nanos;

/// The numbers of [`BusConfig`] that the writer uses; times in nanoseconds.
pub(super) struct Limits {
    pub(super) gop_frames: u64,
    pub(super) gop_bytes: u64,
    pub(super) gop_age: u64,
    pub(super) lag_window: u64,
    pub(super) lag_frames: u64,
    pub(super) memory: u64,
    pub(super) pinned: u64,
    pub(super) audio_join_interval: u64,
}

impl Limits {
    pub(super) fn new(config: &BusConfig) -> Self {
        Self {
            gop_frames: config.gop_cache,
            gop_bytes: config.gop_cache_bytes.0,
            gop_age: nanos(config.gop_cache_age.0),
            lag_window: nanos(config.lag_window.0),
            lag_frames: config.lag_frames,
            memory: config.memory.0,
            pinned: config.pinned_limit.0,
            audio_join_interval: nanos(config.audio_join_interval.0),
        }
    }
}
