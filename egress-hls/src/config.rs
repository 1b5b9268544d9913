//! The `[hls]` section.

use std::time::Duration;

use rillcast_core::{FaultyKey, HumanDuration};
use serde::Deserialize;

/// How HLS is served. How streams are cut is the `[cmaf]` section's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// How long caches may keep the playlist of a live stream.
    pub playlist_max_age: HumanDuration,
}

impl Config {
    /// The section as a commented example: every key with its default.
    pub const EXAMPLE: &'static str = "\
# How long caches (a CDN, a browser) may keep the playlist of a live stream, in
# whole seconds. Viewers fall behind live by as much. Whatever is written here,
# it is never more than half of the target duration, or 1s where that is less.
playlist_max_age = \"1s\"
";

    /// Checks that the values are in range.
    ///
    /// # Errors
    /// A sentence that names the key and the mend.
    pub(crate) fn check(&self) -> Result<(), FaultyKey> {
        let age = self.playlist_max_age;
        if age.0 > MOST_AGE || age.0.subsec_nanos() != 0 {
            let most = HumanDuration(MOST_AGE);
            let why =
                format!("hls.playlist_max_age is {age}: write whole seconds, from 0s to {most}");
            return Err(FaultyKey::new("playlist_max_age", why));
        }
        Ok(())
    }

    /// For how many seconds the playlist of a live stream with this target
    /// duration may be kept. A player reloads it once a target duration, and
    /// must not be given the same one twice by a cache that could know better
    /// (RFC 8216 section 6.2.2).
    pub(crate) fn max_age(&self, target_duration: Duration) -> u32 {
        let half = (target_duration.as_secs() / 2).max(1);
        u32::try_from(self.playlist_max_age.0.as_secs().min(half)).unwrap_or(1)
    }
}

/// The longest target duration there is halves to less.
const MOST_AGE: Duration = Duration::from_secs(60);

impl Default for Config {
    fn default() -> Self {
        Self {
            playlist_max_age: HumanDuration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use rillcast_core::Settings;

    use super::*;

    fn read(body: &str) -> Result<Config, String> {
        let settings = Settings::from_toml(&format!("[hls]\n{body}"), "a.toml").unwrap();
        let section = settings.section("hls").unwrap();
        let config: Config = section.read().map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn the_example_is_the_default() {
        assert_eq!(read(Config::EXAMPLE), Ok(Config::default()));
    }

    #[test]
    fn what_cannot_work_is_refused_in_words() {
        for (body, want) in [
            ("playlist_max_age = \"1500ms\"", "whole seconds"),
            ("playlist_max_age = \"2m\"", "from 0s to 1m"),
            ("max_age = \"1s\"", "unknown key \"hls.max_age\""),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(want), "{body}: {error}");
        }
    }

    #[test]
    fn a_playlist_is_never_kept_beyond_half_its_target() {
        for (configured, target, want) in [(1, 2, 1), (1, 1, 1), (0, 6, 0), (10, 6, 3), (10, 1, 1)]
        {
            let config = Config {
                playlist_max_age: HumanDuration::from_secs(configured),
            };
            assert_eq!(config.max_age(Duration::from_secs(target)), want);
        }
    }
}
