//! AdaptationSets: the tracks of a Period, and where their segments are.

use std::fmt::Write as _;
use std::time::Duration;

use rillcast_core::{Codec, Colour, MediaKind, Timescale, Track};
use rillcast_media::cmaf::{Segment, Snapshot, TrackWindow};

use super::{Date, REFERENCE, listed, name};
use crate::timetable::{Cadence, Period};
use crate::xml::Document;

/// Tracks among which a player may switch: video of one codec, or one audio track.
pub(super) struct Set<'a> {
    snapshot: &'a Snapshot,
    low_latency: bool,
    /// The first of its kind, which plays unless somebody chooses.
    is_main: bool,
    representations: Vec<Representation<'a>>,
}

/// One track in one Period.
struct Representation<'a> {
    window: &'a TrackWindow,
    /// The track with the configuration that it has in the Period.
    track: &'a Track,
    config: u32,
    segments: Vec<&'a Segment>,
}

/// The sets of a Period: video first.
pub(super) fn sets<'a>(snapshot: &'a Snapshot, period: &Period, low_latency: bool) -> Vec<Set<'a>> {
    let mut sets: Vec<Set<'a>> = Vec::new();
    for window in snapshot.tracks.iter() {
        let Some(config) = period.config(&window.name) else {
            continue;
        };
        let Some(init) = window.init(config) else {
            continue;
        };
        let representation = Representation {
            window,
            track: &init.track,
            config,
            segments: listed(window, period),
        };
        let is_video = representation.track.kind() == MediaKind::Video;
        let fitting =
            |set: &&mut Set<'a>| is_video && set.codec() == Some(representation.track.codec);
        match sets.iter_mut().find(fitting) {
            Some(set) => set.representations.push(representation),
            None => {
                let kind = representation.track.kind();
                let is_main = !sets.iter().any(|set| set.kind() == Some(kind));
                sets.push(Set {
                    snapshot,
                    low_latency,
                    is_main,
                    representations: vec![representation],
                });
            }
        }
    }
    sets
}

impl Set<'_> {
    fn kind(&self) -> Option<MediaKind> {
        self.representations.first().map(|first| first.track.kind())
    }

    fn codec(&self) -> Option<Codec> {
        self.representations.first().map(|first| first.track.codec)
    }

    /// Writes it, with what connects it to the Period `before`.
    pub(super) fn write(&self, out: &mut Document, period: &Period, before: Option<&Period>) {
        let Some(first) = self.representations.first() else {
            return;
        };
        let track = first.track;
        out.element("AdaptationSet", |set| {
            set.attribute("id", u32::from(track.id.0) + 1);
            let kind = track.kind();
            set.attribute("contentType", kind);
            set.attribute("mimeType", format_args!("{kind}/mp4"));
            if let Some(language) = track.language.as_deref().filter(|it| is_language(it)) {
                set.attribute("lang", language);
            }
            set.attribute("segmentAlignment", true);
            if let Some(audio) = track.audio().filter(|audio| audio.channels > 0) {
                set.element("AudioChannelConfiguration", |channels| {
                    channels.attribute("schemeIdUri", CHANNELS);
                    channels.attribute("value", audio.channels);
                });
            }
            if let Some(colour) = self.colour() {
                write_colour(set, colour);
            }
            if let Some((scheme, before)) = self.link(period, before) {
                set.element("SupplementalProperty", |link| {
                    link.attribute("schemeIdUri", scheme);
                    link.attribute("value", name(before));
                });
            }
            if let Some(label) = &track.label {
                set.text_element("Label", label);
            }
            // dash.js takes the first of a manifest for all of it.
            if !period.is_empty() {
                self.write_reference(set, period);
            }
            set.element("Role", |role| {
                role.attribute("schemeIdUri", "urn:mpeg:dash:role:2011");
                role.attribute("value", if self.is_main { "main" } else { "alternate" });
            });
            for representation in &self.representations {
                representation.write(set, self, period);
            }
        });
    }

    /// How the colours of all its representations are meant, if they are meant alike.
    fn colour(&self) -> Option<Colour> {
        let of = |it: &Representation<'_>| it.track.video().and_then(|video| video.colour);
        let first = self.representations.first().and_then(of)?;
        let alike = self.representations.iter().all(|it| of(it) == Some(first));
        alike.then_some(first)
    }

    /// What a player may take for granted that comes from the Period before
    /// (ISO/IEC 23009-1, 5.3.2.4).
    fn link<'p>(
        &self,
        period: &Period,
        before: Option<&'p Period>,
    ) -> Option<(&'static str, &'p Period)> {
        let before = before?;
        let same = |one: &Representation<'_>| before.config(&one.window.name) == Some(one.config);
        if !self.representations.iter().all(same) {
            return None;
        }
        let scheme = match period.continuous {
            true => "urn:mpeg:dash:period-continuity:2015",
            false => "urn:mpeg:dash:period-connectivity:2015",
        };
        Some((scheme, before))
    }

    /// When what begins the Period was made: what a latency is measured by.
    fn write_reference(&self, set: &mut Document, period: &Period) {
        let (Some(anchor), Some(first)) = (self.snapshot.anchor, self.representations.first())
        else {
            return;
        };
        let Ok(after) = u64::try_from(period.start()) else {
            return;
        };
        let Some(date) = anchor.checked_add(Duration::from_nanos(after)) else {
            return;
        };
        set.element("ProducerReferenceTime", |reference| {
            reference.attribute("id", REFERENCE);
            // Each segment says it of its own begin (`prft`).
            reference.attribute("inband", true);
            reference.attribute("type", "encoder");
            reference.attribute("wallClockTime", Date(date));
            let begin = first.timescale(period).from_nanos(period.begin);
            reference.attribute("presentationTime", begin.max(0));
        });
    }
}

impl Representation<'_> {
    /// The ticks that its template counts in.
    fn timescale(&self, period: &Period) -> Timescale {
        let cadence = period.cadence.and_then(|it| Timescale::new(it.timescale));
        let own = self.segments.first().map(|segment| segment.timescale);
        cadence.or(own).unwrap_or(self.track.timescale)
    }

    fn write(&self, out: &mut Document, set: &Set<'_>, period: &Period) {
        out.element("Representation", |out| {
            out.attribute("id", &self.window.name);
            let rate = self.window.bit_rate;
            out.attribute("bandwidth", rate.peak.max(rate.average).max(1));
            if !self.track.codec_string.is_empty() {
                out.attribute("codecs", &self.track.codec_string);
            }
            if let Some(video) = self.track.video() {
                if video.width > 0 && video.height > 0 {
                    out.attribute("width", video.width);
                    out.attribute("height", video.height);
                }
                if let Some(rate) = self.window.frame_rate.or(video.frame_rate) {
                    match rate.den {
                        1 => out.attribute("frameRate", rate.num),
                        den => out.attribute("frameRate", format_args!("{}/{den}", rate.num)),
                    }
                }
            }
            if let Some(audio) = self.track.audio().filter(|audio| audio.sample_rate > 0) {
                out.attribute("audioSamplingRate", audio.sample_rate);
            }
            self.write_template(out, set, period);
        });
    }

    fn write_template(&self, out: &mut Document, set: &Set<'_>, period: &Period) {
        let timescale = self.timescale(period);
        out.element("SegmentTemplate", |template| {
            let base = base(set.snapshot, &self.window.name);
            template.attribute("timescale", timescale.hz());
            if let Some(cadence) = period.cadence {
                template.attribute("duration", cadence.duration);
            }
            let number = match period.cadence {
                Some(_) => period.first,
                None => self.segments.first().map_or(period.first, |it| it.number),
            };
            template.attribute("startNumber", number);
            let begin = timescale.from_nanos(period.begin);
            template.attribute("presentationTimeOffset", begin.max(0));
            if let Some(cadence) = period.cadence.filter(|_| set.low_latency) {
                self.write_availability(template, cadence);
            }
            template.attribute(
                "initialization",
                format_args!("{base}{}.init.mp4", self.config),
            );
            template.attribute("media", format_args!("{base}$Number$.m4s"));
            if period.cadence.is_none() {
                template.element("SegmentTimeline", |line| self.write_times(line));
            }
        });
    }

    /// From when on a segment can be asked for that is not complete: when its first
    /// part should be there.
    fn write_availability(&self, template: &mut Document, cadence: Cadence) {
        let length = Duration::from_nanos(u64::try_from(cadence.nanos(1)).unwrap_or(0));
        let early = length.saturating_sub(self.window.part_target_duration);
        let mut seconds = String::new();
        let micros = early.as_micros();
        // Writing to memory does not fail.
        let _ = write!(seconds, "{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        template.attribute(
            "availabilityTimeOffset",
            seconds.trim_end_matches('0').trim_end_matches('.'),
        );
        template.attribute("availabilityTimeComplete", false);
    }

    /// Each segment by its presentation time and how long it is until the next.
    fn write_times(&self, line: &mut Document) {
        let next = self.segments.iter().skip(1).map(Some).chain([None]);
        let mut times = self.segments.iter().zip(next).map(|(segment, next)| {
            let begin = segment.presentation.max(0);
            let length = i64::try_from(segment.duration).unwrap_or(i64::MAX);
            let end = next.map_or(begin.saturating_add(length), |next| next.presentation);
            (begin, end.saturating_sub(begin).max(1))
        });
        let mut expected = None;
        let mut waiting: Option<(i64, i64, u32)> = times.next().map(|(t, d)| (t, d, 0));
        let mut write = |(t, d, repeats): (i64, i64, u32)| {
            line.element("S", |s| {
                if expected != Some(t) {
                    s.attribute("t", t);
                }
                s.attribute("d", d);
                if repeats > 0 {
                    s.attribute("r", repeats);
                }
            });
            expected = Some(t + d * (i64::from(repeats) + 1));
        };
        for (t, d) in times {
            waiting = match waiting {
                Some((first, same, repeats))
                    if same == d && first + same * (i64::from(repeats) + 1) == t =>
                {
                    Some((first, same, repeats + 1))
                }
                other => {
                    other.into_iter().for_each(&mut write);
                    Some((t, d, 0))
                }
            };
        }
        waiting.into_iter().for_each(&mut write);
    }
}

/// How colours are meant (ISO/IEC 23091-1, section 5.5.3). There is no other rendition
/// to go to: who cannot show a high dynamic range shows it pale rather than not at all,
/// so these are no essential properties. What is unspecified is left out.
fn write_colour(set: &mut Document, colour: Colour) {
    for (scheme, value) in [
        ("urn:mpeg:mpegB:cicp:ColourPrimaries", colour.primaries),
        (
            "urn:mpeg:mpegB:cicp:TransferCharacteristics",
            colour.transfer,
        ),
        ("urn:mpeg:mpegB:cicp:MatrixCoefficients", colour.matrix),
    ] {
        if value != UNSPECIFIED {
            set.element("SupplementalProperty", |property| {
                property.attribute("schemeIdUri", scheme);
                property.attribute("value", value);
            });
        }
    }
}

/// Whether it is a language tag (xs:language): publishers may send anything.
fn is_language(text: &str) -> bool {
    let letters = |part: &str| part.bytes().all(|it| it.is_ascii_alphabetic());
    text.split('-').enumerate().all(|(index, part)| {
        (1..=8).contains(&part.len())
            && part.bytes().all(|it| it.is_ascii_alphanumeric())
            && (index > 0 || letters(part))
    })
}

/// The way from a manifest to a track's bytes: relative, so that a proxy may put
/// the server below a path of its own. There is no `$` in it, which would begin an
/// identifier (5.3.9.4.4): a key writes it as `%24`.
fn base(snapshot: &Snapshot, track: &str) -> String {
    let key = snapshot.key.url_path();
    format!("../../../cmaf/{key}/{}/{track}/", snapshot.session)
}

/// The code point of colours of which nothing is said.
const UNSPECIFIED: u8 = 2;

/// Channels by their number (ISO/IEC 23003-3).
const CHANNELS: &str = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_language_is_not_written_as_one() {
        for right in ["de", "deu", "zh-Hant-TW", "de-1996"] {
            assert!(is_language(right), "{right}");
        }
        for wrong in [
            "",
            "-",
            "de-",
            "deutschland",
            "d e",
            "1a",
            "de_CH",
            "\u{e4}",
        ] {
            assert!(!is_language(wrong), "{wrong}");
        }
    }

    #[test]
    fn colours_are_properties_without_what_is_unspecified() {
        for (colour, want) in [
            (Colour::new(9, 16, 9, false), &[9, 16, 9][..]),
            (Colour::new(9, 2, 9, false), &[9, 9]),
            (Colour::new(2, 2, 2, true), &[]),
        ] {
            let mut document = Document::new();
            document.element("AdaptationSet", |set| write_colour(set, colour));
            let text = document.finish();
            let values: Vec<u8> = text
                .split("value=\"")
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
                .collect();
            assert_eq!(values, want, "{text}");
            let said = text.contains("cicp:TransferCharacteristics");
            assert_eq!(said, want.len() == 3, "{text}");
        }
    }
}
