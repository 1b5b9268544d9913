//! The same segments as MPEG-TS, for players that know nothing else.
//!
//! What has been cut is written anew, with the numbers and the bounds that it has: the
//! parts' samples lie in the window as the bus had them. Nothing is written before
//! somebody asks, and then once for all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rillcast_core::{MediaKind, Timescale, Track, rescale};

use super::snapshot::{Segment, Snapshot, TrackWindow};
use crate::fmp4::samples;
use crate::ts::{Continuity, Mux, Unit};

/// One transport stream of a session: a track of video with the first one of audio, or
/// a track of audio alone.
///
/// **Bytes.** A segment's bytes follow from the window and from the segments before it,
/// whose packets its counters go on from. They are the same however often and in which
/// order segments are asked for, as long as they are asked for at all: behind a pause of
/// all viewers that is longer than the window, counters may jump.
///
/// **Memory.** Written segments are kept for who comes next, the newest ones, up to as
/// many bytes as are allowed; others are written again.
#[derive(Debug)]
pub struct Transport {
    /// The track that it is named after.
    name: Arc<str>,
    most: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where the counters stand before each segment.
    begins: BTreeMap<u64, Continuity>,
    written: BTreeMap<u64, Bytes>,
    bytes: u64,
    mux: Option<(Vec<Configured>, Mux)>,
}

/// A track with one configuration, by its name.
type Configured = (Arc<str>, u32);

impl Transport {
    /// The transport stream that is named after the track `name`, of which `most` bytes
    /// may be kept.
    #[must_use]
    pub fn new(name: &str, most: u64) -> Self {
        Self {
            name: name.into(),
            most,
            state: Mutex::default(),
        }
    }

    /// The tracks that make a transport stream of their own: video, and audio that is
    /// not in the one with the video.
    pub fn leading(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<TrackWindow>> {
        let together = Self::companion(snapshot).map(|track| &track.name);
        let carried = snapshot.tracks.iter().filter(|track| carries(track));
        carried.filter(move |track| Some(&track.name) != together)
    }

    /// The audio that lies in the transport streams of video.
    #[must_use]
    pub fn companion(snapshot: &Snapshot) -> Option<&Arc<TrackWindow>> {
        let has_video = snapshot
            .tracks
            .iter()
            .any(|track| is_video(track) && carries(track));
        companion(snapshot).filter(|_| has_video)
    }

    /// Its tracks, the one that it is named after first; none if that has no place in
    /// MPEG-TS.
    fn tracks<'s>(&self, snapshot: &'s Snapshot) -> Vec<&'s Arc<TrackWindow>> {
        let Some(first) = snapshot.track(&self.name).filter(|track| carries(track)) else {
            return Vec::new();
        };
        let second = companion(snapshot).filter(|_| is_video(first));
        std::iter::once(first).chain(second).collect()
    }

    /// The segments that can be listed, by those of the track that it is named after:
    /// all tracks have come to their ends.
    #[must_use]
    pub fn listed<'s>(&self, snapshot: &'s Snapshot) -> &'s [Arc<Segment>] {
        let tracks = self.tracks(snapshot);
        let listed = tracks.first().map_or(&[][..], |track| track.listed());
        let whole = listed.iter().take_while(|segment| {
            let mut tracks = tracks.iter();
            tracks.all(|track| track.next.0 > segment.number || snapshot.is_ended())
        });
        listed.get(..whole.count()).unwrap_or_default()
    }

    /// Whether a segment has no media at all (EXT-X-GAP).
    #[must_use]
    pub fn is_gap(&self, snapshot: &Snapshot, number: u64) -> bool {
        let tracks = self.tracks(snapshot);
        let mut segments = tracks.iter().filter_map(|track| track.segment(number));
        segments.all(|segment| segment.gap || segment.parts.is_empty())
    }

    /// The bytes of a segment that was written for somebody else, if that is kept and can
    /// be told without waiting.
    #[must_use]
    pub fn kept(&self, number: u64) -> Option<Bytes> {
        self.state.try_lock().ok()?.written.get(&number).cloned()
    }

    /// The bytes of a segment; `None` if it is not there, or has no media. Takes about
    /// as long as copying them where they have not been written yet.
    ///
    /// A track whose configuration MPEG-TS has no words for is left out, and costs the
    /// others nothing.
    #[must_use]
    pub fn segment(&self, snapshot: &Snapshot, number: u64) -> Option<Bytes> {
        let tracks = self.tracks(snapshot);
        let oldest = tracks.first()?.segments.first()?.number;
        let there = tracks.iter().all(|track| track.next.0 > number);
        if oldest > number || !(there || snapshot.is_ended()) {
            return None;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = state.written.get(&number) {
            return Some(bytes.clone());
        }
        state.forget(oldest);
        let mut at = state.reached(number, oldest);
        while at < number {
            state.pass(&tracks, at);
            at += 1;
        }
        let bytes = state.write(&tracks, number)?;
        state.keep(number, bytes.clone(), self.most);
        Some(bytes)
    }
}

impl State {
    /// Lets go of what the window no longer holds.
    fn forget(&mut self, oldest: u64) {
        while let Some(entry) = self.written.first_entry()
            && *entry.key() < oldest
        {
            self.bytes -= entry.remove().len() as u64;
        }
        // The last of those before may be what the next one goes on from.
        let newer = self.begins.split_off(&oldest);
        if newer.is_empty()
            && let Some((_, last)) = self.begins.pop_last()
        {
            self.begins = BTreeMap::from([(oldest, last)]);
        } else {
            self.begins = newer;
        }
    }

    /// The last segment up to `number` before which the counters are known.
    fn reached(&mut self, number: u64, oldest: u64) -> u64 {
        let known = self.begins.range(..=number).next_back();
        if let Some((known, _)) = known {
            return *known;
        }
        self.begins.insert(oldest, Continuity::default());
        oldest
    }

    /// Counts the packets of a segment without writing them.
    fn pass(&mut self, tracks: &[&Arc<TrackWindow>], number: u64) {
        let before = self.begins.get(&number).copied().unwrap_or_default();
        let segments = present(tracks, number);
        let after = match self.mux(&segments) {
            Some(mux) => mux.advance(before, &units(&segments)),
            None => before,
        };
        self.begins.insert(number + 1, after);
    }

    fn write(&mut self, tracks: &[&Arc<TrackWindow>], number: u64) -> Option<Bytes> {
        let before = self.begins.get(&number).copied().unwrap_or_default();
        let segments = present(tracks, number);
        let mux = self.mux(&segments)?;
        let mut out = Vec::new();
        let after = mux.segment(before, &units(&segments), &mut out);
        self.begins.insert(number + 1, after);
        Some(out.into())
    }

    fn keep(&mut self, number: u64, bytes: Bytes, most: u64) {
        self.bytes += bytes.len() as u64;
        self.written.insert(number, bytes);
        while self.bytes > most
            && let Some((_, oldest)) = self.written.pop_first()
        {
            self.bytes -= oldest.len() as u64;
        }
    }

    /// What writes these; made anew where a configuration is another one.
    fn mux(&mut self, segments: &[Present<'_>]) -> Option<Mux> {
        let wanted = segments.iter().map(|it| it.configured.clone());
        let wanted: Vec<Configured> = wanted.collect();
        if let Some((configured, mux)) = &self.mux
            && *configured == wanted
        {
            return Some(mux.clone());
        }
        let tracks: Vec<&Track> = segments.iter().map(|it| it.track).collect();
        let mux = Mux::new(&tracks).ok()?;
        self.mux = Some((wanted, mux.clone()));
        Some(mux)
    }
}

/// A track that has media in a segment, in a configuration that can be written.
struct Present<'s> {
    configured: Configured,
    track: &'s Track,
    segment: &'s Segment,
}

fn present<'s>(tracks: &[&'s Arc<TrackWindow>], number: u64) -> Vec<Present<'s>> {
    let of = |window: &&'s Arc<TrackWindow>| {
        let segment = window.segment(number)?;
        let init = window.init(segment.config)?;
        let there = !segment.gap && !segment.parts.is_empty();
        (there && Mux::new(&[&init.track]).is_ok()).then(|| Present {
            configured: (Arc::clone(&window.name), segment.config),
            track: &init.track,
            segment,
        })
    };
    tracks.iter().filter_map(of).collect()
}

/// Their access units. Those of one track stand in decoding order.
fn units<'s>(present: &[Present<'s>]) -> Vec<Unit<'s>> {
    let mut units = Vec::new();
    for (track, Present { segment, .. }) in present.iter().enumerate() {
        let clock = |ticks: i64| {
            let ticks = rescale(ticks, segment.timescale, Timescale::VIDEO);
            u64::try_from(ticks).unwrap_or(0)
        };
        for part in &segment.parts {
            let mut slices = part.slices.iter();
            let Some((base, samples)) = slices.next().and_then(|header| samples(header)) else {
                continue;
            };
            let mut at = i64::try_from(base).unwrap_or(i64::MAX);
            for (sample, payload) in samples.iter().zip(slices) {
                let (dts, pts) = (clock(at), clock(at.saturating_add(sample.cts.into())));
                units.push(Unit {
                    track,
                    // Nothing is shown before it is decoded, here.
                    dts: dts.min(pts),
                    pts,
                    keyframe: sample.keyframe,
                    payload,
                });
                at = at.saturating_add(sample.duration.into());
            }
        }
    }
    units
}

fn companion(snapshot: &Snapshot) -> Option<&Arc<TrackWindow>> {
    let audio = |track: &&Arc<TrackWindow>| track.track.kind() == MediaKind::Audio;
    let mut tracks = snapshot.tracks.iter().filter(audio);
    tracks.find(|track| carries(track))
}

/// Whether MPEG-TS has words for the configuration that is in force.
fn carries(track: &TrackWindow) -> bool {
    Mux::new(&[&track.track]).is_ok()
}

fn is_video(track: &TrackWindow) -> bool {
    track.track.kind() == MediaKind::Video
}
