//! Frames in equal frames out: FFmpeg lists the access units of the published
//! file and those of the fetched segments, and the lists must be equal.
//!
//! Equal is what the media contract says: the same NAL units in the same order,
//! access unit delimiters, filler and parameter sets left out; DTS and PTS equal
//! up to one constant for the whole stream, audio within one tick (1 ms) of the
//! source's clock.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::playlist::Media;
use crate::http;
use crate::process::{Context, Failure, Result, Run, ensure, fail};

/// One access unit.
#[derive(Debug, PartialEq)]
pub(crate) struct Unit {
    /// In nanoseconds.
    dts: i128,
    pts: i128,
    size: String,
    hash: String,
}

/// Which track of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Video,
    Audio,
}

/// Leaves of H.264 what must be equal: 7 and 8 are the parameter sets, 9 is the
/// delimiter, 12 filler.
pub(crate) const H264: &str = "h264_mp4toannexb,filter_units=remove_types=7|8|9|12";

/// The access units of one track of a file with H.264 and AAC, as FFmpeg reads them.
pub(crate) fn units(file: &Path, kind: Kind) -> Result<Vec<Unit>> {
    let is_ts = file.extension().is_some_and(|it| it == "ts");
    let filter = match kind {
        Kind::Video => Some(H264),
        // Each frame has a header there, which the configuration stands for here.
        Kind::Audio => is_ts.then_some("aac_adtstoasc"),
    };
    units_by(file, kind, filter)
}

/// The same of any codec, through bitstream filters that leave what must be equal.
pub(crate) fn units_by(file: &Path, kind: Kind, filter: Option<&str>) -> Result<Vec<Unit>> {
    let map = match kind {
        Kind::Video => "0:v",
        Kind::Audio => "0:a",
    };
    let mut run = Run::new("ffmpeg")
        .args(["-v", "error", "-copyts", "-i"])
        .arg(file)
        .args(["-map", map, "-c", "copy"]);
    if let Some(filter) = filter {
        run = run.args(["-bsf", filter]);
    }
    let text = run
        .args(["-f", "framehash", "-hash", "md5", "-"])
        .output()?;
    parse(&text)
}

/// Moves them so that the first is presented at zero.
pub(crate) fn begin_at_zero(units: &mut [Unit]) {
    let by = units.first().map_or(0, |first| first.pts);
    for unit in units {
        unit.pts -= by;
        unit.dts -= by;
    }
}

/// Whether what is served lacks the first that was sent, and no more before it.
pub(crate) fn begins_later(sent: &[Unit], served: &[Unit]) -> bool {
    sent.len() == served.len() + 1
        && sent.get(1).map(|it| &it.hash) == served.first().map(|it| &it.hash)
}

/// How many of them begin in the last `time`.
pub(crate) fn last(units: &[Unit], time: Duration) -> usize {
    let end = units.iter().map(|it| it.dts).max().unwrap_or_default();
    let time = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    units.iter().filter(|it| end - it.dts < time).count()
}

/// Reads the framehash muxer's list: `stream, dts, pts, duration, size, hash`, and
/// what a container says beside (side data), which is not compared.
fn parse(text: &str) -> Result<Vec<Unit>> {
    let mut tick = None;
    let mut units = Vec::new();
    for line in text.lines() {
        if let Some(base) = line.strip_prefix("#tb 0:") {
            let (num, den) = base.trim().split_once('/').unwrap_or_default();
            tick = Some((number(num)?, number(den)?));
        }
        if line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let (Some((num, den)), [_, dts, pts, _, size, hash, ..]) = (tick, fields.as_slice()) else {
            fail!("not a line of a framehash: {line}");
        };
        let nanos =
            |ticks: &str| -> Result<i128> { Ok(number(ticks)? * num * 1_000_000_000 / den) };
        units.push(Unit {
            dts: nanos(dts)?,
            pts: nanos(pts)?,
            size: (*size).to_owned(),
            hash: (*hash).to_owned(),
        });
    }
    Ok(units)
}

fn number(text: &str) -> Result<i128> {
    text.trim()
        .parse()
        .map_err(|_| Failure::new(format!("`{text}` is no number")))
}

/// Compares the published units with the served ones and returns the offset of
/// the served clock in nanoseconds.
pub(crate) fn compare(
    kind: Kind,
    sent: &[Unit],
    served: &[Unit],
    offset: Option<i128>,
) -> Result<i128> {
    // Half a tick of 90 kHz for FFmpeg's own rounding; the audio's source tick is 1 ms.
    let tolerance = match kind {
        Kind::Video => 6_000,
        Kind::Audio => 1_000_000,
    };
    compare_within(kind, sent, served, offset, tolerance)
}

/// The same with times that may be off by so many nanoseconds.
pub(crate) fn compare_within(
    kind: Kind,
    sent: &[Unit],
    served: &[Unit],
    offset: Option<i128>,
    tolerance: i128,
) -> Result<i128> {
    let same = sent
        .iter()
        .zip(served)
        .take_while(|(a, b)| a.hash == b.hash);
    let alike = same.count();
    ensure!(
        sent.len() == served.len(),
        "{kind:?}: {} access units were published, {} served, of which the first {alike} are equal",
        sent.len(),
        served.len()
    );
    let (Some(first_sent), Some(first_served)) = (sent.first(), served.first()) else {
        fail!("{kind:?}: there is no access unit");
    };
    let offset = offset.unwrap_or(first_served.dts - first_sent.dts);
    for (i, (a, b)) in sent.iter().zip(served).enumerate() {
        ensure!(
            a.hash == b.hash && a.size == b.size,
            "{kind:?}: access unit {i} of {} differs: {} bytes published, {} served",
            sent.len(),
            a.size,
            b.size
        );
        let off = |sent: i128, served: i128| (served - sent - offset).abs();
        ensure!(
            off(a.dts, b.dts) <= tolerance && off(a.pts, b.pts) <= tolerance,
            "{kind:?}: access unit {i}: DTS {} and PTS {} were served as {} and {}, the offset is {offset} (ns)",
            a.dts,
            a.pts,
            b.dts,
            b.pts
        );
    }
    Ok(offset)
}

/// Collects the segments of one media playlist while they are served.
pub(crate) struct Collector {
    path: String,
    init: Vec<u8>,
    map: String,
    segments: BTreeMap<u64, Vec<u8>>,
}

impl Collector {
    pub(crate) fn new(path: String) -> Self {
        Self {
            path,
            init: Vec::new(),
            map: String::new(),
            segments: BTreeMap::new(),
        }
    }

    /// Fetches what is listed and not here yet; returns whether the list has ended.
    pub(crate) fn poll(&mut self, server: &str) -> Result<bool> {
        let playlist = Media::fetch(server, &self.path)?;
        playlist.check()?;
        for (segment, number) in playlist.segments.iter().zip(playlist.sequence..) {
            ensure!(
                !segment.discontinuity,
                "{}: a discontinuity before {number}",
                self.path
            );
            if self.map.is_empty() {
                self.init = http::get(server, &segment.map)?.body;
                self.map.clone_from(&segment.map);
            }
            ensure!(
                self.map == segment.map,
                "{}: the configuration changed at {number}",
                self.path
            );
            if self.segments.contains_key(&number) {
                continue;
            }
            if let Some((last, _)) = self.segments.last_key_value() {
                ensure!(number == last + 1, "{}: {number} follows {last}", self.path);
            }
            self.segments
                .insert(number, http::get(server, &segment.path)?.body);
        }
        Ok(playlist.ended)
    }

    pub(crate) fn count(&self) -> usize {
        self.segments.len()
    }

    /// Writes everything as one file.
    pub(crate) fn write(&self, file: &Path) -> Result {
        let mut bytes = self.init.clone();
        for segment in self.segments.values() {
            bytes.extend_from_slice(segment);
        }
        fs::write(file, bytes).context(file.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(dts: i128, pts: i128, hash: &str) -> Unit {
        Unit {
            dts,
            pts,
            size: "1".into(),
            hash: hash.into(),
        }
    }

    #[test]
    fn a_framehash_is_read_in_nanoseconds() {
        let text =
            "#tb 0: 1/1000\n#media_type 0: video\n0,         40,        120,       40,     1, ab\n";
        assert_eq!(parse(text).unwrap(), [unit(40_000_000, 120_000_000, "ab")]);
    }

    #[test]
    fn one_offset_is_allowed_and_nothing_else() {
        let sent = [unit(0, 80, "a"), unit(40, 120, "b")];
        assert_eq!(
            compare(
                Kind::Video,
                &sent,
                &[unit(7, 87, "a"), unit(47, 127, "b")],
                None
            )
            .unwrap(),
            7
        );
        for wrong in [
            vec![unit(0, 80, "a")],
            vec![unit(0, 80, "a"), unit(40, 120, "c")],
            vec![unit(0, 80, "a"), unit(40_000, 120, "b")],
        ] {
            assert!(compare(Kind::Video, &sent, &wrong, None).is_err());
        }
    }
}
