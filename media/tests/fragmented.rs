//! HEVC, AV1, VP9 and FLAC of FFmpeg's encoders through the parsers and into fragmented
//! MP4, which FFmpeg reads again without a warning: to the byte, the tick and the
//! decoded picture.
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

use bytes::Bytes;
use rillcast_core::{Codec, Track, TrackId};
use rillcast_media::codec::{self, AV1, FLAC, HEVC, VP9, av1, flac, hevc, vp9};
use rillcast_media::fmp4;

struct Source {
    name: &'static str,
    codec: Codec,
    encoder: &'static [&'static str],
    codec_string: &'static str,
    /// What `ffprobe` says of the file.
    shown: &'static [&'static str],
}

const SOURCES: [Source; 9] = [
    Source {
        name: "HEVC, open GOPs, mastered for a display",
        codec: HEVC,
        encoder: &[
            "-pix_fmt",
            "yuv420p10le",
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-tag:v",
            "hvc1",
            "-x265-params",
            "log-level=error:open-gop=1:keyint=15:bframes=3:hdr10=1:colorprim=bt2020:\
             transfer=smpte2084:colormatrix=bt2020nc:max-cll=1000,400:master-display=\
             G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
        ],
        codec_string: "hvc1.2.4.L60.90",
        shown: &[
            "codec_tag_string=hvc1",
            "color_transfer=smpte2084",
            "side_data_type=Mastering display metadata",
            "max_luminance=10000000/10000",
            "side_data_type=Content light level metadata",
            "max_content=1000",
        ],
    },
    Source {
        name: "AV1, libaom",
        codec: AV1,
        encoder: &["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8"],
        codec_string: "av01.0.00M.08",
        shown: &["codec_tag_string=av01", "width=320", "height=180"],
    },
    Source {
        name: "AV1, SVT, with pictures that are not shown at once",
        codec: AV1,
        encoder: &["-c:v", "libsvtav1", "-preset", "12", "-g", "15"],
        codec_string: "av01.0.00M.08",
        shown: &["codec_tag_string=av01", "width=320"],
    },
    Source {
        name: "AV1, 10 bits, perceptual quantisation",
        codec: AV1,
        encoder: &[
            "-pix_fmt",
            "yuv420p10le",
            "-color_primaries",
            "bt2020",
            "-color_trc",
            "smpte2084",
            "-colorspace",
            "bt2020nc",
            "-c:v",
            "libaom-av1",
            "-usage",
            "realtime",
            "-cpu-used",
            "8",
        ],
        codec_string: "av01.0.00M.10.0.110.09.16.09.0",
        shown: &["color_primaries=bt2020", "color_transfer=smpte2084"],
    },
    Source {
        name: "VP9, for calls",
        codec: VP9,
        encoder: &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-g", "20"],
        codec_string: "vp09.00.11.08",
        shown: &["codec_tag_string=vp09", "width=320", "height=180"],
    },
    Source {
        name: "VP9, with pictures that are not shown",
        codec: VP9,
        encoder: &[
            "-c:v",
            "libvpx-vp9",
            "-deadline",
            "good",
            "-cpu-used",
            "5",
            "-auto-alt-ref",
            "1",
            "-lag-in-frames",
            "16",
        ],
        codec_string: "vp09.00.11.08",
        shown: &["profile=Profile 0"],
    },
    Source {
        name: "VP9, 10 bits, hybrid log-gamma",
        codec: VP9,
        encoder: &[
            "-pix_fmt",
            "yuv420p10le",
            "-color_primaries",
            "bt2020",
            "-color_trc",
            "arib-std-b67",
            "-colorspace",
            "bt2020nc",
            "-c:v",
            "libvpx-vp9",
            "-profile:v",
            "2",
            "-deadline",
            "realtime",
        ],
        codec_string: "vp09.02.11.10.01.09.18.09.00",
        shown: &["color_space=bt2020nc", "color_transfer=arib-std-b67"],
    },
    Source {
        name: "FLAC, 44.1 kHz",
        codec: FLAC,
        encoder: &["-c:a", "flac", "-ar", "44100", "-ac", "2"],
        codec_string: "fLaC",
        shown: &["codec_tag_string=fLaC", "sample_rate=44100", "channels=2"],
    },
    Source {
        name: "FLAC, 96 kHz in 24 bits, short blocks",
        codec: FLAC,
        encoder: &[
            "-c:a",
            "flac",
            "-ar",
            "96000",
            "-sample_fmt",
            "s32",
            "-frame_size",
            "960",
        ],
        codec_string: "fLaC",
        shown: &["sample_rate=96000", "bits_per_raw_sample=24"],
    },
];

#[test]
fn what_encoders_make_comes_back_to_the_byte_the_tick_and_the_picture() {
    if !installed() {
        return;
    }
    for source in &SOURCES {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("in.mp4"), dir.path().join("out.mp4"));
        encode(source, &from);
        let units = units(&from);
        let track = track(source, &fs::read(&from).unwrap(), &units);
        assert_eq!(track.codec_string, source.codec_string, "{}", source.name);
        let (payloads, samples) = samples(source, &track, &units);
        fs::write(&to, remux(&track, &payloads, &samples)).unwrap();
        check(source, &from, &to, &payloads, &samples);
    }
}

/// A packet of the file that FFmpeg wrote.
struct Unit {
    pts: i64,
    dts: i64,
    keyframe: bool,
    payload: Bytes,
}

/// One sample's decoding time and the rest, in ticks of the track.
type Timed = (i64, fmp4::Sample);

fn encode(source: &Source, to: &Path) {
    let input = if source.codec == FLAC {
        "sine=f=440:d=2"
    } else {
        "testsrc2=s=320x180:r=30:d=2"
    };
    // libaom and SVT-AV1 say what they are, which is no complaint.
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", input])
        .args(["-pix_fmt", "yuv420p"])
        .args(source.encoder)
        .args(["-strict", "-2"])
        .args(["-video_track_timescale", "90000"])
        .arg(to)
        .env("SVT_LOG", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {output:?}", source.name);
}

fn units(path: &Path) -> Vec<Unit> {
    let bytes = Bytes::from(fs::read(path).unwrap());
    let shown = run(Command::new("ffprobe")
        .args(["-v", "warning", "-of", "compact=p=0"])
        .args(["-show_entries", "packet=pts,dts,size,pos,flags"])
        .arg(path));
    let unit = |line: &str| {
        let field = |name: &str| {
            let named = line.split('|').find_map(|field| field.strip_prefix(name));
            named.unwrap().strip_prefix('=').unwrap().to_owned()
        };
        let begin: usize = field("pos").parse().unwrap();
        let size: usize = field("size").parse().unwrap();
        Unit {
            pts: field("pts").parse().unwrap(),
            dts: field("dts").parse().unwrap(),
            keyframe: field("flags").starts_with('K'),
            payload: bytes.slice(begin..begin + size),
        }
    };
    shown.lines().map(unit).collect()
}

/// The track by the record that FFmpeg wrote, which what the encoder wrote itself
/// agrees with.
fn track(source: &Source, file: &[u8], units: &[Unit]) -> Track {
    let first = &units[0].payload;
    match source.codec {
        AV1 => {
            let mut config = av1::Config::parse(boxed(file, *b"av1C")).unwrap();
            let written = config.sequence().to_owned();
            // SVT-AV1 1.4 writes its record before it has decided on all tools.
            config.absorb(first).unwrap();
            assert_eq!(*config.sequence(), written);
            assert_eq!(av1::Config::gather(first), Some(config.clone()));
            for unit in units {
                assert_eq!(config.absorb(&unit.payload), Ok(false));
            }
            config.track(TrackId(0))
        }
        HEVC => {
            let mut config = hevc::Config::parse(boxed(file, *b"hvcC")).unwrap();
            for unit in units {
                assert_eq!(config.absorb(&unit.payload), Ok(false));
            }
            config.track(TrackId(0))
        }
        VP9 => {
            let mut config = vp9::Config::parse(boxed(file, *b"vpcC")).unwrap();
            let gathered = vp9::Config::gather(first).unwrap();
            assert_eq!(config.absorb(first), Ok(true));
            assert_eq!(config.header(), gathered.header());
            for unit in units {
                assert_eq!(config.absorb(&unit.payload), Ok(false));
            }
            config.track(TrackId(0))
        }
        _ => {
            // Behind version and flags.
            let config = flac::Config::parse(&boxed(file, *b"dfLa")[4..]).unwrap();
            config.track(TrackId(0))
        }
    }
}

/// The contents of the only box of that name.
fn boxed(file: &[u8], name: [u8; 4]) -> &[u8] {
    let at = file.windows(4).position(|window| window == name).unwrap();
    let size = u32::from_be_bytes(file[at - 4..at].try_into().unwrap());
    &file[at + 4..at - 4 + usize::try_from(size).unwrap()]
}

fn samples(source: &Source, track: &Track, units: &[Unit]) -> (Vec<Bytes>, Vec<Timed>) {
    let mut payloads = Vec::new();
    let mut samples = Vec::new();
    let origin = 10 * i64::from(track.timescale.hz());
    for (at, unit) in units.iter().enumerate() {
        let payload = match source.codec {
            AV1 => av1::canonical(unit.payload.clone()).unwrap().0,
            _ => unit.payload.clone(),
        };
        let keyframe = codec::is_keyframe(source.codec, &payload);
        assert_eq!(keyframe, unit.keyframe, "{}, packet {at}", source.name);
        let next = units.get(at + 1).map(|next| next.dts - unit.dts);
        let said = codec::unit_duration(track, &payload).map(i64::from);
        if let (Some(said), Some(next)) = (said, next) {
            assert_eq!(said, next, "{}, packet {at}", source.name);
        }
        let sample = fmp4::Sample {
            duration: u32::try_from(said.or(next).unwrap_or(3_000)).unwrap(),
            size: u32::try_from(payload.len()).unwrap(),
            cts: i32::try_from(unit.pts - unit.dts).unwrap(),
            keyframe,
        };
        samples.push((origin + unit.dts - units[0].dts, sample));
        payloads.push(payload);
    }
    (payloads, samples)
}

/// An init segment and fragments of seven samples.
fn remux(track: &Track, payloads: &[Bytes], samples: &[Timed]) -> Vec<u8> {
    let mut out = fmp4::init(track).unwrap().to_vec();
    for (index, (samples, payloads)) in samples.chunks(7).zip(payloads.chunks(7)).enumerate() {
        let part: Vec<_> = samples.iter().map(|(_, sample)| *sample).collect();
        let header = fmp4::fragment(&fmp4::FragmentHeader {
            sequence: u32::try_from(index).unwrap() + 1,
            track_id: fmp4::track_id(track.id),
            base_decode_time: u64::try_from(samples[0].0).unwrap(),
            styp: index % 3 == 0,
            produced: None,
            samples: &part,
        });
        out.extend_from_slice(&header.unwrap());
        out.extend_from_slice(&payloads.concat());
    }
    out
}

fn check(source: &Source, from: &Path, to: &Path, payloads: &[Bytes], samples: &[Timed]) {
    let name = source.name;
    let read = units(to);
    assert_eq!(read.len(), samples.len(), "{name}");
    for (at, unit) in read.iter().enumerate() {
        let (dts, sample) = samples[at];
        assert_eq!(unit.payload, payloads[at], "{name}, packet {at}");
        assert_eq!(unit.dts, dts, "{name}, packet {at}");
        assert_eq!(unit.pts, dts + i64::from(sample.cts), "{name}, packet {at}");
        assert_eq!(unit.keyframe, sample.keyframe, "{name}, packet {at}");
    }
    let shown = run(Command::new("ffprobe")
        .args(["-v", "warning", "-of", "default=nw=1", "-show_streams"])
        .arg(to));
    for line in source.shown {
        assert!(
            shown.lines().any(|shown| shown == *line),
            "{name}: {line} not in {shown}"
        );
    }
    let decoded = hashes(to);
    assert!(!decoded.is_empty(), "{name}");
    assert_eq!(decoded, hashes(from), "{name}");
}

/// A hash of every decoded frame, without its times.
fn hashes(path: &Path) -> Vec<String> {
    let shown = run(Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-i"])
        .arg(path)
        .args(["-fps_mode", "passthrough", "-f", "framemd5", "-"]));
    shown
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

fn installed() -> bool {
    let found = ["ffmpeg", "ffprobe"]
        .iter()
        .all(|program| Command::new(program).arg("-version").output().is_ok());
    assert!(
        found || std::env::var_os("CI").is_none(),
        "FFmpeg is not installed"
    );
    if !found {
        eprintln!("skipped: FFmpeg is not installed");
    }
    found
}

/// What a program prints; anything that it complains about is a failure.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{command:?}: {complaints}"
    );
    String::from_utf8(output.stdout).unwrap()
}
