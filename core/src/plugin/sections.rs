//! The sections that the core itself reads: `[bus]` and `[limits]`.

use serde::Deserialize;

use super::SharedSection;
use crate::{
    BitRate, Bitrates, BusConfig, ByteSize, HumanDuration, RegistryConfig, Section, Settings,
    SettingsError, StreamKey,
};

/// The sections that the core itself reads.
pub(super) const CORE_SECTIONS: &[SharedSection] = &[
    SharedSection::new("bus", BUS_EXAMPLE, |section| {
        section.read::<BusConfig>().map(drop)
    }),
    SharedSection::new("limits", Limits::EXAMPLE, |section| {
        section.read::<Limits>()?.check(section)
    })
    .with_stream_keys(&[
        "idle_timeout",
        "bitrate_warn",
        "bitrate_cut",
        "streams_per_app",
    ]),
];

/// The `[limits]` section: bounds that hold for every protocol.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// A publisher that sends no frame for so long is ended, and its stream.
    pub idle_timeout: HumanDuration,
    /// A publisher that sends more is told of in the log, once; 0 is no bound.
    pub bitrate_warn: BitRate,
    /// The stream of a publisher that sends more is ended; 0 is no bound.
    pub bitrate_cut: BitRate,
    /// How many streams may live at once, and with them publishers.
    pub streams: usize,
    /// How many of them one app may have.
    pub streams_per_app: usize,
    /// How many of them may wait for their publisher to come back.
    pub waiting_streams: usize,
    /// How much memory the buses of all streams may hold together.
    pub memory: ByteSize,
}

impl Limits {
    /// The section as a commented example.
    pub const EXAMPLE: &'static str = "\
# A publisher that sends no picture and no sound for so long is ended, and its
# stream with it, whether or not it is still connected: nothing is on air. (An
# ingest's own idle_timeout looks for bytes of any kind, closes the connection,
# and lets the stream wait for its publisher.) May be set per stream.
idle_timeout = \"30s\"
# What a publisher may send: above the first it is told of in the log, in the API
# and in the metrics, above the second its stream ends (\"0bps\": never). Five
# seconds' worth may come at once, so that neither a keyframe nor what an encoder
# saved up trips it. A contribution feed in 4K takes 20 to 80 Mbps: what is far
# above is a mistake, or a flood. Both may be set per stream.
bitrate_warn = \"100Mbps\"
bitrate_cut = \"200Mbps\"
# How many streams may live at once, in all and of one app; one more publisher is
# refused. The second may be set per stream: for match = \"stage/*\", say.
streams = 1000
streams_per_app = 500
# How many of them may wait for a publisher that has left (bus.reconnect_grace).
# Beyond it, and where a new publisher finds no room, one of them ends: first one
# that never carried a frame, then one of the address (of IPv6, the /64 network)
# that most of them came from, then the youngest. Who comes and goes with ever new
# names takes nobody else's place.
waiting_streams = 500
# How much memory the buses of all streams may hold together; near the bound,
# streams keep less for viewers that join or fall behind.
memory = \"1GiB\"
";
}

impl Limits {
    /// Refuses limits under which nobody could publish at all.
    fn check(&self, section: &Section) -> Result<(), SettingsError> {
        let refuse = |key, least: &dyn std::fmt::Display| {
            Err(section.error(key, format_args!("must be at least {least}")))
        };
        if self.idle_timeout < LEAST_IDLE_TIMEOUT {
            return refuse("idle_timeout", &LEAST_IDLE_TIMEOUT);
        }
        for (key, rate) in [
            ("bitrate_warn", self.bitrate_warn),
            ("bitrate_cut", self.bitrate_cut),
        ] {
            if rate != BitRate(0) && rate < LEAST_BITRATE {
                return refuse(key, &LEAST_BITRATE);
            }
        }
        if self.streams == 0 {
            return refuse("streams", &1);
        }
        if self.streams_per_app == 0 {
            return refuse("streams_per_app", &1);
        }
        if self.memory < LEAST_MEMORY {
            return refuse("memory", &LEAST_MEMORY);
        }
        Ok(())
    }

    /// What a publisher may send.
    #[must_use]
    pub const fn bitrates(&self) -> Bitrates {
        Bitrates::new(self.bitrate_warn, self.bitrate_cut)
    }

    /// The registry that these limits ask for.
    #[must_use]
    pub fn registry(&self) -> RegistryConfig {
        RegistryConfig::default()
            .with_memory(self.memory)
            .with_max_streams(self.streams)
            .with_max_waiting(self.waiting_streams)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle_timeout: HumanDuration::from_secs(30),
            bitrate_warn: BitRate::mbps(100),
            bitrate_cut: BitRate::mbps(200),
            streams: 1_000,
            streams_per_app: 500,
            waiting_streams: 500,
            memory: ByteSize(1 << 30),
        }
    }
}

/// Any camera pauses for less.
const LEAST_IDLE_TIMEOUT: HumanDuration = HumanDuration::from_millis(100);

/// Sound alone takes more: a slip in the unit.
const LEAST_BITRATE: BitRate = BitRate(8_000);

/// Less than one stream's smallest blocks.
const LEAST_MEMORY: ByteSize = ByteSize::mib(1);

pub(super) fn bus_settings(
    settings: &Settings,
    key: &StreamKey,
) -> Result<BusConfig, SettingsError> {
    settings.section_for("bus", key)?.read()
}

pub(super) fn limits(settings: &Settings, key: &StreamKey) -> Result<Limits, SettingsError> {
    settings.section_for("limits", key)?.read()
}

/// The `[bus]` section as a commented example; a test holds it against the defaults.
const BUS_EXAMPLE: &str = "\
# How long a stream waits for its publisher to come back before it ends.
reconnect_grace = \"15s\"
# What happens to a second publisher of a live stream: \"reject\" refuses it,
# \"replace\" lets it take the stream over.
takeover = \"reject\"
# A publisher that has been silent for so long may be replaced in any case.
stale_after = \"2s\"
# The current group of pictures is kept for viewers that join, up to so many
# frames (0: not at all), bytes, and so old.
gop_cache = 4096
gop_cache_bytes = \"48MiB\"
gop_cache_age = \"20s\"
# How far behind live a slow reader finds what it has not read yet.
lag_window = \"5s\"
lag_frames = 2048
# How much a stream keeps in memory for its readers, and how much all readers
# that fell behind may keep alive beyond that.
memory = \"64MiB\"
pinned_limit = \"16MiB\"
# A reader that misses more frames than this within the window is cut off (0: never).
max_lag = 0
max_lag_window = \"10s\"
# Where viewers can join a stream without pictures.
audio_join_interval = \"1s\"
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_the_defaults() {
        let text = format!("[bus]\n{BUS_EXAMPLE}\n[limits]\n{}", Limits::EXAMPLE);
        let settings = Settings::from_toml(&text, "example").unwrap();
        let key = "a/b".parse().unwrap();
        assert_eq!(bus_settings(&settings, &key).unwrap(), BusConfig::default());
        assert_eq!(limits(&settings, &key).unwrap(), Limits::default());
    }

    #[test]
    fn limits_under_which_nothing_could_live_are_refused() {
        for (text, want) in [
            ("", None),
            (
                "idle_timeout = \"100ms\"\nstreams = 1\nmemory = \"1MiB\"\n",
                None,
            ),
            (
                "\nidle_timeout = \"0s\"\n",
                Some("f line 3: limits.idle_timeout: must be at least 100ms"),
            ),
            (
                "streams = 0\n",
                Some("f line 2: limits.streams: must be at least 1"),
            ),
            (
                "bitrate_cut = \"200bps\"\n",
                Some("f line 2: limits.bitrate_cut: must be at least 8kbps"),
            ),
            ("bitrate_warn = \"0bps\"\nbitrate_cut = \"0bps\"\n", None),
            (
                "streams_per_app = 0\n",
                Some("f line 2: limits.streams_per_app: must be at least 1"),
            ),
            (
                "memory = 5\n",
                Some("f line 2: limits.memory: must be at least 1MiB"),
            ),
        ] {
            let settings = Settings::from_toml(&format!("[limits]\n{text}"), "f").unwrap();
            let section = settings.section("limits").unwrap();
            let checked = section.read::<Limits>().unwrap().check(&section);
            assert_eq!(
                checked.err().map(|error| error.to_string()).as_deref(),
                want
            );
        }
    }
}
