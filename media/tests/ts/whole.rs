//! What FFmpeg muxes is what it publishes: every access unit and time is the
//! same as in FLV.

use std::fs;

use rillcast_media::codec;

use super::{Tracks, encode, from_flv, from_ts, installed, remux};

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
            remux(&flv, muxer, &ts);
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
