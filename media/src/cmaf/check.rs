//! The laws of the window, as a program that finds a breach of them.
//!
//! Tests run every snapshot through [`check`], and so does the packager in
//! debug builds. It judges by the snapshots alone: no knowledge of how they
//! were made goes into it.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rillcast_core::MediaKind;

use super::snapshot::{Part, Segment, Snapshot, State, TrackWindow};

/// A law of the window that a snapshot breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {law}: {found}")]
#[non_exhaustive]
pub struct Violation {
    /// The track, and the segment and part if the law is about one.
    pub place: String,
    /// The law.
    pub law: &'static str,
    /// What was found instead.
    pub found: String,
}

/// Whether `now`, which follows `before` (if any), keeps the laws of the window
/// (MEDIA.md sections 3 to 5, and the rules of PLAYERS.md that they stand for).
///
/// # Errors
/// The first law that is broken, and where.
pub fn check(before: Option<&Snapshot>, now: &Snapshot) -> Result<(), Violation> {
    for track in now.tracks.iter() {
        let old = before.and_then(|before| before.track(&track.name));
        check_track(now, track, old.map(|old| &**old))?;
    }
    check_together(now)?;
    match before {
        Some(before) => check_change(before, now),
        None => Ok(()),
    }
}

/// What one track shows. Segments that `old` has shown are not looked into again.
fn check_track(
    snapshot: &Snapshot,
    track: &TrackWindow,
    old: Option<&TrackWindow>,
) -> Result<(), Violation> {
    let at = Place::of(track);
    let target = snapshot.target_duration;
    let all = track.segments.iter().chain(track.open.as_ref());
    for segment in all.clone() {
        let known = old.and_then(|old| old.segment(segment.number));
        if known.is_some_and(|known| Arc::ptr_eq(known, segment)) {
            continue;
        }
        check_segment(track, segment, target)?;
        let place = at.segment(segment);
        let complete = !track
            .open
            .as_ref()
            .is_some_and(|open| Arc::ptr_eq(open, segment));
        place.holds(
            "only the open segment is incomplete",
            segment.complete == complete,
            segment.complete,
        )?;
        place.holds(
            "its initialisation segment is there",
            track.init(segment.config).is_some(),
            segment.config,
        )?;
    }
    for (one, next) in all.clone().zip(all.clone().skip(1)) {
        let place = at.segment(next);
        place.equal("numbers go on by one", next.number, one.number + 1)?;
        let step = u64::from(next.discontinuity);
        place.equal(
            "the discontinuity sequence counts discontinuities",
            next.discontinuity_sequence,
            one.discontinuity_sequence + step,
        )?;
        place.holds(
            "its date is after the one before",
            next.time > one.time,
            next.time,
        )?;
        if next.discontinuity {
            let same = one.timescale == next.timescale;
            place.holds(
                "time never goes back",
                !same || next.start >= one.end(),
                next.start,
            )?;
            continue;
        }
        place.equal(
            "tfdt plus durations is the next tfdt",
            next.start,
            one.end(),
        )?;
        place.equal(
            "the configuration stays without a discontinuity",
            next.config,
            one.config,
        )?;
        place.equal(
            "the timescale stays without a discontinuity",
            next.timescale.hz(),
            one.timescale.hz(),
        )?;
        let step = next.time - one.time;
        let length = i64::try_from(one.length().as_nanos()).unwrap_or(i64::MAX);
        let off = step.abs_diff(length);
        place.holds("dates go on as durations do", off <= DATE_SLACK, step)?;
    }
    let last = all.clone().next_back();
    let next = match &track.open {
        Some(open) => (
            open.number,
            u32::try_from(open.parts.len()).unwrap_or(u32::MAX),
        ),
        None => (track.next.0, 0),
    };
    at.holds(
        "next is what is cut next",
        track.next == next,
        format_args!("{:?}", track.next),
    )?;
    if let Some(last) = last.filter(|last| last.complete) {
        at.equal(
            "the next segment is the one after the last",
            track.next.0,
            last.number + 1,
        )?;
    }
    let gone = track
        .segments
        .first()
        .is_some_and(|first| first.number < track.first_listed);
    if gone {
        let listed = track.listed_duration();
        let least = target * 3;
        at.holds(
            "at least three target durations are listed",
            listed >= least,
            format_args!("{listed:?}"),
        )?;
    }
    Ok(())
}

/// What one segment shows.
fn check_segment(
    track: &TrackWindow,
    segment: &Segment,
    target: Duration,
) -> Result<(), Violation> {
    let place = Place::of(track).segment(segment);
    place.holds("it lasts", segment.duration > 0, segment.duration)?;
    let rounded = (segment.length() + Duration::from_millis(500)).as_secs();
    place.holds(
        "EXTINF rounds to at most the target duration",
        rounded <= target.as_secs(),
        format_args!("{:?}", segment.length()),
    )?;
    if segment.gap {
        place.equal("a gap has no parts", segment.parts.len(), 0)?;
        return Ok(());
    }
    place.holds("it has parts", !segment.parts.is_empty(), 0)?;
    let mut end = segment.start;
    for (index, part) in segment.parts.iter().enumerate() {
        let place = place.part(part);
        place.equal(
            "parts are numbered from zero",
            usize::try_from(part.index).unwrap_or(usize::MAX),
            index,
        )?;
        place.equal("a part begins where the one before ended", part.start, end)?;
        end = part.end();
        check_part(track, segment, part, place)?;
    }
    place.equal("its duration is that of its parts", segment.end(), end)?;
    let first = segment.parts.first().is_some_and(|part| part.independent);
    place.equal(
        "it is independent as its first part is",
        segment.independent,
        first,
    )
}

/// What one part shows.
fn check_part(
    track: &TrackWindow,
    segment: &Segment,
    part: &Part,
    place: Place<'_>,
) -> Result<(), Violation> {
    let (length, target) = (part.length(segment.timescale), track.part_target_duration);
    // A tick of rounding between timescales.
    let longest = target + segment.timescale.to_duration(1);
    place.holds(
        "it is no longer than the part target",
        length <= longest && part.duration > 0,
        format_args!("{length:?}"),
    )?;
    let following = segment
        .parts
        .get(usize::try_from(part.index).unwrap_or(usize::MAX) + 1);
    let video = track.track.kind() == MediaKind::Video;
    let free = following.is_none_or(|following| video && following.independent);
    place.holds(
        "it is no shorter than 85 % of the part target",
        free || length * 100 >= target * 85,
        format_args!("{length:?}"),
    )?;
    let bytes: u64 = part
        .slices
        .iter()
        .map(|slice| u64::try_from(slice.len()).unwrap_or(0))
        .sum();
    place.equal("its length is that of its slices", bytes, part.bytes)?;
    place.equal(
        "it is a header and its samples",
        part.slices.len(),
        usize::try_from(part.samples).unwrap_or(usize::MAX) + 1,
    )?;
    let header = part
        .slices
        .first()
        .map(|header| header.get(4..8).unwrap_or_default());
    let styp = header == Some(b"styp");
    place.equal(
        "a segment type is in its first part only",
        styp,
        part.index == 0,
    )
}

/// What the tracks show together.
fn check_together(snapshot: &Snapshot) -> Result<(), Violation> {
    let live = snapshot.state != State::Waiting && !snapshot.tracks.is_empty();
    let whole = snapshot.target_duration.subsec_nanos() == 0;
    let everywhere = Place::default();
    everywhere.holds(
        "the target duration is whole seconds",
        whole,
        format_args!("{:?}", snapshot.target_duration),
    )?;
    if live {
        everywhere.holds(
            "there is a target duration",
            !snapshot.target_duration.is_zero(),
            0,
        )?;
        everywhere.holds("there is an anchor", snapshot.anchor.is_some(), 0)?;
        let primary = snapshot.tracks.iter().filter(|track| track.primary).count();
        everywhere.equal("one track is primary", primary, 1)?;
    }
    for (index, one) in snapshot.tracks.iter().enumerate() {
        for other in snapshot.tracks.iter().skip(index + 1) {
            for segment in one.segments.iter().chain(&one.open) {
                let Some(twin) = other.segment(segment.number) else {
                    continue;
                };
                let place = Place::of(other).segment(twin);
                place.equal(
                    "a discontinuity is one in all tracks",
                    twin.discontinuity,
                    segment.discontinuity,
                )?;
                place.equal(
                    "discontinuities are counted alike",
                    twin.discontinuity_sequence,
                    segment.discontinuity_sequence,
                )?;
            }
        }
    }
    Ok(())
}

/// What may change from one snapshot to a later one.
fn check_change(before: &Snapshot, now: &Snapshot) -> Result<(), Violation> {
    let session = Place::default();
    session.equal("the session stays", &now.session, &before.session)?;
    let ended = !before.is_ended() || now.is_ended();
    session.holds("what has ended stays so", ended, now.state.name())?;
    if !before.target_duration.is_zero() {
        session.equal(
            "the target duration stays",
            now.target_duration.as_secs(),
            before.target_duration.as_secs(),
        )?;
        session.holds("the anchor stays", now.anchor == before.anchor, 0)?;
    }
    for old in before.tracks.iter() {
        let at = Place::of(old);
        let Some(new) = now.track(&old.name) else {
            return Err(at.broken("a track stays", "gone"));
        };
        at.holds(
            "the part target stays",
            new.part_target_duration == old.part_target_duration,
            format_args!("{:?}", new.part_target_duration),
        )?;
        at.holds(
            "the listing moves on",
            new.first_listed >= old.first_listed,
            new.first_listed,
        )?;
        at.holds(
            "the next part moves on",
            new.next >= old.next,
            format_args!("{:?}", new.next),
        )?;
        at.holds(
            "the discontinuity sequence moves on",
            new.discontinuity_sequence() >= old.discontinuity_sequence(),
            new.discontinuity_sequence(),
        )?;
        for init in old.inits.iter() {
            let same = new.init(init.id).is_none_or(|new| new.bytes == init.bytes);
            at.holds("an initialisation segment stays what it was", same, init.id)?;
        }
        for segment in old.segments.iter().chain(&old.open) {
            let Some(later) = new.segment(segment.number) else {
                let dropped = new
                    .segments
                    .first()
                    .is_none_or(|first| first.number > segment.number);
                at.segment(segment)
                    .holds("only the oldest are let go", dropped, "gone")?;
                continue;
            };
            check_growth(at.segment(segment), segment, later)?;
        }
    }
    Ok(())
}

/// A segment may get more parts while it is open, and nothing else.
fn check_growth(place: Place<'_>, old: &Segment, new: &Segment) -> Result<(), Violation> {
    place.equal("its begin stays", new.start, old.start)?;
    place.equal("its date stays", new.time, old.time)?;
    place.equal(
        "its discontinuity stays",
        new.discontinuity,
        old.discontinuity,
    )?;
    place.equal("its configuration stays", new.config, old.config)?;
    if !old.complete && new.complete {
        let kept = new.parts.len() > old.parts.len();
        place.holds(
            "the part that was to come next comes",
            kept,
            new.parts.len(),
        )?;
    }
    if old.complete {
        place.equal(
            "a complete segment stays as it is",
            new.parts.len(),
            old.parts.len(),
        )?;
    }
    let same = old
        .parts
        .iter()
        .zip(&new.parts)
        .all(|(old, new)| Arc::ptr_eq(old, new));
    place.holds(
        "its parts stay",
        same && new.parts.len() >= old.parts.len(),
        new.parts.len(),
    )
}

/// Where a law is looked at.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    track: Option<&'a str>,
    segment: Option<u64>,
    part: Option<u32>,
}

impl<'a> Place<'a> {
    fn of(track: &'a TrackWindow) -> Self {
        Self {
            track: Some(&track.name),
            ..Self::default()
        }
    }

    const fn segment(self, segment: &Segment) -> Self {
        Self {
            segment: Some(segment.number),
            ..self
        }
    }

    const fn part(self, part: &Part) -> Self {
        Self {
            part: Some(part.index),
            ..self
        }
    }

    fn broken(&self, law: &'static str, found: impl fmt::Display) -> Violation {
        Violation {
            place: self.to_string(),
            law,
            found: found.to_string(),
        }
    }

    fn holds(
        &self,
        law: &'static str,
        holds: bool,
        found: impl fmt::Display,
    ) -> Result<(), Violation> {
        if holds {
            Ok(())
        } else {
            Err(self.broken(law, found))
        }
    }

    fn equal<T: PartialEq + fmt::Debug>(
        &self,
        law: &'static str,
        found: T,
        wanted: T,
    ) -> Result<(), Violation> {
        if found == wanted {
            Ok(())
        } else {
            Err(self.broken(law, format_args!("{found:?} instead of {wanted:?}")))
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.track.unwrap_or("all tracks"))?;
        if let Some(segment) = self.segment {
            write!(f, " segment {segment}")?;
        }
        match self.part {
            Some(part) => write!(f, " part {part}"),
            None => Ok(()),
        }
    }
}

/// What a date may be off the durations before it for being rounded, in
/// nanoseconds.
const DATE_SLACK: u64 = 1_000;
