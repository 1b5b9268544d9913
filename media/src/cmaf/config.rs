//! The `[cmaf]` section: how every stream is cut, for all egresses at once.

use std::fmt;
use std::time::Duration;

use rillcast_core::{ByteSize, HumanDuration, Section, SettingsError, SharedSection};
use serde::{Deserialize, Serialize};

/// The section as the plugins that read it name it in their `SECTIONS`. Every
/// key may be overridden per stream, except the one that binds all together.
pub const SECTION: SharedSection = SharedSection::new("cmaf", EXAMPLE, check).with_stream_keys(&[
    "segment_duration",
    "part_duration",
    "window",
    "memory",
    "max_gop",
    "start",
    "linger",
]);

/// The body of the section as a commented example: every key with its default.
pub const EXAMPLE: &str = "\
# The length of a segment. Segments begin at keyframes: a keyframe interval that
# divides it (2s, 1s, 0.5s) keeps them even.
segment_duration = \"2s\"
# The length that the parts of a segment aim at. Shorter ones lower the latency
# and raise the number of requests.
part_duration = \"200ms\"
# How much of the stream playlists list; at least three target durations are.
window = \"30s\"
# What one stream may hold in memory for its viewers. Listings become shorter
# before it is exceeded; a stream that cannot fit is not packaged.
memory = \"64MiB\"
# What all streams may hold so together. When it is used up, streams keep what
# they have, and those that come are not packaged until others have ended.
total_memory = \"4GiB\"
# The longest keyframe interval that is waited for before the first playlist.
max_gop = \"12s\"
# When packaging begins: \"always\" (with the publish) or \"on-demand\" (with the
# first request).
start = \"always\"
# With start = \"on-demand\": how long after the last request packaging stops.
linger = \"30s\"
";

/// How streams are cut into CMAF segments and parts: the `[cmaf]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CmafConfig {
    /// The goal for segments: they end at the keyframe that fits it best.
    pub segment_duration: HumanDuration,
    /// The goal for parts, met by a whole number of frames.
    pub part_duration: HumanDuration,
    /// How much of the stream playlists list, at least three target durations.
    pub window: HumanDuration,
    /// What one stream may hold in memory.
    pub memory: ByteSize,
    /// What all streams of a registry may hold together.
    pub total_memory: ByteSize,
    /// The longest keyframe interval that the first playlist waits for.
    pub max_gop: HumanDuration,
    /// When packaging begins.
    pub start: Start,
    /// How long after the last request it stops, if it began with the first.
    pub linger: HumanDuration,
}

/// When a stream's packaging begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Start {
    /// With the publish.
    #[default]
    Always,
    /// With the first request of a viewer.
    OnDemand,
}

/// Why a [`CmafConfig`] cannot be used: the key and, in a sentence, the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {message}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The key within the section.
    pub key: &'static str,
    /// What is wrong with its value and how to mend it.
    pub message: String,
}

impl Default for CmafConfig {
    fn default() -> Self {
        Self {
            segment_duration: HumanDuration::from_secs(2),
            part_duration: HumanDuration::from_millis(200),
            window: HumanDuration::from_secs(30),
            memory: ByteSize::mib(64),
            total_memory: ByteSize::mib(4_096),
            max_gop: HumanDuration::from_secs(12),
            start: Start::default(),
            linger: HumanDuration::from_secs(30),
        }
    }
}

impl CmafConfig {
    /// Checks that the values are in range and fit each other.
    ///
    /// # Errors
    /// The first key that does not, with the mend.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let millis = Duration::from_millis;
        let secs = Duration::from_secs;
        let ranges = [
            (
                "segment_duration",
                self.segment_duration,
                millis(500),
                secs(30),
            ),
            ("part_duration", self.part_duration, millis(20), secs(5)),
            ("window", self.window, secs(1), secs(24 * 3_600)),
            ("max_gop", self.max_gop, secs(1), secs(60)),
            // Requests are held for some 15 s: nobody is left in the middle of one.
            ("linger", self.linger, secs(20), secs(24 * 3_600)),
        ];
        for (key, value, least, most) in ranges {
            if value.0 < least || value.0 > most {
                let (least, most) = (HumanDuration(least), HumanDuration(most));
                return Err(ConfigError::new(
                    key,
                    format_args!("is {value}: write a duration from {least} to {most}"),
                ));
            }
        }
        if self.part_duration > self.segment_duration {
            return Err(ConfigError::new(
                "part_duration",
                format_args!(
                    "is {}, which is longer than cmaf.segment_duration ({}): lower it",
                    self.part_duration, self.segment_duration
                ),
            ));
        }
        if self.memory < LEAST_MEMORY {
            return Err(ConfigError::new(
                "memory",
                format_args!("is {}: write a size from {LEAST_MEMORY} up", self.memory),
            ));
        }
        if self.total_memory < self.memory {
            return Err(ConfigError::new(
                "total_memory",
                format_args!(
                    "is {}, which is less than cmaf.memory ({}), what one stream may hold: raise it, or lower cmaf.memory",
                    self.total_memory, self.memory
                ),
            ));
        }
        Ok(())
    }
}

impl ConfigError {
    fn new(key: &'static str, message: fmt::Arguments<'_>) -> Self {
        Self {
            key,
            message: message.to_string(),
        }
    }
}

/// Reads and validates the section, for [`SECTION`].
fn check(section: &Section) -> Result<(), SettingsError> {
    let config: CmafConfig = section.read()?;
    config
        .validate()
        .map_err(|error| section.error(error.key, error.message))
}

/// Three seconds of a small stream: below this nothing could be packaged.
const LEAST_MEMORY: ByteSize = ByteSize::mib(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_the_default() {
        let mut settings =
            rillcast_core::Settings::from_toml(&format!("[cmaf]\n{EXAMPLE}"), "example.toml")
                .unwrap();
        let section = settings.section("cmaf").unwrap();
        check(&section).unwrap();
        assert_eq!(section.read::<CmafConfig>().unwrap(), CmafConfig::default());
        settings
            .set(
                "cmaf.start",
                "on-demand",
                rillcast_core::Origin::Flag("--set".into()),
            )
            .unwrap();
        let section = settings.section("cmaf").unwrap();
        let read: CmafConfig = section.read().unwrap();
        assert_eq!(read.start, Start::OnDemand);
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key_and_mend() {
        for (text, want) in [
            ("segment_duration = \"100ms\"", "from 500ms to 30s"),
            (
                "part_duration = \"3s\"",
                "longer than cmaf.segment_duration",
            ),
            ("part_duration = \"1ms\"", "from 20ms to 5s"),
            ("window = \"0s\"", "cmaf.window: is 0ms"),
            ("max_gop = \"10m\"", "from 1s to 1m"),
            ("linger = \"5s\"", "from 20s to 1d"),
            ("memory = \"10KiB\"", "from 1MiB up"),
            ("total_memory = \"32MiB\"", "less than cmaf.memory (64MiB)"),
            ("segment = \"2s\"", "unknown key \"cmaf.segment\""),
        ] {
            let settings =
                rillcast_core::Settings::from_toml(&format!("[cmaf]\n{text}\n"), "a.toml").unwrap();
            let section = settings.section("cmaf").unwrap();
            let error = check(&section).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
            assert!(error.contains("a.toml line 2"), "{text}: {error}");
        }
    }
}
