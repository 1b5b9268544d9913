//! What we mux: demuxed again it is what it was, and FFmpeg reads it without a
//! complaint, to the same pictures and sounds.

use std::fs;
use std::path::Path;
use std::process::Command;

use rillcast_core::MediaKind;
use rillcast_media::codec;
use rillcast_media::ts::{Continuity, Mux, Unit};

use super::{Tracks, from_ts, installed, output, run};

/// The name, and options of the encoders: of video, and of each track of audio.
type Source = (
    &'static str,
    &'static [&'static str],
    &'static [&'static [&'static str]],
);

const SOURCES: [Source; 9] = [
    (
        "H.264 with B-frames, AAC",
        &["-c:v", "libx264", "-r", "25", "-bf", "3", "-g", "25"],
        &[&["aac", "-ar", "44100"]],
    ),
    (
        "H.264 B-pyramid at 29.97, two languages",
        &[
            "-c:v",
            "libx264",
            "-r",
            "30000/1001",
            "-x264opts",
            "b-pyramid=normal:aud=1:keyint=31:repeat-headers=1",
        ],
        &[
            &["aac", "-metadata:s:a:0", "language=deu"],
            &["ac3", "-metadata:s:a:1", "language=fra"],
        ],
    ),
    (
        "interlaced H.264, MP3",
        &[
            "-c:v",
            "libx264",
            "-flags",
            "+ilme+ildct",
            "-x264opts",
            "interlaced=1:tff=1:keyint=20",
        ],
        &[&["libmp3lame"]],
    ),
    (
        "one picture a second, MP2",
        &["-c:v", "libx264", "-r", "1", "-g", "2"],
        &[&["mp2"]],
    ),
    (
        "HEVC with B-frames, E-AC-3",
        &[
            "-c:v",
            "libx265",
            "-x265-params",
            "log-level=none:keyint=20:bframes=3:open-gop=0",
        ],
        &[&["eac3"]],
    ),
    (
        "HEVC with delimiters and slices, Opus",
        &[
            "-c:v",
            "libx265",
            "-x265-params",
            "log-level=none:keyint=25:slices=3:aud=1:open-gop=0",
        ],
        &[&["libopus"]],
    ),
    ("AAC 5.1 alone", &[], &[&["aac", "-ac", "6"]]),
    (
        "three sounds alone",
        &[],
        &[&["libmp3lame", "-ar", "22050"], &["aac"], &["libopus"]],
    ),
    ("Opus mono alone", &[], &[&["libopus", "-ac", "1"]]),
];

#[test]
fn what_is_muxed_comes_back_and_ffmpeg_reads_it() {
    if !installed() {
        return;
    }
    for (name, video, sounds) in SOURCES {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("in.ts");
        encode(video, sounds, &from);
        let (tracks, _) = from_ts(&fs::read(&from).unwrap(), 1_316);
        assert_eq!(
            tracks.len(),
            sounds.len() + usize::from(!video.is_empty()),
            "{name}"
        );
        let (segments, times) = mux(&tracks);
        assert!(segments.len() > 1, "{name}");
        let whole = segments.concat();
        let (back, counts) = from_ts(&whole, 1_316);
        compare(name, &tracks, &times, &back);
        assert_eq!(
            counts.damaged_units + counts.lost + counts.bad_packets,
            0,
            "{name}: {counts:?}"
        );

        let to = dir.path().join("out.ts");
        fs::write(&to, &whole).unwrap();
        for at in 0..tracks.len() {
            let map = format!("0:{at}");
            assert_eq!(decoded(&from, &map), decoded(&to, &map), "{name}: {map}");
        }
        assert_eq!(kinds(&from), kinds(&to), "{name}");
        // Each can be played alone, but for the last, which may be too short
        // for FFmpeg to know its sound.
        let (_, long) = segments.split_last().unwrap();
        for segment in long {
            let alone = dir.path().join("alone.ts");
            fs::write(&alone, segment).unwrap();
            for at in 0..tracks.len() {
                assert!(!decoded(&alone, &format!("0:{at}")).is_empty(), "{name}");
            }
        }
    }
}

fn encode(video: &[&str], sounds: &[&[&str]], to: &Path) {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-y", "-f", "lavfi", "-i"])
        .arg("testsrc2=s=320x180:d=4,noise=alls=12:allf=t")
        .args(["-f", "lavfi", "-i", "sine=f=440:d=4:r=48000"]);
    if !video.is_empty() {
        command.args(["-map", "0:v", "-pix_fmt", "yuv420p"]);
        command.args(["-preset", "ultrafast"]).args(video);
    }
    for (at, sound) in sounds.iter().enumerate() {
        let (encoder, options) = sound.split_first().unwrap();
        command
            .args(["-map", "1:a", &format!("-c:a:{at}"), *encoder])
            .args(options.chunks(2).flat_map(|option| {
                let name = match option[0] {
                    "-ar" | "-ac" => format!("{}:a:{at}", option[0]),
                    other => other.to_owned(),
                };
                [name, option[1].to_owned()]
            }));
    }
    run(command.arg(to));
}

/// When each access unit of a track is decoded and shown.
type Times = Vec<(u64, u64)>;

/// Segments of a GOP or a second each, and the times of all units.
fn mux(tracks: &Tracks) -> (Vec<Vec<u8>>, Vec<Times>) {
    let begin = tracks.iter().map(|(_, frames)| frames[0].dts).min();
    let begin = begin.unwrap();
    let mut times = Vec::new();
    for (track, frames) in tracks {
        let first = frames[0].dts - begin;
        let mut samples = 0;
        let of_frame = |frame: &rillcast_media::SourceFrame| {
            let dts = match track.kind() {
                MediaKind::Video => frame.dts - begin,
                _ => first + samples * 90_000 / i64::from(track.timescale.hz()),
            };
            samples += i64::from(frame.duration);
            let dts = u64::try_from(dts).unwrap();
            (dts, dts + u64::try_from(frame.cts).unwrap())
        };
        times.push(frames.iter().map(of_frame).collect::<Vec<_>>());
    }
    let (leader, frames) = &tracks[0];
    let mut cuts: Vec<u64> = match leader.kind() {
        MediaKind::Video => {
            let keyframes = (0..frames.len()).filter(|at| frames[*at].keyframe);
            keyframes.map(|at| times[0][at].0).skip(1).collect()
        }
        _ => (1..4).map(|second| second * 90_000).collect(),
    };
    cuts.insert(0, 0);
    cuts.push(u64::MAX);
    let listed: Vec<_> = tracks.iter().map(|(track, _)| track).collect();
    let mux = Mux::new(&listed).unwrap();
    let mut segments = Vec::new();
    let mut state = Continuity::default();
    for cut in cuts.windows(2) {
        let mut units = Vec::new();
        for (track, (_, frames)) in tracks.iter().enumerate() {
            for (frame, (dts, pts)) in frames.iter().zip(&times[track]) {
                if (cut[0]..cut[1]).contains(dts) {
                    units.push(Unit {
                        track,
                        dts: *dts,
                        pts: *pts,
                        keyframe: frame.keyframe,
                        payload: &frame.payload,
                    });
                }
            }
        }
        let mut out = Vec::new();
        let next = mux.segment(state, &units, &mut out);
        assert_eq!(mux.advance(state, &units), next);
        assert_eq!(mux.size(state, &units), out.len());
        state = next;
        segments.push(out);
    }
    assert_eq!(state.left_out(), 0);
    (segments, times)
}

fn compare(name: &str, tracks: &Tracks, times: &[Times], back: &Tracks) {
    assert_eq!(tracks.len(), back.len(), "{name}");
    for (((track, frames), times), (got_track, got)) in tracks.iter().zip(times).zip(back) {
        let what = format!("{name}: {}", track.codec);
        assert_eq!(track, got_track, "{what}");
        assert_eq!(frames.len(), got.len(), "{what}");
        for (at, (frame, got)) in frames.iter().zip(got).enumerate() {
            let same = codec::equal_payloads(track.codec, &frame.payload, &got.payload);
            assert!(same, "{what} {at}");
            assert_eq!(frame.keyframe, got.keyframe, "{what} {at}");
            let (dts, pts) = times[at];
            let off = got.dts - 900_000 - i64::try_from(dts).unwrap();
            // Frames of audio that share a PES packet are reckoned from its time.
            let rounded = i64::from(track.kind() == MediaKind::Audio);
            assert!(off.abs() <= rounded, "{what} {at}: {off}");
            assert_eq!(u64::try_from(got.cts).unwrap(), pts - dts, "{what} {at}");
        }
    }
}

/// A hash of each picture or sound that is decoded. Warnings fail.
fn decoded(path: &Path, map: &str) -> Vec<String> {
    let shown = output(
        Command::new("ffmpeg")
            .args(["-v", "warning", "-xerror", "-i"])
            .arg(path)
            .args([
                "-map",
                map,
                "-fps_mode",
                "passthrough",
                "-f",
                "framemd5",
                "-",
            ]),
    );
    let lines = shown.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

/// What each stream is, and how many packets and which language it has.
fn kinds(path: &Path) -> String {
    output(
        Command::new("ffprobe")
            .args(["-v", "warning", "-count_packets", "-of", "csv=p=0"])
            .args(["-show_entries"])
            .arg("stream=codec_name,profile,channels,width,height,nb_read_packets:stream_tags=language")
            .arg(path),
    )
}
