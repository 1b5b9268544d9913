//! The API, the metrics and the probes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rillcast_core::{
    AudioParams, BitRate, Bitrates, BoxError, CloseReason, Codec, Egress, EgressContext, Frame,
    FrameRate, Link, LinkStats, MediaParams, PluginEntry, PublishRequest, Publisher, Timescale,
    Track, TrackId, VideoParams,
};
use serde_json::{Value, json};

use crate::client::{ask, get, until};
use crate::fixture::{Fixture, NoConfig, start, start_with};

fn publish(fixture: &Fixture, key: &str) -> Publisher {
    let peer: SocketAddr = "192.0.2.7:5000".parse().unwrap();
    let request = PublishRequest::new(key.parse().unwrap(), "test").with_peer(peer);
    let mut publisher = fixture.server.registry().publish(request).unwrap();
    let video = VideoParams::new(640, 360).with_frame_rate(FrameRate::new(30_000, 1_001));
    let video = Track::new(
        TrackId(0),
        Codec::new(*b"avc1"),
        Timescale::VIDEO,
        MediaParams::Video(video),
    )
    .with_codec_string("avc1.64001e");
    let audio = MediaParams::Audio(AudioParams::new(44_100, 2));
    let audio = Track::new(
        TrackId(1),
        Codec::new(*b"mp4a"),
        Timescale::new(44_100).unwrap(),
        audio,
    )
    .with_language(Some("de".into()));
    publisher.publish_track(video).unwrap();
    publisher.publish_track(audio).unwrap();
    let payload = Bytes::from_static(&[0; 1_000]);
    let frame = Frame::new(TrackId(0), 0, Instant::now(), payload).with_keyframe(true);
    publisher.publish_frame(frame).unwrap();
    publisher
}

async fn streams(fixture: &Fixture) -> Value {
    get(fixture.http, "/api/v1/streams").await.json()
}

#[tokio::test]
async fn a_stream_is_shown_as_documented() {
    let fixture = start("").await;
    let empty = streams(&fixture).await;
    assert_eq!(empty["streams"], json!([]));
    let access = json!({"manage": true, "login": false, "publish_token": false});
    assert_eq!(empty["access"], access);

    let _publisher = publish(&fixture, "live/café");
    let list = streams(&fixture).await;
    let stream = &list["streams"][0];
    for (field, want) in [
        ("key", json!("live/café")),
        ("app", json!("live")),
        ("name", json!("café")),
        ("state", json!("publishing")),
        ("recording", json!(false)),
        ("epoch", json!(1)),
        ("subscribers", json!(0)),
        ("viewers", json!(null)),
        ("repairs", json!(0)),
        ("drops", json!(0)),
        ("discontinuities", json!(0)),
        ("packaging", json!(null)),
        (
            "publisher",
            json!({
                "protocol": "test", "peer": "192.0.2.7:5000", "encoder": null, "link": null,
            }),
        ),
        ("playback", json!({"watch": "/watch/live/caf%C3%A9"})),
    ] {
        assert_eq!(stream[field], want, "{field}");
    }
    let video = json!({
        "id": 0, "name": "v0", "kind": "video", "codec": "avc1", "codec_name": "H.264",
        "codec_string": "avc1.64001e", "language": null, "label": null, "width": 640,
        "height": 360,
        "frame_rate": 30_000.0 / 1_001.0, "sample_rate": null, "channels": null,
        "not_packaged": null,
    });
    assert_eq!(stream["tracks"][0], video);
    let audio = &stream["tracks"][1];
    assert_eq!(audio["codec_name"], "AAC");
    assert_eq!(
        (&audio["sample_rate"], &audio["channels"]),
        (&json!(44_100), &json!(2))
    );
    assert_eq!(
        (&audio["language"], &audio["width"]),
        (&json!("de"), &json!(null))
    );
    assert_eq!(stream["qos"]["frames"], 1);
    assert_eq!(stream["qos"]["bytes"], 1_000);
    assert_eq!(stream["qos"]["bitrate_warnings"], 0);
    assert!(stream["memory"]["bus"].as_u64().unwrap() >= 1_000);
    assert!(
        stream["session"]
            .as_str()
            .is_some_and(|session| !session.is_empty())
    );
    assert!(stream["started_at"].as_str().unwrap().ends_with('Z'));

    let one = get(fixture.http, "/api/v1/streams/live/caf%C3%A9").await;
    assert_eq!(one.header("cache-control"), Some("no-store"));
    assert_eq!(one.json()["session"], stream["session"]);
}

#[tokio::test]
async fn the_line_to_the_publisher_is_shown_where_its_protocol_counts() {
    let fixture = start("").await;
    let publisher = publish(&fixture, "live/cam");
    let line = publisher.handle().slot(Link::default).begin();
    let stats = LinkStats {
        rtt: Duration::from_millis(20),
        lost: 7,
        dropped: 2,
        ..LinkStats::default()
    };
    line.report(stats, Instant::now());
    let shown = streams(&fixture).await["streams"][0]["publisher"]["link"].clone();
    assert_eq!((&shown["rtt"], &shown["lost"]), (&json!(0.02), &json!(7)));
    assert_eq!(shown["dropped"], 2);
    let metrics = get(fixture.http, "/metrics").await.text().to_owned();
    for line in [
        "rillcast_stream_link_lost_total{stream=\"live/cam\"} 7",
        "rillcast_stream_link_rtt_seconds{stream=\"live/cam\"} 0.02",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    drop(line);
    let shown = streams(&fixture).await["streams"][0]["publisher"]["link"].clone();
    assert_eq!(shown, json!(null));
}

#[tokio::test]
async fn a_track_that_viewers_do_not_get_says_why() {
    let fixture = start("").await;
    let mut publisher = publish(&fixture, "live/cam");
    let surround = Track::new(
        TrackId(2),
        Codec::new(*b".mp2"),
        Timescale::new(48_000).unwrap(),
        MediaParams::Audio(AudioParams::new(48_000, 2)),
    );
    publisher.publish_track(surround).unwrap();
    let tracks = &streams(&fixture).await["streams"][0]["tracks"];
    assert_eq!(tracks[1]["not_packaged"], json!(null));
    assert_eq!(tracks[2]["codec_name"], "MP2");
    assert_eq!(
        tracks[2]["not_packaged"],
        "MP2 is not packaged; send AAC for viewers to hear it"
    );
}

#[tokio::test]
async fn a_stream_that_waits_for_its_publisher_is_idle() {
    let fixture = start("").await;
    drop(publish(&fixture, "live/cam"));
    let list = streams(&fixture).await;
    assert_eq!(list["streams"][0]["state"], "idle");
    assert_eq!(list["streams"][0]["publisher"], json!(null));
}

#[tokio::test]
async fn what_is_no_stream_is_refused_in_words() {
    let fixture = start("").await;
    for (path, status, detail) in [
        (
            "/api/v1/streams/live/cam",
            404,
            "there is no live stream \"live/cam\"",
        ),
        ("/api/v1/streams/live/..%2f..%2fetc", 400, "must not hold"),
        ("/api/v1/streams/live/a%2500", 400, "must not hold"),
        ("/api/v1/streams/live/%20", 400, "white space"),
        ("/api/v1/streams/live/%ff", 400, ""),
    ] {
        let answer = get(fixture.http, path).await;
        assert_eq!(answer.status, status, "{path}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{path}");
        assert!(
            problem["detail"].as_str().unwrap().contains(detail),
            "{path}: {problem}"
        );
    }
}

#[tokio::test]
async fn a_stream_can_be_ended() {
    let fixture = start("").await;
    let publisher = publish(&fixture, "live/cam");
    let path = "/api/v1/streams/live/cam";
    let answer = ask(fixture.http, "DELETE", path, "").await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(publisher.closed().await, CloseReason::Kicked);
    assert_eq!(ask(fixture.http, "DELETE", path, "").await.status, 404);
    assert_eq!(streams(&fixture).await["streams"], json!([]));
    // Who was ended may come again.
    let _again = publish(&fixture, "live/cam");
    assert_eq!(get(fixture.http, path).await.status, 200);
}

#[tokio::test]
async fn strangers_see_no_addresses_and_change_nothing() {
    let fixture = start("[auth]\nadmin_token = \"sesame\"\npublish_token = \"x\"\n").await;
    let _publisher = publish(&fixture, "live/cam");
    let path = "/api/v1/streams/live/cam";
    let list = streams(&fixture).await;
    let access = json!({"manage": false, "login": true, "publish_token": true});
    assert_eq!(list["access"], access);
    assert_eq!(list["streams"][0]["publisher"]["peer"], json!(null));
    for (method, path) in [
        ("DELETE", path),
        ("DELETE", "/api/v1/streams/live/no"),
        ("GET", "/metrics"),
    ] {
        let answer = ask(fixture.http, method, path, "").await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let token = "Authorization: Bearer sesame\r\n";
    let known = ask(fixture.http, "GET", path, token).await.json();
    assert_eq!(known["publisher"]["peer"], "192.0.2.7:5000");
    assert_eq!(
        ask(fixture.http, "GET", "/metrics", token).await.status,
        200
    );
    assert_eq!(ask(fixture.http, "DELETE", path, token).await.status, 204);
}

#[tokio::test]
async fn without_a_token_a_proxy_is_a_stranger() {
    let fixture = start("").await;
    let _publisher = publish(&fixture, "live/cam");
    let forwarded = "X-Forwarded-For: 192.0.2.1\r\n";
    let path = "/api/v1/streams/live/cam";
    assert_eq!(
        ask(fixture.http, "DELETE", path, forwarded).await.status,
        403
    );
    assert_eq!(
        ask(fixture.http, "GET", "/metrics", forwarded).await.status,
        403
    );
    let list = ask(fixture.http, "GET", "/api/v1/streams", forwarded)
        .await
        .json();
    assert_eq!(list["access"]["manage"], false);
}

#[tokio::test]
async fn metrics_give_series_to_so_many_streams_and_totals_of_all() {
    let fixture = start("[server]\nmetrics_streams = 2\n").await;
    let _publishers = ["live/a", "live/b", "live/c"].map(|key| publish(&fixture, key));
    let answer = get(fixture.http, "/metrics").await;
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let text = answer.text();
    for line in [
        "rillcast_streams 3",
        "rillcast_streams_publishing 3",
        "rillcast_window_memory_reserved_bytes 0",
        "rillcast_stream_frames_total{stream=\"live/a\"} 1",
        "rillcast_stream_frames_total{stream=\"live/b\"} 1",
        "rillcast_plugin_up{plugin=\"probe\"} 1",
        "rillcast_build_info{version=\"0.1.0\"} 1",
        "# EOF",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is missing in\n{text}"
        );
    }
    assert!(!text.contains("live/c"), "{text}");
    let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(series("rillcast_stream_bits_per_second{"), 2);
}

#[tokio::test]
async fn plugins_and_version_are_shown() {
    let fixture = start("").await;
    let plugins = get(fixture.http, "/api/v1/plugins").await.json();
    let probe = json!({
        "name": "probe", "role": "egress", "crate": "probe-crate", "version": "1.2.3",
        "state": "running", "address": null, "error": null, "panics": 0, "publish_url": null,
    });
    assert_eq!(plugins, json!({"plugins": [probe]}));
    let version = get(fixture.http, "/api/v1/version").await.json();
    assert_eq!(
        (&version["name"], &version["api"]),
        (&json!("rillcast"), &json!("v1"))
    );
    assert!(version["uptime"].as_f64().unwrap() >= 0.0);
}

/// Comes up, and fails when its route is asked for.
struct Failing;

impl Egress for Failing {
    const NAME: &'static str = "failing";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, BoxError> {
        Ok(Self)
    }

    async fn run(self, cx: EgressContext) -> Result<(), BoxError> {
        let (mut events, shutdown) = (cx.events(), cx.shutdown());
        cx.ready(None);
        tokio::select! {
            _ = events.next() => Err("saw a stream".into()),
            () = shutdown.requested() => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_plugin_that_fails_is_reported_and_costs_nothing_else() {
    let fixture = start_with("", PluginEntry::egress::<Failing>("failing-crate", "0.0.1")).await;
    assert_eq!(get(fixture.http, "/readyz").await.status, 200);
    let _publisher = publish(&fixture, "live/cam");
    let ready = until(fixture.http, "/readyz", |ready| ready.status == 503).await;
    assert!(
        ready.text().contains("failing is failed"),
        "{}",
        ready.text()
    );
    let plugins = get(fixture.http, "/api/v1/plugins").await.json();
    assert_eq!(plugins["plugins"][0]["error"], "saw a stream");
    assert_eq!(get(fixture.http, "/healthz").await.status, 200);
    assert_eq!(streams(&fixture).await["streams"][0]["key"], "live/cam");
}

#[tokio::test]
async fn two_servers_in_one_process_share_nothing() {
    let (one, two) = (start("").await, start("").await);
    assert_ne!(one.http, two.http);
    let _publisher = publish(&one, "live/cam");
    let _other = publish(&two, "live/other");
    let _same = publish(&two, "live/cam");
    let keys = |list: Value| -> Vec<String> {
        let list = list["streams"].as_array().unwrap().clone();
        list.iter()
            .map(|stream| stream["key"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(keys(streams(&one).await), ["live/cam"]);
    assert_eq!(keys(streams(&two).await), ["live/cam", "live/other"]);
    assert!(one.server.shutdown().await.is_empty());
    assert_eq!(keys(streams(&two).await), ["live/cam", "live/other"]);
    let sessions = streams(&two).await;
    assert_ne!(
        sessions["streams"][0]["session"],
        sessions["streams"][1]["session"]
    );
}

#[tokio::test]
async fn publishers_that_send_too_much_are_shown() {
    let fixture = start("").await;
    let bitrates = Bitrates::new(BitRate::mbps(1), BitRate::mbps(2));
    let request = PublishRequest::new("live/cam".parse().unwrap(), "test");
    let registry = fixture.server.registry();
    let mut publisher = registry.publish(request.with_bitrates(bitrates)).unwrap();
    publisher.count_unused(1_000_000).unwrap();
    assert_eq!(
        streams(&fixture).await["streams"][0]["qos"]["bitrate_warnings"],
        1
    );
    let metrics = get(fixture.http, "/metrics").await;
    assert!(
        metrics
            .text()
            .contains("rillcast_stream_bitrate_warnings_total{stream=\"live/cam\"} 1\n")
    );
    publisher.count_unused(1_000_000).unwrap_err();
    assert_eq!(streams(&fixture).await["streams"], json!([]));
    let metrics = get(fixture.http, "/metrics").await;
    assert!(
        metrics.text().contains("rillcast_bitrate_cuts_total 1\n"),
        "{}",
        metrics.text()
    );
}
