//! `/hls/APP/NAME/…`: which playlist a request wants, and whether to wait for it.
//!
//! `index.m3u8` is the entry to a stream, `{session}/{track}.m3u8` the list of
//! one track. With MPEG-TS, `ts.m3u8` is the entry, `{session}/{track}.ts.m3u8` the
//! list, and `{session}/{track}/{number}.ts` a segment. The session stands in the URL,
//! so that a player of a stream life that has ended never sees its media sequence
//! start again.
//!
//! A low-latency player asks for the list as it will be with the next part
//! (`_HLS_msn`, `_HLS_part`): such a request sleeps in the window's wake set
//! until that part is cut (draft-pantos-hls-rfc8216bis section 6.2.5.2).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use rillcast_core::http::{Body, Chunk, HttpHandler, HttpRequest, hold};
use rillcast_core::{MediaKind, StreamKey};
use rillcast_media::cmaf::{Snapshot, State, Window};
use rillcast_media::delivery::{
    self, Immutable, NO_STORE, Refusal, Sessions, Streams, Verb, entity_tag, kept_for, missing,
    note_viewer, playable, refuse,
};

use crate::playlist::query::{self, Reload};
use crate::renders::{Form, Session};
use crate::transport::Transports;
use crate::{Config, Container};

/// What answers below `/hls`. Clones share everything.
#[derive(Clone)]
pub(crate) struct Handler(Arc<Inner>);

struct Inner {
    config: Config,
    streams: Arc<Streams>,
    sessions: Sessions<Session>,
}

/// What of a request for a media playlist matters beside its path, and who sent it.
struct Asked<'r> {
    verb: Verb,
    head: &'r mut Parts,
    peer: Option<SocketAddr>,
    reload: Reload,
    /// It waited for something that did not come.
    in_vain: bool,
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
        self.0.media_now(request)
    }

    async fn handle(&self, mut request: HttpRequest) -> Response<Body> {
        let answer = self.0.answer(&mut request).await;
        answer.unwrap_or_else(|refusal| *refusal)
    }
}

impl Inner {
    /// The media playlist of a track, which is what most requests are for, if
    /// there is anything in it. All else, errors too, is left to
    /// [`answer`](Self::answer).
    fn media_now(&self, request: &mut HttpRequest) -> Option<Response<Body>> {
        let HttpRequest {
            head, path, peer, ..
        } = request;
        let verb = delivery::verb(head).ok()?;
        let (key, rest) = StreamKey::split_path(path)?;
        let (session, file) = rest.split_once('/')?;
        let track = file.strip_suffix(".m3u8")?;
        let now = Instant::now();
        let window = self.streams.life(&key, session)?;
        let snapshot = window.load();
        if matches!(snapshot.state, State::Refused(_)) {
            return None;
        }
        let reload = match head.uri.query() {
            None => Reload::default(),
            Some(query) => Reload::read(Some(query)).ok()?,
        };
        let session = self.session(&window);
        if reload.until.is_some() && session.is_low_latency() {
            let track = snapshot.track(track)?;
            if !snapshot.is_ended() && !reload.is_there(track) {
                return None;
            }
        }
        let asked = Asked {
            verb,
            head,
            peer: *peer,
            reload,
            in_vain: false,
        };
        let answer = self.listed(&session, &snapshot, track, asked, now);
        answer.unwrap_or_else(|refusal| Some(*refusal))
    }

    async fn answer(&self, request: &mut HttpRequest) -> Result<Response<Body>, Refusal> {
        let HttpRequest {
            head, path, peer, ..
        } = request;
        let verb = delivery::verb(head)?;
        let parts: Vec<&str> = path.split('/').take(6).collect();
        let key = |app, name| {
            StreamKey::from_parts(app, name).map_err(|_| missing("that names no stream"))
        };
        match parts[..] {
            [app, name, file @ ("index.m3u8" | "ts.m3u8")] => {
                let key = key(app, name)?;
                match (self.container(&key), file) {
                    (Container::Cmaf, "ts.m3u8") => Err(missing(NO_TRANSPORT)),
                    (Container::Ts, _) | (_, "ts.m3u8") => self.transports(&key, verb, head).await,
                    _ => self.index(&key, verb, head).await,
                }
            }
            [app, name, session, track, file] => {
                let number = file.strip_suffix(".ts").and_then(number);
                let number =
                    number.ok_or_else(|| missing("there are only MPEG-TS segments here"))?;
                let window = self.life(&key(app, name)?, session)?;
                self.segment(&window, track, number, verb, head).await
            }
            [app, name, session, file] if file.ends_with(".ts.m3u8") => {
                let track = file.strip_suffix(".ts.m3u8").unwrap_or_default();
                let window = self.life(&key(app, name)?, session)?;
                self.transport(&window, track, verb, (head, *peer)).await
            }
            [app, name, session, file] => {
                let track = file.strip_suffix(".m3u8");
                let track = track.ok_or_else(|| missing("there are only playlists here"))?;
                let key = key(app, name)?;
                let reload = Reload::read(head.uri.query()).map_err(bad)?;
                let asked = Asked {
                    verb,
                    head,
                    peer: *peer,
                    reload,
                    in_vain: false,
                };
                self.media(&key, session, track, asked).await
            }
            _ => Err(missing("there is no such playlist")),
        }
    }

    /// The multivariant playlist of a stream.
    async fn index(
        &self,
        key: &StreamKey,
        verb: Verb,
        head: &mut Parts,
    ) -> Result<Response<Body>, Refusal> {
        let (window, snapshot) = self.entry(key).await?;
        let query = query::carried(head.uri.query().unwrap_or_default()).map_err(bad)?;
        let listing = self.session(&window).listing(&snapshot);
        let max_age = self.max_age(&snapshot);
        let text = Session::multivariant(&listing, &snapshot, query.as_deref(), max_age);
        let text = text.ok_or_else(|| missing("there is nothing to play"))?;
        Ok(text.answer(verb, head))
    }

    /// A stream's window, and what it shows when there is something to play.
    async fn entry(&self, key: &StreamKey) -> Result<(Arc<Window>, Arc<Snapshot>), Refusal> {
        let handle = self.streams.live(key);
        let window = self.streams.window(key, handle.as_ref());
        let window = window.ok_or_else(|| missing("there is no such stream"))?;
        let snapshot = playable(&window, INDEX_HOLD, |snapshot| {
            snapshot
                .primary()
                .is_some_and(|track| !track.listed().is_empty())
        })
        .await?;
        let announced = handle.map(|handle| handle.metadata_snapshot().announced.clone());
        let snapshot = late_tracks(&window, snapshot, &announced.unwrap_or_default()).await;
        Ok((window, snapshot))
    }

    /// The multivariant playlist of a stream's transport streams.
    async fn transports(
        &self,
        key: &StreamKey,
        verb: Verb,
        head: &mut Parts,
    ) -> Result<Response<Body>, Refusal> {
        let (window, snapshot) = self.entry(key).await?;
        let query = query::carried(head.uri.query().unwrap_or_default()).map_err(bad)?;
        let session = self.session(&window);
        let transports = session.transports.as_ref();
        let transports = transports.ok_or_else(|| missing(NO_TRANSPORT))?;
        let max_age = self.max_age(&snapshot);
        let text = transports.multivariant(&snapshot, query.as_deref(), max_age);
        let text = text.ok_or_else(|| missing("none of its tracks has a place in MPEG-TS"))?;
        Ok(text.answer(verb, head))
    }

    /// The media playlist of a transport stream; whoever gets one is counted as a viewer.
    async fn transport(
        &self,
        window: &Arc<Window>,
        track: &str,
        verb: Verb,
        (head, peer): (&mut Parts, Option<SocketAddr>),
    ) -> Result<Response<Body>, Refusal> {
        let session = self.session(window);
        let transports = session.transports.as_ref();
        let transports = transports.ok_or_else(|| missing(NO_TRANSPORT))?;
        let stream = transports.stream(&window.load(), track);
        let stream = stream.ok_or_else(|| missing("there is no such track"))?;
        let snapshot = playable(window, MEDIA_HOLD, |snapshot| {
            !stream.transport.listed(snapshot).is_empty()
        })
        .await?;
        let query = query::carried(head.uri.query().unwrap_or_default()).map_err(bad)?;
        let leading = snapshot.track(track);
        let leading = leading.ok_or_else(|| missing("there is no such track"))?;
        let name: Arc<str> = format!("{track}.ts").into();
        let listing = stream.listing(&snapshot);
        let text = stream.playlist(
            &listing,
            &snapshot,
            leading,
            query.as_deref(),
            self.max_age(&snapshot),
            |text| session.watch(&snapshot, &name, text),
        );
        let text = text.ok_or_else(|| missing("there is nothing to play"))?;
        note_viewer(&session.viewers, &snapshot, head, peer, Instant::now());
        Ok(text.answer(verb, head))
    }

    /// A segment of a transport stream.
    async fn segment(
        &self,
        window: &Arc<Window>,
        track: &str,
        number: u64,
        verb: Verb,
        head: &mut Parts,
    ) -> Result<Response<Body>, Refusal> {
        let session = self.session(window);
        let transports = session.transports.as_ref();
        let transports = transports.ok_or_else(|| missing(NO_TRANSPORT))?;
        let snapshot = window.load();
        let stream = transports.stream(&snapshot, track);
        let stream = stream.ok_or_else(|| missing("there is no such track"))?;
        let tag = [
            &*snapshot.session,
            "-",
            track,
            "-",
            &number.to_string(),
            ".ts",
        ]
        .concat();
        let bytes = match stream.transport.kept(number) {
            Some(bytes) => Some(bytes),
            None => {
                // Megabytes are copied where it has not been asked for yet.
                let write = move || stream.transport.segment(&snapshot, number);
                tokio::task::spawn_blocking(write).await.ok().flatten()
            }
        };
        let bytes = bytes.ok_or_else(|| missing("it is not there any more, or not yet"))?;
        let file = Immutable {
            bytes: Chunk::from(bytes),
            content_type: MPEG_TS,
            tag: entity_tag(&[&tag]),
        };
        Ok(file.answer(verb, head))
    }

    /// The window of a life of a stream.
    fn life(&self, key: &StreamKey, session: &str) -> Result<Arc<Window>, Refusal> {
        let window = self.streams.life(key.as_str(), session);
        window.ok_or_else(|| missing("no such session, or it is over"))
    }

    /// The media playlist of a track.
    async fn media(
        &self,
        key: &StreamKey,
        session: &str,
        track: &str,
        mut asked: Asked<'_>,
    ) -> Result<Response<Body>, Refusal> {
        let window = self.life(key, session)?;
        // A track that a live session does not have may never come: its name is
        // known from a multivariant playlist, which lists only what is there.
        if window.load().track(track).is_none() {
            return Err(missing("there is no such track"));
        }
        let snapshot = playable(&window, MEDIA_HOLD, |snapshot| {
            let track = snapshot.track(track);
            track.is_some_and(|track| !track.listed().is_empty())
        })
        .await?;
        let session = self.session(&window);
        let snapshot = if session.is_low_latency() && asked.reload.until.is_some() {
            reloaded(&window, snapshot, track, &mut asked).await?
        } else {
            snapshot
        };
        self.listed(&session, &snapshot, track, asked, Instant::now())?
            .ok_or_else(|| missing("there is nothing to play"))
    }

    /// The media playlist of a track as `snapshot` has it; whoever gets one is
    /// counted as a viewer.
    fn listed(
        &self,
        session: &Session,
        snapshot: &Snapshot,
        track: &str,
        asked: Asked<'_>,
        now: Instant,
    ) -> Result<Option<Response<Body>>, Refusal> {
        let Asked {
            verb,
            head,
            peer,
            reload,
            in_vain,
        } = asked;
        let Some(track) = snapshot.track(track) else {
            return Ok(None);
        };
        let query = match head.uri.query() {
            None => None,
            Some(query) => query::carried(query).map_err(bad)?,
        };
        let query = query.as_deref();
        let form = if reload.skip {
            Form::Delta
        } else {
            Form::Whole
        };
        let max_age = self.max_age(snapshot);
        let listing = session.listing(snapshot);
        let Some(text) = session.media(&listing, snapshot, track, form, query, max_age) else {
            return Ok(None);
        };
        note_viewer(&session.viewers, snapshot, head, peer, now);
        Ok(Some(if in_vain {
            text.answer_kept(verb, head, &NO_STORE)
        } else if reload.until.is_some() && session.is_low_latency() {
            // It has what its URL asks for, and always will: whoever asks for
            // more uses another one (section 6.2.5.2, appendix B.1).
            text.answer_kept(verb, head, &kept_reload(snapshot))
        } else {
            text.answer(verb, head)
        }))
    }

    /// The renders of the window's session.
    fn session(&self, window: &Arc<Window>) -> Arc<Session> {
        self.sessions.get(window, || {
            let viewers = self.streams.viewers(window);
            let hold_back = self.hold_back(window.key());
            let transports = match self.container(window.key()) {
                Container::Cmaf => None,
                Container::Ts | Container::Both => Some(Transports::default()),
            };
            Session::new(&window.load(), viewers, hold_back, transports)
        })
    }

    /// What is offered to low-latency players of that stream.
    fn hold_back(&self, key: &StreamKey) -> Option<f64> {
        match self.streams.settings::<Config>("hls", key) {
            Some(config) => config.ok()?.hold_back(),
            None => self.config.hold_back(),
        }
    }

    /// What that stream's segments are offered in.
    fn container(&self, key: &StreamKey) -> Container {
        let own = self.streams.settings::<Config>("hls", key);
        let own = own.and_then(Result::ok);
        own.map_or(self.config.container, |config| config.container)
    }

    /// What has ended does not change any more, but goes.
    fn max_age(&self, snapshot: &Snapshot) -> u32 {
        if snapshot.is_ended() {
            u32::try_from(snapshot.target_duration.as_secs()).unwrap_or(1)
        } else {
            self.config.max_age(snapshot.target_duration)
        }
    }
}

/// The snapshot in which `track` has what a reload waits for, or that of the
/// stream's end. The one of now if neither comes within three target durations:
/// a player asks again, and one that got an error instead might give up on a
/// publisher that comes back.
async fn reloaded(
    window: &Window,
    snapshot: Arc<Snapshot>,
    track: &str,
    asked: &mut Asked<'_>,
) -> Result<Arc<Snapshot>, Refusal> {
    let reload = asked.reload;
    let there = |snapshot: &Snapshot| {
        let track = snapshot.track(track);
        let live = matches!(snapshot.state, State::Live);
        !live || track.is_none_or(|track| reload.is_there(track))
    };
    if there(&snapshot) {
        return Ok(snapshot);
    }
    if snapshot
        .track(track)
        .is_some_and(|track| reload.is_far(track))
    {
        return Err(bad("_HLS_msn and _HLS_part are too far ahead"));
    }
    let limit = snapshot.target_duration * 3;
    drop(snapshot);
    let waited = hold(limit, window.watched().wait_for(there)).await;
    asked.in_vain = waited.is_none();
    let snapshot = waited.unwrap_or_else(|| window.load());
    match snapshot.state {
        State::Refused(refusal) => Err(missing(refusal.reason())),
        _ => Ok(snapshot),
    }
}

/// A snapshot that lists every track that was announced or has begun, waited
/// for until a second after the first segment; then whatever there is. A track
/// that comes later is offered to those who join later (MEDIA.md section 5).
async fn late_tracks(
    window: &Window,
    snapshot: Arc<Snapshot>,
    announced: &[MediaKind],
) -> Arc<Snapshot> {
    let all_there = |snapshot: &Snapshot| {
        let has = |kind: &MediaKind| {
            let mut tracks = snapshot.tracks.iter();
            tracks.any(|track| track.track.kind() == *kind)
        };
        let listed = snapshot
            .tracks
            .iter()
            .all(|track| !track.listed().is_empty());
        snapshot.is_ended() || (listed && announced.iter().all(has))
    };
    let first = snapshot.primary().and_then(|track| track.segments.first());
    let cut = first
        .and_then(|segment| segment.parts.last())
        .map(|part| part.received);
    let until = cut.map_or_else(Instant::now, |cut| cut + LATE_TRACKS);
    let left = until.saturating_duration_since(Instant::now());
    if all_there(&snapshot) || left.is_zero() {
        return snapshot;
    }
    let waited = hold(left, window.watched().wait_for(all_there)).await;
    waited.unwrap_or_else(|| window.load())
}

/// For how long caches may keep the answer to a reload that waits: no longer
/// than any playlist.
fn kept_reload(snapshot: &Snapshot) -> HeaderValue {
    kept_for(u32::try_from(snapshot.target_duration.as_secs()).unwrap_or(1))
}

/// Digits only, as playlists have them: each segment has one address.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = plain && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn bad(why: &'static str) -> Refusal {
    Box::new(refuse(StatusCode::BAD_REQUEST, why))
}

/// Why there is no MPEG-TS.
const NO_TRANSPORT: &str = "there is no MPEG-TS here: hls.container offers it";

const MPEG_TS: HeaderValue = HeaderValue::from_static("video/mp2t");

/// For how long the entry to a live stream is held until it can be played: the
/// longest keyframe interval that is waited for by default and a little more,
/// and less than the 20 s after which hls.js gives up.
const INDEX_HOLD: Duration = Duration::from_secs(15);

/// The same for a track that has begun. hls.js wants the first byte of a media
/// playlist within 10 s.
const MEDIA_HOLD: Duration = Duration::from_secs(8);

/// How long after the first segment a track that was announced is waited for.
const LATE_TRACKS: Duration = Duration::from_secs(1);
