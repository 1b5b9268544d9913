//! What bodies in sequence give.

use proptest::prelude::*;
use rillcast_core::TrackId;

use super::super::amf0::{Object, Value, encode};
use super::super::{AUDIO, VIDEO};
use super::*;
use crate::codec::avc::{self, captures};
use crate::codec::hevc::{self, captures as hevc_captures};

fn now() -> Instant {
    Instant::now()
}

fn sequence_header(record: &str) -> Bytes {
    [&[0x17, 0, 0, 0, 0][..], &captures::bytes(record)]
        .concat()
        .into()
}

fn access_unit(units: &[&[u8]]) -> Bytes {
    let mut body = vec![0x27, 1, 0, 0, 40];
    for unit in units {
        body.extend_from_slice(&u32::try_from(unit.len()).unwrap().to_be_bytes());
        body.extend_from_slice(unit);
    }
    body.into()
}

fn video(demuxer: &mut Demuxer, body: Bytes) -> Vec<SourceItem> {
    demuxer.video(1_000, body, now()).unwrap()
}

fn tracks(items: &[SourceItem]) -> Vec<&Track> {
    items
        .iter()
        .filter_map(|item| match item {
            SourceItem::Track(track) => Some(track),
            _ => None,
        })
        .collect()
}

fn frames(items: &[SourceItem]) -> Vec<&SourceFrame> {
    items
        .iter()
        .filter_map(|item| match item {
            SourceItem::Frame(frame) => Some(frame),
            _ => None,
        })
        .collect()
}

const IDR: &[u8] = &[0x65, 0x88, 0x84, 1, 2, 3, 4, 5];
const SLICE: &[u8] = &[0x41, 0x9a, 1, 2, 3, 4, 5, 6];

#[test]
fn a_sequence_header_gives_a_track_once() {
    let mut demuxer = Demuxer::new();
    let first = video(&mut demuxer, sequence_header(captures::HIGH_1080));
    assert_eq!(tracks(&first).len(), 1);
    assert_eq!(tracks(&first)[0].id, VIDEO);
    assert_eq!(tracks(&first)[0].codec_string, "avc1.640028");
    for _ in 0..3 {
        assert!(video(&mut demuxer, sequence_header(captures::HIGH_1080)).is_empty());
    }
    let other = video(&mut demuxer, sequence_header(captures::BASELINE));
    assert_eq!(tracks(&other)[0].codec_string, "avc1.42c01e");
    let back = video(&mut demuxer, sequence_header(captures::HIGH_1080));
    assert_eq!(tracks(&back).len(), 1);
}

#[test]
fn an_access_unit_is_a_slice_of_its_body_with_the_times_of_the_wire() {
    let mut demuxer = Demuxer::new();
    video(&mut demuxer, sequence_header(captures::HIGH_1080));
    let body = access_unit(&[IDR]);
    let received = now();
    let items = demuxer.video(0xfedc_ba98, body.clone(), received).unwrap();
    let frame = frames(&items)[0];
    assert_eq!(frame.track, VIDEO);
    assert_eq!((frame.dts, frame.cts), (0xfedc_ba98, 40));
    assert_eq!(frame.clock, SourceClock::RTMP_MILLIS);
    assert_eq!((frame.duration, frame.received), (0, received));
    assert_eq!(frame.payload, body[5..]);
    assert_eq!(frame.payload.as_ptr(), body[5..].as_ptr());
}

#[test]
fn a_keyframe_is_what_the_slices_say_and_not_the_tags_frame_type() {
    let mut demuxer = Demuxer::new();
    video(&mut demuxer, sequence_header(captures::HIGH_1080));
    for (frame_type, units, keyframe) in [
        (0x17, &[SLICE][..], false),
        (0x27, &[IDR], true),
        (0x27, &[&[9, 0x10], IDR], true),
        (0x37, &[SLICE], false),
    ] {
        let mut body = access_unit(units).to_vec();
        body[0] = frame_type;
        let items = video(&mut demuxer, body.into());
        assert_eq!(frames(&items)[0].keyframe, keyframe, "{frame_type:#x}");
    }
}

#[test]
fn short_lengths_are_rewritten() {
    let mut record = captures::bytes(captures::BASELINE);
    record[4] = 0xfd;
    let mut demuxer = Demuxer::new();
    let items = video(
        &mut demuxer,
        [&[0x17, 0, 0, 0, 0][..], &record].concat().into(),
    );
    // The configuration that goes on says four bytes.
    assert_eq!(
        tracks(&items)[0].config,
        captures::bytes(captures::BASELINE)
    );
    let body = [&[0x17, 1, 0, 0, 0, 0, 8][..], IDR].concat();
    let items = video(&mut demuxer, body.into());
    assert_eq!(frames(&items)[0].payload, access_unit(&[IDR])[5..]);
}

#[test]
fn parameter_sets_in_the_stream_change_the_track_before_their_frame() {
    let mut demuxer = Demuxer::new();
    video(&mut demuxer, sequence_header(captures::HIGH_1080));
    let same = [
        captures::sps(captures::HIGH_1080),
        captures::pps(captures::HIGH_1080),
    ];
    let items = video(&mut demuxer, access_unit(&[&same[0], &same[1], IDR]));
    assert_eq!((tracks(&items).len(), frames(&items).len()), (0, 1));

    let other = [
        captures::sps(captures::BASELINE),
        captures::pps(captures::BASELINE),
    ];
    let items = video(&mut demuxer, access_unit(&[&other[0], &other[1], IDR]));
    assert!(matches!(
        items[..],
        [SourceItem::Track(_), SourceItem::Frame(_)]
    ));
    assert_eq!(
        tracks(&items)[0].config,
        captures::bytes(captures::BASELINE)
    );
    // OBS and others repeat the header of the start: that brings nothing back.
    assert!(video(&mut demuxer, sequence_header(captures::HIGH_1080)).is_empty());
    let items = video(&mut demuxer, access_unit(&[&other[0], &other[1], IDR]));
    assert_eq!(tracks(&items).len(), 0);
}

#[test]
fn a_parameter_set_that_is_not_understood_costs_no_picture() {
    let mut demuxer = Demuxer::new();
    video(&mut demuxer, sequence_header(captures::HIGH_1080));
    for set in [&[0x67, 1][..], &[0x68], &[0x6d, 0, 0, 0, 1]] {
        let items = video(&mut demuxer, access_unit(&[set, IDR]));
        assert_eq!((tracks(&items).len(), frames(&items).len()), (0, 1));
        assert!(frames(&items)[0].keyframe);
    }
}

#[test]
fn what_holds_no_picture_is_no_frame() {
    let mut demuxer = Demuxer::new();
    video(&mut demuxer, sequence_header(captures::HIGH_1080));
    let other = [
        captures::sps(captures::BASELINE),
        captures::pps(captures::BASELINE),
    ];
    let items = video(&mut demuxer, access_unit(&[&other[0], &other[1]]));
    assert_eq!((tracks(&items).len(), frames(&items).len()), (1, 0));
    assert!(video(&mut demuxer, access_unit(&[&[6, 5, 1, 0x80]])).is_empty());
    assert!(video(&mut demuxer, vec![0x17, 2, 0, 0, 0].into()).is_empty());
}

#[test]
fn a_malformed_body_is_dropped_and_the_next_one_read() {
    let mut demuxer = Demuxer::new();
    let early = demuxer.video(0, access_unit(&[IDR]), now()).unwrap_err();
    assert_eq!(early, Error::NoConfiguration(MediaKind::Video));
    assert!(!early.is_malformed());
    video(&mut demuxer, sequence_header(captures::HIGH_1080));
    let whole = access_unit(&[IDR]);
    let cut = demuxer.video(0, whole.slice(..whole.len() - 1), now());
    assert_eq!(
        cut.unwrap_err(),
        Error::Avc(avc::Error::UnitLength {
            at: 4,
            claimed: 8,
            left: 7
        })
    );
    let broken = demuxer.video(0, vec![0x17, 0, 0, 0, 0, 1, 2].into(), now());
    assert!(broken.unwrap_err().is_malformed());
    // The configuration in force is still the good one.
    assert_eq!(frames(&video(&mut demuxer, whole)).len(), 1);
    assert!(video(&mut demuxer, sequence_header(captures::HIGH_1080)).is_empty());
}

#[test]
fn audio_has_its_track_and_durations() {
    let mut demuxer = Demuxer::new();
    let raw: Bytes = vec![0xaf, 1, 0x21, 0x10, 4, 0x60].into();
    let early = demuxer.audio(0, raw.clone(), now()).unwrap_err();
    assert_eq!(early, Error::NoConfiguration(MediaKind::Audio));
    let header = Bytes::from_static(&[0xaf, 0, 0x11, 0x90]);
    let items = demuxer.audio(0, header.clone(), now()).unwrap();
    let track = tracks(&items)[0];
    assert_eq!((track.id, track.timescale.hz()), (AUDIO, 48_000));
    assert_eq!(track.codec_string, "mp4a.40.2");
    assert!(demuxer.audio(0, header, now()).unwrap().is_empty());

    let items = demuxer.audio(23, raw.clone(), now()).unwrap();
    let frame = frames(&items)[0];
    assert_eq!((frame.dts, frame.cts, frame.duration), (23, 0, 1_024));
    assert!(frame.keyframe);
    assert_eq!(frame.payload, raw[2..]);
    assert_eq!(frame.payload.as_ptr(), raw[2..].as_ptr());

    let other = Bytes::from_static(&[0xaf, 0, 0x12, 0x08]);
    let items = demuxer.audio(0, other, now()).unwrap();
    assert_eq!(tracks(&items)[0].timescale.hz(), 44_100);
}

#[test]
fn metadata_announces_kinds_and_names_the_language() {
    let mut demuxer = Demuxer::new();
    let mut body = Vec::new();
    encode(&"onMetaData".into(), &mut body);
    let properties = Object::new()
        .with("videocodecid", 7.0)
        .with("audiocodecid", 10.0)
        .with("audiolanguage", "pt-BR");
    encode(&Value::EcmaArray(properties), &mut body);
    let items = demuxer.script(&body).unwrap();
    assert!(matches!(
        &items[..],
        [SourceItem::Announce(kinds)] if kinds[..] == [MediaKind::Video, MediaKind::Audio]
    ));
    assert_eq!(
        demuxer
            .metadata()
            .and_then(|data| data.video_codec.as_deref()),
        Some("H.264")
    );
    let items = demuxer
        .audio(0, Bytes::from_static(&[0xaf, 0, 0x12, 0x10]), now())
        .unwrap();
    assert_eq!(tracks(&items)[0].language.as_deref(), Some("pt-BR"));
}

#[test]
fn a_payload_much_smaller_than_its_body_is_copied() {
    let mut demuxer = Demuxer::new();
    demuxer
        .audio(0, Bytes::from_static(&[0xaf, 0, 0x12, 0x10]), now())
        .unwrap();
    let tiny: Bytes = vec![0xaf, 1, 7].into();
    let items = demuxer.audio(0, tiny.clone(), now()).unwrap();
    let payload = &frames(&items)[0].payload;
    assert_eq!(payload[..], [7]);
    assert_ne!(payload.as_ptr(), tiny[2..].as_ptr());
}

#[test]
fn tags_of_other_kinds_give_nothing() {
    let mut demuxer = Demuxer::new();
    let tag = Tag {
        kind: TagKind::Other(15),
        timestamp_ms: 0,
        body: Bytes::from_static(b"x"),
    };
    assert!(demuxer.tag(tag, now()).unwrap().is_empty());
    assert_eq!((VIDEO, AUDIO), (TrackId(0), TrackId(1)));
}

fn audio(demuxer: &mut Demuxer, body: &[u8]) -> Vec<SourceItem> {
    let body = Bytes::copy_from_slice(body);
    demuxer.audio(1_000, body, now()).unwrap()
}

/// A body with a four-character code: the packet type, track, and the rest.
fn body(packet: u8, code: &[u8; 4], number: u8, rest: &[u8]) -> Bytes {
    match number {
        0 => [&[0x90 | packet], &code[..], rest].concat().into(),
        _ => [&[0x96, packet], &code[..], &[number], rest]
            .concat()
            .into(),
    }
}

#[test]
fn hevc_comes_in_three_forms() {
    let record = captures::bytes(hevc_captures::ALL[0]);
    let sets = hevc::Config::parse(&record).unwrap();
    let idr = [0x26, 1, 0xaf, 8, 7, 6];
    let unit = [&[0, 0, 0, 6][..], &idr].concat();
    for (start, frame, cts) in [
        // As encoders in China and old forks of OBS send it.
        (
            [&[0x1c, 0, 0, 0, 0][..], &record].concat(),
            [&[0x1c, 1, 0, 0, 40][..], &unit].concat(),
            40,
        ),
        (
            body(0, b"hvc1", 0, &record).to_vec(),
            body(1, b"hvc1", 0, &[&[0, 0, 80][..], &unit].concat()).to_vec(),
            80,
        ),
        (
            body(0, b"hvc1", 0, &record).to_vec(),
            body(3, b"hvc1", 0, &unit).to_vec(),
            0,
        ),
    ] {
        let mut demuxer = Demuxer::new();
        let items = video(&mut demuxer, start.clone().into());
        assert_eq!(tracks(&items)[0].codec_string, sets.codec_string());
        assert!(video(&mut demuxer, start.into()).is_empty());
        let items = video(&mut demuxer, frame.into());
        let frame = frames(&items)[0];
        assert_eq!((frame.cts, frame.keyframe), (cts, true));
        assert_eq!(frame.payload, unit);
    }
}

#[test]
fn a_track_may_change_its_codec_and_back() {
    let hevc = body(0, b"hvc1", 0, &captures::bytes(hevc_captures::ALL[0]));
    let avc = sequence_header(captures::HIGH_1080);
    let mut demuxer = Demuxer::new();
    for (header, codec) in [(&avc, "avc1"), (&hevc, "hvc1"), (&avc, "avc1")] {
        let items = video(&mut demuxer, header.clone());
        assert!(tracks(&items)[0].codec_string.starts_with(codec));
        assert!(video(&mut demuxer, header.clone()).is_empty());
    }
    // A frame of the codec that is no longer configured.
    let late = demuxer.video(0, body(3, b"hvc1", 0, &[0, 0, 0, 2, 0x26, 1]), now());
    assert_eq!(late.unwrap_err(), Error::NoConfiguration(MediaKind::Video));
}

#[test]
fn tracks_have_ids_of_their_own_that_depend_on_nothing() {
    let record = captures::bytes(captures::HIGH_1080);
    let mut demuxer = Demuxer::new();
    for (number, id) in [(5, 10), (0, 0), (1, 2)] {
        let items = video(&mut demuxer, body(0, b"avc1", number, &record));
        assert_eq!(tracks(&items)[0].id, TrackId(id));
    }
    for (number, id) in [(3, 7), (1, 3)] {
        let items = audio(
            &mut demuxer,
            &[0x95, 0, b'm', b'p', b'4', b'a', number, 0x12, 0x10],
        );
        assert_eq!(tracks(&items)[0].id, TrackId(id));
    }
    let items = audio(&mut demuxer, &[0xaf, 0, 0x12, 0x10]);
    assert_eq!(tracks(&items)[0].id, AUDIO);
    // Number 0 is the track of messages without a number.
    assert!(audio(&mut demuxer, b"\x95\0mp4a\0\x12\x10").is_empty());
    let items = audio(
        &mut demuxer,
        b"\x95\x11mp4a\0\0\0\x01\x09\x03\0\0\x02\x08\x07",
    );
    let heard: Vec<_> = frames(&items)
        .iter()
        .map(|frame| (frame.track.0, frame.payload.clone()))
        .collect();
    assert_eq!(heard, [(1, vec![9].into()), (7, vec![8, 7].into())]);
}

#[test]
fn a_stream_has_no_more_tracks_than_it_may() {
    let record = captures::bytes(captures::BASELINE);
    let mut demuxer = Demuxer::new();
    let mut described = 0;
    for number in 0..=255 {
        match demuxer.video(0, body(0, b"avc1", number, &record), now()) {
            Ok(items) => described += tracks(&items).len(),
            Err(error) => {
                let kind = MediaKind::Video;
                assert_eq!(error, Error::TooManyTracks { kind, number });
                assert!(!error.is_malformed());
            }
        }
    }
    assert_eq!(described, MAX_TRACKS);
    // Those that have a place keep it, and sound has its own.
    assert_eq!(
        video(&mut demuxer, body(3, b"avc1", 3, &access_unit(&[IDR])[5..])).len(),
        1
    );
    assert_eq!(audio(&mut demuxer, &[0xaf, 0, 0x12, 0x10]).len(), 1);
    // Numbers that have no id.
    let mut demuxer = Demuxer::new();
    assert!(
        demuxer
            .video(0, body(0, b"avc1", 128, &record), now())
            .is_err()
    );
    assert_eq!(video(&mut demuxer, body(0, b"avc1", 127, &record)).len(), 1);
}

#[test]
fn faults_of_some_tracks_are_told_beside_what_others_gave() {
    let mut demuxer = Demuxer::new();
    audio(&mut demuxer, &[0xaf, 0, 0x12, 0x10]);
    let mixed = b"\x95\x21mp4a\0\0\0\x01\x09spex\x01\0\0\x01\x08mp4a\x02\0\0\x01\x07";
    let items = audio(&mut demuxer, mixed);
    assert_eq!(frames(&items).len(), 1);
    let faults = demuxer.take_faults();
    let unsupported = faults[0].unsupported().unwrap();
    assert_eq!(
        (unsupported.kind(), unsupported.number()),
        (MediaKind::Audio, 1)
    );
    assert_eq!(faults[1..], [Error::NoConfiguration(MediaKind::Audio)]);
    assert!(demuxer.take_faults().is_empty());
    // Where none gives anything, the first fault is the body's.
    let mut demuxer = Demuxer::new();
    let body = Bytes::from_static(mixed);
    let error = demuxer.audio(0, body, now()).unwrap_err();
    assert_eq!(error, Error::NoConfiguration(MediaKind::Audio));
    assert_eq!(demuxer.take_faults().len(), 2);
}

#[test]
fn codecs_that_are_not_carried_are_named_with_those_that_are() {
    for (kind, body, sentence, announced) in [
        (
            MediaKind::Video,
            &b"\x90vvc1\x01"[..],
            "video in H.266 is not carried: send H.264",
            true,
        ),
        (
            MediaKind::Video,
            b"\x93vp08\x01",
            "video in VP8 is not carried: send H.264",
            false,
        ),
        (
            MediaKind::Video,
            b"\x96\x03xyzw\x02\x01",
            "video track 2 in xyzw is not carried: send H.264",
            false,
        ),
        (
            MediaKind::Audio,
            b"\xb2\x01",
            "audio in Speex is not carried: send AAC",
            false,
        ),
    ] {
        let mut demuxer = Demuxer::new();
        let body = Bytes::from_static(body);
        let error = match kind {
            MediaKind::Video => demuxer.video(0, body, now()),
            _ => demuxer.audio(0, body, now()),
        };
        let error = error.unwrap_err();
        let unsupported = error.unsupported().unwrap();
        assert_eq!(unsupported.is_announcement(), announced, "{sentence}");
        assert_eq!(unsupported.kind(), kind);
        assert!(!error.is_malformed() && !demuxer.has(kind));
        let said = error.to_string();
        assert!(said.starts_with(sentence), "{said}");
    }
}

#[test]
fn mp3_says_in_its_frames_what_it_is() {
    // 32 kbit/s at 44.1 kHz in mono: 104 bytes; then at 22.05 kHz, MPEG-2.
    let first = [&[0xff, 0xfb, 0x10, 0xc4][..], &[1; 100]].concat();
    let second = [&[0xff, 0xf3, 0x40, 0xc4][..], &[2; 100]].concat();
    let mut demuxer = Demuxer::new();
    let two = [&[0x2f][..], &first, &first].concat();
    let items = audio(&mut demuxer, &two);
    let track = tracks(&items)[0];
    assert_eq!(
        (track.id, track.codec_string.as_str()),
        (AUDIO, "mp4a.40.34")
    );
    assert_eq!(track.timescale.hz(), 44_100);
    // The second one follows the first: 1,152 samples on.
    let times: Vec<_> = frames(&items)
        .iter()
        .map(|frame| (frame.dts, frame.nanos, frame.duration, frame.payload.len()))
        .collect();
    assert_eq!(
        times,
        [(1_000, 0, 1_152, 104), (1_026, 122_449, 1_152, 104)]
    );
    assert_eq!(tracks(&audio(&mut demuxer, &two)).len(), 0);
    let other = audio(&mut demuxer, &[b"\x91.mp3", &second[..]].concat());
    assert_eq!(tracks(&other)[0].timescale.hz(), 22_050);
    let broken = demuxer.audio(0, Bytes::from_static(b"\x2f\x01\x02\x03\x04"), now());
    assert_eq!(broken.unwrap_err(), Error::NoHeader(crate::codec::MP3));
    // A frame that is cut short.
    assert!(demuxer.audio(0, two[..100].to_vec().into(), now()).is_err());
}

/// What libaom writes: its record, and the beginning of a keyframe's unit with
/// a temporal delimiter before it. 160x90.
const AV1_RECORD: &[u8] = b"\x81\0\x0c\0\x0a\x0a\0\0\0\x03\xb4\xfd\x93\x6b\xe4\x01";
const AV1_KEYFRAME: &[u8] =
    b"\x12\0\x0a\x0a\0\0\0\x03\xb4\xfd\x93\x6b\xe4\x01\x32\x08\x10\0\x84\0\x02\x08\x20\x88";
/// Of libvpx: the header of a keyframe of 160x90.
const VP9_KEYFRAME: &[u8] = b"\x82\x49\x83\x42\0\x09\xf0\x05\x96\x06\x38\x24\x1c\x18\x4a\0\x06";

#[test]
fn av1_may_begin_with_or_without_its_record() {
    for start in [AV1_RECORD, &[], &AV1_RECORD[..4]] {
        let mut demuxer = Demuxer::new();
        let begun = video(&mut demuxer, body(0, b"av01", 0, start));
        let early = demuxer.video(0, body(1, b"av01", 0, b"\x12\0\x32\x01\x30"), now());
        let items = video(&mut demuxer, body(1, b"av01", 0, AV1_KEYFRAME));
        let all: Vec<_> = begun.iter().chain(&items).cloned().collect();
        assert_eq!(tracks(&all).len(), 1);
        let params = tracks(&all)[0].video().unwrap();
        assert_eq!((params.width, params.height), (160, 90));
        if begun.is_empty() {
            let error = early.unwrap_err();
            assert_eq!(error, Error::NoConfiguration(MediaKind::Video));
        }
        // The delimiter is no part of it.
        assert_eq!(frames(&items)[0].payload, AV1_KEYFRAME[2..]);
        assert!(frames(&items)[0].keyframe);
    }
}

#[test]
fn vp9_is_described_when_its_size_is_known() {
    let record = b"\x01\0\0\0\0\x0a\x82\x02\x02\x02\0\0";
    let inter = [0x86, 0, 0x40];
    let mut demuxer = Demuxer::new();
    assert!(video(&mut demuxer, body(0, b"vp09", 0, record)).is_empty());
    // Nothing can be decoded before the first keyframe.
    assert!(video(&mut demuxer, body(1, b"vp09", 0, &inter)).is_empty());
    let items = video(&mut demuxer, body(1, b"vp09", 0, VP9_KEYFRAME));
    let track = tracks(&items)[0];
    assert_eq!(track.codec_string, "vp09.00.10.08");
    assert_eq!(track.video().unwrap().width, 160);
    assert!(frames(&items)[0].keyframe);
    let items = video(&mut demuxer, body(1, b"vp09", 0, &inter));
    assert_eq!((tracks(&items).len(), frames(&items).len()), (0, 1));
    assert!(!frames(&items)[0].keyframe);
    assert!(video(&mut demuxer, body(0, b"vp09", 0, record)).is_empty());
    // Nor after another codec.
    video(&mut demuxer, sequence_header(captures::BASELINE));
    assert!(video(&mut demuxer, body(0, b"vp09", 0, record)).is_empty());
    assert!(video(&mut demuxer, body(1, b"vp09", 0, &inter)).is_empty());
    let items = video(&mut demuxer, body(1, b"vp09", 0, VP9_KEYFRAME));
    assert_eq!((tracks(&items).len(), frames(&items).len()), (1, 1));
    // Without a record it is described as well.
    let mut demuxer = Demuxer::new();
    let items = video(&mut demuxer, body(1, b"vp09", 4, VP9_KEYFRAME));
    assert_eq!(tracks(&items)[0].id, TrackId(8));
}

#[test]
fn colours_beside_the_bitstream_are_told_where_it_says_none() {
    let packet = |transfer: f64| {
        let mut out = Vec::new();
        encode(&"colorInfo".into(), &mut out);
        let colours = Object::new()
            .with("colorPrimaries", 9.0)
            .with("transferCharacteristics", transfer)
            .with("matrixCoefficients", 9.0);
        encode(&Object::new().with("colorConfig", colours).into(), &mut out);
        out
    };
    let mut demuxer = Demuxer::new();
    video(&mut demuxer, body(0, b"av01", 0, AV1_RECORD));
    let items = video(&mut demuxer, body(4, b"av01", 0, &packet(16.0)));
    let colour = tracks(&items)[0].video().unwrap().colour;
    assert_eq!(colour, Some(Colour::new(9, 16, 9, false)));
    assert!(video(&mut demuxer, body(4, b"av01", 0, &packet(16.0))).is_empty());
    assert_eq!(
        tracks(&video(&mut demuxer, body(4, b"av01", 0, &packet(18.0)))).len(),
        1
    );
    // Of another codec, of a track that is not known, of one that says it itself.
    assert!(video(&mut demuxer, body(4, b"hvc1", 0, &packet(16.0))).is_empty());
    assert!(video(&mut demuxer, body(4, b"av01", 3, &packet(16.0))).is_empty());
    let own = captures::bytes(hevc_captures::MAIN10_HDR);
    video(&mut demuxer, body(0, b"hvc1", 0, &own));
    assert!(video(&mut demuxer, body(4, b"hvc1", 0, &packet(18.0))).is_empty());
    assert!(video(&mut demuxer, body(4, b"hvc1", 0, b"what")).is_empty());
}

#[test]
fn sounds_by_their_four_characters() {
    let opus = b"\x90OpusOpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0";
    let mut info = b"\x90fLaC\x04\0\x04\0\0\0\0\0\x08\x15\x0b\xb8\0\xf0".to_vec();
    info.resize(5 + 34, 0);
    let mut demuxer = Demuxer::new();
    for (start, codec, rate) in [(&opus[..], "opus", 48_000), (&info, "fLaC", 48_000)] {
        let items = audio(&mut demuxer, start);
        assert_eq!(tracks(&items)[0].codec_string, codec);
        assert_eq!(tracks(&items)[0].timescale.hz(), rate);
        assert!(audio(&mut demuxer, start).is_empty());
    }
    // What an encoder of FLAC knows at the end changes nothing.
    info[10] = 7;
    info[25] = 9;
    assert!(audio(&mut demuxer, &info).is_empty());
    assert!(audio(&mut demuxer, b"\x91fLaC").is_empty());
    let items = audio(
        &mut demuxer,
        b"\x91fLaC\xff\xf8\xaa\x08\0\xed\x4c\0\0\0\xeb",
    );
    assert_eq!(frames(&items)[0].duration, 1_024);
    let broken = demuxer.audio(0, Bytes::from_static(b"\x91fLaC\xff"), now());
    assert_eq!(broken.unwrap_err(), Error::NoHeader(crate::codec::FLAC));
    audio(&mut demuxer, opus);
    assert_eq!(
        frames(&audio(&mut demuxer, b"\x91Opus\xf8\x72\x49"))[0].duration,
        960
    );

    // 96 kbit/s at 48 kHz in mono: the start says nothing, the frame all.
    let mut ac3 = b"\x91ac-3\x0b\x77\x48\x0d\x0c\x40\x2f\x84\x2b\xc1\xc7\x7a".to_vec();
    ac3.resize(5 + 384, 0);
    assert!(audio(&mut demuxer, b"\x90ac-3").is_empty());
    let items = audio(&mut demuxer, &ac3);
    assert_eq!(tracks(&items)[0].codec_string, "ac-3");
    assert_eq!(frames(&items)[0].duration, 1_536);
    let items = audio(&mut demuxer, &ac3);
    assert_eq!((tracks(&items).len(), frames(&items).len()), (0, 1));
}

#[test]
fn nanoseconds_come_with_the_frame() {
    let mut demuxer = Demuxer::new();
    video(&mut demuxer, sequence_header(captures::HIGH_1080));
    let body = [b"\xa7\x02\x07\xa1\x20\x03avc1", &access_unit(&[IDR])[5..]].concat();
    let items = video(&mut demuxer, body.into());
    let frame = frames(&items)[0];
    assert_eq!((frame.dts, frame.nanos, frame.cts), (1_000, 500_000, 0));
}

#[test]
fn languages_and_names_of_tracks_are_those_of_their_lists() {
    let mut demuxer = Demuxer::new();
    let mut body = Vec::new();
    encode(&"onMetaData".into(), &mut body);
    let list = Object::new()
        .with(
            "1",
            Object::new()
                .with("language", "de")
                .with("title", "Kommentar"),
        )
        .with("2", Object::new().with("channels", 6.0));
    let properties = Object::new()
        .with("audiolanguage", "en")
        .with("audioTrackIdInfoMap", list);
    encode(&Value::EcmaArray(properties), &mut body);
    let items = demuxer.script(&body).unwrap();
    assert!(matches!(
        &items[..],
        [SourceItem::Announce(kinds)] if kinds[..] == [MediaKind::Audio; 2]
    ));
    for (number, language, label) in [
        (0, Some("en"), None),
        (1, Some("de"), Some("Kommentar")),
        (2, None, None),
    ] {
        let items = audio(
            &mut demuxer,
            &[0x95, 0, b'm', b'p', b'4', b'a', number, 0x12, 0x10],
        );
        let track = tracks(&items)[0];
        assert_eq!(track.language.as_deref(), language);
        assert_eq!(track.label.as_deref(), label);
    }
}

/// Bodies that are nearly right, so that mutations reach deep.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let template = prop_oneof![
        (0..captures::ALL.len()).prop_map(|at| (0, sequence_header(captures::ALL[at]).to_vec())),
        Just((0, access_unit(&[IDR]).to_vec())),
        (0..captures::ALL.len()).prop_map(|at| {
            let sets = [
                captures::sps(captures::ALL[at]),
                captures::pps(captures::ALL[at]),
            ];
            (0, access_unit(&[&sets[0], &sets[1], SLICE]).to_vec())
        }),
        Just((1, vec![0xaf, 0, 0x13, 0x08, 0x56, 0xe5, 0x9d, 0x48, 0x80])),
        Just((1, vec![0xaf, 1, 1, 2, 3])),
        Just((
            0,
            body(0, b"hvc1", 0, &captures::bytes(hevc_captures::ALL[0])).to_vec()
        )),
        Just((
            0,
            body(3, b"hvc1", 0, &[0, 0, 0, 6, 0x26, 1, 0xaf, 8, 7, 6]).to_vec()
        )),
        Just((0, body(3, b"avc1", 2, &access_unit(&[IDR])[5..]).to_vec())),
        Just((
            0,
            b"\x96\x13avc1\0\0\0\x05\0\0\0\x01\x65\x01\0\0\x01\x08".to_vec()
        )),
        Just((0, body(0, b"av01", 0, AV1_RECORD).to_vec())),
        Just((0, body(1, b"av01", 0, AV1_KEYFRAME).to_vec())),
        Just((0, body(1, b"vp09", 1, VP9_KEYFRAME).to_vec())),
        Just((
            1,
            b"\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0".to_vec()
        )),
        Just((1, b"\x91Opus\xf8\x72\x49".to_vec())),
        Just((0, b"\xa7\x02\0\0\x01\x03avc1\0\0\0\x01\x65".to_vec())),
        Just((
            1,
            b"\x95\x20mp4a\0\0\0\x02\x12\x10mp4a\x01\0\0\x02\x12\x10".to_vec()
        )),
        Just((
            1,
            b"\x95\x21mp4a\0\0\0\x01\x09mp4a\x01\0\0\x02\x08\x07".to_vec()
        )),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(|bytes| (2, bytes)),
    ];
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let body =
        (template, prop::collection::vec(change, 0..3)).prop_map(|((kind, mut body), changes)| {
            for (at, value) in changes {
                if !body.is_empty() {
                    let at = at.index(body.len());
                    body[at] = value;
                }
            }
            let len = u8::try_from(body.len()).unwrap();
            [&[kind, len][..], &body].concat()
        });
    prop::collection::vec(body, 1..8).prop_map(|bodies| bodies.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_sequence_of_bodies_gives_usable_items_or_errors(data in bodies()) {
        crate::fuzz::flv_bodies(&data);
    }

    #[test]
    fn any_bytes_give_usable_items_or_errors(data in prop::collection::vec(any::<u8>(), 0..300)) {
        crate::fuzz::flv_bodies(&data);
    }
}
