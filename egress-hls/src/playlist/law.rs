//! The laws that a live media playlist, and every later one of its URL, must
//! keep: RFC 8216 sections 4, 6.2 and 7, and what players are known to stall on.
//!
//! Reads the text, not the data that it was written from, so that a fault of the
//! writer cannot hide. Tests run it over random histories of windows.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

/// A media playlist as a player reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// EXT-X-VERSION, 1 if it is not there.
    pub version: u64,
    /// EXT-X-TARGETDURATION in seconds.
    pub target_duration: u64,
    /// EXT-X-MEDIA-SEQUENCE.
    pub media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub discontinuity_sequence: u64,
    /// The segments in order.
    pub segments: Vec<ParsedSegment>,
    /// Whether EXT-X-ENDLIST is there.
    pub ended: bool,
}

/// One segment of a [`Parsed`] playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParsedSegment {
    /// EXTINF in microseconds.
    pub micros: u64,
    /// Its address as written.
    pub uri: String,
    /// The address of the EXT-X-MAP in force.
    pub map: String,
    /// Whether EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// Whether EXT-X-GAP stands before it.
    pub gap: bool,
    /// EXT-X-PROGRAM-DATE-TIME.
    pub date: Option<Timestamp>,
}

/// A law that a playlist breaks, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

impl Violation {
    fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

/// Fails with the words that follow unless the condition holds.
macro_rules! law {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(Violation::new(format_args!($($what)+)));
        }
    };
}

impl Parsed {
    /// Reads a media playlist and checks every law that one playlist alone can
    /// break.
    ///
    /// # Errors
    /// The first law that is broken.
    pub fn read(text: &str) -> Result<Self, Violation> {
        let mut lines = text.lines();
        law!(
            lines.next() == Some("#EXTM3U"),
            "the first line is not #EXTM3U"
        );
        law!(text.ends_with('\n'), "the last line has no end");
        let mut reader = Reader::default();
        for line in lines {
            reader.line(line)?;
        }
        reader.finish()
    }

    /// The number of the segment after the last one.
    fn next(&self) -> u64 {
        self.media_sequence
            .saturating_add(u64::try_from(self.segments.len()).unwrap_or(u64::MAX))
    }

    /// The segment of that number.
    fn segment(&self, number: u64) -> Option<&ParsedSegment> {
        let index = usize::try_from(number.checked_sub(self.media_sequence)?).ok()?;
        self.segments.get(index)
    }

    /// Checks the laws between this playlist and a `later` one of the same URL
    /// (RFC 8216 section 6.2.1 and 6.2.2).
    ///
    /// # Errors
    /// The first law that is broken.
    pub fn check_next(&self, later: &Self) -> Result<(), Violation> {
        law!(
            later.target_duration == self.target_duration,
            "EXT-X-TARGETDURATION went from {} to {}",
            self.target_duration,
            later.target_duration
        );
        law!(
            later.media_sequence >= self.media_sequence,
            "EXT-X-MEDIA-SEQUENCE went back from {} to {}",
            self.media_sequence,
            later.media_sequence
        );
        law!(
            later.next() >= self.next(),
            "segments vanished from the end: {} after {}",
            later.next(),
            self.next()
        );
        law!(
            !self.ended || (later.ended && later.next() == self.next()),
            "something follows EXT-X-ENDLIST"
        );
        for number in later.media_sequence..self.next() {
            law!(
                self.segment(number) == later.segment(number),
                "segment {number} changed from {:?} to {:?}",
                self.segment(number),
                later.segment(number)
            );
        }
        let gone = later.media_sequence.min(self.next()) - self.media_sequence;
        let gone = self
            .segments
            .iter()
            .take(usize::try_from(gone).unwrap_or(usize::MAX));
        let gone = gone.filter(|segment| segment.discontinuity).count();
        let want = self.discontinuity_sequence + u64::try_from(gone).unwrap_or(u64::MAX);
        // Between two looks more may have come and gone than either shows.
        let overlap = later.media_sequence <= self.next();
        law!(
            later.discontinuity_sequence == want
                || (!overlap && later.discontinuity_sequence > want),
            "EXT-X-DISCONTINUITY-SEQUENCE is {}, but {gone} tags left {}",
            later.discontinuity_sequence,
            self.discontinuity_sequence
        );
        Ok(())
    }
}

/// Reads line after line.
#[derive(Default)]
struct Reader {
    parsed: Parsed,
    /// Tags of the playlist that were seen, since none may come twice.
    header: Vec<String>,
    /// What is known of the segment whose address comes next.
    segment: ParsedSegment,
    /// Tags before the next address, in order.
    tags: Vec<String>,
    map: Option<String>,
}

/// Tags of a segment in the only order that every player was seen to read.
const SEGMENT_ORDER: [&str; 5] = [
    "EXT-X-DISCONTINUITY",
    "EXT-X-MAP",
    "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-GAP",
    "EXTINF",
];

/// How far a date may be from the one before plus the duration between: B-frames
/// and audio frames make segments begin a few frames off their decode times.
const DATE_TOLERANCE: SignedDuration = SignedDuration::from_millis(200);

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), Violation> {
        law!(!self.parsed.ended, "{line:?} stands after EXT-X-ENDLIST");
        law!(
            !line.is_empty() && line.trim() == line,
            "a bare or ragged line: {line:?}"
        );
        let Some(tag) = line.strip_prefix('#') else {
            return self.address(line);
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        if SEGMENT_ORDER.contains(&name) {
            return self.segment_tag(name, value);
        }
        law!(
            !self.header.iter().any(|seen| seen == name),
            "{name} comes twice"
        );
        self.header.push(name.to_owned());
        let in_header = self.parsed.segments.is_empty() && self.tags.is_empty();
        law!(
            in_header || name == "EXT-X-ENDLIST",
            "{name} stands behind the first segment's tags"
        );
        match name {
            "EXT-X-VERSION" => {
                law!(self.header.len() == 1, "EXT-X-VERSION is not the first tag");
                self.parsed.version = number(name, value)?;
            }
            "EXT-X-TARGETDURATION" => self.parsed.target_duration = number(name, value)?,
            "EXT-X-MEDIA-SEQUENCE" => self.parsed.media_sequence = number(name, value)?,
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                self.parsed.discontinuity_sequence = number(name, value)?;
            }
            "EXT-X-ENDLIST" => {
                law!(
                    self.tags.is_empty(),
                    "EXT-X-ENDLIST cuts a segment's tags off"
                );
                self.parsed.ended = true;
            }
            _ => return Err(Violation::new(format_args!("an unknown tag: {name}"))),
        }
        Ok(())
    }

    fn segment_tag(&mut self, name: &str, value: &str) -> Result<(), Violation> {
        let rank = |name: &str| SEGMENT_ORDER.iter().position(|known| *known == name);
        let last = self.tags.last().and_then(|last| rank(last));
        law!(
            last.is_none_or(|last| rank(name) > Some(last)),
            "{name} stands behind {:?}",
            self.tags.last()
        );
        self.tags.push(name.to_owned());
        match name {
            "EXT-X-DISCONTINUITY" => self.segment.discontinuity = true,
            "EXT-X-GAP" => self.segment.gap = true,
            "EXT-X-MAP" => {
                let uri = value
                    .strip_prefix("URI=\"")
                    .and_then(|uri| uri.strip_suffix('"'));
                law!(uri.is_some(), "EXT-X-MAP without an address: {value:?}");
                let uri = uri.map(str::to_owned);
                law!(uri != self.map, "EXT-X-MAP repeats {value}");
                self.map = uri;
            }
            "EXT-X-PROGRAM-DATE-TIME" => {
                let date = value.parse::<Timestamp>();
                law!(date.is_ok(), "no date: {value:?}");
                self.segment.date = date.ok();
            }
            _ => {
                let micros = value.strip_suffix(',').and_then(micros);
                law!(micros.is_some(), "no EXTINF: {value:?}");
                self.segment.micros = micros.unwrap_or_default();
            }
        }
        Ok(())
    }

    fn address(&mut self, line: &str) -> Result<(), Violation> {
        law!(
            self.tags.last().is_some_and(|last| last == "EXTINF"),
            "{line} has no EXTINF right before it"
        );
        let Some(map) = self.map.clone() else {
            return Err(Violation::new(format_args!("{line} has no EXT-X-MAP")));
        };
        let mut segment = std::mem::take(&mut self.segment);
        self.tags.clear();
        segment.uri = line.to_owned();
        segment.map = map;
        // EXTINF rounded to the nearest whole second is at most the target duration.
        law!(
            (segment.micros + 500_000) / 1_000_000 <= self.parsed.target_duration,
            "{line} lasts {} µs, the target duration is {} s",
            segment.micros,
            self.parsed.target_duration
        );
        law!(segment.micros > 0, "{line} lasts no time");
        if let Some(last) = self.parsed.segments.last() {
            law!(last.uri != segment.uri, "{line} is listed twice");
            law!(
                last.map == segment.map || segment.discontinuity,
                "EXT-X-MAP changes at {line} without a discontinuity"
            );
            law!(
                last.date.is_some() == segment.date.is_some(),
                "some segments have dates and some have none"
            );
            dates(last, &segment)?;
        }
        self.parsed.segments.push(segment);
        Ok(())
    }

    fn finish(self) -> Result<Parsed, Violation> {
        law!(self.tags.is_empty(), "tags at the end belong to no segment");
        let parsed = self.parsed;
        law!(
            parsed.target_duration > 0,
            "there is no EXT-X-TARGETDURATION"
        );
        law!(!parsed.segments.is_empty(), "there are no segments");
        let gaps = parsed.segments.iter().any(|segment| segment.gap);
        let need = if gaps { 8 } else { 6 };
        law!(
            parsed.version >= need,
            "EXT-X-VERSION is {}, the tags need {need}",
            parsed.version
        );
        Ok(parsed)
    }
}

/// Dates go on by the duration, or at a discontinuity at least never back.
fn dates(last: &ParsedSegment, segment: &ParsedSegment) -> Result<(), Violation> {
    let (Some(before), Some(date)) = (last.date, segment.date) else {
        return Ok(());
    };
    law!(date >= before, "the date goes back at {}", segment.uri);
    let step = SignedDuration::from_micros(i64::try_from(last.micros).unwrap_or(i64::MAX));
    let off = date.duration_since(before) - step;
    law!(
        segment.discontinuity || off.abs() <= DATE_TOLERANCE,
        "the date at {} is {off:?} off",
        segment.uri
    );
    Ok(())
}

fn number(name: &str, value: &str) -> Result<u64, Violation> {
    let number = value.parse();
    number.map_err(|_| Violation::new(format_args!("{name} is no number: {value:?}")))
}

/// Decimal seconds as microseconds; `None` for anything else.
fn micros(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let fraction = format!("{fraction:0<6}").parse::<u64>().ok()?;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(fraction)
}

#[cfg(test)]
mod tests;
