//! Subsets of the server's features: each must build alone, and its binary must
//! link exactly the plugins that its features name.
//!
//! There are 2^n of them. `cargo xtask matrix` builds them all; CI those that differ
//! from nothing or from everything by one feature at most, which is where a plugin
//! shows that it leans on another.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::process::{Result, Run, ensure};
use crate::workspace::{self, Metadata, SERVER};

/// All of them.
pub(crate) fn run() -> Result {
    subsets(|_, _| true)
}

/// A step of CI.
pub(crate) fn short() -> Result {
    subsets(|chosen, all| chosen <= 1 || chosen + 1 >= all)
}

/// Builds those whose number of features, of all that there are, is `wanted`.
fn subsets(wanted: impl Fn(usize, usize) -> bool) -> Result {
    let metadata = Metadata::load()?;
    let features: Vec<String> = metadata.plugin_features()?.into_iter().collect();
    let mut built = 0_u32;
    // The full set comes last: what runs after this task finds its binary.
    for bits in 0..1_u32 << features.len() {
        let chosen: BTreeSet<&str> = features
            .iter()
            .enumerate()
            .filter(|(i, _)| bits & (1 << i) != 0)
            .map(|(_, name)| name.as_str())
            .collect();
        if !wanted(chosen.len(), features.len()) {
            continue;
        }
        let binary = build(&metadata, &chosen)?;
        let linked = plugins(&binary)?;
        let linked: BTreeSet<&str> = linked.iter().map(String::as_str).collect();
        ensure!(
            linked == chosen,
            "a server with the features {chosen:?} links the plugins {linked:?}"
        );
        built += 1;
    }
    println!("matrix: {built} passed, 0 failed");
    Ok(())
}

/// Builds the server with exactly these features and returns its binary. Not
/// with `--workspace`: that would unify the features of all members.
fn build(metadata: &Metadata, features: &BTreeSet<&str>) -> Result<PathBuf> {
    let list = features.iter().copied().collect::<Vec<_>>().join(",");
    Run::cargo()
        .args([
            "build",
            "--quiet",
            "--locked",
            "-p",
            SERVER,
            "--no-default-features",
        ])
        .args(["--features", &list])
        .dir(workspace::root())
        .run()?;
    Ok(metadata.target_dir()?.join("debug/rillcast"))
}

/// The names that `rillcast plugins` prints, one at the beginning of each line.
pub(crate) fn plugins(binary: &PathBuf) -> Result<Vec<String>> {
    let text = Run::new(binary).arg("plugins").output()?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(Into::into)
        .collect())
}
