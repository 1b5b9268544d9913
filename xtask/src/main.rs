//! Development tasks of rillcast: `cargo xtask help` lists them.
//!
//! One file per task: `ci.rs` is the list of what CI runs, `checks.rs` the
//! static checks and the tests, `tidy.rs` the invariants of the house,
//! `matrix.rs` the feature subsets, `e2e.rs` the whole way with real clients.
//! `process.rs`, `workspace.rs` and `http.rs` are what they stand on.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to a person or to the log of CI"
)]

mod bench;
mod checks;
mod ci;
mod e2e;
mod fuzz;
mod http;
mod laws;
mod loom;
mod matrix;
mod out_of_tree;
mod process;
mod stress;
mod tidy;
mod tools;
mod web;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Development tasks of rillcast"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// All that CI runs, in its order; goes on after a failure and sums up.
    Ci(ci::Options),
    /// What to run before a commit: format, tidy, clippy and the documentation.
    Check,
    /// Unit, integration and documentation tests of the whole workspace.
    Test,
    /// Dependencies: licences, sources, bans.
    Deny,
    /// The invariants of ARCHITECTURE.md that a program can check.
    Tidy,
    /// Builds every subset of the server's features and asks each binary what it links.
    Matrix,
    /// Builds the third party's plugin in examples/ and publishes through it.
    OutOfTree,
    /// The real server with FFmpeg, a browser and other players.
    E2e(e2e::Options),
    /// Lists the benchmarks, or runs one.
    Bench(bench::Options),
    /// The bus under stress, ten minutes by default: readers and publishers that do all they may.
    Stress(stress::Options),
    /// Looks for inputs that fail: the targets in fuzz/, a minute each.
    Fuzz(fuzz::Options),
    /// The laws of playlists over random streams, 10,000 by default.
    Laws(laws::Options),
    /// Runs the models of the bus through every order of their threads' steps.
    Loom(loom::Options),
    /// Writes docs/SETTINGS.md from what the sections say of themselves.
    Settings,
    /// Fetches the player library that the next build of the server embeds.
    Web,
    /// Installs what the tests need, or says what to install.
    Tools(tools::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Ci(options) => ci::run(&options),
        Task::Check => checks::all(),
        Task::Test => checks::test(),
        Task::Settings => checks::settings(),
        Task::Deny => checks::deny(),
        Task::Tidy => tidy::run(),
        Task::Matrix => matrix::run(),
        Task::OutOfTree => out_of_tree::run(),
        Task::E2e(options) => e2e::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Stress(options) => stress::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Laws(options) => laws::run(&options),
        Task::Loom(options) => loom::run(&options),
        Task::Web => web::run(),
        Task::Tools(options) => tools::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
