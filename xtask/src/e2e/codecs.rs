//! The matrix: every codec over every transport that carries it, to every egress.
//!
//! Each row is published by a real encoder's program, all of them at once to one
//! server, from files that are made once. What is served must be what was sent,
//! access unit by access unit, must decode without a warning, and must play in
//! Chromium where that decodes the codec.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::browser::{Viewer, With};
use super::dash::Manifest;
use super::exact::{self, Collector, Kind};
use super::playlist::{Media, Multivariant};
use super::publisher::Publisher;
use super::scenarios::check_repairs;
use super::server::Server;
use super::{Bench, note, wait_for};
use crate::http;
use crate::process::{Context, Failure, Result, Run, ensure, fail};
use crate::tools;

/// One codec, as FFmpeg makes it and as its access units are told apart.
struct Codec {
    name: &'static str,
    kind: Kind,
    encoder: &'static [&'static str],
    /// The bitstream filter that leaves what must be equal.
    units: Option<&'static str>,
    /// Chromium decodes it, as Debian builds it.
    plays: bool,
}

const H264: Codec = Codec {
    name: "H.264",
    kind: Kind::Video,
    encoder: &[
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-bf",
        "2",
        "-x264-params",
        "b-adapt=0:scenecut=0",
    ],
    units: Some(exact::H264),
    plays: true,
};
const H265: Codec = Codec {
    name: "H.265",
    kind: Kind::Video,
    encoder: &[
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        "log-level=none:info=0:bframes=2:b-adapt=0:scenecut=0:open-gop=0",
        "-tag:v",
        "hvc1",
    ],
    // Parameter sets, the delimiter, filler.
    units: Some("hevc_mp4toannexb,filter_units=remove_types=32|33|34|35|38"),
    plays: false,
};
const AV1: Codec = Codec {
    name: "AV1",
    kind: Kind::Video,
    encoder: &["-c:v", "libsvtav1", "-preset", "12"],
    // The temporal delimiter.
    units: Some("filter_units=remove_types=2"),
    plays: true,
};
const VP9: Codec = Codec {
    name: "VP9",
    kind: Kind::Video,
    encoder: &[
        "-c:v",
        "libvpx-vp9",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-b:v",
        "300k",
    ],
    units: None,
    plays: true,
};

const AAC: Codec = audio("AAC", &["-c:a", "aac"], true);
const OPUS: Codec = audio("Opus", &["-c:a", "libopus"], true);
const FLAC: Codec = audio("FLAC", &["-c:a", "flac"], true);
const MP3: Codec = audio("MP3", &["-c:a", "libmp3lame"], false);
const AC3: Codec = audio("AC-3", &["-c:a", "ac3"], false);
const EAC3: Codec = audio("E-AC-3", &["-c:a", "eac3"], false);

const fn audio(name: &'static str, encoder: &'static [&'static str], plays: bool) -> Codec {
    Codec {
        name,
        kind: Kind::Audio,
        encoder,
        units: None,
        plays,
    }
}

/// How a row comes in.
#[derive(Clone, Copy, PartialEq)]
enum Over {
    Rtmp,
    /// With four-character codes, which FFmpeg 5 does not know.
    EnhancedRtmp,
    Srt,
}

impl Over {
    const fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "RTMP",
            Self::EnhancedRtmp => "enhanced RTMP",
            Self::Srt => "SRT",
        }
    }
}

/// Which FFmpeg publishes.
#[derive(Clone, Copy, PartialEq)]
enum By {
    System,
    Current,
}

/// How files are published.
#[derive(Clone, Copy)]
enum Pace {
    /// Once, faster than they play.
    Fast,
    /// As they play, from the beginning again at their end.
    ForEver,
}

struct Row {
    video: &'static Codec,
    audio: &'static Codec,
    over: Over,
    by: By,
}

const fn row(video: &'static Codec, audio: &'static Codec, over: Over, by: By) -> Row {
    Row {
        video,
        audio,
        over,
        by,
    }
}

const ROWS: &[Row] = &[
    row(&H264, &AAC, Over::Rtmp, By::System),
    row(&H264, &MP3, Over::Rtmp, By::System),
    row(&H264, &AAC, Over::Rtmp, By::Current),
    row(&H265, &AAC, Over::EnhancedRtmp, By::Current),
    row(&AV1, &OPUS, Over::EnhancedRtmp, By::Current),
    row(&VP9, &FLAC, Over::EnhancedRtmp, By::Current),
    row(&H264, &AC3, Over::EnhancedRtmp, By::Current),
    row(&H265, &EAC3, Over::EnhancedRtmp, By::Current),
    row(&H264, &MP3, Over::EnhancedRtmp, By::Current),
    row(&H264, &AAC, Over::Srt, By::System),
    row(&H265, &OPUS, Over::Srt, By::System),
    row(&H264, &MP3, Over::Srt, By::System),
    row(&H265, &AC3, Over::Srt, By::System),
    row(&H264, &EAC3, Over::Srt, By::System),
];

impl Row {
    fn name(&self) -> String {
        let by = match self.by {
            By::System => "FFmpeg of the system",
            By::Current => "a current FFmpeg",
        };
        let (video, audio, over) = (self.video.name, self.audio.name, self.over.name());
        format!("{video} and {audio} over {over}, {by}")
    }

    /// Publishes the files.
    fn publish(
        &self,
        bench: &Bench,
        files: &Files,
        name: &str,
        pace: Pace,
        url: &str,
    ) -> Result<Publisher> {
        let mut command = Command::new(match self.by {
            By::System => Path::new("ffmpeg"),
            By::Current => &files.current,
        });
        command.args(["-hide_banner", "-loglevel", "warning", "-nostdin"]);
        for codec in [self.video, self.audio] {
            command.args(match pace {
                Pace::Fast => ["-readrate", SPEED, "-i"].as_slice(),
                Pace::ForEver => &["-readrate", "1", "-stream_loop", "-1", "-i"],
            });
            command.arg(files.of(codec)?);
        }
        command.args(["-map", "0:v", "-map", "1:a", "-c", "copy"]);
        command.args(match self.over {
            Over::Srt => ["-f", "mpegts"],
            Over::Rtmp | Over::EnhancedRtmp => ["-f", "flv"],
        });
        if self.over == Over::EnhancedRtmp {
            command.args(["-rtmp_enhanced_codecs", ENHANCED]);
        }
        command.arg(url);
        Publisher::spawn(bench, name, command)
    }
}

/// What a client that asks in enhanced RTMP says that it sends.
const ENHANCED: &str = "hvc1,av01,vp09,Opus,fLaC,ac-3,ec-3,.mp3,mp4a";

/// A file of each codec.
struct Files {
    current: PathBuf,
    of: BTreeMap<&'static str, PathBuf>,
}

impl Files {
    fn make(bench: &Bench) -> Result<Self> {
        let mut of = BTreeMap::new();
        for row in ROWS {
            for codec in [row.video, row.audio] {
                if of.contains_key(codec.name) {
                    continue;
                }
                let file = bench.dir.join(format!("{}.mkv", codec.name));
                let seconds = SECONDS.to_string();
                let mut run = Run::new("ffmpeg")
                    // One encoder writes to the terminal unless it is told otherwise.
                    .env("SVT_LOG", "1")
                    .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i"]);
                run = match codec.kind {
                    Kind::Video => run
                        .arg("testsrc2=size=320x180:rate=25")
                        .args(["-pix_fmt", "yuv420p", "-g", "50"]),
                    Kind::Audio => run
                        .arg(format!("sine=frequency={TONE}:sample_rate=48000"))
                        .args(["-ac", "2"]),
                };
                run.args(codec.encoder)
                    .args(["-t", &seconds, "-y"])
                    .arg(&file)
                    .output()?;
                of.insert(codec.name, file);
            }
        }
        Ok(Self {
            current: tools::current_ffmpeg()?,
            of,
        })
    }

    fn of(&self, codec: &Codec) -> Result<&Path> {
        let file = self.of.get(codec.name).map(PathBuf::as_path);
        file.context(format!("a file of {}", codec.name))
    }
}

/// How long the files are, and how fast they are published to be compared.
const SECONDS: u32 = 24;
const SPEED: &str = "3";
/// In Hz.
const TONE: u32 = 1_000;

pub(crate) fn run(bench: &Bench) -> Result {
    let files = Files::make(bench)?;
    compare(bench, &files)?;
    several(bench, &files)?;
    play(bench, &files)
}

/// A row while it is published and served.
struct Served {
    key: String,
    publisher: Publisher,
    /// Of the picture, and of the sound.
    collectors: Vec<Collector>,
    stream: Option<serde_json::Value>,
    ended: bool,
    /// What FFmpeg said of the manifest of all of it, if it said anything.
    manifest: Option<Failure>,
}

/// What is served of each row is what was sent.
fn compare(bench: &Bench, files: &Files) -> Result {
    let mut server = Server::start(bench, &["bus.reconnect_grace=3s"])?;
    let mut rows = Vec::new();
    for (index, row) in ROWS.iter().enumerate() {
        let key = format!("live/row{index}");
        let url = address(&server, row, &key)?;
        let name = format!("publisher-{index}");
        rows.push(Served {
            publisher: row.publish(bench, files, &name, Pace::Fast, &url)?,
            key,
            collectors: Vec::new(),
            stream: None,
            ended: false,
            manifest: None,
        });
    }
    for (served, row) in rows.iter_mut().zip(ROWS) {
        let key = &served.key;
        let begun = server.wait_playable(bench, key);
        begun.map_err(|error| error.about(row.name()))?;
        let list = Multivariant::fetch(&server.http, &format!("/hls/{key}/index.m3u8"))?;
        ensure!(
            list.media.len() == 2,
            "{}: not one playlist for the picture and one for the sound: {:?}",
            row.name(),
            list.media
        );
        same_bytes(&server, key, &list.media)?;
        served.collectors = list.media.into_iter().map(Collector::new).collect();
    }
    wait_for(Duration::from_secs(60), "the end of the streams", || {
        let mut ended = true;
        for served in rows.iter_mut().filter(|it| !it.ended) {
            if let Some(stream) = server.stream(&served.key)? {
                served.stream = Some(stream);
            }
            served.ended = true;
            for collector in &mut served.collectors {
                served.ended &= collector.poll(&server.http)?;
            }
            if served.ended {
                // Before it is forgotten.
                served.manifest = decodes(&server.dash(&served.key)).err();
            }
            ended &= served.ended;
        }
        Ok(ended.then_some(()))
    })?;
    let mut failed = Vec::new();
    for (served, row) in rows.into_iter().zip(ROWS) {
        match judge(bench, files, served, row) {
            Ok((pictures, sounds)) => note(format!(
                "{}: {pictures} pictures and {sounds} sounds are equal; decoded from HLS and DASH",
                row.name()
            )),
            Err(error) => failed.push(format!("{}: {error}", row.name())),
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    server.stop(bench)
}

/// Where a row is published.
fn address(server: &Server, row: &Row, key: &str) -> Result<String> {
    Ok(match row.over {
        Over::Rtmp | Over::EnhancedRtmp => server.rtmp(key)?,
        // Its end must be waited for, or FFmpeg throws away what is not sent yet.
        Over::Srt => format!(
            "srt://{}?streamid={key}&latency=1000000&linger=3000000",
            server.srt()?
        ),
    })
}

/// The manifest leads to the very segments that the playlists list.
fn same_bytes(server: &Server, key: &str, media: &[String]) -> Result {
    for path in media {
        let playlist = Media::fetch(&server.http, path)?;
        let track = path.rsplit('/').next().unwrap_or_default();
        let track = track.trim_end_matches(".m3u8");
        let (segments, first) = (&playlist.segments, playlist.sequence);
        let (last, number) = match (segments.last(), segments.len()) {
            (Some(last), count) => (last, first + u64::try_from(count).unwrap_or(0) - 1),
            (None, _) => fail!("{path} lists no segment"),
        };
        let manifest = Manifest::fetch(&server.http, key)?;
        let place = manifest.place(track, number).map(|place| place.path);
        ensure!(
            place.as_ref() == Some(&last.path),
            "{key}: segment {number} of {track} is {} to HLS and {place:?} to DASH",
            last.path
        );
    }
    Ok(())
}

/// Compares what was collected with what was sent. Returns how many pictures and
/// sounds are equal.
fn judge(bench: &Bench, files: &Files, mut served: Served, row: &Row) -> Result<(usize, usize)> {
    if let Some(failure) = served.manifest {
        return Err(failure);
    }
    served.publisher.finish(bench, Duration::from_secs(5))?;
    let file = bench.dir.join("served.mp4");
    let mut offset = None;
    let mut counts = Vec::new();
    for (collector, codec) in served.collectors.iter().zip([row.video, row.audio]) {
        collector.write(&file)?;
        decodes(&file.display().to_string())?;
        let mut sent = exact::units_by(files.of(codec)?, codec.kind, codec.units)?;
        if codec.kind == Kind::Audio && row.by == By::System {
            // FFmpeg 5 has each file begin at zero when it publishes it.
            exact::begin_at_zero(&mut sent);
        }
        let got = exact::units_by(&file, codec.kind, codec.units)?;
        if codec.kind == Kind::Audio && exact::begins_later(&sent, &got) {
            // What begins before the first picture is in no segment: the first access
            // unit of Opus does, by as much as its decoder skips.
            sent.remove(0);
        }
        offset = Some(exact::compare_within(
            codec.kind, &sent, &got, offset, TOLERANCE,
        )?);
        counts.push(sent.len());
    }
    match &served.stream {
        Some(stream) => check_repairs(stream)?,
        None => fail!("the API has never told of it"),
    }
    match counts[..] {
        [pictures, sounds] => Ok((pictures, sounds)),
        _ => fail!("not two tracks"),
    }
}

/// FFmpeg decodes all of it, and says nothing.
fn decodes(what: &str) -> Result {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "warning", "-nostdin"])
        .args(["-i", what, "-f", "null", "-"])
        .output()
        .context("ffmpeg")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && said.trim().is_empty(),
        "FFmpeg says of {what}:\n{}",
        said.trim()
    );
    Ok(())
}

/// Two sounds in two languages of one publish are a choice in both egresses.
fn several(bench: &Bench, files: &Files) -> Result {
    const KINDS: [char; 3] = ['v', 'a', 'a'];
    let mut server = Server::start(bench, &[])?;
    let srt = format!("srt://{}?streamid=live/srt&latency=1000000", server.srt()?);
    for (key, format, url) in [
        ("live/srt", "mpegts", srt),
        ("live/rtmp", "flv", server.rtmp("live/rtmp")?),
    ] {
        let mut command = Command::new(&files.current);
        command.args(["-hide_banner", "-loglevel", "warning", "-nostdin"]);
        for codec in [&H264, &AAC, &AAC] {
            command.args(["-readrate", "1", "-i"]);
            command.arg(files.of(codec)?);
        }
        command
            .args(["-map", "0:v", "-map", "1:a", "-map", "2:a", "-c", "copy"])
            .args(["-metadata:s:a:0", "language=deu"])
            .args(["-metadata:s:a:1", "language=eng"])
            .args(["-f", format, &url]);
        let mut publisher = Publisher::spawn(bench, &key.replace('/', "-"), command)?;
        server.wait_playable(bench, key)?;
        let list = Multivariant::fetch(&server.http, &format!("/hls/{key}/index.m3u8"))?;
        ensure!(
            list.media.len() == 3,
            "{key}: not a picture and two sounds: {:?}",
            list.media
        );
        same_bytes(&server, key, &list.media)?;
        let text = http::get(&server.http, &format!("/hls/{key}/index.m3u8"))?.text();
        let manifest = http::get(&server.http, &format!("/dash/{key}/manifest.mpd"))?.text();
        // FLV has no place for a language but its own list of tracks, which FFmpeg
        // does not write.
        for language in ["de", "en"].iter().filter(|_| format == "mpegts") {
            ensure!(
                text.contains(&format!("LANGUAGE=\"{language}\"")),
                "{key}: no rendition in {language}:\n{text}"
            );
            ensure!(
                manifest.contains(&format!("lang=\"{language}\"")),
                "{key}: no set in {language}:\n{manifest}"
            );
        }
        let Some(stream) = server.stream(key)? else {
            fail!("the API does not know {key}");
        };
        let tracks = stream.get("tracks").and_then(serde_json::Value::as_array);
        let shown: Vec<_> = (tracks.into_iter().flatten())
            .filter_map(|track| track.get("name")?.as_str())
            .collect();
        ensure!(
            shown.len() == 3
                && shown
                    .iter()
                    .zip(KINDS)
                    .all(|(name, kind)| name.starts_with(kind)),
            "{key}: the API shows {shown:?}"
        );
        publisher.check_alive(bench)?;
        publisher.kill();
        note(format!("{key}: two sounds are offered"));
    }
    server.stop(bench)
}

/// A tick of RTMP's clock and one of Matroska's, in nanoseconds.
const TOLERANCE: i128 = 2_000_000;

/// hls.js and dash.js play what Chromium decodes.
fn play(bench: &Bench, files: &Files) -> Result {
    const SECONDS: u32 = 6;
    let mut server = Server::start(bench, &["cmaf.segment_duration=1s"])?;
    let mut seen = Vec::new();
    for row in ROWS.iter().filter(|row| row.video.plays && row.audio.plays) {
        let codecs = (row.video.name, row.audio.name);
        if seen.contains(&codecs) {
            continue;
        }
        seen.push(codecs);
        let key = format!("live/{}", seen.len());
        let url = address(&server, row, &key)?;
        let name = format!("playing-{}", seen.len());
        let mut publisher = row.publish(bench, files, &name, Pace::ForEver, &url)?;
        server.wait_playable(bench, &key)?;
        for with in [With::HlsJs, With::DashJs] {
            let mut viewer = Viewer::open(bench, with, &server, &key, SECONDS)?;
            viewer.first_frame(bench)?;
            let report = viewer.watch(bench, SECONDS)?;
            let moving = report.check_moving(0.5 * f64::from(SECONDS), TONE);
            moving.map_err(|error| error.about(row.name()))?;
        }
        publisher.kill();
        note(format!("{} and {} play", codecs.0, codecs.1));
    }
    server.stop(bench)
}
