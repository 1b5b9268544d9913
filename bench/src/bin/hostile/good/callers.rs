//! The good publishers that call over SRT: FFmpeg and libsrt's own tool as
//! processes, some of them encrypted, all fed by one clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rillcast_bench::{Error, Result};

use super::circle::{Circle, Player};
use crate::arena::{GOOD_APP, GOOD_SRT};

/// What the streams that are called `sealed` are encrypted with.
pub(crate) const SECRET: &str = "a-secret-of-the-good";

/// The name of one of the streams, in the app of the good ones.
pub(crate) fn name(index: usize) -> String {
    match Kind::of(index).key_length {
        Some(_) => format!("srt-sealed-{index}"),
        None => format!("srt-open-{index}"),
    }
}

/// All callers, and who feeds them.
pub(super) struct Callers {
    callers: Vec<Caller>,
    stop: Arc<AtomicBool>,
    feed: JoinHandle<Result>,
}

/// A process that does not outlive its owner.
struct Caller {
    child: Child,
    name: String,
}

/// How one of them calls.
#[derive(Clone, Copy)]
struct Kind {
    /// libsrt's own tool, or else FFmpeg.
    tool: bool,
    /// In bytes.
    key_length: Option<u32>,
    /// In milliseconds.
    latency: u32,
}

impl Kind {
    fn of(index: usize) -> Self {
        let key_length = match index % 5 {
            0 | 1 => Some(16),
            2 | 3 => Some(32),
            _ => None,
        };
        let latency = match index % 3 {
            0 => 120,
            1 => 160,
            _ => 200,
        };
        Self {
            tool: index.is_multiple_of(2),
            key_length,
            latency,
        }
    }

    /// The program, which reads a transport stream from its input.
    fn command(self, server: SocketAddr, stream_id: &str) -> Command {
        let secret = self.key_length.map_or(String::new(), |length| {
            format!("&passphrase={SECRET}&pbkeylen={length}")
        });
        let url = format!("srt://{server}?streamid={stream_id}{secret}&latency=");
        let latency = self.latency;
        if self.tool {
            let mut command = Command::new("srt-live-transmit");
            // New keys every few seconds, where there are keys.
            let refresh = "&kmrefreshrate=400&kmpreannounce=100";
            let refresh = self.key_length.map_or("", |_| refresh);
            command
                .args(["-quiet", "-a:no", "-c:1316", "file://con"])
                .arg(format!("{url}{latency}{refresh}"));
            return command;
        }
        let mut command = Command::new("ffmpeg");
        command
            .args(["-hide_banner", "-loglevel", "warning", "-nostdin"])
            .args(["-probesize", "200k", "-analyzeduration", "1000000"])
            .args(["-f", "mpegts", "-i", "pipe:0", "-c", "copy", "-f", "mpegts"])
            // Microseconds, here.
            .arg(format!("{url}{latency}000"));
        command
    }
}

impl Callers {
    /// Starts all of them; what they say goes into `folder`.
    pub(super) fn start(server: SocketAddr, circle: Circle, folder: &Path) -> Result<Self> {
        let (mut callers, mut pipes) = (Vec::new(), Vec::new());
        for index in 0..GOOD_SRT {
            let (kind, name) = (Kind::of(index), name(index));
            let mut command = kind.command(server, &format!("publish:{GOOD_APP}/{name}"));
            let log = folder.join(format!("{name}.log"));
            let log = File::create(&log).map_err(Error::of(log.display()))?;
            let program = command.get_program().to_string_lossy().into_owned();
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .map_err(Error::of(program))?;
            pipes.extend(child.stdin.take());
            callers.push(Caller { child, name });
        }
        let stop = Arc::new(AtomicBool::new(false));
        let feeder = Feeder {
            circle: Arc::new(circle),
            pipes,
            stop: Arc::clone(&stop),
        };
        let feed = std::thread::Builder::new()
            .name("feed".to_owned())
            .spawn(|| feeder.run())
            .map_err(Error::of("a thread"))?;
        Ok(Self {
            callers,
            stop,
            feed,
        })
    }

    /// Fails if one of them is not there any more.
    pub(super) fn check(&mut self) -> Result {
        for caller in &mut self.callers {
            if let Ok(Some(status)) = caller.child.try_wait() {
                let name = &caller.name;
                return Err(Error::new(format!("the caller of {name} ended: {status}")));
            }
        }
        if self.feed.is_finished() {
            return Err(Error::new("the callers are not fed any more"));
        }
        Ok(())
    }

    /// Ends all of them.
    ///
    /// # Errors
    /// They could not be fed.
    pub(super) fn stop(self) -> Result {
        self.stop.store(true, Ordering::Relaxed);
        let fed = self.feed.join();
        fed.map_err(|_| Error::new("the feeder panicked"))?
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives each of them the same stream, one after the other, so that their keyframes do
/// not come at the same time.
struct Feeder {
    circle: Arc<Circle>,
    pipes: Vec<ChildStdin>,
    stop: Arc<AtomicBool>,
}

impl Feeder {
    fn run(mut self) -> Result {
        // What comes before they have shaken hands is lost.
        let begun = Instant::now() + Duration::from_secs(1);
        let count = u32::try_from(self.pipes.len()).unwrap_or(1).max(1);
        let apart = KEYFRAMES / count;
        let mut players: Vec<Player> = self
            .pipes
            .iter()
            .map(|_| Player::new(Arc::clone(&self.circle)))
            .collect();
        let mut next = BinaryHeap::new();
        for (index, phase) in (0..self.pipes.len()).zip(0_u32..) {
            next.push(Reverse((begun + apart * phase, index, Vec::new())));
        }
        while let Some(Reverse((due, index, piece))) = next.pop() {
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                std::thread::sleep(early);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let (Some(pipe), Some(player)) = (self.pipes.get_mut(index), players.get_mut(index))
            else {
                continue;
            };
            pipe.write_all(&piece).map_err(Error::of(name(index)))?;
            if let Some((since, piece)) = player.next() {
                let phase = apart * u32::try_from(index).unwrap_or_default();
                next.push(Reverse((begun + phase + since, index, piece)));
            }
        }
        Ok(())
    }
}

/// From one keyframe to the next.
const KEYFRAMES: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_call_in_every_way() {
        let kinds: Vec<Kind> = (0..GOOD_SRT).map(Kind::of).collect();
        for tool in [false, true] {
            for key_length in [None, Some(16), Some(32)] {
                let like = |kind: &&Kind| kind.tool == tool && kind.key_length == key_length;
                assert!(
                    kinds.iter().any(|kind| like(&kind)),
                    "{tool} {key_length:?}"
                );
            }
        }
        assert!(name(4).contains("open") && name(0).contains("sealed"));
    }
}
