//! The bus under stress: builds and runs `bench/src/bin/stress`, optimised, which
//! says in a sentence which invariant was violated.

use clap::Args;

use crate::process::{Result, Run};
use crate::workspace::{self, Metadata};

#[derive(Args)]
pub(crate) struct Options {
    /// How long.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// What to hand on to it, such as `--seed`.
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result {
    stress(options.minutes.saturating_mul(60), &options.args)
}

/// As long as CI has time for.
pub(crate) fn short() -> Result {
    stress(15, &[])
}

fn stress(seconds: u64, args: &[String]) -> Result {
    Run::cargo()
        .args(["build", "--quiet", "--locked", "--release"])
        .args(["-p", "rillcast-bench", "--bin", "stress"])
        .dir(workspace::root())
        .run()?;
    let folder = Metadata::load()?.target_dir()?.join("release");
    Run::new(folder.join("stress"))
        .args(["--seconds", &seconds.to_string()])
        .args(args)
        .run()
}
