//! `cargo xtask loom`: the models in `core/src/bus/models`, which a model checker
//! runs through every order of their threads' steps.
//!
//! With `--mutations`, the proof that they can fail: each change in
//! `loom/mutations.rs` breaks one promise in a copy of the crate, and the model that
//! is named beside it has to find it.

mod mutations;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::process::{Context, Failure, Guard, Result, Run, ensure, wait_for};
use crate::workspace;
use mutations::{MUTATIONS, Mutation};

#[derive(Args)]
pub(crate) struct Options {
    /// Break the code in a copy, one promise at a time, and see that a model finds it.
    #[arg(long)]
    mutations: bool,
    /// Run only models, or mutations, with one of these in their names.
    names: Vec<String>,
}

/// A model that has not found what is wrong by then does not find it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);

/// Where the models stand.
const MODELS: &str = "bus::models";

pub(crate) fn run(options: &Options) -> Result {
    if options.mutations {
        return mutate(&options.names);
    }
    models(&options.names)
}

/// All models: a step of CI.
pub(crate) fn run_all() -> Result {
    models(&[])
}

fn models(names: &[String]) -> Result {
    let names = names.iter().map(String::as_str);
    let all = (names.len() == 0).then_some(MODELS);
    cargo(&workspace::root())
        .args(["--locked", "--"])
        .args(all.into_iter().chain(names))
        .run()
}

/// Compiles what is in `folder` for the model checker, in a place of its own
/// (`target/loom` there), so that no other build is taken for this one.
fn cargo(folder: &Path) -> Run {
    Run::cargo()
        .args(["test", "--release", "-p", "rillcast-core", "--lib"])
        .dir(folder)
        .env("RUSTFLAGS", "--cfg loom")
        .env("CARGO_TARGET_DIR", folder.join("target").join("loom"))
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
        // What a model finds is told by its message.
        .env("RUST_BACKTRACE", "0")
}

/// Where the copy stands.
fn mutated() -> PathBuf {
    workspace::root().join("target").join("mutated")
}

fn mutate(names: &[String]) -> Result {
    let chosen = |mutation: &&Mutation| {
        names.is_empty() || names.iter().any(|name| mutation.breaks.contains(name))
    };
    let chosen: Vec<&Mutation> = MUTATIONS.iter().filter(chosen).collect();
    ensure!(!chosen.is_empty(), "no mutation has such a name");
    let copy = copy()?;
    let shipped = Model::built(&copy)?;
    for model in chosen.iter().map(|it| it.found_by).collect::<BTreeSet<_>>() {
        let verdict = shipped.verdict(model)?;
        ensure!(
            verdict.is_none(),
            "{model} fails on what is shipped: {}",
            verdict.unwrap_or_default()
        );
    }
    let mut missed = Vec::new();
    for mutation in chosen {
        let path = copy.join("core/src").join(mutation.file);
        let shipped = fs::read_to_string(&path).context(path.display())?;
        let broken = mutation.apply(&shipped)?;
        fs::write(&path, broken).context(path.display())?;
        let verdict = Model::built(&copy).and_then(|model| model.verdict(mutation.found_by));
        fs::write(&path, shipped).context(path.display())?;
        match verdict? {
            Some(found) => println!("found   {}: {found}", mutation.breaks),
            None => {
                println!("MISSED  {}", mutation.breaks);
                missed.push(mutation.breaks);
            }
        }
    }
    ensure!(
        missed.is_empty(),
        "no model finds that: {}",
        missed.join("; ")
    );
    Ok(())
}

/// Copies the crate and what it takes to build it alone.
fn copy() -> Result<PathBuf> {
    let (root, copy) = (workspace::root(), mutated());
    let _ = fs::remove_dir_all(copy.join("core"));
    fs::create_dir_all(&copy).context(copy.display())?;
    let path = root.join("Cargo.toml");
    let manifest = fs::read_to_string(&path).context(path.display())?;
    let alone = alone(&manifest)
        .ok_or_else(|| Failure::new("Cargo.toml does not begin with the workspace's members"))?;
    let path = copy.join("Cargo.toml");
    fs::write(&path, alone).context(path.display())?;
    fs::create_dir_all(copy.join("fuzz")).context(copy.display())?;
    // The second is part of the tests of every crate that has fuzz targets.
    for file in ["Cargo.lock", "fuzz/replay.rs"] {
        fs::copy(root.join(file), copy.join(file)).context(file)?;
    }
    copy_folder(&root.join("core"), &copy.join("core"))?;
    Ok(copy)
}

/// The manifest of a workspace of the one crate.
fn alone(manifest: &str) -> Option<String> {
    let (before, rest) = manifest.split_once("members = [")?;
    let (_, package) = rest.split_once("\n[")?;
    Some(format!("{before}members = [\"core\"]\n\n[{package}"))
}

fn copy_folder(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to).context(to.display())?;
    for entry in fs::read_dir(from).context(from.display())? {
        let entry = entry.context(from.display())?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            fs::copy(&from, &to).context(from.display())?;
        }
    }
    Ok(())
}

/// The models, compiled.
struct Model {
    binary: PathBuf,
}

impl Model {
    fn built(folder: &Path) -> Result<Self> {
        let messages = cargo(folder)
            .args(["--offline", "--no-run", "--message-format", "json"])
            .output()?;
        let binary = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|it| it.get("executable")?.as_str().map(PathBuf::from))
            .next_back();
        let binary = binary.ok_or_else(|| Failure::new("cargo names no test binary"))?;
        Ok(Self { binary })
    }

    /// What the model of that name finds wrong, if it does.
    fn verdict(&self, name: &str) -> Result<Option<String>> {
        let log = mutated().join("model.log");
        let file = fs::File::create(&log).context(log.display())?;
        let errors = file.try_clone().context(log.display())?;
        let name = format!("{MODELS}::{name}");
        let mut command = Command::new(&self.binary);
        command
            .args(["--exact", &name, "--nocapture"])
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors);
        let mut model = Guard::spawn(&name, &mut command)?;
        let ended = wait_for(PATIENCE, &name, || Ok(model.ended()));
        let text = fs::read(&log).context(log.display())?;
        let text = String::from_utf8_lossy(&text);
        ensure!(text.contains("running 1 test"), "there is no model {name}");
        let Ok(status) = ended else {
            return Ok(None);
        };
        if status.success() {
            return Ok(None);
        }
        // The line after the place is what loom, or an assertion, says.
        let mut lines = text.lines();
        let panicked = lines.find(|line| line.contains(" panicked at "));
        ensure!(panicked.is_some(), "{name} ended with {status}:\n{text}");
        Ok(Some(lines.next().unwrap_or_default().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that does not fit any more would be found only by who runs them.
    #[test]
    fn every_mutation_fits_the_code_and_names_a_model() {
        for mutation in MUTATIONS {
            let core = workspace::root().join("core/src");
            let code = fs::read_to_string(core.join(mutation.file)).unwrap();
            mutation.apply(&code).unwrap();
            let (file, test) = mutation.found_by.split_once("::").unwrap();
            let models = core.join("bus/models").join(file).with_extension("rs");
            let models = fs::read_to_string(models).unwrap();
            assert!(models.contains(&format!("fn {test}()")), "{test}");
        }
    }
}
