//! The section `[rtmp]` of the configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rillcast_core::{ByteSize, HumanDuration};
use rillcast_media::flv::amf0;
use serde::{Deserialize, Deserializer, de};

use crate::error::ConfigError;
use crate::proto::SessionLimits;
use crate::proto::chunk::{MAX_CHUNK_SIZE, ReaderLimits};

/// What `[rtmp]` holds. Every bound on what a peer may make the server hold or
/// wait for is here, with a default that protects.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Where publishers connect. `0.0.0.0` and `[::]` mean IPv4 and IPv6; port
    /// 0 lets the system choose one.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Connections at once, publishing or not.
    pub max_connections: usize,
    /// Connections at once from one address (IPv6: from one /64 network).
    pub max_connections_per_address: usize,
    /// From the connection to its publish, and from the end of a publish to
    /// the next one on the same connection.
    pub handshake_timeout: HumanDuration,
    /// A publisher's connection on which nothing at all arrives for so long is
    /// closed, and its stream waits for it to come back. `limits.idle_timeout`
    /// looks for frames and ends the stream; by default it comes first.
    pub idle_timeout: HumanDuration,
    /// The longest video or audio message: one picture, or one frame of sound.
    pub max_message_size: ByteSize,
    /// The longest message of any other kind, and of any kind from a peer that
    /// does not publish (yet).
    pub max_command_size: ByteSize,
    /// Chunk streams in use on one connection; encoders use four or five.
    pub max_chunk_streams: usize,
    /// Messages begun and not finished on one connection.
    pub max_partial_messages: usize,
    /// Bytes that those may hold together.
    pub max_partial_bytes: ByteSize,
    /// How deep the objects and arrays of a command or of metadata may nest.
    pub max_amf_depth: usize,
    /// How many values one of those may hold, all levels counted.
    pub max_amf_values: usize,
    /// Answers that may wait for a peer that does not read them.
    pub max_write_buffer: ByteSize,
    /// Messages and commands of no use (of unknown kinds, malformed, or media
    /// outside of a publish) that a connection may send in a minute.
    pub max_useless_messages: u64,
    /// The largest read from a socket, and so the largest read buffer of a
    /// connection. It begins with a sixteenth and grows with the bitrate.
    pub read_buffer: ByteSize,
}

impl Config {
    /// The section as a commented example.
    pub const EXAMPLE: &'static str = "\
# Where publishers connect. 0.0.0.0 and [::] mean IPv4 and IPv6; port 0 lets
# the system choose one.
listen = \"0.0.0.0:1935\"
# Connections at once, and at once from one address (IPv6: one /64 network).
max_connections = 2000
max_connections_per_address = 256
# From the connection to its publish.
handshake_timeout = \"10s\"
# A publisher's connection on which nothing at all arrives for so long, not even a
# ping, is taken for dead and closed; its stream waits for the publisher to come
# back. It matters where limits.idle_timeout, which looks for pictures and sound
# and ends the stream, is longer than this.
idle_timeout = \"60s\"
# The longest video or audio message (one picture), at most 16 MiB.
max_message_size = \"8MiB\"
# The longest message of any other kind, and of any kind before a publish.
max_command_size = \"64KiB\"
# What one connection may hold unfinished.
max_chunk_streams = 64
max_partial_messages = 16
max_partial_bytes = \"12MiB\"
# How deep a command or metadata (AMF0) may nest, at most 64, and how many values
# one may hold. Encoders nest three deep and send some forty.
max_amf_depth = 16
max_amf_values = 16384
# Answers that may wait for a peer that does not read them.
max_write_buffer = \"64KiB\"
# Messages of no use that a connection may send in a minute: of unknown kinds,
# malformed, or media outside of a publish.
max_useless_messages = 10000
# The largest read buffer of a connection; it begins with a sixteenth.
read_buffer = \"64KiB\"
";

    /// Looks whether the bounds make sense together.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the key and the mend.
    pub fn check(&self) -> Result<(), ConfigError> {
        let bounds = [
            ("max_connections", self.max_connections, 1, usize::MAX),
            (
                "max_connections_per_address",
                self.max_connections_per_address,
                1,
                usize::MAX,
            ),
            // Protocol control, commands, metadata, audio and video.
            ("max_chunk_streams", self.max_chunk_streams, 8, MOST_STREAMS),
            (
                "max_partial_messages",
                self.max_partial_messages,
                4,
                MOST_STREAMS,
            ),
            // A property of the command object, and of metadata behind it.
            (
                "max_amf_depth",
                self.max_amf_depth,
                3,
                amf0::Limits::MOST_DEPTH,
            ),
            (
                "max_amf_values",
                self.max_amf_values,
                256,
                amf0::Limits::MOST_VALUES,
            ),
        ];
        for (key, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(ConfigError::Number { key, least, most });
            }
        }
        let longest = ByteSize(u64::from(MAX_CHUNK_SIZE) + 1);
        let sizes = [
            (
                "max_message_size",
                self.max_message_size,
                ByteSize(64 << 10),
                longest,
            ),
            // FFmpeg's connect and metadata take some 500 bytes each.
            (
                "max_command_size",
                self.max_command_size,
                ByteSize(4 << 10),
                longest,
            ),
            (
                "max_partial_bytes",
                self.max_partial_bytes,
                self.max_message_size,
                ByteSize(u64::MAX),
            ),
            (
                "max_write_buffer",
                self.max_write_buffer,
                ByteSize(16 << 10),
                ByteSize::mib(64),
            ),
            (
                "read_buffer",
                self.read_buffer,
                ByteSize(16 << 10),
                ByteSize::mib(4),
            ),
        ];
        for (key, value, least, most) in sizes {
            if !(least..=most).contains(&value) {
                return Err(ConfigError::Size { key, least, most });
            }
        }
        for (key, value) in [
            ("handshake_timeout", self.handshake_timeout),
            ("idle_timeout", self.idle_timeout),
        ] {
            if !(Duration::from_millis(100)..=MAX_TIMEOUT).contains(&value.0) {
                return Err(ConfigError::Timeout { key });
            }
        }
        Ok(())
    }

    /// The part that a session needs.
    #[must_use]
    pub fn session_limits(&self) -> SessionLimits {
        SessionLimits {
            reader: ReaderLimits {
                max_message_size: self.max_message_size.as_usize(),
                max_command_size: self.max_command_size.as_usize(),
                max_chunk_streams: self.max_chunk_streams,
                max_partial_messages: self.max_partial_messages,
                max_partial_bytes: self.max_partial_bytes.as_usize(),
            },
            handshake_timeout: self.handshake_timeout.0,
            idle_timeout: self.idle_timeout.0,
            max_write_buffer: self.max_write_buffer.as_usize(),
            max_useless_messages: self.max_useless_messages,
            amf: self.amf_limits(),
        }
    }

    /// What a command or metadata may hold.
    #[must_use]
    pub fn amf_limits(&self) -> amf0::Limits {
        amf0::Limits::new(self.max_amf_depth, self.max_amf_values)
    }
}

impl Default for Config {
    fn default() -> Self {
        let session = SessionLimits::default();
        let reader = session.reader;
        let size = |bytes: usize| ByteSize(u64::try_from(bytes).unwrap_or(u64::MAX));
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 1935)),
            max_connections: 2_000,
            max_connections_per_address: 256,
            handshake_timeout: HumanDuration(session.handshake_timeout),
            idle_timeout: HumanDuration(session.idle_timeout),
            max_message_size: size(reader.max_message_size),
            max_command_size: size(reader.max_command_size),
            max_chunk_streams: reader.max_chunk_streams,
            max_partial_messages: reader.max_partial_messages,
            max_partial_bytes: size(reader.max_partial_bytes),
            max_amf_depth: session.amf.depth(),
            max_amf_values: session.amf.values(),
            max_write_buffer: size(session.max_write_buffer),
            max_useless_messages: session.max_useless_messages,
            read_buffer: ByteSize(64 << 10),
        }
    }
}

/// Chunk streams are found one after the other, which is the quickest way among
/// the few that encoders use; a peer that uses tens of thousands would hold its
/// thread up.
const MOST_STREAMS: usize = 1_024;

/// Longer waits are a mistake in the unit.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);

/// An address in words that say what one looks like.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        de::Error::custom(format!(
            "\"{text}\" is no address to listen on: write an IP address and a port, \
             like \"0.0.0.0:1935\" or \"[::1]:1935\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_the_default() {
        let config: Config = toml::from_str(Config::EXAMPLE).unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.check(), Ok(()));
        let keys = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(keys(Config::EXAMPLE), 15, "every key is shown");
        assert_eq!(toml::from_str::<Config>("").unwrap(), config);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("lisen = \"0.0.0.0:1935\"", "lisen"),
            ("listen = \"localhost\"", "0.0.0.0:1935"),
            ("listen = 1935", "string"),
            ("handshake_timeout = 10", "2s"),
            ("max_message_size = \"8 megs\"", "MiB"),
        ] {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn bounds_that_cannot_work_are_refused() {
        for (text, word) in [
            ("max_connections = 0", "max_connections"),
            ("max_connections_per_address = 0", "at least 1"),
            ("max_chunk_streams = 2", "max_chunk_streams"),
            ("max_chunk_streams = 20000", "1024"),
            ("max_partial_messages = 1", "max_partial_messages"),
            ("max_amf_depth = 65", "at most 64"),
            ("max_amf_depth = 2", "max_amf_depth"),
            ("max_amf_values = 10000000", "at most 1048576"),
            ("max_message_size = \"17MiB\"", "16MiB"),
            ("max_message_size = \"1KiB\"", "64KiB"),
            ("max_partial_bytes = \"4MiB\"", "8MiB"),
            ("max_command_size = 100", "max_command_size"),
            ("max_write_buffer = 1", "max_write_buffer"),
            ("read_buffer = \"1GiB\"", "read_buffer"),
            ("handshake_timeout = \"0s\"", "handshake_timeout"),
            ("idle_timeout = \"365d\"", "idle_timeout"),
        ] {
            let config: Config = toml::from_str(text).unwrap();
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
