//! A server for a test, and an egress whose handler answers as tests need it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use rillcast_core::http::{Body, Chunk, HttpHandler, HttpRequest};
use rillcast_core::{BoxError, Egress, EgressContext, PluginEntry, Plugins, Settings};
use rillcast_media::delivery;
use rillcast_server::Server;
use tokio::sync::Notify;

/// A running server with the handler of [`Probe`] below `/probe`.
pub(crate) struct Fixture {
    pub(crate) server: Server,
    pub(crate) http: SocketAddr,
}

/// Starts a server; `config` is added to the sections that tests need.
pub(crate) async fn start(config: &str) -> Fixture {
    start_with(config, PluginEntry::egress::<Probe>("probe-crate", "1.2.3")).await
}

pub(crate) async fn start_with(config: &str, plugin: PluginEntry) -> Fixture {
    let mut settings = Settings::from_toml(config, "test.toml").unwrap();
    let origin = rillcast_core::Origin::Default;
    settings
        .set("server.listen", "127.0.0.1:0", origin)
        .unwrap();
    let plugins = Plugins::none().with(plugin).unwrap();
    let server = Server::start(settings, &plugins).await.unwrap();
    let http = server.addresses()["http"];
    Fixture { server, http }
}

/// An egress that answers below `/probe`.
pub(crate) struct Probe;

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NoConfig {}

impl Egress for Probe {
    const NAME: &'static str = "probe";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, BoxError> {
        Ok(Self)
    }

    async fn run(self, cx: EgressContext) -> Result<(), BoxError> {
        let handler = Handler {
            gate: Arc::new(Notify::new()),
            begun: AtomicUsize::new(0),
        };
        cx.http().mount("probe", "/probe", handler)?;
        cx.ready(None);
        cx.shutdown().requested().await;
        Ok(())
    }
}

/// What the handler's `slices` answers, in many slices.
pub(crate) fn sliced() -> (Chunk, Vec<u8>) {
    let slices: Arc<[Bytes]> = (0..200_usize)
        .map(|index| Bytes::from(vec![u8::try_from(index).unwrap(); index * 37]))
        .collect();
    let whole = slices.concat();
    (Chunk::from_slices(slices), whole)
}

struct Handler {
    /// Opened by a request for `open`; `held` waits for it.
    gate: Arc<Notify>,
    /// Requests that were begun; `begun` tells.
    begun: AtomicUsize,
}

#[async_trait]
impl HttpHandler for Handler {
    async fn handle(&self, mut request: HttpRequest) -> http::Response<Body> {
        if let Some(answer) = delivered(&mut request) {
            return answer;
        }
        if request.path == "begun" {
            let begun = self.begun.load(Ordering::Relaxed).to_string();
            return http::Response::new(Body::from(begun));
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        let body = match request.path.as_str() {
            "slices" => Body::whole(sliced().0),
            "endless" => endless(),
            "panic" => panic!("on purpose"),
            "open" => {
                self.gate.notify_one();
                Body::from("opened")
            }
            "held" => {
                self.gate.notified().await;
                Body::from("held")
            }
            "chunks" => pieces(vec![Ok("one "), Ok("two")]),
            "broken" => pieces(vec![Ok("one "), Err("broken")]),
            "echo" => echo(&mut request).await,
            path => Body::from(format!("{path}?{}", request.query().unwrap_or_default())),
        };
        http::Response::new(body)
    }
}

/// What `rillcast_media::delivery` makes of a file: `growing` and `whole`.
fn delivered(request: &mut HttpRequest) -> Option<http::Response<Body>> {
    let verb = delivery::verb(&request.head).ok()?;
    let content_type = HeaderValue::from_static("video/mp4");
    match request.path.as_str() {
        "growing" => Some(delivery::growing(verb, &request.head, content_type, || {
            pieces(vec![Ok("one "), Ok("two")])
        })),
        "whole" => {
            let file = delivery::Immutable {
                bytes: Chunk::from(Bytes::from_static(b"whole")),
                content_type,
                tag: Some(HeaderValue::from_static("\"tag\"")),
            };
            Some(file.answer(verb, &mut request.head))
        }
        _ => None,
    }
}

async fn echo(request: &mut HttpRequest) -> Body {
    let mut all = Vec::new();
    while let Some(piece) = request.body.chunk().await {
        match piece {
            Ok(piece) => all.extend_from_slice(&piece),
            Err(error) => return Body::from(format!("error: {error}")),
        }
    }
    Body::from(Bytes::from(all))
}

/// Yields its pieces one by one, and lets what it yielded be sent before the next.
struct Pieces {
    pieces: std::vec::IntoIter<Result<&'static str, &'static str>>,
    rested: bool,
}

impl futures_core::Stream for Pieces {
    type Item = Result<Chunk, BoxError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.rested = !self.rested;
        if self.rested {
            cx.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        let next = self.pieces.next().map(|piece| match piece {
            Ok(text) => Ok(Chunk::from(Bytes::from_static(text.as_bytes()))),
            Err(text) => Err(text.into()),
        });
        std::task::Poll::Ready(next)
    }
}

fn pieces(pieces: Vec<Result<&'static str, &'static str>>) -> Body {
    Body::stream(Pieces {
        pieces: pieces.into_iter(),
        rested: false,
    })
}

/// More than any socket's buffers take.
fn endless() -> Body {
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let list: Arc<[Bytes]> = vec![piece; 256].into();
    Body::whole(Chunk::from_slices(list))
}
