//! What an ingested stream costs: `cargo xtask bench ingest`.
//!
//! The same publisher sends the same frames to rillcast and to nginx with its
//! RTMP module, in turn. Both package; nobody watches.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark talks to a person"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rillcast_bench::{
    Clip, Error, Held, Nginx, Pace, Publisher, Result, Rillcast, Spent, Table, Watched, build,
    clips, median, memory_folder, share, verdict,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// CPU and memory per ingested stream, beside nginx with its RTMP module.
#[derive(Parser)]
struct Options {
    /// Streams at once; each number is a measurement.
    #[arg(long, value_delimiter = ',', default_value = "1,50,200")]
    streams: Vec<usize>,
    /// Bitrate of a stream, in kb/s.
    #[arg(long, default_value_t = 1_000)]
    kilobits: u32,
    /// Seconds before the measurement: by default long enough that the window
    /// is full, so that memory is what it stays.
    #[arg(long, default_value_t = 70)]
    warm_up: u64,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How often each server is measured; medians are shown.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Chunk size of the publisher, in bytes.
    #[arg(long, default_value_t = 4_096)]
    chunk_size: u32,
    /// Servers to measure instead of this tree's, as NAME=BINARY: two builds
    /// can be compared.
    #[arg(long = "server")]
    servers: Vec<String>,
    /// Settings of the server, as `--set` takes them.
    #[arg(long = "set")]
    settings: Vec<String>,
    /// Measures all servers at the same time instead of in turn: what else
    /// runs on the machine then disturbs them alike.
    #[arg(long)]
    together: bool,
    /// Leaves nginx out.
    #[arg(long)]
    without_nginx: bool,
    /// What cargo hands to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One measurement of one server.
struct Measured {
    spent: Spent,
    own: Spent,
    pace: Pace,
    /// More than the idle server, in bytes.
    memory: u64,
    held: Held,
}

enum Server {
    Rillcast { name: String, binary: PathBuf },
    Nginx { module: PathBuf },
}

/// The most streams of one measurement: a server must carry them beside the
/// publisher.
const MOST_STREAMS: usize = 1_000;

/// What a stream may hold beside its window.
const MOST_MEMORY: f64 = 1e6;

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
    let servers = servers(options)?;
    let clips = clips()?;
    let clip = Clip::make(&clips, options.kilobits)?;
    println!(
        "{} kb/s a stream in {} messages a second; {} s of warm-up, {} s measured, {} round(s)",
        clip.bitrate() / 1_000,
        clip.rate(),
        options.warm_up,
        options.seconds,
        options.rounds,
    );
    let mut table = Table::new([
        "server",
        "streams",
        "CPU % a stream",
        "of nginx",
        "wakes/s a stream",
        "KB a stream",
        "window KB",
        "beside KB",
        "bus KB",
        "publisher CPU %",
        "late ms",
    ]);
    let mut verdicts = Vec::new();
    let mut before = vec![None; servers.len()];
    for count in options.streams.iter().map(|it| it.clamp(&1, &MOST_STREAMS)) {
        let mut all: Vec<Vec<Measured>> = servers.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds.max(1) {
            let at_once = if options.together { servers.len() } else { 1 };
            for (servers, all) in servers.chunks(at_once).zip(all.chunks_mut(at_once)) {
                let names: Vec<&str> = servers.iter().map(Server::name).collect();
                eprintln!("{count} stream(s), {} ...", names.join(" and "));
                let measured = measure(servers, options, folder.path(), &clip, *count, runtime)?;
                for (all, measured) in all.iter_mut().zip(measured) {
                    all.push(measured);
                }
            }
        }
        let nginx = servers
            .iter()
            .zip(&all)
            .find(|(server, _)| matches!(server, Server::Nginx { .. }))
            .map(|(_, measured)| cpu(measured, *count));
        for ((server, measured), before) in servers.iter().zip(&all).zip(&mut before) {
            report(server, measured, *count, nginx, &mut table, &mut verdicts);
            let now = (*count, beside(measured));
            if let Some(before) = before.replace(now) {
                verdicts.extend(growth(server, before, now));
            }
        }
    }
    println!("\n{table}");
    for verdict in verdicts {
        println!("{verdict}");
    }
    Ok(())
}

fn servers(options: &Options) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for server in &options.servers {
        let (name, binary) = server.split_once('=').unwrap_or((server, server));
        servers.push(Server::Rillcast {
            name: name.to_owned(),
            binary: std::path::absolute(binary).map_err(Error::of(binary))?,
        });
    }
    if servers.is_empty() {
        servers.push(Server::Rillcast {
            name: "rillcast".to_owned(),
            binary: build()?,
        });
    }
    match Nginx::rtmp_module() {
        _ if options.without_nginx => {}
        Some(module) => servers.push(Server::Nginx { module }),
        None => println!("nginx with its RTMP module is not installed: no ratios"),
    }
    Ok(servers)
}

impl Server {
    fn name(&self) -> &str {
        match self {
            Self::Rillcast { name, .. } => name,
            Self::Nginx { .. } => "nginx-rtmp",
        }
    }

    /// Starts it, as it is before anybody publishes.
    fn start(&self, options: &Options, folder: &Path) -> Result<Running> {
        let folder = folder.join(self.name());
        std::fs::create_dir_all(&folder).map_err(Error::of(folder.display()))?;
        match self {
            Self::Rillcast { binary, .. } => {
                let mut settings = options.settings.clone();
                // One address, which is all that loopback has.
                settings.push(format!("rtmp.max_connections_per_address={MOST_STREAMS}"));
                Ok(Running::Rillcast(Rillcast::start(
                    binary, &folder, &settings,
                )?))
            }
            Self::Nginx { module } => {
                let media = tempfile::Builder::new()
                    .prefix("rillcast-bench")
                    .tempdir_in(memory_folder(&folder))
                    .map_err(Error::of("a folder"))?;
                share(media.path())?;
                let server = Nginx::rtmp(&folder, media.path(), module)?;
                Ok(Running::Nginx(server, media))
            }
        }
    }
}

enum Running {
    Rillcast(Rillcast),
    /// With the folder of its fragments.
    Nginx(Nginx, TempDir),
}

impl Running {
    fn rtmp(&self) -> SocketAddr {
        match self {
            Self::Rillcast(server) => server.rtmp(),
            Self::Nginx(server, _) => server.address(),
        }
    }

    fn watch(&self) -> Result<Watched> {
        match self {
            Self::Rillcast(server) => server.watch(),
            Self::Nginx(server, _) => server.watch(),
        }
    }

    fn held(&self, runtime: &Runtime) -> Result<Held> {
        match self {
            Self::Rillcast(server) => runtime.block_on(server.held()),
            Self::Nginx(_, media) => {
                let files = std::fs::read_dir(media.path()).map_err(Error::of("fragments"))?;
                let playlists = files.flatten().filter(|it| {
                    let path = it.path();
                    path.extension().is_some_and(|it| it == "m3u8")
                });
                Ok(Held {
                    live: playlists.count(),
                    ..Held::default()
                })
            }
        }
    }
}

/// Publishes to some servers at the same time.
fn measure(
    servers: &[Server],
    options: &Options,
    folder: &Path,
    clip: &Clip,
    count: usize,
    runtime: &Runtime,
) -> Result<Vec<Measured>> {
    let mut running = Vec::new();
    for server in servers {
        running.push(server.start(options, folder)?);
    }
    std::thread::sleep(Duration::from_secs(1));
    let mut publishing = Vec::new();
    for server in &running {
        let watched = server.watch()?;
        let idle = watched.memory();
        let publisher = Publisher::start(server.rtmp(), count, clip, options.chunk_size)?;
        publishing.push((server, watched, idle, publisher));
    }
    std::thread::sleep(Duration::from_secs(options.warm_up));
    let own = Watched::this()?;
    let own_before = own.sample();
    let before: Vec<_> = publishing
        .iter()
        .map(|(_, watched, _, publisher)| (watched.sample(), publisher.pace()))
        .collect();
    std::thread::sleep(Duration::from_secs(options.seconds));
    let mut all = Vec::new();
    for ((server, watched, idle, publisher), (before, pace)) in publishing.iter().zip(&before) {
        let spent = watched.since(before);
        let own = own.since(&own_before);
        let pace = publisher.pace().since(*pace);
        let held = server.held(runtime)?;
        if publisher.failed() || held.live < count {
            let live = held.live;
            return Err(Error::new(format!("{live} of {count} streams were live")));
        }
        all.push(Measured {
            spent,
            own,
            pace,
            memory: watched.memory().saturating_sub(*idle),
            held,
        });
    }
    for (.., publisher) in publishing {
        publisher.stop()?;
    }
    Ok(all)
}

/// What is held beside the windows, of all streams together.
fn beside(measured: &[Measured]) -> f64 {
    let each = measured.iter();
    median(each.map(|it| float(it.memory.saturating_sub(it.held.window))))
}

/// What each stream more takes, without what the first one costs once.
fn growth(
    server: &Server,
    (few, before): (usize, f64),
    (many, now): (usize, f64),
) -> Option<String> {
    let more = many.checked_sub(few).filter(|more| *more > 0)?;
    let megabytes = (now - before) / per(more) / 1e6;
    matches!(server, Server::Rillcast { .. }).then(|| {
        let name = server.name();
        format!("{name}, from {few} to {many} streams: MB beside the window, each, {megabytes:.2}")
    })
}

/// Percent of a processor for each stream.
fn cpu(measured: &[Measured], count: usize) -> f64 {
    median(measured.iter().map(|it| it.spent.percent())) / per(count)
}

fn report(
    server: &Server,
    measured: &[Measured],
    count: usize,
    nginx: Option<f64>,
    table: &mut Table,
    verdicts: &mut Vec<String>,
) {
    let of = |pick: &dyn Fn(&Measured) -> f64| median(measured.iter().map(pick));
    let a_stream = |pick: &dyn Fn(&Measured) -> u64| of(&|it| float(pick(it))) / per(count);
    let cpu = cpu(measured, count);
    let ratio = nginx.map(|nginx| cpu / nginx);
    let window = a_stream(&|it| it.held.window);
    let beside = beside(measured) / per(count);
    let rillcast = matches!(server, Server::Rillcast { .. });
    let kilobytes = |bytes: f64| format!("{:.0}", bytes / 1e3);
    let own = |text: String| if rillcast { text } else { String::new() };
    table.row([
        server.name().to_owned(),
        count.to_string(),
        format!("{cpu:.3}"),
        ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
        format!("{:.0}", of(&|it| it.spent.wake_rate()) / per(count)),
        kilobytes(a_stream(&|it| it.memory)),
        own(kilobytes(window)),
        own(kilobytes(beside)),
        own(kilobytes(a_stream(&|it| it.held.bus))),
        format!("{:.1}", of(&|it| it.own.percent())),
        format!("{:.2}", of(&|it| it.pace.mean_late().as_secs_f64() * 1e3)),
    ]);
    if !rillcast {
        return;
    }
    let name = server.name();
    if let Some(ratio) = ratio {
        verdicts.push(format!(
            "{name}, {count} streams: CPU of nginx-rtmp {}",
            verdict(ratio, 1.0)
        ));
    }
    verdicts.push(format!(
        "{name}, {count} streams: MB beside the window {}",
        verdict(beside / 1e6, MOST_MEMORY / 1e6)
    ));
    let repairs: u64 = measured.iter().map(|it| it.held.repairs).sum();
    if repairs > 0 {
        verdicts.push(format!(
            "{name}, {count} streams: {repairs} repairs and drops; the publisher was not clean"
        ));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of streams")]
fn per(count: usize) -> f64 {
    count.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "bytes for a table")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}
