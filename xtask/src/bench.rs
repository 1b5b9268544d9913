//! Benchmarks are `[[bench]]` targets of the crate that they measure; this task
//! finds them by `cargo metadata`, so a new one needs no line here.

use clap::Args;

use crate::process::{Result, Run, ensure, fail};
use crate::tools;
use crate::workspace::{self, Metadata};

#[derive(Args)]
pub(crate) struct Options {
    /// The benchmark to run; without it they are listed.
    name: Option<String>,
    /// What to hand on to it.
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result {
    let mut benches = Vec::new();
    for package in Metadata::load()?.packages() {
        for target in package.targets.iter().filter(|target| target.is("bench")) {
            benches.push((target.name.clone(), package.name.clone()));
        }
    }
    benches.sort();
    let Some(name) = &options.name else {
        if benches.is_empty() {
            println!("No crate has a benchmark yet.");
        }
        for (bench, package) in &benches {
            println!("{bench:20} {package}");
        }
        return Ok(());
    };
    let mut found = benches.iter().filter(|(bench, _)| bench == name);
    let Some((bench, package)) = found.next() else {
        fail!("there is no benchmark `{name}`; `cargo xtask bench` lists them");
    };
    ensure!(
        found.next().is_none(),
        "two crates have a benchmark `{name}`"
    );
    Run::cargo()
        .args(["bench", "--locked", "-p", package, "--bench", bench, "--"])
        .args(&options.args)
        .dir(workspace::root())
        .run()
}

/// The gate of CI: what the bus takes beside others, in instructions. Never in
/// time, which depends on the machine and on what else it does.
pub(crate) fn gate() -> Result {
    if !tools::in_path("valgrind") {
        println!("Not done: valgrind, which counts instructions, is not here.");
        return Ok(());
    }
    run(&Options {
        name: Some("bus".to_owned()),
        args: vec!["--instructions".to_owned()],
    })
}
