//! `/cmaf/APP/NAME/{session}/{track}/…`: the bytes that playlists and manifests
//! point at (MEDIA.md section 4).
//!
//! One handler for every egress, mounted by `mount_once`: HLS and DASH point at
//! the same URLs, which never change their bytes. What is about to exist is
//! held for, what has gone or is far off is 404. [`address`] reads the URL,
//! [`growing`] sends a segment while it is being cut.

mod address;
mod growing;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use rillcast_core::MediaKind;
use rillcast_core::http::{Body, Chunk, HttpHandler, HttpRequest, hold};

pub(crate) use self::address::Address;
use self::address::File;
use super::{Segment, Snapshot, State, Store, TrackWindow, Window};
use crate::delivery::{self, Immutable, Verb, entity_tag, refuse};

/// Where egresses mount [`Serve`].
pub const MOUNT: &str = "/cmaf";

/// Serves initialisation segments, segments and parts out of the live windows.
pub struct Serve {
    store: Arc<Store>,
    clock: fn() -> Instant,
}

impl Serve {
    /// Serves the windows of `store`. `clock` is the monotonic clock of whoever
    /// mounts this, since this crate reads none: pass [`Instant::now`].
    #[must_use]
    pub const fn new(store: Arc<Store>, clock: fn() -> Instant) -> Self {
        Self { store, clock }
    }

    /// What `path` leads to, and in which window.
    fn find<'p>(&self, path: &'p str) -> Result<(Arc<Window>, Address<'p>), Refusal> {
        let address = Address::parse(path).ok_or_else(|| missing("no such file"))?;
        let now = (self.clock)();
        let window = self.store.find(&address.key, address.session, now);
        let window = window.ok_or_else(|| missing("no such session, or it is over"))?;
        Ok((window, address))
    }

    /// The answer, if it can be told by now.
    fn answer_now(&self, head: &mut Parts, path: &str) -> Result<Option<Response<Body>>, Refusal> {
        let verb = delivery::verb(head)?;
        let (window, address) = self.find(path)?;
        match look(&window.load(), &address) {
            Look::Here(found) => Ok(Some(found.answer(window, &address, verb, head))),
            Look::Soon => Ok(None),
            Look::Nowhere(why) => Err(missing(why)),
        }
    }

    async fn answer(&self, head: &mut Parts, path: &str) -> Result<Response<Body>, Refusal> {
        let verb = delivery::verb(head)?;
        let (window, address) = self.find(path)?;
        let found = find(&window, &address).await?;
        Ok(found.answer(window, &address, verb, head))
    }
}

#[async_trait]
impl HttpHandler for Serve {
    fn handle_now(&self, request: &mut HttpRequest) -> Option<Response<Body>> {
        let HttpRequest { head, path, .. } = request;
        self.answer_now(head, path)
            .unwrap_or_else(|refusal| Some(*refusal))
    }

    async fn handle(&self, request: HttpRequest) -> Response<Body> {
        let HttpRequest { mut head, path, .. } = request;
        let answer = self.answer(&mut head, &path).await;
        answer.unwrap_or_else(|refusal| *refusal)
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").finish_non_exhaustive()
    }
}

/// The answer to a request that is not granted.
type Refusal = Box<Response<Body>>;

/// What a URL stands for.
struct Found {
    kind: MediaKind,
    bytes: Bytes,
}

enum Bytes {
    Whole(Chunk),
    /// The segment of that number is being cut.
    Growing {
        number: u64,
    },
}

impl Found {
    fn answer(
        self,
        window: Arc<Window>,
        address: &Address<'_>,
        verb: Verb,
        head: &mut Parts,
    ) -> Response<Body> {
        let content_type = match self.kind {
            MediaKind::Audio => AUDIO,
            _ => VIDEO,
        };
        match self.bytes {
            Bytes::Whole(bytes) => {
                let tag = [address.session, "-", address.track, "-", address.stem];
                let file = Immutable {
                    bytes,
                    content_type,
                    tag: entity_tag(&tag),
                };
                file.answer(verb, head)
            }
            Bytes::Growing { number } => {
                let track = address.track.to_owned();
                let pieces = || growing::body(window, track, number);
                delivery::growing(verb, head, content_type, pieces)
            }
        }
    }
}

/// What a snapshot says of a URL.
enum Look {
    Here(Found),
    /// It is about to exist.
    Soon,
    /// It has gone, or nobody promised it.
    Nowhere(&'static str),
}

/// What `address` stands for in `window`, held for as long as one segment takes
/// if it is about to exist; a part, for as long as a publisher may be away.
async fn find(window: &Window, address: &Address<'_>) -> Result<Found, Refusal> {
    let snapshot = window.load();
    let snapshot = match look(&snapshot, address) {
        Look::Soon => {
            let limit = match address.file {
                File::Part { .. } => snapshot.target_duration.max(HINT_HOLD),
                _ => snapshot.target_duration.max(LEAST_HOLD),
            };
            let known = |snapshot: &Snapshot| !matches!(look(snapshot, address), Look::Soon);
            let waited = hold(limit, window.watched().wait_for(known)).await;
            waited.ok_or_else(|| missing("it was expected, but has not come"))?
        }
        _ => snapshot,
    };
    match look(&snapshot, address) {
        Look::Here(found) => Ok(found),
        Look::Soon => Err(missing("it was expected, but has not come")),
        Look::Nowhere(why) => Err(missing(why)),
    }
}

fn look(snapshot: &Snapshot, address: &Address<'_>) -> Look {
    let Some(track) = snapshot.track(address.track) else {
        return Look::Nowhere("no such track");
    };
    let bytes = match address.file {
        File::Init { config } => track
            .init(config)
            .map(|init| Bytes::Whole(Chunk::from(init.bytes.clone()))),
        File::Segment { number } => track.segment(number).and_then(segment),
        File::Part { number, index } => track
            .part(number, index)
            .map(|part| Bytes::Whole(Chunk::from_slices(Arc::clone(&part.slices)))),
    };
    if let Some(bytes) = bytes {
        let kind = track.track.kind();
        return Look::Here(Found { kind, bytes });
    }
    let live = matches!(snapshot.state, State::Waiting | State::Live);
    if live && is_next(track, address.file) {
        return Look::Soon;
    }
    Look::Nowhere("it is not there any more, or not yet")
}

fn segment(segment: &Arc<Segment>) -> Option<Bytes> {
    if segment.gap {
        return None;
    }
    Some(if segment.complete {
        Bytes::Whole(Chunk::from_lists(segment.slices()))
    } else {
        Bytes::Growing {
            number: segment.number,
        }
    })
}

/// Whether `file` is what is cut next: the segment that has not begun, the one
/// after it (its promised begin may be reached before this one's last frame),
/// the next part, or the first part of the next segment.
fn is_next(track: &TrackWindow, file: File) -> bool {
    let (number, part) = track.next;
    match file {
        File::Init { .. } => false,
        File::Segment { number } => track.expects(number),
        File::Part {
            number: wanted,
            index,
        } => {
            (wanted, index) == (number, part)
                || (Some(wanted) == number.checked_add(1) && index == 0)
        }
    }
}

fn missing(why: &'static str) -> Refusal {
    Box::new(refuse(StatusCode::NOT_FOUND, why))
}

/// The shortest that what is next is waited for: before the first cut there is
/// no target duration yet.
const LEAST_HOLD: Duration = Duration::from_secs(1);

/// A part that was hinted at is waited for as long as this: longer than a stream
/// waits for its publisher by default. shaka 5.2 asks for hints as for any segment,
/// and stops for good at a 404.
const HINT_HOLD: Duration = Duration::from_secs(20);

const AUDIO: HeaderValue = HeaderValue::from_static("audio/mp4");
const VIDEO: HeaderValue = HeaderValue::from_static("video/mp4");

#[cfg(test)]
mod tests;
