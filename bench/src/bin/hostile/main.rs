//! The hostile suite: twenty good publishers over RTMP and ten over SRT, their
//! viewers, and everything that a stranger may do to a server meanwhile. `cargo xtask e2e hostile` runs
//! it; `cargo xtask e2e hostile --minutes 10` takes its time.
//!
//! Each attack is a file in `attacks/` and says itself what must come of it: a
//! connection that is closed in time, a refusal in the right words. What must
//! not come of any is looked for here: a repair, a drop, a gap or a late part
//! on the good side (`good.rs`), memory, connections or descriptors that stay
//! (`server.rs`), a line in the log for each packet (`lines.rs`).
//!
//! Attackers come from addresses of their own in 127.0.0.0/8 and run with a
//! lower priority: theirs is another machine's processor.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test talks to a person or to the log of CI"
)]

mod arena;
mod attacks;
mod field;
mod good;
mod http;
mod lines;
mod plan;
mod rtmp;
mod server;
mod srt;
mod suite;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rillcast_bench::{Error, Result};

/// Hostile peers against a server that carries thirty good streams.
#[derive(Parser)]
pub(crate) struct Options {
    /// The server's binary.
    #[arg(long)]
    server: PathBuf,
    /// Where its log and its configuration go.
    #[arg(long)]
    folder: PathBuf,
    /// Takes so long, with the server's default bounds; by default the short
    /// form, with time-outs that fit into it.
    #[arg(long)]
    minutes: Option<u64>,
    /// The seed of all chance; by default another one each time. It is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// More settings of the server, as its own `--set` takes them. The suite
    /// does not know of them: a bound that is taken away so must make it fail.
    #[arg(long = "set")]
    settings: Vec<String>,
    /// Only these attacks.
    attacks: Vec<String>,
    /// Prints the attacks and stops.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    // The server has a working folder of its own.
    for path in [&mut options.server, &mut options.folder] {
        *path = std::path::absolute(&*path).unwrap_or_default();
    }
    if options.list {
        for attack in attacks::ALL {
            println!("{:18} {}", attack.name, attack.what);
        }
        return ExitCode::SUCCESS;
    }
    match start(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: &Options) -> Result {
    for name in &options.attacks {
        if !attacks::ALL.iter().any(|attack| attack.name == name) {
            return Err(Error::new(format!(
                "there is no attack `{name}`; see --list"
            )));
        }
    }
    raise_limit();
    let runtime = |threads, nice: i32| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .on_thread_start(move || {
                // Of this thread alone, on Linux. One that is refused attacks as well.
                let _ = rustix::process::nice(nice);
            })
            .enable_all()
            .build()
            .map_err(Error::of("tokio"))
    };
    let good = runtime(1, 0)?;
    let hostile = runtime(1, LOWER)?;
    let result = good.block_on(suite::run(options, hostile.handle()));
    hostile.shutdown_background();
    result
}

/// The priority of the attackers, in steps below the normal one: they get what
/// is left, and yet enough to be a nuisance on a busy machine.
const LOWER: i32 = 5;

/// Thousands of connections are thousands of descriptors.
fn raise_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, connecting fails and says so.
    let _ = setrlimit(Resource::Nofile, limit);
}
