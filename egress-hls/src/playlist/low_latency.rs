//! What Low-Latency HLS adds to a media playlist around its segments
//! (draft-pantos-hls-rfc8216bis sections 4.4.3.7, 4.4.3.8, 4.4.5.3 and 4.4.5.4):
//! what the server promises, the part that comes next, and where the other
//! renditions are.

use std::fmt;
use std::time::Duration;

use rillcast_media::cmaf::{Snapshot, TrackWindow};

use super::media::Seconds;

/// What a session promises its players. It never changes within it: a
/// PART-TARGET that did would stop Apple's players for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// PART-HOLD-BACK of all renditions: the distance from the end that players keep.
    pub(crate) hold_back: Duration,
}

impl Terms {
    /// The terms of a session whose tracks are those of `snapshot`: `times` the
    /// longest PART-TARGET.
    pub(crate) fn of(snapshot: &Snapshot, times: f64) -> Self {
        let targets = snapshot.tracks.iter();
        let targets = targets.map(|track| track.part_target_duration);
        let longest = targets.max().unwrap_or_default();
        Self {
            hold_back: longest.mul_f64(times),
        }
    }
}

/// The head and the foot of one playlist.
#[derive(Clone, Debug)]
pub(crate) struct LowLatency {
    pub(crate) part_target: Duration,
    pub(crate) hold_back: Duration,
    /// CAN-SKIP-UNTIL: delta updates leave out what is further from the end.
    pub(crate) skip_until: Option<Duration>,
    /// The segment and the part that are cut next.
    pub(crate) next: (u64, u32),
    /// Where the other renditions are.
    pub(crate) reports: Vec<Report>,
}

/// One EXT-X-RENDITION-REPORT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// The file name of the rendition's playlist, in the same folder as this one.
    pub(crate) uri: String,
    /// The number of the last segment, an unfinished one included…
    pub(crate) segment: u64,
    /// … and the index of its last part.
    pub(crate) part: u32,
}

impl LowLatency {
    pub(super) fn of(snapshot: &Snapshot, track: &TrackWindow, terms: &Terms) -> Self {
        let others = snapshot.tracks.iter();
        let others = others.filter(|other| other.name != track.name);
        let boundary = snapshot.target_duration * SKIP_TARGETS;
        Self {
            part_target: track.part_target_duration,
            // A track that came after the terms were made may have longer parts.
            hold_back: terms.hold_back.max(track.part_target_duration * 2),
            skip_until: (snapshot.listing >= boundary).then_some(boundary),
            next: track.next,
            reports: others.filter_map(|other| Report::of(other)).collect(),
        }
    }

    /// EXT-X-SERVER-CONTROL and EXT-X-PART-INF.
    pub(super) fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hold_back = seconds(self.hold_back);
        write!(
            f,
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold_back}"
        )?;
        if let Some(boundary) = self.skip_until {
            write!(f, ",CAN-SKIP-UNTIL={}", seconds(boundary))?;
        }
        let target = seconds(self.part_target);
        writeln!(f, "\n#EXT-X-PART-INF:PART-TARGET={target}")
    }

    /// EXT-X-PRELOAD-HINT and EXT-X-RENDITION-REPORT.
    pub(super) fn write_foot(&self, base: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (segment, part) = self.next;
        writeln!(
            f,
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{base}{segment}.{part}.m4s\""
        )?;
        for Report { uri, segment, part } in &self.reports {
            writeln!(
                f,
                "#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={segment},LAST-PART={part}"
            )?;
        }
        Ok(())
    }
}

impl Report {
    /// `None` for a track of which nothing is there yet.
    fn of(track: &TrackWindow) -> Option<Self> {
        let (segment, part) = match (&track.open, track.segments.last()) {
            (Some(open), _) => (open.number, open.parts.len()),
            (None, Some(last)) => (last.number, last.parts.len()),
            (None, None) => return None,
        };
        Some(Self {
            uri: format!("{}.m3u8", track.name),
            segment,
            // A gap has no parts. What a player makes of this, the part after the
            // first, means the first one of the next segment.
            part: u32::try_from(part.saturating_sub(1)).unwrap_or(u32::MAX),
        })
    }
}

/// A duration in seconds, to the nearest microsecond as those of parts are.
fn seconds(duration: Duration) -> Seconds {
    let micros = duration.as_nanos().saturating_add(500) / 1_000;
    Seconds(u64::try_from(micros).unwrap_or(u64::MAX), 1_000_000)
}

/// CAN-SKIP-UNTIL in target durations: the least that there may be (section 4.4.3.8).
const SKIP_TARGETS: u32 = 6;
