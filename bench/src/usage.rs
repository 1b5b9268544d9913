//! What a process costs, from `/proc`: processor time and wake-ups of all its
//! threads, and its memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// A process and its children: nginx is several.
#[derive(Clone, Debug)]
pub struct Watched {
    pids: Vec<u32>,
    /// Length of a tick of `/proc/PID/stat`.
    tick: Duration,
}

/// What had been used at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    at: Instant,
    /// By process: user and system time in ticks, exact after a thread has ended.
    ticks: u64,
    /// By thread: time on a processor in nanoseconds, and voluntary switches.
    threads: BTreeMap<u32, (u64, u64)>,
}

/// What was used between two samples.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// Time between the samples.
    pub wall: Duration,
    /// Processor time of user and system together.
    pub cpu: Duration,
    /// How often a thread went to sleep and was woken.
    pub wakes: u64,
}

impl Watched {
    /// `pid` and, as of now, its children.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn new(pid: u32) -> Result<Self> {
        let mut pids = vec![pid];
        for entry in fs::read_dir("/proc").map_err(Error::of("/proc"))?.flatten() {
            let Ok(child) = entry.file_name().to_string_lossy().parse() else {
                continue;
            };
            if stat(child).is_some_and(|stat| stat.parent == pid) {
                pids.push(child);
            }
        }
        Ok(Self {
            pids,
            tick: tick()?,
        })
    }

    /// These processes, without their children.
    ///
    /// # Errors
    /// The length of a tick is not to be had.
    pub fn all(pids: impl IntoIterator<Item = u32>) -> Result<Self> {
        Ok(Self {
            pids: pids.into_iter().collect(),
            tick: tick()?,
        })
    }

    /// This process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn this() -> Result<Self> {
        Ok(Self {
            pids: vec![std::process::id()],
            tick: tick()?,
        })
    }

    /// How many processes are watched.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.pids.len()
    }

    /// What was used until now.
    #[must_use]
    pub fn sample(&self) -> Sample {
        let mut sample = Sample {
            at: Instant::now(),
            ticks: 0,
            threads: BTreeMap::new(),
        };
        for pid in &self.pids {
            sample.ticks += stat(*pid).map_or(0, |stat| stat.ticks);
            let tasks = fs::read_dir(format!("/proc/{pid}/task"));
            for task in tasks.into_iter().flatten().flatten() {
                let Ok(thread) = task.file_name().to_string_lossy().parse() else {
                    continue;
                };
                let (nanos, switches) = (on_processor(&task.path()), switches(&task.path()));
                if let (Some(nanos), Some(switches)) = (nanos, switches) {
                    sample.threads.insert(thread, (nanos, switches));
                }
            }
        }
        sample
    }

    /// What was used from `before` until now.
    #[must_use]
    pub fn since(&self, before: &Sample) -> Spent {
        let now = self.sample();
        let ended = before
            .threads
            .keys()
            .any(|it| !now.threads.contains_key(it));
        let sum = |sample: &Sample, pick: fn(&(u64, u64)) -> u64| {
            sample.threads.values().map(pick).sum::<u64>()
        };
        let diff = |pick| sum(&now, pick).saturating_sub(sum(before, pick));
        // Nanoseconds are finer than ticks, but an ended thread takes its own along.
        let cpu = if ended || now.threads.is_empty() {
            let ticks = now.ticks.saturating_sub(before.ticks);
            self.tick * u32::try_from(ticks).unwrap_or(u32::MAX)
        } else {
            Duration::from_nanos(diff(|it| it.0))
        };
        Spent {
            wall: now.at - before.at,
            cpu,
            wakes: diff(|it| it.1),
        }
    }

    /// Proportional set size in bytes: pages that processes share count once.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let of = |pid: &u32| {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
            Some(kib * 1_024)
        };
        self.pids.iter().filter_map(of).sum()
    }
}

impl Spent {
    /// Share of one processor, in percent.
    #[must_use]
    pub fn percent(self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64().max(1e-9) * 100.0
    }

    /// Wake-ups per second.
    #[must_use]
    pub fn wake_rate(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count for a table")]
        let wakes = self.wakes as f64;
        wakes / self.wall.as_secs_f64().max(1e-9)
    }
}

struct Stat {
    parent: u32,
    ticks: u64,
}

/// proc_pid_stat(5): the fields behind the name, which may hold anything.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)?,
    })
}

fn on_processor(task: &Path) -> Option<u64> {
    let text = fs::read_to_string(task.join("schedstat")).ok()?;
    text.split(' ').next()?.parse().ok()
}

fn switches(task: &Path) -> Option<u64> {
    let text = fs::read_to_string(task.join("status")).ok()?;
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    count.trim().parse().ok()
}

fn tick() -> Result<Duration> {
    let output = Command::new("getconf")
        .arg("CLK_TCK")
        .output()
        .map_err(Error::of("getconf"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let hertz: u32 = text.trim().parse().map_err(Error::of("getconf CLK_TCK"))?;
    Ok(Duration::from_secs(1) / hertz.max(1))
}
