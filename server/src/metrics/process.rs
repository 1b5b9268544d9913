//! What the operating system says of this process, under the names that
//! dashboards know. Linux only: elsewhere the families are left out.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Families;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        if let Some(bytes) = resident_bytes() {
            families.gauge("process_resident_memory_bytes", "Resident memory", bytes)?;
        }
        if let Some(seconds) = cpu_seconds() {
            let help = "CPU time in seconds, of the user and the system";
            families.counter("process_cpu_seconds", help, seconds)?;
        }
        if let Some(open) = open_descriptors() {
            families.gauge("process_open_fds", "Open file descriptors", open)?;
        }
        if let Some(limit) = crate::descriptors::limit() {
            families.gauge(
                "process_max_fds",
                "Largest number of open file descriptors",
                limit,
            )?;
        }
        Ok(())
    }
}

/// VmRSS of proc_pid_status(5), which is in KiB whatever the page size.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes.saturating_mul(1_024))
}

/// utime and stime of proc_pid_stat(5), fields 14 and 15.
#[expect(
    clippy::cast_precision_loss,
    reason = "ticks of 10 ms stay exact for ages"
)]
fn cpu_seconds() -> Option<f64> {
    /// USER_HZ, which Linux has fixed at 100 on everything we build for.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the name, may hold blanks and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn open_descriptors() -> Option<u64> {
    // One of them is the folder being read.
    let open = fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    u64::try_from(open).ok()
}
