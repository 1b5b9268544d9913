//! The `[flv]` section.

use rillcast_core::{BoxError, ByteSize, FaultyKey, HumanDuration};
use serde::Deserialize;

/// The `[flv]` section.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many bytes wait for one viewer at most, in whole rows of frames.
    pub queue: ByteSize,
    /// How long sound waits for a picture to leave with; zero not at all.
    pub gather: HumanDuration,
    /// How viewers read the bus.
    pub consume: Consume,
}

/// How viewers read the bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consume {
    /// All viewers of a stream on a thread by one reader.
    #[default]
    Reactor,
    /// Each viewer by a subscription of its own.
    Tasks,
}

impl Config {
    /// The section as a commented example; a test holds it against the defaults.
    pub(crate) const EXAMPLE: &'static str = "\
# How much may wait for one viewer, beside what the system holds. One that is
# slower reads later, for as long as the bus keeps what it has not read
# (bus.lag_window), and goes on at a keyframe after that.
queue = \"1MiB\"
# Sound waits for the next picture, for so long at most, and leaves with it:
# that halves the writes. \"0s\" sends every frame at once.
gather = \"100ms\"
# How viewers read the bus: \"reactor\" is one reader for all viewers of a
# stream on a thread, \"tasks\" a subscription for each, to compare with.
consume = \"reactor\"
";

    /// Refuses what could not work.
    pub(crate) fn check(&self) -> Result<(), BoxError> {
        if self.queue < LEAST_QUEUE {
            let why = format!("flv.queue must be at least {LEAST_QUEUE}");
            return Err(FaultyKey::new("queue", why).into());
        }
        if self.gather > MOST_GATHER {
            let why = format!("flv.gather must be at most {MOST_GATHER}: players would wait");
            return Err(FaultyKey::new("gather", why).into());
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue: ByteSize::mib(1),
            gather: HumanDuration::from_millis(100),
            consume: Consume::Reactor,
        }
    }
}

/// Less than a picture or two.
const LEAST_QUEUE: ByteSize = ByteSize(64 << 10);

const MOST_GATHER: HumanDuration = HumanDuration::from_secs(1);

#[cfg(test)]
mod tests {
    use rillcast_core::Settings;

    use super::*;

    fn read(text: &str) -> Config {
        let text = format!("[flv]\n{text}");
        let settings = Settings::from_toml(&text, "test").unwrap();
        settings.section("flv").unwrap().read().unwrap()
    }

    #[test]
    fn the_example_is_the_default() {
        assert_eq!(read(Config::EXAMPLE), Config::default());
        assert_eq!(read("consume = \"tasks\"").consume, Consume::Tasks);
    }

    #[test]
    fn what_could_not_work_is_refused_by_its_key() {
        for (text, key) in [
            ("", None),
            ("queue = \"64KiB\"\ngather = \"0s\"", None),
            ("queue = \"63KiB\"", Some("flv.queue")),
            ("gather = \"2s\"", Some("flv.gather")),
        ] {
            let error = read(text).check().err().map(|error| error.to_string());
            assert_eq!(error.is_some(), key.is_some(), "{error:?}");
            assert!(
                error
                    .unwrap_or_default()
                    .starts_with(key.unwrap_or_default())
            );
        }
    }
}
