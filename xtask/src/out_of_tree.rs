//! The third party's workspace in examples/out-of-tree: it must build against
//! the crates as they are and pass its own tests, its server must list its plugins
//! beside ours, and FFmpeg must play over the one what it published over the other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::process::{Context, Guard, Result, Run, ensure, exists, fail, wait_for};
use crate::workspace::{self, Metadata};
use crate::{http, matrix};

const INGEST: &str = "acme";
const EGRESS: &str = "flv";
const KEY: &str = "acme/cam";

pub(crate) fn run() -> Result {
    let metadata = Metadata::load()?;
    let cargo = |command: &str| {
        let root = workspace::root();
        Run::cargo()
            .arg(command)
            .arg("--manifest-path")
            .arg(root.join(workspace::EXAMPLE))
    };
    // The versions are those of this workspace: nothing new from outside can fail an
    // old commit, and what both workspaces use is built once.
    let (ours, theirs) = ("Cargo.lock", "examples/out-of-tree/Cargo.lock");
    fs::copy(workspace::root().join(ours), workspace::root().join(theirs)).context(theirs)?;
    let target = metadata.target_dir()?;
    cargo("clippy")
        .args(["--quiet", "--all-targets", "--target-dir"])
        .arg(&target)
        .args(["--", "-D", "warnings"])
        .run()?;
    for command in ["build", "test"] {
        cargo(command)
            .args(["--quiet", "--target-dir"])
            .arg(&target)
            .run()?;
    }
    let binary = target.join("debug/acme-server");

    let mut expected = metadata.plugin_features()?;
    expected.extend([INGEST, EGRESS].map(String::from));
    let linked: BTreeSet<String> = matrix::plugins(&binary)?.into_iter().collect();
    ensure!(
        linked == expected,
        "acme-server links {linked:?}, not {expected:?}"
    );
    for program in ["ffmpeg", "ffprobe"] {
        ensure!(
            exists(program),
            "{program} is not here; `cargo xtask tools` installs it or says how"
        );
    }
    publish(&binary, &target.join("out-of-tree"))?;
    println!("out-of-tree: 1 passed, 0 failed");
    Ok(())
}

/// Starts the server, publishes the demo clip through the one plugin, waits until
/// the stream is listed and has a playlist, and plays it through the other.
fn publish(binary: &Path, dir: &Path) -> Result {
    let limit = Duration::from_secs(20);
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).context(dir.display())?;
    let (addresses, log) = (dir.join("addresses.json"), dir.join("server.log"));
    let mut command = Command::new(binary);
    command
        .args(["run", "--addresses-file"])
        .arg(&addresses)
        .current_dir(dir);
    for section in ["server", "rtmp", INGEST] {
        command.args(["--set", &format!("{section}.listen=127.0.0.1:0")]);
    }
    let output = fs::File::create(&log).context(log.display())?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output);
    let mut server = Guard::spawn("acme-server", &mut command)?;
    let addresses: Value = wait_for(limit, "the addresses file", || {
        if let Some(status) = server.ended() {
            let log = fs::read_to_string(&log).unwrap_or_default();
            fail!("acme-server ended with {status}:\n{log}");
        }
        Ok(match fs::read(&addresses) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes)?),
            Err(_) => None,
        })
    })?;
    let address = |name: &str| match addresses.get(name).and_then(Value::as_str) {
        Some(address) => Ok(address.to_owned()),
        None => fail!("the addresses file names no {name}: {addresses}"),
    };
    let (http, acme) = (address("http")?, address(INGEST)?);

    let clip = workspace::root().join("server/assets/demo/demo.flv");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg
        .args(["-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i"])
        .arg(clip)
        .args(["-c", "copy", "-f", "flv", &format!("tcp://{acme}")]);
    let publisher = Guard::spawn("ffmpeg", &mut ffmpeg)?;
    for path in [
        format!("/api/v1/streams/{KEY}"),
        format!("/hls/{KEY}/index.m3u8"),
    ] {
        wait_for(limit, &path, || {
            Ok((http::request("GET", &http, &path)?.status == 200).then_some(()))
        })?;
        println!("{path}: 200");
    }
    let flv = format!("http://{http}/flv/{KEY}.flv");
    let probe = [
        "-v",
        "error",
        "-show_entries",
        "stream=codec_name",
        "-of",
        "csv=p=0",
    ];
    let codecs = Run::new("ffprobe").args(probe).arg(&flv).output()?;
    let codecs: Vec<&str> = codecs.split_whitespace().collect();
    ensure!(codecs == ["h264", "aac"], "{flv} has {codecs:?}");
    // It joins in mid-group; whatever cannot be decoded is an error.
    let play = [
        "-v",
        "error",
        "-xerror",
        "-err_detect",
        "explode",
        "-i",
        &flv,
    ];
    Run::new("ffmpeg")
        .args(play)
        .args(["-t", "3", "-f", "null", "-"])
        .run()?;
    println!("{flv}: played by FFmpeg");
    drop(publisher);
    server.terminate()?;
    let status = server.wait(Duration::from_secs(5))?;
    ensure!(
        status.success(),
        "acme-server ended with {status} at SIGTERM"
    );
    Ok(())
}
