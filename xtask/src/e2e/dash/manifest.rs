//! A manifest as a player reads it: only what the scenarios judge, written apart
//! from the server's own code so that both are not wrong together.

use std::time::{Duration, SystemTime};

use crate::http;
use crate::process::{Context, Failure, Result};

/// What the manifest says at one moment.
pub(crate) struct Manifest {
    /// `availabilityStartTime`, as the time since 1970.
    zero: Duration,
    /// `minimumUpdatePeriod`; `None` once nothing is added.
    pub(crate) update: Option<Duration>,
    pub(crate) periods: Vec<Period>,
}

pub(crate) struct Period {
    /// In seconds.
    start: f64,
    duration: Option<f64>,
    pub(crate) tracks: Vec<Template>,
}

/// One track's segments in a Period.
pub(crate) struct Template {
    pub(crate) track: String,
    pub(crate) init: String,
    media: String,
    timescale: f64,
    first: u64,
    offset: f64,
    duration: Option<f64>,
    early: f64,
    /// Time and duration of each segment of a timeline, in ticks.
    line: Vec<(f64, f64)>,
}

/// Where a segment is.
pub(crate) struct Place {
    pub(crate) path: String,
    /// From when on it can be asked for.
    pub(crate) available: SystemTime,
    /// When it begins, in seconds of media time.
    pub(crate) begin: f64,
}

impl Manifest {
    pub(crate) fn fetch(server: &str, key: &str) -> Result<Self> {
        let path = format!("/dash/{key}/manifest.mpd");
        let text = http::get(server, &path)?.text();
        Self::read(&text, &path).map_err(|error| Failure::new(format!("{path}: {error}:\n{text}")))
    }

    fn read(text: &str, path: &str) -> Result<Self> {
        let mut manifest = Self {
            zero: Duration::ZERO,
            update: None,
            periods: Vec::new(),
        };
        let mut track = String::new();
        for tag in tags(text) {
            match tag.name {
                "MPD" => {
                    manifest.zero = date(tag.need("availabilityStartTime")?)?;
                    let update = tag.get("minimumUpdatePeriod").map(seconds).transpose()?;
                    manifest.update = update.map(Duration::from_secs_f64);
                }
                "Period" => manifest.periods.push(Period {
                    start: seconds(tag.need("start")?)?,
                    duration: tag.get("duration").map(seconds).transpose()?,
                    tracks: Vec::new(),
                }),
                "Representation" => track = tag.need("id")?.to_owned(),
                "SegmentTemplate" => {
                    let timescale: f64 = tag.number("timescale")?.unwrap_or(1.0);
                    let template = Template {
                        track: track.clone(),
                        init: resolve(path, tag.need("initialization")?),
                        media: resolve(path, tag.need("media")?),
                        timescale,
                        first: tag.number("startNumber")?.unwrap_or(1),
                        offset: tag.number("presentationTimeOffset")?.unwrap_or(0.0) / timescale,
                        duration: tag.number("duration")?.map(|it: f64| it / timescale),
                        early: tag.number("availabilityTimeOffset")?.unwrap_or(0.0),
                        line: Vec::new(),
                    };
                    let period = manifest.periods.last_mut();
                    period
                        .context("a template in no Period")?
                        .tracks
                        .push(template);
                }
                "S" => {
                    let period = manifest.periods.last_mut();
                    let template = period.and_then(|period| period.tracks.last_mut());
                    let line = &mut template.context("a segment of no template")?.line;
                    let next = line.last().map_or(0.0, |(t, d)| t + d);
                    let mut t = tag.number("t")?.unwrap_or(next);
                    let d = tag.number("d")?.context("a segment without a duration")?;
                    for _ in 0..=tag.number("r")?.unwrap_or(0_u32) {
                        line.push((t, d));
                        t += d;
                    }
                }
                _ => {}
            }
        }
        Ok(manifest)
    }

    /// Where `number` of a track is; `None` if the manifest does not know of it.
    pub(crate) fn place(&self, track: &str, number: u64) -> Option<Place> {
        self.periods.iter().find_map(|period| {
            let template = period.tracks.iter().find(|it| it.track == track)?;
            let (begin, length) = template.at(number, period.duration)?;
            let end = period.start + begin - template.offset + length - template.early;
            let millis = (end * 1_000.0).ceil().max(0.0);
            let available = self.zero + Duration::from_secs_f64(millis / 1_000.0);
            Some(Place {
                path: template.path(number),
                available: SystemTime::UNIX_EPOCH + available,
                begin,
            })
        })
    }

    /// The numbers of the first listed segment of each Period.
    pub(crate) fn firsts(&self) -> impl Iterator<Item = u64> {
        let periods = self.periods.iter();
        periods.filter_map(|period| period.tracks.first().map(|it| it.first))
    }

    /// The tracks of its last Period.
    pub(crate) fn tracks(&self) -> Vec<&Template> {
        self.periods
            .last()
            .map_or(Vec::new(), |last| last.tracks.iter().collect())
    }

    /// The last segment of a track that can be asked for at `now`.
    pub(crate) fn newest(&self, track: &str, now: SystemTime) -> Option<u64> {
        let last = self.periods.last()?;
        let first = last.tracks.iter().find(|it| it.track == track)?.first;
        let there = |number: &u64| {
            let place = self.place(track, *number);
            place.is_some_and(|place| place.available <= now)
        };
        (first..).take_while(there).last()
    }
}

impl Template {
    /// Where the segment of that number is, whether or not it is in the manifest.
    pub(crate) fn path(&self, number: u64) -> String {
        self.media.replace("$Number$", &number.to_string())
    }

    /// Begin and length of a segment in seconds of media time.
    #[expect(
        clippy::cast_precision_loss,
        reason = "segments of one test are far fewer than 2^52"
    )]
    fn at(&self, number: u64, lasts: Option<f64>) -> Option<(f64, f64)> {
        let index = number.checked_sub(self.first)?;
        if let Some(length) = self.duration {
            let begin = length * index as f64;
            let within = lasts.is_none_or(|lasts| begin < lasts);
            return within.then_some((self.offset + begin, length));
        }
        let (t, d) = self.line.get(usize::try_from(index).ok()?)?;
        Some((t / self.timescale, d / self.timescale))
    }
}

/// A start tag.
struct Tag<'a> {
    name: &'a str,
    attributes: &'a str,
}

/// The start tags of `text` in their order. What the server writes has no text
/// between tags, no comments, and no `>` in values.
fn tags(text: &str) -> impl Iterator<Item = Tag<'_>> {
    text.split('<').skip(1).filter_map(|rest| {
        let (inside, _) = rest.split_once('>')?;
        let inside = inside.trim_end_matches('/');
        let (name, attributes) = inside.split_once(' ').unwrap_or((inside, ""));
        (!name.starts_with(['/', '?'])).then_some(Tag { name, attributes })
    })
}

impl<'a> Tag<'a> {
    fn get(&self, attribute: &str) -> Option<&'a str> {
        let mut rest = self.attributes;
        while let Some((name, after)) = rest.split_once("=\"") {
            let (value, next) = after.split_once('"')?;
            if name.trim() == attribute {
                return Some(value);
            }
            rest = next;
        }
        None
    }

    fn need(&self, attribute: &str) -> Result<&'a str> {
        let name = self.name;
        self.get(attribute)
            .context(format!("<{name}> has no {attribute}"))
    }

    fn number<T: std::str::FromStr>(&self, attribute: &str) -> Result<Option<T>> {
        let Some(text) = self.get(attribute) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Failure::new(format!("{attribute}=\"{text}\" is no number"))),
        }
    }
}

/// `PT…S`: the server writes seconds only.
fn seconds(text: &str) -> Result<f64> {
    let number = text.strip_prefix("PT").and_then(|it| it.strip_suffix('S'));
    let number = number.and_then(|it| it.parse().ok());
    number.context(format!("`{text}` is no duration in seconds"))
}

/// A date in UTC as the time since 1970.
fn date(text: &str) -> Result<Duration> {
    let wrong = || format!("`{text}` is no date in UTC");
    let (day, time) = text.split_once('T').context(wrong())?;
    let numbers = |text: &str, by: char| -> Vec<f64> {
        text.split(by).filter_map(|it| it.parse().ok()).collect()
    };
    let (day, time) = (
        numbers(day, '-'),
        numbers(time.strip_suffix('Z').context(wrong())?, ':'),
    );
    let ([year, month, day], [hour, minute, second]) = (&day[..], &time[..]) else {
        return Err(Failure::new(wrong()));
    };
    // Days from 1970-01-01, with years that begin in March.
    let (year, month) = if *month > 2.0 {
        (*year, month - 3.0)
    } else {
        (year - 1.0, month + 9.0)
    };
    let leap = (year / 4.0).floor() - (year / 100.0).floor() + (year / 400.0).floor();
    let days = year * 365.0 + leap + ((month * 153.0 + 2.0) / 5.0).floor() + day - 719_469.0;
    // The fraction apart: a date in seconds has no room for it.
    let whole = Duration::from_secs_f64(days * 86_400.0 + hour * 3_600.0 + minute * 60.0);
    Ok(whole + Duration::from_secs_f64(*second))
}

/// The path that `uri` means in the document at `base`.
fn resolve(base: &str, uri: &str) -> String {
    super::super::playlist::resolve(base, uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "<?xml version=\"1.0\"?>\n<MPD availabilityStartTime=\"2026-11-23T09:00:00.250000Z\" \
        minimumUpdatePeriod=\"PT2S\">\n<Period id=\"p1\" start=\"PT10S\" duration=\"PT3.5S\">\
        <Representation id=\"v0\"><SegmentTemplate timescale=\"10\" startNumber=\"1\" \
        presentationTimeOffset=\"100\" initialization=\"../../../cmaf/a/b/s/v0/0.init.mp4\" \
        media=\"../../../cmaf/a/b/s/v0/$Number$.m4s\"><SegmentTimeline><S t=\"100\" d=\"20\"/><S d=\"15\"/>\
        </SegmentTimeline></SegmentTemplate></Representation></Period>\
        <Period id=\"p3\" start=\"PT13.5S\"><Representation id=\"v0\"><SegmentTemplate timescale=\"10\" \
        duration=\"20\" startNumber=\"3\" presentationTimeOffset=\"135\" availabilityTimeOffset=\"1.8\" \
        initialization=\"i\" media=\"m$Number$\"/></Representation></Period></MPD>";

    #[test]
    fn a_segment_is_where_and_when_the_manifest_says() {
        let manifest = Manifest::read(MANIFEST, "/dash/a/b/manifest.mpd").unwrap();
        let zero = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_424_400_250);
        for (number, path, millis, begin) in [
            (1, "/cmaf/a/b/s/v0/1.m4s", 12_000, 10.0),
            (2, "/cmaf/a/b/s/v0/2.m4s", 13_500, 12.0),
            (3, "/dash/a/b/m3", 13_700, 13.5),
            (5, "/dash/a/b/m5", 17_700, 17.5),
        ] {
            let place = manifest.place("v0", number).unwrap();
            assert_eq!(place.path, path);
            let late = place.available.duration_since(zero).unwrap();
            assert!(late.as_millis().abs_diff(millis) <= 1, "{number}: {late:?}");
            assert!((place.begin - begin).abs() < 1e-9);
        }
        assert!(manifest.place("v0", 0).is_none());
        assert_eq!(manifest.firsts().collect::<Vec<_>>(), [1, 3]);
        let now = zero + Duration::from_secs(16);
        assert_eq!(manifest.newest("v0", now), Some(4));
    }
}
