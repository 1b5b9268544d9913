//! The `[hls]` section.

use std::time::Duration;

use rillcast_core::{FaultyKey, HumanDuration};
use serde::Deserialize;

/// How HLS is served. How streams are cut is the `[cmaf]` section's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Whether playlists list parts, and reloads wait for them.
    pub low_latency: bool,
    /// How far players stay behind the end of a low-latency playlist, in
    /// PART-TARGETs.
    pub part_hold_back: f64,
    /// How long caches may keep the playlist of a live stream.
    pub playlist_max_age: HumanDuration,
    /// What segments are offered in.
    pub container: Container,
}

/// What segments are offered in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Container {
    /// Fragmented MP4 (CMAF), in low latency where that is wanted.
    #[default]
    Cmaf,
    /// MPEG-TS.
    Ts,
    /// CMAF, and MPEG-TS by an address of its own.
    Both,
}

impl Config {
    /// The section as a commented example: every key with its default.
    pub const EXAMPLE: &'static str = "\
# Whether playlists offer Low-Latency HLS. Players that do not know it are served
# as ever. Those that do ask several times a second, once for each part
# (cmaf.part_duration), and are about a second behind live instead of six.
low_latency = true
# How far such players stay behind the newest part, in lengths of a part
# (PART-HOLD-BACK). 3 gives each part two tries; 2 is the least that is allowed,
# for networks that lose nothing.
part_hold_back = 3.0
# How long caches (a CDN, a browser) may keep the playlist of a live stream, in
# whole seconds. Viewers fall behind live by as much. Whatever is written here,
# it is never more than half of the target duration, or 1s where that is less.
playlist_max_age = \"1s\"
# What segments are offered in. \"cmaf\" is fragmented MP4, which every browser and
# phone plays. \"ts\" is MPEG-TS, for old television sets and set-top boxes: without
# low latency, and without AV1, VP9 and FLAC, which it does not carry. \"both\" offers
# CMAF as ever, and MPEG-TS at /hls/APP/NAME/ts.m3u8.
container = \"cmaf\"
";

    /// Checks that the values are in range.
    ///
    /// # Errors
    /// A sentence that names the key and the mend.
    pub(crate) fn check(&self) -> Result<(), FaultyKey> {
        let times = self.part_hold_back;
        if !(LEAST_HOLD_BACK..=MOST_HOLD_BACK).contains(&times) {
            let why = format!(
                "hls.part_hold_back is {times}: write a number of parts, from {LEAST_HOLD_BACK} to {MOST_HOLD_BACK}"
            );
            return Err(FaultyKey::new("part_hold_back", why));
        }
        let age = self.playlist_max_age;
        if age.0 > MOST_AGE || age.0.subsec_nanos() != 0 {
            let most = HumanDuration(MOST_AGE);
            let why =
                format!("hls.playlist_max_age is {age}: write whole seconds, from 0s to {most}");
            return Err(FaultyKey::new("playlist_max_age", why));
        }
        Ok(())
    }

    /// PART-HOLD-BACK in PART-TARGETs, if low latency is offered.
    pub(crate) fn hold_back(&self) -> Option<f64> {
        self.low_latency.then_some(self.part_hold_back)
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

/// The least that players take (draft-pantos-hls-rfc8216bis section 4.4.3.8).
const LEAST_HOLD_BACK: f64 = 2.0;

/// Beyond this ordinary playlists are no slower.
const MOST_HOLD_BACK: f64 = 20.0;

/// The longest target duration there is halves to less.
const MOST_AGE: Duration = Duration::from_secs(60);

impl Default for Config {
    fn default() -> Self {
        Self {
            low_latency: true,
            part_hold_back: 3.0,
            playlist_max_age: HumanDuration::from_secs(1),
            container: Container::Cmaf,
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
            ("part_hold_back = 1.9", "from 2 to 20"),
            ("part_hold_back = nan", "from 2 to 20"),
            ("playlist_max_age = \"1500ms\"", "whole seconds"),
            ("playlist_max_age = \"2m\"", "from 0s to 1m"),
            ("container = \"mp4\"", "container"),
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
                ..Config::default()
            };
            assert_eq!(config.max_age(Duration::from_secs(target)), want);
        }
    }
}
