//! Playlists rendered once for all who ask.
//!
//! What a playlist says follows from what its session lists, so the texts are
//! kept until the listing changes: once a segment. Readers take no lock.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use rillcast_core::Viewers;
use rillcast_media::cmaf::{Snapshot, TrackWindow, Window};
use rillcast_media::delivery::Text;

use crate::playlist::CONTENT_TYPE;
use crate::playlist::media::MediaPlaylist;
use crate::playlist::multivariant;

/// The renders of every session that was asked for.
#[derive(Default)]
pub(crate) struct Renders {
    sessions: ArcSwap<Sessions>,
}

type Sessions = HashMap<Arc<str>, Arc<Session>>;

/// The renders of one session.
pub(crate) struct Session {
    window: Weak<Window>,
    /// Who watches the stream.
    pub(crate) viewers: Arc<Viewers>,
    current: ArcSwap<Listing>,
}

/// All texts of one state of the listing.
pub(crate) struct Listing {
    ended: bool,
    tracks: Vec<Listed>,
    multivariant: OnceLock<Option<Text>>,
}

/// What is listed of one track.
struct Listed {
    name: Arc<str>,
    /// The number of the first listed segment and of the one after the last.
    range: (u64, u64),
    text: OnceLock<Text>,
}

impl Renders {
    /// The renders of the window's session; `viewers` is asked for a new one only.
    pub(crate) fn session(
        &self,
        window: &Arc<Window>,
        viewers: impl FnOnce() -> Arc<Viewers>,
    ) -> Arc<Session> {
        if let Some(session) = self.sessions.load().get(window.session()) {
            return Arc::clone(session);
        }
        let made = Arc::new(Session {
            window: Arc::downgrade(window),
            viewers: viewers(),
            current: ArcSwap::from_pointee(Listing::of(&window.load())),
        });
        let key: Arc<str> = window.session().into();
        let mut session = Arc::clone(&made);
        self.sessions.rcu(|sessions| {
            let mut next: Sessions = Sessions::clone(sessions);
            next.retain(|_, session| session.is_alive());
            // Another request may have been faster.
            let entry = next.entry(Arc::clone(&key));
            session = Arc::clone(entry.or_insert_with(|| Arc::clone(&made)));
            next
        });
        session
    }

    /// Drops the renders of sessions whose windows are gone.
    pub(crate) fn sweep(&self) {
        if self
            .sessions
            .load()
            .values()
            .all(|session| session.is_alive())
        {
            return;
        }
        self.sessions.rcu(|sessions| {
            let mut next: Sessions = Sessions::clone(sessions);
            next.retain(|_, session| session.is_alive());
            next
        });
    }
}

impl Session {
    fn is_alive(&self) -> bool {
        self.window.strong_count() > 0
    }

    /// The texts of what `snapshot` lists.
    pub(crate) fn listing(&self, snapshot: &Snapshot) -> Arc<Listing> {
        let current = self.current.load_full();
        if current.is_of(snapshot) {
            return current;
        }
        // Two requests may both get here; one of the listings then lives as
        // long as its request, and no text is wrong.
        let next = Arc::new(Listing::of(snapshot));
        self.current.store(Arc::clone(&next));
        next
    }
}

impl Listing {
    fn of(snapshot: &Snapshot) -> Self {
        let tracks = snapshot.tracks.iter().map(|track| Listed {
            name: Arc::clone(&track.name),
            range: range(track),
            text: OnceLock::new(),
        });
        Self {
            ended: snapshot.is_ended(),
            tracks: tracks.collect(),
            multivariant: OnceLock::new(),
        }
    }

    fn is_of(&self, snapshot: &Snapshot) -> bool {
        let same = |(listed, track): (&Listed, &Arc<TrackWindow>)| {
            listed.range == range(track) && listed.name == track.name
        };
        self.ended == snapshot.is_ended()
            && self.tracks.len() == snapshot.tracks.len()
            && self.tracks.iter().zip(snapshot.tracks.iter()).all(same)
    }

    /// The multivariant playlist, which caches may keep for `max_age` seconds;
    /// `None` if there is nothing to play. The snapshot must be the one that
    /// this listing was asked for with.
    pub(crate) fn multivariant(&self, snapshot: &Snapshot, max_age: u32) -> Option<&Text> {
        let render = || {
            let renditions = multivariant::renditions(snapshot);
            let text = multivariant::render(&snapshot.session, &renditions)?;
            Some(Text::new(text, CONTENT_TYPE, max_age))
        };
        self.multivariant.get_or_init(render).as_ref()
    }

    /// The media playlist of a track in the same way; `None` if it has nothing
    /// listed.
    pub(crate) fn media(
        &self,
        snapshot: &Snapshot,
        track: &TrackWindow,
        max_age: u32,
    ) -> Option<&Text> {
        let listed = self
            .tracks
            .iter()
            .find(|listed| listed.name == track.name)?;
        if listed.range.0 == listed.range.1 {
            return None;
        }
        let render = || {
            let text = MediaPlaylist::of(snapshot, track).to_string();
            Text::new(text, CONTENT_TYPE, max_age)
        };
        Some(listed.text.get_or_init(render))
    }
}

fn range(track: &TrackWindow) -> (u64, u64) {
    let listed = track.listed();
    let first = listed.first().map_or(0, |segment| segment.number);
    let next = listed.last().map_or(0, |segment| segment.number + 1);
    (first, next)
}
