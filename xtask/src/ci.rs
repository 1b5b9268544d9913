//! What CI runs, in its order: cheap checks first, then what builds, then what
//! plays. `.ci/run` calls this and nothing else.

use std::time::{Duration, Instant};

use clap::Args;

use crate::process::{Failure, Result, ensure};
use crate::{bench, checks, e2e, loom, matrix, out_of_tree, stress, tidy, tools, web};

#[derive(Args)]
pub(crate) struct Options {
    /// Print the steps and stop.
    #[arg(long)]
    list: bool,
    /// Run only these steps.
    #[arg(value_name = "STEP")]
    steps: Vec<String>,
}

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result,
}

const STEPS: &[Step] = &[
    Step {
        name: "tools",
        what: "install what the steps below need",
        run: tools::install,
    },
    Step {
        name: "fmt",
        what: "cargo fmt --check",
        run: checks::fmt,
    },
    Step {
        name: "tidy",
        what: "the invariants of ARCHITECTURE.md",
        run: tidy::run,
    },
    Step {
        name: "deny",
        what: "licences, sources and bans of dependencies",
        run: checks::deny,
    },
    Step {
        name: "web",
        what: "the player library, from npm",
        run: web::run,
    },
    Step {
        name: "clippy",
        what: "clippy on everything, warnings are errors",
        run: checks::clippy,
    },
    Step {
        name: "doc",
        what: "rustdoc, warnings are errors",
        run: checks::doc,
    },
    Step {
        name: "test",
        what: "cargo test --workspace",
        run: checks::test,
    },
    Step {
        name: "instructions",
        what: "what the bus takes beside tokio's ring, counted by valgrind",
        run: bench::gate,
    },
    Step {
        name: "loom",
        what: "models of the bus, in every order of their steps",
        run: loom::run_all,
    },
    Step {
        name: "stress",
        what: "the bus under stress, and its memory, for a quarter of a minute",
        run: stress::short,
    },
    Step {
        name: "matrix",
        what: "every subset of the server's features",
        run: matrix::run,
    },
    Step {
        name: "out-of-tree",
        what: "the third party's plugins and server",
        run: out_of_tree::run,
    },
    Step {
        name: "e2e",
        what: "FFmpeg in, a browser and other players out",
        run: e2e::run_all,
    },
];

pub(crate) fn run(options: &Options) -> Result {
    if options.list {
        for step in STEPS {
            println!("{:12} {}", step.name, step.what);
        }
        return Ok(());
    }
    for name in &options.steps {
        ensure!(
            STEPS.iter().any(|step| step.name == name),
            "there is no step `{name}`; `cargo xtask ci --list` shows them"
        );
    }
    let chosen =
        |step: &&Step| options.steps.is_empty() || options.steps.iter().any(|it| it == step.name);
    let mut results: Vec<(&Step, Duration, Option<Failure>)> = Vec::new();
    for step in STEPS.iter().filter(chosen) {
        println!("\n== {}: {}", step.name, step.what);
        let start = Instant::now();
        let failure = (step.run)().err();
        if let Some(failure) = &failure {
            println!("== {} failed: {failure}", step.name);
        }
        results.push((step, start.elapsed(), failure));
    }

    println!("\n== summary");
    for (step, took, failure) in &results {
        let verdict = if failure.is_some() { "FAILED" } else { "ok" };
        println!("{:12} {verdict:6} {:6.1} s", step.name, took.as_secs_f64());
    }
    let failed = results
        .iter()
        .filter(|(.., failure)| failure.is_some())
        .count();
    ensure!(failed == 0, "{failed} of {} steps failed", results.len());
    Ok(())
}
