//! The bytes of an HTTP client through a real connection, to the real handlers,
//! beside a real stream; only the socket is not one.

use std::cell::Cell;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use rillcast_core::{
    Admission, Host, HumanDuration, Plugins, PublishRequest, Publisher, Registry, RegistryConfig,
    Services, Settings, StreamKey,
};
use rillcast_media::cmaf::existing_window;
use rillcast_media::flv::{self, Demuxer};
use rillcast_media::{Feed, SourceItem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::app::App;
use crate::auth::Gate;
use crate::config::ServerConfig;
use crate::http::{Client, Dispatch, HttpStats, Limits, serve_http1, serve_http2};

/// What a client sends, as it stands on the wire; `SESSION` becomes the session
/// of the stream `live/cam`, which no input could know. The client hangs up if
/// an answer does not come by itself: nothing is awaited here but the server.
pub fn http(data: &[u8]) {
    let answers = answers(data);
    if is_http2(data) {
        return no_failure(&answers);
    }
    let text = String::from_utf8_lossy(&answers);
    assert!(answers.is_empty() || text.starts_with("HTTP/1."), "{text}");
    for line in text
        .split("\r\n")
        .filter(|line| line.starts_with("HTTP/1."))
    {
        assert!(!line.contains(" 500 "), "a handler panicked");
    }
}

/// What goes wrong in HTTP/2 is a head that begins with the status 500.
fn no_failure(mut answers: &[u8]) {
    const HEADERS: u8 = 1;
    const STATUS_500: u8 = 0x8e;
    while let Some((&[a, b, c, kind, ..], rest)) = answers.split_first_chunk::<9>() {
        let len = u32::from_be_bytes([0, a, b, c]);
        let len = usize::try_from(len).unwrap().min(rest.len());
        let (payload, rest) = rest.split_at(len);
        let failed = kind == HEADERS && payload.first() == Some(&STATUS_500);
        assert!(!failed, "a handler panicked");
        answers = rest;
    }
}

/// As a listener tells it.
fn is_http2(data: &[u8]) -> bool {
    data.starts_with(b"PRI")
}

/// What a server answers; there is one for all calls, since it costs more to
/// start than to ask.
pub(super) fn answers(data: &[u8]) -> Vec<u8> {
    static BESIDE: OnceLock<Mutex<Beside>> = OnceLock::new();
    let beside = BESIDE.get_or_init(|| Mutex::new(Beside::new()));
    let mut beside = beside.lock().unwrap_or_else(PoisonError::into_inner);
    beside.send(data)
}

/// A server without its listeners, and a stream.
struct Beside {
    runtime: Runtime,
    dispatch: Arc<Dispatch>,
    registry: Registry,
    _host: Arc<Host>,
    publisher: Option<Feed>,
}

impl Beside {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let guard = runtime.enter();
        let settings = Settings::new();
        let registry = Registry::new(RegistryConfig::default());
        let services = Services::new(settings.clone(), registry.clone());
        let routes = services.routes.clone();
        let mut plugins = Plugins::none();
        for entry in Plugins::linked().unwrap().entries() {
            // Those that open no socket.
            if entry.role() == rillcast_core::Role::Egress {
                plugins = plugins.with(*entry).unwrap();
            }
        }
        let host = Arc::new(Host::start(&plugins, services).unwrap());
        let stats = Arc::new(HttpStats::default());
        let gate = Gate::new(&settings).unwrap();
        let app = App::new(Arc::clone(&host), gate, Arc::clone(&stats), 100);
        let own = api::router(Arc::new(app));
        let dispatch = Dispatch::new(own, api::ROOTS, routes, stats);
        drop(guard);
        runtime.block_on(host.ready()).unwrap();
        Self {
            runtime,
            dispatch: Arc::new(dispatch),
            registry,
            _host: host,
            publisher: None,
        }
    }

    /// What is answered to `data`.
    fn send(&mut self, data: &[u8]) -> Vec<u8> {
        let session = self.session();
        let data = replace(data, b"SESSION", session.as_bytes());
        let (near, far) = tokio::io::duplex(WIRE);
        let peer = ([127, 0, 0, 1], 1).into();
        let dispatch = Arc::clone(&self.dispatch);
        let stop = CancellationToken::new();
        let patience = HumanDuration(PATIENCE);
        let config = ServerConfig {
            head_timeout: patience,
            idle_timeout: patience,
            body_timeout: patience,
            ..ServerConfig::default()
        };
        let admission = Admission::new("server", 1, 1);
        let client = Client::new(peer, Limits::of(&config), admission);
        let serve = async {
            let late = Limits::of(&config).first_head();
            match is_http2(&data) {
                false => serve_http1(TokioIo::new(far), client, dispatch, stop, late).await,
                true => serve_http2(far, client, dispatch, stop, late).await,
            }
        };
        let mut answers = Vec::new();
        let progress = Cell::new(0_u64);
        self.runtime.block_on(async {
            let (mut reader, mut writer) = tokio::io::split(near);
            let send = async {
                let sent = writer.write_all(&data).await;
                // Most clients keep their side open; a server may take its end
                // for theirs.
                if data.ends_with(b"\n\n") && sent.is_ok() {
                    let _ = writer.shutdown().await;
                }
                std::future::pending::<()>().await;
            };
            let receive = async {
                while reader.read_buf(&mut answers).await.is_ok_and(|got| got > 0) {
                    progress.set(progress.get() + 1);
                }
            };
            let hang_up = async {
                let mut before = u64::MAX;
                while progress.replace(0) != before {
                    before = 0;
                    for _ in 0..ROUNDS {
                        yield_now().await;
                    }
                }
            };
            tokio::select! {
                biased;
                () = serve => {}
                () = send => {}
                () = receive => {}
                () = hang_up => {}
            }
            // The server's end is gone; what it sent is still there.
            let _ = reader.read_to_end(&mut answers).await;
        });
        answers
    }

    /// The session of the stream, which is published anew if somebody ended it.
    fn session(&mut self) -> String {
        let key = StreamKey::parse("live/cam").unwrap();
        let live = self.registry.get(&key);
        let live = live.filter(|handle| handle.close_reason().is_none());
        if let Some(handle) = live {
            return handle.session().to_owned();
        }
        self.runtime.block_on(async {
            let request = PublishRequest::new(key, "fuzz");
            let publisher = self.registry.publish(request).unwrap();
            let handle = publisher.handle().clone();
            self.publisher = Some(play(publisher).await);
            handle.session().to_owned()
        })
    }
}

/// Publishes the demo clip at once, and waits until it is packaged.
async fn play(publisher: Publisher) -> Feed {
    let handle = publisher.handle().clone();
    while existing_window(&handle).is_none() {
        yield_now().await;
    }
    let mut feed = Feed::new(publisher);
    let mut reader = flv::file::Reader::new();
    let mut demuxer = Demuxer::new();
    reader.push(include_bytes!("../../assets/demo/demo.flv"));
    let now = Instant::now();
    while let Some(tag) = reader.next_tag().unwrap() {
        let at = now + Duration::from_millis(tag.timestamp_ms.into());
        for item in demuxer.tag(tag, at).unwrap() {
            let frame = matches!(item, SourceItem::Frame(_));
            feed.push(item).unwrap();
            if frame {
                // The packager must not lag.
                yield_now().await;
            }
        }
    }
    let listed = || {
        let window = existing_window(&handle)?;
        let snapshot = window.load();
        Some(snapshot.primary()?.listed().len())
    };
    while listed().is_none_or(|count| count < 2) {
        yield_now().await;
    }
    feed
}

fn replace(data: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = tail;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

/// What lies between the two ends of the connection.
const WIRE: usize = 64 << 10;

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Turns that everybody gets without a byte before the client hangs up.
const ROUNDS: u32 = 32;
