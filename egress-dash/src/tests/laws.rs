//! What a manifest must keep, read from its text as a player reads it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use dash_mpd_core::{MPD, Period, Representation, SegmentTemplate};
use rillcast_media::cmaf::{Snapshot, TrackWindow, WallClock};

use super::scene::Moment;
use super::schema;
use crate::mpd::{Options, render};
use crate::timetable::{Timetable, end_of};

/// Half a frame of five frames per second, the slowest that scenes have, in seconds.
const HALF_FRAME: f64 = 0.101;

/// Who has the manifest of every moment, and remembers what it said.
pub(super) struct Viewer {
    timetable: Timetable,
    pub(super) options: Options,
    /// What never changes, by what it is said of.
    fixed: BTreeMap<String, String>,
    /// The duration and timescale of each Period of one cadence, by its number.
    cadences: BTreeMap<u64, (u64, u64)>,
    periods: Vec<u64>,
    /// The last number that was promised before it was complete, and was there.
    promised: BTreeMap<u64, bool>,
    ended: bool,
    /// The last manifest but for the time at which it was made, and what it says.
    last: Option<(String, MPD)>,
}

macro_rules! law {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}

impl Viewer {
    pub(super) fn new(low_latency: bool) -> Self {
        Self {
            timetable: Timetable::new(low_latency),
            options: Options {
                target_latency: None,
            },
            fixed: BTreeMap::new(),
            cadences: BTreeMap::new(),
            periods: Vec::new(),
            promised: BTreeMap::new(),
            ended: false,
            last: None,
        }
    }

    pub(super) fn cadences(&self) -> Vec<(u64, u64)> {
        self.cadences.values().copied().collect()
    }

    pub(super) fn starts_of_periods(&self) -> &[u64] {
        &self.periods
    }

    /// The last manifest.
    pub(super) fn manifest(&self) -> &MPD {
        &self.last.as_ref().expect("there was none").1
    }

    /// How many segments were promised before they were complete.
    pub(super) fn promised(&self) -> usize {
        self.promised.len()
    }

    /// The stream has ended, and so has its manifest, if there ever was one.
    pub(super) fn finish(&self) -> Result<(), String> {
        law!(
            self.ended || self.periods.is_empty(),
            "the manifest of an ended stream goes on"
        );
        Ok(())
    }

    pub(super) fn look(&mut self, moment: Moment) -> Result<(), String> {
        let Moment {
            snapshot,
            now,
            left,
        } = moment;
        self.timetable.take_in(&snapshot, left, now);
        let Some(text) = render(&snapshot, &self.timetable, self.options, now) else {
            return Ok(());
        };
        let told = |error: String| format!("{error} in\n{text}");
        // Most differ from the one before by nothing but when they were made.
        let rest = without(&text, "publishTime");
        let mpd = match self.last.take().filter(|(last, _)| *last == rest) {
            Some((_, mpd)) => mpd,
            None => {
                schema::check(&text).map_err(told)?;
                dash_mpd_core::parse(&text).map_err(|error| told(error.to_string()))?
            }
        };
        self.check(&mpd, &snapshot, now).map_err(told)?;
        self.last = Some((rest, mpd));
        Ok(())
    }

    fn check(&mut self, mpd: &MPD, snapshot: &Snapshot, now: SystemTime) -> Result<(), String> {
        let begin = mpd
            .availabilityStartTime
            .ok_or("no availabilityStartTime")?;
        self.fix("availabilityStartTime", begin.to_string())?;
        let zero = SystemTime::from(begin);
        let age = now.duration_since(zero).unwrap_or_default();
        self.ended = mpd.mpdtype.as_deref() == Some("static");
        law!(
            self.ended == snapshot.is_ended(),
            "type is not what the stream is"
        );
        law!(!mpd.periods.is_empty(), "there is no Period");
        let published = mpd.publishTime.ok_or("no publishTime")?;
        law!(
            SystemTime::from(published) <= now && published >= begin,
            "it was not published at {published}"
        );
        check_depth(mpd, snapshot)?;
        let mut floor = Duration::ZERO;
        for (index, period) in mpd.periods.iter().enumerate() {
            let start = period.start.ok_or("a Period has no start")?;
            law!(
                start >= floor,
                "a Period begins before the one before it ends"
            );
            floor = start + period.duration.unwrap_or_default();
            let last = index + 1 == mpd.periods.len();
            law!(
                last || period.duration.is_some(),
                "a Period that is over has no duration"
            );
            let over = self.ended || period.duration.is_some();
            if period.id.as_deref() == Some("origin") {
                law!(
                    index == 0 && floor.is_zero() && !period.adaptations.is_empty(),
                    "the first Period is more than a beginning"
                );
                let mut sets = period.adaptations.iter();
                law!(
                    sets.all(|set| set.ProducerReferenceTime.is_empty()),
                    "latencies would be measured by what is no time of any media"
                );
                continue;
            }
            self.check_period(period, snapshot, (age, now), over)?;
        }
        law!(
            self.ended || mpd.periods.len() > 1 || mpd.periods[0].duration.is_none(),
            "its only Period has an end: dash.js takes that for the end of all"
        );
        if self.ended {
            let end = mpd.mediaPresentationDuration.ok_or("it has no end")?;
            law!(
                end == floor,
                "its end is not that of its last Period: {end:?}, {floor:?}"
            );
        }
        Ok(())
    }

    fn check_period(
        &mut self,
        period: &Period,
        snapshot: &Snapshot,
        age: (Duration, SystemTime),
        over: bool,
    ) -> Result<(), String> {
        let id = period.id.clone().ok_or("a Period has no id")?;
        let start = period.start.unwrap_or_default();
        self.fix(&format!("the start of {id}"), format!("{start:?}"))?;
        let number: u64 = id.trim_start_matches('p').parse().unwrap();
        law!(!period.adaptations.is_empty(), "{id} has no AdaptationSet");
        if !self.periods.contains(&number) {
            law!(
                self.periods.last().is_none_or(|last| *last < number),
                "{id} comes after a later one"
            );
            self.periods.push(number);
        }
        for set in &period.adaptations {
            for representation in &set.representations {
                let name = representation.id.clone().ok_or("a track has no name")?;
                let track = snapshot.track(&name).ok_or("a track that is not there")?;
                let template = representation.SegmentTemplate.as_ref();
                let template = template.ok_or("no SegmentTemplate")?;
                let offset = template.presentationTimeOffset.unwrap_or(0);
                let scale = template.timescale.unwrap_or(1);
                self.fix(
                    &format!("the time of {name} in {id}"),
                    format!("{offset}/{scale}"),
                )?;
                check_init(representation, template, track)?;
                match &template.SegmentTimeline {
                    Some(_) => check_timeline(&id, template, track)?,
                    None => {
                        let clock = snapshot.clock;
                        self.check_cadence((number, start), template, track, (age, clock), over)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What a cadence promises is there when it says so, at the time that it says,
    /// as long as the encoder does not stall.
    fn check_cadence(
        &mut self,
        (first, start): (u64, Duration),
        template: &SegmentTemplate,
        track: &TrackWindow,
        ((age, now), clock): ((Duration, SystemTime), WallClock),
        over: bool,
    ) -> Result<(), String> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number of ticks"
        )]
        let duration = template.duration.ok_or("no duration")? as u64;
        let scale = template.timescale.unwrap_or(1);
        law!(
            template.startNumber == Some(first),
            "numbers begin elsewhere"
        );
        self.cadences.insert(first, (duration, scale));
        let (ticks, scale) = (as_f64(duration), as_f64(scale));
        let length = ticks / scale;
        let offset = as_f64(template.presentationTimeOffset.unwrap_or(0)) / scale;
        let all = track.segments.iter().chain(&track.open);
        let mut last = None;
        for segment in all.filter(|segment| segment.number >= first && !segment.gap) {
            if over && !self.timetable_holds(first, segment.number) {
                continue;
            }
            let nominal = offset + length * as_f64(segment.number - first);
            let time = segment.time as f64 / 1e9;
            // Sound is cut where the picture is decoded, which may be some frames
            // before it is shown.
            let tolerance = if track.primary {
                HALF_FRAME
            } else {
                HALF_FRAME * 4.0
            };
            let fits = (time - nominal).abs() < tolerance;
            law!(
                fits,
                "segment {} of {} begins at {time}, not at {nominal}",
                segment.number,
                track.name
            );
            last = Some(segment.number);
        }
        if over {
            return Ok(());
        }
        law!(
            template.availabilityTimeComplete == Some(false),
            "open segments are not announced"
        );
        let early = template.availabilityTimeOffset.unwrap_or(0.0);
        let passed = age.as_secs_f64() - start.as_secs_f64() + early;
        // The first part comes with the frame behind it, and a Period may be as far
        // off arrival as three segments take to show it.
        let slack = 0.1 + HALF_FRAME * 2.0 + 0.15;
        let due = ((passed - slack) / length).floor();
        let parts = track.open.iter().chain(track.segments.last());
        let newest = parts.filter_map(|segment| segment.parts.last());
        let newest = newest.map(|part| clock.date(part.received)).max();
        let silent = newest.is_none_or(|newest| {
            now.duration_since(newest).unwrap_or_default() > Duration::from_millis(500)
        });
        if due >= 1.0 && !silent {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a small number that is not negative"
            )]
            let due = first + due as u64 - 1;
            law!(
                last.is_some_and(|last| last >= due),
                "segment {due} is promised by now, and there is {last:?}"
            );
            self.promised.insert(due, true);
        }
        Ok(())
    }

    fn timetable_holds(&self, first: u64, number: u64) -> bool {
        let mut periods = self.timetable.periods().iter();
        let period = periods.find(|period| period.first == first);
        period.is_some_and(|period| period.holds(number))
    }

    fn fix(&mut self, what: &str, value: String) -> Result<(), String> {
        let known = self.fixed.entry(what.to_owned()).or_insert(value.clone());
        law!(*known == value, "{what} went from {known} to {value}");
        Ok(())
    }
}

/// How far behind live players stay, and how far back they can go.
fn check_depth(mpd: &MPD, snapshot: &Snapshot) -> Result<(), String> {
    if snapshot.is_ended() {
        law!(
            mpd.minimumUpdatePeriod.is_none() && mpd.suggestedPresentationDelay.is_none(),
            "what has ended goes on"
        );
        return Ok(());
    }
    let tracks = snapshot.tracks.iter().flat_map(|track| track.listed());
    let longest = tracks.map(|segment| segment.length()).max();
    let longest = longest.ok_or("nothing is listed")?;
    let said = mpd.maxSegmentDuration.ok_or("no maxSegmentDuration")?;
    law!(said >= longest, "{longest:?} is longer than {said:?}");
    // A track that is one segment ahead of another is not too far ahead: shaka lets it
    // go on, and does not make its viewer wait for a second.
    let listed = || snapshot.tracks.iter().flat_map(|track| track.listed());
    for (one, other) in listed().flat_map(|one| listed().map(move |other| (one, other))) {
        let apart = Duration::from_nanos(one.time.abs_diff(other.time));
        let ahead = Duration::from_nanos(end_of(one).abs_diff(other.time));
        law!(
            one.number != other.number || apart > Duration::from_millis(250) || said > ahead,
            "segment {} is {ahead:?} ahead of a track, not less than {said:?}",
            one.number
        );
    }
    let delay = mpd.suggestedPresentationDelay.ok_or("no delay")?;
    let low_latency = !mpd.ServiceDescription.is_empty();
    law!(
        low_latency || delay == said * 3,
        "the delay is {delay:?}, not three segments of {said:?}"
    );
    // What may be sought is listed.
    let depth = mpd.timeShiftBufferDepth.ok_or("no timeShiftBufferDepth")?;
    let primary = snapshot.primary().ok_or("no primary track")?;
    law!(
        depth <= primary.listed_duration(),
        "{depth:?} is more than is listed"
    );
    Ok(())
}

/// `text` without that attribute.
fn without(text: &str, attribute: &str) -> String {
    let (before, rest) = text.split_once(&format!(" {attribute}=\"")).unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    format!("{before}{after}")
}

fn check_init(
    representation: &Representation,
    template: &SegmentTemplate,
    track: &TrackWindow,
) -> Result<(), String> {
    let base = format!("../../../cmaf/live/cam%241/s1/{}/", track.name);
    let init = template.initialization.clone().unwrap_or_default();
    let config = init
        .strip_prefix(&base)
        .and_then(|rest| rest.strip_suffix(".init.mp4"))
        .and_then(|config| config.parse().ok())
        .ok_or("the initialization is elsewhere")?;
    let init = track
        .init(config)
        .ok_or("an initialization that is not there")?;
    law!(
        representation.codecs.as_ref() == Some(&init.track.codec_string),
        "codecs are not those of the configuration"
    );
    let media = format!("{base}$Number$.m4s");
    law!(
        template.media.as_ref() == Some(&media),
        "the media is elsewhere"
    );
    Ok(())
}

/// What is listed is there, as long and at the time that is said.
fn check_timeline(id: &str, template: &SegmentTemplate, track: &TrackWindow) -> Result<(), String> {
    let line = template.SegmentTimeline.as_ref().ok_or("no timeline")?;
    law!(!line.segments.is_empty(), "the timeline of {id} is empty");
    let mut number = template.startNumber.ok_or("no startNumber")?;
    let mut time = 0;
    for s in &line.segments {
        time = s.t.unwrap_or(time);
        for _ in 0..=s.r.unwrap_or(0) {
            let segment = track.segment(number).filter(|segment| segment.complete);
            let segment = segment.ok_or(format!("segment {number} is listed and not there"))?;
            law!(
                i64::try_from(time) == Ok(segment.presentation),
                "segment {number} begins at {}, not at {time}",
                segment.presentation
            );
            time += s.d;
            number += 1;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_f64(value: u64) -> f64 {
    value as f64
}
