//! The hostile suite of `bench/src/bin/hostile`: thirty good streams, over RTMP and
//! SRT, their viewers, and everything that a stranger may do to a server meanwhile.

use super::Bench;
use crate::process::{Result, Run};
use crate::workspace;

/// What the suite is called, in the package of the benchmarks.
const BINARY: &str = "hostile";

pub(crate) fn run(bench: &Bench) -> Result {
    let mut cargo = Run::cargo()
        .args(["build", "--quiet", "--locked", "-p", "rillcast-bench"])
        .args(["--bin", BINARY]);
    // Its own time is not the server's, and must not be the machine's either.
    if bench.release {
        cargo = cargo.arg("--release");
    }
    cargo.dir(workspace::root()).run()?;
    let profile = if bench.release { "release" } else { "debug" };
    let mut suite = Run::new(bench.target.join(profile).join(BINARY))
        .arg("--server")
        .arg(&bench.binary)
        .arg("--folder")
        .arg(&bench.dir);
    if let Some(minutes) = bench.minutes {
        suite = suite.args(["--minutes", &minutes.to_string()]);
    }
    suite.run()
}
