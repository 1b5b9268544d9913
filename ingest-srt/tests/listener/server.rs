//! A server of one plugin, and FFmpeg.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rillcast_core::{
    AllowAll, Authorizer, Events, Host, Link, LinkStats, Origin, PluginEntry, Plugins, Registry,
    RegistryConfig, Services, Settings, StreamEvent, StreamHandle, StreamKey,
};
use rillcast_ingest_srt::Srt;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

pub(crate) struct Server {
    pub(crate) host: Host,
    pub(crate) address: SocketAddr,
    pub(crate) events: Events,
}

impl Server {
    /// Starts with the settings, of which `srt.listen` is always the same.
    pub(crate) async fn start(settings: &str) -> Self {
        Self::start_with(settings, AllowAll).await
    }

    /// The same, with somebody who decides who may publish.
    pub(crate) async fn start_with(settings: &str, authorizer: impl Authorizer) -> Self {
        let mut settings = Settings::from_toml(settings, "test.toml").unwrap();
        settings
            .set("srt.listen", "127.0.0.1:0", Origin::Default)
            .unwrap();
        let registry = Registry::new(RegistryConfig::default());
        let events = registry.events();
        let entry = PluginEntry::ingest::<Srt>("rillcast-ingest-srt", "0");
        let plugins = Plugins::none().with(entry).unwrap();
        let services = Services::new(settings, registry).with_authorizer(authorizer);
        let host = Host::start(&plugins, services).unwrap();
        let address = host.ready().await.unwrap()["srt"];
        Self {
            host,
            address,
            events,
        }
    }

    pub(crate) fn url(&self, query: &str) -> String {
        format!("srt://{}?{query}", self.address)
    }

    /// The stream that is published next.
    pub(crate) async fn published(&mut self) -> StreamHandle {
        loop {
            if let StreamEvent::Published { key, .. } = soon(self.events.next()).await.unwrap() {
                return self.stream(&key);
            }
        }
    }

    pub(crate) fn stream(&self, key: &StreamKey) -> StreamHandle {
        self.host.services().registry.get(key).unwrap()
    }
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future)
        .await
        .expect("it takes too long")
}

/// Waits until the stream has so many frames.
pub(crate) async fn frames(stream: &StreamHandle, count: u64) {
    let wanted = async {
        while stream.qos().frames < count {
            sleep(Duration::from_millis(20)).await;
        }
    };
    soon(wanted).await;
}

/// The figures of the line, once they are fresh.
pub(crate) fn link(stream: &StreamHandle) -> LinkStats {
    let link = stream.existing_slot::<Link>().expect("no figures");
    link.load(Instant::now()).expect("no fresh figures")
}

/// Runs FFmpeg.
pub(crate) fn ffmpeg(arguments: &[&str]) -> Child {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-nostdin", "-y", "-loglevel", "error"])
        .args(arguments);
    command.stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap_or_else(|error| {
        panic!("this test needs FFmpeg with libx264 and libsrt: install it (Debian: apt-get install ffmpeg): {error}")
    })
}

/// A clip of the given length: H.264 with B-frames, AAC, as MPEG-TS.
pub(crate) async fn clip(folder: &Path, seconds: &str) -> String {
    let path = folder.join("clip.ts").to_str().unwrap().to_owned();
    let arguments = format!(
        "-f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine=sample_rate=48000 \
         -t {seconds} -c:v libx264 -preset veryfast -bf 2 -g 25 -pix_fmt yuv420p -c:a aac -f mpegts"
    );
    let mut arguments: Vec<_> = arguments.split_whitespace().collect();
    arguments.push(&path);
    let output = soon(ffmpeg(&arguments).wait_with_output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    path
}

/// Publishes the clip again and again, as fast as it plays.
pub(crate) fn publish(clip: &str, url: &str) -> Child {
    ffmpeg(&[
        "-re",
        "-stream_loop",
        "-1",
        "-i",
        clip,
        "-c",
        "copy",
        "-f",
        "mpegts",
        url,
    ])
}

/// That FFmpeg did not like how it ended.
pub(crate) async fn fails(child: Child) {
    let Output { status, stderr, .. } = soon(child.wait_with_output()).await.unwrap();
    assert!(!status.success(), "{}", String::from_utf8_lossy(&stderr));
}
