//! The `[dash]` section.

use std::time::Duration;

use rillcast_core::{FaultyKey, HumanDuration};
use serde::Deserialize;

/// How DASH is served. How streams are cut is the `[cmaf]` section's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Whether players may read segments while they are cut.
    pub low_latency: bool,
    /// How far behind live players stay then; as far as parts allow if it is zero.
    pub target_latency: HumanDuration,
}

impl Config {
    /// The section as a commented example: every key with its default.
    pub const EXAMPLE: &'static str = "\
# Whether players may read segments while they are cut, and so stay about a second
# behind live. It begins once five segments in a row are of one length (a fixed
# keyframe interval); until then, and for all other streams, players stay three
# segments behind.
low_latency = true
# How far behind live players are to stay then. 0s: three parts, 400ms at least.
target_latency = \"0s\"
";

    /// Checks that the values are in range.
    ///
    /// # Errors
    /// A sentence that names the key and the mend.
    pub(crate) fn check(&self) -> Result<(), FaultyKey> {
        let target = self.target_latency;
        if !target.0.is_zero() && !(LEAST..=MOST).contains(&target.0) {
            let (least, most) = (HumanDuration(LEAST), HumanDuration(MOST));
            let why = format!(
                "dash.target_latency is {target}: write 0s to let parts decide, or {least} to {most}"
            );
            return Err(FaultyKey::new("target_latency", why));
        }
        Ok(())
    }

    /// The latency that was chosen, if one was.
    pub(crate) fn target_latency(&self) -> Option<Duration> {
        let target = self.target_latency.0;
        (!target.is_zero()).then_some(target)
    }
}

/// Bounds of the latency that can be chosen.
const LEAST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(30);

impl Default for Config {
    fn default() -> Self {
        Self {
            low_latency: true,
            target_latency: HumanDuration(Duration::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use rillcast_core::Settings;

    use super::*;

    fn read(body: &str) -> Result<Config, String> {
        let settings = Settings::from_toml(&format!("[dash]\n{body}"), "a.toml").unwrap();
        let section = settings.section("dash").unwrap();
        let config: Config = section.read().map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn the_example_is_the_default() {
        assert_eq!(read(Config::EXAMPLE), Ok(Config::default()));
    }

    #[test]
    fn a_latency_is_chosen_or_left_to_the_parts() {
        let of = |body| read(body).map(|config| config.target_latency());
        assert_eq!(of(""), Ok(None));
        let chosen = Duration::from_millis(800);
        assert_eq!(of("target_latency = \"800ms\""), Ok(Some(chosen)));
        for (body, want) in [
            ("target_latency = \"100ms\"", "200ms to 30s"),
            ("target_latency = \"1m\"", "200ms to 30s"),
            ("latency = \"1s\"", "unknown key \"dash.latency\""),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(want), "{body}: {error}");
        }
    }
}
