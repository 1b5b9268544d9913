//! A stream as the API shows it.

use std::net::SocketAddr;
use std::time::Instant;

use jiff::Timestamp;
use rillcast_core::{Lifecycle, Link, StreamHandle, Track, Viewers};
use rillcast_media::{cmaf, codec};
use serde::Serialize;

use crate::app::App;
use crate::packaging::Packaging;

/// One stream.
#[derive(Serialize)]
pub(super) struct Stream {
    key: String,
    app: String,
    name: String,
    state: &'static str,
    recording: bool,
    transcoding: bool,
    session: String,
    epoch: u64,
    started_at: Option<String>,
    uptime: f64,
    publisher: Option<Publisher>,
    tracks: Vec<TrackInfo>,
    qos: Quality,
    subscribers: usize,
    /// Null where no egress counts them.
    viewers: Option<usize>,
    repairs: u64,
    drops: u64,
    discontinuities: u64,
    memory: Memory,
    /// Null where nothing packages the stream.
    packaging: Option<Packaging>,
    playback: Playback,
}

#[derive(Serialize)]
struct Publisher {
    protocol: String,
    /// Null for askers who may not manage.
    peer: Option<SocketAddr>,
    encoder: Option<String>,
    /// Null where the protocol counts nothing.
    link: Option<LinkInfo>,
}

/// The line to the publisher: times in seconds, the rest in packets or bytes.
#[derive(Serialize)]
struct LinkInfo {
    rtt: f64,
    rtt_variance: f64,
    latency: f64,
    received: u64,
    received_bytes: u64,
    lost: u64,
    retransmitted: u64,
    duplicates: u64,
    belated: u64,
    dropped: u64,
    overflowed: u64,
    undecrypted: u64,
    key_changes: u64,
    buffered: u64,
    buffered_bytes: u64,
    buffered_time: f64,
}

impl LinkInfo {
    fn of(handle: &StreamHandle) -> Option<Self> {
        let link = handle.existing_slot::<Link>()?;
        let stats = link.load(Instant::now())?;
        Some(Self {
            rtt: stats.rtt.as_secs_f64(),
            rtt_variance: stats.rtt_variance.as_secs_f64(),
            latency: stats.latency.as_secs_f64(),
            received: stats.received,
            received_bytes: stats.received_bytes,
            lost: stats.lost,
            retransmitted: stats.retransmitted,
            duplicates: stats.duplicates,
            belated: stats.belated,
            dropped: stats.dropped,
            overflowed: stats.overflowed,
            undecrypted: stats.undecrypted,
            key_changes: stats.key_changes,
            buffered: stats.buffered,
            buffered_bytes: stats.buffered_bytes,
            buffered_time: stats.buffered_time.as_secs_f64(),
        })
    }
}

#[derive(Serialize)]
struct TrackInfo {
    id: u8,
    /// Its name in addresses, as in `/cmaf/APP/NAME/SESSION/v0/`.
    name: String,
    kind: &'static str,
    codec: String,
    codec_name: String,
    codec_string: Option<String>,
    language: Option<String>,
    /// What the publisher calls it.
    label: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    frame_rate: Option<f64>,
    sample_rate: Option<u32>,
    channels: Option<u16>,
    /// Why viewers get the stream without this track; null where they get it.
    not_packaged: Option<String>,
}

#[derive(Serialize)]
struct Quality {
    bitrate: u64,
    frame_rate: f64,
    gop: Option<f64>,
    frames: u64,
    bytes: u64,
    /// Publishes that sent more than `limits.bitrate_warn`.
    bitrate_warnings: u64,
    last_frame_age: f64,
}

/// Bytes that are held for the stream's readers and for its viewers.
#[derive(Serialize)]
struct Memory {
    bus: u64,
    window: Option<u64>,
}

/// Where the stream can be watched, relative to the server.
#[derive(Serialize)]
struct Playback {
    watch: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hls: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dash: Option<String>,
}

impl Stream {
    /// The stream behind `handle`; addresses only for one who may manage.
    pub(super) fn of(handle: &StreamHandle, app: &App, manage: bool) -> Self {
        let key = handle.key();
        let state = handle.current_state();
        let metadata = handle.metadata_snapshot();
        let qos = handle.qos();
        let memory = handle.memory();
        let packaging = Packaging::of(handle);
        let viewers = handle.existing_slot::<Viewers>();
        let publishing = state.lifecycle == Lifecycle::Publishing;
        Self {
            key: key.to_string(),
            app: key.app().to_owned(),
            name: key.name().to_owned(),
            state: state.lifecycle.name(),
            recording: state.recording,
            transcoding: state.transcoding,
            session: handle.session().to_owned(),
            epoch: handle.epoch(),
            started_at: timestamp(metadata.started_at_ms),
            uptime: handle.uptime().as_secs_f64(),
            publisher: publishing.then(|| Publisher {
                protocol: metadata.ingest_protocol.clone(),
                peer: metadata.publisher_addr.filter(|_| manage),
                encoder: metadata.encoder.clone(),
                link: LinkInfo::of(handle),
            }),
            tracks: metadata
                .tracks
                .iter()
                .map(|track| TrackInfo::of(track))
                .collect(),
            qos: Quality {
                bitrate: qos.bitrate_bps,
                frame_rate: qos.fps,
                gop: (qos.gop_frames > 0).then_some(qos.gop_duration.as_secs_f64()),
                frames: qos.frames,
                bytes: qos.bytes,
                bitrate_warnings: qos.bitrate_warnings,
                last_frame_age: seconds(handle.last_frame_ms()),
            },
            subscribers: handle.subscriber_count(),
            viewers: viewers.map(|viewers| viewers.count(Instant::now())),
            repairs: qos.repairs,
            drops: qos.dropped,
            discontinuities: qos.discontinuities,
            memory: Memory {
                bus: memory.kept.saturating_add(memory.pinned),
                window: packaging.as_ref().map(|packaging| packaging.memory),
            },
            packaging,
            playback: Playback::of(handle, app),
        }
    }
}

impl TrackInfo {
    fn of(track: &Track) -> Self {
        let (video, audio) = (track.video(), track.audio());
        Self {
            id: track.id.0,
            name: cmaf::track_name(track),
            kind: track.kind().name(),
            codec: track.codec.to_string(),
            codec_name: codec::name(track.codec),
            codec_string: Some(track.codec_string.clone()).filter(|text| !text.is_empty()),
            language: track.language.clone(),
            label: track.label.clone(),
            width: video.map(|video| video.width).filter(|width| *width > 0),
            height: video.map(|video| video.height).filter(|height| *height > 0),
            frame_rate: video
                .and_then(|video| video.frame_rate)
                .map(rillcast_core::FrameRate::as_f64),
            sample_rate: audio
                .map(|audio| audio.sample_rate)
                .filter(|rate| *rate > 0),
            channels: audio
                .map(|audio| audio.channels)
                .filter(|channels| *channels > 0),
            not_packaged: cmaf::not_packaged(track),
        }
    }
}

impl Playback {
    fn of(handle: &StreamHandle, app: &App) -> Self {
        let key = handle.key();
        let path = format!("{}/{}", encode(key.app()), encode(key.name()));
        let mounted = |prefix: &str| app.routes().find(prefix).is_some();
        Self {
            hls: mounted("/hls").then(|| format!("/hls/{path}/index.m3u8")),
            dash: mounted("/dash").then(|| format!("/dash/{path}/manifest.mpd")),
            watch: format!("/watch/{path}"),
        }
    }
}

/// Percent-encodes what may not stand in a path segment (RFC 3986 section 3.3).
fn encode(part: &str) -> String {
    let mut encoded = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Milliseconds since 1970 as RFC 3339 in UTC.
pub(super) fn timestamp(millis: u64) -> Option<String> {
    let millis = i64::try_from(millis).ok()?;
    let time = Timestamp::from_millisecond(millis).ok()?;
    Some(format!("{time:.3}"))
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a display")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_letters_stand_in_urls() {
        assert_eq!(encode("cam-1_2~x.y"), "cam-1_2~x.y");
        assert_eq!(encode("café&a=b+c"), "caf%C3%A9%26a%3Db%2Bc");
    }

    #[test]
    fn times_are_written_to_the_millisecond() {
        assert_eq!(timestamp(0).unwrap(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            timestamp(1_767_225_600_120).unwrap(),
            "2026-01-01T00:00:00.120Z"
        );
        assert_eq!(timestamp(u64::MAX), None);
    }
}
