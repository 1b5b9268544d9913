//! `/dash/…`: a stream's manifest at `APP/NAME/manifest.mpd`, and the clock that it
//! goes by at `time`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use jiff::Timestamp;
use rillcast_core::http::{Body, HttpHandler, HttpRequest};
use rillcast_core::{Lifecycle, StreamHandle, StreamKey};
use rillcast_media::cmaf::{Snapshot, State, Window};
use rillcast_media::delivery::{
    self, Refusal, Sessions, Streams, Verb, allow_origins, missing, note_viewer, playable,
};

use crate::Config;
use crate::mpd::Options;
use crate::session::Session;

/// What answers below `/dash`. Clones share everything.
#[derive(Clone)]
pub(crate) struct Handler(Arc<Inner>);

struct Inner {
    config: Config,
    streams: Arc<Streams>,
    sessions: Sessions<Session>,
}

impl Handler {
    pub(crate) fn new(config: Config, streams: Arc<Streams>) -> Self {
        Self(Arc::new(Inner {
            config,
            streams,
            sessions: Sessions::new(),
        }))
    }

    /// Forgets what is over. To be called about once a second.
    pub(crate) fn sweep(&self) {
        self.0.sessions.sweep();
    }
}

#[async_trait]
impl HttpHandler for Handler {
    fn handle_now(&self, request: &mut HttpRequest) -> Option<Response<Body>> {
        let HttpRequest {
            head, path, peer, ..
        } = request;
        let verb = delivery::verb(head).ok()?;
        if path == "time" {
            return Some(time(verb, SystemTime::now()));
        }
        let (key, file) = StreamKey::split_path(path)?;
        if file != "manifest.mpd" {
            return None;
        }
        let handle = self.0.streams.live(&key.parse().ok()?)?;
        let window = self.0.streams.known_window(&handle)?;
        let snapshot = window.load();
        if !is_listed(&snapshot) || matches!(snapshot.state, State::Refused(_)) {
            return None;
        }
        self.0
            .manifest(&window, &snapshot, Some(&handle), (verb, head, *peer))
    }

    async fn handle(&self, mut request: HttpRequest) -> Response<Body> {
        let answer = self.0.answer(&mut request).await;
        answer.unwrap_or_else(|refusal| *refusal)
    }
}

impl Inner {
    async fn answer(&self, request: &mut HttpRequest) -> Result<Response<Body>, Refusal> {
        let HttpRequest {
            head, path, peer, ..
        } = request;
        let verb = delivery::verb(head)?;
        let parts: Vec<&str> = path.split('/').take(4).collect();
        let [app, name, "manifest.mpd"] = parts[..] else {
            return Err(missing("there is no such manifest"));
        };
        let key = StreamKey::from_parts(app, name);
        let key = key.map_err(|_| missing("that names no stream"))?;
        let handle = self.streams.live(&key);
        let window = self.streams.window(&key, handle.as_ref());
        let window = window.ok_or_else(|| missing("there is no such stream"))?;
        let snapshot = playable(&window, HOLD, is_listed).await?;
        self.manifest(&window, &snapshot, handle.as_ref(), (verb, head, *peer))
            .ok_or_else(|| missing("there is nothing to play"))
    }

    /// The manifest of what `snapshot` lists; whoever gets one is counted as a viewer.
    fn manifest(
        &self,
        window: &Arc<Window>,
        snapshot: &Snapshot,
        handle: Option<&StreamHandle>,
        (verb, head, peer): (Verb, &mut Parts, Option<SocketAddr>),
    ) -> Option<Response<Body>> {
        let handle = handle.filter(|handle| handle.session() == window.session());
        let session = self.sessions.get(window, || {
            Session::new(self.config.low_latency, self.streams.viewers(window))
        });
        let options = Options {
            target_latency: self.config.target_latency(),
        };
        let publishes =
            handle.is_some_and(|handle| handle.current_state().lifecycle == Lifecycle::Publishing);
        let now = SystemTime::now();
        let text = session.manifest(snapshot, options, !publishes, now)?;
        note_viewer(&session.viewers, snapshot, head, peer, Instant::now());
        Some(text.answer(verb, head))
    }
}

/// The wall clock, to the millisecond (`urn:mpeg:dash:utc:http-xsdate:2014`): the
/// one that `availabilityStartTime` was read from.
fn time(verb: Verb, now: SystemTime) -> Response<Body> {
    let date = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let text = format!("{date:.3}");
    let mut response = match verb {
        Verb::Get => Response::new(Body::from(text)),
        Verb::Head => Response::new(Body::empty()),
    };
    let headers = response.headers_mut();
    allow_origins(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn is_listed(snapshot: &Snapshot) -> bool {
    let primary = snapshot.primary();
    primary.is_some_and(|track| !track.listed().is_empty())
}

/// For how long the manifest of a live stream is held until it can be played: the
/// longest keyframe interval that is waited for by default and a little more.
const HOLD: Duration = Duration::from_secs(15);
