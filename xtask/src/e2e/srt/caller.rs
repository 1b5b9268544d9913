//! The programs that call over SRT: two FFmpegs, libsrt's own tool, GStreamer.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::super::{Bench, log_file, tail};
use crate::process::{Context, Guard, Result, ensure};
use crate::tools;

/// What a caller encrypts with.
#[derive(Clone, Copy)]
pub(super) struct Encryption {
    pub(super) passphrase: &'static str,
    /// In bytes.
    pub(super) key_length: u32,
    /// Another key every few hundred packets, where the program can be told so.
    pub(super) refresh: bool,
}

/// A program that sends a file as fast as it plays.
pub(super) struct Caller {
    /// The one that speaks SRT.
    guard: Guard,
    /// The one that feeds it, if it cannot read files by the clock.
    feeder: Option<Guard>,
    name: String,
    log: String,
}

impl Caller {
    /// Starts the program that `name` says, or the system's FFmpeg.
    pub(super) fn start(
        bench: &Bench,
        name: &str,
        file: &Path,
        address: &str,
        stream_id: &str,
        encryption: Option<Encryption>,
    ) -> Result<Self> {
        let log = format!("{name}.log");
        let (mut command, mut feeder) = match name {
            "srt-live-transmit" => transmit(file, address, stream_id, encryption)?,
            "gstreamer" => (gstreamer(file, address, stream_id, encryption), None),
            "current-ffmpeg" => {
                let program = tools::current_ffmpeg()?;
                (
                    // It decodes what its URL holds, and `#` must not stand there.
                    ffmpeg(&program, file, address, &escaped(stream_id), encryption),
                    None,
                )
            }
            _ => {
                let program = Path::new("ffmpeg");
                (ffmpeg(program, file, address, stream_id, encryption), None)
            }
        };
        if let Some(feeder) = &mut feeder {
            let Some(pipe) = feeder.child().stdout.take() else {
                crate::process::fail!("the feeder has no output");
            };
            command.stdin(pipe);
        } else {
            command.stdin(Stdio::null());
        }
        let output = log_file(bench, &log)?;
        command
            .stdout(output.try_clone().context(&log)?)
            .stderr(output);
        Ok(Self {
            guard: Guard::spawn(name, &mut command)?,
            feeder,
            name: name.to_owned(),
            log,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Fails if it is not there any more.
    pub(super) fn check_alive(&mut self, bench: &Bench) -> Result {
        let ended = self.guard.ended();
        ensure!(
            ended.is_none(),
            "{} ended early:\n{}",
            self.name,
            tail(bench, &self.log)
        );
        Ok(())
    }

    /// Waits until the server has made it end.
    pub(super) fn wait_refused(&mut self, limit: Duration) -> Result {
        let status = self.guard.wait(limit)?;
        ensure!(!status.success(), "{} was not refused", self.name);
        Ok(())
    }

    /// Waits until the file has been sent.
    pub(super) fn finish(&mut self, bench: &Bench, limit: Duration) -> Result {
        if let Some(feeder) = &mut self.feeder {
            // libsrt's tool goes on without input: it is told to end.
            feeder.wait(limit)?;
            return self.guard.terminate();
        }
        let status = self.guard.wait(limit)?;
        ensure!(
            status.success(),
            "{} ended with {status}:\n{}",
            self.name,
            tail(bench, &self.log)
        );
        Ok(())
    }
}

/// FFmpeg's URL has the latency in microseconds.
fn ffmpeg(
    program: &Path,
    file: &Path,
    address: &str,
    stream_id: &str,
    encryption: Option<Encryption>,
) -> Command {
    let mut command = Command::new(program);
    command
        .args(["-hide_banner", "-loglevel", "warning", "-nostdin", "-re"])
        .arg("-i")
        .arg(file)
        .args(["-c", "copy", "-f", "mpegts"]);
    let mut url = format!("srt://{address}?latency=200000&streamid={stream_id}");
    if let Some(it) = encryption {
        let (secret, length) = (it.passphrase, it.key_length);
        url += &format!("&passphrase={secret}&pbkeylen={length}");
    }
    command.arg(url);
    command
}

/// It reads what it is given as fast as it can: FFmpeg gives it by the clock.
fn transmit(
    file: &Path,
    address: &str,
    stream_id: &str,
    encryption: Option<Encryption>,
) -> Result<(Command, Option<Guard>)> {
    let mut feeder = Command::new("ffmpeg");
    feeder
        .args(["-v", "error", "-nostdin", "-re", "-i"])
        .arg(file)
        .args(["-c", "copy", "-f", "mpegts", "pipe:1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let feeder = Guard::spawn("the feeder of srt-live-transmit", &mut feeder)?;
    let mut url = format!("srt://{address}?latency=200&streamid={stream_id}");
    if let Some(it) = encryption {
        let (secret, length) = (it.passphrase, it.key_length);
        url += &format!("&passphrase={secret}&pbkeylen={length}");
        if it.refresh {
            url += "&kmrefreshrate=400&kmpreannounce=100";
        }
    }
    let mut command = Command::new("srt-live-transmit");
    command.args(["-quiet", "file://con", &url]);
    Ok((command, Some(feeder)))
}

fn gstreamer(
    file: &Path,
    address: &str,
    stream_id: &str,
    encryption: Option<Encryption>,
) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    command
        .args(["-q", "filesrc"])
        .arg(format!("location={}", file.display()))
        .args(["!", "tsparse", "set-timestamps=true", "!", "srtsink"])
        .args(["sync=true", "latency=200"])
        .arg(format!("uri=srt://{address}?mode=caller"))
        .arg(format!("streamid={stream_id}"));
    if let Some(it) = encryption {
        command
            .arg(format!("passphrase={}", it.passphrase))
            .arg(format!("pbkeylen={}", it.key_length));
    }
    command
}

/// As it is written in the query of a URL.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9'
            | b'A'..=b'Z'
            | b'a'..=b'z'
            | b'-'
            | b'.'
            | b'/'
            | b':'
            | b'='
            | b','
            | b'!' => out.push(char::from(byte)),
            other => out += &format!("%{other:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_urls_do_not_hold_is_escaped() {
        assert_eq!(escaped("#!::r=a/b,m=publish"), "%23!::r=a/b,m=publish");
        assert_eq!(escaped("a b&c"), "a%20b%26c");
    }
}
