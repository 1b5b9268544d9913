//! The laws that a live media playlist, and every later one of its URL, must
//! keep: RFC 8216 sections 4, 6.2 and 7, those that draft-pantos-hls-rfc8216bis
//! adds for low latency, and what players are known to stall on.
//!
//! Reads the text, not the data that it was written from, so that a fault of the
//! writer cannot hide: [`read`] knows what one playlist alone may say, [`sequence`]
//! what a later one may. Tests run both over random histories of windows, and
//! debug builds over every playlist before it is served ([`watch`]).

mod read;
mod sequence;
#[cfg(test)]
mod tests;
#[cfg(debug_assertions)]
mod watch;

use std::fmt;

use jiff::Timestamp;

#[cfg(debug_assertions)]
pub(crate) use watch::Watch;

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
    /// EXT-X-SKIP: how many segments a delta update leaves out.
    pub skipped: u64,
    /// The segments in order, those that are skipped left out.
    pub segments: Vec<ParsedSegment>,
    /// The segment of which only parts are there, with no address.
    pub open: Option<ParsedSegment>,
    /// EXT-X-SERVER-CONTROL and EXT-X-PART-INF.
    pub control: Option<ParsedControl>,
    /// The address in EXT-X-PRELOAD-HINT.
    pub hint: Option<String>,
    /// Every EXT-X-RENDITION-REPORT.
    pub reports: Vec<ParsedReport>,
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
    /// Its parts, if they are listed.
    pub parts: Vec<ParsedPart>,
}

/// One part of a [`ParsedSegment`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedPart {
    /// Its duration in microseconds.
    pub micros: u64,
    /// Its address as written.
    pub uri: String,
    /// INDEPENDENT.
    pub independent: bool,
}

/// What the server of a low-latency playlist promises, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParsedControl {
    /// PART-TARGET.
    pub part_target: u64,
    /// PART-HOLD-BACK.
    pub part_hold_back: u64,
    /// CAN-SKIP-UNTIL.
    pub can_skip_until: Option<u64>,
}

/// Where another rendition is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedReport {
    /// The address of its playlist as written.
    pub uri: String,
    /// LAST-MSN and LAST-PART.
    pub last: (u64, u64),
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
use law;

impl Parsed {
    /// The number of the first segment that is not left out.
    fn first(&self) -> u64 {
        self.media_sequence.saturating_add(self.skipped)
    }

    /// The number of the segment after the last whole one.
    fn next(&self) -> u64 {
        self.first()
            .saturating_add(u64::try_from(self.segments.len()).unwrap_or(u64::MAX))
    }

    /// The whole segment of that number.
    fn segment(&self, number: u64) -> Option<&ParsedSegment> {
        let index = usize::try_from(number.checked_sub(self.first())?).ok()?;
        self.segments.get(index)
    }

    /// The same, or the segment of which only parts are there.
    fn segment_or_open(&self, number: u64) -> Option<&ParsedSegment> {
        let open = self.open.as_ref().filter(|_| number == self.next());
        open.or_else(|| self.segment(number))
    }
}

/// EXT-X-PART is listed for this many target durations from the end.
const PART_TARGETS: u64 = 3;
