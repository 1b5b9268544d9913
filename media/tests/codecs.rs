//! Elementary streams that FFmpeg makes: our framers cut them where its
//! demuxers do, and our parsers read what ffprobe reads.
//!
//! Without FFmpeg installed these tests say so and pass; with `CI` set they fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests"
)]

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use rillcast_core::{Track, TrackId};
use rillcast_media::codec::framer::{AudioUnit, Framer};
use rillcast_media::codec::{self, aac, hevc};

/// A sound, how FFmpeg writes it as a bare stream, and how into a file that
/// has the same access units apart.
struct Sound {
    name: &'static str,
    encoder: &'static [&'static str],
    bare: &'static str,
    file: &'static str,
    framer: fn() -> Framer,
    codec_string: &'static str,
    /// Samples of an access unit.
    samples: u32,
}

const AAC: &[&str] = &["-c:a", "aac"];

const SOUNDS: [Sound; 17] = [
    sound(
        "ADTS, stereo",
        AAC,
        "adts",
        Framer::adts,
        "mp4a.40.2",
        1_024,
    ),
    sound(
        "ADTS, 5.1",
        &["-c:a", "aac", "-ac", "6", "-ar", "44100", "-b:a", "384k"],
        "adts",
        Framer::adts,
        "mp4a.40.2",
        1_024,
    ),
    sound(
        "ADTS, mono at 8 kHz",
        &["-c:a", "aac", "-ac", "1", "-ar", "8000", "-b:a", "16k"],
        "adts",
        Framer::adts,
        "mp4a.40.2",
        1_024,
    ),
    sound(
        "ADTS, Main",
        &["-c:a", "aac", "-profile:a", "aac_main"],
        "adts",
        Framer::adts,
        "mp4a.40.1",
        1_024,
    ),
    sound(
        "LATM, stereo",
        AAC,
        "latm",
        Framer::latm,
        "mp4a.40.2",
        1_024,
    ),
    sound(
        "LATM, 5.1",
        &["-c:a", "aac", "-ac", "6", "-ar", "32000"],
        "latm",
        Framer::latm,
        "mp4a.40.2",
        1_024,
    ),
    sound(
        "AC-3, stereo",
        &["-c:a", "ac3"],
        "ac3",
        Framer::ac3,
        "ac-3",
        1_536,
    ),
    sound(
        "AC-3, 5.1 at 448 kbit/s",
        &["-c:a", "ac3", "-ac", "6", "-b:a", "448k"],
        "ac3",
        Framer::ac3,
        "ac-3",
        1_536,
    ),
    sound(
        "AC-3 at 44.1 kHz, frames of two sizes",
        &["-c:a", "ac3", "-ar", "44100", "-ac", "1", "-b:a", "96k"],
        "ac3",
        Framer::ac3,
        "ac-3",
        1_536,
    ),
    sound(
        "Enhanced AC-3, 5.1",
        &["-c:a", "eac3", "-ac", "6", "-b:a", "256k"],
        "eac3",
        Framer::ac3,
        "ec-3",
        1_536,
    ),
    sound(
        "Enhanced AC-3, stereo at 32 kHz",
        &["-c:a", "eac3", "-ar", "32000"],
        "eac3",
        Framer::ac3,
        "ec-3",
        1_536,
    ),
    sound(
        "MP2, stereo",
        &["-c:a", "mp2", "-b:a", "192k"],
        "mp2",
        Framer::mpeg_audio,
        "mp4a.40.33",
        1_152,
    ),
    sound(
        "MP2 at 44.1 kHz, padded",
        &["-c:a", "mp2", "-ar", "44100", "-ac", "1"],
        "mp2",
        Framer::mpeg_audio,
        "mp4a.40.33",
        1_152,
    ),
    sound(
        "MP2 of MPEG-2",
        &["-c:a", "mp2", "-ar", "22050"],
        "mp2",
        Framer::mpeg_audio,
        "mp4a.40.33",
        1_152,
    ),
    sound(
        "MP3, joint stereo",
        &["-c:a", "libmp3lame", "-joint_stereo", "1", "-ar", "44100"],
        "mp3",
        Framer::mpeg_audio,
        "mp4a.40.34",
        1_152,
    ),
    sound(
        "MP3 of variable rate",
        &["-c:a", "libmp3lame", "-q:a", "4"],
        "mp3",
        Framer::mpeg_audio,
        "mp4a.40.34",
        1_152,
    ),
    sound(
        "MP3 of MPEG-2.5",
        &[
            "-c:a",
            "libmp3lame",
            "-ar",
            "11025",
            "-ac",
            "1",
            "-b:a",
            "24k",
        ],
        "mp3",
        Framer::mpeg_audio,
        "mp4a.40.34",
        576,
    ),
];

const fn sound(
    name: &'static str,
    encoder: &'static [&'static str],
    bare: &'static str,
    framer: fn() -> Framer,
    codec_string: &'static str,
    samples: u32,
) -> Sound {
    Sound {
        name,
        encoder,
        bare,
        // NUT has no name of its own for Enhanced AC-3.
        file: if matches!(bare.as_bytes(), b"eac3") {
            "mp4"
        } else {
            "nut"
        },
        framer,
        codec_string,
        samples,
    }
}

#[test]
fn sounds_are_cut_as_ffmpeg_cuts_them_and_described_as_ffprobe_does() {
    if !installed() {
        return;
    }
    for sound in &SOUNDS {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(format!("in.{}", sound.file));
        let bare = dir.path().join("bare");
        ffmpeg(
            Command::new("ffmpeg")
                .args(["-f", "lavfi", "-i", "sine=f=440:d=3:r=48000"])
                .args(["-af", "volume='abs(sin(t*3))':eval=frame", "-ac", "2"])
                .args(sound.encoder),
            &file,
        );
        let mut copy = Command::new("ffmpeg");
        copy.arg("-i").arg(&file).args(["-c", "copy"]);
        if sound.bare == "mp3" {
            copy.args(["-write_xing", "0", "-id3v2_version", "0"]);
        }
        ffmpeg(copy.args(["-f", sound.bare]), &bare);

        let stream = fs::read(&bare).unwrap();
        let mut framer = (sound.framer)();
        let units = cut(&mut framer, &stream, stream.len());
        check_units(sound, &units, &file, dir.path());
        check_track(sound, &framer.track(TrackId(1)).unwrap(), &file);
        for piece in [1, 184] {
            let mut pieces = (sound.framer)();
            assert!(cut(&mut pieces, &stream, piece) == units, "{}", sound.name);
            assert_eq!(
                (framer.dropped(), pieces.dropped()),
                (0, 0),
                "{}",
                sound.name
            );
        }
    }
}

/// The payloads are the packets of the file, and with as many samples.
fn check_units(sound: &Sound, units: &[AudioUnit], file: &Path, dir: &Path) {
    let what = sound.name;
    let sizes = probe(file, "packet=size");
    // Some packets have a second line, of what comes with them.
    let sizes = sizes.lines().filter_map(|line| line.split(',').next());
    let sizes = sizes.filter(|size| !size.is_empty());
    let mut want: Vec<usize> = sizes.map(|size| size.parse().unwrap()).collect();
    let data = dir.join("data");
    if !data.exists() {
        ffmpeg(
            Command::new("ffmpeg")
                .arg("-i")
                .arg(file)
                .args(["-map", "0", "-c", "copy", "-f", "data"]),
            &data,
        );
    }
    let mut bytes = &fs::read(&data).unwrap()[..];
    // FFmpeg's encoder of Enhanced AC-3 and its files agree on packets; that of
    // MP3 may put a frame that says how it encodes before them.
    let ours: Vec<usize> = units.iter().map(|unit| unit.payload.len()).collect();
    if want.len() > ours.len() && sound.bare == "mp3" {
        let skipped = want.remove(0);
        bytes = &bytes[skipped..];
    }
    assert_eq!(ours, want, "{what}");
    for (at, unit) in units.iter().enumerate() {
        let (payload, rest) = bytes.split_at(unit.payload.len());
        assert!(unit.payload == payload, "{what}: access unit {at}");
        assert_eq!(unit.samples, sound.samples, "{what}");
        assert_eq!(unit.changed, at == 0, "{what}: access unit {at}");
        bytes = rest;
    }
}

fn check_track(sound: &Sound, track: &Track, file: &Path) {
    let what = sound.name;
    let shown = stream(file);
    let audio = track.audio().unwrap();
    assert_eq!(
        shown["sample_rate"],
        audio.sample_rate.to_string(),
        "{what}"
    );
    assert_eq!(shown["channels"], audio.channels.to_string(), "{what}");
    assert_eq!(track.timescale.hz(), audio.sample_rate, "{what}");
    assert_eq!(track.codec_string, sound.codec_string, "{what}");
    assert_eq!(codec::frame_duration(track), Some(sound.samples), "{what}");
    if track.codec == codec::AAC {
        aac::Config::parse(&track.config).unwrap();
    }
    // The records are those that FFmpeg writes into MP4.
    let record = match track.codec {
        codec::AC3 => "dac3",
        codec::EAC3 => "dec3",
        _ => return,
    };
    let mp4 = file.with_extension("mp4");
    if mp4 != file && !mp4.exists() {
        ffmpeg(
            Command::new("ffmpeg")
                .arg("-i")
                .arg(file)
                .args(["-c", "copy"]),
            &mp4,
        );
    }
    let mp4 = fs::read(&mp4).unwrap();
    let at = mp4
        .windows(4)
        .position(|name| name == record.as_bytes())
        .unwrap();
    let written = &mp4[at + 4..][..track.config.len()];
    if record == "dac3" {
        assert_eq!(track.config, written, "{what}");
    } else {
        // Of the data rate FFmpeg says what its encoder was asked for.
        assert_eq!(track.config[2..], written[2..], "{what}");
        let rate = |record: &[u8]| u32::from(record[0]) << 5 | u32::from(record[1]) >> 3;
        assert!(rate(&track.config).abs_diff(rate(written)) <= 1, "{what}");
    }
}

#[test]
fn opus_is_cut_as_ffmpeg_cuts_it() {
    if !installed() {
        return;
    }
    for (name, encoder, channels, samples) in [
        ("stereo", &["-ac", "2"][..], 2, 960),
        (
            "mono, 60 ms",
            &["-ac", "1", "-frame_duration", "60"],
            1,
            2_880,
        ),
        ("5.1, 10 ms", &["-ac", "6", "-frame_duration", "10"], 6, 480),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (ts, data) = (dir.path().join("in.ts"), dir.path().join("data"));
        ffmpeg(
            Command::new("ffmpeg")
                .args(["-f", "lavfi", "-i", "sine=f=440:d=2:r=48000"])
                .args(["-c:a", "libopus", "-b:a", "64k"])
                .args(encoder),
            &ts,
        );
        ffmpeg(
            Command::new("ffmpeg")
                .arg("-i")
                .arg(&ts)
                .args(["-map", "0", "-c", "copy", "-f", "data"]),
            &data,
        );
        let stream = elementary(&fs::read(&ts).unwrap());
        let want = fs::read(&data).unwrap();
        let code = u8::try_from(channels).unwrap();
        for piece in [1, 184, stream.len()] {
            let mut framer = Framer::opus(Some(code)).unwrap();
            let units = cut(&mut framer, &stream, piece);
            assert_eq!(framer.dropped(), 0, "{name}");
            let payloads: Vec<_> = units.iter().map(|unit| &unit.payload[..]).collect();
            assert!(payloads.concat() == want, "{name}");
            assert!(units.iter().all(|unit| unit.samples == samples), "{name}");
            assert!(units.len() * samples as usize >= 95_000, "{name}");
            let track = framer.track(TrackId(1)).unwrap();
            assert_eq!(track.audio().unwrap().channels, channels, "{name}");
        }
    }
}

/// The elementary stream of PID 256.
fn elementary(ts: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for packet in ts.chunks(188) {
        if u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff != 256 {
            continue;
        }
        let field = usize::from(packet[3] & 0x20 != 0) * (usize::from(packet[4]) + 1);
        let payload = &packet[4 + field..];
        let header = usize::from(packet[1] & 0x40 != 0)
            * (9 + usize::from(payload[8.min(payload.len() - 1)]));
        out.extend_from_slice(&payload[header..]);
    }
    out
}

/// Pictures as libx265 makes them.
const PICTURES: [(&str, &[&str], &str); 6] = [
    ("Main", &["-pix_fmt", "yuv420p"], "hvc1.1.6.L60.90"),
    (
        "Main 10, BT.2020",
        &[
            "-pix_fmt",
            "yuv420p10le",
            "-r",
            "30000/1001",
            "-x265-params",
            "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc",
        ],
        "hvc1.2.4.L60.90",
    ),
    (
        "4:2:2, temporal layers, scaling lists, open GOPs",
        &[
            "-pix_fmt",
            "yuv422p",
            "-r",
            "50",
            "-x265-params",
            "log-level=error:temporal-layers=1:scaling-list=default:bframes=4:open-gop=1:keyint=20",
        ],
        "hvc1.4.10.L60.9D.8",
    ),
    (
        "4:4:4, samples that are not square",
        &[
            "-pix_fmt",
            "yuv444p",
            "-vf",
            "setsar=64/45",
            "-x265-params",
            "log-level=error:slices=2:ctu=16",
        ],
        "hvc1.4.10.L60.9E.8",
    ),
    (
        "12 bits, full range",
        &[
            "-pix_fmt",
            "yuv420p12le",
            "-r",
            "24000/1001",
            "-x265-params",
            "log-level=error:range=full:colorprim=bt709:transfer=bt709:colormatrix=bt709",
        ],
        "hvc1.4.10.L60.99.88",
    ),
    (
        "gray, rate control with a buffer",
        &[
            "-pix_fmt",
            "gray",
            "-x265-params",
            "log-level=error:hrd=1:vbv-maxrate=500:vbv-bufsize=500:repeat-headers=1",
        ],
        "hvc1.4.10.L60.9F.C8",
    ),
];

#[test]
fn pictures_are_described_as_ffprobe_does_and_keyframes_are_where_it_says() {
    if !installed() {
        return;
    }
    for (name, encoder, codec_string) in PICTURES {
        let dir = tempfile::tempdir().unwrap();
        let mp4 = dir.path().join("in.mp4");
        ffmpeg(
            Command::new("ffmpeg")
                .args(["-f", "lavfi", "-i", "testsrc2=s=322x182:d=2"])
                .args(["-c:v", "libx265", "-preset", "superfast", "-g", "25"])
                .args(["-x265-params", "log-level=error", "-tag:v", "hvc1"])
                .args(encoder),
            &mp4,
        );
        let file = fs::read(&mp4).unwrap();
        let at = file.windows(4).position(|name| name == b"hvcC").unwrap();
        let len = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
        let config = hevc::Config::parse(&file[at + 4..at - 4 + len]).unwrap();
        let track = config.track(TrackId(0));
        let shown = stream(&mp4);
        let sps = config.sps();
        assert_eq!(shown["width"], sps.width.to_string(), "{name}");
        assert_eq!(shown["height"], sps.height.to_string(), "{name}");
        assert_eq!(shown["level"], sps.level.level.to_string(), "{name}");
        let rate = track.video().unwrap().frame_rate.unwrap();
        assert_eq!(
            shown["r_frame_rate"],
            format!("{}/{}", rate.num, rate.den),
            "{name}"
        );
        if let Some((h, v)) = sps.sample_aspect_ratio {
            assert_eq!(shown["sample_aspect_ratio"], format!("{h}:{v}"), "{name}");
        }
        let full = sps.colour.is_some_and(|colour| colour.full_range);
        assert_eq!(shown["color_range"] == "pc", full, "{name}");
        let primaries = match sps.colour.map_or(2, |colour| colour.primaries) {
            1 => "bt709",
            9 => "bt2020",
            _ => "unknown",
        };
        assert_eq!(shown["color_primaries"], primaries, "{name}");
        assert!(
            shown["pix_fmt"].contains("10le") == (sps.bit_depth_luma == 10),
            "{name}"
        );
        assert_eq!(track.codec_string, codec_string, "{name}");

        // Access units, by their sizes in the file's own form.
        let data = dir.path().join("data");
        ffmpeg(
            Command::new("ffmpeg")
                .arg("-i")
                .arg(&mp4)
                .args(["-map", "0", "-c", "copy", "-f", "data"]),
            &data,
        );
        let mut bytes = &fs::read(&data).unwrap()[..];
        let packets = probe(&mp4, "packet=size,flags");
        let mut keyframes = 0;
        for packet in packets.lines() {
            let (size, flags) = packet.trim_end_matches(',').split_once(',').unwrap();
            let (payload, rest) = bytes.split_at(size.parse().unwrap());
            bytes = rest;
            let summary = hevc::summarize(payload).unwrap();
            assert!(summary.picture && !summary.empty_unit, "{name}");
            assert_eq!(summary.keyframe, flags.starts_with('K'), "{name}");
            keyframes += usize::from(summary.keyframe);
            let mut absorbed = config.clone();
            assert_eq!(absorbed.absorb(payload), Ok(false), "{name}");
        }
        assert!(keyframes >= 2, "{name}");

        // A byte stream has the parameter sets in its first access unit.
        let annex_b = dir.path().join("annex_b");
        ffmpeg(
            Command::new("ffmpeg")
                .arg("-i")
                .arg(&mp4)
                .args(["-c", "copy", "-f", "hevc"]),
            &annex_b,
        );
        let stream = fs::read(&annex_b).unwrap();
        let (canonical, _) = hevc::canonical(stream.into(), 4).unwrap();
        let gathered = hevc::Config::gather(&canonical).unwrap();
        assert_eq!(gathered.track(TrackId(0)).codec_string, codec_string);
        let sets = hevc::Config::sequence_parameter_sets;
        assert_eq!(sets(&gathered), sets(&config), "{name}");
    }
}

fn cut(framer: &mut Framer, stream: &[u8], piece: usize) -> Vec<AudioUnit> {
    let mut units = Vec::new();
    for piece in stream.chunks(piece) {
        framer.push(piece);
        units.extend(std::iter::from_fn(|| framer.next_unit()));
    }
    units
}

/// What ffprobe says of the only stream.
fn stream(path: &Path) -> HashMap<String, String> {
    let shown = run(Command::new("ffprobe")
        .args(["-v", "error", "-of", "default=nw=1", "-show_streams"])
        .arg(path));
    let pairs = shown.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn probe(path: &Path, entries: &str) -> String {
    run(Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0", "-show_entries", entries])
        .arg(path))
}

fn ffmpeg(command: &mut Command, out: &Path) {
    run(command.args(["-v", "error", "-y"]).arg(out));
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
