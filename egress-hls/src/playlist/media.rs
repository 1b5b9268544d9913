//! Media playlists: one track's segments as RFC 8216 section 4.3 lists them.
//!
//! [`MediaPlaylist::of`] takes what is listed out of a window, its `Display`
//! writes it. Between the two stands plain data, so that the writer is tested
//! on windows that no encoder would ever make.

use std::fmt;
use std::time::SystemTime;

use jiff::Timestamp;
use rillcast_media::cmaf::{Snapshot, TrackWindow};

use super::{VERSION, VERSION_WITH_GAP};

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
    /// Whether nothing follows.
    pub(crate) ended: bool,
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
}

impl MediaPlaylist {
    /// What is listed of one track of a window.
    pub(crate) fn of(snapshot: &Snapshot, track: &TrackWindow) -> Self {
        let entries = track.listed().iter().map(|segment| Entry {
            number: segment.number,
            duration: segment.duration,
            timescale: segment.timescale.hz(),
            discontinuity: segment.discontinuity,
            config: segment.config,
            gap: segment.gap,
            date: snapshot.program_date_time(segment),
        });
        Self {
            target_duration: snapshot.target_duration.as_secs(),
            discontinuity_sequence: track.discontinuity_sequence(),
            base: base(&snapshot.key.url_path(), &snapshot.session, &track.name),
            entries: entries.collect(),
            ended: snapshot.is_ended(),
        }
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
        let version = if gaps { VERSION_WITH_GAP } else { VERSION };
        let sequence = self.entries.first().map_or(0, |entry| entry.number);
        writeln!(f, "#EXTM3U")?;
        writeln!(f, "#EXT-X-VERSION:{version}")?;
        writeln!(f, "#EXT-X-TARGETDURATION:{}", self.target_duration)?;
        writeln!(f, "#EXT-X-MEDIA-SEQUENCE:{sequence}")?;
        let discontinuities = self.discontinuity_sequence;
        writeln!(f, "#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}")?;
        let mut map = None;
        for entry in &self.entries {
            if entry.discontinuity {
                writeln!(f, "#EXT-X-DISCONTINUITY")?;
            }
            // A map holds until the next one, across discontinuities too.
            if map != Some(entry.config) {
                map = Some(entry.config);
                let (base, config) = (&self.base, entry.config);
                writeln!(f, "#EXT-X-MAP:URI=\"{base}{config}.init.mp4\"")?;
            }
            entry.write(&self.base, f)?;
        }
        if self.ended {
            writeln!(f, "#EXT-X-ENDLIST")?;
        }
        Ok(())
    }
}

impl Entry {
    /// Everything that belongs to this segment alone.
    fn write(&self, base: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // On every segment: a reader that joins anywhere, or that sees a part of
        // the list only, needs no sums.
        let date = self.date.and_then(|date| Timestamp::try_from(date).ok());
        if let Some(date) = date {
            writeln!(f, "#EXT-X-PROGRAM-DATE-TIME:{date:.3}")?;
        }
        if self.gap {
            writeln!(f, "#EXT-X-GAP")?;
        }
        let seconds = Seconds(self.duration, self.timescale);
        writeln!(f, "#EXTINF:{seconds},\n{base}{}.m4s", self.number)
    }
}

/// Ticks of a timescale as decimal seconds: exact where six digits suffice, else
/// rounded to the nearest microsecond. Never through floating point, in which
/// half of the durations of 29.97 frames per second cannot be written.
struct Seconds(u64, u32);

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
