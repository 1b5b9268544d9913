//! The whole way with real clients: the built server as a process, FFmpeg as
//! the publisher, headless Chromium (hls.js, shaka, its own player), FFmpeg and
//! VLC as players.
//!
//! `e2e/` beside this file has one file per helper (server, publisher, browser,
//! player, playlist) and the scenarios (`hostile` is a program of its own, in
//! bench/src/bin/hostile); the pages and the Node script are in the
//! folder e2e/ at the root. Everything a scenario writes stays in
//! `target/e2e/SCENARIO/`.

mod browser;
mod cache;
mod codecs;
mod dash;
mod exact;
mod glass;
mod hostile;
mod https;
mod player;
mod playlist;
mod publisher;
mod scenarios;
mod server;
mod srt;
mod troubles;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use crate::process::{Context, Result, Run, ensure, exists, fail};
use crate::workspace::{self, Metadata, SERVER};
use crate::{process, tools, web};

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Print the scenarios and stop.
    #[arg(long)]
    list: bool,
    /// Test the release build.
    #[arg(long)]
    release: bool,
    /// The scenarios `hostile` (with the server's default bounds), `glass` and `dash`
    /// (with their bars), `dash-edge` and `srt-loss` take so long; of the release build.
    #[arg(long)]
    minutes: Option<u64>,
    /// Test this binary instead of building one.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Run only these scenarios.
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
}

/// What a scenario is given.
pub(crate) struct Bench {
    /// The server's binary.
    binary: PathBuf,
    /// A folder of the scenario's own, empty at its start.
    dir: PathBuf,
    /// Where cargo builds.
    target: PathBuf,
    /// Whether what is built is to be optimised.
    release: bool,
    /// How long `hostile` attacks, `glass`, `dash` and `dash-edge` watch and `srt-loss`
    /// sends; without it, for as long as CI has time.
    minutes: Option<u64>,
}

/// All scenarios against the development build.
pub(crate) fn run_all() -> Result {
    run(&Options::default())
}

pub(crate) fn run(options: &Options) -> Result {
    if options.list {
        for scenario in scenarios::ALL {
            println!("{:16} {}", scenario.name, scenario.what);
        }
        return Ok(());
    }
    for name in &options.scenarios {
        ensure!(
            scenarios::ALL.iter().any(|scenario| scenario.name == name),
            "there is no scenario `{name}`; `cargo xtask e2e --list` shows them"
        );
    }
    for program in ["ffmpeg", "ffprobe", "node"] {
        ensure!(
            exists(program),
            "{program} is not here; `cargo xtask tools` installs it or says how"
        );
    }
    tools::npm_ci(&workspace::root().join("e2e"))?;
    let metadata = Metadata::load()?;
    let release = options.release || options.minutes.is_some();
    let binary = match &options.binary {
        // The server runs in a folder of its own.
        Some(path) => std::path::absolute(path).context(path.display())?,
        None => {
            // With the player library, so that the page is tested with it too.
            web::run()?;
            build(&metadata, release)?
        }
    };

    let mut failed = Vec::new();
    let mut passed = 0_u32;
    for scenario in scenarios::ALL {
        if !options.scenarios.is_empty() && !options.scenarios.iter().any(|it| it == scenario.name)
        {
            continue;
        }
        println!("-- {}: {}", scenario.name, scenario.what);
        let dir = metadata.target_dir()?.join("e2e").join(scenario.name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).context(dir.display())?;
        let start = Instant::now();
        let bench = Bench {
            binary: binary.clone(),
            dir,
            target: metadata.target_dir()?,
            release,
            minutes: options.minutes,
        };
        match (scenario.run)(&bench) {
            Ok(()) => {
                passed += 1;
                println!("   ok, {:.1} s", start.elapsed().as_secs_f64());
            }
            Err(failure) => {
                println!("   FAILED: {failure}");
                println!("   its logs are in {}", bench.dir.display());
                failed.push(scenario.name);
            }
        }
    }
    println!("e2e: {passed} passed, {} failed", failed.len());
    if !failed.is_empty() {
        fail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn build(metadata: &Metadata, release: bool) -> Result<PathBuf> {
    let mut cargo = Run::cargo().args(["build", "--quiet", "--locked", "-p", SERVER]);
    if release {
        cargo = cargo.arg("--release");
    }
    cargo.dir(workspace::root()).run()?;
    Ok(metadata
        .target_dir()?
        .join(if release { "release" } else { "debug" })
        .join("rillcast"))
}

/// Says one measured fact of a scenario.
fn note(text: impl std::fmt::Display) {
    println!("   {text}");
}

/// A log file of a scenario, for a child's output.
fn log_file(bench: &Bench, name: &str) -> Result<fs::File> {
    let path = bench.dir.join(name);
    fs::File::create(&path).context(path.display())
}

/// Prints the end of a log to help whoever reads only CI's.
fn tail(bench: &Bench, name: &str) -> String {
    let text = fs::read_to_string(bench.dir.join(name)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(15);
    lines.get(start..).unwrap_or_default().join("\n")
}

use process::wait_for;
