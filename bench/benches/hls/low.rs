//! Low-latency players: each track of each on a connection of its own, asleep in
//! the server until the next part is cut.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rillcast_bench::{
    Error, Result, Rillcast, Spent, Table, Viewer, Watched, median, resolve, verdict,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{clock, guide};

/// How a player comes by a new part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fetch {
    /// A reload that waits for it, and then a request: hls.js.
    Listed,
    /// A request for it before it is there, and the reload after: Apple's.
    Hinted,
}

impl Fetch {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed parts",
            Self::Hinted => "hinted parts",
        }
    }
}

/// The bar for the first number of players, in milliseconds.
const P99: f64 = 50.0;

/// Ways to join that are measured, and the bar for their median.
const JOINS: usize = 200;
const JOIN_MS: f64 = 3.0;

/// Players that wait while memory is looked at, and the bar for each, in KiB.
const WAITING: usize = 1_000;
const KIB: f64 = 32.0;

/// A part that has come: the number of its track, segment, part, and when its
/// last byte was there.
type Came = (usize, u64, u32, u64);

/// What the players saw, and what it cost.
pub(crate) struct Watch {
    tracks: Vec<String>,
    came: Vec<Came>,
    server: Spent,
    players: Spent,
}

/// `viewers` watch for `time` after they have settled.
pub(crate) async fn watch(
    server: &Rillcast,
    viewers: usize,
    fetch: Fetch,
    time: Duration,
) -> Result<Watch> {
    let mut first = Viewer::connect(server.http()).await?;
    let playlists = guide::settled(&mut first, 3).await?;
    let tracks = playlists.iter().map(|it| name(it)).collect();
    let settled = Instant::now() + Duration::from_secs(2) + Duration::from_millis(2) * 1_000;
    let (watched, own) = (server.watch()?, Watched::this()?);
    let mut tasks = JoinSet::new();
    for _ in 0..viewers {
        for (track, playlist) in playlists.iter().enumerate() {
            let viewer = Viewer::connect(server.http()).await?;
            let player = Player {
                viewer,
                playlist: playlist.clone().into(),
                track,
                came: Vec::new(),
            };
            tasks.spawn(player.watch(fetch, settled, settled + time));
        }
    }
    tokio::time::sleep_until(settled).await;
    let (before, mine) = (watched.sample(), own.sample());
    tokio::time::sleep_until(settled + time).await;
    let (server, players) = (watched.since(&before), own.since(&mine));
    let mut came = Vec::new();
    while let Some(done) = tasks.join_next().await {
        came.extend(done.map_err(Error::of("a player"))??);
    }
    Ok(Watch {
        tracks,
        came,
        server,
        players,
    })
}

/// One track of one player.
struct Player {
    viewer: Viewer,
    playlist: Arc<str>,
    track: usize,
    came: Vec<Came>,
}

impl Player {
    async fn watch(mut self, fetch: Fetch, from: Instant, until: Instant) -> Result<Vec<Came>> {
        let mut next = self.hint("").await?;
        while Instant::now() < until {
            let (segment, part) = guide::numbers(&next)
                .ok_or_else(|| Error::new(format!("{next} is no path of a part")))?;
            let reload = format!("?_HLS_msn={segment}&_HLS_part={part}&_HLS_skip=YES");
            let path = next;
            next = match fetch {
                Fetch::Listed => {
                    let next = self.hint(&reload).await?;
                    self.viewer.get(&path, None).await?;
                    self.note(segment, part, from);
                    next
                }
                Fetch::Hinted => {
                    self.viewer.get(&path, None).await?;
                    self.note(segment, part, from);
                    self.hint(&reload).await?
                }
            };
        }
        Ok(self.came)
    }

    fn note(&mut self, segment: u64, part: u32, from: Instant) {
        if Instant::now() >= from {
            self.came.push((self.track, segment, part, clock()));
        }
    }

    /// The part that the playlist says comes next.
    async fn hint(&mut self, query: &str) -> Result<String> {
        let path = format!("{}{query}", self.playlist);
        let text = guide::text(&mut self.viewer, &path).await?;
        let hint = text
            .rsplit('\n')
            .find(|line| line.starts_with("#EXT-X-PRELOAD-HINT:"))
            .and_then(guide::uri)
            .ok_or_else(|| Error::new(format!("{path} hints at no part")))?;
        Ok(resolve(&self.playlist, hint))
    }
}

/// The name of a track: the last folder of where its playlist is said to be.
fn name(playlist: &str) -> String {
    let file = playlist.rsplit('/').next().unwrap_or_default();
    file.trim_end_matches(".m3u8").to_owned()
}

/// How long parts took, in milliseconds: from the moment that the server had cut
/// them, and from the arrival of their last sample.
pub(crate) struct Delays {
    cut: Vec<f64>,
    sample: Vec<f64>,
}

impl Watch {
    /// Against what the tap has written.
    pub(crate) fn delays(&self, file: &Path) -> Result<Delays> {
        let text = std::fs::read_to_string(file).map_err(Error::of(file.display()))?;
        let mut cuts = HashMap::new();
        // A line that is being written is the newest, and nobody's yet.
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(track), mut numbers) = (words.next(), words.map(str::parse::<u64>)) else {
                continue;
            };
            let (Some(Ok(segment)), Some(Ok(part)), Some(Ok(sample)), Some(Ok(cut))) = (
                numbers.next(),
                numbers.next(),
                numbers.next(),
                numbers.next(),
            ) else {
                continue;
            };
            cuts.insert((track, segment, part), (sample, cut));
        }
        let mut delays = Delays {
            cut: Vec::new(),
            sample: Vec::new(),
        };
        for (track, segment, part, came) in &self.came {
            let track = self.tracks.get(*track).map_or("", String::as_str);
            let Some((sample, cut)) = cuts.get(&(track, *segment, u64::from(*part))) else {
                return Err(Error::new(format!("nobody cut {track} {segment}.{part}")));
            };
            // The tap may be woken after a player.
            delays.cut.push(ms(came.saturating_sub(*cut)));
            delays.sample.push(ms(came.saturating_sub(*sample)));
        }
        delays.cut.sort_by(f64::total_cmp);
        delays.sample.sort_by(f64::total_cmp);
        if delays.cut.is_empty() {
            return Err(Error::new("no part has come"));
        }
        Ok(delays)
    }
}

impl Delays {
    pub(crate) fn row(&self, table: &mut Table, viewers: usize, fetch: Fetch, watch: &Watch) {
        table.row([
            viewers.to_string(),
            fetch.name().to_owned(),
            self.cut.len().to_string(),
            format!("{:.1}", at(&self.cut, 50)),
            format!("{:.1}", at(&self.cut, 99)),
            format!("{:.1}", at(&self.cut, 100)),
            format!("{:.1}", at(&self.sample, 99)),
            format!("{:.0} %", watch.server.percent()),
            format!("{:.0} %", watch.players.percent()),
        ]);
    }

    pub(crate) fn verdict(&self, viewers: usize, fetch: Fetch) -> String {
        let verdict = verdict(at(&self.cut, 99), P99);
        format!(
            "{viewers} low-latency players, {}: p99 from cut to last byte in ms {verdict}",
            fetch.name()
        )
    }
}

/// How long a newcomer needs from its connection to the newest segment's last byte:
/// the two playlists, the initialisation segment, the segment.
pub(crate) async fn join(server: &Rillcast) -> Result<String> {
    let mut viewer = Viewer::connect(server.http()).await?;
    guide::settled(&mut viewer, 3).await?;
    let mut took = Vec::with_capacity(JOINS);
    for _ in 0..JOINS {
        // Not in step with the parts.
        sleep(Duration::from_millis(17)).await;
        let begun = Instant::now();
        let mut viewer = Viewer::connect(server.http()).await?;
        let playlists = guide::playlists(&mut viewer).await?;
        let playlist = playlists.first().map(String::as_str).unwrap_or_default();
        let text = guide::text(&mut viewer, playlist).await?;
        let mut lines = text.lines();
        let map = lines.find(|line| line.starts_with("#EXT-X-MAP"));
        let init = map.and_then(guide::uri);
        let segment = lines.rfind(|line| !line.starts_with('#') && !line.is_empty());
        let (Some(init), Some(segment)) = (init, segment) else {
            return Err(Error::new("the playlist lists nothing"));
        };
        for path in [init, segment] {
            viewer.get(&resolve(playlist, path), None).await?;
        }
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    Ok(format!(
        "warm join, median in ms {} (p99 {:.1})",
        verdict(median(took.iter().copied()), JOIN_MS),
        at(&took, 99)
    ))
}

/// What the server holds for each player that waits.
pub(crate) async fn memory(server: &Rillcast) -> Result<String> {
    let mut first = Viewer::connect(server.http()).await?;
    let playlists = guide::settled(&mut first, 3).await?;
    let playlist: Arc<str> = playlists.first().cloned().unwrap_or_default().into();
    let watched = server.watch()?;
    // What grows with the stream has grown.
    sleep(Duration::from_secs(3)).await;
    let before = watched.memory();
    let until = Instant::now() + Duration::from_secs(8);
    let mut tasks = JoinSet::new();
    for _ in 0..WAITING {
        let player = Player {
            viewer: Viewer::connect(server.http()).await?,
            playlist: Arc::clone(&playlist),
            track: 0,
            came: Vec::new(),
        };
        tasks.spawn(player.watch(Fetch::Listed, until, until));
    }
    let mut most = 0;
    while Instant::now() < until {
        most = most.max(watched.memory());
        sleep(Duration::from_millis(50)).await;
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(Error::of("a player"))??;
    }
    let each = float(most.saturating_sub(before)) / float(WAITING as u64) / 1_024.0;
    Ok(format!(
        "memory for each of {WAITING} players that wait, at its most, in KiB {}",
        verdict(each, KIB)
    ))
}

fn at(sorted: &[f64], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

fn ms(nanos: u64) -> f64 {
    float(nanos) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "figures for a table")]
fn float(count: u64) -> f64 {
    count as f64
}
