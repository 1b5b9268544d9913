//! The metrics, in the OpenMetrics text format that Prometheus reads.
//!
//! Everything is read where it is counted, at the moment of the scrape. The
//! number of series is bounded: only `server.metrics_streams` streams get
//! series of their own, and no label takes a value that a peer can choose
//! freely, except those streams' names.

mod process;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rillcast_core::{Lifecycle, Link, LinkStats, PluginState, Qos, StreamHandle, Viewers};
use rillcast_media::cmaf;

use crate::app::App;
use crate::http::{HttpStats, get};
use crate::packaging::Packaging;

/// The type of what [`render`] gives.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything, as text.
pub(crate) fn render(app: &Arc<App>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(process::Process));
    let ours = registry.sub_registry_with_prefix("rillcast");
    ours.register_collector(Box::new(Scrape(Arc::clone(app))));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Scrape(Arc<App>);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        server(&self.0, &mut families)?;
        http(self.0.stats(), &mut families)?;
        let streams = self.0.registry().list();
        let streams: Vec<Sample> = streams.iter().map(Sample::of).collect();
        totals(&streams, &mut families)?;
        families.gauge(
            "window_memory_reserved_bytes",
            "Taken of cmaf.total_memory, by windows of ended streams too",
            self.0.registry().shared(cmaf::Store::new).reserved(),
        )?;
        families.counter(
            "bitrate_cuts",
            "Streams ended because more was sent than limits.bitrate_cut allows",
            self.0.registry().bitrate_cuts(),
        )?;
        let listed = streams.len().min(self.0.metrics_streams());
        let listed = streams.get(..listed).unwrap_or_default();
        per_stream(listed, &mut families)
    }
}

fn server(app: &App, families: &mut Families<'_>) -> fmt::Result {
    let version = [[("version", env!("CARGO_PKG_VERSION"))]];
    families.gauges(
        "build_info",
        "The running version, as a label",
        version.map(|v| (v, 1_i64)),
    )?;
    families.gauge(
        "uptime_seconds",
        "Seconds since the server's start",
        app.uptime().as_secs_f64(),
    )?;
    let plugins = app.host().status();
    let up = plugins.iter().map(|plugin| {
        let up = i64::from(matches!(plugin.state, PluginState::Running(_)));
        ([("plugin", plugin.plugin.name())], up)
    });
    families.gauges("plugin_up", "Whether the plugin runs", up)?;
    let panics = plugins
        .iter()
        .map(|plugin| ([("plugin", plugin.plugin.name())], plugin.panics));
    families.counters("plugin_panics", "Panics in the plugin's tasks", panics)
}

fn http(stats: &HttpStats, families: &mut Families<'_>) -> fmt::Result {
    let answers = stats
        .answers()
        .map(|(class, count)| ([("status", class.name())], count));
    families.counters(
        "http_responses",
        "HTTP answers by the class of their status",
        answers,
    )?;
    families.gauge(
        "http_connections",
        "Open HTTP connections",
        get(&stats.open),
    )?;
    for (name, help, counter) in [
        (
            "http_connections_accepted",
            "HTTP connections accepted",
            &stats.accepted,
        ),
        (
            "http_connections_refused",
            "HTTP connections refused because too many were open",
            &stats.refused,
        ),
        (
            "http_connections_stalled",
            "HTTP connections dropped because the client took nothing",
            &stats.stalled,
        ),
        (
            "http_accept_errors",
            "Failed accepts, for want of descriptors or memory",
            &stats.accept_errors,
        ),
        (
            "http_sent_bytes",
            "Bytes sent over HTTP, headers included",
            &stats.sent_bytes,
        ),
    ] {
        families.counter(name, help, get(counter))?;
    }
    Ok(())
}

/// What is read of one stream, once.
struct Sample {
    key: String,
    publishing: bool,
    qos: Qos,
    subscribers: usize,
    viewers: usize,
    bus_bytes: u64,
    packaging: Option<Packaging>,
    link: Option<LinkStats>,
}

impl Sample {
    fn of(handle: &StreamHandle) -> Self {
        let memory = handle.memory();
        let viewers = handle.existing_slot::<Viewers>();
        Self {
            key: handle.key().to_string(),
            publishing: handle.current_state().lifecycle == Lifecycle::Publishing,
            qos: handle.qos(),
            subscribers: handle.subscriber_count(),
            viewers: viewers.map_or(0, |viewers| viewers.count(Instant::now())),
            bus_bytes: memory.kept.saturating_add(memory.pinned),
            packaging: Packaging::of(handle),
            link: handle
                .existing_slot::<Link>()
                .and_then(|link| link.load(Instant::now())),
        }
    }

    fn window_bytes(&self) -> u64 {
        self.packaging
            .as_ref()
            .map_or(0, |packaging| packaging.memory)
    }

    fn lost_frames(&self) -> u64 {
        self.packaging
            .as_ref()
            .map_or(0, |packaging| packaging.lost_frames)
    }
}

fn totals(streams: &[Sample], families: &mut Families<'_>) -> fmt::Result {
    let publishing = count(streams.iter().filter(|stream| stream.publishing).count());
    let sum = |value: fn(&Sample) -> u64| streams.iter().map(value).sum::<u64>();
    families.gauge(
        "streams",
        "Streams that live, in their grace time included",
        count(streams.len()),
    )?;
    families.gauge("streams_publishing", "Streams with a publisher", publishing)?;
    families.gauge(
        "viewers",
        "Viewers of all streams",
        sum(|stream| count(stream.viewers)),
    )?;
    families.gauge(
        "ingest_bits_per_second",
        "Media coming in",
        sum(|stream| stream.qos.bitrate_bps),
    )?;
    families.gauge(
        "bus_memory_bytes",
        "Held for the readers of all streams",
        sum(|stream| stream.bus_bytes),
    )?;
    families.gauge(
        "window_memory_bytes",
        "Held as segments of all streams",
        sum(Sample::window_bytes),
    )
}

/// A family of per-stream series: its name, its help, and how it is read.
type Series<N, Of = Sample> = (&'static str, &'static str, fn(&Of) -> N);

const GAUGES: &[Series<u64>] = &[
    (
        "stream_up",
        "Whether the stream has a publisher",
        |stream| u64::from(stream.publishing),
    ),
    ("stream_bits_per_second", "Media coming in", |stream| {
        stream.qos.bitrate_bps
    }),
    ("stream_subscribers", "Readers of the bus", |stream| {
        count(stream.subscribers)
    }),
    ("stream_viewers", "Viewers", |stream| count(stream.viewers)),
    ("stream_bus_memory_bytes", "Held for readers", |stream| {
        stream.bus_bytes
    }),
    (
        "stream_window_memory_bytes",
        "Held as segments",
        Sample::window_bytes,
    ),
];

const RATES: &[Series<f64>] = &[
    (
        "stream_pictures_per_second",
        "Pictures coming in",
        |stream| stream.qos.fps,
    ),
    ("stream_gop_seconds", "Time between keyframes", |stream| {
        stream.qos.gop_duration.as_secs_f64()
    }),
];

const COUNTERS: &[Series<u64>] = &[
    ("stream_frames", "Frames published", |stream| {
        stream.qos.frames
    }),
    ("stream_bytes", "Payload bytes published", |stream| {
        stream.qos.bytes
    }),
    ("stream_repairs", "Timestamps repaired", |stream| {
        stream.qos.repairs
    }),
    (
        "stream_discontinuities",
        "Breaks in time or origin",
        |stream| stream.qos.discontinuities,
    ),
    (
        "stream_dropped_frames",
        "Frames missed by slow readers",
        |stream| stream.qos.dropped,
    ),
    (
        "stream_evictions",
        "Readers evicted for falling behind",
        |stream| stream.qos.evicted,
    ),
    (
        "stream_bitrate_warnings",
        "Publishes that sent more than limits.bitrate_warn",
        |stream| stream.qos.bitrate_warnings,
    ),
    (
        "stream_lost_frames",
        "Frames that packaging was too slow for",
        Sample::lost_frames,
    ),
];

/// Of streams whose protocol counts what is lost on the way.
const LINKS: &[Series<u64, LinkStats>] = &[
    ("stream_link_packets", "Packets received", |link| {
        link.received
    }),
    ("stream_link_lost", "Packets found missing", |link| {
        link.lost
    }),
    (
        "stream_link_retransmitted",
        "Packets that were sent again",
        |link| link.retransmitted,
    ),
    (
        "stream_link_duplicates",
        "Packets that were there already",
        |link| link.duplicates,
    ),
    (
        "stream_link_belated",
        "Packets that came after their time",
        |link| link.belated,
    ),
    (
        "stream_link_dropped",
        "Packets missing in what was delivered",
        |link| link.dropped,
    ),
    (
        "stream_link_overflowed",
        "Packets for which there was no room",
        |link| link.overflowed,
    ),
    (
        "stream_link_undecrypted",
        "Packets that could not be decrypted",
        |link| link.undecrypted,
    ),
    (
        "stream_link_key_changes",
        "How often the publisher went over to another key",
        |link| link.key_changes,
    ),
];

const LINK_TIMES: &[Series<f64, LinkStats>] = &[
    (
        "stream_link_rtt_seconds",
        "Round trip to the publisher",
        |link| link.rtt.as_secs_f64(),
    ),
    (
        "stream_link_buffered_seconds",
        "What waits for its time",
        |link| link.buffered_time.as_secs_f64(),
    ),
];

fn per_stream(streams: &[Sample], families: &mut Families<'_>) -> fmt::Result {
    let label = |stream: &Sample| [("stream", stream.key.clone())];
    let linked = |stream: &'_ Sample| stream.link.map(|link| (label(stream), link));
    for (name, help, read) in LINKS {
        let links = streams.iter().filter_map(linked);
        families.counters(name, help, links.map(|(label, link)| (label, read(&link))))?;
    }
    for (name, help, read) in LINK_TIMES {
        let links = streams.iter().filter_map(linked);
        families.gauges(name, help, links.map(|(label, link)| (label, read(&link))))?;
    }
    for (name, help, read) in GAUGES {
        families.gauges(
            name,
            help,
            streams.iter().map(|stream| (label(stream), read(stream))),
        )?;
    }
    for (name, help, read) in RATES {
        families.gauges(
            name,
            help,
            streams.iter().map(|stream| (label(stream), read(stream))),
        )?;
    }
    for (name, help, read) in COUNTERS {
        families.counters(
            name,
            help,
            streams.iter().map(|stream| (label(stream), read(stream))),
        )?;
    }
    Ok(())
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Writes families of series.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn gauges<L: AsRef<str>, N: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([(&'static str, L); 1], N)>,
    ) -> fmt::Result {
        let mut encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for ([(label, of)], value) in series {
            let labels = [(label, of.as_ref())];
            ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counters<L: AsRef<str>, N: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([(&'static str, L); 1], N)>,
    ) -> fmt::Result {
        let mut encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for ([(label, of)], value) in series {
            let labels = [(label, of.as_ref())];
            ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
