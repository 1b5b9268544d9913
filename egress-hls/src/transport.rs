//! What a session offers as MPEG-TS: playlists beside those of CMAF, and the segments.
//!
//! The playlists are ordinary ones: low latency is CMAF's. A transport stream is
//! written by [`rillcast_media::cmaf::Transport`], which has it when somebody asks.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use rillcast_media::cmaf::{Snapshot, TrackWindow, Transport};
use rillcast_media::delivery::Text;
use rillcast_media::ts::Mux;

use crate::playlist::CONTENT_TYPE;
use crate::playlist::media::MediaPlaylist;
use crate::playlist::multivariant;
use crate::renders::{Render, Texts};

/// The transport streams of one session.
#[derive(Default)]
pub(crate) struct Transports {
    streams: Mutex<HashMap<Arc<str>, Arc<Stream>>>,
    /// Tracks that are left out, of which the log has been told.
    left_out: Mutex<HashSet<Arc<str>>>,
}

/// One of them, and its playlist.
pub(crate) struct Stream {
    pub(crate) transport: Transport,
    listing: ArcSwapOption<Listing>,
}

/// The playlist of one state of what is listed.
pub(crate) struct Listing {
    /// The number of the first segment and of the one after the last.
    range: (u64, u64),
    ended: bool,
    texts: Texts,
}

impl Transports {
    /// The transport stream that is named after `track`; `None` if there is none.
    pub(crate) fn stream(&self, snapshot: &Snapshot, track: &str) -> Option<Arc<Stream>> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        // What was begun goes on, though a track came that leads now.
        if let Some(stream) = streams.get(track) {
            return Some(Arc::clone(stream));
        }
        let mut leading = Transport::leading(snapshot);
        let window = leading.find(|leading| *leading.name == *track)?;
        let stream = Arc::new(Stream {
            transport: Transport::new(track, MOST_WRITTEN),
            listing: ArcSwapOption::empty(),
        });
        streams.insert(Arc::clone(&window.name), Arc::clone(&stream));
        Some(stream)
    }

    /// The multivariant playlist, with `query` carried on; `None` if there is nothing to
    /// play.
    pub(crate) fn multivariant(
        &self,
        snapshot: &Snapshot,
        query: Option<&str>,
        max_age: u32,
    ) -> Option<Text> {
        self.tell_left_out(snapshot);
        let renditions = multivariant::renditions(snapshot);
        let leading: Vec<&str> = Transport::leading(snapshot).map(|it| &*it.name).collect();
        let companion = Transport::companion(snapshot).map(|it| &*it.name);
        let text = multivariant::transports(&snapshot.session, &renditions, &leading, companion)?;
        let text = match query {
            Some(query) => crate::playlist::query::carry(&text, query),
            None => text,
        };
        Some(Text::new(text, CONTENT_TYPE, max_age))
    }

    /// Says once of each track that MPEG-TS does not carry it.
    fn tell_left_out(&self, snapshot: &Snapshot) {
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        for track in snapshot.tracks.iter() {
            if let Err(error) = Mux::new(&[&track.track])
                && left_out.insert(Arc::clone(&track.name))
            {
                tracing::warn!(stream = %snapshot.key, track = %track.name, %error, "left out of MPEG-TS");
            }
        }
    }
}

impl Stream {
    /// What is listed now.
    pub(crate) fn listing(&self, snapshot: &Snapshot) -> Arc<Listing> {
        let listed = self.transport.listed(snapshot);
        let range = (
            listed.first().map_or(0, |segment| segment.number),
            listed.last().map_or(0, |segment| segment.number + 1),
        );
        let ended = snapshot.is_ended();
        if let Some(current) = self.listing.load_full()
            && (current.range, current.ended) == (range, ended)
        {
            return current;
        }
        let next = Arc::new(Listing {
            range,
            ended,
            texts: Texts::default(),
        });
        self.listing.store(Some(Arc::clone(&next)));
        next
    }

    /// The playlist of `listing`, with `query` carried on; `None` if it is empty. `check`
    /// sees each text before anybody is served it.
    pub(crate) fn playlist<'l>(
        &self,
        listing: &'l Listing,
        snapshot: &Snapshot,
        track: &TrackWindow,
        query: Option<&str>,
        max_age: u32,
        check: impl FnOnce(&str),
    ) -> Option<Render<'l>> {
        if listing.range.0 == listing.range.1 {
            return None;
        }
        let render = || {
            let text = MediaPlaylist::of_transport(snapshot, track, &self.transport).to_string();
            check(&text);
            Some(text)
        };
        listing.texts.get(query, max_age, render)
    }
}

/// What is kept of the segments of one transport stream: as much as `cmaf.memory` is by
/// default.
const MOST_WRITTEN: u64 = 64 << 20;
