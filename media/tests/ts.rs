//! Transport streams that FFmpeg makes, against the same media in FLV: every
//! access unit and time is the same.
//!
//! Without FFmpeg installed these tests say so and pass; with `CI` set they fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rillcast_core::{MediaKind, Track};
use rillcast_media::ts::{Counts, Demuxer};
use rillcast_media::{SourceFrame, SourceItem, codec, flv};

/// How the picture and the sound are encoded.
const SOURCES: [(&str, &[&str]); 6] = [
    (
        "B-frames, 44.1 kHz",
        &["-r", "25", "-bf", "3", "-g", "50", "-ar", "44100"],
    ),
    (
        "B-pyramid, 48 kHz mono",
        &[
            "-r",
            "30000/1001",
            "-x264opts",
            "b-pyramid=normal:keyint=31",
            "-ar",
            "48000",
            "-ac",
            "1",
        ],
    ),
    (
        "baseline, several slices, 5.1",
        &[
            "-profile:v",
            "baseline",
            "-slices",
            "4",
            "-r",
            "50",
            "-ar",
            "48000",
            "-ac",
            "6",
        ],
    ),
    (
        "interlaced",
        &[
            "-flags",
            "+ilme+ildct",
            "-x264opts",
            "interlaced=1:tff=1",
            "-ar",
            "32000",
        ],
    ),
    (
        "tiny pictures without delimiters",
        &[
            "-r",
            "60",
            "-tune",
            "zerolatency",
            "-crf",
            "51",
            "-ar",
            "48000",
        ],
    ),
    (
        "filler data",
        &[
            "-b:v",
            "1M",
            "-maxrate",
            "1M",
            "-bufsize",
            "1M",
            "-x264opts",
            "nal-hrd=cbr:filler=1",
            "-ar",
            "48000",
        ],
    ),
];

#[test]
fn what_ffmpeg_muxes_is_what_it_publishes() {
    if !installed() {
        return;
    }
    for (name, options) in SOURCES {
        let dir = tempfile::tempdir().unwrap();
        let flv = dir.path().join("in.flv");
        encode(options, &flv);
        let want = from_flv(&fs::read(&flv).unwrap());
        for muxer in [
            &[][..],
            &["-mpegts_flags", "resend_headers", "-muxrate", "8M"],
            &["-omit_video_pes_length", "0"],
            &["-pes_payload_size", "0"],
        ] {
            let ts = dir.path().join("out.ts");
            mux(&flv, muxer, &ts);
            let plain = fs::read(&ts).unwrap();
            for (before, after) in [(0, 0), (4, 0), (0, 16)] {
                let bytes = wrapped(&plain, before, after);
                for step in [bytes.len(), 1_316, 1_000, 7] {
                    let what = format!("{name}, {muxer:?}, {before} {after}, by {step}");
                    let (got, counts) = from_ts(&bytes, step);
                    check(&what, &want, &got);
                    assert_eq!(counts.packets, (plain.len() / 188) as u64, "{what}");
                    assert_eq!(counts.damaged_units, 0, "{what}: {counts:?}");
                    assert_eq!(counts.lost, 0, "{what}: {counts:?}");
                    assert_eq!(counts.sync_losses, 0, "{what}: {counts:?}");
                }
            }
        }
    }
}

/// The same packets with so many bytes before and after each.
fn wrapped(plain: &[u8], before: usize, after: usize) -> Vec<u8> {
    plain
        .chunks(188)
        .flat_map(|packet| [&[0x10; 4][..before], packet, &[0xa5; 16][..after]].concat())
        .collect()
}

type Tracks = Vec<(Track, Vec<SourceFrame>)>;

fn check(what: &str, want: &Tracks, got: &Tracks) {
    assert_eq!(want.len(), got.len(), "{what}");
    for ((track, wanted), (got_track, got)) in want.iter().zip(got) {
        assert_eq!(track.kind(), got_track.kind(), "{what}");
        assert_eq!(track.codec_string, got_track.codec_string, "{what}");
        assert_eq!(track.params, got_track.params, "{what}");
        assert_eq!(wanted.len(), got.len(), "{what}: {}", track.kind());
        let first = (wanted[0].dts * 90, got[0].dts);
        for (at, (want, got)) in wanted.iter().zip(got).enumerate() {
            let what = format!("{what}: {} {at}", track.kind());
            assert!(
                codec::equal_payloads(track.codec, &want.payload, &got.payload),
                "{what}: {} {}",
                want.payload.len(),
                got.payload.len()
            );
            assert_eq!(want.keyframe, got.keyframe, "{what}");
            assert_eq!(want.duration, got.duration, "{what}");
            // FLV rounds to milliseconds.
            let off = (want.dts * 90 - first.0) - (got.dts - first.1);
            assert!(off.abs() <= 180, "{what}: off by {off}");
            assert!((want.cts * 90 - got.cts).abs() <= 180, "{what}");
        }
    }
}

fn from_ts(bytes: &[u8], step: usize) -> (Tracks, Counts) {
    let mut demuxer = Demuxer::new();
    let mut tracks = Tracks::new();
    let now = Instant::now();
    for read in bytes.chunks(step) {
        demuxer.push(read, now);
        while let Some(item) = demuxer.next_item() {
            take(&mut tracks, item);
        }
    }
    demuxer.flush(now);
    while let Some(item) = demuxer.next_item() {
        take(&mut tracks, item);
    }
    assert_eq!(demuxer.take_complaint(), None);
    tracks.sort_by_key(|(track, _)| track.id);
    (tracks, demuxer.counts())
}

fn from_flv(bytes: &[u8]) -> Tracks {
    let mut reader = flv::file::Reader::new();
    let mut demuxer = flv::Demuxer::new();
    let mut tracks = Tracks::new();
    reader.push(bytes);
    while let Some(tag) = reader.next_tag().unwrap() {
        for item in demuxer.tag(tag, Instant::now()).unwrap() {
            take(&mut tracks, item);
        }
    }
    tracks.sort_by_key(|(track, _)| track.id);
    tracks
}

fn take(tracks: &mut Tracks, item: SourceItem) {
    match item {
        SourceItem::Track(track) => match tracks.iter_mut().find(|(known, _)| known.id == track.id)
        {
            Some((known, _)) => *known = track,
            None => tracks.push((track, Vec::new())),
        },
        SourceItem::Frame(frame) => {
            let of = tracks.iter_mut().find(|(track, _)| track.id == frame.track);
            of.unwrap().1.push(frame);
        }
        SourceItem::Announce(kinds) => assert_eq!(kinds, [MediaKind::Video, MediaKind::Audio]),
        other => panic!("{other:?}"),
    }
}

fn encode(options: &[&str], to: &Path) {
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(["-f", "lavfi", "-i", "testsrc2=s=320x180:d=3"])
        .args(["-f", "lavfi", "-i", "sine=f=440:d=3"])
        .args([
            "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast",
        ])
        .args(["-c:a", "aac"])
        .args(options)
        .arg(to));
}

fn mux(from: &Path, options: &[&str], to: &Path) {
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(from)
        .args(["-c", "copy", "-f", "mpegts"])
        .args(options)
        .arg(to));
}

fn installed() -> bool {
    let found = Command::new("ffmpeg").arg("-version").output().is_ok();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "FFmpeg is not installed"
    );
    if !found {
        eprintln!("skipped: FFmpeg is not installed");
    }
    found
}

/// Runs a program; anything that it complains about is a failure.
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{command:?}: {complaints}"
    );
}
