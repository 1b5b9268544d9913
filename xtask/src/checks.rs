//! The checks that cargo and its plugins do: format, lints, documentation,
//! tests, dependencies.

use crate::process::{Result, Run};
use crate::{tidy, tools, workspace};

/// `cargo xtask check`.
pub(crate) fn all() -> Result {
    fmt()?;
    tidy::run()?;
    clippy()?;
    doc()
}

pub(crate) fn fmt() -> Result {
    cargo("fmt").args(["--all", "--check"]).run()?;
    cargo("fmt")
        .args(["--all", "--check", "--manifest-path"])
        .arg(workspace::EXAMPLE)
        .run()?;
    cargo("fmt")
        .args(["--check", "--manifest-path", "fuzz/Cargo.toml"])
        .run()
}

pub(crate) fn clippy() -> Result {
    cargo("clippy")
        .args([
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ])
        .run()
}

pub(crate) fn doc() -> Result {
    cargo("doc")
        .args(["--workspace", "--no-deps", "--locked"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
}

/// Property tests draw the same inputs each time here, so that a commit that
/// passed once passes again. To look for new ones is `cargo xtask fuzz`'s work,
/// and that of a bare `cargo test`, which draws anew.
pub(crate) fn test() -> Result {
    let seed = std::env::var("PROPTEST_RNG_SEED").unwrap_or_else(|_| "20261122".to_owned());
    let test = cargo("test").args(["--workspace", "--locked"]);
    test.env("PROPTEST_RNG_SEED", seed).run()
}

/// `cargo xtask settings`: the test that compares the reference writes it if it
/// is asked to.
pub(crate) fn settings() -> Result {
    cargo("test")
        .args(["-p", "rillcast-server", "--locked", "--lib"])
        .arg("the_reference_in_the_docs_is_that_of_the_examples")
        .env("RILLCAST_WRITE_SETTINGS", "1")
        .run()
}

/// Advisories are left out: they need a database from the network, and a new
/// entry there must not fail an old commit. `cargo deny check advisories` asks.
pub(crate) fn deny() -> Result {
    Run::new(tools::cargo_deny()?)
        .args(["--locked", "--workspace", "check", "--hide-inclusion-graph"])
        .args(["bans", "licenses", "sources"])
        .dir(workspace::root())
        .run()
}

fn cargo(command: &str) -> Run {
    Run::cargo().arg(command).dir(workspace::root())
}
