//! What the tests need beyond Rust, git and a C compiler: FFmpeg, libsrt's tools,
//! GStreamer, Chromium, VLC, nginx and Node.js from the system's packages, cargo-deny
//! from crates.io, a current FFmpeg from PyPI. valgrind too, without which one
//! step of CI is left out.
//!
//! As root on a Debian-like system they are installed; everybody else is told
//! the command. cargo-deny and the second FFmpeg go into `.rillcast-tools/`, not
//! into the user's own folders.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::process::{Context, Result, Run, ensure, exists, fail};
use crate::workspace;

/// Its configuration format changes with its releases: this one reads deny.toml.
const CARGO_DENY: &str = "0.20.2";

/// Only for `cargo xtask fuzz`, so not installed before that asks for it.
const CARGO_FUZZ: &str = "0.13.2";

/// A program, and the Debian packages that bring it.
const SYSTEM: &[(&str, &[&str])] = &[
    ("ffmpeg", &["ffmpeg"]),
    ("ffprobe", &["ffmpeg"]),
    ("chromium", &["chromium"]),
    ("node", &["nodejs"]),
    ("npm", &["npm"]),
    ("cvlc", &["vlc-bin", "vlc-plugin-base"]),
    ("srt-live-transmit", &["srt-tools"]),
    ("nginx", &["nginx-light"]),
    (
        "gst-launch-1.0",
        // `srtsink` and `tsparse` are bad ones.
        &["gstreamer1.0-tools", "gstreamer1.0-plugins-bad"],
    ),
    ("python3", &["python3", "python3-pip"]),
];

/// What is installed where it can be, and done without where it cannot.
const OPTIONAL: &[&str] = &["valgrind"];

#[derive(Args)]
pub(crate) struct Options {
    /// Install nothing, say what is missing.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result {
    if !options.check {
        return install();
    }
    let missing = missing();
    ensure!(missing.is_empty(), "missing: {}", missing.join(" "));
    match find_cargo_deny() {
        Some(path) => println!("{}", path.display()),
        None => fail!("missing: cargo-deny; `cargo xtask tools` builds it"),
    }
    Ok(())
}

/// Installs what is missing.
pub(crate) fn install() -> Result {
    let missing = missing();
    let wanted: Vec<_> = (OPTIONAL.iter().copied())
        .filter(|program| !in_path(program))
        .collect();
    let can = exists("apt-get") && is_root()?;
    if !missing.is_empty() {
        let list = missing.join(" ");
        ensure!(
            can,
            "the tests need programs that are not here; on Debian or Ubuntu: \
             sudo apt-get install --no-install-recommends {list}"
        );
        apt_install(&missing)?;
    }
    if !wanted.is_empty()
        && can
        && let Err(failure) = apt_install(&wanted)
    {
        println!("Going on without {}: {failure}", wanted.join(" "));
    }
    current_ffmpeg()?;
    cargo_deny().map(drop)
}

/// The path of an FFmpeg that is newer than the system's, installed first if it is
/// not here. `e2e/requirements.txt` pins it.
pub(crate) fn current_ffmpeg() -> Result<PathBuf> {
    let folder = workspace::tools_dir().join("ffmpeg");
    let wanted = workspace::root().join("e2e/requirements.txt");
    // What is there was installed by these very lines, or is not what is wanted.
    let mark = folder.join("requirements.txt");
    let read = |path: &Path| fs::read(path).context(path.display());
    if fs::read(&mark).ok() != Some(read(&wanted)?) {
        let _ = fs::remove_dir_all(&folder);
        Run::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            .args(["--disable-pip-version-check", "--root-user-action=ignore"])
            .args(["--only-binary=:all:", "--require-hashes", "--target"])
            .arg(&folder)
            .arg("--requirement")
            .arg(&wanted)
            .run()?;
        fs::copy(&wanted, &mark).context(mark.display())?;
    }
    let binaries = folder.join("imageio_ffmpeg/binaries");
    let entries = fs::read_dir(&binaries).context(binaries.display())?;
    let mut files = entries.flatten().map(|entry| entry.path());
    let found = files.find(|path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("ffmpeg-")
    });
    match found {
        Some(path) => Ok(path),
        None => fail!("{} holds no FFmpeg", binaries.display()),
    }
}

/// The path of cargo-deny, built first if it is not here.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    if let Some(path) = find_cargo_deny() {
        return Ok(path);
    }
    Run::cargo()
        .args([
            "install",
            "--quiet",
            "--locked",
            "cargo-deny",
            "--version",
            CARGO_DENY,
            "--root",
        ])
        .arg(workspace::tools_dir())
        .run()?;
    Ok(own_cargo_deny())
}

/// The path of cargo-fuzz, built first if it is not here.
pub(crate) fn cargo_fuzz() -> Result<PathBuf> {
    let own = workspace::tools_dir().join("bin/cargo-fuzz");
    if own.is_file() {
        return Ok(own);
    }
    if in_path("cargo-fuzz") {
        return Ok("cargo-fuzz".into());
    }
    Run::cargo()
        .args(["install", "--quiet", "--locked", "cargo-fuzz"])
        .args(["--version", CARGO_FUZZ, "--root"])
        .arg(workspace::tools_dir())
        .run()?;
    Ok(own)
}

/// Installs the packages that a lock file pins, without running scripts of theirs.
pub(crate) fn npm_ci(dir: &Path) -> Result {
    if !exists("npm") {
        fail!("npm is not here; `cargo xtask tools` installs it or says how");
    }
    Run::new("npm")
        .args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel",
            "error",
        ])
        .dir(dir)
        .run()
}

/// The Debian packages of the programs that cannot be started.
fn missing() -> Vec<&'static str> {
    let mut packages: Vec<&str> = Vec::new();
    for (_, names) in SYSTEM.iter().filter(|(program, _)| !in_path(program)) {
        packages.extend(
            names
                .iter()
                .filter(|name| !packages.contains(name))
                .collect::<Vec<_>>(),
        );
    }
    packages
}

/// A look is enough, and a start would not do: VLC refuses to run for root.
pub(crate) fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn find_cargo_deny() -> Option<PathBuf> {
    let right = |path: &Path| {
        Run::new(path)
            .arg("--version")
            .output()
            .is_ok_and(|text| text.contains(CARGO_DENY))
    };
    [own_cargo_deny(), PathBuf::from("cargo-deny")]
        .into_iter()
        .find(|path| right(path))
}

fn own_cargo_deny() -> PathBuf {
    workspace::tools_dir().join("bin/cargo-deny")
}

fn apt() -> Run {
    Run::new("apt-get")
        .arg("-qq")
        .env("DEBIAN_FRONTEND", "noninteractive")
}

fn apt_install(packages: &[&str]) -> Result {
    apt().arg("update").run_quietly()?;
    apt()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages)
        .run_quietly()
}

fn is_root() -> Result<bool> {
    Ok(Run::new("id").arg("-u").output()?.trim() == "0")
}
