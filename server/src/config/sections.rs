//! The sections that the server itself reads: `[server]`, `[auth]`, `[log]`.

use std::fmt;
use std::net::SocketAddr;

use rillcast_core::{ByteSize, HumanDuration, Section, SettingsError, SharedSection};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::tls::TlsConfig;

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
    pub(crate) max_connections_per_address: usize,
    pub(crate) head_timeout: HumanDuration,
    pub(crate) idle_timeout: HumanDuration,
    pub(crate) body_timeout: HumanDuration,
    pub(crate) write_timeout: HumanDuration,
    pub(crate) max_head_size: ByteSize,
    pub(crate) max_headers: usize,
    pub(crate) max_target_size: ByteSize,
    pub(crate) max_body_size: ByteSize,
    pub(crate) shutdown_timeout: HumanDuration,
    pub(crate) metrics_streams: usize,
    pub(crate) threads: usize,
    pub(crate) tls: TlsConfig,
}

impl ServerConfig {
    const EXAMPLE: &'static str = r#"# Where HTTP is served: the pages, the API, the metrics and what viewers play;
# HTTP/1.1, and HTTP/2 to clients that begin with it (proxies, mostly).
# 0.0.0.0 and [::] both mean every address of both families; port 0 takes a free one.
listen = "0.0.0.0:8080"
# How many HTTP connections may be open, in all and from one address (IPv6: one
# /64 network); one more is answered 503. Each viewer that waits takes some 20 KB.
# Behind a proxy, or for an audience behind one address, raise the second.
max_connections = 20000
max_connections_per_address = 2000
# The first request's head must be there so long after the connection; a later
# one's, or anything at all, so long after the answer before it.
head_timeout = "10s"
idle_timeout = "30s"
# A request's body must be there so long after its head.
body_timeout = "30s"
# A client that takes not one byte of its answers for so long is dropped. Where
# only one of several stalls, as HTTP/2 has them, that one is taken back.
write_timeout = "15s"
# The largest head of a request (its first line and its headers), and the most
# headers in it: beyond either it is answered 431. HTTP/2 may count 32 bytes more
# for each header.
max_head_size = "32KiB"
max_headers = 100
# The longest path with its query: beyond it a request is answered 414.
max_target_size = "8KiB"
# The largest body of a request: beyond it, it is answered 413. What comes in by
# HTTP is control, not media.
max_body_size = "1MiB"
# At the end, publishers are told and what is in hand is finished for at most so long.
shutdown_timeout = "4s"
# How many streams get series of their own in /metrics; the totals hold all.
metrics_streams = 200
# How many threads carry the connections of publishers and viewers, and what
# their streams need; 0 is one for each core that the server may use.
threads = 0
# HTTPS, with HTTP/2 and HTTP/1.1, at an address of its own, as soon as both files
# are named: the certificate with its chain, the server's own first, and its
# private key, in PEM. They are read at the start; a new certificate needs a new one.
# tls.listen = "0.0.0.0:8443"
# tls.cert = "/etc/letsencrypt/live/example.org/fullchain.pem"
# tls.key = "/etc/letsencrypt/live/example.org/privkey.pem"
"#;

    /// Reads and checks the section.
    pub(crate) fn read(section: &Section) -> Result<Self, SettingsError> {
        let config: Self = section.read()?;
        let at_least_one = |key: &str, good: bool| match good {
            true => Ok(()),
            false => Err(section.error(key, "must be more than 0")),
        };
        at_least_one("max_connections", config.max_connections > 0)?;
        let per_address = config.max_connections_per_address;
        at_least_one("max_connections_per_address", per_address > 0)?;
        for (key, value) in [
            ("head_timeout", config.head_timeout),
            ("idle_timeout", config.idle_timeout),
            ("body_timeout", config.body_timeout),
            ("write_timeout", config.write_timeout),
        ] {
            at_least_one(key, !value.0.is_zero())?;
        }
        // A browser with a few cookies sends some 2 KiB in 20 headers; hyper
        // takes memory for as many headers as may come, for each request.
        let sizes = [
            ("max_head_size", config.max_head_size, 4 << 10, 1 << 20),
            ("max_target_size", config.max_target_size, 1 << 10, 60 << 10),
            ("max_body_size", config.max_body_size, 1, 1 << 30),
        ];
        for (key, value, least, most) in sizes {
            let (least, most) = (ByteSize(least), ByteSize(most));
            if !(least..=most).contains(&value) {
                let range = format_args!("must be at least {least} and at most {most}");
                return Err(section.error(key, range));
            }
        }
        if !(16..=1_000).contains(&config.max_headers) {
            return Err(section.error("max_headers", "must be at least 16 and at most 1000"));
        }
        config.tls.check(section)?;
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
            max_connections_per_address: 2_000,
            head_timeout: HumanDuration::from_secs(10),
            idle_timeout: HumanDuration::from_secs(30),
            body_timeout: HumanDuration::from_secs(30),
            write_timeout: HumanDuration::from_secs(15),
            max_head_size: ByteSize(32 << 10),
            max_headers: 100,
            max_target_size: ByteSize(8 << 10),
            max_body_size: ByteSize::mib(1),
            shutdown_timeout: HumanDuration::from_secs(4),
            metrics_streams: 200,
            threads: 0,
            tls: TlsConfig::default(),
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
        // h2 warns of what any peer may send, once for each, and tells of every
        // frame; whoever wants that names it.
        let names_h2 = self
            .level
            .split(',')
            .any(|text| text.trim().starts_with("h2"));
        let parsed = parsed.map(|filter| match H2_LEVEL.parse() {
            Ok(directive) if !names_h2 => filter.add_directive(directive),
            _ => filter,
        });
        parsed.ok_or_else(|| {
            format!(
                "\"{}\" is no log level: write error, warn, info, debug or trace, or parts with \
                 their own, like \"info,rillcast_ingest_rtmp=debug\"",
                self.level
            )
        })
    }
}

const H2_LEVEL: &str = "h2=error";

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
pub(super) fn listen_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SocketAddr, D::Error> {
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
    fn h2_is_heard_by_name_only() {
        for (level, heard) in [
            ("info", "h2=error"),
            ("debug,rillcast_server=trace", "h2=error"),
            ("info,h2=trace", "h2=trace"),
            ("warn,h2::proto=debug", "h2::proto=debug"),
        ] {
            let format = LogFormat::Text;
            let level = level.to_owned();
            let filter = LogConfig { level, format }.filter().unwrap().to_string();
            let parts: Vec<&str> = filter
                .split(',')
                .filter(|it| it.starts_with("h2"))
                .collect();
            assert_eq!(parts, [heard], "{filter}");
        }
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
