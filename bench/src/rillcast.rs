//! The server that is measured: the build that is given out (profile `dist`), as
//! a process of its own, on ports that the system chose.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::transport::Lines;
use crate::usage::Watched;
use crate::viewer::Viewer;

/// How long it may take to start.
const START: Duration = Duration::from_secs(20);

/// Builds the server as it is released and tells where its binary is.
///
/// # Errors
/// Cargo fails.
pub fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--profile", "dist", "--locked"])
        .args(["-p", "rillcast-server"])
        .status()
        .map_err(Error::of("cargo"))?;
    if !status.success() {
        return Err(Error::new(format!("cargo build ended with {status}")));
    }
    // A benchmark is built in `release/deps`, two folders from the server's.
    let this = std::env::current_exe().map_err(Error::of("this program"))?;
    this.ancestors()
        .nth(3)
        .map(|folder| folder.join("dist").join("rillcast"))
        .filter(|binary| binary.exists())
        .ok_or_else(|| Error::new("the server was built, but where?"))
}

/// A running server.
#[derive(Debug)]
pub struct Rillcast {
    child: Child,
    http: SocketAddr,
    rtmp: SocketAddr,
    srt: Option<SocketAddr>,
}

/// What the streams of a server hold, as its API says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Streams that are packaged.
    pub live: usize,
    /// Bytes of all windows.
    pub window: u64,
    /// Bytes of all buses.
    pub bus: u64,
    /// Repairs and drops: none, or the publisher was no clean one.
    pub repairs: u64,
}

impl Rillcast {
    /// Starts `binary` with `settings` (`section.key=value`); what it writes
    /// goes into `folder`.
    ///
    /// # Errors
    /// It does not start, or not in time.
    pub fn start(binary: &Path, folder: &Path, settings: &[String]) -> Result<Self> {
        Self::configured(binary, folder, "", settings)
    }

    /// The same with a configuration file that holds `config`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn configured(
        binary: &Path,
        folder: &Path,
        config: &str,
        settings: &[String],
    ) -> Result<Self> {
        let file = folder.join("rillcast.toml");
        fs::write(&file, config).map_err(Error::of(file.display()))?;
        let addresses = folder.join("addresses.json");
        let _ = fs::remove_file(&addresses);
        let log = folder.join("rillcast.log");
        let log = File::create(&log).map_err(Error::of(log.display()))?;
        let mut command = Command::new(binary);
        command
            .arg("run")
            .arg("--config")
            .arg(&file)
            .args(["--set", "server.listen=127.0.0.1:0"])
            .args(["--set", "rtmp.listen=127.0.0.1:0"])
            .arg("--addresses-file")
            .arg(&addresses)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(Error::of("log"))?)
            .stderr(log);
        if links(binary, "srt") {
            command.args(["--set", "srt.listen=127.0.0.1:0"]);
        }
        for setting in settings {
            command.args(["--set", setting]);
        }
        let child = command.spawn().map_err(Error::of(binary.display()))?;
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut this = Self {
            child,
            http: unknown,
            rtmp: unknown,
            srt: None,
        };
        let begun = Instant::now();
        let text = loop {
            // It is written atomically: what is there is whole.
            if let Ok(text) = fs::read(&addresses) {
                break text;
            }
            if let Ok(Some(status)) = this.child.try_wait() {
                return Err(Error::new(format!("the server ended with {status}")));
            }
            if begun.elapsed() > START {
                return Err(Error::new("the server does not start"));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let json: Value = serde_json::from_slice(&text).map_err(Error::of("addresses"))?;
        let address = |name: &str| {
            json.get(name)
                .and_then(Value::as_str)
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| Error::new(format!("the server names no address of {name}")))
        };
        this.http = address("http")?;
        this.rtmp = address("rtmp")?;
        this.srt = address("srt").ok();
        Ok(this)
    }

    /// Where it answers HTTP.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where it takes RTMP.
    #[must_use]
    pub fn rtmp(&self) -> SocketAddr {
        self.rtmp
    }

    /// Where it takes SRT, if it does.
    #[must_use]
    pub fn srt(&self) -> Option<SocketAddr> {
        self.srt
    }

    /// The id of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop and waits until it has, for `limit` at most.
    ///
    /// # Errors
    /// It does not stop in time, or not well.
    pub fn stop(mut self, limit: Duration) -> Result {
        // std has no call for a signal but the one that kills.
        let pid = self.pid().to_string();
        Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &pid])
            .status()
            .map_err(Error::of("sh"))?;
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Ok(Some(status)) = self.child.try_wait() {
                return if status.success() {
                    Ok(())
                } else {
                    Err(Error::new(format!("the server ended with {status}")))
                };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Error::new("the server does not stop"))
    }

    /// Its process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn watch(&self) -> Result<Watched> {
        Watched::new(self.child.id())
    }

    /// Asks for `path`; the answer must be 200.
    ///
    /// # Errors
    /// There is none, or it is another.
    pub async fn get(&self, path: &str) -> Result<Vec<u8>> {
        let mut viewer = Viewer::connect(self.http).await?;
        let mut body = Vec::new();
        viewer.get(path, Some(&mut body)).await?;
        Ok(body)
    }

    /// What it says of its publishers' lines.
    ///
    /// # Errors
    /// The API does not answer.
    pub async fn lines(&self) -> Result<Lines> {
        let body = self.get("/api/v1/streams").await?;
        let json: Value = serde_json::from_slice(&body).map_err(Error::of("the API"))?;
        Ok(Lines::of_streams(&json))
    }

    /// What its streams hold.
    ///
    /// # Errors
    /// The API does not answer.
    pub async fn held(&self) -> Result<Held> {
        let body = self.get("/api/v1/streams").await?;
        let json: Value = serde_json::from_slice(&body).map_err(Error::of("the API"))?;
        let mut held = Held::default();
        let streams = json.get("streams").and_then(Value::as_array);
        for stream in streams.into_iter().flatten() {
            let number = |path: &str| {
                let value = stream.pointer(path).and_then(Value::as_u64);
                value.unwrap_or_default()
            };
            let state = stream.pointer("/packaging/state").and_then(Value::as_str);
            held.live += usize::from(state == Some("live"));
            held.window += number("/memory/window");
            held.bus += number("/memory/bus");
            held.repairs += number("/repairs") + number("/drops") + number("/discontinuities");
        }
        Ok(held)
    }
}

/// Whether a build links a plugin: one that does not refuses its section.
fn links(binary: &Path, plugin: &str) -> bool {
    let plugins = Command::new(binary).arg("plugins").output();
    plugins.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines()
            .any(|line| line.split_whitespace().next() == Some(plugin))
    })
}

impl Drop for Rillcast {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
