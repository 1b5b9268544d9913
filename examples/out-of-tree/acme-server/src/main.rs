//! A rillcast server with all of its own plugins and two of a third party's. A
//! `use` line links each: naming the crate in Cargo.toml alone would not.
#![forbid(unsafe_code)]

use acme_egress as _;
use acme_ingest as _;

fn main() -> std::process::ExitCode {
    rillcast_server::main()
}
