//! What a delivered answer costs: `cargo xtask bench http`.
//!
//! A stream is published until its window holds enough, and then stands still,
//! so that rillcast's own routes and nginx by sendfile serve the same bytes
//! under the same paths, in turn, to the same viewers.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark talks to a person"
)]

use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use rillcast_bench::{
    Clip, Error, Load, Nginx, Protocol, Publisher, Result, Rillcast, Round, Spent, Table, Watched,
    build, clips, median, memory_folder, resolve, share, verdict,
};
use tokio::runtime::{Builder, Runtime};

/// CPU per request and per MB of segments, parts and playlists, beside nginx.
#[derive(Parser)]
struct Options {
    /// Connections, all kept alive.
    #[arg(long, default_value_t = 200)]
    viewers: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// How often each server is measured; medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these: segment, part, playlist.
    #[arg(long, value_delimiter = ',', default_value = "segment,part,playlist")]
    kinds: Vec<String>,
    /// The viewers speak HTTP/2, with prior knowledge.
    #[arg(long)]
    http2: bool,
    /// Servers to measure instead of this tree's, as NAME=BINARY.
    #[arg(long = "server")]
    servers: Vec<String>,
    /// Settings of the server, as `--set` takes them.
    #[arg(long = "set")]
    settings: Vec<String>,
    /// What cargo hands to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The most viewers: as many as a system's descriptors usually allow.
const MOST_VIEWERS: usize = 900;

/// A segment of two seconds is 1 MB, a part of 160 ms 80 KB.
const KILOBITS: u32 = 4_100;
const PART: &str = "160ms";

/// A listing of so many seconds makes a playlist of 3 KB.
const WINDOW: u64 = 44;

/// Segments that are asked for, in a circle, and whole parts of each.
const SEGMENTS: usize = 8;
const PARTS: usize = 12;

/// What is asked for: a name, how often a viewer asks, and what is allowed.
const KINDS: &[(&str, Duration, f64)] = &[
    ("segment", Duration::from_secs(2), 1.0),
    ("part", Duration::from_millis(200), 0.9),
    ("playlist", Duration::from_millis(200), 0.9),
];

/// A server under load.
struct Server {
    name: String,
    address: SocketAddr,
    watched: Watched,
    kind: Kind,
    /// Kept alive.
    _process: Process,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Rillcast,
    /// What everything is compared with.
    Nginx,
    Tuned,
}

enum Process {
    Rillcast(#[expect(dead_code, reason = "held so that it runs")] Rillcast),
    Nginx(#[expect(dead_code, reason = "held so that it runs")] Nginx),
}

/// One round of one server.
#[derive(Clone, Copy)]
struct Measured {
    server: Spent,
    client: Spent,
    round: Round,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let run = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::of("tokio"))
        .and_then(|runtime| run(&options, &runtime));
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, runtime: &Runtime) -> Result {
    let folder = tempfile::tempdir().map_err(Error::of("a folder"))?;
    let files = tempfile::Builder::new()
        .prefix("rillcast-bench")
        .tempdir_in(memory_folder(folder.path()))
        .map_err(Error::of("a folder"))?;
    share(files.path())?;
    let protocol = match options.http2 {
        true => Protocol::Http2,
        false => Protocol::Http1,
    };
    let binaries = binaries(options)?;
    let clip = Clip::make(&clips()?, KILOBITS)?;
    let mut servers = Vec::new();
    // Every build makes bytes of its own; nginx serves those of the first.
    let mut paths = Vec::new();
    for (name, binary) in binaries {
        eprintln!("{name}: filling a window ...");
        let server = fill(&binary, folder.path(), &options.settings, &clip)?;
        let found = runtime.block_on(Paths::find(&server))?;
        if paths.is_empty() {
            runtime.block_on(found.copy(&server, files.path()))?;
        }
        paths.push(found);
        servers.push(Server {
            name,
            address: server.http(),
            watched: server.watch()?,
            kind: Kind::Rillcast,
            _process: Process::Rillcast(server),
        });
    }
    for (name, kind) in [
        ("nginx", Kind::Nginx),
        ("nginx, files kept open", Kind::Tuned),
    ] {
        if Nginx::version().is_none() {
            println!("nginx is not installed: no ratios");
            break;
        }
        let place = folder
            .path()
            .join(name.replace(", ", "-").replace(' ', "-"));
        fs::create_dir_all(&place).map_err(Error::of(place.display()))?;
        let server = Nginx::files(&place, files.path(), kind == Kind::Tuned, protocol)?;
        servers.push(Server {
            name: name.to_owned(),
            address: server.address(),
            watched: server.watch()?,
            kind,
            _process: Process::Nginx(server),
        });
        paths.extend(paths.first().cloned());
    }
    let mut table = Table::new([
        "what",
        "server",
        "bytes",
        "requests",
        "CPU us a request",
        "of nginx",
        "CPU us a MB",
        "client us a request",
        "of nginx",
        "both of nginx",
        "slowest ms",
    ]);
    let mut verdicts = Vec::new();
    for (kind, period, limit) in KINDS {
        if !options.kinds.iter().any(|it| it == kind) {
            continue;
        }
        let mut all: Vec<Vec<Measured>> = servers.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds.max(1) {
            for ((server, paths), all) in servers.iter().zip(&paths).zip(&mut all) {
                eprintln!("{kind}, {} ...", server.name);
                let load = Load {
                    viewers: options.viewers.clamp(1, MOST_VIEWERS),
                    period: *period,
                    paths: paths.of(kind),
                    time: Duration::from_secs(options.seconds),
                    protocol,
                };
                all.push(measure(server, &load, runtime)?);
            }
        }
        report(kind, *limit, &servers, &all, &mut table, &mut verdicts);
    }
    println!("\n{table}");
    for verdict in verdicts {
        println!("{verdict}");
    }
    Ok(())
}

fn binaries(options: &Options) -> Result<Vec<(String, PathBuf)>> {
    if options.servers.is_empty() {
        return Ok(vec![("rillcast".to_owned(), build()?)]);
    }
    let binary = |server: &String| {
        let (name, binary) = server.split_once('=').unwrap_or((server, server));
        let binary = std::path::absolute(binary).map_err(Error::of(binary))?;
        Ok((name.to_owned(), binary))
    };
    options.servers.iter().map(binary).collect()
}

/// Starts a server and publishes until there are segments enough. The stream
/// then waits for its publisher, and its window stays as it is.
fn fill(binary: &Path, folder: &Path, settings: &[String], clip: &Clip) -> Result<Rillcast> {
    let mut settings = settings.to_vec();
    settings.push("bus.reconnect_grace=1h".to_owned());
    settings.push(format!("cmaf.part_duration={PART}"));
    settings.push(format!("cmaf.window={WINDOW}s"));
    let server = Rillcast::start(binary, folder, &settings)?;
    let publisher = Publisher::start(server.rtmp(), 1, clip, 4_096)?;
    let begun = Instant::now();
    let enough = Duration::from_secs(WINDOW + 4);
    while begun.elapsed() < enough && !publisher.failed() {
        std::thread::sleep(Duration::from_millis(100));
    }
    publisher.stop()?;
    // What a lost publisher leaves open is closed after a second.
    std::thread::sleep(Duration::from_secs(2));
    Ok(server)
}

/// What a server is asked for.
#[derive(Clone)]
struct Paths {
    segments: Arc<[String]>,
    parts: Arc<[String]>,
    playlists: Arc<[String]>,
}

impl Paths {
    /// From the playlists, as a player finds them.
    async fn find(server: &Rillcast) -> Result<Self> {
        let master = "/hls/live/bench-0/index.m3u8";
        let text = text(server.get(master).await?);
        let video = text
            .lines()
            .skip_while(|line| !line.starts_with("#EXT-X-STREAM-INF"))
            .find(|line| !line.starts_with('#'))
            .ok_or_else(|| Error::new("the multivariant playlist names no video"))?;
        let playlist = resolve(master, video);
        let mut segments: Vec<String> = self::text(server.get(&playlist).await?)
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| resolve(&playlist, line))
            .collect();
        // The last one was cut short.
        segments.pop();
        let skip = segments.len().saturating_sub(SEGMENTS);
        if segments.len() < SEGMENTS {
            return Err(Error::new("the window holds too little"));
        }
        let segments = segments.split_off(skip);
        // Not from the first parts: those begin with a keyframe and are larger.
        let parts = segments.iter().flat_map(|segment| {
            let segment = segment.trim_end_matches("m4s");
            (1..PARTS).map(move |part| format!("{segment}{part}.m4s"))
        });
        Ok(Self {
            parts: parts.collect::<Vec<_>>().into(),
            segments: segments.into(),
            playlists: [playlist].into(),
        })
    }

    fn of(&self, kind: &str) -> Arc<[String]> {
        match kind {
            "segment" => Arc::clone(&self.segments),
            "part" => Arc::clone(&self.parts),
            _ => Arc::clone(&self.playlists),
        }
    }

    /// Lays the same bytes below the same paths into `root`.
    async fn copy(&self, server: &Rillcast, root: &Path) -> Result {
        let all = self
            .segments
            .iter()
            .chain(&*self.parts)
            .chain(&*self.playlists);
        for path in all {
            let file = root.join(path.trim_start_matches('/'));
            let parent = file.parent().unwrap_or(root);
            fs::create_dir_all(parent).map_err(Error::of(parent.display()))?;
            let body = server.get(path).await?;
            fs::write(&file, body).map_err(Error::of(file.display()))?;
        }
        Ok(())
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn measure(server: &Server, load: &Load, runtime: &Runtime) -> Result<Measured> {
    let own = Watched::this()?;
    let samples = RefCell::new(None);
    let spent = RefCell::new(None);
    let begin = || *samples.borrow_mut() = Some((server.watched.sample(), own.sample()));
    let end = || {
        *spent.borrow_mut() = samples
            .borrow()
            .as_ref()
            .map(|(before, mine)| (server.watched.since(before), own.since(mine)));
    };
    let round = runtime.block_on(load.run(server.address, begin, end))?;
    let Some((server, client)) = spent.into_inner() else {
        return Err(Error::new("the load has no end"));
    };
    Ok(Measured {
        server,
        client,
        round,
    })
}

fn report(
    kind: &str,
    limit: f64,
    servers: &[Server],
    all: &[Vec<Measured>],
    table: &mut Table,
    verdicts: &mut Vec<String>,
) {
    let requests = |it: &Measured| float(it.round.requests.max(1));
    let server_us = |it: &Measured| it.server.cpu.as_secs_f64() * 1e6 / requests(it);
    let client_us = |it: &Measured| it.client.cpu.as_secs_f64() * 1e6 / requests(it);
    let of = |all: &[Measured], pick: &dyn Fn(&Measured) -> f64| median(all.iter().map(pick));
    let nginx = servers
        .iter()
        .zip(all)
        .find(|(server, _)| server.kind == Kind::Nginx)
        .map(|(_, all)| all);
    // Rounds stand side by side: each is compared with nginx's of that time.
    let ratio = |all: &[Measured], pick: &dyn Fn(&Measured) -> f64| {
        nginx.map(|nginx| {
            let pairs = all.iter().zip(nginx);
            median(pairs.map(|(it, nginx)| pick(it) / pick(nginx)))
        })
    };
    let show = |ratio: Option<f64>| ratio.map_or(String::new(), |it| format!("{it:.2}"));
    for (server, all) in servers.iter().zip(all) {
        let bytes = of(all, &|it| float(it.round.bytes) / requests(it));
        let cpu = of(all, &server_us);
        let against = ratio(all, &server_us);
        table.row([
            kind.to_owned(),
            server.name.clone(),
            format!("{bytes:.0}"),
            format!("{:.0}", of(all, &requests)),
            format!("{cpu:.1}"),
            show(against),
            format!("{:.0}", cpu / bytes * 1e6),
            format!("{:.1}", of(all, &client_us)),
            show(ratio(all, &client_us)),
            show(ratio(all, &|it| server_us(it) + client_us(it))),
            format!("{:.0}", of(all, &|it| it.round.slowest.as_secs_f64() * 1e3)),
        ]);
        if let (Kind::Rillcast, Some(against)) = (server.kind, against) {
            let name = &server.name;
            verdicts.push(format!(
                "{name}, {kind}: CPU of nginx {}",
                verdict(against, limit)
            ));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts for a table")]
fn float(count: u64) -> f64 {
    count as f64
}
