//! All the codecs that transport streams carry, and several tracks with
//! languages: against what FFmpeg says of each packet, and what it decodes.

use std::fs;
use std::path::Path;
use std::process::Command;

use rillcast_core::{Codec, MediaKind};
use rillcast_media::codec;

use super::{Tracks, from_ts, installed, output, run};

/// Encoder and muxer options, the codec, and how many samples a frame has.
const SOUNDS: [(&[&str], Codec, u32); 8] = [
    (&["-c:a", "aac", "-ac", "2"], codec::AAC, 1_024),
    (
        &["-c:a", "aac", "-ac", "6", "-mpegts_flags", "latm"],
        codec::AAC,
        1_024,
    ),
    (&["-c:a", "ac3", "-ac", "6"], codec::AC3, 1_536),
    (&["-c:a", "eac3", "-ac", "2"], codec::EAC3, 1_536),
    (&["-c:a", "mp2", "-ac", "2"], codec::MP2, 1_152),
    (&["-c:a", "libmp3lame", "-ac", "1"], codec::MP3, 1_152),
    (&["-c:a", "libopus", "-ac", "2"], codec::OPUS, 960),
    (
        &["-c:a", "ac3", "-mpegts_flags", "system_b"],
        codec::AC3,
        1_536,
    ),
];

#[test]
fn every_kind_of_sound_comes_as_it_was_encoded() {
    if !installed() {
        return;
    }
    for (options, codec, samples) in SOUNDS {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("in.mka");
        let ts = dir.path().join("out.ts");
        let (encoder, muxer) = options.split_at(options.len().min(4));
        run(Command::new("ffmpeg")
            .args([
                "-v",
                "error",
                "-y",
                "-f",
                "lavfi",
                "-i",
                "sine=f=440:d=3:r=48000",
            ])
            .args(encoder)
            .arg(&plain));
        run(Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-i"])
            .arg(&plain)
            .args(["-c", "copy", "-f", "mpegts"])
            .args(if muxer.is_empty() && encoder.contains(&"-mpegts_flags") {
                &encoder[2..]
            } else {
                muxer
            })
            .arg(&ts));
        let want = packets(&plain);
        for step in [188, 1_316] {
            let (tracks, counts) = from_ts(&fs::read(&ts).unwrap(), step);
            let [(track, frames)] = &tracks[..] else {
                panic!("{options:?}: {} tracks", tracks.len());
            };
            assert_eq!(track.codec, codec, "{options:?}");
            assert_eq!(track.timescale.hz(), 48_000, "{options:?}");
            let got: Vec<_> = frames.iter().map(|frame| crc32(&frame.payload)).collect();
            assert_eq!(want.len(), got.len(), "{options:?}: {counts:?}");
            assert_eq!(want, got, "{options:?}");
            assert!(frames.iter().all(|frame| frame.duration == samples));
            // Each as far behind the last as it is long, to the rounding of both.
            for pair in frames.windows(2) {
                let step = pair[1].dts - pair[0].dts;
                let want = i64::from(samples) * 90_000 / 48_000;
                assert!((step - want).abs() <= 95, "{options:?}: {step}");
            }
        }
    }
}

#[test]
fn hevc_decodes_to_the_same_pictures() {
    if !installed() {
        return;
    }
    for options in [
        &["-x265-params", "log-level=none:keyint=20:bframes=3"][..],
        &[
            "-x265-params",
            "log-level=none:keyint=25:slices=3:aud=0:open-gop=1",
        ],
    ] {
        let dir = tempfile::tempdir().unwrap();
        let ts = dir.path().join("out.ts");
        run(Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-f", "lavfi"])
            .args(["-i", "testsrc2=s=640x360:d=2", "-c:v", "libx265"])
            .args(["-preset", "ultrafast", "-pix_fmt", "yuv420p"])
            .args(options)
            .arg(&ts));
        let (tracks, counts) = from_ts(&fs::read(&ts).unwrap(), 1_316);
        let [(track, frames)] = &tracks[..] else {
            panic!("{options:?}: {counts:?}");
        };
        assert_eq!(track.codec, codec::HEVC);
        assert_eq!(frames.len(), 50, "{options:?}: {counts:?}");
        assert!(frames[0].keyframe && frames.iter().filter(|frame| frame.keyframe).count() >= 2);
        // Back to a byte stream.
        let mut bytes = Vec::new();
        for frame in frames {
            for unit in codec::hevc::units(&frame.payload) {
                bytes.extend_from_slice(&[0, 0, 0, 1]);
                bytes.extend_from_slice(unit.unwrap());
            }
        }
        let stream = dir.path().join("back.hevc");
        fs::write(&stream, bytes).unwrap();
        assert_eq!(pictures(&stream), pictures(&ts), "{options:?}");
    }
}

#[test]
fn tracks_have_their_languages() {
    if !installed() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ts = dir.path().join("out.ts");
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(["-f", "lavfi", "-i", "testsrc2=s=320x180:d=1"])
        .args(["-f", "lavfi", "-i", "sine=f=440:d=1"])
        .args(["-map", "1:a", "-map", "0:v", "-map", "1:a", "-map", "1:a"])
        .args([
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv420p",
            "-preset",
            "ultrafast",
        ])
        .args(["-c:a:0", "aac", "-c:a:1", "ac3", "-c:a:2", "aac"])
        .args(["-metadata:s:a:0", "language=deu"])
        .args(["-metadata:s:a:1", "language=fre"])
        .args([
            "-metadata",
            "service_name=Bühne",
            "-metadata",
            "service_provider=Haus",
        ])
        .arg(&ts));
    let (tracks, _): (Tracks, _) = from_ts(&fs::read(&ts).unwrap(), 1_316);
    let seen: Vec<_> = tracks
        .iter()
        .map(|(track, _)| {
            (
                track.id.0,
                track.kind(),
                track.codec,
                track.language.clone(),
            )
        })
        .collect();
    let language = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen,
        [
            (0, MediaKind::Video, codec::AVC, None),
            (1, MediaKind::Audio, codec::AAC, language("de")),
            (2, MediaKind::Audio, codec::AC3, language("fr")),
            (3, MediaKind::Audio, codec::AAC, None),
        ]
    );
}

/// A checksum of each packet of a file.
fn packets(path: &Path) -> Vec<String> {
    let shown = output(
        Command::new("ffprobe")
            .args(["-v", "error", "-show_data_hash", "CRC32", "-of", "csv=p=0"])
            .args(["-show_entries", "packet=data_hash"])
            .arg(path),
    );
    let lines = shown.lines().map(|line| line.trim_matches(','));
    // Side data of a packet has an empty line.
    let lines = lines.filter(|line| !line.is_empty());
    lines.map(|line| line.replace("CRC32:", "")).collect()
}

/// A hash of each decoded picture.
fn pictures(path: &Path) -> Vec<String> {
    let shown = output(
        Command::new("ffmpeg")
            .args(["-v", "error", "-xerror", "-i"])
            .arg(path)
            .args(["-fps_mode", "passthrough", "-f", "framemd5", "-"]),
    );
    let lines = shown.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

/// The checksum of ITU-T V.42, as FFmpeg prints it.
fn crc32(bytes: &[u8]) -> String {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    format!("{:08x}", !crc)
}
