//! The section `[srt]` of the configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rillcast_core::{ByteSize, FaultyKey, HumanDuration, StreamKey};
use serde::{Deserialize, Deserializer, de};

use crate::proto::connection::Limits;
use crate::proto::keys::{KeyLength, Passphrase};

/// What `[srt]` holds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Where callers connect, by UDP. `0.0.0.0` and `[::]` mean IPv4 and IPv6; port 0
    /// lets the system choose one.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// The least time from a packet's sending to its delivery, beyond the shortest way:
    /// what is lost can be sent again within it. A caller may ask for more.
    pub latency: HumanDuration,
    /// The most that a caller may ask for.
    pub max_latency: HumanDuration,
    /// What callers must encrypt with; nothing if it is empty. It may be another one
    /// for each stream.
    pub passphrase: String,
    /// Connections at once, those that are being opened included.
    pub max_connections: usize,
    /// Connections at once from one address (IPv6: from one /64 network).
    pub max_connections_per_address: usize,
    /// A caller that is silent for so long is gone.
    pub idle_timeout: HumanDuration,
    /// What one connection may hold of packets that wait for their time.
    pub max_buffered: ByteSize,
    /// The system's buffer of the socket, which all callers share.
    pub receive_buffer: ByteSize,
    /// Streams that are fetched from listeners elsewhere.
    pub pull: Vec<Pull>,
}

/// A stream that is fetched from a listener elsewhere: one `[[srt.pull]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pull {
    /// The listener: `host:port`.
    pub from: String,
    /// What the stream is called here: `app/name`.
    pub stream: String,
    /// The streamid that the listener is asked for; none if it is empty.
    #[serde(default)]
    pub streamid: String,
    /// The passphrase of the listener; none if it is empty.
    #[serde(default)]
    pub passphrase: String,
    /// The length of the key in bits, if there is a passphrase: 128, 192 or 256.
    #[serde(default = "shortest_key")]
    pub key_length: u32,
    /// The least latency; that of the section if it is not set.
    #[serde(default)]
    pub latency: Option<HumanDuration>,
}

const fn shortest_key() -> u32 {
    128
}

/// What of the section may be another one for each stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct StreamConfig {
    pub(crate) latency: HumanDuration,
    pub(crate) passphrase: String,
}

impl Config {
    /// The section as a commented example.
    pub const EXAMPLE: &'static str = "\
# Where callers connect, by UDP. 0.0.0.0 and [::] mean IPv4 and IPv6; port 0 lets
# the system choose one.
listen = \"0.0.0.0:8890\"
# The least time from a packet's sending to its delivery, beyond the shortest way.
# What is lost is sent again within it: four round trips are enough on most lines. A
# caller may ask for more, up to max_latency. May be set per stream.
latency = \"120ms\"
max_latency = \"10s\"
# What callers must encrypt with (AES-128, 192 or 256, as they choose), 10 to 79
# bytes; \"\" means that they must not. May be set per stream.
passphrase = \"\"
# Connections at once, and at once from one address (IPv6: one /64 network).
max_connections = 2000
max_connections_per_address = 256
# A caller that is silent for so long is gone; its stream waits for it to come back.
idle_timeout = \"5s\"
# What one connection may hold of packets that wait for their time.
max_buffered = \"32MiB\"
# The system's buffer of the socket, which all callers share. Where the system gives
# less the log says so: on Linux net.core.rmem_max is the bound.
receive_buffer = \"8MiB\"
# Streams that are fetched from listeners elsewhere, a [[srt.pull]] table for each:
# `from` is the listener (host:port) and `stream` the name here (app/name); `streamid`,
# `passphrase`, `key_length` (128, 192 or 256) and `latency` are set as it needs them.
pull = []
";

    /// Looks whether the values make sense.
    ///
    /// # Errors
    /// A sentence that names the key and the mend.
    pub(crate) fn check(&self) -> Result<(), FaultyKey> {
        let fault = |key: &'static str, why: String| Err(FaultyKey::new(key, why));
        for (key, value) in [
            ("max_connections", self.max_connections),
            (
                "max_connections_per_address",
                self.max_connections_per_address,
            ),
        ] {
            if value == 0 {
                return fault(key, format!("srt.{key} is 0: write 1 or more"));
            }
        }
        check_latency("srt.latency", self.latency).or_else(|why| fault("latency", why))?;
        check_latency("srt.max_latency", self.max_latency)
            .or_else(|why| fault("max_latency", why))?;
        if self.latency > self.max_latency {
            let (latency, most) = (self.latency, self.max_latency);
            let why =
                format!("srt.latency is {latency}, above srt.max_latency ({most}): raise that");
            return fault("latency", why);
        }
        passphrase(&self.passphrase)
            .map(drop)
            .or_else(|why| fault("passphrase", format!("srt.passphrase: {why}")))?;
        let idle = self.idle_timeout;
        if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&idle.0) {
            let why = format!("srt.idle_timeout is {idle}: write 1s to 1h");
            return fault("idle_timeout", why);
        }
        for (key, value, least) in [
            ("max_buffered", self.max_buffered, ByteSize::mib(1)),
            ("receive_buffer", self.receive_buffer, ByteSize(64 << 10)),
        ] {
            if !(least..=ByteSize::mib(1_024)).contains(&value) {
                let why = format!("srt.{key} is {value}: write {least} to 1GiB");
                return fault(key, why);
            }
        }
        for pull in &self.pull {
            pull.check().or_else(|why| fault("pull", why))?;
        }
        Ok(())
    }

    /// The bounds of one connection.
    pub(crate) const fn limits(&self) -> Limits {
        Limits {
            packets: FLOW_WINDOW,
            bytes: self.max_buffered.0,
            idle: self.idle_timeout.0,
        }
    }
}

impl Pull {
    fn check(&self) -> Result<(), String> {
        let of = &self.stream;
        StreamKey::parse(of).map_err(|error| format!("srt.pull of \"{of}\": stream: {error}"))?;
        if self.from.rsplit_once(':').is_none_or(|(host, port)| {
            host.is_empty()
                || port.parse::<u16>().is_ok_and(|port| port == 0)
                || port.parse::<u16>().is_err()
        }) {
            let from = &self.from;
            return Err(format!(
                "srt.pull of {of}: from is \"{from}\": write an address as host:port"
            ));
        }
        passphrase(&self.passphrase)
            .map_err(|why| format!("srt.pull of {of}: passphrase: {why}"))?;
        if self.key_length().is_none() {
            let bits = self.key_length;
            return Err(format!(
                "srt.pull of {of}: key_length is {bits}: write 128, 192 or 256"
            ));
        }
        if let Some(latency) = self.latency {
            check_latency(&format!("srt.pull of {of}: latency"), latency)?;
        }
        Ok(())
    }

    /// The length of the key.
    pub(crate) fn key_length(&self) -> Option<KeyLength> {
        let bytes = usize::try_from(self.key_length / 8).ok()?;
        KeyLength::from_bytes(bytes).filter(|_| self.key_length.is_multiple_of(8))
    }
}

/// The passphrase, if one is set.
pub(crate) fn passphrase(text: &str) -> Result<Option<Passphrase>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let passphrase = Passphrase::new(text).map_err(|error| error.to_string())?;
    Ok(Some(passphrase))
}

/// Latencies are whole milliseconds in 16 bits.
fn check_latency(name: &str, latency: HumanDuration) -> Result<(), String> {
    if latency.0 > Duration::from_secs(60) {
        return Err(format!("{name} is {latency}: write 0s to 60s"));
    }
    Ok(())
}

/// How many packets may be on their way to delivery.
pub(crate) const FLOW_WINDOW: u32 = 16_384;

impl Default for StreamConfig {
    fn default() -> Self {
        let Config {
            latency,
            passphrase,
            ..
        } = Config::default();
        Self {
            latency,
            passphrase,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8_890)),
            latency: HumanDuration::from_millis(120),
            max_latency: HumanDuration::from_secs(10),
            passphrase: String::new(),
            max_connections: 2_000,
            max_connections_per_address: 256,
            idle_timeout: HumanDuration::from_secs(5),
            max_buffered: ByteSize::mib(32),
            receive_buffer: ByteSize::mib(8),
            pull: Vec::new(),
        }
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        de::Error::custom(format!(
            "\"{text}\" is no address: write IP:PORT, for example 0.0.0.0:8890"
        ))
    })
}

#[cfg(test)]
mod tests {
    use rillcast_core::Settings;

    use super::*;

    fn read(body: &str) -> Result<Config, String> {
        let settings = Settings::from_toml(&format!("[srt]\n{body}"), "a.toml").unwrap();
        let section = settings.section("srt").unwrap();
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
            ("listen = \"8890\"", "write IP:PORT"),
            ("latency = \"2m\"", "0s to 60s"),
            ("latency = \"11s\"", "above srt.max_latency"),
            ("passphrase = \"short\"", "from 10 to 79 bytes"),
            ("idle_timeout = \"0s\"", "write 1s to 1h"),
            ("max_buffered = \"1KiB\"", "1MiB to 1GiB"),
            ("max_connections = 0", "write 1 or more"),
            ("port = 1", "unknown key \"srt.port\""),
            (
                "[[srt.pull]]\nfrom = \"a\"\nstream = \"live/a\"",
                "host:port",
            ),
            ("[[srt.pull]]\nfrom = \"a:1\"\nstream = \"a\"", "stream:"),
            (
                "[[srt.pull]]\nfrom = \"a:1\"\nstream = \"live/a\"\nkey_length = 100",
                "128, 192 or 256",
            ),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(want), "{body}: {error}");
        }
    }

    #[test]
    fn a_pull_needs_little() {
        let config = read("[[srt.pull]]\nfrom = \"a.example:9000\"\nstream = \"live/a\"").unwrap();
        assert_eq!(config.pull[0].key_length(), Some(KeyLength::Aes128));
    }
}
