//! Seeded faults in low-latency playlists: one for each law.

use super::super::Parsed;
use super::violation;

/// A legal playlist: a segment, an open one, a hint for what comes next.
const GOOD: &str = "#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=6.0
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:1
#EXT-X-MAP:URI=\"0.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:07Z
#EXT-X-PART:DURATION=0.5,URI=\"7.0\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.5,URI=\"7.1\"
#EXTINF:1,
7
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:08Z
#EXT-X-PART:DURATION=0.5,URI=\"8.0\",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.1\"
#EXT-X-RENDITION-REPORT:URI=\"a1.m3u8\",LAST-MSN=8,LAST-PART=0
";

/// `GOOD` with each pair's first text replaced by its second.
fn with(changes: &[(&str, &str)]) -> String {
    let mut text = GOOD.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?} is not in\n{text}");
        text = text.replace(from, to);
    }
    text
}

const CONTROL: &str =
    "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=6.0\n";
const INF: &str = "#EXT-X-PART-INF:PART-TARGET=0.5\n";
const PARTS_OF_7: &str =
    "#EXT-X-PART:DURATION=0.5,URI=\"7.0\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.5,URI=\"7.1\"\n";
const OPEN: &str = "#EXT-X-PART:DURATION=0.5,URI=\"8.0\",INDEPENDENT=YES\n";
const DATE_8: &str = "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:08Z\n";
const HINT: &str = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.1\"\n";
const REPORT: &str = "#EXT-X-RENDITION-REPORT:URI=\"a1.m3u8\",LAST-MSN=8,LAST-PART=0\n";

#[test]
fn a_seeded_fault_of_each_low_latency_law_is_caught() {
    let parsed = Parsed::read(GOOD).unwrap();
    assert_eq!(parsed.open.map(|open| open.parts.len()), Some(1));
    for (from, to, want) in [
        (CONTROL, "", "go together"),
        (INF, "", "there is no PART-TARGET"),
        ("BLOCK-RELOAD=YES", "BLOCK-RELOAD=NO", "CAN-BLOCK-RELOAD"),
        ("PART-HOLD-BACK=1.5,", "", "without PART-HOLD-BACK"),
        (
            "HOLD-BACK=1.5",
            "HOLD-BACK=0.999",
            "less than two PART-TARGETs",
        ),
        ("UNTIL=6.0", "UNTIL=5.9", "less than six target durations"),
        ("TARGET=0.5", "TARGET=1.5", "above EXT-X-TARGETDURATION"),
        (
            "DURATION=0.5,URI=\"7.1\"",
            "DURATION=0.500001,URI=\"7.1\"",
            "PART-TARGET is",
        ),
        (
            "DURATION=0.5,URI=\"7.0\"",
            "DURATION=0.424999,URI=\"7.0\"",
            "less than 85 %",
        ),
        (
            "DURATION=0.5,URI=\"7.1\"",
            "DURATION=0.45,URI=\"7.1\"",
            "the parts of 7 last",
        ),
        (
            "DURATION=0.5,URI=\"7.1\"",
            "DURATION=0.0,URI=\"7.1\"",
            "lasts 0 µs",
        ),
        ("URI=\"7.1\"", "URI=\"7.0\"", "listed twice"),
        ("URI=\"8.0\"", "URI=\"7.0\"", "listed twice"),
        ("URI=\"7.1\"", "URI=\"\"", "without an address"),
        (PARTS_OF_7, "", "has no parts"),
        (
            PARTS_OF_7,
            "#EXT-X-GAP\n#EXT-X-PART:DURATION=0.5,URI=\"7.0\"\n",
            "part of a gap",
        ),
        (HINT, "", "has a hint"),
        ("TYPE=PART", "TYPE=MAP", "no part"),
        ("URI=\"8.1\"", "URI=\"8.0\"", "for a part that is there"),
        (REPORT, "#EXT-X-ENDLIST\n", "an ended one has none"),
        (
            HINT,
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.1\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.2\"\n",
            "comes twice",
        ),
        (",LAST-MSN=8", "", "no number"),
        (",LAST-PART=0", "", "no number"),
        (DATE_8, "", "some have none"),
        (
            DATE_8,
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:09Z\n",
            "off",
        ),
        (
            DATE_8,
            "#EXT-X-MAP:URI=\"1.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:08Z\n",
            "without a discontinuity",
        ),
        (OPEN, "", "cuts a segment's tags off"),
        (
            HINT,
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.1\"\n#EXT-X-PART:DURATION=0.5,URI=\"8.2\"\n",
            "stands behind",
        ),
        (
            "#EXT-X-MAP:URI=\"0.mp4\"\n",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-MAP:URI=\"0.mp4\"\n",
            "EXT-X-SKIP leaves",
        ),
        (
            "#EXT-X-MAP:URI=\"0.mp4\"\n",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=0\n#EXT-X-MAP:URI=\"0.mp4\"\n",
            "skips nothing",
        ),
    ] {
        let text = with(&[(from, to)]);
        let said = violation(&text);
        assert!(
            said.contains(want),
            "{said}\nshould be about {want:?} in\n{text}"
        );
    }
    let older = [
        ("VERSION:9", "VERSION:8"),
        ("#EXT-X-MAP", "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n#EXT-X-MAP"),
    ];
    assert!(violation(&with(&older)).contains("the tags need 9"));
    // Without promises nobody may be told of what needs them.
    for left in [HINT, REPORT] {
        let mut gone = vec![
            (CONTROL, ""),
            (INF, ""),
            (PARTS_OF_7, ""),
            (OPEN, ""),
            (DATE_8, ""),
        ];
        gone.push(if left == HINT {
            (REPORT, "")
        } else {
            (HINT, "")
        });
        assert!(violation(&with(&gone)).contains("without EXT-X-SERVER-CONTROL"));
    }
    // A short part may stand at a segment's end and before a keyframe.
    for (part, key) in [("7.1", ""), ("7.0", ",INDEPENDENT=YES")] {
        let before = format!("DURATION=0.5,URI=\"{part}\"");
        let after = format!("DURATION=0.1,URI=\"{part}\"");
        let key = format!("URI=\"7.1\"{key}\n");
        let text = with(&[
            (&before, &after),
            ("URI=\"7.1\"\n", &key),
            ("EXTINF:1,", "EXTINF:0.6,"),
            (DATE_8, "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:07.6Z\n"),
        ]);
        Parsed::read(&text).unwrap();
    }
}

#[test]
fn a_seeded_fault_between_two_low_latency_playlists_is_caught() {
    const PART_1: &str = "#EXT-X-PART:DURATION=0.5,URI=\"8.1\"\n";
    let whole = format!("{OPEN}{PART_1}#EXTINF:1,\n8\n");
    let next_hint = ("TYPE=PART,URI=\"8.1\"", "TYPE=PART,URI=\"9.0\"");
    let more = [(OPEN, &*whole), next_hint];
    let broken = format!(
        "{OPEN}#EXTINF:0.5,\n8\n#EXT-X-DISCONTINUITY\n{DATE_8}#EXT-X-PART:DURATION=0.5,URI=\"9.0\"\n"
    );
    let short = format!(
        "{OPEN}#EXTINF:0.5,\n8\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:08.5Z\n#EXT-X-PART:DURATION=0.5,URI=\"9.0\"\n"
    );
    let other = format!("{OPEN}#EXT-X-PART:DURATION=0.5,URI=\"8.x\"\n");
    let gone = "#EXT-X-PART:DURATION=0.5,URI=\"8.9\"\n#EXTINF:0.5,\n8\n";
    let base = Parsed::read(GOOD).unwrap();
    for (changes, want) in [
        (&[][..], ""),
        (&more[..], ""),
        (
            &[(
                REPORT,
                "#EXT-X-RENDITION-REPORT:URI=\"a1.m3u8\",LAST-MSN=9,LAST-PART=0\n",
            )],
            "",
        ),
        // Not even a break is a reason not to keep it.
        (
            &[
                (OPEN, &broken),
                ("TYPE=PART,URI=\"8.1\"", "TYPE=PART,URI=\"9.1\""),
            ],
            "never came",
        ),
        (&[("TARGET=0.5", "TARGET=0.55")], "what the server promises"),
        (
            &[("HOLD-BACK=1.5", "HOLD-BACK=1.6")],
            "what the server promises",
        ),
        (&[("UNTIL=6.0", "UNTIL=7.0")], "what the server promises"),
        (&[(",CAN-SKIP-UNTIL=6.0", "")], "what the server promises"),
        (&[("URI=\"8.1\"", "URI=\"9.0\"")], "never came"),
        (
            &[
                (OPEN, &other),
                ("TYPE=PART,URI=\"8.1\"", "TYPE=PART,URI=\"8.2\""),
            ],
            "was hinted at, and 8.x",
        ),
        (
            &[
                (OPEN, &short),
                ("TYPE=PART,URI=\"8.1\"", "TYPE=PART,URI=\"9.1\""),
            ],
            "never came",
        ),
        (
            &[("URI=\"8.0\"", "URI=\"8.x\"")],
            "the open segment 8 changed",
        ),
        (&[(OPEN, gone), next_hint], "the open segment 8 changed"),
        (&[(OPEN, ""), (DATE_8, "")], "the open segment 8 changed"),
        (
            &[(DATE_8, "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:08.1Z\n")],
            "the open segment 8 changed",
        ),
        (&[("URI=\"7.1\"", "URI=\"7.x\"")], "segment 7 changed"),
        (
            &[("URI=\"7.1\"", "URI=\"7.1\",INDEPENDENT=YES")],
            "segment 7 changed",
        ),
        (&[("LAST-MSN=8", "LAST-MSN=7")], "went back"),
        (&[(REPORT, "")], "the report of a rendition is gone"),
    ] {
        let text = with(changes);
        let later = Parsed::read(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
        let said = base.check_next(&later).err();
        let said = said.map_or_else(String::new, |violation| violation.to_string());
        assert!(
            said.contains(want) && said.is_empty() == want.is_empty(),
            "{said}: {want} in\n{text}"
        );
    }
    // Before its first part there is only the hint.
    let between = with(&[(OPEN, ""), (DATE_8, ""), ("URI=\"8.1\"", "URI=\"8.0\"")]);
    let between = Parsed::read(&between).unwrap();
    assert_eq!(between.check_next(&base), Ok(()));
    let other = with(&[(OPEN, ""), (DATE_8, ""), ("URI=\"8.1\"", "URI=\"9.0\"")]);
    let other = Parsed::read(&other).unwrap();
    let said = between.check_next(&other).unwrap_err().to_string();
    assert!(said.contains("the hint went from"), "{said}");
    // Parts go back no more than segments do.
    let grown = Parsed::read(&with(&more)).unwrap();
    assert!(grown.check_next(&base).is_err());
}

/// A playlist of segments `first..=last`, with the first ones left out.
fn long(first: u64, last: u64, skipped: u64) -> Parsed {
    let mut segments = String::from("#EXT-X-MAP:URI=\"0.mp4\"\n");
    for number in first + skipped..=last {
        if number + 4 > last {
            segments += &format!(
                "#EXT-X-PART:DURATION=0.5,URI=\"{number}.0\"\n#EXT-X-PART:DURATION=0.5,URI=\"{number}.1\"\n"
            );
        }
        segments += &format!("#EXTINF:1,\n{number}\n");
    }
    let head = GOOD.split_once("#EXT-X-MAP").unwrap().0;
    let head = head.replace("SEQUENCE:7", &format!("SEQUENCE:{first}"));
    let skip = if skipped > 0 {
        format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n")
    } else {
        String::new()
    };
    let next = last + 1;
    let text = format!("{head}{skip}{segments}#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{next}.0\"\n");
    Parsed::read(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

#[test]
fn a_delta_update_is_checked_as_the_playlist_that_it_makes() {
    let base = long(1, 10, 0);
    let updated = base.updated(&long(2, 11, 4)).unwrap();
    assert_eq!(base.check_next(&updated), Ok(()));
    assert_eq!(base.check_next(&long(2, 11, 0)), Ok(()));
    assert_eq!(updated.segments.len(), 10);
    // Segments that the player never had.
    let said = base.updated(&long(9, 20, 5)).unwrap_err().to_string();
    assert!(said.contains("was not listed before"), "{said}");
    // By itself it says too little to be compared.
    assert!(base.check_next(&long(2, 11, 4)).is_err());
}
