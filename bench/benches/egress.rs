//! What a second protocol costs: `cargo xtask bench egress`.
//!
//! Streams are packaged while somebody watches, and nobody, one viewer of HLS, two of
//! them, one of DASH, and one of each watch every stream in turn. Where both protocols
//! are served from one cut, one of each cost no more than two of HLS.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark talks to a person"
)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rillcast_bench::{
    Clip, Error, Publisher, Result, Rillcast, Spent, Table, Viewer, build, clips, median, resolve,
    verdict,
};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// CPU of the server by who watches.
#[derive(Parser)]
struct Options {
    /// Streams, each watched alike.
    #[arg(long, default_value_t = 20)]
    streams: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How often each is measured; medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Settings of the server, as `--set` takes them.
    #[arg(long = "set")]
    settings: Vec<String>,
    /// What cargo hands to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hls,
    Dash,
}

/// Who watches each stream.
const AUDIENCES: [(&str, &[Kind]); 5] = [
    ("nobody", &[]),
    ("one viewer of HLS", &[Kind::Hls]),
    ("two of HLS", &[Kind::Hls, Kind::Hls]),
    ("one of DASH", &[Kind::Dash]),
    ("one of each", &[Kind::Hls, Kind::Dash]),
];

/// A segment, which is 1 MB.
const PERIOD: Duration = Duration::from_secs(2);
const KILOBITS: u32 = 4_100;

/// Packaging ends so long after the last viewer, and is surely over then.
const LINGER: &str = "cmaf.linger=20s";
const QUIET: Duration = Duration::from_secs(24);

/// How long a stream may take to have its first segments.
const BEGIN: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let options = Options::parse();
    let run = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::of("tokio"))
        .and_then(|runtime| runtime.block_on(run(&options)));
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result {
    let folder = tempfile::tempdir().map_err(Error::of("a folder"))?;
    let clip = Clip::make(&clips()?, KILOBITS)?;
    let mut settings = vec!["cmaf.start=on-demand".to_owned(), LINGER.to_owned()];
    settings.extend(options.settings.iter().cloned());
    let server = Rillcast::start(&build()?, folder.path(), &settings)?;
    let publisher = Publisher::start(server.rtmp(), options.streams, &clip, 4_096)?;
    let mut all: [Vec<Round>; AUDIENCES.len()] = Default::default();
    for round in 0..options.rounds.max(1) {
        for ((name, kinds), all) in AUDIENCES.iter().zip(&mut all) {
            eprintln!("{name}, round {round} ...");
            all.push(measure(&server, kinds, options).await?);
        }
    }
    publisher.stop()?;
    report(&all);
    Ok(())
}

/// One measurement.
struct Round {
    spent: Spent,
    bytes: u64,
}

async fn measure(server: &Rillcast, kinds: &[Kind], options: &Options) -> Result<Round> {
    if kinds.is_empty() {
        sleep(QUIET).await;
    }
    let time = Duration::from_secs(options.seconds);
    let mut viewers = JoinSet::new();
    for stream in 0..options.streams {
        for kind in kinds {
            viewers.spawn(begin(server.http(), stream, *kind));
        }
    }
    let mut ready = Vec::new();
    while let Some(viewer) = viewers.join_next().await {
        ready.push(viewer.map_err(Error::of("a viewer"))??);
    }
    let watched = server.watch()?;
    let before = watched.sample();
    let begun = Instant::now();
    let apart = PERIOD / u32::try_from(ready.len().max(1)).unwrap_or(u32::MAX);
    let mut tasks = JoinSet::new();
    for (index, watching) in (0_u32..).zip(ready) {
        tasks.spawn(watching.watch(begun + apart * index, begun + time));
    }
    let mut bytes = 0;
    while let Some(done) = tasks.join_next().await {
        bytes += done.map_err(Error::of("a viewer"))??;
    }
    sleep_until(begun + time).await;
    Ok(Round {
        spent: watched.since(&before),
        bytes,
    })
}

/// A viewer with a connection of its own.
struct Watching {
    viewer: Viewer,
    /// What it reads anew for each segment.
    lists: Vec<String>,
    /// The segments of each track, up to their number, and the one that is next.
    tracks: Vec<String>,
    next: u64,
}

/// Waits until there is something to watch.
async fn begin(server: SocketAddr, stream: usize, kind: Kind) -> Result<Watching> {
    let mut viewer = Viewer::connect(server).await?;
    let index = format!("/hls/live/bench-{stream}/index.m3u8");
    let manifest = format!("/dash/live/bench-{stream}/manifest.mpd");
    let begun = Instant::now();
    // What was cut before somebody watched does not count.
    let mut seen = None;
    loop {
        // Asked for first: it makes packaging begin.
        if kind == Kind::Dash {
            let _ = text(&mut viewer, &manifest).await;
        }
        if let Ok(playlists) = playlists(&mut viewer, &index).await {
            let mut segments = Vec::new();
            for playlist in &playlists {
                segments.extend(newest(&mut viewer, playlist).await?);
            }
            // The oldest of the newest is there for all tracks.
            let next = segments.iter().map(|(_, number)| *number).min();
            if let (true, Some(next)) = (segments.len() == playlists.len(), next)
                && next >= *seen.get_or_insert(next) + 2
            {
                return Ok(Watching {
                    viewer,
                    lists: match kind {
                        Kind::Hls => playlists,
                        Kind::Dash => vec![manifest],
                    },
                    tracks: segments.into_iter().map(|(folder, _)| folder).collect(),
                    next: next - 1,
                });
            }
        }
        if begun.elapsed() > BEGIN {
            return Err(Error::new(format!("stream {stream} does not begin")));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

impl Watching {
    /// Gets each segment as it comes, and returns how many bytes there were.
    async fn watch(mut self, first: Instant, until: Instant) -> Result<u64> {
        let mut bytes = 0;
        let mut due = first;
        while due < until {
            sleep_until(due).await;
            let segments = self.tracks.iter();
            let segments = segments.map(|folder| format!("{folder}{}.m4s", self.next));
            for path in self.lists.iter().cloned().chain(segments) {
                bytes += self.viewer.get(&path, None).await?;
            }
            self.next += 1;
            due += PERIOD;
        }
        Ok(u64::try_from(bytes).unwrap_or_default())
    }
}

async fn text(viewer: &mut Viewer, path: &str) -> Result<String> {
    let mut body = Vec::new();
    viewer.get(path, Some(&mut body)).await?;
    String::from_utf8(body).map_err(Error::of(path))
}

/// The media playlists of pictures and sound.
async fn playlists(viewer: &mut Viewer, index: &str) -> Result<Vec<String>> {
    let text = text(viewer, index).await?;
    let pictures = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let sound = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("URI=\"")?;
        Some(rest.split_once('"')?.0)
    });
    let found: Vec<_> = pictures.chain(sound).map(|it| resolve(index, it)).collect();
    if found.len() == 2 {
        Ok(found)
    } else {
        Err(Error::new("the playlist does not name two tracks"))
    }
}

/// The newest complete segment of a playlist: its folder and its number.
async fn newest(viewer: &mut Viewer, playlist: &str) -> Result<Option<(String, u64)>> {
    let text = text(viewer, playlist).await?;
    let mut segments = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    Ok(segments.next_back().and_then(|line| {
        let path = resolve(playlist, line);
        let (folder, file) = path.rsplit_once('/')?;
        let number = file.strip_suffix(".m4s")?.parse().ok()?;
        Some((format!("{folder}/"), number))
    }))
}

fn report(all: &[Vec<Round>; AUDIENCES.len()]) {
    let [nobody, _, two, _, each] = all;
    let cpu = |rounds: &[Round]| median(rounds.iter().map(|round| round.spent.percent()));
    let mut table = Table::new([
        "who watches each stream",
        "CPU",
        "of two of HLS",
        "more than nobody",
        "MB/s",
    ]);
    for (rounds, (name, _)) in all.iter().zip(AUDIENCES) {
        let rate = |round: &Round| float(round.bytes) / 1e6 / round.spent.wall.as_secs_f64();
        table.row([
            name.to_owned(),
            format!("{:.1} %", cpu(rounds)),
            format!("{:.2}", cpu(rounds) / cpu(two)),
            format!("{:.1} %", cpu(rounds) - cpu(nobody)),
            format!("{:.1}", median(rounds.iter().map(rate))),
        ]);
    }
    println!("\n{table}");
    // What is delivered is the same; a cut of its own for DASH would show.
    let pairs = each.iter().zip(two);
    let ratio = median(pairs.map(|(each, two)| each.spent.percent() / two.spent.percent()));
    println!("one of each beside two of HLS: {}", verdict(ratio, MOST));
}

/// What is noise between two measurements of the same.
const MOST: f64 = 1.05;

#[expect(clippy::cast_precision_loss, reason = "counts for a table")]
fn float(count: u64) -> f64 {
    count as f64
}
