//! Headers of bodies, by table.

use super::*;
use crate::codec::{FLAC, OPUS, VP9};

const V: MediaKind = MediaKind::Video;
const A: MediaKind = MediaKind::Audio;

fn part(bytes: &'static [u8]) -> Bytes {
    Bytes::from_static(bytes)
}

fn read(kind: MediaKind, bytes: &[u8]) -> Result<Parts, Error> {
    let body = Bytes::copy_from_slice(bytes);
    match kind {
        V => video(body),
        _ => audio(body),
    }
}

/// The parts of a body, whatever each of them is.
fn parts(kind: MediaKind, bytes: &[u8]) -> Vec<Result<Part, Error>> {
    read(kind, bytes).unwrap().collect()
}

/// A body of one part of track 0.
fn check(kind: MediaKind, bytes: &[u8], codec: Codec, data: Data) {
    let want = Part {
        number: 0,
        codec,
        data,
    };
    assert_eq!(parts(kind, bytes), [Ok(want)], "{bytes:x?}");
}

/// A body that gives nothing, without a fault.
fn check_nothing(kind: MediaKind, bytes: &[u8]) {
    for part in parts(kind, bytes) {
        assert_eq!(part.unwrap().data, Data::Nothing, "{bytes:x?}");
    }
}

/// A body with one fault.
fn check_fault(kind: MediaKind, bytes: &[u8], fault: &Error) {
    let found = match read(kind, bytes) {
        Ok(parts) => parts.filter_map(Result::err).collect(),
        Err(error) => vec![error],
    };
    assert_eq!(found, std::slice::from_ref(fault), "{bytes:x?}");
}

#[test]
fn video_bodies_of_old() {
    for (codec, id) in [(AVC, 7), (HEVC, 12)] {
        for (bytes, want) in [
            ([0x10, 0, 0, 0, 0, 1, 2], Data::Configuration(part(&[1, 2]))),
            (
                [0x10, 1, 0, 0, 80, 9, 8],
                Data::AccessUnit(part(&[9, 8]), 80),
            ),
            (
                [0x20, 1, 0xff, 0xff, 0xd8, 9, 8],
                Data::AccessUnit(part(&[9, 8]), -40),
            ),
        ] {
            let mut bytes = bytes;
            bytes[0] |= id;
            check(V, &bytes, codec, want);
        }
    }
    for bytes in [
        &[0x17, 2, 0, 0, 0][..],
        &[0x17, 2],
        &[0x17, 9, 0, 0, 0, 1],
        // A command frame of any codec: a seek marker of one byte.
        &[0x57, 0],
        &[0x52, 1],
    ] {
        check_nothing(V, bytes);
    }
}

#[test]
fn audio_bodies_of_old() {
    check(
        A,
        &[0xaf, 0, 0x12, 0x10],
        AAC,
        Data::Configuration(part(&[0x12, 0x10])),
    );
    // The other bits of the header mean nothing for AAC.
    for bytes in [[0xaf, 1, 7], [0xa0, 1, 7]] {
        check(A, &bytes, AAC, Data::AccessUnit(part(&[7]), 0));
    }
    for bytes in [[0x2f, 7], [0x22, 7], [0xee, 7]] {
        check(A, &bytes, MP3, Data::AccessUnit(part(&[7]), 0));
    }
    check_nothing(A, &[0xaf, 7, 7]);
}

#[test]
fn every_packet_type_of_every_codec_by_its_four_characters() {
    let unit = |cts| Data::AccessUnit(part(&[9]), cts);
    for (bytes, codec, want) in [
        (&b"\x90avc1\x01"[..], AVC, Data::Configuration(part(&[1]))),
        (b"\xa1avc1\0\0\x50\x09", AVC, unit(80)),
        (b"\xa1hvc1\xff\xff\xff\x09", HEVC, unit(-1)),
        (b"\xa1vvc1\0\0\x50\x09", VVC, unit(80)),
        (b"\xa3hvc1\x09", HEVC, unit(0)),
        // These codecs have no composition times.
        (b"\xa1av01\x09", AV1, unit(0)),
        (b"\x91vp09\x09", VP9, unit(0)),
        (b"\xa3vp09\x09", VP9, unit(0)),
        // A start without a configuration, as FFmpeg 9.0 sends it for AV1.
        (b"\x90av01", AV1, Data::Configuration(part(&[]))),
        (b"\x92hvc1", HEVC, Data::Nothing),
        (b"\x95av01\x80\x04", AV1, Data::Nothing),
        (b"\x99hvc1what", HEVC, Data::Nothing),
        // What HDR needs comes as a command frame from some, not from others.
        (b"\xd4hvc1\x02", HEVC, Data::Metadata(part(&[2]))),
        (b"\x94hvc1\x02", HEVC, Data::Metadata(part(&[2]))),
    ] {
        check(V, bytes, codec, want);
    }
    // A seek marker has no code.
    check_nothing(V, b"\xd0\0");
    check_nothing(V, b"\xd6\0");
    for (bytes, codec, want) in [
        (
            &b"\x90mp4a\x12"[..],
            AAC,
            Data::Configuration(part(&[0x12])),
        ),
        (b"\x91mp4a\x09", AAC, unit(0)),
        (
            b"\x90OpusOpusHead",
            OPUS,
            Data::Configuration(part(b"OpusHead")),
        ),
        (b"\x91Opus\x09", OPUS, unit(0)),
        (b"\x91fLaC\x09", FLAC, unit(0)),
        // The end of FLAC by FFmpeg 9.0.
        (b"\x91fLaC", FLAC, Data::Nothing),
        (b"\x90ac-3", AC3, Data::Configuration(part(&[]))),
        (b"\x91ac-3\x09", AC3, unit(0)),
        (b"\x91ec-3\x09", EAC3, unit(0)),
        (b"\x91.mp3\x09", MP3, unit(0)),
        (b"\x92mp4a", AAC, Data::Nothing),
        (b"\x94Opus\x01\x01\0\0\0\x04", OPUS, Data::Nothing),
    ] {
        check(A, bytes, codec, want);
    }
}

#[test]
fn extensions_stand_before_the_packet_and_one_gives_nanoseconds() {
    let long = [&b"\xa7\xff\0\xff"[..], &[1; 256], b"\x73avc1\x09"].concat();
    for (bytes, nanos) in [
        (&b"\xa7\x02\x07\xa1\x1f\x03avc1\x09"[..], 499_999),
        // A whole millisecond is no offset.
        (b"\xa7\x02\x0f\x42\x40\x03avc1\x09", 0),
        // Too short to be one; of a kind that nobody knows.
        (b"\xa7\x01\x0f\x42\x03avc1\x09", 0),
        (b"\xa7\x02\0\0\x01\x13avc1\x09", 0),
        (&long, 0),
        // Two: of an unknown kind, then the offset.
        (b"\xa7\0\0\x27\x02\0\0\x01\x03avc1\x09", 1),
    ] {
        let parts = read(V, bytes).unwrap();
        assert_eq!(parts.nanos(), nanos, "{bytes:x?}");
        check(V, bytes, AVC, Data::AccessUnit(part(&[9]), 0));
    }
    let parts = read(A, b"\x97\x02\0\0\x63\x01Opus\x09").unwrap();
    assert_eq!(parts.nanos(), 99);
}

#[test]
fn bodies_of_several_tracks() {
    type Want<'a> = (u8, Codec, Data);
    let unit = |cts, bytes: &'static [u8]| Data::AccessUnit(part(bytes), cts);
    let configuration = |bytes: &'static [u8]| Data::Configuration(part(bytes));
    let cases: [(MediaKind, &[u8], Vec<Want<'_>>); 10] = [
        // One track: all that follows is its.
        (
            V,
            b"\x96\x00avc1\x01\x09",
            vec![(1, AVC, configuration(&[9]))],
        ),
        (
            V,
            b"\x96\x01hvc1\xff\0\0\x28\x09\x08",
            vec![(255, HEVC, unit(40, &[9, 8]))],
        ),
        (A, b"\x95\x01mp4a\x02\x09", vec![(2, AAC, unit(0, &[9]))]),
        (
            A,
            b"\x95\x04mp4a\x01\x01\x01\0\0\0\x04",
            vec![(1, AAC, Data::Nothing)],
        ),
        // Metadata of a track other than the first, as a command frame.
        (
            V,
            b"\xd6\x04av01\x01\x02",
            vec![(1, AV1, Data::Metadata(part(&[2])))],
        ),
        // Many tracks of one codec.
        (
            V,
            b"\x96\x11avc1\0\0\0\x05\0\0\x01\x09\x08\x03\0\0\x04\0\0\x02\x07",
            vec![(0, AVC, unit(1, &[9, 8])), (3, AVC, unit(2, &[7]))],
        ),
        (
            V,
            b"\x96\x13avc1\0\0\0\x01\x09\x01\0\0\x01\x08",
            vec![(0, AVC, unit(0, &[9])), (1, AVC, unit(0, &[8]))],
        ),
        // Many tracks of many codecs.
        (
            A,
            b"\x95\x21mp4a\0\0\0\x01\x09Opus\x01\0\0\x02\x08\x07",
            vec![(0, AAC, unit(0, &[9])), (1, OPUS, unit(0, &[8, 7]))],
        ),
        (
            A,
            b"\x95\x22mp4a\0\0\0\0Opus\x01\0\0\0",
            vec![(0, AAC, Data::Nothing), (1, OPUS, Data::Nothing)],
        ),
        (A, b"\x95\x21", vec![]),
    ];
    for (kind, bytes, want) in cases {
        let want: Vec<_> = want
            .into_iter()
            .map(|(number, codec, data)| {
                Ok(Part {
                    number,
                    codec,
                    data,
                })
            })
            .collect();
        assert_eq!(parts(kind, bytes), want, "{bytes:x?}");
    }
}

#[test]
fn a_fault_of_one_track_costs_no_other_one() {
    let found = parts(V, b"\x96\x11avc1\0\0\0\x02\0\0\x01\0\0\x04\0\0\x02\x07");
    let good = Part {
        number: 1,
        codec: AVC,
        data: Data::AccessUnit(part(&[7]), 2),
    };
    assert_eq!(found, [Err(Error::Truncated(V)), Ok(good)]);
}

#[test]
fn lying_bodies_of_several_tracks_are_typed_and_cost_little() {
    let length = |claimed, left| Error::PartLength {
        kind: V,
        number: 0,
        claimed,
        left,
    };
    for (bytes, want) in [
        (&b"\x96\x11avc1\0\xff\xff\xff\x09"[..], length(0xff_ffff, 1)),
        (b"\x96\x11avc1\0\0\0\x01", length(1, 0)),
        (b"\x96\x11avc1\0\0\0", Error::Truncated(V)),
        (b"\x96\x21avc", Error::Truncated(V)),
        // Several tracks within several tracks, and extensions there.
        (b"\x96\x06\x01avc1\0\x09", Error::Nested(V)),
        (b"\x96\x07\x00\x00\x01avc1\0\x09", Error::Nested(V)),
        (b"\x96\x31avc1\0\x09", Error::Layout(V, 3)),
    ] {
        check_fault(V, bytes, &want);
    }
    check_fault(A, b"\x95\x05mp4a\0\x09", &Error::Nested(A));
    let tracks: Vec<u8> = (0..=255)
        .cycle()
        .take(1_000)
        .flat_map(|n| [n, 0, 0, 1, 9])
        .collect();
    let found = parts(V, &[&b"\x96\x13avc1"[..], &tracks].concat());
    assert_eq!(found.len(), 257);
    assert_eq!(found.last(), Some(&Err(Error::Parts(V))));
    let chain = [&b"\x97"[..], &b"\0\0\x07".repeat(1_000)].concat();
    check_fault(V, &chain, &Error::Extensions(V));
}

#[test]
fn bodies_that_end_anywhere_are_typed() {
    for (kind, whole) in [
        (V, &b"\x17\x01\0\0\0\x09"[..]),
        (V, b"\x90avc1\x01"),
        (V, b"\xa1hvc1\0\0\x50\x09"),
        (V, b"\xa7\x02\0\0\x01\x03avc1\x09"),
        (V, b"\x96\x01hvc1\xff\0\0\x28\x09"),
        (V, b"\x96\x21hvc1\0\0\0\x04\0\0\x28\x09"),
        (A, b"\xaf\x00\x12"),
        (A, b"\x2f\x12"),
        (A, b"\x90mp4a\x12"),
        (A, b"\x95\x10mp4a\0\0\0\x01\x09"),
    ] {
        assert!(parts(kind, whole).iter().all(Result::is_ok), "{whole:x?}");
        for end in 0..whole.len() {
            let cut = &whole[..end];
            let good = match read(kind, cut) {
                Ok(parts) => parts.filter(Result::is_ok).count(),
                Err(error) => {
                    assert!(error.is_malformed(), "{cut:x?}: {error}");
                    0
                }
            };
            assert_eq!(good, 0, "{cut:x?}");
        }
    }
}

#[test]
fn empty_and_truncated_bodies_are_typed() {
    for (bytes, want) in [
        (&[][..], Error::Empty(V)),
        (&[0x17], Error::Truncated(V)),
        (b"\x91avc1\0\0\0", Error::Empty(V)),
        (&[0x97], Error::Truncated(V)),
        (&[0x97, 0xff, 0xff, 0xff, 0], Error::Truncated(V)),
        (&[0x17, 1, 0, 0], Error::Truncated(V)),
        (&[0x17, 1, 0, 0, 0], Error::Empty(V)),
        (&[0x17, 0, 0, 0, 0], Error::Empty(V)),
        (&[0x90, b'h', b'v', b'c'], Error::Truncated(V)),
        (b"\x90hvc1", Error::Empty(V)),
    ] {
        check_fault(V, bytes, &want);
    }
    for (bytes, want) in [
        (&[][..], Error::Empty(A)),
        (&[0xaf], Error::Truncated(A)),
        (&[0xaf, 0], Error::Empty(A)),
        (&[0xaf, 1], Error::Empty(A)),
        (&[0x2f], Error::Empty(A)),
        (&[0x90, b'O'], Error::Truncated(A)),
        (b"\x90Opus", Error::Empty(A)),
    ] {
        check_fault(A, bytes, &want);
    }
}

#[test]
fn old_codecs_that_are_not_carried_are_named() {
    for (kind, bytes, name) in [
        (V, [0x12, 0], "Sorenson H.263"),
        (V, [0x14, 0], "VP6"),
        (V, [0x1d, 0], "AV1 (in the unofficial form, codec id 13)"),
        (A, [0xb2, 0], "Speex"),
        (A, [0x66, 0], "Nellymoser"),
        (A, [0x72, 0], "G.711 A-law"),
    ] {
        let error = read(kind, &bytes).unwrap_err();
        let unsupported = error.unsupported().unwrap();
        assert_eq!(unsupported.kind(), kind);
        assert_eq!(unsupported.codec_name(), name);
        assert!(!error.is_malformed() && !unsupported.is_announcement());
    }
}
