//! Media playlists: one track's segments as RFC 8216 section 4.3 lists them,
//! and its parts as draft-pantos-hls-rfc8216bis does.
//!
//! [`MediaPlaylist::of`] takes what is listed out of a window, its `Display`
//! writes it. Between the two stands plain data, so that the writer is tested
//! on windows that no encoder would ever make. What low latency adds to the head
//! and the foot of a playlist is in [`super::low_latency`].

use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rillcast_media::cmaf::{Segment, Snapshot, TrackWindow, Transport};

use super::low_latency::{LowLatency, Terms};
use super::{VERSION, VERSION_LOW_LATENCY, VERSION_TS, VERSION_WITH_GAP};

/// One track's playlist, before it is written.
#[derive(Clone, Debug)]
pub(crate) struct MediaPlaylist {
    /// EXT-X-TARGETDURATION in seconds.
    pub(crate) target_duration: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE: the discontinuities that have left the list.
    pub(crate) discontinuity_sequence: u64,
    /// What stands before the file name of every segment.
    pub(crate) base: String,
    /// The segments, with consecutive numbers; EXT-X-MEDIA-SEQUENCE is the
    /// number of the first.
    pub(crate) entries: Vec<Entry>,
    /// The first of them that are left out of a delta update.
    pub(crate) skipped: usize,
    /// What players need that are less than a segment behind.
    pub(crate) low_latency: Option<LowLatency>,
    /// Whether nothing follows.
    pub(crate) ended: bool,
    /// Whether its segments are MPEG-TS, which needs no initialisation segments.
    pub(crate) transport: bool,
}

/// One segment of a [`MediaPlaylist`].
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    /// Duration in ticks.
    pub(crate) duration: u64,
    /// Ticks per second.
    pub(crate) timescale: u32,
    /// Whether time or configuration break before it.
    pub(crate) discontinuity: bool,
    /// The initialisation segment that it needs.
    pub(crate) config: u32,
    /// Whether there is no media.
    pub(crate) gap: bool,
    /// When its presentation begins.
    pub(crate) date: Option<SystemTime>,
    /// Its parts, if they are listed.
    pub(crate) parts: Vec<Part>,
    /// Whether all of it is there. Only the last entry may not be, and only
    /// with low latency.
    pub(crate) complete: bool,
}

/// One part of an [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Duration in ticks.
    pub(crate) duration: u64,
    /// Whether it begins with a keyframe.
    pub(crate) independent: bool,
}

impl MediaPlaylist {
    /// What is listed of one track of a window, with parts if there are `terms`
    /// for low latency.
    pub(crate) fn of(snapshot: &Snapshot, track: &TrackWindow, terms: Option<&Terms>) -> Self {
        let entry = |segment: &Segment| Entry::of(snapshot, segment);
        let listed = track.listed();
        let mut playlist = Self {
            target_duration: snapshot.target_duration.as_secs(),
            discontinuity_sequence: track.discontinuity_sequence(),
            base: base(&snapshot.key.url_path(), &snapshot.session, &track.name),
            entries: listed.iter().map(|segment| entry(segment)).collect(),
            skipped: 0,
            low_latency: None,
            ended: snapshot.is_ended(),
            transport: false,
        };
        let Some(terms) = terms else {
            return playlist;
        };
        playlist.low_latency = Some(LowLatency::of(snapshot, track, terms));
        let open = track.open.as_ref().filter(|_| !playlist.ended);
        playlist.entries.extend(open.map(|open| entry(open)));
        // Parts are listed up to three target durations from the end.
        let mut left = snapshot.target_duration * 3;
        let segments = listed.iter().chain(open).rev();
        for (entry, segment) in playlist.entries.iter_mut().rev().zip(segments) {
            let parts = segment.parts.iter().map(|part| Part {
                duration: part.duration,
                independent: part.independent,
            });
            entry.parts = parts.collect();
            left = left.saturating_sub(segment.length());
            if left.is_zero() {
                break;
            }
        }
        playlist
    }

    /// What is listed of a transport stream that is named after `track`.
    pub(crate) fn of_transport(
        snapshot: &Snapshot,
        track: &TrackWindow,
        transport: &Transport,
    ) -> Self {
        let entry = |segment: &Segment| Entry {
            gap: transport.is_gap(snapshot, segment.number),
            complete: true,
            ..Entry::of(snapshot, segment)
        };
        let listed = transport.listed(snapshot).iter();
        Self {
            target_duration: snapshot.target_duration.as_secs(),
            discontinuity_sequence: track.discontinuity_sequence(),
            base: format!("{}/", track.name),
            entries: listed.map(|segment| entry(segment)).collect(),
            skipped: 0,
            low_latency: None,
            ended: snapshot.is_ended(),
            transport: true,
        }
    }

    /// The same as a delta update: without the segments that are further from
    /// the end than the skip boundary. `None` if there are none, or players were
    /// not told of a boundary.
    pub(crate) fn delta(&self) -> Option<Self> {
        let boundary = self.low_latency.as_ref()?.skip_until?;
        let mut kept = Duration::ZERO;
        let mut complete = self.entries.iter().rev();
        // An open segment may be thought of as behind the end or before it: both
        // are right if it is not counted.
        let skipped = loop {
            let Some(entry) = complete.next() else {
                break 0;
            };
            if kept >= boundary {
                break complete.len() + 1;
            }
            if entry.complete {
                kept += entry.length();
            }
        };
        (skipped > 0).then(|| Self {
            skipped,
            ..self.clone()
        })
    }
}

/// The way from a media playlist to its bytes: relative, so that a proxy may
/// put the server below a path of its own.
fn base(key: &str, session: &str, track: &str) -> String {
    format!("../../../../cmaf/{key}/{session}/{track}/")
}

impl fmt::Display for MediaPlaylist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gaps = self.entries.iter().any(|entry| entry.gap);
        let version = match &self.low_latency {
            Some(_) => VERSION_LOW_LATENCY,
            None if gaps => VERSION_WITH_GAP,
            None if self.transport => VERSION_TS,
            None => VERSION,
        };
        let sequence = self.entries.first().map_or(0, |entry| entry.number);
        writeln!(f, "#EXTM3U")?;
        writeln!(f, "#EXT-X-VERSION:{version}")?;
        writeln!(f, "#EXT-X-TARGETDURATION:{}", self.target_duration)?;
        if let Some(low_latency) = &self.low_latency {
            low_latency.write_head(f)?;
        }
        writeln!(f, "#EXT-X-MEDIA-SEQUENCE:{sequence}")?;
        let discontinuities = self.discontinuity_sequence;
        writeln!(f, "#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}")?;
        if self.skipped > 0 {
            writeln!(f, "#EXT-X-SKIP:SKIPPED-SEGMENTS={}", self.skipped)?;
        }
        // Behind skipped segments the map is written again: it may have changed
        // among them, and nobody must need to know.
        let mut map = None;
        for entry in self.entries.iter().skip(self.skipped) {
            if entry.discontinuity {
                writeln!(f, "#EXT-X-DISCONTINUITY")?;
            }
            // A map holds until the next one, across discontinuities too.
            if !self.transport && map != Some(entry.config) {
                map = Some(entry.config);
                let (base, config) = (&self.base, entry.config);
                writeln!(f, "#EXT-X-MAP:URI=\"{base}{config}.init.mp4\"")?;
            }
            entry.write(&self.base, self.extension(), f)?;
        }
        if let Some(low_latency) = self.low_latency.as_ref().filter(|_| !self.ended) {
            low_latency.write_foot(&self.base, f)?;
        }
        if self.ended {
            writeln!(f, "#EXT-X-ENDLIST")?;
        }
        Ok(())
    }
}

impl MediaPlaylist {
    /// What the names of its segments end with.
    const fn extension(&self) -> &'static str {
        if self.transport { "ts" } else { "m4s" }
    }
}

impl Entry {
    fn of(snapshot: &Snapshot, segment: &Segment) -> Self {
        Self {
            number: segment.number,
            duration: segment.duration,
            timescale: segment.timescale.hz(),
            discontinuity: segment.discontinuity,
            config: segment.config,
            gap: segment.gap,
            date: snapshot.program_date_time(segment),
            parts: Vec::new(),
            complete: segment.complete,
        }
    }

    fn length(&self) -> Duration {
        let nanos = u128::from(self.duration) * 1_000_000_000 / u128::from(self.timescale.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Everything that belongs to this segment alone.
    fn write(&self, base: &str, extension: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // On every segment: a reader that joins anywhere, or that sees a part of
        // the list only, needs no sums.
        let date = self.date.and_then(|date| Timestamp::try_from(date).ok());
        if let Some(date) = date {
            writeln!(f, "#EXT-X-PROGRAM-DATE-TIME:{date:.3}")?;
        }
        if self.gap {
            writeln!(f, "#EXT-X-GAP")?;
        }
        let number = self.number;
        for (index, part) in self.parts.iter().enumerate() {
            let seconds = Seconds(part.duration, self.timescale);
            let independent = if part.independent {
                ",INDEPENDENT=YES"
            } else {
                ""
            };
            writeln!(
                f,
                "#EXT-X-PART:DURATION={seconds},URI=\"{base}{number}.{index}.m4s\"{independent}"
            )?;
        }
        if !self.complete {
            return Ok(());
        }
        let seconds = Seconds(self.duration, self.timescale);
        writeln!(f, "#EXTINF:{seconds},\n{base}{number}.{extension}")
    }
}

/// Ticks of a timescale as decimal seconds: exact where six digits suffice, else
/// rounded to the nearest microsecond. Never through floating point, in which
/// half of the durations of 29.97 frames per second cannot be written.
pub(super) struct Seconds(pub(super) u64, pub(super) u32);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = u128::from(self.1.max(1));
        let micros = (u128::from(self.0) * 1_000_000 + scale / 2) / scale;
        write!(f, "{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact_or_rounded_to_the_microsecond() {
        for (ticks, scale, want) in [
            (0, 90_000, "0.000000"),
            (180_000, 90_000, "2.000000"),
            (180_180, 90_000, "2.002000"),
            (3_003, 90_000, "0.033367"),
            (1_024 * 87, 44_100, "2.020136"),
            (1_024 * 94, 48_000, "2.005333"),
            (44_099, 44_100, "0.999977"),
            (8_999_999, 9_000_000, "1.000000"),
            (u64::MAX, 1, "18446744073709551615.000000"),
            (1, 0, "1.000000"),
        ] {
            assert_eq!(Seconds(ticks, scale).to_string(), want, "{ticks}/{scale}");
        }
    }
}
