//! The whole way through this crate with FFmpeg at both ends: what it writes
//! as FLV is demuxed, written as fragmented MP4, and read by it again without
//! a warning, to the byte, the tick and the decoded picture.
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
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use rillcast_core::{MediaKind, Track};
use rillcast_media::flv::{Demuxer, file};
use rillcast_media::{SourceFrame, SourceItem, codec, fmp4};
use tempfile::TempDir;

/// A picture with B-frames and a tone, as FFmpeg publishes them.
struct Source {
    name: &'static str,
    video: &'static [&'static str],
    audio: &'static [&'static str],
}

const SOURCES: [Source; 6] = [
    Source {
        name: "25 fps, High, B-frames, 44.1 kHz",
        video: &["-r", "25", "-pix_fmt", "yuv420p", "-g", "50", "-bf", "3"],
        audio: &["-ar", "44100", "-ac", "2"],
    },
    Source {
        name: "29.97 fps, B-pyramid, delimiters, 48 kHz mono",
        video: &[
            "-r",
            "30000/1001",
            "-pix_fmt",
            "yuv420p",
            "-bf",
            "5",
            "-x264opts",
            "b-pyramid=normal:aud=1:keyint=31:repeat-headers=1",
        ],
        audio: &["-ar", "48000", "-ac", "1"],
    },
    Source {
        name: "baseline, several slices, 5.1",
        video: &[
            "-profile:v",
            "baseline",
            "-pix_fmt",
            "yuv420p",
            "-slices",
            "4",
            "-r",
            "50",
        ],
        audio: &["-ar", "48000", "-ac", "6"],
    },
    Source {
        name: "interlaced, samples that are not square, 32 kHz",
        video: &[
            "-profile:v",
            "main",
            "-pix_fmt",
            "yuv420p",
            "-flags",
            "+ilme+ildct",
            "-x264opts",
            "interlaced=1:tff=1",
            "-vf",
            "setsar=64/45",
        ],
        audio: &["-ar", "32000", "-ac", "2"],
    },
    Source {
        name: "4:2:2 in 10 bits, wide colours",
        video: &[
            "-profile:v",
            "high422",
            "-pix_fmt",
            "yuv422p10le",
            "-colorspace",
            "bt2020nc",
            "-color_primaries",
            "bt2020",
            "-color_trc",
            "smpte2084",
            "-x264opts",
            "keyint=20",
        ],
        audio: &["-ar", "22050", "-ac", "1"],
    },
    Source {
        name: "23.976 fps, filler data",
        video: &[
            "-r",
            "24000/1001",
            "-pix_fmt",
            "yuv420p",
            "-b:v",
            "1M",
            "-maxrate",
            "1M",
            "-bufsize",
            "1M",
            "-x264opts",
            "nal-hrd=cbr:filler=1",
        ],
        audio: &["-ar", "96000", "-ac", "2"],
    },
];

#[test]
fn what_ffmpeg_publishes_comes_back_to_the_byte_the_tick_and_the_picture() {
    if !installed() {
        return;
    }
    for source in &SOURCES {
        let dir = tempfile::tempdir().unwrap();
        let flv = publish(source, &dir);
        let tracks = demux(&fs::read(&flv).unwrap());
        let kinds: Vec<_> = tracks.iter().map(|(track, _)| track.kind()).collect();
        assert_eq!(
            kinds,
            [MediaKind::Video, MediaKind::Audio],
            "{}",
            source.name
        );
        for (track, frames) in &tracks {
            let mp4 = dir.path().join(format!("{}.mp4", track.kind()));
            let samples = samples(track, frames);
            fs::write(&mp4, remux(track, frames, &samples)).unwrap();
            check(source, track, &flv, &mp4, frames, &samples);
        }
    }
}

/// One sample's decoding time and the rest, in ticks of the track.
type Timed = (i64, fmp4::Sample);

fn check(
    source: &Source,
    track: &Track,
    flv: &Path,
    mp4: &Path,
    frames: &[SourceFrame],
    samples: &[Timed],
) {
    let what = format!("{}: {}", source.name, track.kind());
    let selector = match track.kind() {
        MediaKind::Video => "v",
        _ => "a",
    };

    // Every packet: times, size, flags and bytes. Durations show in the times
    // within a fragment; those that FFmpeg prints are its own guesses.
    let read = packets(mp4, selector, "pts,dts,size,flags,data_hash");
    let sent = packets(flv, selector, "size,data_hash");
    assert_eq!(read.len(), frames.len(), "{what}");
    assert_eq!(sent.len(), frames.len(), "{what}");
    for (at, packet) in read.iter().enumerate() {
        let (dts, sample) = samples[at];
        let [payload, hash] = &sent[at][..] else {
            panic!("{what}: {:?}", sent[at]);
        };
        let want = [
            (dts + i64::from(sample.cts)).to_string(),
            dts.to_string(),
            sample.size.to_string(),
            if sample.keyframe { "K_" } else { "__" }.to_owned(),
            hash.clone(),
        ];
        assert_eq!(packet[..], want, "{what}, packet {at}");
        assert_eq!(*payload, frames[at].payload.len().to_string(), "{what}");
    }

    // What FFmpeg understands of the track without looking at the frames.
    let entries = "stream=codec_tag_string,width,height,sample_aspect_ratio,color_primaries,sample_rate,channels";
    let shown = run(Command::new("ffprobe")
        .args(["-v", "warning", "-of", "default=nw=1"])
        .args(["-show_entries", entries])
        .arg(mp4));
    let shown: Vec<_> = shown.lines().collect();
    let mut want = vec![format!("codec_tag_string={}", track.codec)];
    if selector == "v" {
        // FFmpeg says how many samples there are, whatever their shape.
        let config = codec::avc::Config::parse(&track.config).unwrap();
        want.push(format!("width={}", config.sps().width));
        want.push(format!("height={}", config.sps().height));
    }
    if let Some(audio) = track.audio() {
        want.push(format!("sample_rate={}", audio.sample_rate));
        want.push(format!("channels={}", audio.channels));
    }
    if source.video.contains(&"setsar=64/45") && selector == "v" {
        want.push("sample_aspect_ratio=64:45".to_owned());
    }
    if source.video.contains(&"bt2020") && selector == "v" {
        want.push("color_primaries=bt2020".to_owned());
    }
    for line in &want {
        assert!(
            shown.contains(&line.as_str()),
            "{what}: {line} not in {shown:?}"
        );
    }

    // Every decoded picture and block of sound.
    let decoded = hashes(mp4, selector);
    assert!(decoded.len() >= frames.len() - 1, "{what}");
    assert_eq!(decoded, hashes(flv, selector), "{what}");
}

/// Three seconds of a source as an FLV file.
fn publish(source: &Source, dir: &TempDir) -> PathBuf {
    let path = dir.path().join("in.flv");
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(["-f", "lavfi", "-i", "testsrc2=s=320x180:d=3"])
        .args(["-f", "lavfi", "-i", "sine=f=440:d=3"])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac"])
        .args(source.video)
        .args(source.audio)
        .arg(&path));
    path
}

/// The tracks of a file with their frames, read in odd pieces.
fn demux(flv: &[u8]) -> Vec<(Track, Vec<SourceFrame>)> {
    let mut reader = file::Reader::new();
    let mut demuxer = Demuxer::new();
    let mut tracks: Vec<(Track, Vec<SourceFrame>)> = Vec::new();
    let mut announced = Vec::new();
    for read in flv.chunks(1_000) {
        reader.push(read);
        while let Some(tag) = reader.next_tag().unwrap() {
            // FFmpeg ends its sequence with a body that has nothing.
            for item in demuxer.tag(tag, Instant::now()).unwrap() {
                match item {
                    SourceItem::Track(track) => tracks.push((track, Vec::new())),
                    SourceItem::Frame(frame) => {
                        let of = tracks.iter_mut().find(|(track, _)| track.id == frame.track);
                        of.unwrap().1.push(frame);
                    }
                    SourceItem::Announce(kinds) => announced = kinds,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert_eq!(announced, [MediaKind::Video, MediaKind::Audio]);
    tracks.sort_by_key(|(track, _)| track.id);
    tracks
}

/// Video by the wire's milliseconds, audio by sums of samples.
fn samples(track: &Track, frames: &[SourceFrame]) -> Vec<Timed> {
    let ticks = |millis: i64| millis * i64::from(track.timescale.hz()) / 1_000;
    let origin = ticks(frames[0].dts);
    let mut sum = origin;
    let mut out = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        let duration = match frames.get(at + 1) {
            _ if frame.duration > 0 => i64::from(frame.duration),
            Some(next) => ticks(next.dts - frame.dts),
            None => 3_600,
        };
        if frame.duration > 0 {
            // Within the rounding to milliseconds at both ends of the way.
            assert!((sum - ticks(frame.dts)).abs() <= ticks(2), "{frame:?}");
            assert_eq!(Some(frame.duration), codec::frame_duration(track));
        }
        let sample = fmp4::Sample {
            duration: u32::try_from(duration).unwrap(),
            size: u32::try_from(frame.payload.len()).unwrap(),
            cts: i32::try_from(ticks(i64::from(frame.cts))).unwrap(),
            keyframe: frame.keyframe,
        };
        out.push((sum, sample));
        sum += duration;
    }
    out
}

/// An init segment and fragments of seven samples; every third has a `styp`.
fn remux(track: &Track, frames: &[SourceFrame], samples: &[Timed]) -> Vec<u8> {
    let mut out = fmp4::init(track).unwrap().to_vec();
    for (index, (samples, frames)) in samples.chunks(7).zip(frames.chunks(7)).enumerate() {
        let part: Vec<_> = samples.iter().map(|(_, sample)| *sample).collect();
        let header = fmp4::fragment(&fmp4::FragmentHeader {
            sequence: u32::try_from(index).unwrap() + 1,
            track_id: fmp4::track_id(track.id),
            base_decode_time: u64::try_from(samples[0].0).unwrap(),
            styp: index % 3 == 0,
            produced: (index % 3 == 0).then_some(SystemTime::UNIX_EPOCH),
            samples: &part,
        });
        out.extend_from_slice(&header.unwrap());
        let payloads: Vec<Bytes> = frames.iter().map(|frame| frame.payload.clone()).collect();
        out.extend_from_slice(&payloads.concat());
    }
    out
}

fn packets(path: &Path, selector: &str, entries: &str) -> Vec<Vec<String>> {
    let shown = run(Command::new("ffprobe")
        .args(["-v", "warning", "-show_data_hash", "md5", "-of", "csv=p=0"])
        .args(["-select_streams", selector])
        .args(["-show_entries", &format!("packet={entries}")])
        .arg(path));
    shown
        .lines()
        .map(|line| {
            line.trim_end_matches(',')
                .split(',')
                .map(str::to_owned)
                .collect()
        })
        .collect()
}

/// A hash of every decoded frame, without its times.
fn hashes(path: &Path, selector: &str) -> Vec<String> {
    let shown = run(Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-i"])
        .arg(path)
        .args(["-map", &format!("0:{selector}"), "-fps_mode", "passthrough"])
        .args(["-f", "framemd5", "-"]));
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
