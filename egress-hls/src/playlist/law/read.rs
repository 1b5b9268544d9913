//! What one playlist alone may say.

use jiff::{SignedDuration, Timestamp};

use super::{
    PART_TARGETS, Parsed, ParsedControl, ParsedPart, ParsedReport, ParsedSegment, Violation, law,
};

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
    part_target: Option<u64>,
    control: Option<ParsedControl>,
}

/// Tags of a segment in the only order that every player was seen to read.
const SEGMENT_ORDER: [&str; 6] = [
    "EXT-X-DISCONTINUITY",
    "EXT-X-MAP",
    "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-GAP",
    PART,
    "EXTINF",
];

const PART: &str = "EXT-X-PART";
const REPORT: &str = "EXT-X-RENDITION-REPORT";

/// Tags behind the last segment, in this order.
const FOOT_ORDER: [&str; 3] = ["EXT-X-PRELOAD-HINT", REPORT, "EXT-X-ENDLIST"];

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
            name == REPORT || !self.header.iter().any(|seen| seen == name),
            "{name} comes twice"
        );
        if FOOT_ORDER.contains(&name) {
            self.foot(name)?;
        } else {
            let in_header = self.parsed.segments.is_empty() && self.tags.is_empty();
            law!(
                in_header && self.footer().is_none(),
                "{name} stands behind the first segment's tags"
            );
        }
        self.header.push(name.to_owned());
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
            "EXT-X-SERVER-CONTROL" => self.server_control(value)?,
            "EXT-X-PART-INF" => {
                let target = seconds(name, value, "PART-TARGET")?;
                // A segment of one part may round down to the target duration.
                law!(
                    (target + 500_000) / 1_000_000 <= self.parsed.target_duration,
                    "PART-TARGET is above EXT-X-TARGETDURATION, or before it"
                );
                self.part_target = Some(target);
            }
            "EXT-X-SKIP" => {
                let skipped = attribute(value, "SKIPPED-SEGMENTS").unwrap_or_default();
                self.parsed.skipped = number(name, skipped)?;
                law!(self.parsed.skipped > 0, "EXT-X-SKIP skips nothing");
            }
            "EXT-X-PRELOAD-HINT" => {
                let part = attribute(value, "TYPE") == Some("PART");
                law!(part, "a hint for something that is no part: {value}");
                self.parsed.hint = Some(address(name, value)?);
            }
            REPORT => {
                let last = |key| number(name, attribute(value, key).unwrap_or_default());
                self.parsed.reports.push(ParsedReport {
                    uri: address(name, value)?,
                    last: (last("LAST-MSN")?, last("LAST-PART")?),
                });
            }
            "EXT-X-ENDLIST" => self.parsed.ended = true,
            _ => return Err(Violation::new(format_args!("an unknown tag: {name}"))),
        }
        Ok(())
    }

    /// The last tag of the foot that was seen.
    fn footer(&self) -> Option<&str> {
        let last = self.header.last()?;
        FOOT_ORDER.contains(&last.as_str()).then_some(last)
    }

    /// A tag behind all segments: one of which only parts are there ends before it.
    fn foot(&mut self, name: &str) -> Result<(), Violation> {
        let rank = |name: &str| FOOT_ORDER.iter().position(|known| *known == name);
        law!(
            self.footer().is_none_or(|last| rank(last) <= rank(name)),
            "{name} stands behind {:?}",
            self.footer()
        );
        if self.tags.is_empty() {
            return Ok(());
        }
        law!(
            name != "EXT-X-ENDLIST" && self.tags.last().is_some_and(|last| last == PART),
            "{name} cuts a segment's tags off"
        );
        self.tags.clear();
        let mut open = std::mem::take(&mut self.segment);
        open.map = self.map.clone().unwrap_or_default();
        law!(!open.map.is_empty(), "the open segment has no EXT-X-MAP");
        self.follows(&open)?;
        self.parsed.open = Some(open);
        Ok(())
    }

    fn server_control(&mut self, value: &str) -> Result<(), Violation> {
        let name = "EXT-X-SERVER-CONTROL";
        law!(
            attribute(value, "CAN-BLOCK-RELOAD") == Some("YES"),
            "low latency without CAN-BLOCK-RELOAD"
        );
        let skip = attribute(value, "CAN-SKIP-UNTIL");
        let skip = skip.map(|_| seconds(name, value, "CAN-SKIP-UNTIL"));
        self.control = Some(ParsedControl {
            part_target: 0,
            part_hold_back: seconds(name, value, "PART-HOLD-BACK")?,
            can_skip_until: skip.transpose()?,
        });
        Ok(())
    }

    fn segment_tag(&mut self, name: &str, value: &str) -> Result<(), Violation> {
        let rank = |name: &str| SEGMENT_ORDER.iter().position(|known| *known == name);
        let last = self.tags.last().and_then(|last| rank(last));
        let again = name == PART && self.tags.last().is_some_and(|last| last == PART);
        law!(
            again || last.is_none_or(|last| rank(name) > Some(last)),
            "{name} stands behind {:?}",
            self.tags.last()
        );
        law!(
            self.footer().is_none(),
            "{name} stands behind {:?}",
            self.footer()
        );
        self.tags.push(name.to_owned());
        match name {
            "EXT-X-DISCONTINUITY" => self.segment.discontinuity = true,
            "EXT-X-GAP" => self.segment.gap = true,
            "EXT-X-MAP" => {
                let uri = Some(address(name, value)?);
                law!(uri != self.map, "EXT-X-MAP repeats {value}");
                self.map = uri;
            }
            "EXT-X-PROGRAM-DATE-TIME" => {
                let date = value.parse::<Timestamp>();
                law!(date.is_ok(), "no date: {value:?}");
                self.segment.date = date.ok();
            }
            PART => self.part(value)?,
            _ => {
                let micros = value.strip_suffix(',').and_then(micros);
                law!(micros.is_some(), "no EXTINF: {value:?}");
                self.segment.micros = micros.unwrap_or_default();
            }
        }
        Ok(())
    }

    fn part(&mut self, value: &str) -> Result<(), Violation> {
        let part = ParsedPart {
            micros: seconds(PART, value, "DURATION")?,
            uri: address(PART, value)?,
            independent: attribute(value, "INDEPENDENT") == Some("YES"),
        };
        let target = self.part_target.unwrap_or_default();
        let uri = &part.uri;
        law!(target > 0, "{uri} is a part, and there is no PART-TARGET");
        law!(!self.segment.gap, "{uri} is a part of a gap");
        law!(
            part.micros <= target && part.micros > 0,
            "{uri} lasts {} µs, PART-TARGET is {target} µs",
            part.micros
        );
        if let Some(last) = self.segment.parts.last() {
            // Only the last part of a segment, or one before a keyframe, may be shorter.
            law!(
                part.independent || u128::from(last.micros) * 100 >= u128::from(target) * 85,
                "{} lasts {} µs, less than 85 % of {target} µs",
                last.uri,
                last.micros
            );
        }
        let all = self.parsed.segments.iter().chain([&self.segment]);
        let again = all
            .flat_map(|segment| &segment.parts)
            .any(|known| known.uri == *uri);
        law!(!again, "the part {uri} is listed twice");
        self.segment.parts.push(part);
        Ok(())
    }

    fn address(&mut self, line: &str) -> Result<(), Violation> {
        law!(
            self.tags.last().is_some_and(|last| last == "EXTINF"),
            "{line} has no EXTINF right before it"
        );
        let is_transport = line.split('?').next().is_some_and(|it| it.ends_with(".ts"));
        law!(
            self.map.is_some() != is_transport,
            "{line} has no EXT-X-MAP, or one though it is MPEG-TS"
        );
        let map = self.map.clone().unwrap_or_default();
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
        if !segment.parts.is_empty() {
            let parts = segment.parts.iter();
            let sum: u64 = parts.map(|part| part.micros).sum();
            let rounding = u64::try_from(segment.parts.len()).unwrap_or(u64::MAX) + 1;
            law!(
                sum.abs_diff(segment.micros) <= rounding,
                "the parts of {line} last {sum} µs, the segment {} µs",
                segment.micros
            );
        }
        self.follows(&segment)?;
        self.parsed.segments.push(segment);
        Ok(())
    }

    /// Whether `segment` may stand behind the last one.
    fn follows(&self, segment: &ParsedSegment) -> Result<(), Violation> {
        let Some(last) = self.parsed.segments.last() else {
            return Ok(());
        };
        let uri = &segment.uri;
        law!(last.uri != *uri, "{uri} is listed twice");
        law!(
            last.map == segment.map || segment.discontinuity,
            "EXT-X-MAP changes at {uri} without a discontinuity"
        );
        law!(
            last.date.is_some() == segment.date.is_some(),
            "some segments have dates and some have none"
        );
        dates(last, segment)
    }

    fn finish(mut self) -> Result<Parsed, Violation> {
        law!(self.tags.is_empty(), "tags at the end belong to no segment");
        law!(
            self.control.is_some() == self.part_target.is_some(),
            "EXT-X-SERVER-CONTROL and EXT-X-PART-INF go together"
        );
        if let (Some(control), Some(part_target)) = (self.control, self.part_target) {
            self.parsed.control = Some(ParsedControl {
                part_target,
                ..control
            });
        }
        let parsed = self.parsed;
        law!(
            parsed.target_duration > 0,
            "there is no EXT-X-TARGETDURATION"
        );
        law!(!parsed.segments.is_empty(), "there are no segments");
        let gaps = parsed.segments.iter().any(|segment| segment.gap);
        let mapped = parsed
            .segments
            .iter()
            .any(|segment| !segment.map.is_empty());
        let need = match gaps {
            _ if parsed.skipped > 0 => 9,
            true => 8,
            false if mapped => 6,
            // For durations with decimals.
            false => 3,
        };
        law!(
            parsed.version >= need,
            "EXT-X-VERSION is {}, the tags need {need}",
            parsed.version
        );
        match &parsed.control {
            Some(control) => parsed.low_latency(control)?,
            None => {
                let any = parsed.hint.is_some() || !parsed.reports.is_empty();
                law!(
                    !any && parsed.skipped == 0,
                    "low latency without EXT-X-SERVER-CONTROL"
                );
            }
        }
        Ok(parsed)
    }
}

impl Parsed {
    /// The laws of a low-latency playlist as a whole.
    fn low_latency(&self, control: &ParsedControl) -> Result<(), Violation> {
        let target = self.target_duration.saturating_mul(1_000_000);
        law!(
            control.part_hold_back >= control.part_target * 2,
            "PART-HOLD-BACK is {} µs, less than two PART-TARGETs of {} µs",
            control.part_hold_back,
            control.part_target
        );
        law!(
            control
                .can_skip_until
                .is_none_or(|until| until >= target * 6),
            "CAN-SKIP-UNTIL is less than six target durations"
        );
        law!(
            self.hint.is_some() != self.ended,
            "a live playlist has a hint, an ended one has none"
        );
        let segments = || self.segments.iter().chain(&self.open);
        let listed = |part: &ParsedPart| Some(&part.uri) == self.hint.as_ref();
        law!(
            !segments().any(|segment| segment.parts.iter().any(listed)),
            "the hint is for a part that is there"
        );
        // Parts stay for three target durations from the end.
        let mut behind = 0;
        for segment in segments().rev() {
            // Each duration is rounded.
            if behind + 1_000 >= target * PART_TARGETS {
                break;
            }
            law!(
                segment.gap || !segment.parts.is_empty(),
                "{} has no parts, {behind} µs from the end",
                segment.uri
            );
            behind += segment.micros;
            if segment.uri.is_empty() {
                behind += segment.parts.iter().map(|part| part.micros).sum::<u64>();
            }
        }
        if self.skipped > 0 {
            let kept: u64 = self.segments.iter().map(|segment| segment.micros).sum();
            let rounding = u64::try_from(self.segments.len()).unwrap_or(u64::MAX);
            law!(
                control
                    .can_skip_until
                    .is_some_and(|until| kept + rounding >= until),
                "EXT-X-SKIP leaves {kept} µs, CAN-SKIP-UNTIL is {:?}",
                control.can_skip_until
            );
        }
        Ok(())
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

/// The value of an attribute, without its quotes. No value of ours has a comma in it.
fn attribute<'t>(list: &'t str, name: &str) -> Option<&'t str> {
    let mut pairs = list.split(',').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    Some(value.trim_matches('"'))
}

fn address(tag: &str, list: &str) -> Result<String, Violation> {
    let uri = attribute(list, "URI").filter(|uri| !uri.is_empty());
    law!(uri.is_some(), "{tag} without an address: {list:?}");
    Ok(uri.unwrap_or_default().to_owned())
}

fn seconds(tag: &str, list: &str, name: &str) -> Result<u64, Violation> {
    let micros = attribute(list, name).and_then(micros);
    law!(micros.is_some(), "{tag} without {name}: {list:?}");
    Ok(micros.unwrap_or_default())
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
