//! What the bus costs beside what others use: `cargo xtask bench bus`.
//!
//! All ways run in turn in one process, each round with a runtime of its own;
//! medians of the rounds are shown. T is the ring of `tokio::sync::broadcast`
//! with frames in it and payloads shared, as servers have it; beside it stands the
//! best that could be made of it, a ring of Arcs. A ratio above one is a gain. The
//! stream of the bus is as a server has it: three tracks, measured, with an
//! observer. `report.rs` holds the bars, `ways.rs` who competes, `rounds.rs`,
//! `latency.rs`, `join.rs` and `instructions.rs` how each thing is measured.
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

mod bars;
mod frames;
mod instructions;
mod join;
mod latency;
mod report;
mod rounds;
mod ways;

use std::process::ExitCode;

use bars::Bars;
use clap::Parser;
use rounds::Load;
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
    /// Count instructions by valgrind, and nothing else; fails where a bar is missed.
    #[arg(long)]
    instructions: bool,
    /// One way once, for valgrind.
    #[arg(long, hide = true)]
    once: Option<Way>,
    /// GOPs of that.
    #[arg(long, hide = true, default_value_t = 1)]
    gops: usize,
    /// What cargo hands to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(way) = options.once {
        let load = Load::one(instructions::SUBSCRIBERS);
        rounds::run_once(way, load, options.gops * frames::GOP);
        return ExitCode::SUCCESS;
    }
    let mut bars = Bars::default();
    if options.instructions {
        if let Err(error) = report::count_instructions(&mut bars) {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
        println!("{bars}");
        // Counts do not depend on the machine: they are a gate.
        return ExitCode::from(u8::from(bars.missed() > 0));
    }
    let effort = report::Effort {
        rounds: options.rounds,
        deliveries: options.deliveries,
        subscribers: options.subscribers,
    };
    report::measure(&effort, &mut bars);
    println!("{bars}");
    ExitCode::SUCCESS
}
