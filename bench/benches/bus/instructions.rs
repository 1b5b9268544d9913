//! Instructions for each delivery, counted by valgrind: they do not depend on
//! what else the machine does.

use std::env;
use std::process::Command;

use rillcast_bench::{Error, Result};

use crate::rounds::precise;
use crate::ways::Way;

/// Subscribers while instructions are counted.
pub(crate) const SUBSCRIBERS: usize = 500;

/// Frames of the shorter and of the longer run; what both have is the set-up.
const FRAMES: [usize; 2] = [100, 300];

/// Instructions for each delivery of `way`.
pub(crate) fn count(way: Way) -> Result<f64> {
    let [short, long] = FRAMES;
    let more = run(way, long)?.saturating_sub(run(way, short)?);
    Ok(precise(more) / precise((long - short) * SUBSCRIBERS))
}

fn run(way: Way, frames: usize) -> Result<usize> {
    let own = env::current_exe().map_err(Error::of("the benchmark's own program"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["--once", way.option(), "--frames", &frames.to_string()])
        .output()
        .map_err(Error::of("valgrind, which `--instructions` needs"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let counted = text.lines().find_map(|line| line.split_once("Collected :"));
    let counted = counted.and_then(|(_, count)| count.trim().parse().ok());
    counted.ok_or_else(|| Error::new(format!("valgrind counted nothing: {text}")))
}
