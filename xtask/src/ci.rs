//! What CI runs, in its order: cheap checks first, then what builds, then what
//! plays. `.ci/run` calls this and nothing else.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;

use crate::process::{Context, Result, ensure};
use crate::{bench, checks, e2e, loom, matrix, out_of_tree, stress, tidy, tools, web, workspace};

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
    /// Whether it takes no notice of what else the machine does: such neighbours run
    /// beside each other.
    beside: bool,
}

const STEPS: &[Step] = &[
    Step {
        name: "tools",
        what: "install what the steps below need",
        run: tools::install,
        beside: false,
    },
    Step {
        name: "fmt",
        what: "cargo fmt --check",
        run: checks::fmt,
        beside: false,
    },
    Step {
        name: "tidy",
        what: "the invariants of ARCHITECTURE.md",
        run: tidy::run,
        beside: false,
    },
    Step {
        name: "deny",
        what: "licences, sources and bans of dependencies",
        run: checks::deny,
        beside: false,
    },
    Step {
        name: "web",
        what: "the player library, from npm",
        run: web::run,
        beside: false,
    },
    Step {
        name: "clippy",
        what: "clippy on everything, warnings are errors",
        run: checks::clippy,
        beside: false,
    },
    Step {
        name: "doc",
        what: "rustdoc, warnings are errors",
        run: checks::doc,
        beside: false,
    },
    Step {
        name: "test",
        what: "cargo test --workspace",
        run: checks::test,
        beside: false,
    },
    Step {
        name: "instructions",
        what: "what the bus takes beside tokio's ring, counted by valgrind",
        run: bench::gate,
        beside: true,
    },
    Step {
        name: "loom",
        what: "models of the bus, in every order of their steps",
        run: loom::run_all,
        beside: true,
    },
    Step {
        name: "matrix",
        what: "the server without features, with one, without one and with all",
        run: matrix::short,
        beside: true,
    },
    Step {
        name: "stress",
        what: "the bus under stress, and its memory, for a quarter of a minute",
        run: stress::short,
        beside: false,
    },
    Step {
        name: "out-of-tree",
        what: "the third party's plugins and server",
        run: out_of_tree::run,
        beside: false,
    },
    Step {
        name: "e2e",
        what: "FFmpeg in, a browser and other players out",
        run: e2e::run_all,
        beside: false,
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
    let steps: Vec<&Step> = STEPS.iter().filter(chosen).collect();
    let mut results: Vec<Done<'_>> = Vec::new();
    for neighbours in steps.chunk_by(|one, next| one.beside && next.beside) {
        match neighbours {
            [step] => results.push(alone(step)),
            many => results.extend(beside_each_other(many)),
        }
    }

    println!("\n== summary");
    for done in &results {
        let verdict = if done.passed { "ok" } else { "FAILED" };
        let took = done.took.as_secs_f64();
        println!("{:12} {verdict:6} {took:6.1} s", done.step.name);
    }
    let failed = results.iter().filter(|done| !done.passed).count();
    ensure!(results.len() == steps.len(), "not every step was run");
    ensure!(failed == 0, "{failed} of {} steps failed", results.len());
    Ok(())
}

/// How a step ended.
struct Done<'a> {
    step: &'a Step,
    took: Duration,
    passed: bool,
}

fn alone(step: &Step) -> Done<'_> {
    println!("\n== {}: {}", step.name, step.what);
    let start = Instant::now();
    let failure = (step.run)().err();
    if let Some(failure) = &failure {
        println!("== {} failed: {failure}", step.name);
    }
    Done {
        step,
        took: start.elapsed(),
        passed: failure.is_none(),
    }
}

/// Two at a time, each in a process of its own, whose output is shown when it has ended.
fn beside_each_other<'a>(steps: &[&'a Step]) -> Vec<Done<'a>> {
    let waiting = Mutex::new(steps.iter());
    let results = Mutex::new(Vec::new());
    let next = || waiting.lock().ok().and_then(|mut steps| steps.next());
    let work = || {
        while let Some(step) = next() {
            let start = Instant::now();
            let (passed, text) = match apart(step) {
                Ok(output) => output,
                Err(failure) => (false, format!("== {} failed: {failure}", step.name)),
            };
            let took = start.elapsed();
            if let Ok(mut results) = results.lock() {
                println!("{text}");
                results.push(Done { step, took, passed });
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    results.into_inner().unwrap_or_default()
}

/// Runs a step by this program, and returns whether it passed and what it printed.
fn apart(step: &Step) -> Result<(bool, String)> {
    let program = std::env::current_exe().context("the path of xtask")?;
    let folder = workspace::root().join("target").join("ci");
    fs::create_dir_all(&folder).context(folder.display())?;
    let path = folder.join(format!("{}.log", step.name));
    let file = File::create(&path).context(path.display())?;
    let errors = file.try_clone().context(path.display())?;
    let status = Command::new(program)
        .args(["ci", step.name])
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .status()
        .context(step.name)?;
    let text = fs::read(&path).context(path.display())?;
    Ok((
        status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}
