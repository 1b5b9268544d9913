//! The plugin in a host of its own, and requests to it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rillcast_core::http::{Body, HttpRequest};
use rillcast_core::{
    Host, PluginEntry, Plugins, PublishRequest, Publisher, Registry, RegistryConfig, Services,
    Settings, StreamHandle, StreamKey,
};
use rillcast_egress_hls::{Hls, Parsed};

pub(crate) const KEY: &str = "live/cam";

/// Segments of 1 s, or the clip would be over before there is a window of them.
const SETTINGS: &str = "[cmaf]\nsegment_duration = \"1s\"\n";

pub(crate) struct Server {
    host: Host,
    pub(crate) registry: Registry,
}

/// An answer with its body read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(SETTINGS).await
    }

    pub(crate) async fn with(settings: &str) -> Self {
        let settings = Settings::from_toml(settings, "test.toml").unwrap();
        let registry = Registry::new(RegistryConfig::default());
        let services = Services::new(settings, registry.clone());
        let entry = PluginEntry::egress::<Hls>("rillcast-egress-hls", "0.0.0");
        let plugins = Plugins::none().with(entry).unwrap();
        let host = Host::start(&plugins, services).unwrap();
        host.ready().await.unwrap();
        Self { host, registry }
    }

    pub(crate) fn publish_unread(&self, key: &str) -> Publisher {
        let key = StreamKey::parse(key).unwrap();
        self.registry
            .publish(PublishRequest::new(key, "test"))
            .unwrap()
    }

    /// A publisher whose stream is packaged from its first frame on.
    pub(crate) async fn publish(&self, key: &str) -> Publisher {
        let publisher = self.publish_unread(key);
        while publisher.handle().subscriber_count() == 0 {
            tokio::task::yield_now().await;
        }
        publisher
    }

    pub(crate) fn handle(&self) -> StreamHandle {
        let key = StreamKey::parse(KEY).unwrap();
        self.registry.get(&key).unwrap()
    }

    /// The response to a request for an absolute `path`, its body still to come.
    pub(crate) async fn open(&self, request: Request<'_>) -> http::Response<Body> {
        let path = request.path.split('?').next().unwrap();
        let Some((handler, below)) = self.host.services().routes.find(path) else {
            let mut response = http::Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        };
        let mut made = HttpRequest::get(below);
        made.head.uri = request.path.parse().unwrap();
        made.head.method = request.method;
        made.head.headers = request.headers;
        made.peer = Some(([127, 0, 0, 1], 1).into());
        match handler.handle_now(&mut made) {
            Some(answer) => answer,
            None => handler.handle(made).await,
        }
    }

    pub(crate) async fn send(&self, request: Request<'_>) -> Answer {
        let response = tokio::time::timeout(PATIENCE, self.open(request)).await;
        let (head, body) = response.expect("no answer in time").into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await;
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.expect("the body has no end").unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path)).await
    }

    /// The body of what must be there.
    pub(crate) async fn fetch(&self, path: &str) -> Bytes {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// The absolute paths of the media playlists of the test stream, video first.
    pub(crate) async fn media_playlists(&self) -> Vec<String> {
        let index = format!("/hls/{KEY}/index.m3u8");
        let text = self.fetch(&index).await;
        let text = std::str::from_utf8(&text).unwrap();
        let mut paths: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .chain(text.lines().filter_map(|line| {
                let (_, uri) = line.split_once(",URI=\"")?;
                uri.split_once('"').map(|(uri, _)| uri)
            }))
            .map(|uri| resolve(&index, uri))
            .collect();
        paths.dedup();
        paths
    }

    /// A media playlist that keeps the law.
    pub(crate) async fn playlist(&self, path: &str) -> Parsed {
        let text = self.fetch(path).await;
        let text = std::str::from_utf8(&text).unwrap();
        Parsed::read(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
    }

    /// Waits until the window of the stream has this many complete segments listed.
    pub(crate) async fn listed(&self, path: &str, count: usize) -> Parsed {
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            let playlist = self.playlist(path).await;
            if playlist.segments.len() >= count {
                return playlist;
            }
            assert!(tokio::time::Instant::now() < patience, "{playlist:?}");
            tokio::task::yield_now().await;
        }
    }
}

/// A request in the making.
#[derive(Debug)]
pub(crate) struct Request<'p> {
    path: &'p str,
    method: Method,
    headers: HeaderMap,
}

impl<'p> Request<'p> {
    pub(crate) fn get(path: &'p str) -> Self {
        Self {
            path,
            method: Method::GET,
            headers: HeaderMap::new(),
        }
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers
            .append(name, HeaderValue::from_str(value).unwrap());
        self
    }
}

impl Answer {
    /// One header as text, empty if it is not there.
    pub(crate) fn header(&self, name: &HeaderName) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// `uri` as seen from `base`: RFC 3986 section 5.2 as far as playlists need it.
pub(crate) fn resolve(base: &str, uri: &str) -> String {
    let (base, _) = base.split_once('?').unwrap_or((base, ""));
    let mut parts: Vec<&str> = base.split('/').collect();
    parts.pop();
    for part in uri.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

/// Longer than anything is held.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
