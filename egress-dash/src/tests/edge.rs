//! A player at the very edge: it asks for each segment at the first millisecond
//! that the manifest in force declares it available, and for each manifest as late
//! as it may.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dash_mpd_core::{MPD, SegmentTemplate};
use rillcast_media::cmaf::Segment;

use super::scene::Moment;
use crate::mpd::{Options, render};
use crate::timetable::Timetable;

/// The player, and what it was answered.
pub(super) struct Player {
    timetable: Timetable,
    /// What there was last.
    last: Option<Moment>,
    mpd: Option<MPD>,
    /// When the manifest must be asked for again.
    update: Option<SystemTime>,
    tracks: BTreeMap<String, Reader>,
    /// Segments that were asked for before they had begun.
    pub(super) held: u64,
    /// Requests in vain for what was promised before the publisher went.
    pub(super) withdrawn: u64,
}

/// One track, as far as it was read.
#[derive(Default)]
struct Reader {
    /// The number that is asked for next.
    next: Option<u64>,
    /// Which the server holds, and until when, and when it should begin in seconds
    /// of media time.
    waiting: Option<(u64, SystemTime, f64)>,
    /// What was read last, of which the bytes may still come.
    before: Option<u64>,
    read: u64,
    /// The end of the last segment in ticks, if the next one follows from it.
    end: Option<(u64, i64)>,
}

/// Where a manifest says that a segment is.
struct Place {
    available: SystemTime,
    /// When it begins, in seconds of media time.
    begin: f64,
}

impl Player {
    pub(super) fn new(low_latency: bool) -> Self {
        Self {
            timetable: Timetable::new(low_latency),
            last: None,
            mpd: None,
            update: None,
            tracks: BTreeMap::new(),
            held: 0,
            withdrawn: 0,
        }
    }

    /// The least that was read of any track.
    pub(super) fn read(&self) -> u64 {
        let read = self.tracks.values().map(|track| track.read);
        read.min().unwrap_or(0)
    }

    /// Lives until `moment`, in which something changes.
    pub(super) fn look(&mut self, moment: Moment) -> Result<(), String> {
        if let Some(last) = self.last.take() {
            self.live(&last, moment.now)?;
        }
        self.receive(&moment)?;
        self.last = Some(moment);
        Ok(())
    }

    /// Does what is due before `until`, while there is what `moment` shows.
    fn live(&mut self, moment: &Moment, until: SystemTime) -> Result<(), String> {
        let mut now = moment.now;
        while now < until {
            if self.update.is_none_or(|update| update <= now) {
                self.fetch(moment, now)?;
            }
            self.give_up(moment, now)?;
            let due = self.ask(moment, now)?;
            let waiting = self.tracks.values().filter_map(|track| track.waiting);
            let limits = waiting.map(|(_, limit, _)| limit);
            let next = due.into_iter().chain(limits).chain(self.update).min();
            now = next.unwrap_or(until).max(now + Duration::from_millis(1));
        }
        Ok(())
    }

    fn fetch(&mut self, moment: &Moment, now: SystemTime) -> Result<(), String> {
        self.timetable.take_in(&moment.snapshot, moment.left, now);
        let options = Options {
            target_latency: None,
        };
        let Some(text) = render(&moment.snapshot, &self.timetable, options, now) else {
            self.update = Some(now + Duration::from_millis(500));
            return Ok(());
        };
        let mpd = dash_mpd_core::parse(&text).map_err(|error| error.to_string())?;
        self.update = match (mpd.mpdtype.as_deref(), mpd.minimumUpdatePeriod) {
            (Some("static"), _) => Some(now + Duration::from_secs(3_600)),
            (_, Some(period)) => Some(now + period),
            _ => return Err(format!("nothing says when it is to be read again:\n{text}")),
        };
        self.mpd = Some(mpd);
        Ok(())
    }

    /// Asks for all that is declared available by `now`, and tells when the next is.
    fn ask(&mut self, moment: &Moment, now: SystemTime) -> Result<Option<SystemTime>, String> {
        let Some(mpd) = &self.mpd else {
            return Ok(None);
        };
        let mut soonest = None;
        for track in moment.snapshot.tracks.iter() {
            let name = &*track.name;
            let reader = self.tracks.entry(name.to_owned()).or_default();
            while reader.waiting.is_none() {
                let number = match reader.next {
                    Some(next) => next,
                    None => match last_number(mpd, name, now) {
                        Some(number) => number,
                        None => break,
                    },
                };
                reader.next = Some(number);
                let Some(place) = place(mpd, name, number)? else {
                    break;
                };
                if place.available > now {
                    soonest = soonest.into_iter().chain([place.available]).min();
                    break;
                }
                // What the server does with the request: see `cmaf::Serve`.
                if track.segment(number).is_none() {
                    if !track.expects(number) {
                        return Err(format!(
                            "404: {number} of {name} is declared available, next is {:?}",
                            track.next
                        ));
                    }
                    self.held += 1;
                }
                let hold = moment.snapshot.target_duration.max(Duration::from_secs(1));
                reader.waiting = Some((number, now + hold, place.begin));
                reader.take(name, track.segment(number))?;
            }
        }
        Ok(soonest)
    }

    /// What is held for ever is not.
    fn give_up(&mut self, moment: &Moment, now: SystemTime) -> Result<(), String> {
        let late: Vec<(String, u64)> = self
            .tracks
            .iter()
            .filter_map(|(name, reader)| {
                let (number, limit, _) = reader.waiting?;
                (limit <= now).then(|| (name.clone(), number))
            })
            .collect();
        for (name, number) in late {
            // What was promised is judged by the manifest in force, and that of the
            // moment says what is.
            self.fetch(moment, now)?;
            if let Some(mpd) = &self.mpd
                && let Some(place) = place(mpd, &name, number)?
                && place.available <= now
            {
                return Err(format!(
                    "404: {number} of {name} has not come, and is declared available"
                ));
            }
            self.withdrawn += 1;
            if let Some(reader) = self.tracks.get_mut(&name) {
                reader.waiting = None;
            }
        }
        Ok(())
    }

    /// Gets what it waits for, as far as that is there.
    fn receive(&mut self, moment: &Moment) -> Result<(), String> {
        let came = self.tracks.iter().any(|(name, reader)| {
            let track = moment.snapshot.track(name);
            let number = reader.waiting.map(|(number, ..)| number);
            let there = |number| track.and_then(|track| track.segment(number));
            number.and_then(there).is_some_and(|it| it.discontinuity)
        });
        if came {
            // It was promised to follow from what came, and is where the manifest
            // in force says.
            self.fetch(moment, moment.now)?;
        }
        for (name, reader) in &mut self.tracks {
            let Some(track) = moment.snapshot.track(name) else {
                continue;
            };
            if let Some((number, ..)) = reader.waiting
                && let Some(segment) = track.segment(number)
            {
                if let (Some(mpd), Some(waiting), true) =
                    (&self.mpd, &mut reader.waiting, segment.discontinuity)
                {
                    // Until it is listed, no manifest says where it is.
                    let Some(place) = place(mpd, name, number)? else {
                        continue;
                    };
                    waiting.2 = place.begin;
                }
                reader.take(name, Some(segment))?;
            }
            // It asks for the next one while the bytes of this one still come.
            if let Some(before) = reader.before {
                reader.finish(name, track.segment(before))?;
            }
        }
        Ok(())
    }
}

impl Reader {
    /// The answer to the request that is held begins.
    fn take(&mut self, name: &str, segment: Option<&Arc<Segment>>) -> Result<(), String> {
        let (Some(segment), Some((number, _, begin))) = (segment, self.waiting) else {
            return Ok(());
        };
        if segment.gap || segment.number != number {
            return Err(format!("{number} of {name} is nothing to play"));
        }
        let starts = as_f64(segment.presentation) / f64::from(segment.timescale.hz());
        // Sound is cut where the picture is decoded, some frames before it is shown.
        if (starts - begin).abs() > 0.25 {
            return Err(format!(
                "{number} of {name} begins at {starts}, not at {begin}"
            ));
        }
        if let Some(before) = self.before
            && before + 1 != number
        {
            return Err(format!("{number} of {name} comes after {before}"));
        }
        self.waiting = None;
        self.next = Some(number + 1);
        self.read += 1;
        self.before = Some(number);
        self.finish(name, Some(segment))
    }

    /// Its decode times go on from those of the one before, to the tick.
    fn finish(&mut self, name: &str, segment: Option<&Arc<Segment>>) -> Result<(), String> {
        let Some(segment) = segment.filter(|segment| segment.complete) else {
            return Ok(());
        };
        let number = segment.number;
        let follows = self.end.filter(|(before, _)| before + 1 == number);
        let mut at = match follows {
            Some((_, end)) if !segment.discontinuity => end,
            _ => segment.start,
        };
        for part in &segment.parts {
            if part.start != at {
                let start = part.start;
                return Err(format!(
                    "{number} of {name} goes on at {start}, not at {at}"
                ));
            }
            at += i64::try_from(part.duration).unwrap();
        }
        self.end = Some((number, at));
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_f64(ticks: i64) -> f64 {
    ticks as f64
}

/// The last segment that can be asked for by `now`.
fn last_number(mpd: &MPD, track: &str, now: SystemTime) -> Option<u64> {
    let ahead =
        (1..10_000).map_while(|number| place(mpd, track, number).ok().map(|it| (number, it)));
    let there = ahead.filter(|(_, place)| place.as_ref().is_some_and(|it| it.available <= now));
    there.last().map(|(number, _)| number)
}

/// Where `number` of a track is; `None` if the manifest does not know of it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "far below 2^52, and not negative"
)]
fn place(mpd: &MPD, track: &str, number: u64) -> Result<Option<Place>, String> {
    let zero = mpd
        .availabilityStartTime
        .ok_or("no availabilityStartTime")?;
    let zero = SystemTime::from(zero);
    for period in &mpd.periods {
        let start = period.start.unwrap_or_default().as_secs_f64();
        let all = period
            .adaptations
            .iter()
            .flat_map(|set| &set.representations);
        let mut of_track = all.filter(|it| it.id.as_deref() == Some(track));
        let Some(template) = of_track.next().and_then(|it| it.SegmentTemplate.as_ref()) else {
            continue;
        };
        let first = template.startNumber.unwrap_or(1);
        let Some(index) = number.checked_sub(first) else {
            continue;
        };
        let scale = template.timescale.unwrap_or(1) as f64;
        let offset = template.presentationTimeOffset.unwrap_or(0) as f64 / scale;
        let found = match template.duration {
            Some(duration) => {
                let length = duration / scale;
                // A segment belongs to a Period if it begins within it.
                let lasts = period.duration.map(|it| it.as_secs_f64());
                let count = lasts.map_or(u64::MAX, |lasts| (lasts / length).ceil() as u64);
                (index < count).then_some((offset + length * index as f64, length))
            }
            None => of_timeline(template, index).map(|(t, d)| (t as f64 / scale, d as f64 / scale)),
        };
        let Some((begin, length)) = found else {
            continue;
        };
        let early = template.availabilityTimeOffset.unwrap_or(0.0);
        let at = start + begin - offset + length - early;
        // The first whole millisecond.
        let millis = (at * 1_000.0).ceil().max(0.0) as u64;
        let available = zero + Duration::from_millis(millis);
        return Ok(Some(Place { available, begin }));
    }
    Ok(None)
}

/// Time and duration of a timeline's segment, in ticks.
fn of_timeline(template: &SegmentTemplate, index: u64) -> Option<(u64, u64)> {
    let mut time = 0;
    let mut at = 0;
    for s in &template.SegmentTimeline.as_ref()?.segments {
        time = s.t.unwrap_or(time);
        for _ in 0..=s.r.unwrap_or(0) {
            if at == index {
                return Some((time, s.d));
            }
            time += s.d;
            at += 1;
        }
    }
    None
}
