//! Headers of bodies, by table.

use super::*;

fn body(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

#[test]
fn avc_bodies() {
    let part = |bytes: &'static [u8]| Bytes::from_static(bytes);
    for (bytes, want) in [
        (
            &[0x17, 0, 0, 0, 0, 1, 2][..],
            VideoBody::Configuration(part(&[1, 2])),
        ),
        (
            &[0x17, 1, 0, 0, 80, 9],
            VideoBody::AccessUnit(part(&[9]), 80),
        ),
        (
            &[0x27, 1, 0xff, 0xff, 0xd8, 9],
            VideoBody::AccessUnit(part(&[9]), -40),
        ),
        (&[0x17, 2, 0, 0, 0], VideoBody::Nothing),
        (&[0x17, 2], VideoBody::Nothing),
        (&[0x17, 9, 0, 0, 0, 1], VideoBody::Nothing),
        // A command frame of any codec: a seek marker of one byte.
        (&[0x57, 0], VideoBody::Nothing),
        (&[0x52, 1], VideoBody::Nothing),
    ] {
        assert_eq!(video(body(bytes)), Ok(want), "{bytes:?}");
    }
}

#[test]
fn aac_bodies() {
    let part = |bytes: &'static [u8]| Bytes::from_static(bytes);
    for (bytes, want) in [
        (
            &[0xaf, 0, 0x12, 0x10][..],
            AudioBody::Configuration(part(&[0x12, 0x10])),
        ),
        (&[0xaf, 1, 7], AudioBody::Frame(part(&[7]))),
        // The other bits of the header mean nothing for AAC.
        (&[0xa0, 1, 7], AudioBody::Frame(part(&[7]))),
        (&[0xaf, 7, 7], AudioBody::Nothing),
    ] {
        assert_eq!(audio(body(bytes)), Ok(want), "{bytes:?}");
    }
}

#[test]
fn the_old_codecs_by_four_character_codes() {
    let part = |bytes: &'static [u8]| Bytes::from_static(bytes);
    for (bytes, want) in [
        (
            &b"\x90avc1\x01\x02"[..],
            VideoBody::Configuration(part(&[1, 2])),
        ),
        (
            b"\xa1avc1\0\0\x50\x09",
            VideoBody::AccessUnit(part(&[9]), 80),
        ),
        (b"\xa3avc1\x09", VideoBody::AccessUnit(part(&[9]), 0)),
        (b"\x92avc1", VideoBody::Nothing),
        (b"\x94avc1\x02\0\x01x", VideoBody::Nothing),
        // A seek marker has no code.
        (b"\xd0\0", VideoBody::Nothing),
        // A time offset in nanoseconds before the packet, and one of a kind
        // that nobody knows of 256 bytes.
        (
            b"\xa7\x02\0\0\x01\x03avc1\x09",
            VideoBody::AccessUnit(part(&[9]), 0),
        ),
        (
            &[&b"\xa7\xff\0\xff"[..], &[0; 256], b"\x73avc1\x09"].concat(),
            VideoBody::AccessUnit(part(&[9]), 0),
        ),
    ] {
        assert_eq!(video(body(bytes)), Ok(want), "{bytes:?}");
    }
    for (bytes, want) in [
        (
            &b"\x90mp4a\x12\x10"[..],
            AudioBody::Configuration(part(&[0x12, 0x10])),
        ),
        (b"\x91mp4a\x07", AudioBody::Frame(part(&[7]))),
        (b"\x92mp4a", AudioBody::Nothing),
        (b"\x94mp4a\x01\x02", AudioBody::Nothing),
    ] {
        assert_eq!(audio(body(bytes)), Ok(want), "{bytes:?}");
    }
}

#[test]
fn empty_and_truncated_bodies_are_typed() {
    let (of_video, of_audio) = (MediaKind::Video, MediaKind::Audio);
    for (bytes, want) in [
        (&[][..], Error::Empty(of_video)),
        (&[0x17], Error::Truncated(of_video)),
        (b"\x90avc1", Error::Empty(of_video)),
        (b"\x91avc1\0\0", Error::Truncated(of_video)),
        (b"\x91avc1\0\0\0", Error::Empty(of_video)),
        (&[0x97], Error::Truncated(of_video)),
        (&[0x97, 5, 0, 0], Error::Truncated(of_video)),
        (&[0x97, 0xff, 0xff, 0xff, 0], Error::Truncated(of_video)),
        (&[0x17, 1], Error::Truncated(of_video)),
        (&[0x17, 1, 0, 0], Error::Truncated(of_video)),
        (&[0x17, 1, 0, 0, 0], Error::Empty(of_video)),
        (&[0x17, 0, 0, 0, 0], Error::Empty(of_video)),
        (&[0x90], Error::Truncated(of_video)),
        (&[0x90, b'h', b'v', b'c'], Error::Truncated(of_video)),
    ] {
        assert_eq!(video(body(bytes)), Err(want), "{bytes:?}");
    }
    for (bytes, want) in [
        (&[][..], Error::Empty(of_audio)),
        (&[0xaf], Error::Truncated(of_audio)),
        (&[0xaf, 0], Error::Empty(of_audio)),
        (&[0xaf, 1], Error::Empty(of_audio)),
        (&[0x90, b'O'], Error::Truncated(of_audio)),
    ] {
        assert_eq!(audio(body(bytes)), Err(want), "{bytes:?}");
    }
}

#[test]
fn codecs_that_are_not_carried_are_named() {
    fn check(result: Result<(), Error>, kind: MediaKind, name: &str) {
        let error = result.unwrap_err();
        let unsupported = error.unsupported().unwrap();
        assert_eq!(unsupported.kind(), kind);
        assert_eq!(unsupported.codec_name(), name);
        assert!(!error.is_malformed());
        assert_eq!(
            error.to_string(),
            format!("{kind} in {name} is not carried yet")
        );
    }
    for (bytes, name) in [
        (&[0x12, 0][..], "Sorenson H.263"),
        (&[0x14, 0], "VP6"),
        (
            &[0x1c, 0, 0, 0, 0],
            "H.265 (in the unofficial form, codec id 12)",
        ),
        // Enhanced RTMP: sequence starts and frames alike.
        (b"\x90hvc1\x01", "H.265"),
        (b"\xa1hvc1\0\0\0\x01", "H.265"),
        (b"\x91av01\x01", "AV1"),
        (b"\x91vp09\x01", "VP9"),
        (b"\x91xyzw\x01", "xyzw"),
        (b"\x96\x00avc1\x00\x01", "messages of several tracks"),
    ] {
        check(video(body(bytes)).map(drop), MediaKind::Video, name);
    }
    for (bytes, name) in [
        (&[0x2f, 0][..], "MP3"),
        (&[0xb2, 0], "Speex"),
        (&[0x66, 0], "Nellymoser"),
        (&[0x72, 0], "G.711 A-law"),
        (b"\x90Opus\x01", "Opus"),
        (b"\x91ac-3\x01", "AC-3"),
        (b"\x91.mp3\x01", "MP3"),
        (b"\x95\x00mp4a\x00\x01", "messages of several tracks"),
    ] {
        check(audio(body(bytes)).map(drop), MediaKind::Audio, name);
    }
}
