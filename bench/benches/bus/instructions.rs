//! Instructions for each delivery and for each call of the publisher, counted
//! by valgrind: they do not depend on what else the machine does.

use std::env;
use std::process::Command;

use rillcast_bench::{Error, Result};

use crate::rounds::precise;
use crate::ways::Way;

/// Subscribers while instructions are counted.
pub(crate) const SUBSCRIBERS: usize = 500;

/// GOPs of the shorter and of the longer run; what both have is the set-up.
const GOPS: [usize; 2] = [1, 3];

/// What of the program is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it, for each delivery.
    Delivery,
    /// The publisher's call, for each frame.
    Publish,
}

/// Instructions of `way`.
pub(crate) fn count(way: Way, part: Part) -> Result<f64> {
    let [short, long] = GOPS;
    let more = run(way, part, long)?.saturating_sub(run(way, part, short)?);
    let frames = (long - short) * crate::frames::GOP;
    let each = match part {
        Part::Delivery => frames * SUBSCRIBERS,
        Part::Publish => frames,
    };
    Ok(precise(more) / precise(each))
}

fn run(way: Way, part: Part, gops: usize) -> Result<usize> {
    let own = env::current_exe().map_err(Error::of("the benchmark's own program"))?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    if part == Part::Publish {
        // `Source::publish`, which is kept apart for this.
        valgrind.arg("--toggle-collect=*Source*publish*");
    }
    let output = valgrind
        .arg(own)
        .args(["--once", &way.option(), "--gops", &gops.to_string()])
        .output()
        .map_err(Error::of("valgrind, which `--instructions` needs"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let counted = text.lines().find_map(|line| line.split_once("Collected :"));
    let counted = counted.and_then(|(_, count)| count.trim().parse().ok());
    counted.ok_or_else(|| Error::new(format!("valgrind counted nothing: {text}")))
}
