//! The bad network of `rillcast_bench::Relay` as a process: prints the address
//! that it listens at, carries datagrams until its standard input ends, and
//! prints what it did to them as a line of JSON.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what it is asked for"
)]

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rillcast_bench::{Counts, Impairments, Relay, Result};
use serde_json::json;

/// A relay of UDP that treats datagrams as bad networks do.
#[derive(Parser)]
struct Options {
    /// Where callers find it; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The server.
    #[arg(long)]
    to: SocketAddr,
    /// Where the server sees callers come from.
    #[arg(long)]
    source: Option<IpAddr>,
    /// How many are lost, in percent.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// How long each one takes, in milliseconds, in each direction.
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// How much longer it may take, in milliseconds.
    #[arg(long, default_value_t = 0)]
    jitter: u64,
    /// How many are passed by others, in percent.
    #[arg(long, default_value_t = 0.0)]
    reorder: f64,
    /// How many come twice, in percent.
    #[arg(long, default_value_t = 0.0)]
    duplicate: f64,
    /// The same seed does the same to the same datagrams.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result {
    let impairments = Impairments {
        loss: options.loss / 100.0,
        delay: Duration::from_millis(options.delay),
        jitter: Duration::from_millis(options.jitter),
        reorder: options.reorder / 100.0,
        duplicate: options.duplicate / 100.0,
        seed: options.seed,
    };
    let relay = Relay::start(options.listen, options.to, options.source, impairments)?;
    println!("{}", relay.address());
    // Whoever started it holds the other end, and is gone when it ends.
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    let counts = relay.counts();
    println!(
        "{}",
        json!({"up": line(counts.up), "down": line(counts.down)})
    );
    Ok(())
}

fn line(counts: Counts) -> serde_json::Value {
    json!({
        "received": counts.received,
        "lost": counts.lost,
        "duplicated": counts.duplicated,
        "reordered": counts.reordered,
        "overflowed": counts.overflowed,
    })
}
