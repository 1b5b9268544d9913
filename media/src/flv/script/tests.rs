//! `onMetaData` as publishers write it.

use super::*;

fn parse(body: &[u8]) -> Result<Option<Metadata>, Error> {
    Metadata::parse(body, amf0::Limits::default())
}

fn body(names: &[&str], properties: Value) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        amf0::encode(&(*name).into(), &mut out);
    }
    amf0::encode(&properties, &mut out);
    out
}

fn metadata(properties: Object) -> Metadata {
    let bytes = body(&["onMetaData"], Value::EcmaArray(properties));
    parse(&bytes).unwrap().unwrap()
}

#[test]
fn ffmpeg_names_tracks_by_codec_numbers() {
    let bytes = body(
        &["@setDataFrame", "onMetaData"],
        Value::EcmaArray(
            Object::new()
                .with("duration", 0.0)
                .with("width", 1_280.0)
                .with("height", 720.0)
                .with("videodatarate", 2_500.0)
                .with("framerate", 25.0)
                .with("videocodecid", 7.0)
                .with("audiodatarate", 125.0)
                .with("audiosamplerate", 44_100.0)
                .with("audiosamplesize", 16.0)
                .with("stereo", true)
                .with("audiocodecid", 10.0)
                .with("encoder", "Lavf59.27.100")
                .with("filesize", 0.0),
        ),
    );
    let data = parse(&bytes).unwrap().unwrap();
    assert_eq!(data.announced(), [MediaKind::Video, MediaKind::Audio]);
    assert_eq!((data.width, data.height), (Some(1_280), Some(720)));
    assert_eq!(data.frame_rate, Some(25.0));
    assert_eq!(data.video_codec.as_deref(), Some("H.264"));
    assert_eq!(data.audio_codec.as_deref(), Some("AAC"));
    assert_eq!(data.video_bitrate, Some(2_500_000));
    assert_eq!(data.audio_bitrate, Some(125_000));
    assert_eq!(data.encoder.as_deref(), Some("Lavf59.27.100"));
}

#[test]
fn kinds_are_announced_by_flags_codecs_or_signs_of_them() {
    let (video, audio) = (MediaKind::Video, MediaKind::Audio);
    for (properties, want) in [
        (Object::new(), vec![]),
        (Object::new().with("encoder", "x"), vec![]),
        (Object::new().with("videocodecid", "avc1"), vec![video]),
        (Object::new().with("audiocodecid", "mp4a"), vec![audio]),
        (Object::new().with("audiocodecid", 10.0), vec![audio]),
        (Object::new().with("width", 640.0), vec![video]),
        (
            Object::new()
                .with("width", 640.0)
                .with("audiosamplerate", 48_000.0),
            vec![video, audio],
        ),
        (
            Object::new()
                .with("hasVideo", false)
                .with("hasAudio", true)
                .with("width", 640.0),
            vec![audio],
        ),
        // OBS writes zeros for what there is not.
        (
            Object::new()
                .with("width", 0.0)
                .with("videocodecid", 0.0)
                .with("audiocodecid", 10.0),
            vec![audio],
        ),
        (Object::new().with("videocodecid", Value::Null), vec![]),
        (Object::new().with("videocodecid", f64::NAN), vec![]),
    ] {
        let data = metadata(properties.clone());
        assert_eq!(data.announced(), want, "{properties:?}");
    }
}

#[test]
fn codecs_are_named() {
    let video = |value: Value| metadata(Object::new().with("videocodecid", value)).video_codec;
    for (value, want) in [
        (Value::Number(2.0), "Sorenson H.263"),
        (
            Value::Number(f64::from(u32::from_be_bytes(*b"hvc1"))),
            "H.265",
        ),
        ("avc1".into(), "avc1"),
    ] {
        assert_eq!(video(value).as_deref(), Some(want));
    }
    let audio = metadata(Object::new().with("audiocodecid", 0.0)).audio_codec;
    assert_eq!(audio, None);
    let audio = metadata(Object::new().with("audiocodecid", 2.0)).audio_codec;
    assert_eq!(audio.as_deref(), Some("MP3"));
}

#[test]
fn nonsense_is_left_out() {
    let data = metadata(
        Object::new()
            .with("width", -5.0)
            .with("height", f64::INFINITY)
            .with("framerate", f64::NAN)
            .with("videodatarate", 1e300)
            .with("audiolanguage", "x'; drop table")
            .with("encoder", "e".repeat(5_000)),
    );
    assert_eq!((data.width, data.height), (None, None));
    assert_eq!((data.frame_rate, data.video_bitrate), (None, None));
    assert_eq!(data.language, None);
    assert_eq!(data.encoder.map(|encoder| encoder.len()), Some(100));
}

#[test]
fn languages_have_the_form_of_a_tag() {
    for (tag, want) in [
        ("en", true),
        ("de-CH-1996", true),
        ("zh-Hant", true),
        ("und", true),
        ("", false),
        ("e", false),
        ("e1", false),
        ("en-", false),
        ("en_US", false),
        ("English language", false),
    ] {
        let data = metadata(Object::new().with("language", tag));
        assert_eq!(data.language.is_some(), want, "{tag}");
    }
}

#[test]
fn other_script_data_gives_nothing_and_broken_data_is_typed() {
    let text = body(&["onTextData"], Object::new().with("text", "x").into());
    assert_eq!(parse(&text), Ok(None));
    assert_eq!(parse(&[]), Ok(None));
    // librtmp's users send it without arguments.
    let mut bare = Vec::new();
    amf0::encode(&"@setDataFrame".into(), &mut bare);
    assert_eq!(parse(&bare), Ok(None));
    let cut = &body(&["onMetaData"], Value::Null)[..5];
    assert_eq!(parse(cut), Err(Error::Script(amf0::Error::Truncated)));
    let nested = [
        &body(&["onMetaData"], Value::Null)[..],
        &[10, 0, 0, 0, 1].repeat(40),
    ]
    .concat();
    assert_eq!(parse(&nested), Err(Error::Script(amf0::Error::TooDeep(16))));
    // What comes behind the properties does not matter.
    let trailing = [
        &body(&["onMetaData"], Object::new().with("width", 2.0).into())[..],
        &[0x11, 1, 2],
    ]
    .concat();
    assert!(parse(&trailing).unwrap().is_some());
}
