//! The server that is measured, as a process of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// A way to feed viewers.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) settings: &'static [&'static str],
}

/// The first is what the others are compared with.
pub(crate) const VARIANTS: &[Variant] = &[
    Variant {
        name: "a subscription per viewer",
        settings: &["flv.consume=tasks", "flv.gather=0s"],
    },
    Variant {
        name: "the same, sound waits for pictures",
        settings: &["flv.consume=tasks", "flv.gather=100ms"],
    },
    Variant {
        name: "reactor",
        settings: &["flv.consume=reactor", "flv.gather=0s"],
    },
    Variant {
        name: "reactor, sound waits for pictures",
        settings: &["flv.consume=reactor", "flv.gather=100ms"],
    },
];

/// Ends when it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) http: SocketAddr,
    pub(crate) ingest: SocketAddr,
}

/// Processor time and writes up to a moment.
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) writes: u64,
}

impl Server {
    pub(crate) fn start(binary: &Path, settings: &[&str]) -> Result<Self> {
        let addresses = std::env::temp_dir().join(format!("viewers-{}.json", std::process::id()));
        let _ = fs::remove_file(&addresses);
        let mut command = Command::new(binary);
        command.args(["run", "--addresses-file"]).arg(&addresses);
        let own = [
            "server.listen=127.0.0.1:0",
            "rtmp.listen=127.0.0.1:0",
            "srt.listen=127.0.0.1:0",
            "acme.listen=127.0.0.1:0",
            // The other egress would package the stream beside.
            "cmaf.start=on-demand",
            "log.level=warn",
        ];
        for set in own.iter().chain(settings) {
            command.args(["--set", set]);
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut server = Self {
            process,
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            ingest: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let limit = Instant::now() + Duration::from_secs(10);
        let text = loop {
            if let Ok(text) = fs::read(&addresses) {
                break text;
            }
            if Instant::now() > limit {
                return Err("the server wrote no addresses".into());
            }
            if let Some(status) = server.process.try_wait()? {
                return Err(format!("the server ended with {status}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let _ = fs::remove_file(&addresses);
        let value: serde_json::Value = serde_json::from_slice(&text)?;
        let address = |name: &str| -> Result<SocketAddr> {
            let text = value.get(name).and_then(|it| it.as_str());
            Ok(text.ok_or("an address is missing")?.parse()?)
        };
        (server.http, server.ingest) = (address("http")?, address("acme")?);
        Ok(server)
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        usage(self.process.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Of a process, from `/proc`: the time of its threads in nanoseconds.
pub(crate) fn usage(process: u32) -> Result<Usage> {
    let mut cpu = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let nanos = text.split(' ').next().unwrap_or_default().parse()?;
        cpu += Duration::from_nanos(nanos);
    }
    let io = fs::read_to_string(format!("/proc/{process}/io"))?;
    let writes = io.lines().find_map(|line| line.strip_prefix("syscw: "));
    Ok(Usage {
        cpu,
        writes: writes.unwrap_or_default().parse()?,
    })
}
