//! Ordinary players of a live stream: every two seconds the playlist and the
//! newest segment of each track. nginx then serves files of the same size as
//! often.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rillcast_bench::{
    Error, Nginx, Result, Rillcast, Spent, Table, Viewer, Watched, median, verdict,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::guide;

/// A segment.
const PERIOD: Duration = Duration::from_secs(2);

/// How often it is looked which segment is the newest.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) struct Load {
    pub(crate) viewers: usize,
    pub(crate) time: Duration,
    pub(crate) rounds: usize,
}

/// One round of one server.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    spent: Spent,
    requests: u64,
    bytes: u64,
    slowest: Duration,
}

/// What was measured.
pub(crate) struct Measured {
    /// What the stream itself costs in the time of a round: to receive and package
    /// it, with nobody watching.
    stream: Spent,
    /// rillcast and nginx, side by side.
    rounds: Vec<(Round, Round)>,
}

/// For each track its playlist and the newest segment.
type Newest = Arc<Mutex<Vec<(String, String)>>>;

impl Load {
    pub(crate) async fn measure(
        &self,
        server: &Rillcast,
        nginx: &Nginx,
        files: &Path,
    ) -> Result<Measured> {
        let mut scout = Viewer::connect(server.http()).await?;
        let playlists = guide::settled(&mut scout, 3).await?;
        let newest: Newest = Arc::default();
        look(&mut scout, &playlists, &newest).await?;
        let watched = server.watch()?;
        let before = watched.sample();
        sleep(self.time).await;
        let stream = watched.since(&before);
        let mut rounds = Vec::new();
        for round in 0..self.rounds {
            eprintln!("ordinary players, rillcast, round {round} ...");
            let following = tokio::spawn(follow(scout, playlists.clone(), Arc::clone(&newest)));
            let ours = self.run(server.http(), &server.watch()?, &newest).await?;
            following.abort();
            // nginx has what is the newest now, for the whole round.
            scout = Viewer::connect(server.http()).await?;
            look(&mut scout, &playlists, &newest).await?;
            for path in paths(&newest) {
                let file = files.join(path.trim_start_matches('/'));
                let parent = file.parent().unwrap_or(files);
                fs::create_dir_all(parent).map_err(Error::of(parent.display()))?;
                let mut body = Vec::new();
                scout.get(&path, Some(&mut body)).await?;
                fs::write(&file, body).map_err(Error::of(file.display()))?;
            }
            eprintln!("ordinary players, nginx, round {round} ...");
            let theirs = self.run(nginx.address(), &nginx.watch()?, &newest).await?;
            rounds.push((ours, theirs));
        }
        Ok(Measured { stream, rounds })
    }

    async fn run(
        &self,
        address: std::net::SocketAddr,
        watched: &Watched,
        newest: &Newest,
    ) -> Result<Round> {
        let mut viewers = Vec::with_capacity(self.viewers);
        for _ in 0..self.viewers {
            let mut viewer = Viewer::connect(address).await?;
            if let Some(path) = paths(newest).first() {
                viewer.get(path, None).await?;
            }
            viewers.push(viewer);
        }
        let before = watched.sample();
        let begun = Instant::now();
        let apart = PERIOD / u32::try_from(self.viewers.max(1)).unwrap_or(u32::MAX);
        let until = begun + self.time;
        let mut tasks = JoinSet::new();
        for (index, viewer) in (0_u32..).zip(viewers) {
            tasks.spawn(view(
                viewer,
                begun + apart * index,
                until,
                Arc::clone(newest),
            ));
        }
        let (mut requests, mut bytes, mut slowest) = (0, 0, Duration::ZERO);
        while let Some(done) = tasks.join_next().await {
            let seen = done.map_err(Error::of("a viewer"))??;
            requests += seen.0;
            bytes += seen.1;
            slowest = slowest.max(seen.2);
        }
        Ok(Round {
            spent: watched.since(&before),
            requests,
            bytes,
            slowest,
        })
    }
}

async fn view(
    mut viewer: Viewer,
    first: Instant,
    until: Instant,
    newest: Newest,
) -> Result<(u64, u64, Duration)> {
    let (mut requests, mut bytes, mut slowest) = (0, 0, Duration::ZERO);
    let mut due = first;
    while due < until {
        sleep_until(due).await;
        for path in paths(&newest) {
            let asked = Instant::now();
            let length = viewer.get(&path, None).await?;
            slowest = slowest.max(asked.elapsed());
            requests += 1;
            bytes += u64::try_from(length).unwrap_or_default();
        }
        due += PERIOD;
    }
    Ok((requests, bytes, slowest))
}

/// Keeps `newest` up to date.
async fn follow(mut scout: Viewer, playlists: Vec<String>, newest: Newest) {
    while look(&mut scout, &playlists, &newest).await.is_ok() {
        sleep(LOOK).await;
    }
}

async fn look(scout: &mut Viewer, playlists: &[String], newest: &Newest) -> Result {
    let mut found = Vec::new();
    for playlist in playlists {
        let segments = guide::segments(scout, playlist).await?;
        let segment = segments.last().cloned();
        let segment = segment.ok_or_else(|| Error::new("the playlist is empty"))?;
        found.push((playlist.clone(), segment));
    }
    *newest.lock().unwrap_or_else(PoisonError::into_inner) = found;
    Ok(())
}

fn paths(newest: &Newest) -> Vec<String> {
    let newest = newest.lock().unwrap_or_else(PoisonError::into_inner);
    let pairs = newest.iter();
    pairs
        .flat_map(|(playlist, segment)| [playlist.clone(), segment.clone()])
        .collect()
}

pub(crate) fn report(measured: &Measured) -> (Table, String) {
    let mut table = Table::new([
        "server",
        "requests",
        "MB",
        "CPU us a MB",
        "of nginx",
        "CPU",
        "slowest ms",
    ]);
    let per_mb = |cpu: f64, round: &Round| cpu * 1e6 / (float(round.bytes) / 1e6);
    let all = |round: &Round| per_mb(round.spent.cpu.as_secs_f64(), round);
    let stream = measured.stream.percent() / 100.0;
    let without = |round: &Round| {
        let spent = round.spent;
        let delivery = spent.cpu.as_secs_f64() - stream * spent.wall.as_secs_f64();
        per_mb(delivery, round)
    };
    let ratio = |pick: &dyn Fn(&Round) -> f64| {
        let pairs = measured.rounds.iter();
        median(pairs.map(|(ours, theirs)| pick(ours) / all(theirs)))
    };
    let (with, alone) = (ratio(&all), ratio(&without));
    let ours: Vec<Round> = measured.rounds.iter().map(|it| it.0).collect();
    let theirs: Vec<Round> = measured.rounds.iter().map(|it| it.1).collect();
    let mut row = |name: &str, rounds: &[Round], pick: &dyn Fn(&Round) -> f64, ratio: f64| {
        let of = |pick: &dyn Fn(&Round) -> f64| median(rounds.iter().map(pick));
        table.row([
            name.to_owned(),
            format!("{:.0}", of(&|it| float(it.requests))),
            format!("{:.0}", of(&|it| float(it.bytes) / 1e6)),
            format!("{:.0}", of(pick)),
            format!("{ratio:.2}"),
            format!("{:.1} %", of(&|it| it.spent.percent())),
            format!("{:.0}", of(&|it| it.slowest.as_secs_f64() * 1e3)),
        ]);
    };
    row("rillcast, live", &ours, &all, with);
    row(
        "the same without what the stream costs",
        &ours,
        &without,
        alone,
    );
    row("nginx, files", &theirs, &all, 1.0);
    let verdict = format!(
        "ordinary players: CPU per MB of nginx {}; {alone:.2} without receiving and packaging",
        verdict(with, 1.0)
    );
    (table, verdict)
}

#[expect(clippy::cast_precision_loss, reason = "counts for a table")]
fn float(count: u64) -> f64 {
    count as f64
}
