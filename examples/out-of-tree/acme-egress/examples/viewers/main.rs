//! Measures what viewers of one stream cost the server, and how old frames are
//! when they have them: the reactor beside a subscription per viewer, in turns.
//!
//! `cargo run --release -p acme-egress --example viewers -- target/release/acme-server clip.flv`
//! (further arguments: viewers, seconds of a round, rounds). Each viewer is a
//! connection of its own, and every tag that it gets is checked.

mod publisher;
mod server;
mod watch;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use server::{Server, VARIANTS};
use watch::Watched;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What a round of a variant came to.
struct Round {
    /// Processor time of the server per viewer and second.
    cpu: Duration,
    /// The same of this program, publisher and viewers.
    own: Duration,
    half: Duration,
    most: Duration,
    /// Writes of the server, per viewer and second.
    writes: f64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: viewers SERVER CLIP.flv [VIEWERS [SECONDS [ROUNDS]]]";
    let binary = PathBuf::from(arguments.next().ok_or(usage)?);
    let clip = std::fs::read(arguments.next().ok_or(usage)?)?;
    let mut number = |default: u32| match arguments.next() {
        Some(text) => text.parse::<u32>().map_err(|_| usage),
        None => Ok(default),
    };
    let (viewers, seconds, rounds) = (number(1_000)?, number(10)?, number(3)?);
    let time = Duration::from_secs(u64::from(seconds));
    let clip = publisher::Clip::read(&clip)?;

    let mut results: Vec<Vec<Round>> = VARIANTS.iter().map(|_| Vec::new()).collect();
    for number in 1..=rounds {
        for (variant, results) in VARIANTS.iter().zip(&mut results) {
            let round = round(&binary, variant.settings, &clip, viewers, time)
                .map_err(|error| format!("{}: {error}", variant.name))?;
            line(&format!("{number} {}", variant.name), &round);
            results.push(round);
        }
    }
    print(&format!(
        "\nmedians of {rounds} rounds, {viewers} viewers:\n"
    ));
    let mut first: Option<Round> = None;
    for (variant, results) in VARIANTS.iter().zip(&results) {
        let round = medians(results);
        line(variant.name, &round);
        if let Some(first) = &first {
            print(&format!(
                "    beside the first: CPU {:.2}, writes {:.2}, age p50 {:.2}, p99 {:.2}\n",
                ratio(round.cpu, first.cpu),
                round.writes / first.writes,
                ratio(round.half, first.half),
                ratio(round.most, first.most)
            ));
        } else {
            first = Some(round);
        }
    }
    Ok(())
}

/// Starts a server, publishes to it, and watches for `time`.
fn round(
    binary: &Path,
    settings: &[&str],
    clip: &publisher::Clip,
    viewers: u32,
    time: Duration,
) -> Result<Round> {
    let server = Server::start(binary, settings)?;
    let publisher = publisher::Publisher::start(server.ingest, clip.clone())?;
    let watched = watch::watch(&server, viewers, clip.longest_step, time);
    publisher.stop()?;
    let Watched {
        mut ages,
        server,
        own,
        writes,
        faults,
    } = watched?;
    if let Some(fault) = faults.first() {
        return Err(format!("{} faults, first: {fault}", faults.len()).into());
    }
    let wanted = u64::from(viewers) * time.as_secs() * clip.pictures_per_second() * 9 / 10;
    if (ages.len() as u64) < wanted {
        return Err(format!("{} pictures came and not {wanted}", ages.len()).into());
    }
    ages.sort_unstable();
    let at = |percent: usize| {
        let age = ages.get(ages.len() * percent / 100).copied();
        Duration::from_micros(u64::from(age.unwrap_or_default()))
    };
    let each = viewers * u32::try_from(time.as_secs().max(1))?;
    Ok(Round {
        cpu: server / each,
        own: own / each,
        half: at(50),
        most: at(99),
        writes: writes as f64 / f64::from(each),
    })
}

fn medians(rounds: &[Round]) -> Round {
    let median = |of: fn(&Round) -> Duration| {
        let mut all: Vec<Duration> = rounds.iter().map(of).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    let mut writes: Vec<f64> = rounds.iter().map(|round| round.writes).collect();
    writes.sort_unstable_by(f64::total_cmp);
    Round {
        cpu: median(|round| round.cpu),
        own: median(|round| round.own),
        half: median(|round| round.half),
        most: median(|round| round.most),
        writes: writes.get(writes.len() / 2).copied().unwrap_or_default(),
    }
}

fn line(name: &str, round: &Round) {
    print(&format!(
        "{name:36} CPU {:7.1} us a viewer and second ({:.1} here), {:5.1} writes; age p50 {:6.2} ms, p99 {:6.2} ms\n",
        micros(round.cpu),
        micros(round.own),
        round.writes,
        micros(round.half) / 1e3,
        micros(round.most) / 1e3,
    ));
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64().max(1e-9)
}

fn print(text: &str) {
    use std::io::Write;
    // Nobody reads on: no reason to stop.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
