//! Seeded faults: the checker is checked.

mod low_latency;

use super::*;

/// Header lines, then whatever a test breaks.
const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n\
    #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n";
const MAP: &str = "#EXT-X-MAP:URI=\"0.mp4\"\n";

fn violation(text: &str) -> String {
    match Parsed::read(text) {
        Ok(parsed) => format!("legal: {parsed:?}"),
        Err(violation) => violation.to_string(),
    }
}

#[test]
fn a_seeded_fault_of_each_kind_is_caught() {
    let date = |second: u32| format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:{second:02}Z\n");
    let (d0, d2, d5) = (date(0), date(2), date(5));
    for (text, want) in [
        (format!("{MAP}#EXTINF:2,\n7\n"), "first line"),
        (format!("{HEAD}{MAP}#EXTINF:2.0,\n7"), "no end"),
        (HEAD.to_owned(), "no segments"),
        (format!("{HEAD}#EXTINF:2,\n7\n"), "no EXT-X-MAP"),
        (format!("{HEAD}{MAP}7\n"), "no EXTINF"),
        (format!("{HEAD}{MAP}#EXTINF:2\n7\n"), "no EXTINF"),
        (format!("{HEAD}{MAP}#EXTINF:2.5,\n7\n"), "target duration"),
        (format!("{HEAD}{MAP}#EXTINF:0.0,\n7\n"), "no time"),
        (
            format!("{HEAD}#EXTINF:2,\n{MAP}7\n"),
            "EXT-X-MAP stands behind",
        ),
        (
            format!("{HEAD}{MAP}#EXT-X-DISCONTINUITY\n#EXTINF:2,\n7\n"),
            "stands behind",
        ),
        (
            format!("{HEAD}{MAP}#EXTINF:2,\n7\n{MAP}#EXTINF:2,\n8\n"),
            "repeats",
        ),
        (
            format!("{HEAD}{MAP}#EXTINF:2,\n7\n#EXT-X-MAP:URI=\"1\"\n#EXTINF:2,\n8\n"),
            "without a discontinuity",
        ),
        (
            format!("{HEAD}{MAP}#EXTINF:2,\n7\n#EXTINF:2,\n7\n"),
            "twice",
        ),
        (
            format!("{HEAD}{MAP}#EXTINF:2,\n7\n#EXT-X-ENDLIST\n#EXTINF:2,\n8\n"),
            "after EXT-X-ENDLIST",
        ),
        (format!("{HEAD}{MAP}#EXTINF:2,\n#EXT-X-ENDLIST\n"), "cuts"),
        (format!("{HEAD}{MAP}#EXTINF:2,\n"), "belong to no segment"),
        (
            format!("{HEAD}{MAP}#EXT-X-GAP\n#EXTINF:2,\n7\n"),
            "the tags need 8",
        ),
        (
            format!("{HEAD}{MAP}#EXTINF:2,\n7\n#EXT-X-MEDIA-SEQUENCE:1\n"),
            "comes twice",
        ),
        (
            format!("{HEAD}#EXT-X-FOO:1\n{MAP}#EXTINF:2,\n7\n"),
            "unknown",
        ),
        (format!("{HEAD}\n{MAP}#EXTINF:2,\n7\n"), "bare"),
        (
            format!("{HEAD}{MAP}{d0}#EXTINF:2,\n7\n#EXTINF:2,\n8\n"),
            "some have none",
        ),
        (
            format!("{HEAD}{MAP}{d0}#EXTINF:2,\n7\n{d5}#EXTINF:2,\n8\n"),
            "off",
        ),
        (
            format!("{HEAD}{MAP}{d2}#EXTINF:2,\n7\n{d0}#EXTINF:2,\n8\n"),
            "goes back",
        ),
        (HEAD.replace(":6", ":6\n#EXT-X-VERSION:6"), "comes twice"),
        (
            HEAD.replace("TARGETDURATION:2", "TARGETDURATION:x"),
            "no number",
        ),
        (
            format!("{}{MAP}#EXTINF:1,\n7\n", HEAD.replace(":6", ":3")),
            "the tags need 6",
        ),
    ] {
        let said = violation(&text);
        assert!(
            said.contains(want),
            "{said}\nshould be about {want:?} in\n{text}"
        );
    }
    let good = format!(
        "{HEAD}{MAP}{d0}#EXTINF:2.49,\n7\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"1\"\n{d5}#EXTINF:2,\n8\n#EXT-X-ENDLIST\n"
    );
    let parsed = Parsed::read(&good).unwrap();
    assert_eq!((parsed.media_sequence, parsed.segments.len()), (7, 2));
    assert_eq!(parsed.segments[0].micros, 2_490_000);
}

/// A playlist from `first` on; `!` before a number is a discontinuity.
fn playlist(dseq: u64, first: u64, marks: &str, ended: bool) -> Parsed {
    let mut text = HEAD.replace(":7", &format!(":{first}"));
    text = text.replace("SEQUENCE:1\n", &format!("SEQUENCE:{dseq}\n"));
    let mut map = MAP;
    for (number, mark) in (first..).zip(marks.chars()) {
        if mark == '!' {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        text.push_str(map);
        map = "";
        text.push_str(&format!("#EXTINF:2,\n{number}\n"));
    }
    if ended {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    Parsed::read(&text).unwrap()
}

#[test]
fn a_seeded_fault_between_two_playlists_is_caught() {
    let base = playlist(1, 7, ".!..", false);
    for (later, want) in [
        (playlist(1, 7, ".!..", false), ""),
        (playlist(1, 8, "!....", false), ""),
        (playlist(2, 9, "..!", true), ""),
        (playlist(2, 11, ".", false), ""),
        (playlist(5, 20, ".", false), ""),
        (
            playlist(1, 6, "..!..", false),
            "EXT-X-MEDIA-SEQUENCE went back",
        ),
        (playlist(1, 7, ".!.", false), "segments vanished"),
        (playlist(1, 7, ".!!.", false), "segment 9 changed"),
        (playlist(1, 9, "...", false), "EXT-X-DISCONTINUITY-SEQUENCE"),
        (playlist(3, 9, "...", false), "EXT-X-DISCONTINUITY-SEQUENCE"),
        (playlist(1, 20, ".", false), "EXT-X-DISCONTINUITY-SEQUENCE"),
    ] {
        let said = base.check_next(&later).err();
        let said = said.map_or_else(String::new, |violation| violation.to_string());
        assert!(
            said.starts_with(want) && said.is_empty() == want.is_empty(),
            "{said}: {want}"
        );
    }
    let mut target = base.clone();
    target.target_duration = 3;
    assert!(base.check_next(&target).is_err());
    let ended = playlist(0, 7, "..", true);
    assert!(ended.check_next(&playlist(0, 7, "...", false)).is_err());
    assert!(ended.check_next(&playlist(0, 7, "...", true)).is_err());
    assert_eq!(ended.check_next(&ended), Ok(()));
}
