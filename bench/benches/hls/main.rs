//! What viewers of HLS cost, and how long they wait: `cargo xtask bench hls`.
//!
//! Ordinary players fetch a live stream of 4 Mb/s; then nginx serves responses of
//! the same number and size by sendfile to as many. Low-latency players wait in
//! blocking reloads for each part; what each took from the part's cut to its last
//! byte at the player is told by a plugin in the server (`tap`). Last, how long it
//! takes to join, and what a player that waits holds of the server's memory.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark talks to a person"
)]

mod guide;
mod low;
mod ordinary;
mod tap;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rillcast_bench::{
    Clip, Error, Nginx, Protocol, Publisher, Result, Rillcast, Table, build, clips, memory_folder,
    share,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

/// As the server's program has it: this one is the server of some measurements.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// CPU per MB beside nginx, the delay of parts, joining, and memory.
#[derive(Parser)]
struct Options {
    /// Ordinary players.
    #[arg(long, default_value_t = 200)]
    viewers: usize,
    /// Low-latency players; the first is the one with a bar.
    #[arg(long, value_delimiter = ',', default_value = "200,1000")]
    low: Vec<usize>,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 12)]
    seconds: u64,
    /// How often rillcast and nginx are measured; medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these: ordinary, low, join, memory.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "ordinary,low,join,memory"
    )]
    kinds: Vec<String>,
    /// Settings of the server, as `--set` takes them.
    #[arg(long = "set")]
    settings: Vec<String>,
    /// What cargo hands to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A segment of two seconds is 1 MB.
const KILOBITS: u32 = 4_100;

/// The stream that is watched.
const KEY: &str = "live/bench-0";

fn main() -> ExitCode {
    // `Rillcast` starts this program as the server that has the tap.
    if matches!(std::env::args().nth(1).as_deref(), Some("run" | "plugins")) {
        return rillcast_server::main();
    }
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
    raise_descriptors();
    let folder = tempfile::tempdir().map_err(Error::of("a folder"))?;
    let clip = Clip::make(&clips()?, KILOBITS)?;
    let wanted = |kind: &str| options.kinds.iter().any(|it| it == kind);
    let mut verdicts = Vec::new();
    if wanted("ordinary") {
        ordinary(options, runtime, folder.path(), &clip, &mut verdicts)?;
    }
    if wanted("low") || wanted("join") || wanted("memory") {
        low(options, runtime, folder.path(), &clip, &mut verdicts)?;
    }
    for verdict in verdicts {
        println!("{verdict}");
    }
    Ok(())
}

fn ordinary(
    options: &Options,
    runtime: &Runtime,
    folder: &Path,
    clip: &Clip,
    verdicts: &mut Vec<String>,
) -> Result {
    let files = tempfile::Builder::new()
        .prefix("rillcast-bench")
        .tempdir_in(memory_folder(folder))
        .map_err(Error::of("a folder"))?;
    share(files.path())?;
    if Nginx::version().is_none() {
        println!("nginx is not installed: nothing to compare ordinary players with");
        return Ok(());
    }
    let server = Rillcast::start(&build()?, folder, &options.settings)?;
    let publisher = Publisher::start(server.rtmp(), 1, clip, 4_096)?;
    let place = folder.join("nginx");
    std::fs::create_dir_all(&place).map_err(Error::of(place.display()))?;
    let nginx = Nginx::files(&place, files.path(), false, Protocol::Http1)?;
    let load = ordinary::Load {
        viewers: options.viewers,
        time: Duration::from_secs(options.seconds),
        rounds: options.rounds.max(1),
    };
    let measured = runtime.block_on(load.measure(&server, &nginx, files.path()))?;
    publisher.stop()?;
    let (table, verdict) = ordinary::report(&measured);
    println!("\n{table}");
    verdicts.push(verdict);
    Ok(())
}

fn low(
    options: &Options,
    runtime: &Runtime,
    folder: &Path,
    clip: &Clip,
    verdicts: &mut Vec<String>,
) -> Result {
    let this = std::env::current_exe().map_err(Error::of("this program"))?;
    let parts = folder.join("parts");
    let mut settings = options.settings.clone();
    settings.push(format!("tap.file={}", parts.display()));
    settings.push(format!("tap.stream={KEY}"));
    // All players have one address here.
    settings.push("server.max_connections_per_address=20000".to_owned());
    let server = Rillcast::start(&this, folder, &settings)?;
    let publisher = Publisher::start(server.rtmp(), 1, clip, 4_096)?;
    let wanted = |kind: &str| options.kinds.iter().any(|it| it == kind);
    let mut table = Table::new([
        "players",
        "fetch",
        "parts",
        "p50 ms",
        "p99 ms",
        "most ms",
        "p99 from the last sample",
        "server's CPU",
        "players' CPU",
    ]);
    if wanted("low") {
        for (index, viewers) in options.low.iter().enumerate() {
            for fetch in [low::Fetch::Listed, low::Fetch::Hinted] {
                eprintln!("{viewers} low-latency players, {} ...", fetch.name());
                let time = Duration::from_secs(options.seconds);
                let watched = runtime.block_on(low::watch(&server, *viewers, fetch, time))?;
                let delays = watched.delays(&parts)?;
                delays.row(&mut table, *viewers, fetch, &watched);
                if index == 0 {
                    verdicts.push(delays.verdict(*viewers, fetch));
                }
            }
        }
        println!("\n{table}");
    }
    if wanted("join") {
        verdicts.push(runtime.block_on(low::join(&server))?);
    }
    if wanted("memory") {
        verdicts.push(runtime.block_on(low::memory(&server))?);
    }
    publisher.stop()
}

/// Nanoseconds of the monotonic clock, which all processes share.
fn clock() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}

/// A thousand players need more descriptors than a system usually gives at first.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // What is refused shows as connections that fail.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}
