//! What it costs to receive SRT: `cargo xtask bench srt`.
//!
//! libsrt's own tool, srt-live-transmit, sends the same bytes to rillcast and to
//! itself, in turn: a burst into one connection, and many connections at once.
//! rillcast demultiplexes what it receives, libsrt throws it away.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark talks to a person"
)]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use rillcast_bench::{
    Error, Feed, Lines, Result, Rillcast, Spent, Table, Transport, Watched, build, clips, median,
    verdict,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// CPU per megabit received over SRT, beside libsrt.
#[derive(Parser)]
struct Options {
    /// Connections at once of the second measurement.
    #[arg(long, default_value_t = 60)]
    connections: usize,
    /// Bitrate of each, in kb/s.
    #[arg(long, default_value_t = 4_000)]
    kilobits: u32,
    /// Bitrate of the burst into one connection, in kb/s.
    #[arg(long, default_value_t = 200_000)]
    burst: u32,
    /// Seconds of sending before a measurement.
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    /// Seconds of a measurement.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// How often each receiver is measured; medians are shown.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Encrypts with this passphrase, by AES-128.
    #[arg(long)]
    passphrase: Option<String>,
    /// Servers to measure instead of this tree's, as NAME=BINARY: two builds
    /// can be compared.
    #[arg(long = "server")]
    servers: Vec<String>,
    /// Settings of the server, as `--set` takes them.
    #[arg(long = "set")]
    settings: Vec<String>,
    /// What cargo hands to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

enum Receiver {
    /// With a packager for each stream, or without.
    Rillcast {
        name: String,
        binary: PathBuf,
        packaging: bool,
    },
    Libsrt,
}

/// One measurement of one receiver.
struct Measured {
    spent: Spent,
    megabits: f64,
    lines: Lines,
}

/// The most connections of one measurement: each is two processes of libsrt.
const MOST_CONNECTIONS: usize = 200;

/// What a caller asks for, in milliseconds: libsrt's default.
const LATENCY: u32 = 120;

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
    if Command::new(TOOL).arg("-version").output().is_err() {
        return Err(Error::new(
            "srt-live-transmit is not here: on Debian or Ubuntu it is in srt-tools",
        ));
    }
    let receivers = receivers(options)?;
    let folder = tempfile::tempdir().map_err(Error::of("a folder"))?;
    let clips = clips()?;
    let mut table = Table::new([
        "receiver",
        "connections",
        "Mb/s in all",
        "CPU ms a Mb",
        "of libsrt",
        "wakes/s",
        "packets",
        "lost",
        "dropped",
    ]);
    let mut verdicts = Vec::new();
    let many = options.connections.clamp(1, MOST_CONNECTIONS);
    for (count, kilobits) in [(1, options.burst), (many, options.kilobits)] {
        let seconds = options.warm_up + options.seconds + 2;
        let clip = Transport::make(&clips, kilobits, seconds)?;
        let mut all: Vec<Vec<Measured>> = receivers.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds.max(1) {
            for (receiver, all) in receivers.iter().zip(&mut all) {
                eprintln!("{count} connection(s), {} ...", receiver.name());
                all.push(measure(receiver, options, &folder, &clip, count, runtime)?);
            }
        }
        let libsrt = receivers
            .iter()
            .zip(&all)
            .find(|(receiver, _)| matches!(receiver, Receiver::Libsrt))
            .map(|(_, measured)| cost(measured));
        for (receiver, measured) in receivers.iter().zip(&all) {
            report(receiver, measured, count, libsrt, &mut table, &mut verdicts);
        }
    }
    println!("\n{table}");
    for verdict in verdicts {
        println!("{verdict}");
    }
    Ok(())
}

fn receivers(options: &Options) -> Result<Vec<Receiver>> {
    let mut receivers = Vec::new();
    for server in &options.servers {
        let (name, binary) = server.split_once('=').unwrap_or((server, server));
        receivers.push(Receiver::Rillcast {
            name: name.to_owned(),
            binary: std::path::absolute(binary).map_err(Error::of(binary))?,
            packaging: false,
        });
    }
    if receivers.is_empty() {
        let binary = build()?;
        for (name, packaging) in [("rillcast", false), ("rillcast, packaging", true)] {
            receivers.push(Receiver::Rillcast {
                name: name.to_owned(),
                binary: binary.clone(),
                packaging,
            });
        }
    }
    receivers.push(Receiver::Libsrt);
    Ok(receivers)
}

impl Receiver {
    fn name(&self) -> &str {
        match self {
            Self::Rillcast { name, .. } => name,
            Self::Libsrt => "libsrt",
        }
    }

    fn start(&self, options: &Options, folder: &Path, count: usize) -> Result<Running> {
        match self {
            Self::Rillcast {
                binary, packaging, ..
            } => {
                let start = if *packaging { "always" } else { "on-demand" };
                let mut settings = vec![
                    format!("cmaf.start={start}"),
                    // Room for the burst.
                    "limits.bitrate_warn=1Gbps".to_owned(),
                    "limits.bitrate_cut=1Gbps".to_owned(),
                    // One address, which is all that loopback has.
                    format!("srt.max_connections_per_address={MOST_CONNECTIONS}"),
                ];
                if let Some(passphrase) = &options.passphrase {
                    settings.push(format!("srt.passphrase={passphrase}"));
                }
                settings.extend(options.settings.iter().cloned());
                Ok(Running::Rillcast(Rillcast::start(
                    binary, folder, &settings,
                )?))
            }
            Self::Libsrt => {
                let mut listeners = Vec::new();
                for number in 0..count {
                    listeners.push(Listener::start(options, folder, number)?);
                }
                Ok(Running::Libsrt(listeners))
            }
        }
    }
}

enum Running {
    Rillcast(Rillcast),
    Libsrt(Vec<Listener>),
}

impl Running {
    /// Where the caller of that number connects.
    fn address(&self, number: usize) -> Result<SocketAddr> {
        match self {
            Self::Rillcast(server) => server
                .srt()
                .ok_or_else(|| Error::new("the server names no address of srt")),
            Self::Libsrt(listeners) => listeners
                .get(number)
                .map(|it| it.address)
                .ok_or_else(|| Error::new("there is no such listener")),
        }
    }

    fn watch(&self) -> Result<Watched> {
        match self {
            Self::Rillcast(server) => server.watch(),
            Self::Libsrt(listeners) => Watched::all(listeners.iter().map(|it| it.process.0.id())),
        }
    }

    fn lines(&self, runtime: &Runtime) -> Result<Lines> {
        match self {
            Self::Rillcast(server) => runtime.block_on(server.lines()),
            Self::Libsrt(listeners) => {
                let mut lines = Lines::default();
                for listener in listeners {
                    lines += Lines::of_libsrt(&listener.stats)?;
                }
                Ok(lines)
            }
        }
    }
}

/// libsrt receiving one connection.
struct Listener {
    process: Process,
    address: SocketAddr,
    stats: PathBuf,
}

/// A child process that does not outlive its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const TOOL: &str = "srt-live-transmit";

impl Listener {
    fn start(options: &Options, folder: &Path, number: usize) -> Result<Self> {
        // A port that was free a moment ago: it cannot be asked which one it took.
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::of("a port"))?;
        let address = free.local_addr().map_err(Error::of("a port"))?;
        drop(free);
        let stats = folder.join(format!("stats-{number}.json"));
        let _ = std::fs::remove_file(&stats);
        let mut url = format!("srt://{address}?mode=listener&latency={LATENCY}");
        url += &encryption(options);
        let process = Command::new(TOOL)
            .args(["-quiet", "-a:no", "-f", "-s:500", "-pf:json"])
            .arg(format!("-statsout:{}", stats.display()))
            .args([&url, "file://con"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::of(TOOL))?;
        Ok(Self {
            process: Process(process),
            address,
            stats,
        })
    }
}

fn encryption(options: &Options) -> String {
    match &options.passphrase {
        Some(passphrase) => format!("&passphrase={passphrase}&pbkeylen=16"),
        None => String::new(),
    }
}

fn measure(
    receiver: &Receiver,
    options: &Options,
    folder: &TempDir,
    clip: &Transport,
    count: usize,
    runtime: &Runtime,
) -> Result<Measured> {
    let running = receiver.start(options, folder.path(), count)?;
    std::thread::sleep(Duration::from_millis(500));
    let mut callers = Vec::new();
    let mut pipes = Vec::new();
    for number in 0..count {
        let address = running.address(number)?;
        let mut url = format!("srt://{address}?latency={LATENCY}&streamid=publish:bench/{number}");
        url += &encryption(options);
        let mut caller = Command::new(TOOL)
            .args(["-quiet", "-a:no", "-c:1316", "file://con", &url])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::of(TOOL))?;
        pipes.extend(caller.stdin.take());
        callers.push(Process(caller));
    }
    // Each has to shake hands before it is fed: what comes before that is lost.
    std::thread::sleep(Duration::from_secs(2));
    let watched = running.watch()?;
    let feed = Feed::start(clip, pipes)?;
    std::thread::sleep(Duration::from_secs(options.warm_up));
    let (before, bytes) = (watched.sample(), feed.bytes());
    std::thread::sleep(Duration::from_secs(options.seconds));
    let (spent, bytes) = (watched.since(&before), feed.bytes() - bytes);
    // While they are connected: with the connection goes what is told of it.
    let lines = running.lines(runtime)?;
    if lines.connections < count {
        let live = lines.connections;
        return Err(Error::new(format!("{live} of {count} connections were up")));
    }
    drop(callers);
    feed.stop();
    Ok(Measured {
        spent,
        megabits: float(bytes) * 8.0 / 1e6,
        lines,
    })
}

/// Milliseconds of a processor for each megabit.
fn cost(measured: &[Measured]) -> f64 {
    let each = measured.iter();
    median(each.map(|it| it.spent.cpu.as_secs_f64() * 1e3 / it.megabits.max(1e-9)))
}

fn report(
    receiver: &Receiver,
    measured: &[Measured],
    count: usize,
    libsrt: Option<f64>,
    table: &mut Table,
    verdicts: &mut Vec<String>,
) {
    let cost = cost(measured);
    let ratio = libsrt.map_or(f64::NAN, |libsrt| cost / libsrt);
    let of = |pick: &dyn Fn(&Measured) -> f64| median(measured.iter().map(pick));
    let sum = |pick: fn(&Lines) -> u64| measured.iter().map(|it| pick(&it.lines)).sum::<u64>();
    let name = receiver.name();
    table.row([
        name.to_owned(),
        count.to_string(),
        format!(
            "{:.1}",
            of(&|it| it.megabits / it.spent.wall.as_secs_f64().max(1e-9))
        ),
        format!("{cost:.3}"),
        format!("{ratio:.2}"),
        format!("{:.0}", of(&|it| it.spent.wake_rate())),
        sum(|it| it.received).to_string(),
        sum(|it| it.lost).to_string(),
        sum(|it| it.dropped).to_string(),
    ]);
    if let Receiver::Rillcast { packaging, .. } = receiver {
        if !packaging {
            let verdict = verdict(ratio, 1.0);
            verdicts.push(format!(
                "{name}, {count} connection(s): CPU of libsrt {verdict}"
            ));
        }
        let (lost, repairs) = (sum(|it| it.dropped), sum(|it| it.repairs));
        let verdict = if lost + repairs == 0 { "met" } else { "MISSED" };
        verdicts.push(format!(
            "{name}, {count} connection(s): {lost} packets dropped, {repairs} repairs: {verdict}"
        ));
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes for a table")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}
