//! The server as a process of its own, on ports that the system chose.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::playlist::{Media, Multivariant};
use super::{Bench, log_file, tail, wait_for};
use crate::http;
use crate::process::{Context, Guard, Result, ensure, fail};

/// The contract for a stop with everything in hand finished.
const STOP: Duration = Duration::from_secs(5);

pub(crate) struct Server {
    guard: Guard,
    /// `ip:port` of HTTP.
    pub(crate) http: String,
    addresses: Value,
}

impl Server {
    /// `rillcast run`.
    pub(crate) fn start(bench: &Bench, settings: &[&str]) -> Result<Self> {
        Self::launch(bench, "run", settings)
    }

    /// The same with a configuration file that holds `config`.
    pub(crate) fn configured(bench: &Bench, config: &str, settings: &[&str]) -> Result<Self> {
        let file = bench.dir.join("rillcast.toml");
        fs::write(&file, config).context(file.display())?;
        Self::launch(bench, "run", settings)
    }

    /// `rillcast demo`.
    pub(crate) fn demo(bench: &Bench) -> Result<Self> {
        Self::launch(bench, "demo", &[])
    }

    fn launch(bench: &Bench, subcommand: &str, settings: &[&str]) -> Result<Self> {
        let addresses = bench.dir.join("addresses.json");
        // That of a server before this one is not this one's.
        let _ = fs::remove_file(&addresses);
        let log = log_file(bench, "server.log")?;
        let mut command = Command::new(&bench.binary);
        command
            .arg(subcommand)
            .args([
                "--set",
                "server.listen=127.0.0.1:0",
                "--set",
                "rtmp.listen=127.0.0.1:0",
                "--set",
                "srt.listen=127.0.0.1:0",
            ])
            .arg("--addresses-file")
            .arg(&addresses)
            // What it writes belongs to the scenario, recordings too.
            .current_dir(&bench.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("server.log")?)
            .stderr(log);
        let config = bench.dir.join("rillcast.toml");
        if config.exists() {
            command.arg("--config").arg(config);
        }
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut guard = Guard::spawn("rillcast", &mut command)?;
        let addresses: Value = wait_for(Duration::from_secs(20), "the addresses file", || {
            if let Some(status) = guard.ended() {
                fail!(
                    "the server ended with {status}:\n{}",
                    tail(bench, "server.log")
                );
            }
            match fs::read(&addresses) {
                // It is written atomically: what is there is whole.
                Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
                Err(_) => Ok(None),
            }
        })?;
        let Some(http) = addresses
            .get("http")
            .and_then(Value::as_str)
            .map(Into::into)
        else {
            fail!("the addresses file names no http: {addresses}");
        };
        Ok(Self {
            guard,
            http,
            addresses,
        })
    }

    /// The address to publish APP/NAME to.
    pub(crate) fn rtmp(&self, key: &str) -> Result<String> {
        match self.addresses.get("rtmp").and_then(Value::as_str) {
            Some(address) => Ok(format!("rtmp://{address}/{key}")),
            None => fail!("the addresses file names no rtmp: {}", self.addresses),
        }
    }

    /// The address that callers of SRT are told.
    pub(crate) fn srt(&self) -> Result<String> {
        match self.addresses.get("srt").and_then(Value::as_str) {
            Some(address) => Ok(address.to_owned()),
            None => fail!("the addresses file names no srt: {}", self.addresses),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// The same over HTTPS.
    pub(crate) fn secure_url(&self, path: &str) -> Result<String> {
        match self.addresses.get("https").and_then(Value::as_str) {
            Some(address) => Ok(format!("https://{address}{path}")),
            None => fail!("the addresses file names no https: {}", self.addresses),
        }
    }

    /// The multivariant playlist of APP/NAME.
    pub(crate) fn hls(&self, key: &str) -> String {
        self.url(&format!("/hls/{key}/index.m3u8"))
    }

    /// The manifest of APP/NAME.
    pub(crate) fn dash(&self, key: &str) -> String {
        self.url(&format!("/dash/{key}/manifest.mpd"))
    }

    /// What the API says of the stream, if it is there.
    pub(crate) fn stream(&self, key: &str) -> Result<Option<Value>> {
        let path = format!("/api/v1/streams/{key}");
        let response = http::request("GET", &self.http, &path)?;
        match response.status {
            200 => Ok(Some(serde_json::from_slice(&response.body)?)),
            404 => Ok(None),
            status => fail!("GET {path} was answered with {status}: {}", response.text()),
        }
    }

    /// Waits until the stream's multivariant playlist is served.
    pub(crate) fn wait_playable(&mut self, bench: &Bench, key: &str) -> Result {
        let path = format!("/hls/{key}/index.m3u8");
        let start = Instant::now();
        let (guard, http) = (&mut self.guard, &self.http);
        wait_for(
            Duration::from_secs(40),
            &format!("a playlist of {key}"),
            || {
                if let Some(status) = guard.ended() {
                    fail!(
                        "the server ended with {status}:\n{}",
                        tail(bench, "server.log")
                    );
                }
                Ok((http::request("GET", http, &path)?.status == 200).then_some(()))
            },
        )?;
        super::note(format!(
            "playable {:.1} s later",
            start.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// Waits until each playlist of the stream lists three target durations. Fewer
    /// are enough for all players but one: Chromium's own gives up on a live
    /// playlist of one or two segments (seen with 156, and any server).
    pub(crate) fn wait_settled(&mut self, bench: &Bench, key: &str) -> Result {
        self.wait_playable(bench, key)?;
        let path = format!("/hls/{key}/index.m3u8");
        wait_for(Duration::from_secs(40), "three target durations", || {
            for media in Multivariant::fetch(&self.http, &path)?.media {
                let playlist = Media::fetch(&self.http, &media)?;
                let listed: f64 = playlist.segments.iter().map(|it| it.duration).sum();
                if listed < 3.0 * f64::from(playlist.target_duration) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    /// SIGTERM; it must end well within the contract's time.
    pub(crate) fn stop(mut self, bench: &Bench) -> Result {
        let start = Instant::now();
        self.guard.terminate()?;
        let status = self.guard.wait(STOP)?;
        ensure!(
            status.success(),
            "the server ended with {status} at SIGTERM:\n{}",
            tail(bench, "server.log")
        );
        super::note(format!(
            "SIGTERM: exit code 0 after {:.1} s",
            start.elapsed().as_secs_f64()
        ));
        let log = fs::read_to_string(bench.dir.join("server.log")).unwrap_or_default();
        ensure!(
            !log.contains("panicked at"),
            "the server's log has a panic:\n{log}"
        );
        Ok(())
    }
}
