//! FFmpeg as a publisher: a moving test picture and a steady tone.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Bench, log_file, tail};
use crate::process::{Guard, Result, ensure};

/// What is sent to such an address: SRT carries MPEG-TS.
fn format_of(url: &str) -> &'static str {
    if url.starts_with("srt:") {
        "mpegts"
    } else {
        "flv"
    }
}

/// What FFmpeg makes and sends.
pub(crate) struct Source {
    pub(crate) rate: u32,
    /// Distance of keyframes, in pictures.
    pub(crate) gop: u32,
    /// In Hz.
    pub(crate) tone: u32,
    /// Width and height.
    pub(crate) size: (u32, u32),
    /// Whether the pictures carry the wall clock, for e2e/glass.js. They are 640
    /// pixels wide then, and leave the encoder without waiting for the next one.
    pub(crate) clock: bool,
    /// By how many millionths its clock is fast.
    pub(crate) ppm: i32,
    /// Seconds after which all timestamps are a minute further, if any.
    pub(crate) jump: Option<u32>,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            rate: 25,
            gop: 50,
            tone: 1000,
            size: (640, 360),
            clock: false,
            ppm: 0,
            jump: None,
        }
    }
}

pub(crate) struct Publisher {
    guard: Guard,
    log: String,
}

impl Publisher {
    /// Publishes live, until it is killed or the server ends it. `name` is that of
    /// its log.
    pub(crate) fn live(bench: &Bench, name: &str, source: &Source, url: &str) -> Result<Self> {
        let Source {
            rate,
            gop,
            tone,
            size: (width, height),
            ..
        } = source;
        let picture = format!("testsrc2=size={width}x{height}:rate={rate}");
        let sound = format!("sine=frequency={tone}:sample_rate=48000");
        let gop = gop.to_string();
        let mut command = Command::new("ffmpeg");
        command
            .args(["-hide_banner", "-loglevel", "warning", "-nostdin"])
            .args([
                "-readrate",
                &(1.0 + f64::from(source.ppm) / 1e6).to_string(),
            ])
            .args(["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound])
            .args([
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-profile:v",
                "high",
            ])
            // Pictures that wait for later ones would count as the server's latency.
            .args(if source.clock {
                ["-tune", "zerolatency"]
            } else {
                ["-bf", "2"]
            })
            .args([
                "-x264-params",
                "b-adapt=0:scenecut=0",
                "-pix_fmt",
                "yuv420p",
                "-b:v",
                "800k",
            ])
            .args(["-g", &gop, "-c:a", "aac", "-b:a", "96k"]);
        if source.clock {
            command.args(["-vf", &clock()]);
        }
        if let Some(after) = source.jump {
            // In the milliseconds of FLV, and in the order of decoding.
            let further = format!("+gte(DTS\\,{after}000)*60000");
            let filter = format!("setts=pts=PTS{further}:dts=DTS{further}");
            command.args(["-bsf:v", &filter, "-bsf:a", &filter]);
        }
        command.args(["-f", format_of(url), url]);
        Self::spawn(bench, name, command)
    }

    /// Publishes a file as it is, `speed` times as fast as it plays.
    pub(crate) fn file(
        bench: &Bench,
        name: &str,
        path: &str,
        speed: u32,
        url: &str,
    ) -> Result<Self> {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-hide_banner", "-loglevel", "warning", "-nostdin"])
            .args([
                "-readrate",
                &speed.to_string(),
                "-i",
                path,
                "-c",
                "copy",
                "-f",
                format_of(url),
                url,
            ]);
        Self::spawn(bench, name, command)
    }

    /// Publishes with a command that is ready to run.
    pub(super) fn spawn(bench: &Bench, name: &str, mut command: Command) -> Result<Self> {
        let log = format!("{name}.log");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file(bench, &log)?);
        Ok(Self {
            guard: Guard::spawn(name, &mut command)?,
            log,
        })
    }

    /// Stops it where it is, as a machine that hangs; [`Self::resume`] goes on.
    pub(crate) fn freeze(&mut self) -> Result {
        self.guard.signal("STOP")
    }

    pub(crate) fn resume(&mut self) -> Result {
        self.guard.signal("CONT")
    }

    /// SIGKILL: it vanishes without a word.
    pub(crate) fn kill(&mut self) {
        self.guard.kill();
    }

    /// Waits until it ends by itself, and well.
    pub(crate) fn finish(&mut self, bench: &Bench, limit: Duration) -> Result {
        let status = self.guard.wait(limit)?;
        ensure!(
            status.success(),
            "the publisher ended with {status}:\n{}",
            tail(bench, &self.log)
        );
        Ok(())
    }

    /// Waits until the server has made it end.
    pub(crate) fn wait_refused(&mut self, limit: Duration) -> Result {
        self.guard.wait(limit).map(drop)
    }

    /// Fails if it is not there any more.
    pub(crate) fn check_alive(&mut self, bench: &Bench) -> Result {
        let ended = self.guard.ended();
        ensure!(
            ended.is_none(),
            "the publisher ended early:\n{}",
            tail(bench, &self.log)
        );
        Ok(())
    }
}

/// The filters that draw the wall clock as e2e/glass.js reads it: a white square,
/// a black one, and sixteen bits of milliseconds in Gray code. It is drawn behind
/// the pacing, just before the encoder.
fn clock() -> String {
    const SQUARE: u32 = 32;
    const BITS: u32 = 16;
    let draw = |x: u32, width: u32, color: &str| {
        format!("drawbox=x={x}:y=0:w={width}:h={SQUARE}:color={color}:t=fill")
    };
    let mut filters = vec![
        draw(0, SQUARE * (BITS + 2), "black"),
        draw(0, SQUARE, "white"),
    ];
    for bit in 0..BITS {
        // A bit of Gray code is set in the second and third quarter of its period.
        // The highest has no bit above it in what wraps: it is a bit as it is.
        let half = 1_u32 << bit;
        let (period, end) = if bit == BITS - 1 {
            (2 * half, 2 * half - 1)
        } else {
            (4 * half, 3 * half - 1)
        };
        let square = draw(SQUARE * (bit + 2), SQUARE, "white");
        filters.push(format!(
            "{square}:enable='between(mod(floor(time(0)*1000),{period}),{half},{end})'"
        ));
    }
    filters.join(",")
}
