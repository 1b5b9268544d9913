//! Runs the bodies of fuzz targets on what is committed for them: the corpus in
//! `fuzz/corpus/TARGET`, and what was found and mended in `fuzz/findings/TARGET`.
//! Every crate that has bodies includes this file into its tests.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The body of a target: it panics if what must hold does not.
pub(crate) type Body = fn(&[u8]);

/// Runs each body on each file of its target. A target is named
/// `{prefix}_{name}`; one without files, or files without a body, is a failure.
pub(crate) fn replay(prefix: &str, bodies: &[(&str, Body)]) {
    let targets = bodies.iter().map(|(name, _)| format!("{prefix}_{name}"));
    let targets: Vec<String> = targets.collect();
    for folder in files(&folder("corpus"))
        .into_iter()
        .chain(files(&folder("findings")))
    {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let ours = name.starts_with(&format!("{prefix}_"));
        assert!(
            !ours || targets.iter().any(|target| *target == name),
            "{} has no body that runs it",
            folder.display()
        );
    }
    for ((_, body), target) in bodies.iter().zip(&targets) {
        let corpus = files(&folder("corpus").join(target));
        assert!(
            !corpus.is_empty(),
            "fuzz/corpus/{target} is missing or empty"
        );
        let findings = files(&folder("findings").join(target));
        for path in corpus.iter().chain(&findings) {
            let data = fs::read(path).unwrap();
            let survived = catch_unwind(AssertUnwindSafe(|| body(&data)));
            assert!(survived.is_ok(), "{target} fails on {}", path.display());
        }
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz")
        .join(name)
}

/// What is in `folder`, by name; nothing if it does not exist.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
