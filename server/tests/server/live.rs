//! A live stream over HTTP/2: what low-latency players wait for is held, many at
//! once on one connection, and given when it is there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use http::Method;
use rillcast_core::{Origin, Plugins, PublishRequest, Role, Settings, StreamKey};
use rillcast_media::flv::{self, Demuxer};
use rillcast_media::{Feed, SourceItem};
use rillcast_server::Server;

use crate::client::PATIENCE;
use crate::http2_client::{Http2, read, request};

/// A server with the linked egresses.
async fn serve() -> Server {
    let mut settings = Settings::new();
    let listen = "server.listen";
    settings
        .set(listen, "127.0.0.1:0", Origin::Default)
        .unwrap();
    let mut plugins = Plugins::none();
    for entry in Plugins::linked().unwrap().entries() {
        if entry.role() == Role::Egress {
            plugins = plugins.with(*entry).unwrap();
        }
    }
    Server::start(settings, &plugins).await.unwrap()
}

/// The demo's clip, published as far as a test wants.
struct Live {
    feed: Feed,
    items: VecDeque<(Duration, SourceItem)>,
    clock: Duration,
}

impl Live {
    fn publish(server: &Server) -> Self {
        let key = StreamKey::parse("live/cam").unwrap();
        let request = PublishRequest::new(key, "test");
        let publisher = server.registry().publish(request).unwrap();
        let mut reader = flv::file::Reader::new();
        reader.push(include_bytes!("../../assets/demo/demo.flv"));
        let mut demuxer = Demuxer::new();
        let now = Instant::now();
        let mut items = VecDeque::new();
        while let Some(tag) = reader.next_tag().unwrap() {
            let at = Duration::from_millis(tag.timestamp_ms.into());
            items.extend(
                demuxer
                    .tag(tag, now + at)
                    .unwrap()
                    .into_iter()
                    .map(|item| (at, item)),
            );
        }
        Self {
            feed: Feed::new(publisher),
            items,
            clock: Duration::ZERO,
        }
    }

    /// Publishes what is due in the next `time`, at once.
    async fn pass(&mut self, time: Duration) {
        self.clock += time;
        while self.items.front().is_some_and(|(at, _)| *at < self.clock) {
            let (_, item) = self.items.pop_front().unwrap();
            self.feed.push(item).unwrap();
            // Nobody may lag behind.
            tokio::task::yield_now().await;
        }
    }
}

/// Where `path`, which stands in the playlist `base`, leads.
fn resolve(base: &str, path: &str) -> String {
    let mut folders: Vec<&str> = base.split('/').collect();
    folders.pop();
    for piece in path.split('/') {
        match piece {
            ".." => drop(folders.pop()),
            piece => folders.push(piece),
        }
    }
    folders.join("/")
}

#[tokio::test]
async fn reloads_and_parts_are_held_side_by_side() {
    let server = serve().await;
    let mut live = Live::publish(&server);
    live.pass(Duration::from_millis(4_100)).await;
    let (mut http2, _) = Http2::connect(server.addresses()["http"]).await;
    let entry = "/hls/live/cam/index.m3u8";
    let ready = async {
        loop {
            let answer = http2.get(entry).await;
            if answer.status == 200 {
                return answer;
            }
        }
    };
    let ready = tokio::time::timeout(PATIENCE, ready).await.unwrap();
    let media = ready.text().lines().find(|line| !line.starts_with('#'));
    let media = resolve(entry, media.unwrap());

    // Segments 1 and 2 are whole, and nothing is there of the next one.
    let hinted = |text: &str| {
        let line = text.lines().find(|line| line.contains("TYPE=PART"))?;
        line.split('"').nth(1).map(ToOwned::to_owned)
    };
    let reload = |part: u32| request(Method::GET, &format!("{media}?_HLS_msn=3&_HLS_part={part}"));
    let first = http2.get(&media).await;
    let hint = resolve(&media, &hinted(first.text()).unwrap());
    let mut held = Vec::new();
    for part in 0..3 {
        held.push(http2.begin(reload(part)).await);
    }
    let part = http2.begin(request(Method::GET, &hint)).await;
    // They are held, and hold nobody up.
    assert_eq!(http2.get("/healthz").await.text(), "ok\n");
    let mut held: Vec<_> = held
        .into_iter()
        .map(|answer| tokio::spawn(read(answer)))
        .collect();
    let part = tokio::spawn(read(part));
    assert_eq!(http2.get("/healthz").await.text(), "ok\n");
    assert!(
        held.iter()
            .chain([&part])
            .all(|answer| !answer.is_finished())
    );

    live.pass(Duration::from_millis(1_400)).await;
    for (index, answer) in held.drain(..).enumerate() {
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.status, 200);
        let wanted = format!("/3.{index}.m4s");
        assert!(
            answer.text().contains(&wanted),
            "{wanted}: {}",
            answer.text()
        );
    }
    let part = part.await.unwrap().unwrap();
    assert_eq!(part.status, 200);
    assert_eq!(part.header("content-type"), Some("video/mp4"));
    assert!(part.body.windows(4).any(|word| word == b"moof"));
    live.feed.finish();
}

/// An open segment is sent piece by piece as it grows, as DASH players with low
/// latency ask for it.
#[cfg(feature = "dash")]
#[tokio::test]
async fn an_open_segment_grows_while_it_is_sent() {
    let server = serve().await;
    let mut live = Live::publish(&server);
    live.pass(Duration::from_millis(2_500)).await;
    let (mut http2, _) = Http2::connect(server.addresses()["http"]).await;
    let entry = "/hls/live/cam/index.m3u8";
    let ready = async {
        loop {
            let answer = http2.get(entry).await;
            if answer.status == 200 {
                return answer.text().to_owned();
            }
        }
    };
    let ready = tokio::time::timeout(PATIENCE, ready).await.unwrap();
    let media = ready.lines().find(|line| !line.starts_with('#')).unwrap();
    let session = media.split('/').next().unwrap();
    let open = format!("/cmaf/live/cam/{session}/v0/2.m4s");
    let answer = http2.begin(request(Method::GET, &open)).await;
    let answer = tokio::time::timeout(PATIENCE, answer)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let mut came = Vec::new();
    let first = tokio::time::timeout(PATIENCE, body.data()).await.unwrap();
    came.extend(first.unwrap().unwrap());
    assert!(!body.is_end_stream(), "it was there already");
    let half = came.len();
    live.pass(Duration::from_millis(2_000)).await;
    while let Some(data) = tokio::time::timeout(PATIENCE, body.data()).await.unwrap() {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        came.extend(data);
    }
    let whole = http2.get(&open).await;
    assert!(whole.body == came, "{} of {}", came.len(), whole.body.len());
    assert!(half < came.len(), "{half}");
    live.feed.finish();
}
