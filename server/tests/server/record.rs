//! Recordings of the program itself: what FFmpeg publishes, killed in the middle and
//! started again, compared picture by picture with what FFmpeg reads in the files.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{Running, rillcast};
use crate::client::{get, until};

/// Runs FFmpeg to its end and returns what it wrote.
pub(crate) fn ffmpeg(args: &[&str]) -> String {
    run("error", args).0
}

/// The same, for what it had to say: its warnings and errors.
pub(crate) fn said_by_ffmpeg(args: &[&str]) -> String {
    run("warning", args).1
}

/// Runs FFmpeg to its end and returns what it wrote, and what it said.
fn run(level: &str, args: &[&str]) -> (String, String) {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-y", "-loglevel", level]);
    let output = command.args(args).output().unwrap_or_else(|error| {
        panic!("this test needs FFmpeg with libx264: install it (Debian: apt-get install ffmpeg): {error}")
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

/// Pictures with B-frames and sound, a keyframe a second.
pub(crate) fn clip(folder: &Path, seconds: &str) -> String {
    let path = folder.join(format!("{seconds}.flv"));
    let path = path.to_str().unwrap().to_owned();
    let pictures = "testsrc2=size=320x180:rate=25";
    let sound = "sine=frequency=440:sample_rate=48000";
    ffmpeg(&[
        "-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", sound, "-t", seconds, "-c:v",
        "libx264", "-preset", "veryfast", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a",
        "aac", "-f", "flv", &path,
    ]);
    path
}

/// Publishes a clip as fast as it is long; ends with its test.
pub(crate) struct Publishing(Child);

impl Publishing {
    pub(crate) fn start(clip: &str, running: &Running) -> Self {
        let url = format!("rtmp://{}/live/cam", running.address("rtmp"));
        let mut command = Command::new("ffmpeg");
        command.args([
            "-hide_banner",
            "-nostdin",
            "-loglevel",
            "quiet",
            "-re",
            "-i",
            clip,
        ]);
        command.args(["-c", "copy", "-f", "flv", &url]);
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The sums of a file's pictures, decoded, or of its sound as it was encoded.
pub(crate) fn sums(file: &str, which: &str) -> Vec<String> {
    let codec = if which == "0:v" { "rawvideo" } else { "copy" };
    let text = ffmpeg(&[
        "-i", file, "-map", which, "-c", codec, "-f", "framemd5", "-",
    ]);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sum = |line: &str| line.rsplit(',').next().map(|sum| sum.trim().to_owned());
    lines.filter_map(sum).collect()
}

/// The lines of the stream's index, without their sums.
fn index(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("live/cam/recordings.index"));
    let text = text.unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line.split_once(' ').unwrap().1).unwrap());
    lines.collect()
}

fn of_type<'a>(lines: &'a [serde_json::Value], kind: &str) -> Vec<&'a serde_json::Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

/// Looks until it is so: a file that another program writes tells nobody.
fn waits(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{what} never came"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The file of a line, and its length.
fn file(folder: &Path, line: &serde_json::Value) -> (PathBuf, u64) {
    let path = folder.join(line["file"].as_str().unwrap());
    let length = std::fs::metadata(&path).unwrap().len();
    (path, length)
}

#[tokio::test]
async fn what_is_killed_loses_a_flush_and_a_part_and_no_more() {
    let work = tempfile::tempdir().unwrap();
    let (long, short) = (clip(work.path(), "20"), clip(work.path(), "4"));
    let (pictures, sound) = (sums(&long, "0:v"), sums(&long, "0:a"));
    let folder = work.path().join("recordings");
    let start = || {
        Running::start(rillcast().args([
            "run",
            "--set=server.listen=127.0.0.1:0",
            "--set=record.enabled=true",
            "--set=cmaf.start=on-demand",
            "--set=bus.reconnect_grace=0s",
            &format!("--set=record.path={}", folder.display()),
        ]))
    };

    // What has been published at the kill is what the API last said, or more.
    let mut running = start();
    let publishing = Publishing::start(&long, &running);
    let path = "/api/v1/streams/live/cam";
    let frames = |answer: &crate::client::Answer| {
        let frames = answer.json()["qos"]["frames"].as_u64();
        frames.unwrap_or_default()
    };
    let http = running.address("http");
    until(http, path, |answer| answer.status == 200).await;
    // Some seven seconds: 25 pictures and 46.9 pieces of sound in each.
    let enough = |answer: &crate::client::Answer| frames(answer) >= 500;
    until(http, path, enough).await;
    let answer = get(http, path).await;
    assert_eq!(answer.json()["recording"], true);
    let published = frames(&answer);
    running.kill();
    drop(publishing);
    let lines = index(&folder);
    let [begun] = of_type(&lines, "start")[..] else {
        panic!("{lines:?}");
    };
    assert!(of_type(&lines, "end").is_empty());
    let (recorded, length) = file(&folder, begun);

    // A start mends what there is to mend.
    let mut running = start();
    let lines = index(&folder);
    let [ended] = of_type(&lines, "end")[..] else {
        panic!("{lines:?}");
    };
    let (_, mended) = file(&folder, begun);
    assert_eq!(
        (&ended["cause"], &ended["bytes"]),
        (&"crash".into(), &mended.into())
    );
    assert!(mended <= length && mended + 100_000 > length);
    let recorded = recorded.to_str().unwrap();
    let seconds = published as f64 / (25.0 + 48_000.0 / 1_024.0);
    for (which, sent, rate) in [("0:v", &pictures, 25.0), ("0:a", &sound, 46.9)] {
        let got = sums(recorded, which);
        assert!(
            sent.starts_with(&got),
            "{which}: {} were recorded",
            got.len()
        );
        // A flush interval, a part, and what one of them runs before the other.
        let least = (seconds - 1.0 - 0.2 - 0.3) * rate;
        assert!(
            got.len() as f64 >= least,
            "{which}: {} of {least}",
            got.len()
        );
    }

    // What ends as it should is there to its last frame.
    let publishing = Publishing::start(&short, &running);
    let folder = folder.as_path();
    waits("the end", || of_type(&index(folder), "end").len() == 2);
    drop(publishing);
    let lines = index(folder);
    let last = of_type(&lines, "end")[1];
    let (recorded, length) = file(folder, last);
    assert_eq!(
        (&last["cause"], &last["bytes"]),
        (&"ended".into(), &length.into())
    );
    let [gap] = of_type(&lines, "gap")[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(gap["cause"], "crash");
    for which in ["0:v", "0:a"] {
        let got = sums(recorded.to_str().unwrap(), which);
        assert!(got == sums(&short, which), "{which}: {}", got.len());
    }
    running.kill();
}
