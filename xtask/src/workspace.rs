//! What the tasks need to know about the workspace: where it is, which packages
//! and features it has. Everything is read from `cargo metadata`, so that a new
//! plugin changes nothing here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{Failure, Result, Run};

/// The package that links the plugins into the binary.
pub(crate) const SERVER: &str = "rillcast-server";

/// The manifest of the third party's workspace.
pub(crate) const EXAMPLE: &str = "examples/out-of-tree/Cargo.toml";

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where the tasks keep tools that they built themselves; ignored by git and, not
/// being in `target`, spared by `cargo clean`.
pub(crate) fn tools_dir() -> PathBuf {
    root().join(".rillcast-tools")
}

/// The packages of a workspace, from `cargo metadata`.
pub(crate) struct Metadata {
    json: Value,
}

impl Metadata {
    /// The main workspace's.
    pub(crate) fn load() -> Result<Self> {
        let text = Run::cargo()
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .dir(root())
            .output()?;
        Ok(Self {
            json: serde_json::from_str(&text)?,
        })
    }

    pub(crate) fn target_dir(&self) -> Result<PathBuf> {
        self.json
            .get("target_directory")
            .and_then(Value::as_str)
            .map(PathBuf::from)
            .ok_or_else(|| Failure::new("cargo metadata names no target directory"))
    }

    pub(crate) fn packages(&self) -> Vec<Package> {
        array(&self.json, "packages").map(Package::read).collect()
    }

    pub(crate) fn package(&self, name: &str) -> Result<Package> {
        self.packages()
            .into_iter()
            .find(|package| package.name == name)
            .ok_or_else(|| Failure::new(format!("the workspace has no package {name}")))
    }

    /// The plugins that the server can be built with, sorted: its features but
    /// `default`. A feature's name is the plugin's.
    pub(crate) fn plugin_features(&self) -> Result<BTreeSet<String>> {
        let mut features = self.package(SERVER)?.features;
        features.remove("default");
        Ok(features)
    }
}

/// One package of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    pub(crate) features: BTreeSet<String>,
    /// Whether others may depend on it: what is not published are tools of ours.
    pub(crate) published: bool,
    /// Names of all it depends on, for tests and build scripts too.
    pub(crate) dependencies: BTreeSet<String>,
    pub(crate) targets: Vec<Target>,
}

/// One thing that cargo builds of a package.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kinds: Vec<String>,
    pub(crate) source: PathBuf,
}

impl Package {
    fn read(json: &Value) -> Self {
        Self {
            name: text(json, "name"),
            manifest: text(json, "manifest_path").into(),
            features: json
                .get("features")
                .and_then(Value::as_object)
                .map(|features| features.keys().cloned().collect())
                .unwrap_or_default(),
            // Absent for any registry; a list of none is `publish = false`.
            published: array(json, "publish").next().is_some()
                || json.get("publish") == Some(&Value::Null),
            dependencies: array(json, "dependencies")
                .map(|it| text(it, "name"))
                .collect(),
            targets: array(json, "targets")
                .map(|it| Target {
                    name: text(it, "name"),
                    kinds: array(it, "kind")
                        .filter_map(Value::as_str)
                        .map(Into::into)
                        .collect(),
                    source: text(it, "src_path").into(),
                })
                .collect(),
        }
    }
}

impl Target {
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kinds.iter().any(|it| it == kind)
    }
}

fn array<'a>(json: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    json.get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text(json: &Value, key: &str) -> String {
    json.get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
