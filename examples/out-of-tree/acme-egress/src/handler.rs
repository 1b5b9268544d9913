//! `/flv/APP/NAME.flv`: which stream a request wants, and who feeds it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::ThreadId;
use std::time::Instant;

use async_trait::async_trait;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Response, StatusCode};
use rillcast_core::http::{Body, HttpHandler, HttpRequest};
use rillcast_core::{EgressContext, Reactor, StreamHandle, StreamKey, Viewers};
use rillcast_media::delivery::{self, refuse};
use tokio::runtime::Handle;

use crate::config::{Config, Consume};
use crate::mux::Layout;
use crate::queue::Queue;
use crate::rows::Rows;
use crate::viewer::{Pieces, Seat, Viewer};

/// What answers below `/flv`. Clones share everything.
#[derive(Clone)]
pub(crate) struct Handler(Arc<Inner>);

struct Inner {
    config: Config,
    /// Empty once the plugin has stopped: the context leads to the table of
    /// routes, which leads here, and the ring must be cut for either to be freed.
    cx: Mutex<Option<EgressContext>>,
    /// By the thread whose viewers it feeds.
    lanes: Mutex<HashMap<ThreadId, Lane>>,
    /// How many viewers there have been.
    count: AtomicU64,
}

/// What the viewers on one thread share. The server keeps a connection on one
/// thread, where this runs too: so a frame that comes wakes each thread once,
/// and from there all of its viewers without a word to another thread.
struct Lane {
    reactor: Reactor<Viewer>,
    /// By the stream's session.
    rows: HashMap<Box<str>, Weak<Rows>>,
}

type Refusal = Box<Response<Body>>;

impl Handler {
    pub(crate) fn new(config: Config, cx: EgressContext) -> Self {
        Self(Arc::new(Inner {
            config,
            cx: Mutex::new(Some(cx)),
            lanes: Mutex::default(),
            count: AtomicU64::new(0),
        }))
    }

    /// Stops looking up streams. Viewers stay until their stream ends.
    pub(crate) fn stop(&self) {
        drop(lock(&self.0.cx).take());
    }
}

#[async_trait]
impl HttpHandler for Handler {
    /// Nothing has to be waited for: that is what the body does.
    fn handle_now(&self, request: &mut HttpRequest) -> Option<Response<Body>> {
        let answer = self.0.answer(request);
        Some(answer.unwrap_or_else(|refusal| *refusal))
    }

    async fn handle(&self, request: HttpRequest) -> Response<Body> {
        let answer = self.0.answer(&request);
        answer.unwrap_or_else(|refusal| *refusal)
    }
}

impl Inner {
    fn answer(&self, request: &HttpRequest) -> Result<Response<Body>, Refusal> {
        let verb = delivery::verb(&request.head)?;
        let path = request.path.strip_suffix(".flv").and_then(|path| {
            let (app, name) = path.split_once('/')?;
            StreamKey::from_parts(app, name).ok()
        });
        let key = path.ok_or_else(|| missing("there is only APP/NAME.flv here"))?;
        let handle = lock(&self.cx).as_ref().and_then(|cx| cx.stream(&key));
        let handle = handle.ok_or_else(|| missing("there is no such stream"))?;
        if !is_carried(&handle) {
            return Err(missing("FLV carries none of the stream's codecs"));
        }
        let content_type = HeaderValue::from_static("video/x-flv");
        let body = || self.watch(&handle);
        let mut response = delivery::growing(verb, &request.head, content_type, body);
        let headers = response.headers_mut();
        // Another viewer's would begin elsewhere.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// The body of a new viewer's response.
    fn watch(&self, handle: &StreamHandle) -> Body {
        let queue = Arc::new(Queue::new(self.config.queue.as_usize()));
        let (reactor, rows) = self.lane(handle);
        let seat = Seat {
            queue: Arc::clone(&queue),
            rows,
            viewers: handle.slot(Viewers::new),
            number: self.count.fetch_add(1, Ordering::Relaxed),
            gather: self.config.gather.0,
        };
        let viewer = Viewer::new(seat, Instant::now());
        Body::stream(match self.config.consume {
            Consume::Reactor => {
                reactor.add(handle, viewer);
                Pieces::new(queue)
            }
            Consume::Tasks => Pieces::of_own(queue, handle.subscribe_resilient(), viewer),
        })
    }

    /// What viewers of this stream share on this thread.
    fn lane(&self, handle: &StreamHandle) -> (Reactor<Viewer>, Arc<Rows>) {
        let mut lanes = lock(&self.lanes);
        let lane = lanes
            .entry(std::thread::current().id())
            .or_insert_with(|| Lane {
                reactor: Reactor::new(&Handle::current(), 1),
                rows: HashMap::new(),
            });
        let known = lane.rows.get(handle.session()).and_then(Weak::upgrade);
        let rows = known.unwrap_or_else(|| {
            lane.rows.retain(|_, rows| rows.strong_count() > 0);
            let rows = Arc::new(Rows::default());
            lane.rows
                .insert(handle.session().into(), Arc::downgrade(&rows));
            rows
        });
        (lane.reactor.clone(), rows)
    }
}

/// Whether there is anything for FLV in the stream, or may come to be.
fn is_carried(handle: &StreamHandle) -> bool {
    let tracks = handle.tracks();
    let mut layout = Layout::default();
    for track in tracks.iter() {
        layout.add(track);
    }
    tracks.is_empty() || !layout.is_empty()
}

fn missing(why: &'static str) -> Refusal {
    Box::new(refuse(StatusCode::NOT_FOUND, why))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
