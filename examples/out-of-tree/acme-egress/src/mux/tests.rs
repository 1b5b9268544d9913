//! Tags by their bytes, and beside those of FFmpeg.

use std::time::Instant;

use rillcast_core::{
    AudioParams, BusConfig, FrameRate, MediaParams, Recv, StreamHandle, StreamKey, VideoParams,
};
use rillcast_media::{Feed, flv};

use super::*;
use crate::check::Checker;

fn video(codec: Codec) -> Track {
    let params = VideoParams::new(640, 360).with_frame_rate(FrameRate::new(25, 1));
    Track::new(
        TrackId(0),
        codec,
        Timescale::VIDEO,
        MediaParams::Video(params),
    )
    .with_config(Bytes::from_static(b"record"))
}

fn audio() -> Track {
    let params = MediaParams::Audio(AudioParams::new(48_000, 2));
    let timescale = Timescale::new(48_000).unwrap();
    Track::new(TrackId(1), codec::AAC, timescale, params)
        .with_config(Bytes::from_static(b"\x11\x90"))
}

fn layout(tracks: &[&Track]) -> Layout {
    let mut layout = Layout::default();
    for track in tracks {
        assert!(layout.add(track), "{track:?}");
    }
    layout
}

/// A frame that many milliseconds into the stream.
fn frame(track: &Track, millis: i64, payload: &'static [u8]) -> Frame {
    let ticks = rescale(10_000 + millis, Timescale::MILLIS, track.timescale);
    Frame::new(track.id, ticks, Instant::now(), Bytes::from_static(payload))
}

#[test]
fn a_row_has_a_head_and_a_size_around_every_payload() {
    let (video, audio) = (video(codec::AVC), audio());
    let layout = layout(&[&video, &audio]);
    let picture = frame(&video, 40, b"picture").with_keyframe(true);
    let picture = picture.clone().with_pts(picture.dts + 80 * 90);
    let row = layout.row([picture, frame(&audio, 43, b"sound")].iter());
    let want: &[&[u8]] = &[
        b"\x09\0\0\x0c\0\0\x28\0\0\0\0\x17\x01\0\0\x50",
        b"picture",
        b"\0\0\0\x17\x08\0\0\x07\0\0\x2b\0\0\0\0\xaf\x01",
        b"sound",
        b"\0\0\0\x12",
    ];
    let got: Vec<&[u8]> = row.slices.iter().map(|slice| &slice[..]).collect();
    assert_eq!(got, want);
    assert_eq!(row.bytes, want.concat().len());
    assert!(row.pictures);
}

#[test]
fn timestamps_have_32_bits_and_composition_times_24_with_a_sign() {
    let track = video(codec::AVC);
    let layout = layout(&[&track]);
    for (millis, offset, want) in [
        (0, 0, [0, 0, 0, 0, 0x27, 1, 0, 0, 0]),
        (0xff_ffff, 1, [0xff, 0xff, 0xff, 0, 0x27, 1, 0, 0, 1]),
        (0x0100_0000, -40, [0, 0, 0, 1, 0x27, 1, 0xff, 0xff, 0xd8]),
        (0xffff_ffff, 0, [0xff, 0xff, 0xff, 0xff, 0x27, 1, 0, 0, 0]),
        // After 49 days.
        (0x1_0000_0005, 0, [0, 0, 5, 0, 0x27, 1, 0, 0, 0]),
        // Before the stream began, and further from its decoding than can be told.
        (-3, 1 << 40, [0, 0, 0, 0, 0x27, 1, 0x7f, 0xff, 0xff]),
    ] {
        let mut frame = frame(&track, millis, b"x");
        frame.pts = frame.dts + offset * 90;
        let row = layout.row([frame].iter());
        let [t0, t1, t2, t3, body @ ..] = want;
        let head = row.slices[0].clone();
        assert_eq!(head[4..8], [t0, t1, t2, t3], "{millis}");
        assert_eq!(head[11..], body, "{millis} {offset}");
    }
}

#[test]
fn rounding_never_makes_pictures_drift_from_their_time() {
    // 60 fps do not fall on milliseconds; presentation is two pictures later.
    let track = video(codec::AVC);
    let layout = layout(&[&track]);
    for picture in 0..200 {
        let mut frame = frame(&track, 0, b"x");
        frame.dts += picture * 1_500;
        frame.pts = frame.dts + 3_000;
        let head = layout.row([frame.clone()].iter()).slices[0].clone();
        let shown = u32::from_be_bytes([head[7], head[4], head[5], head[6]])
            + u32::from_be_bytes([0, head[13], head[14], head[15]]);
        let exact = (frame.pts - 900_000) as f64 / 90.0;
        assert!((f64::from(shown) - exact).abs() <= 0.5, "{picture}");
    }
}

#[test]
fn newer_codecs_go_by_their_four_characters() {
    for (codec, configuration, picture) in [
        (codec::HEVC, &b"\x90hvc1"[..], &b"\xa1hvc1\0\0\x28"[..]),
        (codec::AV1, b"\x90av01", b"\xa1av01"),
    ] {
        let track = video(codec);
        let layout = layout(&[&track]);
        let tag = layout.configuration(&track, 7).unwrap();
        let whole = [configuration, b"record"].concat();
        assert_eq!(tag[11..tag.len() - 4], whole);
        let mut frame = frame(&track, 0, b"x");
        frame.pts += 40 * 90;
        assert_eq!(layout.row([frame].iter()).slices[0][11..], *picture);
    }
}

#[test]
fn one_track_of_a_kind_is_carried_and_the_rest_is_left_out() {
    let first = video(codec::AVC);
    let mut second = video(codec::AVC);
    second.id = TrackId(7);
    let mut layout = Layout::default();
    assert!(!layout.add(&video(codec::VP9)));
    assert!(layout.is_empty());
    assert!(layout.add(&first) && !layout.add(&second));
    assert!(layout.configuration(&second, 0).is_none());
    let row = layout.row([frame(&second, 0, b"x"), frame(&first, 0, b"y")].iter());
    assert_eq!(row.slices.len(), 3);
    let row = layout.row([frame(&second, 0, b"x")].iter());
    assert_eq!((row.slices.len(), row.bytes, row.pictures), (0, 0, false));
}

#[test]
fn a_frame_too_large_for_a_tag_is_left_out() {
    let track = video(codec::AVC);
    let layout = layout(&[&track]);
    let mut large = frame(&track, 0, b"");
    large.payload = Bytes::from(vec![0; (1 << 24) - 5]);
    let row = layout.row([large.clone(), frame(&track, 40, b"y")].iter());
    assert_eq!(row.slices.len(), 3);
    large.payload.truncate((1 << 24) - 6);
    assert_eq!(layout.row([large].iter()).slices.len(), 3);
}

#[test]
fn the_opening_says_what_comes() {
    let tracks = [Arc::new(video(codec::AVC)), Arc::new(audio())];
    for (tracks, flags, want) in [
        (
            &tracks[..],
            5,
            "videocodecid width height framerate audiocodecid \
             audiosamplerate audiosamplesize stereo encoder",
        ),
        (
            &tracks[..1],
            1,
            "videocodecid width height framerate encoder",
        ),
        (
            &tracks[1..],
            4,
            "audiocodecid audiosamplerate audiosamplesize stereo encoder",
        ),
    ] {
        let layout = layout(&tracks.iter().map(|track| &**track).collect::<Vec<_>>());
        let opening = layout.opening(tracks);
        assert_eq!(
            opening[..13],
            [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
        );
        let mut reader = flv::file::Reader::new();
        reader.push(&opening);
        let tag = reader.next_tag().unwrap().unwrap();
        let values = amf0::decode_all(&tag.body, amf0::Limits::default()).unwrap();
        assert_eq!(values[0].as_str(), Some("onMetaData"));
        let names: Vec<&str> = values[1]
            .as_object()
            .unwrap()
            .iter()
            .map(|it| it.0)
            .collect();
        assert_eq!(names.join(" "), want);
    }
}

/// FFmpeg's muxer made the clip; what was read from it and written again has the
/// same tags, to the byte and the millisecond.
#[test]
fn what_ffmpeg_muxed_is_muxed_the_same() {
    let clip = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../server/assets/demo/demo.flv"
    );
    let clip = std::fs::read(clip).unwrap();
    let media = |bytes: &[u8]| {
        let mut reader = flv::file::Reader::new();
        reader.push(bytes);
        std::iter::from_fn(move || reader.next_tag().unwrap())
            .filter(|tag| tag.kind != flv::file::TagKind::Script)
            // The end of the sequence is no frame.
            .filter(|tag| !(tag.kind == flv::file::TagKind::Video && tag.body[1] == 2))
            .collect::<Vec<_>>()
    };
    let config = BusConfig::default();
    let (publisher, handle) = StreamHandle::new(StreamKey::parse("a/b").unwrap(), config);
    let mut subscription = handle.subscribe();
    let (mut feed, mut demuxer) = (Feed::new(publisher), flv::Demuxer::new());
    let mut muxed = Vec::new();
    let (mut layout, mut tracks) = (Layout::default(), Vec::new());
    for tag in media(&clip) {
        for item in demuxer.tag(tag, Instant::now()).unwrap() {
            feed.push(item).unwrap();
        }
        while let Some(recv) = subscription.try_recv() {
            match recv {
                Recv::Track(track) => {
                    assert!(layout.add(&track));
                    tracks.push(track);
                }
                Recv::Frame(frame) => {
                    if muxed.is_empty() {
                        let at = layout.timestamp(&frame).unwrap();
                        muxed.extend_from_slice(&layout.opening(&tracks));
                        for track in &tracks {
                            muxed.extend_from_slice(&layout.configuration(track, at).unwrap());
                        }
                    }
                    let row = layout.row([frame.into_owned()].iter());
                    muxed.extend(row.slices.iter().flatten());
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let mut checker = Checker::new();
    checker.push(&muxed, |_| {}).unwrap();
    assert!(checker.is_whole());
    let (want, got) = (media(&clip), media(&muxed));
    assert_eq!(got.len(), want.len());
    assert!(want.len() > 100);
    for (want, got) in want.iter().zip(&got) {
        let at = want.timestamp_ms;
        assert_eq!((got.kind, got.timestamp_ms), (want.kind, at));
        assert_eq!(got.body, want.body, "{:?} at {at} ms", want.kind);
    }
}
