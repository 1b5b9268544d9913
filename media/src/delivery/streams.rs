//! Streams as an egress of segments finds them: what lives, its window, its
//! viewers, and when packaging starts.
//!
//! HLS and DASH differ in what they write of a window. How they come by it is the
//! same, so it is here once: [`Streams`] for their handlers, [`run`] for their
//! plugins.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::header::USER_AGENT;
use http::request::Parts;
use http::{Response, StatusCode};
use rillcast_core::http::{Body, HttpHandler, hold};
use rillcast_core::{
    BoxError, EgressContext, SettingsError, StreamEvent, StreamHandle, StreamKey, Viewers,
};
use serde::de::DeserializeOwned;

use super::{refuse, refuse_for_now};
use crate::cmaf::{self, CmafConfig, Serve, Snapshot, Start, State, Store, Window};

/// The answer to a request that is not granted.
pub type Refusal = Box<Response<Body>>;

/// The streams of a server, those that ended a while ago too.
pub struct Streams {
    store: Arc<Store>,
    clock: fn() -> Instant,
    /// Empty once the plugin has stopped: the context leads to the table of
    /// routes, which leads to the handler that holds this, and the ring must be
    /// cut for either to be freed.
    cx: ArcSwapOption<EgressContext>,
}

impl Streams {
    /// The streams of the plugin's server. `clock` is the plugin's monotonic
    /// clock, since this crate reads none: pass [`Instant::now`].
    #[must_use]
    pub fn new(cx: &EgressContext, clock: fn() -> Instant) -> Self {
        Self {
            store: cx.shared(Store::new),
            clock,
            cx: ArcSwapOption::from_pointee(cx.clone()),
        }
    }

    /// The live stream of that key.
    #[must_use]
    pub fn live(&self, key: &StreamKey) -> Option<StreamHandle> {
        let cx = self.cx.load();
        cx.as_ref()?.stream(key)
    }

    /// The window of the live stream `handle`, made if this is the first request
    /// for it; without a handle, that of the life that ended last.
    #[must_use]
    pub fn window(&self, key: &StreamKey, handle: Option<&StreamHandle>) -> Option<Arc<Window>> {
        let now = (self.clock)();
        let known = self.store.get(key, now);
        let Some(handle) = handle else {
            return known;
        };
        let is_its = |known: &Arc<Window>| known.session() == handle.session();
        if known.as_ref().is_some_and(is_its) {
            return known;
        }
        let config = self.settings::<CmafConfig>("cmaf", key)?.ok()?;
        Some(self.store.open(handle, &config, now))
    }

    /// The window of the live stream `handle`, if it is packaged by now.
    #[must_use]
    pub fn known_window(&self, handle: &StreamHandle) -> Option<Arc<Window>> {
        let known = self.store.get(handle.key(), (self.clock)());
        known.filter(|known| known.session() == handle.session())
    }

    /// The window of one life of a stream, live or ended. `key` is the text of the
    /// stream's key; one that is none has no window.
    #[must_use]
    pub fn life(&self, key: &str, session: &str) -> Option<Arc<Window>> {
        self.store.find(key, session, (self.clock)())
    }

    /// The counter of the stream whose life this window is of.
    #[must_use]
    pub fn viewers(&self, window: &Window) -> Arc<Viewers> {
        let handle = self.live(window.key());
        let same = handle.filter(|handle| handle.session() == window.session());
        match same {
            Some(handle) => handle.slot(Viewers::new),
            // Nobody will ask how many watch what is over.
            None => Arc::default(),
        }
    }

    /// A section as it stands for one stream; `None` once the plugin has stopped.
    /// A fault is logged here.
    ///
    /// # Errors
    /// The section, or its override for the stream, does not read into `T`: both
    /// were checked at start, so this is a fault of the server.
    pub fn settings<T: DeserializeOwned>(
        &self,
        section: &str,
        key: &StreamKey,
    ) -> Option<Result<T, SettingsError>> {
        let cx = self.cx.load();
        let read = cx.as_ref()?.stream_settings(section, key);
        Some(read.inspect_err(|error| {
            tracing::error!(stream = %key, %error, "the settings of the stream cannot be read");
        }))
    }

    /// Begins to count a new stream's viewers, and to package it, unless that is
    /// left to the first request.
    fn open(&self, handle: &StreamHandle) {
        // From now on it is known how many watch: nobody.
        handle.slot(Viewers::new);
        if let Some(Ok(config)) = self.settings::<CmafConfig>("cmaf", handle.key())
            && config.start == Start::Always
        {
            self.store.open(handle, &config, (self.clock)());
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

/// The life of a plugin that serves segments: mounts `handler` at `prefix` and the
/// media bytes at [`cmaf::MOUNT`], packages what is published, and calls `sweep`
/// once a second, until the server stops. `handler` finds streams by `streams`.
///
/// What has ended stays served until the last connection is done; new streams are
/// found no more. Needs the tokio runtime that plugins run in.
///
/// # Errors
/// A path is taken by another plugin.
pub async fn run(
    cx: EgressContext,
    prefix: &str,
    streams: Arc<Streams>,
    handler: impl HttpHandler,
    mut sweep: impl FnMut(),
) -> Result<(), BoxError> {
    let _stop = StopOnDrop(Arc::clone(&streams));
    // What happens from here on is seen, and what lives already comes first.
    let mut events = cx.events();
    cx.http().mount(cx.name(), prefix, handler)?;
    let serve = || Serve::new(Arc::clone(&streams.store), streams.clock);
    cx.http().mount_once(cx.name(), cmaf::MOUNT, serve)?;
    cx.ready(None);
    let shutdown = cx.shutdown();
    let mut stop = pin!(shutdown.requested());
    // Events end before the plugin does: the streams end first at a shutdown, and
    // what they leave is served until the last connection is done.
    let mut more = true;
    let mut swept = (streams.clock)();
    loop {
        let now = (streams.clock)();
        if now.saturating_duration_since(swept) >= SWEEP_EVERY {
            swept = now;
            streams.store.sweep(now);
            sweep();
        }
        let next = async {
            let mut next = pin!(events.next());
            poll_fn(|task| {
                if stop.as_mut().poll(task).is_ready() {
                    return Poll::Ready(Next::Stop);
                }
                if !more {
                    return Poll::Pending;
                }
                next.as_mut().poll(task).map(Next::Event)
            })
            .await
        };
        let until = (swept + SWEEP_EVERY).saturating_duration_since(now);
        match hold(until, next).await {
            Some(Next::Stop) => return Ok(()),
            Some(Next::Event(Some(StreamEvent::Published { key, .. }))) => {
                if let Some(handle) = cx.stream(&key) {
                    streams.open(&handle);
                }
            }
            Some(Next::Event(None)) => more = false,
            Some(Next::Event(Some(_))) | None => {}
        }
    }
}

/// What a plugin waits for between two sweeps.
enum Next {
    Stop,
    Event(Option<StreamEvent>),
}

/// Cuts the ring from the routes over the handler to the context, however the
/// plugin ends.
struct StopOnDrop(Arc<Streams>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cx.store(None);
    }
}

/// The first snapshot with something `listed`, held for up to `limit` while the
/// stream lives. Cancel safe.
///
/// # Errors
/// 503 if it does not come in time, 404 if it never will.
pub async fn playable(
    window: &Window,
    limit: Duration,
    listed: impl Fn(&Snapshot) -> bool,
) -> Result<Arc<Snapshot>, Refusal> {
    let settled = |snapshot: &Snapshot| {
        listed(snapshot) || !matches!(snapshot.state, State::Waiting | State::Live)
    };
    let snapshot = hold(limit, window.watched().wait_for(settled)).await;
    let snapshot = snapshot
        .ok_or_else(|| Box::new(refuse_for_now("the first segment is not complete yet", 1)))?;
    match snapshot.state {
        // Nothing will be added any more, whatever was listed before.
        State::Refused(refusal) => Err(missing(refusal.reason())),
        _ if listed(&snapshot) => Ok(snapshot),
        _ => Err(missing("the stream ended before its first segment")),
    }
}

/// Counts the sender of a request for what `snapshot` lists as a viewer until it
/// should have asked again.
pub fn note_viewer(
    viewers: &Viewers,
    snapshot: &Snapshot,
    head: &Parts,
    peer: Option<SocketAddr>,
    now: Instant,
) {
    if snapshot.is_ended() {
        return;
    }
    let address = peer.map(|peer| peer.ip().to_canonical());
    let agent = head.headers.get(USER_AGENT);
    let stay = snapshot.target_duration * 2 + VIEWER_SLACK;
    viewers.note((address, agent), now, stay);
}

/// 404, and `why`.
#[must_use]
pub fn missing(why: &'static str) -> Refusal {
    Box::new(refuse(StatusCode::NOT_FOUND, why))
}

/// How often ended windows are looked for whose time is over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A player asks once a target duration; this much more than two of them and it
/// has gone.
const VIEWER_SLACK: Duration = Duration::from_secs(1);
