//! The invariants of ARCHITECTURE.md that a program can check, and the habits
//! of the house that no lint knows.
//!
//! `tidy/source.rs` reads a source file into code, comments and tests;
//! `tidy/files.rs` has the rules for one file, `tidy/crates.rs` those for the
//! crates, their manifests and what lies beside them. A rule is a function that
//! reports what it found; it knows crates by their role, so a new plugin is
//! checked from its first file on.

mod crates;
mod files;
mod source;

use std::path::Path;

use crate::process::{Result, Run, ensure};
use crate::workspace::{self, Metadata};
use source::Source;

/// What the rules found, as `path:line: what is wrong and what to do`.
#[derive(Default)]
pub(crate) struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, path: impl AsRef<Path>, line: usize, text: impl std::fmt::Display) {
        self.0
            .push(format!("{}:{line}: {text}", path.as_ref().display()));
    }
}

pub(crate) fn run() -> Result {
    let metadata = Metadata::load()?;
    let mut findings = Findings::default();
    let mut count = 0_usize;
    for path in rust_files()? {
        // Deleted, but not yet in a commit.
        let Ok(text) = std::fs::read_to_string(workspace::root().join(&path)) else {
            continue;
        };
        files::check(&Source::new(path, text), &mut findings);
        count += 1;
    }
    crates::check(&metadata, &mut findings)?;
    for finding in &findings.0 {
        println!("{finding}");
    }
    ensure!(findings.0.is_empty(), "{} things to tidy", findings.0.len());
    println!("{count} files are tidy");
    Ok(())
}

/// All Rust files that git knows or would add, relative to the root.
fn rust_files() -> Result<Vec<String>> {
    let list = Run::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.rs",
        ])
        .dir(workspace::root())
        .output()?;
    Ok(list.lines().map(Into::into).collect())
}
