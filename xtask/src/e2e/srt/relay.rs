//! The bad network of `bench/src/bin/relay` as a process.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::super::Bench;
use crate::process::{Context, Guard, Result, Run, ensure, fail};
use crate::workspace;

/// What it is called, in the package of the benchmarks.
const BINARY: &str = "relay";

pub(super) struct Relay {
    guard: Guard,
    output: BufReader<ChildStdout>,
    address: String,
}

impl Relay {
    /// Starts one between its address and `to`, with the options of the program.
    pub(super) fn start(bench: &Bench, to: &str, options: &[(&str, String)]) -> Result<Self> {
        let mut cargo = Run::cargo()
            .args(["build", "--quiet", "--locked", "-p", "rillcast-bench"])
            .args(["--bin", BINARY]);
        if bench.release {
            cargo = cargo.arg("--release");
        }
        cargo.dir(workspace::root()).run()?;
        let profile = if bench.release { "release" } else { "debug" };
        let mut command = Command::new(bench.target.join(profile).join(BINARY));
        command.args(["--to", to]);
        for (name, value) in options {
            command.args([name, value.as_str()]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut guard = Guard::spawn(BINARY, &mut command)?;
        let Some(output) = guard.child().stdout.take() else {
            fail!("the relay has no output");
        };
        let mut output = BufReader::new(output);
        let address = line(&mut output)?;
        ensure!(!address.is_empty(), "the relay did not start");
        Ok(Self {
            guard,
            output,
            address,
        })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Ends it; what it did to the datagrams.
    pub(super) fn stop(mut self) -> Result<Value> {
        // It ends with its input.
        drop(self.guard.child().stdin.take());
        let counts = serde_json::from_str(&line(&mut self.output)?)?;
        self.guard.wait(Duration::from_secs(5))?;
        Ok(counts)
    }
}

fn line(output: &mut BufReader<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    output.read_line(&mut line).context(BINARY)?;
    Ok(line.trim().to_owned())
}
