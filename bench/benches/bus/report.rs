//! What is measured, in which order, and how it is shown.

use std::time::Duration;

use rillcast_bench::{Result, Table, median};

use crate::bars::Bars;
use crate::frames::GOP;
use crate::instructions::{self, Part};
use crate::join::{self, Joins};
use crate::latency::{self, Latency};
use crate::rounds::{Cost, Load, Pace, run};
use crate::ways::Way;

/// How much is measured.
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) deliveries: usize,
    pub(crate) subscribers: Vec<usize>,
}

/// Who is measured at a pace: a bare task looks once at what it is woken for.
const STEADY: &[Way] = &[
    Way::Broadcast,
    Way::Arcs,
    Way::Mpsc,
    Way::Tasks,
    Way::Groups,
    Way::Loops,
    Way::Reactor,
    Way::Bare,
];
const FLOOD: &[Way] = &[
    Way::Broadcast,
    Way::Arcs,
    Way::Mpsc,
    Way::Tasks,
    Way::Groups,
    Way::Loops,
    Way::Reactor,
];

/// And for how long frames are under way.
const LATENCY: &[Way] = FLOOD;

/// A bar on a ratio: of this way to that, at these subscribers or more.
struct RatioBar {
    way: Way,
    to: Way,
    from: usize,
    least: f64,
}

const fn bar(way: Way, to: Way, from: usize, least: f64) -> RatioBar {
    RatioBar {
        way,
        to,
        from,
        least,
    }
}

const STEADY_BARS: &[RatioBar] = &[
    bar(Way::Tasks, Way::Broadcast, 1, 0.95),
    bar(Way::Tasks, Way::Broadcast, 10, 1.6),
    bar(Way::Tasks, Way::Broadcast, 100, 2.5),
    bar(Way::Groups, Way::Broadcast, 100, 7.0),
    bar(Way::Groups, Way::Broadcast, 1_000, 9.0),
];
/// Over the same sinks, of one stream and of many with three each.
const SINK_BARS: &[RatioBar] = &[bar(Way::Reactor, Way::Loops, 10_000, 1.4)];
const MANY_STREAMS_BARS: &[RatioBar] = &[bar(Way::Reactor, Way::Loops, 0, 1.5)];
const FLOOD_BARS: &[RatioBar] = &[
    bar(Way::Tasks, Way::Broadcast, 10, 3.5),
    bar(Way::Tasks, Way::Broadcast, 100, 7.0),
];
const LATENCY_BARS: &[RatioBar] = &[
    bar(Way::Tasks, Way::Broadcast, 10_000, 3.0),
    bar(Way::Groups, Way::Broadcast, 10_000, 10.0),
];
const INSTRUCTION_BARS: &[RatioBar] = &[
    bar(Way::Tasks, Way::Broadcast, 0, 1.4),
    bar(Way::Groups, Way::Broadcast, 0, 4.0),
];

/// The most instructions of a call of the publisher.
const PUBLISH_INSTRUCTIONS: f64 = 1_500.0;

/// The most nanoseconds of the publisher's call: on one thread, and at 10,000
/// subscribers on two.
const PUBLISH_BAR: f64 = 150.0;
const BUSY_PUBLISH_BAR: f64 = 5_000.0;

const JOIN_BAR: f64 = 30.0;
const REPLAY_BAR: f64 = 4.0;

/// The most bytes of an idle stream.
const IDLE_BAR: f64 = 6.0 * 1_024.0;

/// All of it.
pub(crate) fn measure(effort: &Effort, bars: &mut Bars) {
    println!(
        "In brackets: how many times cheaper than a broadcast of frames, and than one of Arcs.\n"
    );
    costs(effort, bars, Pace::Steady);
    costs(effort, bars, Pace::Flood);
    latencies(effort, bars);
    joins(effort, bars);
    if let Some(bytes) = join::idle_stream() {
        bars.at_most("an idle stream", bytes, IDLE_BAR, "bytes");
    }
}

/// The medians of all rounds, way by way. The ways run in turn.
fn medians<T: Copy, const N: usize>(
    ways: &[Way],
    rounds: usize,
    run: impl Fn(Way) -> T,
    values: [fn(&T) -> f64; N],
) -> Vec<(Way, [f64; N])> {
    let all: Vec<Vec<T>> = (0..rounds.max(1))
        .map(|_| ways.iter().map(|way| run(*way)).collect())
        .collect();
    let of = |place: usize, value: fn(&T) -> f64| {
        median(all.iter().filter_map(|round| round.get(place).map(value)))
    };
    let ways = ways.iter().enumerate();
    ways.map(|(place, way)| (*way, values.map(|value| of(place, value))))
        .collect()
}

/// The value at `place` of `way`.
fn value<const N: usize>(rows: &[(Way, [f64; N])], way: Way, place: usize) -> f64 {
    let mut found = rows.iter().filter(|(it, _)| *it == way);
    let value = found.next().and_then(|(_, values)| values.get(place));
    value.copied().unwrap_or(f64::NAN)
}

/// The cells of a row: each way's value with its two ratios.
fn cells<const N: usize>(rows: &[(Way, [f64; N])], place: usize) -> Vec<String> {
    let to = [Way::Broadcast, Way::Arcs].map(|way| value(rows, way, place));
    let [frames, arcs] = to;
    let cell = |(_, values): &(Way, [f64; N])| {
        let own = values.get(place).copied().unwrap_or(f64::NAN);
        format!(
            "{} ({}, {})",
            short(own),
            short(frames / own),
            short(arcs / own)
        )
    };
    rows.iter().map(cell).collect()
}

/// With as many digits as one wants to see.
fn short(value: f64) -> String {
    match value {
        small if small < 9.95 => format!("{small:.2}"),
        some if some < 99.5 => format!("{some:.1}"),
        many => format!("{many:.0}"),
    }
}

/// Judges the ratios of one row.
fn judge<const N: usize>(
    bars: &mut Bars,
    of: &[RatioBar],
    what: &str,
    count: usize,
    rows: &[(Way, [f64; N])],
) {
    for (place, bar) in of.iter().enumerate() {
        let stricter =
            |other: &RatioBar| (other.way, other.to) == (bar.way, bar.to) && other.from > bar.from;
        let applies = count >= bar.from
            && !of
                .iter()
                .skip(place + 1)
                .any(|other| stricter(other) && count >= other.from);
        if applies {
            let ratio = value(rows, bar.to, 0) / value(rows, bar.way, 0);
            let name = format!("{what}: {} to {}", bar.way.name(), bar.to.name());
            bars.at_least(name, ratio, bar.least);
        }
    }
}

fn costs(effort: &Effort, bars: &mut Bars, pace: Pace) {
    let (ways, ratios, what) = match pace {
        Pace::Steady => (STEADY, STEADY_BARS, "a frame at a time"),
        Pace::Flood => (FLOOD, FLOOD_BARS, "60 at a time"),
    };
    let headings = || {
        ["subscribers"]
            .into_iter()
            .chain(ways.iter().map(|way| way.name()))
    };
    let (mut deliveries, mut publishing) = (Table::new(headings()), Table::new(headings()));
    let many = Load {
        streams: 1_000,
        subscribers: 3,
    };
    let loads = effort.subscribers.iter().copied().map(Load::one);
    for load in loads.chain([many]) {
        let frames = load.frames(effort.deliveries);
        let rows = medians(
            ways,
            effort.rounds,
            |way| run(way, load, pace, frames),
            [|cost: &Cost| cost.delivery, |cost: &Cost| cost.publish],
        );
        let name = match load.streams {
            1 => load.subscribers.to_string(),
            streams => format!("{streams} streams × {}", load.subscribers),
        };
        if load.streams == 1 {
            let what = format!("CPU, {what}, {name}");
            judge(bars, ratios, &what, load.subscribers, &rows);
            if pace == Pace::Steady {
                judge(bars, SINK_BARS, &what, load.subscribers, &rows);
                let own = value(&rows, Way::Tasks, 1);
                bars.at_most(format!("publisher, {name}"), own, PUBLISH_BAR, "ns");
            }
        } else if pace == Pace::Steady {
            let what = format!("CPU, {what}, {name}");
            judge(bars, MANY_STREAMS_BARS, &what, load.streams, &rows);
        }
        let row = |place| [name.clone()].into_iter().chain(cells(&rows, place));
        deliveries.row(row(0));
        publishing.row(row(1));
    }
    println!("CPU for each delivery, {what}, in ns:\n\n{deliveries}");
    println!(
        "The publisher's call for each frame, {what}, in ns, without the looks at the clock:\n\n{publishing}"
    );
}

/// Two workers, 60 frames a second.
fn latencies(effort: &Effort, bars: &mut Bars) {
    const TIME: Duration = Duration::from_secs(2);
    let headings = ["subscribers", "", "p50", "p99", "publish", "median"];
    let mut table = Table::new(headings);
    for subscribers in effort.subscribers.iter().copied().filter(|it| *it >= 100) {
        let rows = medians(
            LATENCY,
            effort.rounds.clamp(1, 3),
            |way| latency::run(way, subscribers, TIME),
            [
                |it: &Latency| it.p50,
                |it: &Latency| it.p99,
                |it: &Latency| it.publish,
                |it: &Latency| it.publish_p50,
            ],
        );
        for (way, values) in &rows {
            let values = values.map(short);
            let first = [subscribers.to_string(), way.name().to_owned()];
            table.row(first.into_iter().chain(values));
        }
        let what = format!("p50 of the age, {subscribers}");
        judge(bars, LATENCY_BARS, &what, subscribers, &rows);
        if subscribers >= 10_000 {
            let publish = value(&rows, Way::Tasks, 2) * 1e3;
            let what = format!("publisher on two workers, {subscribers}");
            bars.at_most(what, publish, BUSY_PUBLISH_BAR, "ns");
        }
    }
    println!(
        "On two workers at 60 frames a second, in µs: the age of frames, and the publisher's call (mean and median):\n\n{table}"
    );
}

fn joins(effort: &Effort, bars: &mut Bars) {
    let rows = medians(
        &[Way::Broadcast, Way::Arcs, Way::Tasks],
        effort.rounds,
        |way| match way {
            Way::Broadcast => join::broadcast(),
            Way::Arcs => join::arcs(),
            _ => join::bus(),
        },
        [|it: &Joins| it.join, |it: &Joins| it.replay],
    );
    let mut table = Table::new(["", "copy of frames", "copy of Arcs", "bus, tasks"]);
    for (place, what, least) in [(0, "join", JOIN_BAR), (1, "join and read", REPLAY_BAR)] {
        table.row([what.to_owned()].into_iter().chain(cells(&rows, place)));
        let ratio = value(&rows, Way::Broadcast, place) / value(&rows, Way::Tasks, place);
        bars.at_least(format!("{what} a GOP to a copy of frames"), ratio, least);
    }
    println!("Joining a GOP of {GOP} frames, in ns:\n\n{table}");
}

/// What valgrind counts.
pub(crate) fn count_instructions(bars: &mut Bars) -> Result {
    let ways = [
        Way::Broadcast,
        Way::Arcs,
        Way::Tasks,
        Way::Groups,
        Way::Loops,
        Way::Reactor,
        Way::Bare,
    ];
    let mut rows = Vec::new();
    for way in ways {
        let delivery = instructions::count(way, Part::Delivery)?;
        let publish = instructions::count(way, Part::Publish)?;
        rows.push((way, [delivery, publish]));
    }
    let headings = ways.iter().map(|way| way.name());
    let mut table = Table::new([""].into_iter().chain(headings));
    for (place, what) in [(0, "a delivery"), (1, "a call of the publisher")] {
        table.row([what.to_owned()].into_iter().chain(cells(&rows, place)));
    }
    println!(
        "Instructions with {} subscribers (ratio to T, and to T of Arcs):\n\n{table}",
        instructions::SUBSCRIBERS
    );
    judge(bars, INSTRUCTION_BARS, "instructions a delivery", 0, &rows);
    let publish = value(&rows, Way::Tasks, 1);
    bars.at_most(
        "instructions of the publisher",
        publish,
        PUBLISH_INSTRUCTIONS,
        "",
    );
    Ok(())
}
