//! What the schema of ISO/IEC 23009-1 (annex B) asks of the elements that manifests
//! are made of: which attributes of which type, which of them must be there, which
//! children in which order, which hold text. Elements that are never written are not in the table,
//! and are refused.

use std::iter::Peekable;

/// An element as the schema knows it.
struct Rule {
    name: &'static str,
    /// Name, type, and whether it must be there.
    attributes: &'static [(&'static str, Type, bool)],
    /// In their order, each with how often it may come.
    children: &'static [(&'static str, Often)],
}

/// The simple types that are used.
#[derive(Clone, Copy, Debug)]
enum Type {
    Text,
    /// A string without white space.
    Word,
    Uint,
    Ulong,
    Integer,
    Double,
    Bool,
    /// `xs:unsignedInt` or `xs:boolean`.
    UintOrBool,
    Duration,
    Date,
    Uri,
    Language,
    FrameRate,
    /// One or two `xs:unsignedInt`.
    Rates,
    OneOf(&'static [&'static str]),
}

#[derive(Clone, Copy, PartialEq)]
enum Often {
    Maybe,
    Any,
    Some,
}

use Often::{Any, Maybe, Some as AtLeastOne};
use Type::{
    Bool, Date, Double, Duration, FrameRate, Integer, Language, OneOf, Rates, Text, Uint,
    UintOrBool, Ulong, Uri, Word,
};

const DESCRIPTOR: &[(&str, Type, bool)] = &[
    ("schemeIdUri", Uri, true),
    ("value", Text, false),
    ("id", Text, false),
];

const RULES: &[Rule] = &[
    Rule {
        name: "MPD",
        attributes: &[
            ("xmlns", OneOf(&["urn:mpeg:dash:schema:mpd:2011"]), true),
            ("id", Text, false),
            ("profiles", Word, true),
            ("type", OneOf(&["static", "dynamic"]), false),
            ("availabilityStartTime", Date, false),
            ("availabilityEndTime", Date, false),
            ("publishTime", Date, false),
            ("mediaPresentationDuration", Duration, false),
            ("minimumUpdatePeriod", Duration, false),
            ("minBufferTime", Duration, true),
            ("timeShiftBufferDepth", Duration, false),
            ("suggestedPresentationDelay", Duration, false),
            ("maxSegmentDuration", Duration, false),
        ],
        children: &[
            ("ServiceDescription", Any),
            ("Period", AtLeastOne),
            ("UTCTiming", Any),
        ],
    },
    Rule {
        name: "ServiceDescription",
        attributes: &[("id", Uint, false)],
        children: &[("Latency", Any), ("PlaybackRate", Any)],
    },
    Rule {
        name: "Latency",
        attributes: &[
            ("referenceId", Uint, false),
            ("target", Uint, false),
            ("max", Uint, false),
            ("min", Uint, false),
        ],
        children: &[],
    },
    Rule {
        name: "PlaybackRate",
        attributes: &[("max", Double, false), ("min", Double, false)],
        children: &[],
    },
    Rule {
        name: "Period",
        attributes: &[
            ("id", Text, false),
            ("start", Duration, false),
            ("duration", Duration, false),
        ],
        children: &[("AdaptationSet", Any)],
    },
    Rule {
        name: "AdaptationSet",
        attributes: &[
            ("id", Uint, false),
            ("lang", Language, false),
            (
                "contentType",
                OneOf(&["text", "image", "audio", "video", "application", "font"]),
                false,
            ),
            ("mimeType", Text, false),
            ("segmentAlignment", UintOrBool, false),
        ],
        children: &[
            ("AudioChannelConfiguration", Any),
            ("SupplementalProperty", Any),
            ("Label", Any),
            ("ProducerReferenceTime", Any),
            ("Role", Any),
            ("SegmentTemplate", Maybe),
            ("Representation", Any),
        ],
    },
    Rule {
        name: "AudioChannelConfiguration",
        attributes: DESCRIPTOR,
        children: &[],
    },
    Rule {
        name: "SupplementalProperty",
        attributes: DESCRIPTOR,
        children: &[],
    },
    Rule {
        name: "Role",
        attributes: DESCRIPTOR,
        children: &[],
    },
    Rule {
        name: "Label",
        attributes: &[("id", Uint, false), ("lang", Language, false)],
        children: &[],
    },
    Rule {
        name: "UTCTiming",
        attributes: DESCRIPTOR,
        children: &[],
    },
    Rule {
        name: "ProducerReferenceTime",
        attributes: &[
            ("id", Uint, true),
            ("inband", Bool, false),
            (
                "type",
                OneOf(&["encoder", "captured", "application"]),
                false,
            ),
            // The schema takes any string; the text of the standard, a date.
            ("wallClockTime", Date, true),
            ("presentationTime", Ulong, true),
        ],
        children: &[("UTCTiming", Maybe)],
    },
    Rule {
        name: "Representation",
        attributes: &[
            ("id", Word, true),
            ("bandwidth", Uint, true),
            ("codecs", Word, false),
            ("width", Uint, false),
            ("height", Uint, false),
            ("frameRate", FrameRate, false),
            ("audioSamplingRate", Rates, false),
        ],
        children: &[("SegmentTemplate", Maybe)],
    },
    Rule {
        name: "SegmentTemplate",
        attributes: &[
            ("timescale", Uint, false),
            ("presentationTimeOffset", Ulong, false),
            ("availabilityTimeOffset", Double, false),
            ("availabilityTimeComplete", Bool, false),
            ("duration", Uint, false),
            ("startNumber", Uint, false),
            ("media", Text, false),
            ("initialization", Text, false),
        ],
        children: &[("SegmentTimeline", Maybe)],
    },
    Rule {
        name: "SegmentTimeline",
        attributes: &[],
        children: &[("S", Any)],
    },
    Rule {
        name: "S",
        attributes: &[
            ("t", Ulong, false),
            ("d", Ulong, true),
            ("r", Integer, false),
        ],
        children: &[],
    },
];

impl Type {
    fn takes(self, value: &str) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        match self {
            Text => true,
            Word => !value.is_empty() && !value.contains(char::is_whitespace),
            Uri => !value.contains(char::is_whitespace),
            Uint => digits(value) && value.parse::<u32>().is_ok(),
            Ulong => digits(value) && value.parse::<u64>().is_ok(),
            Integer => digits(value.strip_prefix('-').unwrap_or(value)),
            Double => {
                let number = value.strip_prefix('-').unwrap_or(value);
                let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
                digits(whole) && digits(fraction)
            }
            Bool => ["true", "false", "1", "0"].contains(&value),
            UintOrBool => Uint.takes(value) || Bool.takes(value),
            // Hours, minutes and seconds, as far as manifests use the type.
            Duration => {
                let seconds = value.strip_prefix("PT").and_then(|it| it.strip_suffix('S'));
                seconds.is_some_and(|it| !it.starts_with('-') && Double.takes(it))
            }
            Date => {
                let Some((day, time)) = value.strip_suffix('Z').and_then(|it| it.split_once('T'))
                else {
                    return false;
                };
                let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
                let fields = |text: &str, by: char, most: [u32; 3]| {
                    let fields: Vec<&str> = text.split(by).collect();
                    let within = |(field, most): (&&str, u32)| {
                        digits(field) && field.parse().is_ok_and(|it: u32| it <= most)
                    };
                    fields.len() == 3 && fields.iter().zip(most).all(within)
                };
                value.len() >= "1970-01-01T00:00:00Z".len()
                    && fields(day, '-', [9_999, 12, 31])
                    && fields(time, ':', [23, 59, 59])
                    && digits(fraction)
            }
            Language => {
                let part = |(index, part): (usize, &str)| {
                    (1..=8).contains(&part.len())
                        && part
                            .bytes()
                            .all(|it| it.is_ascii_alphabetic() || index > 0 && it.is_ascii_digit())
                };
                value.split('-').enumerate().all(part)
            }
            FrameRate => {
                let (num, den) = value.split_once('/').unwrap_or((value, "1"));
                digits(num) && digits(den) && !den.starts_with('0')
            }
            Rates => {
                let rates: Vec<&str> = value.split(' ').collect();
                rates.len() <= 2 && rates.iter().all(|rate| Uint.takes(rate))
            }
            OneOf(values) => values.contains(&value),
        }
    }
}

/// Checks a document that has elements only.
pub(super) fn check(text: &str) -> Result<(), String> {
    let body = text
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")
        .ok_or("no declaration")?;
    let mut tags = body.split('<').peekable();
    let before = tags.next().unwrap_or_default();
    if !before.trim().is_empty() {
        return Err(format!("text before the root: {before}"));
    }
    let root = element(&mut tags)?;
    if root != "MPD" || tags.next().is_some() {
        return Err(format!("<{root}> is not the one root"));
    }
    Ok(())
}

/// Checks the element that comes next and all within, and tells its name.
fn element<'t>(tags: &mut Peekable<impl Iterator<Item = &'t str>>) -> Result<&'t str, String> {
    let tag = tags.next().ok_or("an element is missing")?;
    let (inside, after) = tag.split_once('>').ok_or(format!("<{tag} has no end"))?;
    let name = inside.split([' ', '/']).next().unwrap_or_default();
    if !after.trim().is_empty() && name != "Label" {
        return Err(format!("text that does not belong here: {after}"));
    }
    let (inside, empty) = match inside.strip_suffix('/') {
        Some(inside) => (inside, true),
        None => (inside, false),
    };
    let (name, rest) = inside.split_once(' ').unwrap_or((inside, ""));
    let rule = RULES.iter().find(|rule| rule.name == name);
    let rule = rule.ok_or_else(|| format!("<{name}> is in no schema, or not in the table"))?;
    attributes(rule, rest)?;
    // Which child may come next.
    let mut place = 0;
    let mut counts = vec![0; rule.children.len()];
    loop {
        if empty {
            break;
        }
        let next = tags.peek().ok_or(format!("<{name}> is not closed"))?;
        if let Some(end) = next.strip_prefix('/') {
            let closed = end.trim_end().strip_suffix('>') == Some(name);
            tags.next();
            if !closed {
                return Err(format!("</{end} ends <{name}>"));
            }
            break;
        }
        let child = element(tags)?;
        let index = rule.children.iter().position(|(known, _)| *known == child);
        let index = index.ok_or_else(|| format!("<{child}> is in <{name}>"))?;
        if index < place {
            return Err(format!("<{child}> comes too late in <{name}>"));
        }
        place = index;
        counts[index] += 1;
    }
    for ((child, often), count) in rule.children.iter().zip(counts) {
        match often {
            Maybe if count > 1 => return Err(format!("{count} <{child}> in <{name}>")),
            AtLeastOne if count == 0 => return Err(format!("no <{child}> in <{name}>")),
            _ => {}
        }
    }
    Ok(name)
}

fn attributes(rule: &Rule, mut rest: &str) -> Result<(), String> {
    let name = rule.name;
    let mut seen = Vec::new();
    while !rest.trim().is_empty() {
        let (attribute, after) = rest
            .split_once("=\"")
            .ok_or(format!("{rest} is no attribute of <{name}>"))?;
        let (value, next) = after
            .split_once('"')
            .ok_or(format!("{after} has no end in <{name}>"))?;
        let attribute = attribute.trim();
        let known = rule.attributes.iter().find(|(it, ..)| *it == attribute);
        let (_, kind, _) = known.ok_or_else(|| format!("{attribute} is in <{name}>"))?;
        if !kind.takes(value) {
            return Err(format!(
                "{attribute}=\"{value}\" in <{name}> is no {kind:?}"
            ));
        }
        if seen.contains(&attribute) {
            return Err(format!("{attribute} is twice in <{name}>"));
        }
        seen.push(attribute);
        rest = next;
    }
    let mut needed = rule.attributes.iter().filter(|(.., needed)| *needed);
    match needed.find(|(it, ..)| !seen.contains(it)) {
        Some((missing, ..)) => Err(format!("<{name}> has no {missing}")),
        None => Ok(()),
    }
}

/// A manifest with every element that is written.
const WHOLE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:a,http://b" type="dynamic" availabilityStartTime="2026-01-01T00:00:00.250000Z" publishTime="2026-01-01T00:01:00Z" minimumUpdatePeriod="PT2S" minBufferTime="PT0.4S">
 <ServiceDescription id="0">
  <Latency referenceId="0" target="600"/>
  <PlaybackRate min="0.96" max="1.04"/>
 </ServiceDescription>
 <Period id="p1" start="PT10.5S">
  <AdaptationSet id="1" contentType="audio" lang="de-CH" segmentAlignment="true">
   <AudioChannelConfiguration schemeIdUri="urn:c" value="2"/>
   <SupplementalProperty schemeIdUri="urn:d" value="p0"/>
   <Label>The director &amp; a guest</Label>
   <ProducerReferenceTime id="0" inband="true" type="encoder" wallClockTime="2026-01-01T00:00:10Z" presentationTime="480000"/>
   <Role schemeIdUri="urn:e" value="main"/>
   <Representation id="a1" bandwidth="96000" codecs="mp4a.40.2" audioSamplingRate="48000">
    <SegmentTemplate timescale="48000" startNumber="1" media="$Number$.m4s">
     <SegmentTimeline>
      <S t="480000" d="96000" r="4"/>
     </SegmentTimeline>
    </SegmentTemplate>
   </Representation>
  </AdaptationSet>
 </Period>
 <UTCTiming schemeIdUri="urn:f" value="time"/>
</MPD>
"#;

#[test]
fn what_the_schema_refuses_is_refused() {
    assert_eq!(check(WHOLE), Ok(()));
    for (right, wrong) in [
        // What must be there.
        (" minBufferTime=\"PT0.4S\"", ""),
        (" profiles=\"urn:a,http://b\"", ""),
        (" xmlns=\"urn:mpeg:dash:schema:mpd:2011\"", ""),
        (" id=\"a1\"", ""),
        (" bandwidth=\"96000\"", ""),
        (" d=\"96000\"", ""),
        (" presentationTime=\"480000\"", ""),
        ("Role schemeIdUri=\"urn:e\"", "Role"),
        // Types.
        ("\"dynamic\"", "\"live\""),
        ("PT10.5S", "10.5"),
        ("PT10.5S", "PT-1S"),
        ("PT2S", "PT2.S"),
        ("2026-01-01T00:01:00Z", "2026-01-01 00:01:00"),
        ("2026-01-01T00:01:00Z", "2026-13-01T00:01:00Z"),
        ("\"96000\" codecs", "\"4294967296\" codecs"),
        ("\"96000\" codecs", "\"-1\" codecs"),
        ("t=\"480000\"", "t=\"4.8e5\""),
        ("r=\"4\"", "r=\"four\""),
        ("max=\"1.04\"", "max=\"fast\""),
        ("de-CH", "German language"),
        ("\"48000\">\n    <Seg", "\"48000/1\">\n    <Seg"),
        ("contentType=\"audio\"", "contentType=\"sound\""),
        ("segmentAlignment=\"true\"", "segmentAlignment=\"yes\""),
        ("id=\"a1\"", "id=\"a 1\""),
        // What does not belong there.
        ("<Period id", "<Period name=\"p\" id"),
        ("<Period id", "<Period id=\"p2\" id"),
        ("<UTCTiming", "<Timing"),
        (
            " <UTCTiming schemeIdUri=\"urn:f\" value=\"time\"/>\n",
            " text\n",
        ),
        ("<SegmentTimeline>", "<SegmentTimeline/><SegmentTimeline>"),
        // The order.
        (
            "<Latency referenceId=\"0\" target=\"600\"/>\n  <PlaybackRate min=\"0.96\" max=\"1.04\"/>",
            "<PlaybackRate min=\"0.96\" max=\"1.04\"/>\n  <Latency referenceId=\"0\" target=\"600\"/>",
        ),
        (
            "<AudioChannelConfiguration schemeIdUri=\"urn:c\" value=\"2\"/>",
            "<Role schemeIdUri=\"urn:c\" value=\"2\"/>",
        ),
        (
            " <ServiceDescription id",
            " <UTCTiming schemeIdUri=\"urn:g\"/>\n <ServiceDescription id",
        ),
        // XML.
        ("  </AdaptationSet>\n", ""),
        ("</Period>", "</Perio>"),
        ("</MPD>\n", "</MPD><MPD/>"),
        ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", ""),
    ] {
        let faulty = WHOLE.replacen(right, wrong, 1);
        assert_ne!(faulty, WHOLE, "{right}");
        assert!(check(&faulty).is_err(), "not caught: {wrong}\n{faulty}");
    }
}
