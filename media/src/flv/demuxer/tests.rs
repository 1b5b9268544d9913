//! What bodies in sequence give.

use proptest::prelude::*;
use rillcast_core::TrackId;

use super::super::amf0::{Object, Value, encode};
use super::*;
use crate::codec::avc::captures;

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
