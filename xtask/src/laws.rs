//! The laws of playlists over random streams: the property tests of `egress-hls`,
//! optimised, over many more streams than `cargo test` has time for.

use clap::Args;

use crate::process::{Result, Run};
use crate::workspace;

#[derive(Args)]
pub(crate) struct Options {
    /// How many random streams.
    #[arg(long, default_value_t = 10_000)]
    streams: u32,
}

pub(crate) fn run(options: &Options) -> Result {
    Run::cargo()
        .args(["test", "--locked", "--release", "-p", "rillcast-egress-hls"])
        .args(["--lib", "--", "--nocapture", "law", "windows"])
        .env("RILLCAST_STREAMS", options.streams.to_string())
        .dir(workspace::root())
        .run()
}
