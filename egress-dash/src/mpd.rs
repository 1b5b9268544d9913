//! The manifest: an MPD (ISO/IEC 23009-1, clause 5) as a pure function of what the
//! window lists and of the Periods that were made of it.
//!
//! Written by hand, as media playlists are: some twenty elements, each in the order
//! that the schema wants, and rendered for every segment of every stream.

mod set;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rillcast_media::cmaf::{Segment, Snapshot, TrackWindow};

use crate::timetable::{Cadence, Period, Timetable};
use crate::xml::Document;

/// What is chosen about a manifest, beside what follows from the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// How far behind live a player is to stay where segments can be read while
    /// they are cut; by default as far as parts allow.
    pub(crate) target_latency: Option<Duration>,
}

/// What a manifest says of its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// How long a player may wait before it asks for the manifest again.
    pub(crate) update: Duration,
    /// Segments can be asked for before they are complete.
    pub(crate) low_latency: bool,
}

/// How often to ask for the manifest of a live stream.
pub(crate) fn pace(snapshot: &Snapshot, timetable: &Timetable) -> Pace {
    let last = timetable.periods().last();
    let open = last.filter(|last| last.end.is_none());
    let cadence = open.and_then(|period| period.cadence);
    let update = match cadence {
        Some(cadence) => Duration::from_nanos(u64::try_from(cadence.nanos(1)).unwrap_or(0)),
        // What is listed next is known only when it is: half of what one lasts.
        None => shortest(snapshot) / 2,
    };
    Pace {
        update: update.clamp(SOONEST, LATEST),
        // While the publisher is away too: what players keep to does not change.
        low_latency: !snapshot.is_ended() && last.is_some_and(|last| last.cadence.is_some()),
    }
}

/// Writes the manifest as of `now`; `None` if nothing can be played.
pub(crate) fn render(
    snapshot: &Snapshot,
    timetable: &Timetable,
    options: Options,
    now: SystemTime,
) -> Option<String> {
    let (last, anchor) = (timetable.periods().last()?, snapshot.anchor?);
    let zero = timetable.zero();
    let begin = anchor.checked_add(Duration::from_nanos(u64::try_from(zero).ok()?))?;
    let primary = snapshot.primary()?;
    let pace = pace(snapshot, timetable);
    let latency = options.target_latency.unwrap_or(default_latency(primary));
    let longest = longest(snapshot, timetable);
    let shown = timetable.periods();
    let mut document = Document::new();
    document.element("MPD", |mpd| {
        mpd.attribute("xmlns", "urn:mpeg:dash:schema:mpd:2011");
        mpd.attribute("profiles", profiles(pace.low_latency));
        let is_static = snapshot.is_ended();
        mpd.attribute("type", if is_static { "static" } else { "dynamic" });
        mpd.attribute("availabilityStartTime", Date(begin));
        mpd.attribute("publishTime", Date(now));
        if is_static {
            let end = last.finish().unwrap_or_else(|| last.start());
            mpd.attribute("mediaPresentationDuration", Seconds(end - zero));
        } else {
            mpd.attribute("minimumUpdatePeriod", Length(pace.update));
            // What is written of the window: no more is promised.
            let written = shown.first().map_or(0, |first| first.first);
            let listed = primary.listed().iter();
            let depth = listed
                .filter(|it| it.number >= written)
                .map(|it| it.length());
            let depth: Duration = depth.sum();
            mpd.attribute("timeShiftBufferDepth", Length(depth));
            let delay = if pace.low_latency {
                latency
            } else {
                longest * 3
            };
            mpd.attribute("suggestedPresentationDelay", Length(delay));
        }
        mpd.attribute("maxSegmentDuration", Length(longest));
        let buffer = if pace.low_latency {
            primary.part_target_duration * 2
        } else {
            longest
        };
        mpd.attribute("minBufferTime", Length(buffer));
        if pace.low_latency {
            service_description(mpd, latency);
        }
        if !is_static && timetable.is_low_latency() {
            write_origin(mpd, snapshot, last, pace.low_latency);
        }
        let before = std::iter::once(None).chain(shown.iter().map(Some));
        for (period, before) in shown.iter().zip(before) {
            // What lists its segments promises no others: until it is known what follows,
            // it need not have an end, which dash.js would take for that of all.
            let open = !is_static && period.first == last.first && period.cadence.is_none();
            let end = period.finish().filter(|_| !open);
            write_period(
                mpd,
                snapshot,
                (period, before),
                (zero, end),
                pace.low_latency,
            );
        }
        if !is_static {
            mpd.element("UTCTiming", |timing| {
                timing.attribute("schemeIdUri", "urn:mpeg:dash:utc:http-xsdate:2014");
                timing.attribute("value", "../../time");
            });
        }
    });
    Some(document.finish())
}

fn profiles(low_latency: bool) -> &'static str {
    if low_latency {
        "urn:mpeg:dash:profile:isoff-live:2011,http://www.dashif.org/guidelines/low-latency-live-v5"
    } else {
        "urn:mpeg:dash:profile:isoff-live:2011"
    }
}

/// What a player is to keep to in low latency (annex K.3): a little faster or
/// slower, so that nobody hears it.
fn service_description(mpd: &mut Document, latency: Duration) {
    mpd.element("ServiceDescription", |service| {
        service.attribute("id", 0);
        service.element("Latency", |target| {
            target.attribute("referenceId", REFERENCE);
            target.attribute("target", latency.as_millis());
            target.attribute("min", (latency / 2).as_millis());
            target.attribute("max", (latency * 4).as_millis());
        });
        service.element("PlaybackRate", |rate| {
            rate.attribute("min", "0.96");
            rate.attribute("max", "1.04");
        });
    });
}

fn write_period(
    mpd: &mut Document,
    snapshot: &Snapshot,
    (period, before): (&Period, Option<&Period>),
    (zero, end): (i64, Option<i64>),
    low_latency: bool,
) {
    mpd.element("Period", |element| {
        element.attribute("id", name(period));
        element.attribute("start", Seconds(period.start() - zero));
        if let Some(end) = end {
            element.attribute("duration", Seconds(end.saturating_sub(period.start())));
        }
        for set in set::sets(snapshot, period, low_latency) {
            set.write(element, period, before);
        }
    });
}

/// Writes a Period before all others that lasts no time and has the tracks of the
/// `last` one.
///
/// dash.js 5.2 takes a manifest's only Period for the last one of all, even of a dynamic
/// manifest: once that has an end, it ends playback there for good. And it has to be
/// there from the first manifest on, since shaka 5.2 takes every Period behind a new one
/// for new.
fn write_origin(mpd: &mut Document, snapshot: &Snapshot, last: &Period, low_latency: bool) {
    let mut origin = last.clone();
    origin.cadence = origin.cadence.or(Some(Cadence::SECOND));
    origin.end = Some((origin.first, origin.start()));
    mpd.element("Period", |element| {
        element.attribute("id", ORIGIN);
        element.attribute("start", Seconds(0));
        element.attribute("duration", Seconds(0));
        for set in set::sets(snapshot, &origin, low_latency) {
            set.write(element, &origin, None);
        }
    });
}

/// How the Period is called, for as long as it lasts.
fn name(period: &Period) -> String {
    format!("p{}", period.first)
}

/// The segments of `period` that are listed of a track.
fn listed<'a>(track: &'a TrackWindow, period: &Period) -> Vec<&'a Segment> {
    let listed = track.listed().iter();
    let of_period = listed.filter(|segment| period.holds(segment.number));
    of_period.map(|segment| &**segment).collect()
}

/// How far behind live a player stays by default where segments can be read while
/// they are cut: three parts, as HLS has it, and time for what it does itself.
fn default_latency(primary: &TrackWindow) -> Duration {
    (primary.part_target_duration * 3).max(LEAST_LATENCY)
}

fn shortest(snapshot: &Snapshot) -> Duration {
    let listed = snapshot.primary().map_or(&[][..], |track| track.listed());
    let shortest = listed.iter().map(|segment| segment.length()).min();
    shortest.unwrap_or(snapshot.target_duration)
}

/// What no segment is longer than, to the millisecond: the longest of all tracks, that
/// of the cadence too, whose segments are not all there, and as much as those of one
/// number begin apart.
///
/// shaka 5.2 lets no track be ahead of another by as long or longer, or waits a second
/// before it goes on. Sound begins a part of a frame apart from the picture, so the
/// longest segment alone would hold up its first picture in every other case.
fn longest(snapshot: &Snapshot, timetable: &Timetable) -> Duration {
    let listed = || snapshot.tracks.iter().flat_map(|track| track.listed());
    let cadences = timetable.periods().iter().filter_map(|period| {
        let nanos = period.cadence?.nanos(1);
        Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
    });
    let longest = listed().map(|it| it.length()).chain(cadences).max();
    let mut begins = BTreeMap::new();
    for segment in listed() {
        let begin = segment.time;
        let (first, last) = begins.entry(segment.number).or_insert((begin, begin));
        *first = begin.min(*first);
        *last = begin.max(*last);
    }
    let apart = begins.values().map(|(first, last)| last.abs_diff(*first));
    let apart = Duration::from_nanos(apart.max().unwrap_or(0)).min(MOST_APART);
    let millis = (longest.unwrap_or_default() + apart).as_nanos() / 1_000_000;
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX).saturating_add(1))
}

/// Tracks that begin farther apart have an absence between them.
const MOST_APART: Duration = Duration::from_millis(250);

/// A date (xs:dateTime), in UTC.
struct Date(SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::try_from(self.0) {
            Ok(date) => write!(f, "{date:.6}"),
            Err(_) => f.write_str("1970-01-01T00:00:00Z"),
        }
    }
}

/// Nanoseconds as a duration (xs:duration), exact.
struct Seconds(i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.max(0);
        let (whole, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        if fraction == 0 {
            return write!(f, "PT{whole}S");
        }
        let digits = format!("{fraction:09}");
        write!(f, "PT{whole}.{}S", digits.trim_end_matches('0'))
    }
}

/// The same of a [`Duration`].
struct Length(Duration);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX);
        Seconds(nanos).fmt(f)
    }
}

/// The id of the Period that lasts no time.
const ORIGIN: &str = "origin";

/// The id of the reference that a latency is measured by.
const REFERENCE: u32 = 0;

/// Bounds of `minimumUpdatePeriod`.
const SOONEST: Duration = Duration::from_millis(500);
const LATEST: Duration = Duration::from_secs(5);

/// Less than this no player keeps without stalls.
const LEAST_LATENCY: Duration = Duration::from_millis(400);
