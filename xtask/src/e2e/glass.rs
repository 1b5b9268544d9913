//! From glass to glass: FFmpeg draws the wall clock into its pictures, the player
//! page in headless Chromium shows them, and e2e/glass.js reads the clock back.

use std::time::Duration;

use super::browser::{Viewer, With};
use super::publisher::{Publisher, Source};
use super::server::Server;
use super::{Bench, note};
use crate::process::{Result, ensure};

const KEY: &str = "live/clock";

/// Without `--minutes`: long enough for the page to have settled.
const SHORT_SECONDS: u32 = 20;

/// Above any that low latency gives on a busy machine, below any of ordinary HLS.
const LOW: f64 = 4_000.0;

/// What may be added to PART-HOLD-BACK, in milliseconds.
const MARGIN: f64 = 500.0;

pub(crate) fn ordinary(bench: &Bench) -> Result {
    glass(bench, 200, 3)
}

pub(crate) fn short(bench: &Bench) -> Result {
    glass(bench, 100, 3)
}

pub(crate) fn tight(bench: &Bench) -> Result {
    glass(bench, 100, 2)
}

fn glass(bench: &Bench, part_ms: u32, hold_back: u32) -> Result {
    let seconds = match bench.minutes {
        Some(minutes) => u32::try_from(minutes * 60).unwrap_or(u32::MAX),
        None => SHORT_SECONDS,
    };
    let source = Source {
        clock: true,
        ..Source::default()
    };
    let part = format!("cmaf.part_duration={part_ms}ms");
    let back = format!("hls.part_hold_back={hold_back}.0");
    let mut server = Server::start(bench, &[&part, &back])?;
    let mut publisher = Publisher::live(bench, "publisher", &source, &server.rtmp(KEY)?)?;
    server.wait_settled(bench, KEY)?;
    let mut viewer = Viewer::open(bench, With::WatchGlass, &server, KEY, seconds)?;
    viewer.first_frame(bench)?;
    let report = viewer.watch(bench, seconds)?;
    publisher.check_alive(bench)?;

    let (samples, unread) = report.glass();
    let (waits, still) = report.stalls();
    let at = |percent: usize| {
        let index = (samples.len() * percent / 100).min(samples.len().saturating_sub(1));
        samples.get(index).copied().unwrap_or(f64::NAN)
    };
    let behind = f64::from(part_ms * hold_back);
    note(format!(
        "parts of {part_ms} ms, {hold_back} behind: p50 {:.0} ms, p95 {:.0} ms, most {:.0} ms, \
         of {} pictures in {:?}; {unread} unread; {waits} waits, still for at most {still:.0} ms; \
         the page says {}",
        at(50),
        at(95),
        at(100),
        samples.len(),
        Duration::from_secs(u64::from(seconds)),
        report.figure("Latency").unwrap_or("nothing"),
    ));
    report.check_moving(0.8 * f64::from(seconds), source.tone)?;
    ensure!(
        samples.len() >= 10 * usize::try_from(seconds).unwrap_or(usize::MAX),
        "the clock was read from {} pictures only, and not from {unread}",
        samples.len()
    );
    ensure!(
        at(50) <= LOW,
        "the page does not play with low latency: {:.0} ms",
        at(50)
    );
    // A bar is for a quiet machine and a server that is optimised.
    if bench.minutes.is_some() {
        ensure!(
            at(50) <= behind + MARGIN,
            "the median is {:.0} ms, more than {:.0} ms",
            at(50),
            behind + MARGIN
        );
        ensure!(still < 500.0, "the picture stood still for {still:.0} ms");
    }
    server.stop(bench)
}
