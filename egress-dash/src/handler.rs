//! `/dash/…`: a stream's manifest at `APP/NAME/manifest.mpd`, and the clock that it
//! goes by at `time`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::request::Parts;
use http::{Response, StatusCode};
use jiff::Timestamp;
use rillcast_core::http::{Body, HttpHandler, HttpRequest, hold};
use rillcast_core::{EgressContext, Lifecycle, StreamHandle, StreamKey, Viewers};
use rillcast_media::cmaf::{CmafConfig, Snapshot, State, Store, Window};
use rillcast_media::delivery::{self, Verb, allow_origins, refuse, refuse_for_now};

use crate::Config;
use crate::mpd::Options;
use crate::sessions::Sessions;

/// What answers below `/dash`. Clones share everything.
#[derive(Clone)]
pub(crate) struct Handler(Arc<Inner>);

struct Inner {
    config: Config,
    store: Arc<Store>,
    sessions: Sessions,
    /// Empty once the plugin has stopped: the context leads to the table of
    /// routes, which leads here, and the ring must be cut for either to be freed.
    cx: ArcSwapOption<EgressContext>,
}

type Refusal = Box<Response<Body>>;

impl Handler {
    pub(crate) fn new(config: Config, store: Arc<Store>, cx: EgressContext) -> Self {
        Self(Arc::new(Inner {
            config,
            store,
            sessions: Sessions::default(),
            cx: ArcSwapOption::from_pointee(cx),
        }))
    }

    /// Forgets what is over. To be called about once a second.
    pub(crate) fn sweep(&self, now: Instant) {
        self.0.store.sweep(now);
        self.0.sessions.sweep();
    }

    /// Stops looking up streams; what is known stays served.
    pub(crate) fn stop(&self) {
        self.0.cx.store(None);
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
        let handle = self.0.stream(&key.parse().ok()?)?;
        let window = self.0.store.get(handle.key(), Instant::now())?;
        if file != "manifest.mpd" || window.session() != handle.session() {
            return None;
        }
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
        let handle = self.stream(&key);
        let window = self.window(&key, handle.as_ref());
        let window = window.ok_or_else(|| missing("there is no such stream"))?;
        let snapshot = playable(&window).await?;
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
        let viewers = || match handle {
            Some(handle) => handle.slot(Viewers::new),
            // Nobody will ask how many watch what is over.
            None => Arc::default(),
        };
        let session = self.sessions.get(window, self.config.low_latency, viewers);
        let options = Options {
            target_latency: self.config.target_latency(),
        };
        let publishes =
            handle.is_some_and(|handle| handle.current_state().lifecycle == Lifecycle::Publishing);
        let now = SystemTime::now();
        let text = session.manifest(snapshot, options, !publishes, now)?;
        if !snapshot.is_ended() {
            let who = (
                peer.map(|peer| peer.ip().to_canonical()),
                head.headers.get(USER_AGENT),
            );
            let stay = snapshot.target_duration * 2 + VIEWER_SLACK;
            session.viewers.note(who, Instant::now(), stay);
        }
        Some(text.answer(verb, head))
    }

    /// The live stream of that key.
    fn stream(&self, key: &StreamKey) -> Option<StreamHandle> {
        let cx = self.cx.load();
        cx.as_ref()?.stream(key)
    }

    /// The window of a live stream, made if this is the first request for it, or
    /// that of the life that ended last.
    fn window(&self, key: &StreamKey, handle: Option<&StreamHandle>) -> Option<Arc<Window>> {
        let now = Instant::now();
        let known = self.store.get(key, now);
        let Some(handle) = handle else {
            return known;
        };
        if known
            .as_ref()
            .is_some_and(|known| known.session() == handle.session())
        {
            return known;
        }
        let cx = self.cx.load();
        let config = cx.as_ref()?.stream_settings::<CmafConfig>("cmaf", key);
        // The section was checked at start, each override of it too.
        let config = config.inspect_err(|error| {
            tracing::error!(stream = %key, %error, "the settings of the stream cannot be read");
        });
        Some(self.store.open(handle, &config.ok()?, now))
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

/// The first snapshot with something listed, held while the stream lives.
async fn playable(window: &Window) -> Result<Arc<Snapshot>, Refusal> {
    let settled = |snapshot: &Snapshot| {
        is_listed(snapshot) || !matches!(snapshot.state, State::Waiting | State::Live)
    };
    let snapshot = hold(HOLD, window.watched().wait_for(settled)).await;
    let snapshot = snapshot
        .ok_or_else(|| Box::new(refuse_for_now("the first segment is not complete yet", 1)))?;
    match snapshot.state {
        State::Refused(refusal) => Err(missing(refusal.reason())),
        _ if is_listed(&snapshot) => Ok(snapshot),
        _ => Err(missing("the stream ended before its first segment")),
    }
}

fn missing(why: &'static str) -> Refusal {
    Box::new(refuse(StatusCode::NOT_FOUND, why))
}

/// For how long the manifest of a live stream is held until it can be played: the
/// longest keyframe interval that is waited for by default and a little more.
const HOLD: Duration = Duration::from_secs(15);

/// A player asks once a segment; this much more than two of them and it has gone.
const VIEWER_SLACK: Duration = Duration::from_secs(1);
