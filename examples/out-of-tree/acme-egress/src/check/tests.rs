//! The checker of `super`, by responses made by hand.

use super::*;

/// A tag with its size behind.
fn tag(kind: u8, timestamp: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).unwrap();
    let mut tag = ((u32::from(kind) << 24) | size).to_be_bytes().to_vec();
    tag.extend(timestamp.rotate_left(8).to_be_bytes());
    tag.extend([0; 3]);
    tag.extend(body);
    tag.extend((11 + size).to_be_bytes());
    tag
}

const START: &[u8] = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";

fn stream(tags: &[(u8, u32, &[u8])]) -> Vec<u8> {
    let tags = tags
        .iter()
        .flat_map(|(kind, at, body)| tag(*kind, *at, body));
    START.iter().copied().chain(tags).collect()
}

const LONG: &[u8] = &[0x27; 200];

fn good() -> Vec<u8> {
    stream(&[
        (18, 0, b"\x02\0\x0aonMetaData"),
        (9, 0, b"\x17\0\0\0\0record"),
        (8, 0, b"\xaf\0\x11\x90"),
        (9, u32::MAX, b"\x17\x01\0\0\0picture"),
        (8, 3, b"\xaf\x01sound"),
        (9, 39, LONG),
    ])
}

#[test]
fn a_good_response_is_read_at_every_split() {
    let whole = good();
    for step in 1..=whole.len() {
        let mut checker = Checker::new();
        let mut seen = Vec::new();
        for piece in whole.chunks(step) {
            checker
                .push(piece, |tag| seen.push((tag.kind, tag.size, tag.step)))
                .unwrap();
        }
        assert!(checker.is_whole());
        assert_eq!(checker.tags(), 6);
        let (kind, size, passed) = seen[5];
        assert_eq!((kind, size, passed), (9, 200, Some(40)), "at {step}");
    }
    for cut in 1..whole.len() {
        let mut checker = Checker::new();
        checker.push(&whole[..cut], |_| {}).unwrap();
        let tags = checker.tags();
        let between = cut == START.len() || (checker.is_whole() && tags > 0);
        assert_eq!(checker.is_whole(), between, "cut at {cut}");
    }
}

#[test]
fn what_is_wrong_is_found() {
    type Broken = fn(&mut Vec<u8>);
    let cases: [(&str, Broken); 5] = [
        ("no FLV file", |bytes| bytes[3] = 2),
        ("no FLV file", |bytes| bytes[4] = 0),
        ("stands the size 1 and not 0", |bytes| bytes[12] = 1),
        ("tag 0 has the head", |bytes| bytes[13] = 7),
        ("tag 0 has the head", |bytes| bytes[13 + 10] = 1),
    ];
    for (want, broken) in cases {
        let mut bytes = good();
        broken(&mut bytes);
        check(&bytes, want);
    }
    let mut bytes = good();
    bytes.pop();
    bytes.push(0);
    check(&bytes, "behind tag 5 stands the size");
    let start = (9, 0, &b"\x17\0\0\0\0record"[..]);
    for (tags, want) in [
        (&[(9, 0, LONG)][..], "tag 0 is a frame before"),
        (&[start, (9, 0, LONG)], "tag 1 is the first picture"),
        (&[start, (8, 0, b"\xaf\x01x")], "tag 1 is a frame before"),
        (
            &[start, (9, 5, b"\x17\x01\0\0\0x"), (9, 4, LONG)],
            "tag 2: the timestamp 4 comes after 5",
        ),
    ] {
        check(&stream(tags), want);
    }
}

#[track_caller]
fn check(bytes: &[u8], want: &str) {
    let error = Checker::new().push(bytes, |_| {}).unwrap_err();
    assert!(error.to_string().contains(want), "{error}");
}
