//! A stream in headless Chromium: e2e/play.mjs measures, this judges.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use serde_json::Value;

use super::server::Server;
use super::{Bench, log_file, note, tail};
use crate::process::{Context, Guard, Result, Run, ensure, fail};
use crate::workspace;

/// Which player shows the stream.
#[derive(Clone, Copy)]
pub(crate) enum With {
    /// The server's own page, with the player that it chooses: its hls.js.
    Watch,
    /// The same, and each picture's clock is read (`Source::clock`).
    WatchGlass,
    /// The same over HTTPS, with a certificate that nobody signed.
    WatchSecure,
    /// The server's own page with Chromium's own player.
    WatchNative,
    HlsJs,
    Shaka,
    Native,
    /// dash.js, which takes low latency where the manifest offers it.
    DashJs,
    /// shaka with the manifest, in low latency or not.
    ShakaDash {
        low: bool,
    },
}

impl With {
    fn name(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::WatchGlass => "watch-glass",
            Self::WatchSecure => "watch-secure",
            Self::WatchNative => "watch-native",
            Self::HlsJs => "hls",
            Self::Shaka => "shaka",
            Self::Native => "native",
            Self::DashJs => "dash",
            Self::ShakaDash { .. } => "shaka-dash",
        }
    }
}

impl With {
    /// Whether each picture's clock is read, where there is one.
    fn reads_glass(self) -> bool {
        matches!(
            self,
            Self::WatchGlass | Self::DashJs | Self::ShakaDash { .. }
        )
    }
}

/// A viewer that is watching.
pub(crate) struct Viewer {
    guard: Guard,
    events: Receiver<Value>,
    log: String,
    with: With,
}

impl Viewer {
    /// Opens the stream and goes on watching for at most `seconds` from the first
    /// picture.
    pub(crate) fn open(
        bench: &Bench,
        with: With,
        server: &Server,
        key: &str,
        seconds: u32,
    ) -> Result<Self> {
        let name = with.name();
        let (player, url) = match with {
            With::Watch | With::WatchGlass => ("watch", server.url(&format!("/watch/{key}"))),
            With::WatchSecure => ("watch", server.secure_url(&format!("/watch/{key}"))?),
            With::WatchNative => ("watch", server.url(&format!("/watch/{key}?player=native"))),
            With::HlsJs | With::Shaka | With::Native => (name, server.hls(key)),
            With::DashJs | With::ShakaDash { .. } => (name, server.dash(key)),
        };
        Self::play(bench, with, player, &url, seconds)
    }

    /// Opens what is at `url`, wherever that is, with a player of the tests' own page.
    pub(crate) fn open_at(bench: &Bench, with: With, url: &str, seconds: u32) -> Result<Self> {
        Self::play(bench, with, with.name(), url, seconds)
    }

    fn play(bench: &Bench, with: With, player: &str, url: &str, seconds: u32) -> Result<Self> {
        let name = with.name();
        let log = format!("browser-{name}.log");
        let mut command = Command::new("node");
        command
            .arg("play.mjs")
            .args([
                "--player",
                player,
                "--url",
                url,
                "--seconds",
                &seconds.to_string(),
            ])
            .arg("--screenshot")
            .arg(bench.dir.join(format!("browser-{name}.png")))
            .args(with.reads_glass().then_some("--glass"))
            .args(matches!(with, With::ShakaDash { low: true }).then_some("--low"))
            .args(matches!(with, With::WatchSecure).then_some("--any-certificate"))
            .current_dir(workspace::root().join("e2e"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file(bench, &log)?);
        let mut guard = Guard::spawn("node play.mjs", &mut command)?;
        let Some(stdout) = guard.child().stdout.take() else {
            fail!("node has no standard output");
        };
        let (send, events) = sync_channel(8);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if send.send(event).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            guard,
            events,
            log,
            with,
        })
    }

    /// Waits for the first picture and returns the milliseconds from the opening of
    /// the page to it.
    pub(crate) fn first_frame(&mut self, bench: &Bench) -> Result<u64> {
        let event = self.event(bench, "first_frame", Duration::from_secs(60))?;
        let ms = number(&event, "ms").round();
        note(format!("{}: first picture after {ms} ms", self.with.name()));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "milliseconds of one test"
        )]
        let ms = ms as u64;
        Ok(ms)
    }

    /// Stops watching now and returns what was seen.
    pub(crate) fn stop(mut self, bench: &Bench) -> Result<Report> {
        drop(self.guard.child().stdin.take());
        self.report(bench, Duration::from_secs(20))
    }

    /// Watches to the end of its time and returns what was seen.
    pub(crate) fn watch(mut self, bench: &Bench, seconds: u32) -> Result<Report> {
        self.report(bench, Duration::from_secs(u64::from(seconds) + 40))
    }

    fn report(&mut self, bench: &Bench, limit: Duration) -> Result<Report> {
        let json = self.event(bench, "report", limit)?;
        let path = bench.dir.join(format!("browser-{}.json", self.with.name()));
        std::fs::write(&path, json.to_string()).context(path.display())?;
        let report = Report {
            json,
            with: self.with,
        };
        note(report.summary());
        Ok(report)
    }

    fn event(&mut self, bench: &Bench, name: &str, limit: Duration) -> Result<Value> {
        let player = self.with.name();
        match self.events.recv_timeout(limit) {
            Ok(event) if event.get("event").and_then(Value::as_str) == Some(name) => Ok(event),
            Ok(event) => fail!("{player}: expected {name}, got {event}"),
            Err(RecvTimeoutError::Timeout) => fail!("{player}: no {name} within {limit:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                fail!(
                    "{player}: the browser script ended without {name}:\n{}",
                    tail(bench, &self.log)
                )
            }
        }
    }
}

/// Opens a page of the server, waits for an element, and leaves a picture of the
/// page in the scenario's folder. Returns the element's text.
pub(crate) fn look(bench: &Bench, url: &str, selector: &str) -> Result<String> {
    let text = Run::new("node")
        .args([
            "look.mjs",
            "--url",
            url,
            "--selector",
            selector,
            "--screenshot",
        ])
        .arg(bench.dir.join("page.png"))
        .dir(workspace::root().join("e2e"))
        .output()?;
    let seen: Value = serde_json::from_str(&text)?;
    let Some(text) = seen.get("text").and_then(Value::as_str) else {
        fail!("{url} has no `{selector}`: {seen}");
    };
    no_trouble(url, &seen, |_| false)?;
    Ok(text.to_owned())
}

/// Opens the player page and goes from HLS to DASH and back.
pub(crate) fn switch(bench: &Bench, url: &str) -> Result {
    let text = Run::new("node")
        .args(["switch.mjs", "--url", url, "--screenshot"])
        .arg(bench.dir.join("switched.png"))
        .dir(workspace::root().join("e2e"))
        .output()?;
    let seen: Value = serde_json::from_str(&text)?;
    let steps = seen.get("steps").and_then(Value::as_array);
    let steps = steps.map(Vec::as_slice).unwrap_or_default();
    let wanted = ["hls", "dash", "dash", "hls"];
    ensure!(steps.len() == wanted.len(), "{url}: {seen}");
    for (step, protocol) in steps.iter().zip(wanted) {
        let is = |name, text: &str| step.get(name).and_then(Value::as_str) == Some(text);
        let address = step.get("address").and_then(Value::as_str);
        let named = address.is_some_and(|address| address.contains("protocol=dash"));
        ensure!(
            step.get("played") == Some(&Value::Bool(true))
                && is("player", &format!("{protocol}.js"))
                && is("pressed", protocol)
                && named == (protocol == "dash"),
            "the page does not go on with {protocol}: {step}"
        );
    }
    let ms = |at: usize| steps.get(at).map(|step| number(step, "ms").round());
    note(format!(
        "the page played two seconds by DASH {} ms after the switch, by HLS {} ms after that back",
        ms(1).unwrap_or_default(),
        ms(3).unwrap_or_default()
    ));
    no_trouble(url, &seen, |_| false)
}

/// What no page of ours may have, but for what is `allowed`.
fn no_trouble(name: &str, seen: &Value, allowed: fn(&str) -> bool) -> Result {
    for list in ["errors", "consoleErrors", "httpErrors", "foreignHosts"] {
        let entries = seen.get(list).and_then(Value::as_array);
        let entries = entries.into_iter().flatten();
        let troubles: Vec<&Value> = entries
            .filter(|entry| !entry.as_str().is_some_and(allowed))
            .collect();
        ensure!(troubles.is_empty(), "{name}: {list}: {troubles:?}");
    }
    Ok(())
}

/// What one viewer saw and heard.
pub(crate) struct Report {
    json: Value,
    with: With,
}

/// The demo clip has a pip of so many hertz on each full second, louder than the tone
/// that goes on under it.
const PIP: u32 = 1_000;

impl Report {
    /// All a viewer may demand of `seconds` of a stream with a tone of `tone` Hz.
    pub(crate) fn check(&self, seconds: u32, tone: u32) -> Result {
        // The media's clock may run a little slow at first: players near the live
        // edge steer by their rate.
        self.check_moving(0.9 * f64::from(seconds), tone)?;
        // A stall that a viewer sees. Players also say "waiting" where they bridge a
        // change of buffers without one.
        let freeze = self.number("longestFreezeMs");
        ensure!(
            freeze < 500.0,
            "{}: the picture stood still for {freeze} ms",
            self.name()
        );
        Ok(())
    }

    /// That at least `seconds` were played, moving and with the tone, that nothing
    /// failed, and that it plays on. Stalls are allowed.
    pub(crate) fn check_moving(&self, seconds: f64, tone: u32) -> Result {
        let name = self.name();
        self.check_playing(seconds)?;
        no_trouble(name, &self.json, |_| false)?;
        let played = self.number("played");
        let frames = self.number("frames");
        ensure!(
            frames >= 15.0 * played,
            "{name}: decoded {frames} pictures in {played:.1} s"
        );
        let (pictures, moved) = (self.number("pictures"), self.number("picturesMoved"));
        ensure!(
            pictures >= seconds && moved >= 0.7 * pictures,
            "{name}: of {pictures} looks at the picture only {moved} saw it move"
        );
        let (tones, undertones) = (self.list("tones"), self.list("undertones"));
        let looks = tones.len();
        let near = |heard: &Value, tone: u32| {
            heard
                .as_f64()
                .is_some_and(|hz| (hz - f64::from(tone)).abs() <= 5.0)
        };
        let steady = tones
            .iter()
            .zip(&undertones)
            .filter(|(first, second)| near(first, tone) || (near(first, PIP) && near(second, tone)))
            .count();
        ensure!(
            looks >= 4 && steady * 10 >= looks * 8,
            "{name}: {tone} Hz sounded in {steady} of {looks} looks: {tones:?}, under them {undertones:?}"
        );
        Ok(())
    }

    /// That at least `seconds` were played, and that it plays on.
    pub(crate) fn check_playing(&self, seconds: f64) -> Result {
        let name = self.name();
        let still = self.number("stillForMs");
        ensure!(
            still < 1000.0,
            "{name}: at the end the picture stands still for {still} ms"
        );
        let played = self.number("played");
        ensure!(
            played >= seconds,
            "{name}: played {played:.1} s, not {seconds} s"
        );
        Ok(())
    }

    /// The same, and that nothing failed but what is `allowed`.
    pub(crate) fn check_playing_despite(&self, seconds: f64, allowed: fn(&str) -> bool) -> Result {
        self.check_playing(seconds)?;
        no_trouble(self.name(), &self.json, allowed)
    }

    /// That the page and all that it asked for came by HTTP/2.
    pub(crate) fn check_http2(&self) -> Result {
        let protocols = self.list("protocols");
        ensure!(
            protocols == ["h2"],
            "{}: what the page asked for came by {protocols:?}",
            self.name()
        );
        Ok(())
    }

    /// That pictures of this size were shown last.
    pub(crate) fn check_size(&self, (width, height): (u32, u32)) -> Result {
        let shown = (self.number("width"), self.number("height"));
        ensure!(
            shown == (f64::from(width), f64::from(height)),
            "{}: the picture is of {} x {}, not of {width} x {height}",
            self.name(),
            shown.0,
            shown.1
        );
        Ok(())
    }

    /// The latency of each picture whose clock was read, in milliseconds, the
    /// least first, and how many could not be read.
    pub(crate) fn glass(&self) -> (Vec<f64>, f64) {
        let glass = self.json.get("glass").unwrap_or(&Value::Null);
        let samples = glass.get("samples").and_then(Value::as_array);
        let mut samples: Vec<f64> = samples
            .into_iter()
            .flatten()
            .filter_map(Value::as_f64)
            .collect();
        samples.sort_by(f64::total_cmp);
        (samples, number(glass, "unread"))
    }

    /// Waits for data after the first picture, and the longest time without
    /// progress in milliseconds.
    pub(crate) fn stalls(&self) -> (f64, f64) {
        (self.number("waiting"), self.number("longestFreezeMs"))
    }

    /// Width and height of the picture at the end.
    pub(crate) fn size(&self) -> (u32, u32) {
        let number = |key| self.json.get(key).and_then(Value::as_u64);
        let number = |key| number(key).and_then(|it| u32::try_from(it).ok());
        (number("width").unwrap_or(0), number("height").unwrap_or(0))
    }

    /// What the page says of a figure, such as "Latency".
    pub(crate) fn figure(&self, name: &str) -> Option<&str> {
        let figures = self.json.get("figures").and_then(Value::as_str)?;
        let mut lines = figures.lines().skip_while(|line| line.trim() != name);
        lines.nth(1)
    }

    fn name(&self) -> &'static str {
        self.with.name()
    }

    fn summary(&self) -> String {
        format!(
            "{}: {:.1} s played, {} pictures ({} dropped), {} of {} looks moved, {} waits, still for at most {:.0} ms",
            self.name(),
            self.number("played"),
            self.number("frames"),
            self.number("framesDropped"),
            self.number("picturesMoved"),
            self.number("pictures"),
            self.number("waiting"),
            self.number("longestFreezeMs"),
        )
    }

    fn number(&self, key: &str) -> f64 {
        number(&self.json, key)
    }

    fn list(&self, key: &str) -> Vec<Value> {
        self.json
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    }
}

fn number(json: &Value, key: &str) -> f64 {
    json.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN)
}
