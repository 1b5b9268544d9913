//! Players that are no browser: FFmpeg, VLC and GStreamer.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Bench, log_file, note, tail, wait_for};
use crate::process::{Context, Guard, Result, Run, ensure, exists, fail};

/// FFmpeg decodes `seconds` of the stream; one line of warning is a failure.
pub(crate) fn ffmpeg(bench: &Bench, url: &str, seconds: u32) -> Result {
    decode(bench, &["-i", url], seconds)
}

/// The same at the pace of the clock, as who shows pictures does.
pub(crate) fn ffmpeg_paced(bench: &Bench, url: &str, seconds: u32) -> Result {
    decode(bench, &["-re", "-i", url], seconds)
}

fn decode(bench: &Bench, input: &[&str], seconds: u32) -> Result {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-loglevel", "warning", "-nostdin"])
        .args(input)
        .args(["-t", &seconds.to_string(), "-f", "null", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log_file(bench, "ffmpeg-player.log")?);
    let mut guard = Guard::spawn("ffmpeg as a player", &mut command)?;
    let status = guard.wait(Duration::from_secs(u64::from(seconds) + 30))?;
    // It says the first at each reload of a live playlist with EXT-X-MAP, whoever
    // wrote it (5.1, with its own muxer's too).
    const OWN: &[&str] = &[
        "Found duplicated MOOV Atom. Skipped it",
        "Last message repeated",
    ];
    let log = fs::read_to_string(bench.dir.join("ffmpeg-player.log")).context("its log")?;
    let lines = log
        .lines()
        .filter(|line| !OWN.iter().any(|own| line.contains(own)));
    let warnings = lines.collect::<Vec<_>>().join("\n");
    ensure!(status.success(), "ffmpeg ended with {status}:\n{warnings}");
    ensure!(warnings.is_empty(), "ffmpeg warned:\n{warnings}");
    note(format!("ffmpeg: {seconds} s decoded without a warning"));
    Ok(())
}

/// VLC plays `seconds` of the stream and is asked what it showed.
pub(crate) fn vlc(bench: &Bench, url: &str, seconds: u32) -> Result {
    if !crate::tools::in_path("cvlc") {
        note("vlc: not here, left out");
        return Ok(());
    }
    // VLC refuses to run for root, so it runs as a user without rights then, in a
    // home of its own.
    let home = std::env::temp_dir().join(format!("rillcast-vlc-{}", std::process::id()));
    fs::create_dir_all(&home).context(home.display())?;
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).context(home.display())?;
    let root = Run::new("id").arg("-u").output()?.trim() == "0";
    let mut command = if root {
        ensure!(
            exists("setpriv"),
            "setpriv is not here: VLC cannot be started as another user"
        );
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "cvlc"]);
        command
    } else {
        Command::new("cvlc")
    };
    let log = log_file(bench, "vlc.log")?;
    command
        .args([
            "--intf",
            "oldrc",
            "--rc-fake-tty",
            "--vout",
            "dummy",
            "--aout",
            "dummy",
        ])
        .args(["--no-video-title-show", url])
        .env("HOME", &home)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().context("vlc.log")?)
        .stderr(log);
    let mut guard = Guard::spawn("vlc", &mut command)?;
    let Some(mut stdin) = guard.child().stdin.take() else {
        fail!("vlc has no standard input");
    };
    // Watching takes the time that it takes.
    std::thread::sleep(Duration::from_secs(u64::from(seconds)));
    stdin.write_all(b"stats\nquit\n").context("vlc")?;
    let ended = guard.wait(Duration::from_secs(10));
    let _ = fs::remove_dir_all(&home);
    ended?;

    let text = fs::read_to_string(bench.dir.join("vlc.log")).context("vlc.log")?;
    let number = |name: &str| -> Result<u32> {
        let line = text.lines().find(|line| line.contains(name));
        let value = line
            .and_then(|line| line.rsplit(':').next())
            .and_then(|it| it.trim().parse().ok());
        match value {
            Some(value) => Ok(value),
            None => fail!("vlc told no `{name}`:\n{}", tail(bench, "vlc.log")),
        }
    };
    let (shown, lost) = (number("frames displayed")?, number("frames lost")?);
    let (sounds, silent) = (number("buffers played")?, number("buffers lost")?);
    note(format!(
        "vlc: {shown} pictures shown, {lost} lost; {sounds} sounds played, {silent} lost"
    ));
    // It buffers for some seconds first, and more of them on a busy machine.
    ensure!(
        shown >= 5 * seconds,
        "vlc showed {shown} pictures in {seconds} s"
    );
    ensure!(
        sounds >= 5 * seconds,
        "vlc played {sounds} sounds in {seconds} s"
    );
    ensure!(
        lost * 20 <= shown && silent * 20 <= sounds,
        "vlc lost more than it may"
    );
    ensure!(number("demux corrupted")? == 0, "vlc found corrupted data");
    Ok(())
}

/// A player that is watching, and is asked now and then how many pictures it has
/// shown.
pub(crate) struct Watching {
    name: &'static str,
    guard: Guard,
    /// What it tells its count in.
    log: String,
}

impl Watching {
    /// FFmpeg, decoding all.
    pub(crate) fn ffmpeg(bench: &Bench, url: &str) -> Result<Self> {
        Self::ffmpeg_as(bench, "watching", url)
    }

    /// The same under a name of its own, which it tells the server.
    pub(crate) fn ffmpeg_as(bench: &Bench, name: &str, url: &str) -> Result<Self> {
        let log = format!("ffmpeg-{name}-progress.log");
        let mut command = Command::new("ffmpeg");
        command
            .args(["-hide_banner", "-loglevel", "warning", "-nostdin"])
            .args(["-nostats", "-progress", "pipe:1"])
            .args(["-user_agent", name, "-i", url])
            .args(["-f", "null", "-"])
            .stdin(Stdio::null())
            .stdout(log_file(bench, &log)?)
            .stderr(log_file(bench, &format!("ffmpeg-{name}.log"))?);
        let guard = Guard::spawn("ffmpeg as a player", &mut command)?;
        Ok(Self {
            name: "ffmpeg",
            guard,
            log,
        })
    }

    /// GStreamer's playbin, which takes hlsdemux.
    pub(crate) fn gstreamer(bench: &Bench, url: &str) -> Result<Self> {
        let log = "gstreamer.log".to_owned();
        let file = log_file(bench, &log)?;
        let mut command = Command::new("gst-launch-1.0");
        command
            .args(["-v", "playbin", &format!("uri={url}")])
            .arg("video-sink=fakesink name=pictures sync=true silent=false")
            .arg("audio-sink=fakesink sync=true")
            .stdin(Stdio::null())
            .stdout(file.try_clone().context(&log)?)
            .stderr(file);
        let guard = Guard::spawn("gst-launch-1.0", &mut command)?;
        Ok(Self {
            name: "gstreamer",
            guard,
            log,
        })
    }

    /// Waits until it has shown so many pictures in all.
    pub(crate) fn has_shown(&mut self, bench: &Bench, pictures: usize) -> Result {
        let what = format!("{} to show {pictures} pictures", self.name);
        let shown = wait_for(Duration::from_secs(40), &what, || {
            if let Some(status) = self.guard.ended() {
                let tail = tail(bench, &self.log);
                fail!("{} ended with {status}:\n{tail}", self.name);
            }
            let shown = self.shown(bench)?;
            Ok(shown.filter(|shown| *shown >= pictures))
        })?;
        note(format!("{}: {shown} pictures shown", self.name));
        Ok(())
    }

    /// Waits until it has shown two seconds more of pictures.
    pub(crate) fn goes_on(&mut self, bench: &Bench, after: &str) -> Result {
        const MORE: usize = 50;
        let start = Instant::now();
        let mut first = None;
        let what = format!("{} to go on after {after}", self.name);
        wait_for(Duration::from_secs(30), &what, || {
            if let Some(status) = self.guard.ended() {
                fail!(
                    "{} ended with {status} after {after}:\n{}",
                    self.name,
                    tail(bench, &self.log)
                );
            }
            let Some(shown) = self.shown(bench)? else {
                return Ok(None);
            };
            let first = *first.get_or_insert(shown);
            Ok((shown >= first + MORE).then_some(()))
        })?;
        note(format!(
            "{}: {MORE} pictures more within {:.1} s after {after}",
            self.name,
            start.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// How many pictures it has shown, if it has said so yet.
    fn shown(&mut self, bench: &Bench) -> Result<Option<usize>> {
        let path = bench.dir.join(&self.log);
        let text = fs::read(&path).context(path.display())?;
        let text = String::from_utf8_lossy(&text);
        let last = |key: &str, split: char| {
            let line = text.lines().rev().find(|line| line.contains(key))?;
            line.rsplit(split).next()?.trim().parse().ok()
        };
        Ok(match self.name {
            "ffmpeg" => last("frame=", '='),
            // A line for each picture.
            _ => Some(
                text.lines()
                    .filter(|line| line.contains("pictures") && line.contains("chain"))
                    .count(),
            ),
        })
    }
}
