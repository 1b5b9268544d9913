//! Manifests rendered once for all who ask: what is known of each session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::HeaderValue;
use rillcast_core::Viewers;
use rillcast_media::cmaf::{Snapshot, Window};
use rillcast_media::delivery::Text;

use crate::mpd::{self, Options};
use crate::timetable::Timetable;

/// Every session that was asked for.
#[derive(Default)]
pub(crate) struct Sessions {
    sessions: ArcSwap<HashMap<Arc<str>, Arc<Session>>>,
}

/// One session.
pub(crate) struct Session {
    window: Weak<Window>,
    /// Who watches the stream.
    pub(crate) viewers: Arc<Viewers>,
    state: Mutex<State>,
}

struct State {
    timetable: Timetable,
    /// What the last manifest was made of, and that manifest.
    current: Option<(Made, Arc<Text>)>,
}

/// What a manifest follows from.
#[derive(PartialEq, Eq)]
struct Made {
    changes: u64,
    ended: bool,
    /// The numbers of each track's first listed segment, and of the one after the last.
    listed: Vec<(u64, u64)>,
}

impl Sessions {
    /// The session of a window; `viewers` is asked for a new one only.
    pub(crate) fn get(
        &self,
        window: &Arc<Window>,
        low_latency: bool,
        viewers: impl FnOnce() -> Arc<Viewers>,
    ) -> Arc<Session> {
        if let Some(session) = self.sessions.load().get(window.session()) {
            return Arc::clone(session);
        }
        let made = Arc::new(Session {
            window: Arc::downgrade(window),
            viewers: viewers(),
            state: Mutex::new(State {
                timetable: Timetable::new(low_latency),
                current: None,
            }),
        });
        let key: Arc<str> = window.session().into();
        let mut session = Arc::clone(&made);
        self.sessions.rcu(|sessions| {
            let mut next = HashMap::clone(sessions);
            next.retain(|_, session: &mut Arc<Session>| session.is_alive());
            // Another request may have been faster.
            let entry = next.entry(Arc::clone(&key));
            session = Arc::clone(entry.or_insert_with(|| Arc::clone(&made)));
            next
        });
        session
    }

    /// Forgets sessions whose windows are gone.
    pub(crate) fn sweep(&self) {
        let sessions = self.sessions.load();
        if sessions.values().all(|session| session.is_alive()) {
            return;
        }
        self.sessions.rcu(|sessions| {
            let mut next = HashMap::clone(sessions);
            next.retain(|_, session: &mut Arc<Session>| session.is_alive());
            next
        });
    }
}

impl Session {
    fn is_alive(&self) -> bool {
        self.window.strong_count() > 0
    }

    /// The manifest of `snapshot` as of `now`; `None` if nothing can be played.
    /// `left` says that nobody publishes.
    pub(crate) fn manifest(
        &self,
        snapshot: &Snapshot,
        options: Options,
        left: bool,
        now: SystemTime,
    ) -> Option<Arc<Text>> {
        let mut state = self.lock();
        let State { timetable, current } = &mut *state;
        timetable.take_in(snapshot, left, now);
        let made = Made::of(snapshot, timetable);
        if let Some((of, text)) = current
            && *of == made
        {
            return Some(Arc::clone(text));
        }
        let text = mpd::render(snapshot, timetable, options, now)?;
        // Half of what a player waits, so that it is never given one twice.
        let pace = mpd::pace(snapshot, timetable);
        let age = u32::try_from(pace.update.as_secs() / 2).unwrap_or(0);
        let text = Arc::new(Text::new(text, CONTENT_TYPE, age));
        *current = Some((made, Arc::clone(&text)));
        Some(text)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Made {
    fn of(snapshot: &Snapshot, timetable: &Timetable) -> Self {
        let listed = snapshot.tracks.iter().map(|track| {
            let listed = track.listed();
            let first = listed.first().map_or(0, |segment| segment.number);
            (first, listed.last().map_or(0, |segment| segment.number + 1))
        });
        Self {
            changes: timetable.changes(),
            ended: snapshot.is_ended(),
            listed: listed.collect(),
        }
    }
}

/// The media type of a manifest (ISO/IEC 23009-1, annex C).
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/dash+xml");
