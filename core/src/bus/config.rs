//! The settings of a stream on the bus: section `[bus]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ByteSize, HumanDuration};

/// How a stream behaves on the bus; section `[bus]`, and per stream where the
/// server's `[[stream]]` sections say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// How long a stream waits for its publisher to come back.
    pub reconnect_grace: HumanDuration,
    /// What happens to a second publisher of a live stream.
    pub takeover: Takeover,
    /// A publisher that has been silent for this long may be replaced, even
    /// where `takeover` is `"reject"`.
    pub stale_after: HumanDuration,
    /// The most frames of the GOP cache; 0 switches it off.
    pub gop_cache: u64,
    /// The most payload bytes of the GOP cache.
    pub gop_cache_bytes: ByteSize,
    /// How old the GOP cache may grow.
    pub gop_cache_age: HumanDuration,
    /// How far behind live, by arrival time, a reader finds what it has not
    /// read yet (the current GOP is there in any case).
    pub lag_window: HumanDuration,
    /// The same in entries. What is kept is counted in whole blocks, of 64
    /// entries at most.
    pub lag_frames: u64,
    /// How much a stream keeps in memory for its readers, GOP cache included.
    pub memory: ByteSize,
    /// How much all readers that fell behind may keep alive together, beyond
    /// what the stream keeps anyway.
    pub pinned_limit: ByteSize,
    /// A resilient reader that misses more frames than this within
    /// `max_lag_window` is evicted; 0 switches that off.
    pub max_lag: u64,
    /// The sliding window of `max_lag`.
    pub max_lag_window: HumanDuration,
    /// The distance of the join points of a stream without pictures.
    pub audio_join_interval: HumanDuration,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            reconnect_grace: HumanDuration::from_secs(15),
            takeover: Takeover::Reject,
            stale_after: HumanDuration::from_secs(2),
            gop_cache: 4_096,
            gop_cache_bytes: ByteSize::mib(48),
            gop_cache_age: HumanDuration::from_secs(20),
            lag_window: HumanDuration::from_secs(5),
            lag_frames: 2_048,
            memory: ByteSize::mib(64),
            pinned_limit: ByteSize::mib(16),
            max_lag: 0,
            max_lag_window: HumanDuration::from_secs(10),
            audio_join_interval: HumanDuration::from_secs(1),
        }
    }
}

impl BusConfig {
    /// The default of a resilient subscription's eviction.
    #[must_use]
    pub fn max_lag(&self) -> Option<MaxLag> {
        (self.max_lag > 0).then(|| MaxLag::new(self.max_lag, self.max_lag_window.0))
    }
}

/// What happens to a second publisher of a live stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Takeover {
    /// It is refused, unless the first one is silent.
    #[default]
    Reject,
    /// It takes the stream over, and the first one is told to go.
    Replace,
}

/// How much a resilient reader may miss before it is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxLag {
    /// More missed frames than this within the window evict.
    pub frames: u64,
    /// The length of the sliding window.
    pub window: Duration,
}

impl MaxLag {
    /// Evicts a reader that misses more than `frames` frames within `window`.
    #[must_use]
    pub const fn new(frames: u64, window: Duration) -> Self {
        Self { frames, window }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_reads_as_people_write_it() {
        let config: BusConfig =
            toml::from_str("reconnect_grace = \"3s\"\ntakeover = \"replace\"\nmemory = \"8MiB\"")
                .unwrap();
        assert_eq!(config.reconnect_grace, HumanDuration::from_secs(3));
        assert_eq!(config.takeover, Takeover::Replace);
        assert_eq!(config.memory, ByteSize::mib(8));
        assert_eq!(config.stale_after, BusConfig::default().stale_after);
        let error = toml::from_str::<BusConfig>("grace = \"3s\"").unwrap_err();
        assert!(error.to_string().contains("grace"), "{error}");
    }
}
