//! HTTP-FLV through a whole server: published over TCP, watched over HTTP.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use acme_egress::check::{Checker, Response, Tag};
use acme_ingest as _;
use rillcast_core::{Origin, Plugins, Settings};
use rillcast_server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server on free ports, with every plugin that is linked.
async fn start(config: &str) -> (Server, SocketAddr, SocketAddr) {
    let mut settings = Settings::from_toml(config, "test.toml").unwrap();
    for section in ["server", "rtmp", "srt", "acme"] {
        let key = format!("{section}.listen");
        settings.set(&key, "127.0.0.1:0", Origin::Default).unwrap();
    }
    let plugins = Plugins::linked().unwrap();
    let server = Server::start(settings, &plugins).await.unwrap();
    let (http, acme) = (server.addresses()["http"], server.addresses()["acme"]);
    (server, http, acme)
}

/// A publisher that has sent eight seconds of pictures and sound, and stays.
async fn publish(acme: SocketAddr) -> TcpStream {
    let clip = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../server/assets/demo/demo.flv"
    );
    let clip = std::fs::read(clip).unwrap();
    let mut socket = TcpStream::connect(acme).await.unwrap();
    socket.write_all(&clip).await.unwrap();
    socket
}

struct Viewer {
    socket: TcpStream,
    response: Response,
    /// Of a response that is FLV.
    checker: Option<Checker>,
    body: Vec<u8>,
    pictures: Vec<u32>,
}

const PATIENCE: Duration = Duration::from_secs(30);

/// The last picture of the clip.
const LAST: u32 = 7_960;

impl Viewer {
    async fn ask(http: SocketAddr, request: &str) -> Self {
        let mut socket = TcpStream::connect(http).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        Self {
            socket,
            response: Response::new(),
            checker: None,
            body: Vec::new(),
            pictures: Vec::new(),
        }
    }

    /// Asks until the stream is there.
    async fn watch(http: SocketAddr) -> Self {
        loop {
            let mut viewer = Self::ask(http, "GET /flv/acme/cam.flv").await;
            viewer.checker = Some(Checker::new());
            viewer.status().await;
            match viewer.response.status() {
                Some(200) => return viewer,
                status => assert_eq!(status, Some(404)),
            }
        }
    }

    /// Reads until the status is there. The body of a refusal may come with it,
    /// which is not looked at here.
    async fn status(&mut self) {
        let checker = self.checker.take();
        let mut start = [0; 12];
        let peek = async {
            while self.socket.peek(&mut start).await.unwrap() < start.len() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, peek).await.expect("no answer comes");
        if start.ends_with(b"200") {
            self.checker = checker;
        }
        self.read_while(|it| it.response.status().is_none()).await;
    }

    /// Reads and checks what comes, as long as `goes_on` and the connection do.
    async fn read_while(&mut self, goes_on: impl Fn(&Self) -> bool) {
        let mut buffer = vec![0; 64 << 10];
        while goes_on(self) {
            let read = timeout(PATIENCE, self.socket.read(&mut buffer)).await;
            let count = read.expect("nothing comes").unwrap();
            if count == 0 {
                return;
            }
            let (body, pictures) = (&mut self.body, &mut self.pictures);
            let checker = &mut self.checker;
            self.response
                .push(&buffer[..count], |bytes| {
                    body.extend_from_slice(bytes);
                    let Some(checker) = checker else { return };
                    let each = |tag: Tag<'_>| {
                        if tag.kind == 9 && tag.head[1] == 1 {
                            pictures.push(tag.timestamp);
                        }
                    };
                    checker.push(bytes, each).unwrap();
                })
                .unwrap();
        }
    }

    /// Whether the response came to its end, behind a whole tag.
    fn is_whole(&self) -> bool {
        let checker = self.checker.as_ref();
        self.response.is_ended() && checker.is_some_and(Checker::is_whole)
    }

    fn last(&self) -> Option<u32> {
        self.pictures.last().copied()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_watched_from_a_keyframe_to_its_end() {
    for consume in ["reactor", "tasks"] {
        let (server, http, acme) = start(&format!("[flv]\nconsume = \"{consume}\"")).await;
        let publisher = publish(acme).await;
        let mut viewer = Viewer::watch(http).await;
        viewer.read_while(|it| it.last() != Some(LAST)).await;
        let steps = viewer.pictures.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(
            steps.clone().all(|step| step == 40),
            "{:?}",
            viewer.pictures
        );

        let mut listed = Viewer::ask(http, "GET /api/v1/streams/acme/cam").await;
        listed.read_while(|it| !it.body.ends_with(b"}")).await;
        let listed = String::from_utf8(listed.body).unwrap();
        assert!(listed.contains("\"viewers\":1"), "{listed}");

        let mut kick = Viewer::ask(http, "DELETE /api/v1/streams/acme/cam").await;
        kick.read_while(|it| it.response.status().is_none()).await;
        viewer.read_while(|it| !it.response.is_ended()).await;
        assert!(viewer.is_whole());
        drop(publisher);
        timeout(PATIENCE, server.shutdown()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_viewers_see_the_same_and_one_that_stalls_or_leaves_disturbs_none() {
    let (server, http, acme) = start("").await;
    let publisher = publish(acme).await;
    let mut first = Viewer::watch(http).await;
    first.read_while(|it| it.last() != Some(LAST)).await;
    let stalled = Viewer::watch(http).await;
    let mut viewers = Vec::new();
    for number in 0..60 {
        let viewer = Viewer::watch(http).await;
        // A third of them leaves at once.
        if number % 3 > 0 {
            viewers.push(viewer);
        }
    }
    for viewer in &mut viewers {
        viewer.read_while(|it| it.last() != Some(LAST)).await;
        // The same group of pictures for all, by the same bytes.
        assert_eq!(viewer.pictures, viewers_first(&first));
    }
    let of = viewers[0].body.clone();
    assert!(viewers.iter().all(|viewer| viewer.body == of));
    // The server stops while they watch: that is an end, and no break.
    let stopping = tokio::spawn(server.shutdown());
    for viewer in &mut viewers {
        viewer.read_while(|it| !it.response.is_ended()).await;
        assert!(viewer.is_whole());
    }
    drop((publisher, stalled, first));
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
}

/// What a viewer that joins now sees of what another one saw: the last group.
fn viewers_first(first: &Viewer) -> Vec<u32> {
    let group = first.pictures.iter().rev().take(50).rev();
    group.copied().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_comes_back_goes_on_for_those_who_stayed() {
    let (server, http, acme) = start("").await;
    drop(publish(acme).await);
    let mut viewer = Viewer::watch(http).await;
    viewer.read_while(|it| it.last() != Some(LAST)).await;
    let before = viewer.pictures.len();
    let publisher = publish(acme).await;
    // Timestamps that went back, or a torn tag, would be faults.
    viewer
        .read_while(|it| it.pictures.len() < before + 200)
        .await;
    assert!(viewer.pictures.iter().is_sorted());
    assert!(viewer.pictures[before] > LAST);
    drop(publisher);
    timeout(PATIENCE, server.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_stream_is_refused_in_words() {
    let (server, http, acme) = start("").await;
    let publisher = publish(acme).await;
    Viewer::watch(http).await;
    for (request, status, words) in [
        ("GET /flv/acme/other.flv", 404, "no such stream"),
        ("GET /flv/acme/cam.ts", 404, "APP/NAME.flv"),
        ("GET /flv/cam.flv", 404, "APP/NAME.flv"),
        ("GET /flv/acme/../cam.flv", 404, "APP/NAME.flv"),
        ("POST /flv/acme/cam.flv", 405, "only GET and HEAD"),
    ] {
        let mut refused = Viewer::ask(http, request).await;
        refused
            .read_while(|it| {
                !it.body
                    .windows(words.len())
                    .any(|at| at == words.as_bytes())
            })
            .await;
        assert_eq!(refused.response.status(), Some(status), "{request}");
    }
    let mut head = Viewer::ask(http, "HEAD /flv/acme/cam.flv").await;
    head.read_while(|it| it.response.status().is_none()).await;
    assert_eq!((head.response.status(), head.body.len()), (Some(200), 0));
    drop(publisher);
    timeout(PATIENCE, server.shutdown()).await.unwrap();
}
