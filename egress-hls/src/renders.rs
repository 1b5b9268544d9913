//! Playlists rendered once for all who ask.
//!
//! What a playlist says follows from what its session shows, so the texts are
//! kept until that changes: once a part, or once a segment without low latency.
//! Readers take no lock.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use rillcast_core::Viewers;
use rillcast_media::cmaf::{Snapshot, TrackWindow};
use rillcast_media::delivery::Text;

use crate::playlist::CONTENT_TYPE;
use crate::playlist::low_latency::Terms;
use crate::playlist::media::MediaPlaylist;
use crate::playlist::multivariant;
use crate::playlist::query;
use crate::transport::Transports;

/// The renders of one session.
pub(crate) struct Session {
    /// Who watches the stream.
    pub(crate) viewers: Arc<Viewers>,
    /// PART-HOLD-BACK in PART-TARGETs, if low latency is offered.
    hold_back: Option<f64>,
    /// What is offered as MPEG-TS, if anything is.
    pub(crate) transports: Option<Transports>,
    /// What was promised with the first low-latency playlist.
    terms: OnceLock<Terms>,
    current: ArcSwap<Listing>,
    #[cfg(debug_assertions)]
    watch: crate::playlist::law::Watch,
}

/// All texts of one state of the listing.
pub(crate) struct Listing {
    ended: bool,
    tracks: Vec<Listed>,
    multivariant: Texts,
}

/// What is listed of one track.
struct Listed {
    name: Arc<str>,
    shown: Shown,
    whole: Texts,
    delta: Texts,
}

/// What tells one state of a track's playlist from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shown {
    /// The number of the first listed segment and of the one after the last.
    range: (u64, u64),
    /// The segment and part that come next, if parts are listed.
    next: (u64, u32),
}

/// One text, rendered when it is first asked for.
#[derive(Default)]
pub(crate) struct Texts {
    plain: OnceLock<Option<Text>>,
    /// The same with the query of whoever was first to carry one: streams with
    /// one token for all are then rendered once too.
    carrying: OnceLock<(String, Text)>,
}

/// A text for a request: one that all share, or one of its own.
pub(crate) enum Render<'l> {
    Shared(&'l Text),
    Own(Box<Text>),
}

/// Which form of a media playlist is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    /// A delta update, where there is one.
    Delta,
}

impl Session {
    /// The renders of the session that shows `snapshot`, which `viewers` counts;
    /// `hold_back` is its PART-HOLD-BACK in PART-TARGETs if low latency is offered,
    /// `transports` what it has as MPEG-TS.
    pub(crate) fn new(
        snapshot: &Snapshot,
        viewers: Arc<Viewers>,
        hold_back: Option<f64>,
        transports: Option<Transports>,
    ) -> Self {
        Self {
            viewers,
            hold_back,
            transports,
            terms: OnceLock::new(),
            current: ArcSwap::from_pointee(Listing::of(snapshot, hold_back.is_some())),
            #[cfg(debug_assertions)]
            watch: crate::playlist::law::Watch::default(),
        }
    }

    /// Whether low latency is offered.
    pub(crate) const fn is_low_latency(&self) -> bool {
        self.hold_back.is_some()
    }

    /// The texts of what `snapshot` shows.
    pub(crate) fn listing(&self, snapshot: &Snapshot) -> Arc<Listing> {
        let parts = self.is_low_latency();
        let current = self.current.load_full();
        if current.is_of(snapshot, parts) {
            return current;
        }
        // Many requests get here with each part, and one of their listings is
        // to serve all of them.
        let next = Arc::new(Listing::of(snapshot, parts));
        let seen = self.current.compare_and_swap(&current, Arc::clone(&next));
        if !Arc::ptr_eq(&seen, &current) && seen.is_of(snapshot, parts) {
            return Arc::clone(&seen);
        }
        next
    }

    /// The multivariant playlist with `query` carried on, which caches may keep
    /// for `max_age` seconds; `None` if there is nothing to play. The snapshot
    /// must be the one that the listing was asked for with.
    pub(crate) fn multivariant<'l>(
        listing: &'l Listing,
        snapshot: &Snapshot,
        query: Option<&str>,
        max_age: u32,
    ) -> Option<Render<'l>> {
        let render = || {
            let renditions = multivariant::renditions(snapshot);
            multivariant::render(&snapshot.session, &renditions)
        };
        listing.multivariant.get(query, max_age, render)
    }

    /// The media playlist of a track in the same way; `None` if it has nothing
    /// listed.
    pub(crate) fn media<'l>(
        &self,
        listing: &'l Listing,
        snapshot: &Snapshot,
        track: &TrackWindow,
        form: Form,
        query: Option<&str>,
        max_age: u32,
    ) -> Option<Render<'l>> {
        let listed = &mut listing.tracks.iter();
        let listed = listed.find(|listed| listed.name == track.name)?;
        if listed.shown.range.0 == listed.shown.range.1 {
            return None;
        }
        let playlist = || {
            let terms = |times| *self.terms.get_or_init(|| Terms::of(snapshot, times));
            let terms = self.hold_back.map(terms);
            MediaPlaylist::of(snapshot, track, terms.as_ref())
        };
        if form == Form::Delta && self.is_low_latency() {
            let render = || {
                let text = playlist().delta()?.to_string();
                self.watch(snapshot, &track.name, &text);
                Some(text)
            };
            if let Some(delta) = listed.delta.get(query, max_age, render) {
                return Some(delta);
            }
        }
        let render = || {
            let text = playlist().to_string();
            self.watch(snapshot, &track.name, &text);
            Some(text)
        };
        listed.whole.get(query, max_age, render)
    }

    /// In debug builds, checks a playlist before anybody is served it.
    #[cfg_attr(
        not(debug_assertions),
        expect(clippy::unused_self, reason = "what is watched is kept in it")
    )]
    pub(crate) fn watch(&self, snapshot: &Snapshot, track: &Arc<str>, text: &str) {
        #[cfg(debug_assertions)]
        if let Err(violation) = self.watch.check(track, text) {
            let stream = &snapshot.key;
            tracing::error!(%stream, %track, %violation, "a playlist breaks a law:\n{text}");
            debug_assert!(false, "{violation} in\n{text}");
        }
        #[cfg(not(debug_assertions))]
        let _ = (snapshot, track, text);
    }
}

impl Listing {
    fn of(snapshot: &Snapshot, parts: bool) -> Self {
        let tracks = snapshot.tracks.iter().map(|track| Listed {
            name: Arc::clone(&track.name),
            shown: Shown::of(track, parts),
            whole: Texts::default(),
            delta: Texts::default(),
        });
        Self {
            ended: snapshot.is_ended(),
            tracks: tracks.collect(),
            multivariant: Texts::default(),
        }
    }

    fn is_of(&self, snapshot: &Snapshot, parts: bool) -> bool {
        let same = |(listed, track): (&Listed, &Arc<TrackWindow>)| {
            listed.shown == Shown::of(track, parts) && listed.name == track.name
        };
        self.ended == snapshot.is_ended()
            && self.tracks.len() == snapshot.tracks.len()
            && self.tracks.iter().zip(snapshot.tracks.iter()).all(same)
    }
}

impl Shown {
    fn of(track: &TrackWindow, parts: bool) -> Self {
        let listed = track.listed();
        let first = listed.first().map_or(0, |segment| segment.number);
        let next = listed.last().map_or(0, |segment| segment.number + 1);
        Self {
            range: (first, next),
            next: if parts { track.next } else { (0, 0) },
        }
    }
}

impl Texts {
    pub(crate) fn get(
        &self,
        query: Option<&str>,
        max_age: u32,
        render: impl FnOnce() -> Option<String>,
    ) -> Option<Render<'_>> {
        let make = |text| Text::new(text, CONTENT_TYPE, max_age);
        let plain = self.plain.get_or_init(|| render().map(make)).as_ref()?;
        let Some(query) = query else {
            return Some(Render::Shared(plain));
        };
        let carry = || {
            let plain = std::str::from_utf8(plain.plain()).unwrap_or_default();
            make(query::carry(plain, query))
        };
        let (first, text) = self.carrying.get_or_init(|| (query.to_owned(), carry()));
        Some(if first == query {
            Render::Shared(text)
        } else {
            Render::Own(Box::new(carry().for_one()))
        })
    }
}

impl std::ops::Deref for Render<'_> {
    type Target = Text;

    fn deref(&self) -> &Text {
        match self {
            Self::Shared(text) => text,
            Self::Own(text) => text,
        }
    }
}
