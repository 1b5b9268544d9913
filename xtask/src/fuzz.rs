//! `cargo xtask fuzz`: the targets in `fuzz/`, one after the other.
//!
//! What a target runs lives in a crate (`src/fuzz.rs`), where `cargo test` runs it
//! on what is committed in `fuzz/corpus` and `fuzz/findings`. Here libFuzzer looks
//! for more: what it learns stays in `fuzz/target/corpus`, and an input that fails
//! lands in `fuzz/findings`, to be committed with the mend. The server holds no
//! unsafe code, so no sanitizer is needed, and stable Rust will do.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::process::{Context, Failure, Result, Run, ensure, fail};
use crate::{tools, workspace};

#[derive(Args)]
pub(crate) struct Options {
    /// The targets to run; all if none is named.
    targets: Vec<String>,
    /// How long each one runs.
    #[arg(long, default_value_t = 1)]
    minutes: u32,
    /// List the targets and stop.
    #[arg(long)]
    list: bool,
    /// Do not run: make the committed corpus the fewest small inputs that reach
    /// all that is known to be reachable.
    #[arg(long)]
    minimise: bool,
}

/// An input that takes longer is a finding.
const SECONDS_PER_INPUT: u32 = 5;

/// A target that takes more is a finding.
const MEMORY_MB: u32 = 1_024;

pub(crate) fn run(options: &Options) -> Result {
    let all = targets()?;
    if options.list {
        println!("{}", all.join("\n"));
        return Ok(());
    }
    for name in &options.targets {
        ensure!(
            all.contains(name),
            "there is no target `{name}`; `cargo xtask fuzz --list` shows them"
        );
    }
    let chosen = |name: &&String| options.targets.is_empty() || options.targets.contains(name);
    let cargo_fuzz = tools::cargo_fuzz()?;
    // The versions are those of this workspace.
    fs::copy(
        workspace::root().join("Cargo.lock"),
        dir().join("Cargo.lock"),
    )
    .context("fuzz/Cargo.lock")?;
    let host = host()?;
    let mut failed = Vec::new();
    for name in all.iter().filter(chosen) {
        Run::new(&cargo_fuzz)
            // The profile in fuzz/Cargo.toml has what is to be asserted.
            .args(["fuzz", "build", "--release", "--sanitizer", "none", name])
            .dir(dir())
            .run_quietly()?;
        let binary = dir().join("target").join(&host).join("release").join(name);
        let target = Target { name, binary };
        let done = match options.minimise {
            true => target.minimise(),
            false => target.run(options.minutes),
        };
        if let Err(failure) = done {
            println!("{failure}");
            failed.push(name.as_str());
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// One target, built.
struct Target<'a> {
    name: &'a str,
    binary: PathBuf,
}

impl Target<'_> {
    /// Looks for new inputs, and says in a line what came of it.
    fn run(&self, minutes: u32) -> Result {
        let (learned, corpus, findings) = (
            self.folder("target/corpus"),
            self.folder("corpus"),
            self.folder("findings"),
        );
        fs::create_dir_all(&learned).context(learned.display())?;
        fs::create_dir_all(&findings).context(findings.display())?;
        let before = count(&findings);
        let mut args = vec![
            format!("-max_total_time={}", u64::from(minutes) * 60),
            format!("-timeout={SECONDS_PER_INPUT}"),
            format!("-rss_limit_mb={MEMORY_MB}"),
            format!("-artifact_prefix={}/", findings.display()),
        ];
        // Without a sanitizer nothing tells libFuzzer what strings are compared with.
        let dictionary = self.folder("dictionaries").with_extension("dict");
        if dictionary.is_file() {
            args.push(format!("-dict={}", dictionary.display()));
        }
        for folder in [&learned, &corpus, &findings] {
            args.push(folder.display().to_string());
        }
        let log = self.fuzz(&args);
        let found = count(&findings).saturating_sub(before);
        // Only there if there is something in it: an empty folder is none to git.
        let _ = fs::remove_dir(&findings);
        let log = log.map_err(|log| {
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            Failure::new(format!(
                "{}\n{}: {found} new in fuzz/findings/{}",
                tail.join("\n"),
                self.name,
                self.name
            ))
        })?;
        println!("{:24} {}", self.name, figures(&log));
        Ok(())
    }

    /// Makes the committed corpus the least one.
    fn minimise(&self) -> Result {
        let (learned, corpus, least) = (
            self.folder("target/corpus"),
            self.folder("corpus"),
            self.folder("target/least"),
        );
        let _ = fs::remove_dir_all(&least);
        for folder in [&least, &learned, &corpus] {
            fs::create_dir_all(folder).context(folder.display())?;
        }
        let merged = self.fuzz(&[
            "-merge=1".to_owned(),
            "-set_cover_merge=1".to_owned(),
            // Reached or not is what counts, not how often.
            "-use_counters=0".to_owned(),
            least.display().to_string(),
            corpus.display().to_string(),
            learned.display().to_string(),
        ]);
        merged.map_err(|log| Failure::new(format!("{log}\n{}: cannot be minimised", self.name)))?;
        ensure!(count(&least) > 0, "{}: nothing is left", self.name);
        fs::remove_dir_all(&corpus).context(corpus.display())?;
        fs::rename(&least, &corpus).context(corpus.display())?;
        println!("{:24} {} inputs", self.name, count(&corpus));
        Ok(())
    }

    /// Runs the binary and returns its log; `Err` has it too.
    fn fuzz(&self, args: &[String]) -> std::result::Result<String, String> {
        let path = self.folder("target/logs").with_extension("log");
        let run = || -> Result<bool> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).context(folder.display())?;
            }
            let log = File::create(&path).context(path.display())?;
            println!("$ {} {}", self.name, args.join(" "));
            let status = Command::new(&self.binary)
                .args(args)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .status()
                .context(self.binary.display())?;
            Ok(status.success())
        };
        let survived = run().map_err(|failure| failure.to_string())?;
        let log = fs::read(&path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        if survived { Ok(log) } else { Err(log) }
    }

    fn folder(&self, kind: &str) -> PathBuf {
        dir().join(kind).join(self.name)
    }
}

/// The numbers of libFuzzer's last line: executions, what they reached, and how
/// many inputs that takes.
fn figures(log: &str) -> String {
    let is_figures = |line: &&str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    let last = log.lines().rev().find(is_figures);
    let mut words = last.unwrap_or_default().split_whitespace();
    let executions = words.next().unwrap_or_default().trim_start_matches('#');
    let words: Vec<&str> = words.collect();
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name);
        at.and_then(|at| words.get(at + 1)).unwrap_or(&"?")
    };
    format!(
        "{executions:>12} executions, cov {}, ft {}, corpus {}, {}/s, {}",
        value("cov:"),
        value("ft:"),
        value("corp:"),
        value("exec/s:"),
        value("rss:")
    )
}

/// Every target, by the files in `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>> {
    let folder = dir().join("fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).context(folder.display())? {
        let path = entry.context(folder.display())?.path();
        if path.extension().is_some_and(|end| end == "rs")
            && let Some(name) = path.file_stem()
        {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// What cargo-fuzz builds for if nothing else is said.
fn host() -> Result<String> {
    let version = Run::new("rustc").arg("-vV").output()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    match host {
        Some(host) => Ok(host.to_owned()),
        None => fail!("rustc does not say what it builds for:\n{version}"),
    }
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

fn dir() -> PathBuf {
    workspace::root().join("fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target that is missing somewhere would silently not be run.
    #[test]
    fn every_target_is_built_has_a_corpus_and_is_replayed() {
        let manifest = fs::read_to_string(dir().join("Cargo.toml")).unwrap();
        let targets = targets().unwrap();
        assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
        for name in targets {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
            assert!(count(&dir().join("corpus").join(&name)) > 0, "{name}");
            let (prefix, body) = name.split_once('_').unwrap();
            let home = match prefix {
                "rtmp" => "ingest-rtmp",
                "srt" => "ingest-srt",
                other => other,
            };
            let tests = workspace::root().join(home).join("src/fuzz/tests.rs");
            let tests = fs::read_to_string(tests).unwrap();
            assert!(tests.contains(&format!("(\"{body}\", {body})")), "{name}");
        }
    }

    #[test]
    fn the_last_line_has_the_figures() {
        let log = "#2\tINITED cov: 1 ft: 1 corp: 1/1b exec/s: 0 rss: 27Mb\n\
                   #900\tDONE   cov: 219 ft: 1104 corp: 340/35Kb lim: 2457 exec/s: 90 rss: 28Mb\n\
                   ###### Recommended dictionary. ######\n\
                   ###### End of recommended dictionary. ######\n\
                   Done 900 runs in 10 second(s)\n";
        assert_eq!(
            figures(log).trim(),
            "900 executions, cov 219, ft 1104, corpus 340/35Kb, 90/s, 28Mb"
        );
    }
}
