//! A rillcast server with all of its own plugins and one of a third party's. The
//! `use` line links it: naming the crate in Cargo.toml alone would not.
#![forbid(unsafe_code)]

use acme_ingest as _;

fn main() -> std::process::ExitCode {
    rillcast_server::main()
}
