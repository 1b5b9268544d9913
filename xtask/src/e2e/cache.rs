//! A cache between the server and its viewers: nginx, as a CDN's edge would be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::browser::{Viewer, With};
use super::player::Watching;
use super::publisher::{Publisher, Source};
use super::scenarios::{KEY, check_clean};
use super::server::Server;
use super::{Bench, note, wait_for};
use crate::process::{Context, Guard, Result, ensure, fail};

/// Viewers of HLS and DASH, in low latency and without, all behind one cache.
pub(crate) fn run(bench: &Bench) -> Result {
    const SECONDS: u32 = 15;
    let source = Source::default();
    let mut server = Server::start(bench, &[])?;
    let mut publisher = Publisher::live(bench, "publisher", &source, &server.rtmp(KEY)?)?;
    server.wait_settled(bench, KEY)?;
    let cache = Cache::start(bench, &server)?;
    let hls = cache.in_front_of(&server, &server.hls(KEY));
    let dash = cache.in_front_of(&server, &server.dash(KEY));

    let mut ordinary = vec![
        Watching::ffmpeg_as(bench, "hls", &hls)?,
        Watching::ffmpeg_as(bench, "dash", &dash)?,
    ];
    for player in &mut ordinary {
        player.goes_on(bench, "the start")?;
    }
    // What each asks for and when is its own matter: together they ask for everything.
    let mut viewers = Vec::new();
    for (with, url) in [(With::HlsJs, &hls), (With::DashJs, &dash)] {
        let mut viewer = Viewer::open_at(bench, with, url, SECONDS)?;
        viewer.first_frame(bench)?;
        viewers.push(viewer);
    }
    for viewer in viewers {
        let report = viewer.watch(bench, SECONDS)?;
        report.check_moving(0.8 * f64::from(SECONDS), source.tone)?;
    }
    for player in &mut ordinary {
        player.goes_on(bench, "all viewers were there")?;
    }
    drop(ordinary);
    publisher.check_alive(bench)?;
    check_clean(&server, KEY)?;
    cache.check()?;
    server.stop(bench)
}

/// One line of the cache's log.
struct Asked {
    /// `MISS` if the server was asked.
    how: String,
    status: String,
    path: String,
    agent: String,
}

/// A running nginx that keeps what it may.
struct Cache {
    guard: Guard,
    address: SocketAddr,
    log: std::path::PathBuf,
}

impl Cache {
    fn start(bench: &Bench, server: &Server) -> Result<Self> {
        let folder = bench.dir.join("nginx");
        // It is asked to keep nothing of a run before this one.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).context(folder.display())?;
        // nginx cannot say which port it took: this one was free a moment ago.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port")?;
        let address = port.local_addr().context("a port")?;
        drop(port);
        let log = folder.join("access.log");
        let config = format!(
            "worker_processes 1;
            daemon off;
            pid {folder}/nginx.pid;
            error_log {folder}/error.log warn;
            events {{ worker_connections 256; }}
            http {{
              log_format asked '$upstream_cache_status $status $request_uri $http_user_agent';
              access_log {log} asked;
              client_body_temp_path {folder}/body;
              proxy_temp_path {folder}/temp;
              fastcgi_temp_path {folder}/fastcgi;
              uwsgi_temp_path {folder}/uwsgi;
              scgi_temp_path {folder}/scgi;
              proxy_cache_path {folder}/cache keys_zone=live:4m max_size=256m;
              server {{
                listen {address};
                location / {{
                  proxy_pass http://{server};
                  proxy_http_version 1.1;
                  proxy_set_header Connection '';
                  proxy_cache live;
                  proxy_cache_lock on;
                  proxy_cache_lock_timeout 30s;
                }}
              }}
            }}",
            folder = folder.display(),
            log = log.display(),
            server = server.http,
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, config).context(file.display())?;
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(&folder)
            .arg("-e")
            .arg(folder.join("error.log"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut guard = Guard::spawn("nginx", &mut command)?;
        wait_for(Duration::from_secs(10), "nginx", || {
            if guard.ended().is_some() {
                let said = fs::read_to_string(folder.join("error.log")).unwrap_or_default();
                fail!("nginx does not start:\n{said}");
            }
            Ok(TcpStream::connect(address).is_ok().then_some(()))
        })?;
        Ok(Self {
            guard,
            address,
            log,
        })
    }

    /// The same URL here.
    fn in_front_of(&self, server: &Server, url: &str) -> String {
        url.replace(&server.http, &self.address.to_string())
    }

    fn asked(&self) -> Result<Vec<Asked>> {
        let log = fs::read_to_string(&self.log).context(self.log.display())?;
        let parse = |line: &str| {
            let mut parts = line.splitn(4, ' ').map(str::to_owned);
            Some(Asked {
                how: parts.next()?,
                status: parts.next()?,
                path: parts.next()?,
                agent: parts.next()?,
            })
        };
        Ok(log.lines().filter_map(parse).collect())
    }

    /// Each segment, part and initialisation segment came from the server once, and
    /// viewers of HLS got what viewers of DASH had had fetched, and the other way round.
    fn check(mut self) -> Result {
        if self.guard.ended().is_some() {
            fail!("nginx has ended");
        }
        let asked = self.asked()?;
        let mut fetched: BTreeMap<&str, u32> = BTreeMap::new();
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut hits = 0;
        for it in asked.iter().filter(|it| it.path.starts_with("/cmaf/")) {
            // Who leaves in the middle is no fault: the viewers do so at the end.
            ensure!(
                matches!(it.status.as_str(), "200" | "206" | "499"),
                "{} was answered {} ({})",
                it.path,
                it.status,
                it.how
            );
            let fetches = fetched.entry(&it.path).or_default();
            match it.how.as_str() {
                "HIT" => hits += 1,
                "MISS" => *fetches += 1,
                how => fail!("{} could not be kept: {how}", it.path),
            }
            wanted.entry(&it.path).or_default().insert(&it.agent);
        }
        let twice: Vec<_> = fetched.iter().filter(|(_, count)| **count > 1).collect();
        ensure!(twice.is_empty(), "fetched more than once: {twice:?}");
        let shared =
            |agents: &&BTreeSet<&str>| ["hls", "dash"].iter().all(|it| agents.contains(it));
        let both = wanted.values().filter(shared).count();
        ensure!(
            both >= 10,
            "viewers of HLS and DASH had only {both} segments in common"
        );
        note(format!(
            "{} segments, parts and initialisation segments, each fetched once and served {hits} \
             times from the cache; {both} to FFmpeg's HLS and its DASH alike",
            fetched.len()
        ));
        Ok(())
    }
}
