//! The rules for crates, their manifests, and files beside the code.

use std::fs;
use std::path::Path;

use super::Findings;
use crate::process::{Context, Result};
use crate::workspace::{self, Metadata, Package};

/// The repository carries the demo clip: it stays small.
const DEMO: &str = "server/assets/demo/demo.flv";
const DEMO_MAX_BYTES: u64 = 1_000_000;

/// Manifests of npm that must pin the same player.
const NPM: &[&str] = &["server/npm/package.json", "e2e/package.json"];

pub(crate) fn check(metadata: &Metadata, findings: &mut Findings) -> Result {
    let packages = metadata.packages();
    for package in &packages {
        forbids_unsafe(package, findings)?;
        arrows(package, &packages, findings);
        versions(package, findings)?;
    }
    features(metadata, findings)?;
    demo(findings)?;
    npm(findings)
}

/// What a crate is in the house: arrows run down only.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
enum Layer {
    Core,
    Media,
    Plugin,
    Server,
    Tasks,
}

fn layer(package: &Package) -> Layer {
    match package.name.as_str() {
        "rillcast-core" => Layer::Core,
        "rillcast-media" => Layer::Media,
        workspace::SERVER => Layer::Server,
        _ if !package.published => Layer::Tasks,
        _ => Layer::Plugin,
    }
}

/// A crate depends on lower layers only; so plugins never see each other.
fn arrows(package: &Package, packages: &[Package], findings: &mut Findings) {
    let from = layer(package);
    for other in packages {
        let to = layer(other);
        if package.dependencies.contains(&other.name) && to >= from {
            findings.add(
                relative(&package.manifest),
                1,
                format!(
                    "{from:?} `{}` depends on {to:?} `{}`: arrows run down only",
                    package.name, other.name
                ),
            );
        }
    }
}

/// Each crate root forbids unsafe code by itself, so that a crate taken out of this
/// workspace still does.
fn forbids_unsafe(package: &Package, findings: &mut Findings) -> Result {
    for target in &package.targets {
        if !target.is("lib") && !target.is("bin") && !target.is("proc-macro") {
            continue;
        }
        let text = fs::read_to_string(&target.source).context(target.source.display())?;
        if !text.lines().any(|line| line == "#![forbid(unsafe_code)]") {
            findings.add(
                relative(&target.source),
                1,
                "the crate root lacks `#![forbid(unsafe_code)]`",
            );
        }
    }
    Ok(())
}

/// Versions live in the root's [workspace.dependencies], once.
fn versions(package: &Package, findings: &mut Findings) -> Result {
    let text = fs::read_to_string(&package.manifest).context(package.manifest.display())?;
    let path = relative(&package.manifest);
    if !text.contains("[lints]\nworkspace = true") {
        findings.add(&path, 1, "`[lints] workspace = true` is missing");
    }
    let mut dependencies = false;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.starts_with('[') {
            dependencies = text.ends_with("dependencies]");
            if text.contains("dependencies.") {
                findings.add(
                    &path,
                    line,
                    "a dependency is one line with `workspace = true`",
                );
            }
        } else if dependencies && text.contains('=') && !text.starts_with('#') {
            let inherits = text.contains(".workspace = true") || text.contains("workspace = true");
            if !inherits || text.contains("version") {
                findings.add(
                    &path,
                    line,
                    "the version belongs into the root's [workspace.dependencies]",
                );
            }
        }
    }
    Ok(())
}

/// All plugins are on by default.
fn features(metadata: &Metadata, findings: &mut Findings) -> Result {
    let server = metadata.package(workspace::SERVER)?;
    let path = relative(&server.manifest);
    let text = fs::read_to_string(&server.manifest).context(server.manifest.display())?;
    let default = text
        .lines()
        .find(|line| line.starts_with("default = "))
        .unwrap_or_default();
    for feature in metadata.plugin_features()? {
        if !default.contains(&format!("\"{feature}\"")) {
            findings.add(
                &path,
                1,
                format!("the feature `{feature}` is not on by default"),
            );
        }
    }
    Ok(())
}

fn demo(findings: &mut Findings) -> Result {
    let bytes = fs::metadata(workspace::root().join(DEMO))
        .context(DEMO)?
        .len();
    if bytes >= DEMO_MAX_BYTES {
        findings.add(
            DEMO,
            1,
            format!("{bytes} bytes: the clip stays under {DEMO_MAX_BYTES}"),
        );
    }
    Ok(())
}

/// The player that the tests judge is the one that the server embeds; pins are exact.
fn npm(findings: &mut Findings) -> Result {
    let mut players = Vec::new();
    for path in NPM {
        let text = fs::read_to_string(workspace::root().join(path)).context(path)?;
        let json: serde_json::Value = serde_json::from_str(&text)?;
        let dependencies = json
            .get("dependencies")
            .and_then(serde_json::Value::as_object);
        for (name, version) in dependencies.into_iter().flatten() {
            let version = version.as_str().unwrap_or_default().to_owned();
            if !version.starts_with(|c: char| c.is_ascii_digit()) {
                findings.add(
                    path,
                    1,
                    format!("pin `{name}` to one version, not `{version}`"),
                );
            }
            if name == "hls.js" {
                players.push(version);
            }
        }
    }
    players.dedup();
    if players.len() != 1 {
        findings.add(
            "e2e/package.json",
            1,
            format!("hls.js differs from the server's: {players:?}"),
        );
    }
    Ok(())
}

fn relative(path: &Path) -> String {
    path.strip_prefix(workspace::root())
        .unwrap_or(path)
        .display()
        .to_string()
}
