//! Running other programs, and the one error type of all tasks.
//!
//! A task echoes each command before it runs it, so that whoever reads a log of
//! CI can repeat a step by hand.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a task returns.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

/// Why a task failed, in sentences for a person.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Says what it is about.
    pub(crate) fn about(&self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {self}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("bad JSON: {error}"))
    }
}

/// `Err(Failure)` with a formatted text.
macro_rules! fail {
    ($($arg:tt)*) => {
        return Err($crate::process::Failure::new(format!($($arg)*)))
    };
}

/// `Err(Failure)` unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($arg:tt)*) => {
        let holds: bool = $condition;
        if !holds {
            $crate::process::fail!($($arg)*);
        }
    };
}

pub(crate) use {ensure, fail};

/// Says which file or program an IO error is about.
pub(crate) trait Context<T> {
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Failure(what.to_string()))
    }
}

/// A command line to echo and run.
pub(crate) struct Run {
    command: Command,
}

impl Run {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(program),
        }
    }

    /// The cargo that runs this task.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// The command as a line that a shell would understand.
    fn line(&self) -> String {
        let program = Path::new(self.command.get_program());
        let name = program.file_name().unwrap_or(program.as_os_str());
        std::iter::once(name)
            .chain(self.command.get_args())
            .map(|part| {
                let part = part.to_string_lossy();
                if part.is_empty() || part.contains([' ', '\'', '"', '*', '|', '&']) {
                    format!("'{part}'")
                } else {
                    part.into_owned()
                }
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Echoes and runs it with this task's output; an exit code other than 0 is
    /// a failure.
    pub(crate) fn run(mut self) -> Result {
        let line = self.line();
        println!("$ {line}");
        let status = self.command.stdin(Stdio::null()).status().context(&line)?;
        ensure!(status.success(), "`{line}` ended with {status}");
        Ok(())
    }

    /// Echoes it and runs it with its output held back, to be shown if it fails.
    pub(crate) fn run_quietly(self) -> Result {
        println!("$ {}", self.line());
        self.output().map(drop)
    }

    /// Runs it silently and returns what it printed; an exit code other than 0 is
    /// a failure that quotes it.
    pub(crate) fn output(mut self) -> Result<String> {
        let line = self.line();
        let output = self.command.stdin(Stdio::null()).output().context(&line)?;
        ensure!(
            output.status.success(),
            "`{line}` ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Whether `program` can be started at all.
pub(crate) fn exists(program: impl AsRef<OsStr>) -> bool {
    Command::new(program)
        .arg("--help")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// A child process that does not outlive its owner.
pub(crate) struct Guard {
    child: Child,
    name: String,
}

impl Guard {
    pub(crate) fn spawn(name: impl Into<String>, command: &mut Command) -> Result<Self> {
        let name = name.into();
        let child = command.spawn().context(&name)?;
        Ok(Self { child, name })
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The exit status if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Kills it with SIGKILL and reaps it.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&mut self) -> Result {
        self.signal("TERM")
    }

    /// Sends a signal. std has no call for it and two signals are no reason for a
    /// dependency: the shell's own `kill` is on every Unix.
    pub(crate) fn signal(&mut self, name: &str) -> Result {
        let pid = self.child.id().to_string();
        let status = Command::new("sh")
            .args(["-c", "kill -\"$0\" \"$1\"", name, &pid])
            .status()
            .context("sh")?;
        ensure!(status.success(), "could not signal {} ({pid})", self.name);
        Ok(())
    }

    /// Waits for its end for at most `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        wait_for(limit, &format!("the end of {}", self.name), || {
            Ok(self.ended())
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks `condition` every 20 ms until it yields something, for at most `limit`.
pub(crate) fn wait_for<T>(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        ensure!(
            start.elapsed() < limit,
            "waited {limit:?} in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
