//! What enhanced clients sent, down to the access unit: each is the one that
//! FFmpeg finds in the same publish, at the same time. `captures/README.md`
//! says how the files were made.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use rillcast_core::{MediaKind as Kind, Track};
use rillcast_ingest_rtmp::proto::{Event, MediaKind, Session, SessionLimits};
use rillcast_media::{SourceFrame, SourceItem, flv};

/// A track as it is described before its first frame, and all its frames.
type Tracks = BTreeMap<u8, (Track, Vec<SourceFrame>)>;

/// The tracks of a capture. Every message must be understood.
fn tracks(name: &str) -> Tracks {
    let bytes = std::fs::read(path(name, "rtmp")).unwrap();
    let now = Instant::now();
    let mut session = Session::new(SessionLimits::default(), now);
    let mut demuxer = flv::Demuxer::new();
    let mut tracks = Tracks::new();
    let mut input = &bytes[..];
    while let Some(event) = session.handle_input(&mut input, now).unwrap() {
        while session.poll_transmit().is_some() {}
        let media = match event {
            Event::Publish(_) => {
                session.accept(now);
                continue;
            }
            Event::Media(media) => media,
            _ => continue,
        };
        let items = match media.kind {
            MediaKind::Video => demuxer.video(media.timestamp, media.body, now),
            MediaKind::Audio => demuxer.audio(media.timestamp, media.body, now),
            MediaKind::Script => demuxer.script(&media.body),
        };
        let items = items.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(demuxer.take_faults(), [], "{name}");
        for item in items {
            match item {
                SourceItem::Track(track) => {
                    // SVT-AV1 corrects its first sequence header in the stream.
                    let known = tracks.insert(track.id.0, (track, Vec::new()));
                    assert!(known.is_none_or(|(_, frames)| frames.is_empty()), "{name}");
                }
                SourceItem::Frame(frame) => {
                    tracks.get_mut(&frame.track.0).unwrap().1.push(frame);
                }
                _ => {}
            }
        }
    }
    tracks
}

/// Decoding and presentation time in milliseconds, size and checksum of an
/// access unit.
type Packet = (i64, i64, usize, u32);

/// What FFmpeg found, by our numbers of the tracks.
fn expected(name: &str) -> BTreeMap<u8, Vec<Packet>> {
    let text = std::fs::read_to_string(path(name, "framecrc")).unwrap();
    let mut ids = BTreeMap::new();
    let (mut video, mut audio) = (0, 0);
    let mut packets: BTreeMap<u8, Vec<Packet>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(of) = line.strip_prefix("#media_type ") {
            let (stream, kind) = of.split_once(": ").unwrap();
            let (kind, number) = match kind {
                "video" => (Kind::Video, &mut video),
                _ => (Kind::Audio, &mut audio),
            };
            let stream: u8 = stream.parse().unwrap();
            ids.insert(stream, flv::track_id(kind, *number).unwrap());
            *number += 1;
        }
        if line.starts_with('#') {
            continue;
        }
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        let size = fields[4].parse().unwrap();
        // FFmpeg ends FLAC with a packet of nothing.
        if size == 0 {
            continue;
        }
        let id = ids[&fields[0].parse().unwrap()];
        let checksum = fields[5].strip_prefix("0x").unwrap();
        packets.entry(id.0).or_default().push((
            fields[1].parse().unwrap(),
            fields[2].parse().unwrap(),
            size,
            u32::from_str_radix(checksum, 16).unwrap(),
        ));
    }
    packets
}

/// The checksum that FFmpeg's `framecrc` writes: Adler-32 from 0.
fn checksum(bytes: &[&[u8]]) -> u32 {
    let (mut a, mut b) = (0_u32, 0_u32);
    for byte in bytes.iter().copied().flatten() {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}

fn path(name: &str, extension: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(format!("{name}.{extension}"))
}

/// Checks the tracks of a capture, by id and codec string, and their frames.
fn check(name: &str, want: &[(u8, &str)]) {
    let tracks = tracks(name);
    let found: Vec<_> = tracks
        .iter()
        .map(|(id, (track, _))| (*id, track.codec_string.as_str()))
        .collect();
    assert_eq!(found, want, "{name}");
    let mut expected = expected(name);
    for (id, (track, frames)) in &tracks {
        let packets = expected.remove(id).unwrap();
        assert_eq!(frames.len(), packets.len(), "{name}, track {id}");
        match track.kind() {
            Kind::Video => {
                let video = track.video().unwrap();
                assert_eq!((video.width, video.height), (160, 90), "{name}");
                assert!(frames[0].keyframe, "{name}");
            }
            _ => assert!(frames.iter().all(|frame| frame.duration > 0), "{name}"),
        }
        for (at, (frame, packet)) in frames.iter().zip(packets).enumerate() {
            let (dts, pts, size, sum) = packet;
            let payload = &frame.payload[..];
            let times = (frame.dts, frame.dts + i64::from(frame.cts));
            assert_eq!(times, (dts, pts), "{name}, track {id}, frame {at}");
            // Temporal delimiters are no part of a canonical AV1 payload.
            let delimiter: &[u8] = if size == payload.len() + 2 {
                &[0x12, 0]
            } else {
                &[]
            };
            let ours = (
                delimiter.len() + payload.len(),
                checksum(&[delimiter, payload]),
            );
            assert_eq!(ours, (size, sum), "{name}, track {id}, frame {at}");
        }
    }
    assert!(expected.is_empty(), "{name}");
}

#[test]
fn codecs_by_their_four_characters() {
    check(
        "ffmpeg-9.0-hevc",
        &[(0, "hvc1.1.6.L30.90"), (1, "mp4a.40.2")],
    );
    check("ffmpeg-9.0-av1-opus", &[(0, "av01.0.00M.08"), (1, "opus")]);
    check("ffmpeg-9.0-vp9-flac", &[(0, "vp09.00.10.08"), (1, "fLaC")]);
    check("ffmpeg-9.0-ac3", &[(0, "avc1.42c00a"), (1, "ac-3")]);
    check("ffmpeg-9.0-eac3", &[(0, "avc1.42c00a"), (1, "ec-3")]);
}

/// The encoder has no configuration before its first picture: the sequence
/// starts empty, and again with one.
#[test]
fn a_configuration_that_comes_late() {
    check("ffmpeg-9.0-av1", &[(0, "av01.0.00M.08"), (1, "mp4a.40.2")]);
}

#[test]
fn sound_that_flv_always_had() {
    check("ffmpeg-5.1-mp3", &[(0, "avc1.42c00a"), (1, "mp4a.40.34")]);
}

#[test]
fn two_tracks_of_each_kind_in_different_codecs() {
    check(
        "ffmpeg-9.0-tracks",
        &[
            (0, "avc1.42c00a"),
            (1, "mp4a.40.2"),
            (2, "hvc1.1.6.L30.90"),
            (3, "opus"),
        ],
    );
}
