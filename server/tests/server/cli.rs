//! The program `rillcast`: what it prints, how it ends.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::client::{PATIENCE, get, until};

pub(crate) fn rillcast() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rillcast"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RILLCAST") {
            command.env_remove(name);
        }
    }
    // Listeners of plugins must not collide with those of other tests.
    if cfg!(feature = "rtmp") {
        command.env("RILLCAST__RTMP__LISTEN", "127.0.0.1:0");
    }
    if cfg!(feature = "srt") {
        command.env("RILLCAST__SRT__LISTEN", "127.0.0.1:0");
    }
    command
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn faults_of_the_configuration_end_with_2_and_one_sentence() {
    for (args, want) in [
        (
            &["check", "--set", "server.lisen=x"][..],
            "--set server.lisen: unknown key \"server.lisen\"",
        ),
        (
            &["check", "--set", "sever.listen=x"],
            "--set sever.listen: unknown section [sever]",
        ),
        (
            &["run", "--set", "server.listen=x"],
            "--set server.listen: server.listen: \"x\" is no address",
        ),
        (
            &["--set", "server.write_timeout=soon"],
            "server.write_timeout: \"soon\" is no duration",
        ),
        (
            &["demo", "--config", "/no/file.toml"],
            "--config /no/file.toml: the file cannot be read: no such file",
        ),
        (
            &["run", "--set", "log.level=x=y=z"],
            "--set log.level: log.level: \"x=y=z\" is no log level",
        ),
        (
            &["check", "--set", "auth.admin_token=1234"],
            "put it in quotes",
        ),
    ] {
        let (code, stdout, stderr) = output(rillcast().args(args));
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert_eq!(
            (stdout.as_str(), stderr.lines().count()),
            ("", 1),
            "{args:?}: {stderr}"
        );
        assert!(
            stderr.starts_with("rillcast: ") && stderr.contains(want),
            "{args:?}: {stderr}"
        );
        assert!(!stderr.contains("1234"), "{stderr}");
    }
}

#[test]
fn a_busy_port_names_the_address_and_the_key() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    for key in ["server.listen", "rtmp.listen"] {
        if key == "rtmp.listen" && !cfg!(feature = "rtmp") {
            continue;
        }
        let free = "--set=server.listen=127.0.0.1:0";
        let (code, stdout, stderr) =
            output(rillcast().args([free, &format!("--set={key}={address}")]));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        let line = stderr.lines().last().unwrap();
        assert!(
            line.contains(&address.to_string()) && line.contains(key),
            "{stderr}"
        );
        assert!(
            !stderr.contains("panic") && !stderr.contains("os error"),
            "{stderr}"
        );
    }
}

#[test]
fn faults_of_a_file_name_its_line() {
    for (text, line, want) in [
        ("[server]\n\nlisten = 5\n", 3, "server.listen: invalid type"),
        ("[server]\nlisten = \n", 2, ""),
        ("\n[nothing]\nx = 1\n", 2, "unknown section [nothing]"),
        (
            "[[stream]]\nmatch = \"a/*\"\nserver.listen = \"x\"\n",
            3,
            "cannot be set per stream",
        ),
        ("[[stream]]\nmatch = \"a\"\n", 2, "matches no stream"),
        ("[bus]\ntakeover = \"maybe\"\n", 2, "bus.takeover"),
    ] {
        let file = file(text);
        let (code, _, stderr) = output(rillcast().arg("check").arg("--config").arg(file.path()));
        assert_eq!(code, Some(2), "{text}: {stderr}");
        let place = format!("{} line {line}: ", file.path().display());
        assert!(
            stderr.contains(&place) && stderr.contains(want),
            "{text}: {stderr}"
        );
    }
}

#[test]
fn a_right_configuration_is_said_to_be_right() {
    let (code, stdout, _) = output(rillcast().arg("example-config"));
    assert_eq!(code, Some(0));
    let example = file(&stdout);
    let (code, stdout, stderr) =
        output(rillcast().arg("check").arg("--config").arg(example.path()));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        stdout.contains("is right: it sets ") && stdout.contains("server"),
        "{stdout}"
    );
}

#[test]
fn what_is_linked_is_listed() {
    let (code, stdout, _) = output(rillcast().arg("plugins"));
    assert_eq!(code, Some(0));
    let names: Vec<&str> = stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut want = Vec::new();
    if cfg!(feature = "rtmp") {
        want.push("rtmp");
    }
    if cfg!(feature = "srt") {
        want.push("srt");
    }
    if cfg!(feature = "dash") {
        want.push("dash");
    }
    if cfg!(feature = "hls") {
        want.push("hls");
    }
    if cfg!(feature = "record") {
        want.push("record");
    }
    assert_eq!(names, want);
    let (code, stdout, _) = output(rillcast().args(["plugins", "--json"]));
    assert_eq!(code, Some(0));
    assert!(
        serde_json::from_str::<serde_json::Value>(&stdout)
            .unwrap()
            .is_array()
    );
    let (code, stdout, _) = output(rillcast().arg("--version"));
    assert_eq!(
        (code, stdout),
        (Some(0), format!("rillcast {}\n", env!("CARGO_PKG_VERSION")))
    );
    let (code, ..) = output(rillcast().arg("no-such-command"));
    assert_eq!(code, Some(2));
}

/// A running program, ended with its test.
pub(crate) struct Running {
    child: Child,
    folder: tempfile::TempDir,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stderr = std::fs::File::create(folder.path().join("stderr")).unwrap();
        Self::start_in(folder, command.stderr(stderr))
    }

    fn start_in(folder: tempfile::TempDir, command: &mut Command) -> Self {
        let mut running = Self {
            child: command
                .arg("--addresses-file")
                .arg(folder.path().join("addresses.json"))
                .stdout(std::fs::File::create(folder.path().join("stdout")).unwrap())
                .stdin(Stdio::null())
                .spawn()
                .unwrap(),
            folder,
        };
        let start = Instant::now();
        while !running.file("addresses.json").exists() {
            assert!(
                running.child.try_wait().unwrap().is_none(),
                "{}",
                running.read("stderr")
            );
            assert!(start.elapsed() < PATIENCE, "no addresses file");
            std::thread::sleep(Duration::from_millis(10));
        }
        running
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        let addresses: serde_json::Value =
            serde_json::from_str(&self.read("addresses.json")).unwrap();
        addresses[name].as_str().unwrap().parse().unwrap()
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Ends it as nothing can be ended more suddenly.
    #[cfg(all(feature = "record", feature = "rtmp"))]
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "it did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
#[test]
fn signals_end_it_with_0() {
    use rustix::process::Signal;
    for signal in [Signal::INT, Signal::TERM] {
        let mut running =
            Running::start(rillcast().args(["run", "--set=server.listen=127.0.0.1:0"]));
        let start = Instant::now();
        running.signal(signal);
        assert_eq!(running.end(), Some(0), "{}", running.read("stderr"));
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(
            running.read("stderr").contains("stopped"),
            "{}",
            running.read("stderr")
        );
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::File::create(folder.path().join("stderr")).unwrap();
    let mut running = Running::start_in(
        folder,
        rillcast()
            .args(["--set=server.listen=127.0.0.1:0", "--set=log.level=debug"])
            .stderr(Stdio::piped()),
    );
    drop(running.child.stderr.take());
    for _ in 0..3 {
        let answer = get(running.address("http"), "/healthz").await;
        assert_eq!(answer.status, 200);
    }
    assert!(running.child.try_wait().unwrap().is_none(), "it ended");
}

#[tokio::test]
async fn each_layer_of_the_configuration_is_over_the_one_before() {
    // Told apart by their IP: ports that are free now may be taken in a moment.
    let [first, second, third] = ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"];
    let ip = |running: &Running| running.address("http").ip();
    let of = |text: &str| text.parse::<SocketAddr>().unwrap().ip();
    let file = file(&format!("[server]\nlisten = \"{first}\"\n"));
    let config = |command: &mut Command, path: &Path| {
        command.arg("run").arg("--config").arg(path);
    };
    let mut command = rillcast();
    config(&mut command, file.path());
    assert_eq!(ip(&Running::start(&mut command)), of(first));
    let mut command = rillcast();
    config(&mut command, file.path());
    command.env("RILLCAST__SERVER__LISTEN", second);
    assert_eq!(ip(&Running::start(&mut command)), of(second));
    let mut command = rillcast();
    config(&mut command, file.path());
    command.env("RILLCAST__SERVER__LISTEN", second);
    command.arg(format!("--set=server.listen={third}"));
    let running = Running::start(&mut command);
    assert_eq!(ip(&running), of(third));
    assert_eq!(
        get(
            SocketAddr::from(([127, 0, 0, 1], running.address("http").port())),
            "/healthz"
        )
        .await
        .text(),
        "ok\n"
    );
}

#[tokio::test]
async fn the_demo_is_live_and_says_where() {
    let running = Running::start(rillcast().args([
        "demo",
        "--set=server.listen=127.0.0.1:0",
        "--set=log.format=json",
        "--set=log.level=debug",
        // The demo needs no token: it is the program itself.
        "--set=auth.publish_token=secret",
    ]));
    let http = running.address("http");
    let streams = until(http, "/api/v1/streams", |answer| {
        let list = answer.json();
        list["streams"][0]["qos"]["frames"]
            .as_u64()
            .is_some_and(|frames| frames > 20)
    })
    .await;
    let stream = &streams.json()["streams"][0];
    assert_eq!(
        (&stream["key"], &stream["repairs"]),
        (&"live/demo".into(), &0.into())
    );
    assert_eq!(stream["publisher"]["protocol"], "demo");
    assert_eq!(stream["tracks"].as_array().unwrap().len(), 2);
    let printed = running.read("stdout");
    assert!(
        printed.contains(&format!("http://{http}/watch/live/demo")),
        "{printed}"
    );
    for line in running.read("stderr").lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_end_of_the_demo_is_clean() {
    let mut running = Running::start(rillcast().args(["demo", "--set=server.listen=127.0.0.1:0"]));
    let http = running.address("http");
    until(http, "/api/v1/streams/live/demo", |answer| {
        answer.status == 200
    })
    .await;
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end(), Some(0), "{}", running.read("stderr"));
    assert!(
        !running.read("stderr").contains("WARN"),
        "{}",
        running.read("stderr")
    );
}

#[cfg(unix)]
#[tokio::test]
async fn want_of_descriptors_is_survived() {
    let mut shell = Command::new("sh");
    let script = "ulimit -n 40 && exec \"$0\" --set=server.listen=127.0.0.1:0 \"$@\"";
    shell
        .arg("-c")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_rillcast"));
    if cfg!(feature = "rtmp") {
        shell.env("RILLCAST__RTMP__LISTEN", "127.0.0.1:0");
    }
    if cfg!(feature = "srt") {
        shell.env("RILLCAST__SRT__LISTEN", "127.0.0.1:0");
    }
    let running = Running::start(&mut shell);
    let http = running.address("http");
    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(tokio::net::TcpStream::connect(http).await.unwrap());
    }
    while !running.read("stderr").contains("cannot accept connections") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(crowd);
    assert_eq!(get(http, "/healthz").await.text(), "ok\n");
}
