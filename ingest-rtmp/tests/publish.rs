//! A real listener, a registry, and FFmpeg: what arrives on the bus, and what
//! a publisher is told.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rillcast_core::{
    Access, Authorizer, CloseReason, Denied, Events, Host, JoinAt, PluginEntry, Plugins, Recv,
    Registry, RegistryConfig, Services, Settings, StreamEvent, StreamHandle, StreamKey, TrackId,
};
use rillcast_ingest_rtmp::Rtmp;
use rillcast_media::flv;
use rillcast_media::{SourceFrame, SourceItem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A server of one plugin.
struct Server {
    host: Host,
    address: SocketAddr,
    events: Events,
}

/// Lets in whoever shows the token "right", and leaves "slow" without an answer.
struct Token;

#[async_trait::async_trait]
impl Authorizer for Token {
    async fn authorize(&self, access: Access<'_>) -> Result<(), Denied> {
        match access.credentials.token.as_deref() {
            Some("right") => Ok(()),
            Some("slow") => std::future::pending().await,
            _ => Err(Denied::new("the token is wrong")),
        }
    }
}

impl Server {
    /// Starts with the settings, of which `rtmp.listen` is always the same.
    async fn start(settings: &str) -> Self {
        Self::start_with(settings, None).await
    }

    async fn start_with(settings: &str, token: Option<Token>) -> Self {
        let mut settings = Settings::from_toml(settings, "test.toml").unwrap();
        let origin = rillcast_core::Origin::Default;
        settings.set("rtmp.listen", "127.0.0.1:0", origin).unwrap();
        let registry = Registry::new(RegistryConfig::default());
        let events = registry.events();
        let services = Services::new(settings, registry);
        let services = match token {
            Some(token) => services.with_authorizer(token),
            None => services,
        };
        let entry = PluginEntry::ingest::<Rtmp>("rillcast-ingest-rtmp", "0");
        let plugins = Plugins::none().with(entry).unwrap();
        let host = Host::start(&plugins, services).unwrap();
        let address = host.ready().await.unwrap()["rtmp"];
        Self {
            host,
            address,
            events,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("rtmp://{}/{path}", self.address)
    }

    /// The next event, which must come soon.
    async fn event(&mut self) -> StreamEvent {
        soon(self.events.next()).await.unwrap()
    }

    /// The stream that is published next.
    async fn published(&mut self) -> StreamHandle {
        match self.event().await {
            StreamEvent::Published { key, .. } => self.stream(&key),
            other => panic!("{other:?}"),
        }
    }

    fn stream(&self, key: &StreamKey) -> StreamHandle {
        self.host.services().registry.get(key).unwrap()
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("it takes too long")
}

/// Runs FFmpeg.
fn ffmpeg(arguments: &[&str]) -> Child {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-nostdin", "-y", "-loglevel", "error"])
        .args(arguments);
    command.stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap_or_else(|error| {
        panic!("this test needs FFmpeg with libx264: install it (Debian: apt-get install ffmpeg): {error}")
    })
}

/// What FFmpeg says to its user, and that it did not like how it ended.
async fn complaint(child: Child) -> String {
    let Output { status, stderr, .. } = soon(child.wait_with_output()).await.unwrap();
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!status.success(), "{said}");
    said
}

/// A clip of the given length: H.264 with B-frames, AAC.
async fn clip(folder: &Path, seconds: &str) -> String {
    let path = folder.join("clip.flv").to_str().unwrap().to_owned();
    let child = ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=25",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=48000",
        "-t",
        seconds,
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-bf",
        "2",
        "-g",
        "25",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
        "-f",
        "flv",
        &path,
    ]);
    let output = soon(child.wait_with_output()).await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    path
}

fn publish(clip: &str, url: &str) -> Child {
    ffmpeg(&[
        "-re",
        "-stream_loop",
        "-1",
        "-i",
        clip,
        "-c",
        "copy",
        "-f",
        "flv",
        url,
    ])
}

/// The frames of a file, by the demuxer that the plugin uses too.
fn frames_of(path: &str) -> Vec<SourceFrame> {
    let mut reader = flv::file::Reader::new();
    reader.push(&std::fs::read(path).unwrap());
    let mut demuxer = flv::Demuxer::new();
    let mut frames = Vec::new();
    while let Some(tag) = reader.next_tag().unwrap() {
        for item in demuxer.tag(tag, Instant::now()).unwrap() {
            if let SourceItem::Frame(frame) = item {
                frames.push(frame);
            }
        }
    }
    frames
}

#[tokio::test]
async fn what_ffmpeg_publishes_stands_on_the_bus_frame_by_frame() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "2.5").await;
    let mut server = Server::start("[bus]\nreconnect_grace = \"0s\"").await;
    let url = server.url("live/cam?token=x");
    let child = ffmpeg(&["-re", "-i", &clip, "-c", "copy", "-f", "flv", &url]);
    let stream = server.published().await;
    assert_eq!(stream.key().as_str(), "live/cam");
    let mut subscription = stream.subscribe_at(JoinAt::Keyframe);
    let mut got = Vec::new();
    let mut tracks = Vec::new();
    loop {
        match soon(subscription.recv()).await {
            Recv::Frame(frame) => got.push(frame.into_owned()),
            Recv::Track(track) => tracks.push(track),
            Recv::Ended => break,
            other => panic!("{other:?}"),
        }
    }
    let want = frames_of(&clip);
    assert_eq!(tracks.len(), 2);
    for (track, ticks) in [(TrackId(0), 90), (TrackId(1), 48)] {
        let got: Vec<_> = got.iter().filter(|frame| frame.track == track).collect();
        let want: Vec<_> = want.iter().filter(|frame| frame.track == track).collect();
        assert!(want.len() > 50);
        assert_eq!(got.len(), want.len(), "frames of track {track}");
        let offset = got[0].dts - want[0].dts * ticks;
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got.payload, want.payload);
            assert_eq!(got.keyframe, want.keyframe);
            // One constant for video; within a tick of the source for audio.
            let off = (got.dts - want.dts * ticks - offset).abs();
            assert!(
                off <= if track == TrackId(0) { 0 } else { ticks },
                "{off} at {got:?}"
            );
            assert_eq!(got.pts - got.dts, i64::from(want.cts) * ticks);
        }
    }
    let qos = stream.qos();
    assert_eq!((qos.repairs, qos.discontinuities), (0, 0));
    let metadata = stream.metadata_snapshot();
    assert_eq!((metadata.width, metadata.height), (320, 180));
    assert_eq!(metadata.ingest_protocol, "rtmp");
    assert!(metadata.encoder.as_deref().unwrap().starts_with("Lavf"));
    assert!(
        soon(child.wait_with_output())
            .await
            .unwrap()
            .status
            .success()
    );
}

#[tokio::test]
async fn a_live_key_is_not_given_away_and_the_second_publisher_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "1").await;
    let mut server = Server::start("").await;
    let _first = publish(&clip, &server.url("live/cam"));
    let stream = server.published().await;
    let mut subscription = stream.subscribe();
    soon(subscription.recv()).await;
    let said = complaint(publish(&clip, &server.url("live/cam"))).await;
    assert!(
        said.contains("live/cam is being published already"),
        "{said}"
    );
    assert_eq!(stream.epoch(), 1);
}

#[tokio::test]
async fn a_publisher_that_is_replaced_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "1").await;
    let mut server = Server::start("[bus]\ntakeover = \"replace\"").await;
    let first = publish(&clip, &server.url("live/cam"));
    let stream = server.published().await;
    soon(stream.subscribe().recv()).await;
    let _second = publish(&clip, &server.url("live/cam"));
    let said = complaint(first).await;
    assert!(
        said.contains("another publisher took the stream over"),
        "{said}"
    );
    let resumed = server.event().await;
    assert!(
        matches!(resumed, StreamEvent::Resumed { epoch: 2, .. }),
        "{resumed:?}"
    );
}

#[tokio::test]
async fn whoever_may_not_publish_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "1").await;
    let settings = "[rtmp]\nhandshake_timeout = \"2s\"";
    let mut server = Server::start_with(settings, Some(Token)).await;
    let said = complaint(publish(&clip, &server.url("live/cam?token=slow"))).await;
    assert!(said.contains("not given in time"), "{said}");
    let said = complaint(publish(&clip, &server.url("live/cam?token=wrong"))).await;
    assert!(said.contains("the token is wrong"), "{said}");
    let said = complaint(publish(&clip, &server.url("live/.hidden"))).await;
    assert!(said.contains("leading dot"), "{said}");
    let mut publishers = Vec::new();
    for (path, key) in [
        ("live/one?token=right", "live/one"),
        ("live?token=right/two", "live/two"),
    ] {
        publishers.push(publish(&clip, &server.url(path)));
        assert_eq!(server.published().await.key().as_str(), key);
    }
}

#[tokio::test]
async fn a_publisher_that_is_kicked_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "1").await;
    let mut server = Server::start("").await;
    let child = publish(&clip, &server.url("live/cam"));
    let stream = server.published().await;
    let mut subscription = stream.subscribe();
    soon(subscription.recv()).await;
    assert!(stream.close(CloseReason::Kicked));
    let said = complaint(child).await;
    assert!(said.contains("an operator ended the stream"), "{said}");
}

#[tokio::test]
async fn publishers_are_told_when_the_server_stops() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "1").await;
    let mut server = Server::start("").await;
    let child = publish(&clip, &server.url("live/cam"));
    let stream = server.published().await;
    let mut subscription = stream.subscribe();
    soon(subscription.recv()).await;
    let begun = Instant::now();
    let late = soon(server.host.shutdown(Duration::from_secs(5))).await;
    assert!(
        late.is_empty() && begun.elapsed() < Duration::from_secs(4),
        "{late:?}"
    );
    let said = complaint(child).await;
    assert!(said.contains("the server stops"), "{said}");
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_publisher_that_vanishes_may_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "1").await;
    let mut server = Server::start("").await;
    let mut child = publish(&clip, &server.url("live/cam"));
    let stream = server.published().await;
    let mut subscription = stream.subscribe();
    soon(subscription.recv()).await;
    // Killed, it says nothing; the system closes its socket.
    child.start_kill().unwrap();
    assert!(matches!(server.event().await, StreamEvent::Detached { .. }));
    let _again = publish(&clip, &server.url("live/cam"));
    let resumed = server.event().await;
    assert!(
        matches!(resumed, StreamEvent::Resumed { epoch: 2, .. }),
        "{resumed:?}"
    );
    assert_eq!(resumed.session(), Some(stream.session()));
    loop {
        match soon(subscription.recv()).await {
            Recv::Discontinuity(_) => break,
            Recv::Frame(_) | Recv::Track(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let after = soon(subscription.recv()).await;
    assert!(
        matches!(after, Recv::Frame(_) | Recv::Track(_)),
        "{after:?}"
    );
}

#[tokio::test]
async fn strangers_are_shown_out() {
    let settings = "[rtmp]\nhandshake_timeout = \"300ms\"\nmax_connections_per_address = 3";
    let server = Server::start(settings).await;
    let mut hello = vec![0; 3_073];
    hello[0] = 3;
    // Whatever they send, or nothing: the connection ends.
    let mut random = hello.clone();
    random.extend((0..50_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]));
    for bytes in [
        &b""[..],
        b"\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        &hello,
        &random,
    ] {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        // It may be closed before all is written.
        let _ = socket.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = soon(socket.read_to_end(&mut answer)).await;
    }
    // More than their share: the rest is closed at once, the others stay.
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(&[3]).await.unwrap();
        let mut first = [0];
        soon(socket.read_exact(&mut first)).await.unwrap();
        assert_eq!(first, [3]);
        kept.push(socket);
    }
    let mut fourth = TcpStream::connect(server.address).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon(fourth.read_to_end(&mut answer)).await;
    assert!(answer.is_empty());
}

#[tokio::test]
async fn a_silent_publisher_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "1").await;
    let mut server = Server::start("[rtmp]\nidle_timeout = \"500ms\"").await;
    // FFmpeg reads one second of a stream of its own that then stops.
    let url = server.url("live/cam");
    let mut child = publish(&clip, &url);
    let stream = server.published().await;
    let mut subscription = stream.subscribe();
    soon(subscription.recv()).await;
    let stop = Command::new("kill")
        .args(["-STOP", &child.id().unwrap().to_string()])
        .status();
    assert!(soon(stop).await.unwrap().success());
    assert!(matches!(server.event().await, StreamEvent::Detached { .. }));
    child.start_kill().unwrap();
}
