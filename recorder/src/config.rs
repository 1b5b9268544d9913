//! The `[record]` section.

use std::path::PathBuf;
use std::time::Duration;

use rillcast_core::{ByteSize, FaultyKey, HumanDuration};
use serde::Deserialize;

use crate::name::Template;

/// What is recorded, and where to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Whether streams are recorded.
    pub enabled: bool,
    /// The recording folder.
    pub path: PathBuf,
    /// What files are called below it.
    pub file: String,
    /// How long a file becomes; zero for as long as the stream lives.
    pub rotate_duration: HumanDuration,
    /// Whether files end where the clock says so.
    pub rotate_aligned: bool,
    /// How large a file becomes; zero for as large as it comes.
    pub rotate_size: ByteSize,
    /// How often what has come is written.
    pub flush_interval: HumanDuration,
    /// What that survives.
    pub durability: Durability,
}

/// What a recording survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Durability {
    /// The end of the server, whatever ends it.
    #[default]
    Process,
    /// The end of the machine.
    Power,
}

impl Config {
    /// The section as a commented example: every key with its default.
    pub const EXAMPLE: &'static str = "\
# Whether streams are recorded. What is recorded is what viewers are given: every
# track that CMAF carries, as fragmented MP4.
enabled = false
# The folder that recordings are below. It belongs to one server.
path = \"recordings\"
# What files are called there: {app} and {name} of the stream, and when the file
# begins, in UTC, as strftime has it. A name that is taken gets a number.
file = \"{app}/{name}/{start:%Y-%m-%d}/{start:%H-%M-%S}.mp4\"
# A new file begins at the first keyframe after so long, or so much; 0s and 0B for
# never. Aligned, files end where the clock says so: with 1h, at each full hour.
rotate_duration = \"1h\"
rotate_aligned = false
rotate_size = \"0B\"
# How often what has come is written. A server that is killed loses so much, and
# what has not become a part yet (cmaf.part_duration).
flush_interval = \"1s\"
# What that survives: \"process\", the end of the server; \"power\", the end of the
# machine too. Then every flush waits until the disk has it.
durability = \"process\"
";

    /// Keys that may be set per stream: the folder is one for all.
    pub(crate) const STREAM_KEYS: &'static [&'static str] = &[
        "enabled",
        "file",
        "rotate_duration",
        "rotate_aligned",
        "rotate_size",
        "flush_interval",
        "durability",
    ];

    /// Checks that the values are in range.
    ///
    /// # Errors
    /// A sentence that names the key and the mend.
    pub(crate) fn check(&self) -> Result<(), FaultyKey> {
        let faulty = |key: &str, why: String| {
            let why = format!("record.{key} {why}");
            Err(FaultyKey::new(key, why))
        };
        if self.path.as_os_str().is_empty() {
            return faulty("path", "is empty: name a folder".to_owned());
        }
        if let Err(why) = Template::parse(&self.file) {
            return faulty("file", why);
        }
        let flush = self.flush_interval;
        if !(LEAST_FLUSH..=MOST_FLUSH).contains(&flush.0) {
            let (least, most) = (HumanDuration(LEAST_FLUSH), HumanDuration(MOST_FLUSH));
            let why = format!("is {flush}: write a duration from {least} to {most}");
            return faulty("flush_interval", why);
        }
        let duration = self.rotate_duration;
        if !duration.0.is_zero() && duration.0 < LEAST_DURATION {
            let least = HumanDuration(LEAST_DURATION);
            let why = format!("is {duration}: write 0s for one file, or {least} and more");
            return faulty("rotate_duration", why);
        }
        if self.rotate_aligned && duration.0.is_zero() {
            let why =
                "is true without record.rotate_duration: write how long files are, or leave it out";
            return faulty("rotate_aligned", why.to_owned());
        }
        let size = self.rotate_size;
        if size.0 != 0 && size < LEAST_SIZE {
            let why = format!("is {size}: write 0B for one file, or {LEAST_SIZE} and more");
            return faulty("rotate_size", why);
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            path: "recordings".into(),
            file: "{app}/{name}/{start:%Y-%m-%d}/{start:%H-%M-%S}.mp4".to_owned(),
            rotate_duration: HumanDuration::from_secs(3_600),
            rotate_aligned: false,
            rotate_size: ByteSize(0),
            flush_interval: HumanDuration::from_secs(1),
            durability: Durability::default(),
        }
    }
}

/// More often there is nothing new: parts are longer.
const LEAST_FLUSH: Duration = Duration::from_millis(100);

/// Packaging on demand pauses some 20 s after it was last asked for.
const MOST_FLUSH: Duration = Duration::from_secs(10);

/// Below this a folder has more names than media.
const LEAST_DURATION: Duration = Duration::from_secs(10);
const LEAST_SIZE: ByteSize = ByteSize::mib(1);

#[cfg(test)]
mod tests {
    use rillcast_core::Settings;

    use super::*;

    fn read(body: &str) -> Result<Config, String> {
        let settings = Settings::from_toml(&format!("[record]\n{body}"), "a.toml").unwrap();
        let section = settings.section("record").unwrap();
        let config: Config = section.read().map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn the_example_is_the_default() {
        assert_eq!(read(Config::EXAMPLE), Ok(Config::default()));
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key_and_mend() {
        for (body, want) in [
            ("path = \"\"", "record.path is empty: name a folder"),
            (
                "file = \"../{name}\"",
                "record.file is \"../{name}\": leave out the dot",
            ),
            ("file = \"{stream}\"", "{stream} is not known"),
            (
                "flush_interval = \"0s\"",
                "record.flush_interval is 0ms: write a duration from 100ms to 10s",
            ),
            (
                "rotate_duration = \"1s\"",
                "record.rotate_duration is 1s: write 0s for one file, or 10s",
            ),
            (
                "rotate_aligned = true\nrotate_duration = \"0s\"",
                "record.rotate_aligned is true without",
            ),
            (
                "rotate_size = \"5KiB\"",
                "record.rotate_size is 5KiB: write 0B for one file, or 1MiB",
            ),
            ("durability = \"disk\"", "record.durability"),
            ("enable = true", "unknown key \"record.enable\""),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(want), "{body}: {error}");
        }
        let config = read("durability = \"power\"\nrotate_duration = \"0s\"").unwrap();
        assert_eq!(config.durability, Durability::Power);
    }
}
