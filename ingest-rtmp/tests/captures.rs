//! What real clients sent, replayed at several splits. `captures/README.md`
//! says how each was made; the sequence of OBS is written by hand here.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;
use std::time::Instant;

use rillcast_ingest_rtmp::proto::{Event, Media, MediaKind, Refused, Session, SessionLimits};

/// What came out of a replay.
#[derive(Debug, Default, PartialEq)]
struct Replay {
    key: String,
    agent: String,
    media: Vec<Media>,
    unpublished: u32,
    refused: Vec<Refused>,
    answered: usize,
}

impl Replay {
    fn of(kind: MediaKind) -> impl Fn(&&Media) -> bool {
        move |media| media.kind == kind
    }

    /// Number of messages of a kind, their bytes, and the timestamps of the
    /// second and the last (the first is a sequence header).
    fn summary(&self, kind: MediaKind) -> (usize, usize, u32, u32) {
        let all: Vec<&Media> = self.media.iter().filter(Self::of(kind)).collect();
        let time = |index: usize| all.get(index).map_or(0, |media| media.timestamp);
        let bytes = all.iter().map(|media| media.body.len()).sum();
        (all.len(), bytes, time(1), time(all.len().saturating_sub(1)))
    }

    /// The longest step forward between messages of a kind, wraps at 31 bits
    /// unrolled, from the second on.
    fn longest_step(&self, kind: MediaKind) -> u32 {
        let times: Vec<u32> = self
            .media
            .iter()
            .filter(Self::of(kind))
            .map(|media| media.timestamp)
            .collect();
        let steps = times
            .windows(2)
            .skip(1)
            .map(|pair| pair[1].wrapping_sub(pair[0]) & 0x7FFF_FFFF);
        steps.max().unwrap_or(0)
    }
}

/// Replays `bytes` in pieces of `step`; every publish is accepted.
fn replay(bytes: &[u8], step: usize) -> Replay {
    let now = Instant::now();
    let mut session = Session::new(SessionLimits::default(), now);
    let mut replay = Replay::default();
    for mut piece in bytes.chunks(step) {
        while let Some(event) = session.handle_input(&mut piece, now).unwrap() {
            match event {
                Event::Publish(request) => {
                    replay.key = request.key.to_string();
                    replay.agent = request.agent;
                    session.accept(now);
                }
                Event::Media(media) => replay.media.push(media),
                Event::Unpublished => replay.unpublished += 1,
                Event::Refused(refused) => replay.refused.push(refused),
                other => panic!("{other:?}"),
            }
        }
        while let Some(answer) = session.poll_transmit() {
            replay.answered += answer.len();
        }
    }
    assert_eq!(
        session.ignored(),
        Default::default(),
        "everything was understood"
    );
    replay
}

/// Replays a capture at every split and checks that it makes no difference.
fn check(bytes: &[u8]) -> Replay {
    let whole = replay(bytes, usize::MAX);
    for step in [1, 7, 1_460] {
        assert_eq!(replay(bytes, step), whole, "in steps of {step}");
    }
    whole
}

fn capture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn real_publishers_are_understood_to_the_last_byte() {
    const FFMPEG: &str = "FMLE/3.0 (compatible; Lavf59.27.100)";
    // (messages, bytes, second timestamp, last timestamp) of video and audio,
    // and the number of script messages.
    for (name, agent, video, audio, scripts) in [
        (
            "ffmpeg-5.1.rtmp",
            FFMPEG,
            (42, 17_389, 0, 1_560),
            (77, 6_705, 59, 1_659),
            1,
        ),
        (
            "ffmpeg-5.1-24-bits.rtmp",
            FFMPEG,
            (42, 17_389, 16_776_420, 16_777_980),
            (77, 6_705, 16_776_479, 16_778_079),
            1,
        ),
        (
            "ffmpeg-5.1-31-bits.rtmp",
            FFMPEG,
            (42, 17_389, 2_147_482_820, 732),
            (77, 6_705, 2_147_482_879, 831),
            1,
        ),
        (
            "gst-rtmp2sink-1.22.rtmp",
            "LNX 10,0,32,18",
            (42, 22_754, 0, 1_602),
            (71, 6_584, 0, 1_602),
            26,
        ),
        (
            "librtmp-2.4-rtmpsink-1.22.rtmp",
            "",
            (42, 22_754, 0, 1_602),
            (71, 6_584, 0, 1_602),
            26,
        ),
        (
            "librtmp-2.4-rtmpsink-1.22-24-bits.rtmp",
            "",
            (42, 17_389, 16_779_920, 16_781_480),
            (77, 6_705, 16_779_979, 16_781_579),
            1,
        ),
    ] {
        let replay = check(&capture(name));
        assert_eq!(replay.key, "live/cam", "{name}");
        assert_eq!(replay.agent, agent, "{name}");
        assert_eq!(replay.summary(MediaKind::Video), video, "{name}");
        assert_eq!(replay.summary(MediaKind::Audio), audio, "{name}");
        assert_eq!(replay.summary(MediaKind::Script).0, scripts, "{name}");
        // GStreamer repeats its sequence headers, at 0 and at the end.
        assert!(replay.longest_step(MediaKind::Video) <= 122, "{name}");
        assert!(replay.longest_step(MediaKind::Audio) <= 81, "{name}");
        assert_eq!(replay.unpublished, 1, "{name}");
        for media in &replay.media {
            let first = match media.kind {
                // AVC key and inter pictures; AAC; the name of script data.
                MediaKind::Video => [0x17, 0x27],
                MediaKind::Audio => [0xAF, 0xAE],
                MediaKind::Script => [2, 2],
            };
            assert!(first.contains(&media.body[0]), "{name}: {media:?}");
        }
    }
}

/// The same pictures went through FFmpeg and librtmp: chunking, interleaving
/// and extended timestamps must not show in the bodies.
#[test]
fn the_same_file_comes_out_of_different_clients() {
    let bodies = |name| {
        let replay = check(&capture(name));
        let media = replay
            .media
            .into_iter()
            .filter(|media| media.kind != MediaKind::Script);
        media
            .map(|media| (media.kind, media.body))
            .collect::<Vec<_>>()
    };
    assert!(bodies("ffmpeg-5.1-24-bits.rtmp") == bodies("ffmpeg-5.1-31-bits.rtmp"));
    assert!(bodies("ffmpeg-5.1-24-bits.rtmp") == bodies("librtmp-2.4-rtmpsink-1.22-24-bits.rtmp"));
}

#[test]
fn a_player_is_refused() {
    let replay = check(&capture("ffmpeg-5.1-play.rtmp"));
    assert_eq!(replay.refused, [Refused::Play]);
    assert!(replay.media.is_empty());
}

#[test]
fn a_capture_that_stops_anywhere_is_no_error() {
    let bytes = capture("librtmp-2.4-rtmpsink-1.22.rtmp");
    let whole = replay(&bytes, usize::MAX).media.len();
    let mut before = 0;
    for length in (0..bytes.len()).step_by(997) {
        let part = replay(&bytes[..length], usize::MAX).media.len();
        assert!(part >= before && part <= whole);
        before = part;
    }
}

/// OBS Studio 30 with its librtmp: a plain handshake, headers compressed by
/// types 1 and 3, audio and video on one chunk stream, chunks of 4,096 bytes
/// announced before `connect`, and an extended timestamp that type 3 chunks do
/// not repeat.
#[test]
fn the_sequence_of_obs() {
    let replay = check(&obs::publish());
    assert_eq!(replay.key, "live/cam");
    assert_eq!(replay.agent, "FMLE/3.0 (compatible; FMSc/1.0)");
    assert_eq!(replay.summary(MediaKind::Script).0, 1);
    assert_eq!(
        replay.summary(MediaKind::Video),
        (4, 3 * 10_005 + 40, 16_777_200, 16_777_267)
    );
    assert_eq!(
        replay.summary(MediaKind::Audio),
        (3, 2 * 300 + 4, 16_777_210, 16_777_231)
    );
    assert_eq!(replay.unpublished, 1);
}

/// Bytes as OBS would send them.
mod obs {
    use rillcast_ingest_rtmp::proto::command::Command;
    use rillcast_media::flv::amf0::{self, Object, Value};

    pub(super) fn publish() -> Vec<u8> {
        let mut wire = vec![0; 1 + 2 * 1_536];
        wire[0] = 3;
        chunk(
            &mut wire,
            0x02,
            &[0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0],
            &4_096_u32.to_be_bytes(),
        );
        let connect = Object::new()
            .with("app", "live")
            .with("type", "nonprivate")
            .with("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)")
            .with("swfUrl", "rtmp://127.0.0.1:1935/live")
            .with("tcUrl", "rtmp://127.0.0.1:1935/live")
            .with(
                "fourCcList",
                Value::StrictArray(vec!["av01".into(), "hvc1".into()]),
            );
        full(
            &mut wire,
            3,
            20,
            0,
            &command("connect", 1.0, vec![connect.into()]),
        );
        medium(
            &mut wire,
            3,
            20,
            0,
            &command("releaseStream", 2.0, vec![Value::Null, "cam".into()]),
        );
        medium(
            &mut wire,
            3,
            20,
            0,
            &command("FCPublish", 3.0, vec![Value::Null, "cam".into()]),
        );
        medium(
            &mut wire,
            3,
            20,
            0,
            &command("createStream", 4.0, vec![Value::Null]),
        );
        let publish = vec![Value::Null, "cam".into(), "live".into()];
        full(&mut wire, 4, 20, 1, &command("publish", 5.0, publish));
        medium(
            &mut wire,
            3,
            20,
            0,
            &command("_checkbw", 6.0, vec![Value::Null]),
        );
        let mut metadata = Vec::new();
        let properties = Object::new()
            .with("videocodecid", 7.0)
            .with("audiocodecid", 10.0);
        for value in [
            "@setDataFrame".into(),
            "onMetaData".into(),
            Value::EcmaArray(properties),
        ] {
            amf0::encode(&value, &mut metadata);
        }
        full(&mut wire, 4, 18, 1, &metadata);
        // Sequence headers at 0, then over the end of 24 bits.
        full(&mut wire, 4, 8, 1, &[0xAF, 0, 0x12, 0x10]);
        full(
            &mut wire,
            4,
            9,
            1,
            &[&[0x17, 0, 0, 0, 0][..], &[1; 35]].concat(),
        );
        let video = [&[0x27, 1, 0, 0, 0][..], &[9; 10_000]].concat();
        let audio = [&[0xAF, 1][..], &[8; 298]].concat();
        medium(&mut wire, 4, 9, 16_777_200, &video);
        medium(&mut wire, 4, 8, 10, &audio);
        medium(&mut wire, 4, 8, 21, &audio);
        // A packet that OBS sends with a full header after it dropped frames.
        let long = 16_777_234_u32.to_be_bytes();
        chunk(
            &mut wire,
            0x04,
            &[
                0xFF, 0xFF, 0xFF, 0, 0x27, 0x15, 9, 1, 0, 0, 0, long[0], long[1], long[2], long[3],
            ],
            &video,
        );
        medium(&mut wire, 4, 9, 33, &video);
        medium(
            &mut wire,
            3,
            20,
            0,
            &command("FCUnpublish", 7.0, vec![Value::Null, "cam".into()]),
        );
        medium(
            &mut wire,
            3,
            20,
            0,
            &command("deleteStream", 8.0, vec![Value::Null, 1.0.into()]),
        );
        wire
    }

    fn command(name: &str, transaction: f64, arguments: Vec<Value>) -> Vec<u8> {
        Command {
            name: name.to_owned(),
            transaction,
            arguments,
        }
        .write()
        .to_vec()
    }

    fn full(wire: &mut Vec<u8>, id: u8, kind: u8, stream: u8, body: &[u8]) {
        let [_, l0, l1, l2] = u32::try_from(body.len()).unwrap().to_be_bytes();
        chunk(
            wire,
            id,
            &[0, 0, 0, l0, l1, l2, kind, stream, 0, 0, 0],
            body,
        );
    }

    fn medium(wire: &mut Vec<u8>, id: u8, kind: u8, delta: u32, body: &[u8]) {
        let [_, l0, l1, l2] = u32::try_from(body.len()).unwrap().to_be_bytes();
        let [_, d0, d1, d2] = delta.to_be_bytes();
        chunk(wire, 0x40 | id, &[d0, d1, d2, l0, l1, l2, kind], body);
    }

    fn chunk(wire: &mut Vec<u8>, basic: u8, header: &[u8], body: &[u8]) {
        wire.push(basic);
        wire.extend_from_slice(header);
        for (index, piece) in body.chunks(4_096).enumerate() {
            if index > 0 {
                wire.push(0xC0 | (basic & 0x3F));
            }
            wire.extend_from_slice(piece);
        }
    }
}
