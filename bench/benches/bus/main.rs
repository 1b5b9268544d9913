//! What the bus costs beside what others use: `cargo xtask bench bus`.
//!
//! All ways run in turn in one process, each round with a runtime of its own;
//! medians of the rounds are shown, as nanoseconds and as ratios to the ring of
//! `tokio::sync::broadcast` (T). A ratio above one is a gain. The stream of the
//! bus is as a server has it: three tracks, measured, with an observer.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark talks to a person"
)]
#![expect(
    clippy::expect_used,
    reason = "without its runtime and its stream there is no benchmark"
)]

mod instructions;
mod join;
mod latency;
mod rounds;
mod ways;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rillcast_bench::{Result, Table, median};
use rounds::{Cost, Load, Pace, run};
use ways::Way;

/// CPU, latency and memory of one publisher's frames to many subscribers.
#[derive(Parser)]
struct Options {
    /// How often each way is measured; medians are shown.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Frames that all subscribers together get in a round.
    #[arg(long, default_value_t = 400_000)]
    deliveries: usize,
    /// Subscribers of the one stream.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000,10000")]
    subscribers: Vec<usize>,
    /// Count instructions by valgrind, and nothing else.
    #[arg(long)]
    instructions: bool,
    /// One way once, for valgrind.
    #[arg(long, hide = true)]
    once: Option<Way>,
    /// Frames of that.
    #[arg(long, hide = true, default_value_t = 100)]
    frames: usize,
    /// What cargo hands to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.once {
        Some(way) => {
            let load = Load::one(instructions::SUBSCRIBERS);
            run(way, load, Pace::Steady, options.frames);
            Ok(())
        }
        None if options.instructions => count_instructions(),
        None => {
            measure(&options);
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The bars of the design, each as the least ratio to T.
const STEADY_BARS: &[(usize, f64)] = &[(1, 0.95), (10, 1.6), (100, 2.5)];
const FLOOD_BARS: &[(usize, f64)] = &[(10, 3.5), (100, 7.0)];
const INSTRUCTIONS_BAR: f64 = 1.4;
const JOIN_BAR: f64 = 30.0;
const REPLAY_BAR: f64 = 4.0;
const LATENCY_BAR: f64 = 3.0;

/// And the most nanoseconds and bytes.
const PUBLISH_BAR: f64 = 150.0;
const BUSY_PUBLISH_BAR: f64 = 5_000.0;
const IDLE_BAR: f64 = 6.0 * 1_024.0;

fn measure(options: &Options) {
    let loads = options
        .subscribers
        .iter()
        .map(|subscribers| Load::one(*subscribers));
    let many = Load {
        streams: 1_000,
        subscribers: 3,
    };
    let loads: Vec<Load> = loads.chain([many]).collect();
    for (pace, bars, what) in [
        (Pace::Steady, STEADY_BARS, "one frame at a time"),
        (Pace::Flood, FLOOD_BARS, "64 frames at a time"),
    ] {
        let costs: Vec<_> = loads
            .iter()
            .map(|load| costs(options, *load, pace))
            .collect();
        println!("CPU for each delivery, {what}, in ns (ratio to T):\n");
        println!("{}", deliveries(&loads, &costs, pace, bars));
        println!("The publisher's call for each frame, {what}, in ns (ratio to T):\n");
        println!("{}", publishing(&loads, &costs, pace));
    }
    latencies(options);
    joins(options);
}

/// Who runs at a pace: a bare task looks once at what it is woken for.
fn ways(pace: Pace) -> &'static [Way] {
    match pace {
        Pace::Steady => &Way::ALL,
        Pace::Flood => &[Way::Broadcast, Way::Mpsc, Way::Tasks],
    }
}

/// The medians of all ways, in the order of [`ways`].
fn costs(options: &Options, load: Load, pace: Pace) -> Vec<Cost> {
    let frames = load.frames(options.deliveries);
    let rounds: Vec<Vec<Cost>> = (0..options.rounds.max(1))
        .map(|_| {
            let ways = ways(pace).iter();
            ways.map(|way| run(*way, load, pace, frames)).collect()
        })
        .collect();
    (0..ways(pace).len())
        .map(|way| {
            let of = |value: fn(&Cost) -> f64| {
                median(rounds.iter().filter_map(|round| round.get(way).map(value)))
            };
            Cost {
                delivery: of(|cost| cost.delivery),
                publish: of(|cost| cost.publish),
            }
        })
        .collect()
}

fn headings(pace: Pace) -> Vec<String> {
    let ways = ways(pace).iter().map(|way| way.name().to_owned());
    let bar = ["bar of the bus".to_owned()];
    ["subscribers".to_owned()]
        .into_iter()
        .chain(ways)
        .chain(bar)
        .collect()
}

fn name(load: &Load) -> String {
    match load.streams {
        1 => load.subscribers.to_string(),
        streams => format!("{streams} streams of {}", load.subscribers),
    }
}

/// The cells of a row: each way's value, with its ratio to the first one's.
fn cells(costs: &[Cost], value: fn(&Cost) -> f64) -> Vec<String> {
    let base = costs.first().map_or(f64::NAN, value);
    let cell = |cost| format!("{:.0} ({:.2})", value(cost), base / value(cost));
    costs.iter().map(cell).collect()
}

/// The bus's cost among those of all ways.
fn bus(costs: &[Cost], value: fn(&Cost) -> f64) -> f64 {
    let ways = Way::ALL.iter().zip(costs);
    let mut bus = ways.filter(|(way, _)| **way == Way::Tasks);
    bus.next().map_or(f64::NAN, |(_, cost)| value(cost))
}

fn deliveries(loads: &[Load], costs: &[Vec<Cost>], pace: Pace, bars: &[(usize, f64)]) -> Table {
    let mut table = Table::new(headings(pace));
    for (load, costs) in loads.iter().zip(costs) {
        let base = costs.first().map_or(f64::NAN, |cost| cost.delivery);
        let mut row = vec![name(load)];
        row.extend(cells(costs, |cost| cost.delivery));
        let bar = bars
            .iter()
            .rfind(|(from, _)| load.streams == 1 && load.subscribers >= *from);
        row.push(bar.map_or_else(String::new, |(_, bar)| {
            at_least(base / bus(costs, |cost| cost.delivery), *bar)
        }));
        table.row(row);
    }
    table
}

fn publishing(loads: &[Load], costs: &[Vec<Cost>], pace: Pace) -> Table {
    let mut table = Table::new(headings(pace));
    for (load, costs) in loads.iter().zip(costs) {
        let mut row = vec![name(load)];
        row.extend(cells(costs, |cost| cost.publish));
        let own = bus(costs, |cost| cost.publish);
        let barred = pace == Pace::Steady && load.streams == 1;
        row.push(if barred {
            at_most(own, PUBLISH_BAR)
        } else {
            String::new()
        });
        table.row(row);
    }
    table
}

/// Two workers, 60 frames a second.
fn latencies(options: &Options) {
    const TIME: Duration = Duration::from_secs(2);
    println!(
        "On two workers at 60 frames a second, in µs: p50 and p99 of a frame's age, and the publisher's call\n"
    );
    let ways = [Way::Broadcast, Way::Mpsc, Way::Tasks];
    let mut table = Table::new(["subscribers", "", "p50", "p99", "publish", "bar"]);
    for subscribers in options
        .subscribers
        .iter()
        .copied()
        .filter(|count| *count >= 100)
    {
        let rounds: Vec<_> = (0..options.rounds.clamp(1, 3))
            .map(|_| ways.map(|way| latency::run(way, subscribers, TIME)))
            .collect();
        let mut base = f64::NAN;
        for (index, way) in ways.into_iter().enumerate() {
            let of = |value: fn(&latency::Latency) -> f64| {
                median(
                    rounds
                        .iter()
                        .filter_map(|round| round.get(index).map(value)),
                )
            };
            let (p50, p99, publish) = (of(|it| it.p50), of(|it| it.p99), of(|it| it.publish));
            if way == Way::Broadcast {
                base = p50;
            }
            let bar = if way == Way::Tasks && subscribers >= 10_000 {
                let publishing = at_most(publish * 1e3, BUSY_PUBLISH_BAR);
                format!(
                    "p50 {}; publish {publishing}",
                    at_least(base / p50, LATENCY_BAR)
                )
            } else {
                String::new()
            };
            let micros = |value: f64| format!("{value:.1}");
            table.row([
                subscribers.to_string(),
                way.name().to_owned(),
                micros(p50),
                micros(p99),
                micros(publish),
                bar,
            ]);
        }
    }
    println!("{table}");
}

fn joins(options: &Options) {
    let rounds: Vec<_> = (0..options.rounds.max(1))
        .map(|_| (join::broadcast(), join::bus()))
        .collect();
    let of = |value: fn(&(join::Joins, join::Joins)) -> f64| median(rounds.iter().map(value));
    let (theirs, ours) = (of(|it| it.0.join), of(|it| it.1.join));
    let (their_replay, our_replay) = (of(|it| it.0.replay), of(|it| it.1.replay));
    println!("Joining a GOP of {} frames, in ns:\n", ways::GOP);
    let mut table = Table::new(["", "copy of a vector", "bus, tasks", "bar"]);
    let bar = at_least(theirs / ours, JOIN_BAR);
    table.row([
        "join".to_owned(),
        format!("{theirs:.0}"),
        format!("{ours:.0}"),
        bar,
    ]);
    let bar = at_least(their_replay / our_replay, REPLAY_BAR);
    table.row([
        "and read it".to_owned(),
        format!("{their_replay:.0}"),
        format!("{our_replay:.0}"),
        bar,
    ]);
    println!("{table}");
    if let Some(bytes) = join::idle_stream() {
        println!("An idle stream, in bytes: {}", at_most(bytes, IDLE_BAR));
    }
}

fn count_instructions() -> Result {
    println!(
        "Instructions for each of {} deliveries of a frame (ratio to T):\n",
        instructions::SUBSCRIBERS
    );
    let mut table = Table::new(["", "instructions", "ratio", "bar"]);
    let mut base = f64::NAN;
    for way in Way::ALL {
        let counted = instructions::count(way)?;
        if way == Way::Broadcast {
            base = counted;
        }
        let ratio = base / counted;
        let bar = if way == Way::Tasks {
            at_least(ratio, INSTRUCTIONS_BAR)
        } else {
            String::new()
        };
        table.row([
            way.name().to_owned(),
            format!("{counted:.0}"),
            format!("{ratio:.2}"),
            bar,
        ]);
    }
    println!("{table}");
    Ok(())
}

fn at_least(value: f64, bar: f64) -> String {
    let verdict = if value >= bar { "met" } else { "MISSED" };
    format!("{value:.2} of at least {bar:.2}: {verdict}")
}

fn at_most(value: f64, bar: f64) -> String {
    let verdict = if value <= bar { "met" } else { "MISSED" };
    format!("{value:.0} of at most {bar:.0}: {verdict}")
}
