//! A manifest rendered once for all who ask: what is known of a session.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::HeaderValue;
use rillcast_core::Viewers;
use rillcast_media::cmaf::Snapshot;
use rillcast_media::delivery::Text;

use crate::mpd::{self, Options};
use crate::timetable::Timetable;

/// One session.
pub(crate) struct Session {
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

impl Session {
    /// A session of which nothing is known; see [`Timetable::new`].
    pub(crate) fn new(low_latency: bool, viewers: Arc<Viewers>) -> Self {
        Self {
            viewers,
            state: Mutex::new(State {
                timetable: Timetable::new(low_latency),
                current: None,
            }),
        }
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
