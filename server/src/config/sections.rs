//! The sections that the server itself reads: `[server]`, `[auth]`, `[log]`.

use std::fmt;
use std::net::SocketAddr;

use rillcast_core::{HumanDuration, Section, SettingsError, SharedSection};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Every section that the server itself reads.
pub(crate) const OWN_SECTIONS: &[SharedSection] = &[
    SharedSection::new("server", ServerConfig::EXAMPLE, |section| {
        ServerConfig::read(section).map(drop)
    })
    .with_stream_keys(&[]),
    SharedSection::new("auth", AuthConfig::EXAMPLE, |section| {
        AuthConfig::read(section).map(drop)
    })
    .with_stream_keys(&["publish_token"]),
    SharedSection::new("log", LogConfig::EXAMPLE, |section| {
        LogConfig::read(section).map(drop)
    })
    .with_stream_keys(&[]),
];

/// `[server]`: the HTTP listener, and how the server ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerConfig {
    #[serde(deserialize_with = "listen_address")]
    pub(crate) listen: SocketAddr,
    pub(crate) max_connections: usize,
    pub(crate) idle_timeout: HumanDuration,
    pub(crate) write_timeout: HumanDuration,
    pub(crate) shutdown_timeout: HumanDuration,
    pub(crate) metrics_streams: usize,
    pub(crate) threads: usize,
}

impl ServerConfig {
    const EXAMPLE: &'static str = r#"# Where HTTP is served: the pages, the API, the metrics and what viewers play.
# 0.0.0.0 and [::] both mean every address of both families; port 0 takes a free one.
listen = "0.0.0.0:8080"
# How many HTTP connections may be open; one more is answered 503. Each viewer
# that waits takes some 20 KB.
max_connections = 20000
# A connection on which no whole request head arrives for so long is closed.
idle_timeout = "30s"
# A client that takes not one byte of its answer for so long is dropped.
write_timeout = "15s"
# At the end, publishers are told and what is in hand is finished for at most so long.
shutdown_timeout = "4s"
# How many streams get series of their own in /metrics; the totals hold all.
metrics_streams = 200
# How many threads carry the connections of publishers and viewers, and what
# their streams need; 0 is one for each core that the server may use.
threads = 0
"#;

    /// Reads and checks the section.
    pub(crate) fn read(section: &Section) -> Result<Self, SettingsError> {
        let config: Self = section.read()?;
        let at_least_one = |key: &str, good: bool| match good {
            true => Ok(()),
            false => Err(section.error(key, "must be more than 0")),
        };
        at_least_one("max_connections", config.max_connections > 0)?;
        at_least_one("idle_timeout", !config.idle_timeout.0.is_zero())?;
        at_least_one("write_timeout", !config.write_timeout.0.is_zero())?;
        if config.threads > MAX_THREADS {
            let message = format!("must be at most {MAX_THREADS}: more than cores is of no use");
            return Err(section.error("threads", message));
        }
        Ok(config)
    }
}

/// More cores than any machine has that this runs on: a slip, not a wish.
const MAX_THREADS: usize = 1_024;

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            max_connections: 20_000,
            idle_timeout: HumanDuration::from_secs(30),
            write_timeout: HumanDuration::from_secs(15),
            shutdown_timeout: HumanDuration::from_secs(4),
            metrics_streams: 200,
            threads: 0,
        }
    }
}

/// `[auth]`: who may publish and who may manage.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuthConfig {
    pub(crate) publish_token: Option<Secret>,
    pub(crate) admin_token: Option<Secret>,
}

impl AuthConfig {
    const EXAMPLE: &'static str = r#"# What publishers must show (rtmp://host/APP/NAME?token=…). May be set per
# stream. Until it is set, everybody who reaches the server may publish.
# publish_token = "a long random text"
# What must be shown as "Authorization: Bearer …" to end streams and to read
# /metrics and addresses. Until it is set, only this machine itself may; behind
# a proxy on this machine, set it: not every proxy can be told from its user.
# admin_token = "another long random text"
"#;

    /// Reads and checks the section.
    pub(crate) fn read(section: &Section) -> Result<Self, SettingsError> {
        section.read()
    }
}

/// `[log]`: what is logged, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl LogConfig {
    const EXAMPLE: &'static str = r#"# error, warn, info, debug or trace; parts of the server may have their own
# level: "info,rillcast_ingest_rtmp=debug".
level = "info"
# text for people, json (an object a line) for machines. Both go to stderr.
format = "text"
"#;

    /// Reads and checks the section.
    pub(crate) fn read(section: &Section) -> Result<Self, SettingsError> {
        let config: Self = section.read()?;
        config
            .filter()
            .map_err(|message| section.error("level", message))?;
        Ok(config)
    }

    /// The filter that `level` describes; the error is a sentence for the user.
    pub(crate) fn filter(&self) -> Result<EnvFilter, String> {
        // The filter takes any other word for a part of the server, which it
        // then shows alone: a slip in the level would silence the log.
        let directives = self.level.split(',').map(str::trim);
        let mut levels = directives.map(|text| text.contains(['=', '[']) || is_level(text));
        let parsed = match levels.all(|right| right) {
            true => EnvFilter::builder().parse(&self.level).ok(),
            false => None,
        };
        parsed.ok_or_else(|| {
            format!(
                "\"{}\" is no log level: write error, warn, info, debug or trace, or parts with \
                 their own, like \"info,rillcast_ingest_rtmp=debug\"",
                self.level
            )
        })
    }
}

fn is_level(text: &str) -> bool {
    text.parse::<LevelFilter>().is_ok() && !text.is_empty()
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// A text that is never printed, and compared in constant time.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// Whether `shown` is the secret. The time that this takes depends on the
    /// length of `shown` only.
    pub(crate) fn matches(&self, shown: &str) -> bool {
        let secret = self.0.as_bytes();
        let mut difference = u8::from(secret.len() != shown.len());
        for (index, byte) in shown.bytes().enumerate() {
            // Read round and round, so that a wrong length takes as long.
            let expected = secret.get(index % secret.len().max(1)).copied();
            difference |= std::hint::black_box(byte ^ expected.unwrap_or_default());
        }
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                if text.is_empty() {
                    return Err(E::custom("must not be empty: write a long random text"));
                }
                Ok(Secret(text.to_owned()))
            }
            // The error of the default would print the value.
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom("is a number: put it in quotes, like '\"123\"'"))
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom("is a number: put it in quotes, like '\"123\"'"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// Reads an address to listen at; `localhost` and an empty host are understood.
fn listen_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let numeric = match text.split_once(':') {
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        Some(("", port)) => format!("0.0.0.0:{port}"),
        _ => text.clone(),
    };
    numeric.parse().map_err(|_| {
        de::Error::custom(format!(
            "\"{text}\" is no address to listen at: write address:port, like \"0.0.0.0:8080\" or \
             \"[::1]:8080\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_itself_alone() {
        let secret = Secret("hunter2".into());
        assert!(secret.matches("hunter2"));
        for wrong in [
            "",
            "hunter",
            "hunter3",
            "hunter2hunter2",
            "Hunter2",
            "hunter22",
        ] {
            assert!(!secret.matches(wrong), "{wrong}");
        }
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn every_own_example_holds_the_defaults() {
        for own in OWN_SECTIONS {
            let text = format!("[{}]\n{}", own.name, own.example);
            let settings = rillcast_core::Settings::from_toml(&text, "example").unwrap();
            (own.check)(&settings.section(own.name).unwrap()).unwrap();
        }
        let text = format!("[server]\n{}", ServerConfig::EXAMPLE);
        let settings = rillcast_core::Settings::from_toml(&text, "example").unwrap();
        let read = ServerConfig::read(&settings.section("server").unwrap()).unwrap();
        assert_eq!(
            format!("{read:?}"),
            format!("{:?}", ServerConfig::default())
        );
    }
}
