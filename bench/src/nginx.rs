//! nginx beside the server: with its RTMP module as an ingest that packages,
//! or as a server of files.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::usage::Watched;
use crate::viewer::Protocol;

/// How long it may take to start.
const START: Duration = Duration::from_secs(10);

/// Where distributions put the module.
const MODULES: &[&str] = &[
    "/usr/lib/nginx/modules/ngx_rtmp_module.so",
    "/usr/lib64/nginx/modules/ngx_rtmp_module.so",
    "/usr/local/nginx/modules/ngx_rtmp_module.so",
];

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    /// The version of the nginx that is installed, if one is.
    #[must_use]
    pub fn version() -> Option<String> {
        let output = Command::new("nginx").arg("-v").output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Some(text.trim().rsplit(' ').next()?.to_owned())
    }

    /// The RTMP module, if it is installed.
    #[must_use]
    pub fn rtmp_module() -> Option<PathBuf> {
        MODULES.iter().map(PathBuf::from).find(|it| it.exists())
    }

    /// An ingest that packages: HLS of two seconds a fragment, into `media`,
    /// which should be in memory.
    ///
    /// # Errors
    /// It does not start.
    pub fn rtmp(folder: &Path, media: &Path, module: &Path) -> Result<Self> {
        let port = free_port()?;
        let config = format!(
            "load_module {};
            worker_processes 1;
            error_log {folder}/error.log error;
            pid {folder}/nginx.pid;
            daemon off;
            events {{ worker_connections 4096; }}
            rtmp {{
              access_log off;
              server {{
                listen 127.0.0.1:{port};
                chunk_size 4096;
                application live {{
                  live on;
                  hls on;
                  hls_path {};
                  hls_fragment 2s;
                  hls_playlist_length 30s;
                }}
              }}
            }}",
            module.display(),
            media.display(),
            folder = folder.display(),
        );
        Self::start(folder, &config, port, 1)
    }

    /// A server of the files in `root` by sendfile, to viewers that speak
    /// `protocol`. With `tuned` it keeps files open.
    ///
    /// # Errors
    /// It does not start.
    pub fn files(folder: &Path, root: &Path, tuned: bool, protocol: Protocol) -> Result<Self> {
        let port = free_port()?;
        let cache = if tuned {
            "open_file_cache max=10000 inactive=10m; open_file_cache_valid 10m;"
        } else {
            ""
        };
        let http2 = match protocol {
            Protocol::Http1 => "",
            Protocol::Http2 => " http2",
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let config = format!(
            "worker_processes {workers};
            error_log {folder}/error.log error;
            pid {folder}/nginx.pid;
            daemon off;
            events {{ worker_connections 4096; }}
            http {{
              access_log off;
              sendfile on;
              tcp_nopush on;
              keepalive_timeout 600s;
              keepalive_requests 100000000;
              types {{ video/mp4 m4s mp4; application/vnd.apple.mpegurl m3u8; }}
              {cache}
              server {{ listen 127.0.0.1:{port}{http2}; root {root}; }}
            }}",
            folder = folder.display(),
            root = root.display(),
        );
        Self::start(folder, &config, port, workers)
    }

    fn start(folder: &Path, config: &str, port: u16, workers: usize) -> Result<Self> {
        let path = folder.join("nginx.conf");
        fs::write(&path, config).map_err(Error::of(path.display()))?;
        let child = Command::new("nginx")
            .arg("-p")
            .arg(folder)
            .arg("-e")
            .arg(folder.join("error.log"))
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::of("nginx"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut this = Self { child, address };
        let begun = Instant::now();
        // It listens before its workers are there, and what one of them costs must
        // not be missed.
        while TcpStream::connect(address).is_err() || this.watch()?.processes() <= workers {
            let ended = this.child.try_wait().ok().flatten().is_some();
            if ended || begun.elapsed() > START {
                let log = fs::read_to_string(folder.join("error.log")).unwrap_or_default();
                return Err(Error::new(format!("nginx does not start:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(this)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its processes.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn watch(&self) -> Result<Watched> {
        Watched::new(self.child.id())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A signal that it can hear, or its workers outlive it.
        let pid = self.child.id().to_string();
        let _ = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &pid])
            .status();
        let begun = Instant::now();
        while begun.elapsed() < START {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago; nginx cannot be asked which one it took.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::of("a port"))?;
    let address = listener.local_addr().map_err(Error::of("a port"))?;
    Ok(address.port())
}
