//! A transport stream that is fed to other programs by the clock: what callers of
//! SRT send in `benches/srt.rs`. And what receivers say of their lines.

use std::fs;
use std::io::Write;
use std::ops::AddAssign;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use crate::error::{Error, Result};

/// A clip as MPEG-TS, in memory.
#[derive(Clone, Debug)]
pub struct Transport {
    bytes: Bytes,
    length: Duration,
}

/// What a datagram of SRT carries: seven packets.
const CHUNK: usize = 7 * 188;

impl Transport {
    /// `seconds` of `kilobits` each, from `folder` if it was made before.
    ///
    /// # Errors
    /// FFmpeg is missing or has failed.
    pub fn make(folder: &Path, kilobits: u32, seconds: u64) -> Result<Self> {
        let path = folder.join(format!("clip-{kilobits}-{seconds}.ts"));
        if !path.exists() {
            encode(&path, kilobits, seconds)?;
        }
        let bytes = fs::read(&path).map_err(Error::of(path.display()))?;
        Ok(Self {
            bytes: bytes.into(),
            length: Duration::from_secs(seconds),
        })
    }
}

/// A thread that feeds a clip to programs, all at the pace at which it plays.
#[derive(Debug)]
pub struct Feed {
    bytes: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// How often it writes: not in larger bursts than an encoder makes.
const TICK: Duration = Duration::from_millis(2);

impl Feed {
    /// Begins to feed `pipes`; it ends with the clip.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(clip: &Transport, mut pipes: Vec<ChildStdin>) -> Result<Self> {
        let (bytes, stopped) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (fed, stop) = (bytes.clone(), stopped.clone());
        let clip = clip.clone();
        let run = move || {
            let begun = Instant::now();
            let mut done = 0;
            while done < clip.bytes.len() && !stop.load(Ordering::Relaxed) {
                let due = due(&clip, begun.elapsed());
                let Some(piece) = clip.bytes.get(done..due).filter(|it| !it.is_empty()) else {
                    std::thread::sleep(TICK);
                    continue;
                };
                for pipe in &mut pipes {
                    if pipe.write_all(piece).is_ok() {
                        let length = u64::try_from(piece.len()).unwrap_or_default();
                        fed.fetch_add(length, Ordering::Relaxed);
                    }
                }
                done = due;
            }
        };
        let thread = std::thread::Builder::new()
            .name("feed".to_owned())
            .spawn(run)
            .map_err(Error::of("a thread"))?;
        Ok(Self {
            bytes,
            stopped,
            thread,
        })
    }

    /// What all pipes together have been given.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends it. Whoever reads the pipes must have ended or go on reading.
    pub fn stop(self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

/// How much has to have been fed so long after the beginning: whole chunks.
fn due(clip: &Transport, elapsed: Duration) -> usize {
    let all = u128::try_from(clip.bytes.len()).unwrap_or_default();
    let due = all * elapsed.as_micros() / clip.length.as_micros().max(1);
    let due = usize::try_from(due).unwrap_or(usize::MAX);
    if due >= clip.bytes.len() {
        return clip.bytes.len();
    }
    due - due % CHUNK
}

/// What receivers say of all their lines together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Connections that have received anything.
    pub connections: usize,
    /// Packets with media.
    pub received: u64,
    /// Packets that were missing at first.
    pub lost: u64,
    /// Packets that were given up.
    pub dropped: u64,
    /// Repairs and discontinuities of what was in them.
    pub repairs: u64,
}

impl Lines {
    /// What libsrt's tool wrote last into its file of statistics.
    ///
    /// # Errors
    /// There is no such file, or it holds nothing of the kind.
    pub fn of_libsrt(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::of(path.display()))?;
        // The last line may not be whole yet.
        let json = text
            .lines()
            .rev()
            .find_map(|line| {
                let line = line.trim().trim_start_matches(',').trim_end_matches(',');
                serde_json::from_str::<Value>(line).ok()
            })
            .ok_or_else(|| Error::new(format!("{} holds no statistics", path.display())))?;
        let number = |name: &str| {
            let value = json.pointer(name).and_then(Value::as_u64);
            value.unwrap_or_default()
        };
        let received = number("/recv/packets");
        Ok(Self {
            connections: usize::from(received > 0),
            received,
            lost: number("/recv/packetsLost"),
            dropped: number("/recv/packetsDropped"),
            repairs: 0,
        })
    }

    /// What the server's API says of its streams.
    pub(crate) fn of_streams(json: &Value) -> Self {
        let mut lines = Self::default();
        let streams = json.get("streams").and_then(Value::as_array);
        for stream in streams.into_iter().flatten() {
            let number = |path: &str| {
                let value = stream.pointer(path).and_then(Value::as_u64);
                value.unwrap_or_default()
            };
            let link = |name: &str| number(&format!("/publisher/link/{name}"));
            let received = link("received");
            lines += Self {
                connections: usize::from(received > 0),
                received,
                lost: link("lost"),
                dropped: link("dropped") + link("overflowed") + link("undecrypted"),
                repairs: number("/repairs") + number("/discontinuities"),
            };
        }
        lines
    }
}

impl AddAssign for Lines {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.received += other.received;
        self.lost += other.lost;
        self.dropped += other.dropped;
        self.repairs += other.repairs;
    }
}

fn encode(path: &Path, kilobits: u32, seconds: u64) -> Result {
    // Noise, so that the bits are needed, in pictures large enough for them.
    let size = if kilobits > 20_000 {
        "1920x1080"
    } else {
        "640x360"
    };
    let strength = if kilobits > 20_000 { 100 } else { 20 };
    let picture = format!("testsrc2=size={size}:rate=25,noise=alls={strength}:allf=t");
    let sound = "sine=frequency=440:sample_rate=48000";
    let rate = format!("{}k", kilobits.saturating_sub(96).max(64));
    let half = format!("{}k", kilobits / 2);
    let partial = path.with_extension("part");
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", sound])
        .args(["-t", &seconds.to_string()])
        .args(["-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-profile:v", "high", "-pix_fmt", "yuv420p"])
        .args(["-b:v", &rate, "-minrate", &rate, "-maxrate", &rate])
        .args(["-bufsize", &half, "-bf", "2"])
        .args(["-x264-params", "keyint=50:min-keyint=50:scenecut=0"])
        .args(["-c:a", "aac", "-b:a", "96k", "-f", "mpegts"])
        .arg(&partial)
        .stdin(Stdio::null())
        .output()
        .map_err(Error::of("ffmpeg"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("ffmpeg: {}\n{said}", output.status)));
    }
    // A clip that is there is whole.
    fs::rename(&partial, path).map_err(Error::of(path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_due_in_whole_chunks_and_then_to_its_end() {
        let clip = Transport {
            bytes: vec![0; CHUNK * 10 + 5].into(),
            length: Duration::from_secs(10),
        };
        for (millis, want) in [
            (0, 0),
            (999, 0),
            (1_100, CHUNK),
            (9_999, CHUNK * 10),
            (10_000, CHUNK * 10 + 5),
            (99_000, CHUNK * 10 + 5),
        ] {
            assert_eq!(due(&clip, Duration::from_millis(millis)), want, "{millis}");
        }
    }

    #[test]
    fn lines_are_read_from_what_receivers_say() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.json");
        let text = r#"{"sid":1,"recv":{"packets":5,"packetsLost":0,"packetsDropped":0}}
{"sid":1,"recv":{"packets":9,"packetsLost":2,"packetsDropped":1}}
{"sid":1,"re"#;
        fs::write(&path, text).unwrap();
        let want = Lines {
            connections: 1,
            received: 9,
            lost: 2,
            dropped: 1,
            repairs: 0,
        };
        assert_eq!(Lines::of_libsrt(&path).unwrap(), want);
        let json = serde_json::json!({"streams": [
            {"repairs": 3, "publisher": {"link": {"received": 7, "lost": 1, "overflowed": 2}}},
            {"publisher": null},
        ]});
        let want = Lines {
            connections: 1,
            received: 7,
            lost: 1,
            dropped: 2,
            repairs: 3,
        };
        assert_eq!(Lines::of_streams(&json), want);
    }
}
