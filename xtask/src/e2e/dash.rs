//! DASH: players in headless Chromium and elsewhere, and the very edge of what a
//! manifest declares available.

mod edge;
mod manifest;

use std::time::{Duration, Instant};

pub(crate) use self::edge::edge;
pub(crate) use self::manifest::Manifest;
use super::browser::{Report, Viewer, With};
use super::publisher::{Publisher, Source};
use super::scenarios::{KEY, check_clean};
use super::server::Server;
use super::{Bench, note, player, wait_for};
use crate::process::{Result, ensure};
use crate::{http, tools};

/// Segments of a second, for runs that have some seconds only.
const SHORT_SEGMENTS: &str = "cmaf.segment_duration=1s";

/// The bars of the median from glass to glass, in milliseconds.
const DASH_JS: f64 = 1_200.0;
const SHAKA: f64 = 900.0;

/// dash.js and shaka in low latency: from glass to glass, without a stall or a
/// failed request.
pub(crate) fn low_latency(bench: &Bench) -> Result {
    let seconds = bench.minutes.map_or(15, |minutes| minutes * 60);
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    let source = source(bench);
    let settings: &[&str] = match bench.minutes {
        Some(_) => &[],
        None => &[SHORT_SEGMENTS],
    };
    let mut server = Server::start(bench, settings)?;
    let mut publisher = Publisher::live(bench, "publisher", &source, &server.rtmp(KEY)?)?;
    server.wait_playable(bench, KEY)?;
    wait_for_low_latency(&server)?;
    for (with, bar) in [
        (With::DashJs, DASH_JS),
        (With::ShakaDash { low: true }, SHAKA),
    ] {
        let mut viewer = Viewer::open(bench, with, &server, KEY, seconds)?;
        viewer.first_frame(bench)?;
        let report = viewer.watch(bench, seconds)?;
        publisher.check_alive(bench)?;
        let median = glass(&report)?;
        report.check_moving(0.8 * f64::from(seconds), source.tone)?;
        if bench.minutes.is_some() {
            // A bar is for a quiet machine and a server that is optimised.
            let (_, still) = report.stalls();
            ensure!(still < 500.0, "the picture stood still for {still:.0} ms");
            ensure!(
                median <= bar,
                "the median is {median:.0} ms, more than {bar:.0} ms"
            );
        } else {
            ensure!(
                median <= LOW,
                "this is not low latency: {median:.0} ms, more than {LOW:.0} ms"
            );
        }
    }
    check_clean(&server, KEY)?;
    server.stop(bench)
}

/// Every player, three segments behind live.
pub(crate) fn ordinary(bench: &Bench) -> Result {
    const SECONDS: u32 = 12;
    // Segments of 1.2 s: at each reload of a timeline FFmpeg goes back to the whole
    // second in which its place is (5.1 to 9.0), and of two segments that begin in one
    // second it takes the first again.
    let source = Source {
        gop: 30,
        ..source(bench)
    };
    let mut server = Server::start(bench, &[SHORT_SEGMENTS, "dash.low_latency=false"])?;
    let mut publisher = Publisher::live(bench, "publisher", &source, &server.rtmp(KEY)?)?;
    server.wait_settled(bench, KEY)?;
    // It fills its buffers for half a minute before it shows anything.
    let gstreamer = tools::in_path("gst-launch-1.0")
        .then(|| player::Watching::gstreamer(bench, &server.dash(KEY)));
    for with in [With::DashJs, With::ShakaDash { low: false }] {
        let mut viewer = Viewer::open(bench, with, &server, KEY, SECONDS)?;
        viewer.first_frame(bench)?;
        let report = viewer.watch(bench, SECONDS)?;
        glass(&report)?;
        report.check(SECONDS, source.tone)?;
    }
    // Faster, it runs into the edge, where it asks for a number that is not listed yet,
    // is given it, and then takes the list's end for that number's.
    player::ffmpeg_paced(bench, &server.dash(KEY), SECONDS)?;
    if let Some(gstreamer) = gstreamer {
        // At the edge it stops now and then to fill them again.
        gstreamer?.has_shown(bench, 250)?;
    }
    publisher.check_alive(bench)?;
    check_clean(&server, KEY)?;
    server.stop(bench)
}

/// Players in low latency go on through a publisher that is killed and comes back.
pub(crate) fn restart(bench: &Bench) -> Result {
    for with in [With::DashJs, With::ShakaDash { low: true }] {
        restarted(bench, with, &[SHORT_SEGMENTS], source(bench).size)?;
    }
    Ok(())
}

/// Players three segments behind go on through a publisher that comes back with
/// pictures of another size.
pub(crate) fn resize(bench: &Bench) -> Result {
    for with in [With::DashJs, With::ShakaDash { low: false }] {
        let settings = [SHORT_SEGMENTS, "dash.low_latency=false"];
        restarted(bench, with, &settings, (480, 270))?;
    }
    Ok(())
}

fn restarted(bench: &Bench, with: With, settings: &[&str], size: (u32, u32)) -> Result {
    let source = source(bench);
    let mut server = Server::start(bench, settings)?;
    let url = server.rtmp(KEY)?;
    let mut first = Publisher::live(bench, "publisher-1", &source, &url)?;
    if settings.len() == 1 {
        server.wait_playable(bench, KEY)?;
        wait_for_low_latency(&server)?;
    } else {
        server.wait_settled(bench, KEY)?;
    }
    let mut viewer = Viewer::open(bench, with, &server, KEY, 90)?;
    viewer.first_frame(bench)?;
    let opened = Instant::now();
    // The viewer settles for some seconds first, as one does.
    std::thread::sleep(Duration::from_secs(5));
    first.kill();
    std::thread::sleep(Duration::from_secs(2));
    let other = Source {
        size,
        // Nothing but the size, so that the same size is the same configuration.
        clock: size == source.size,
        ..source
    };
    let mut second = Publisher::live(bench, "publisher-2", &other, &url)?;
    std::thread::sleep(Duration::from_secs(13));
    second.check_alive(bench)?;
    let report = viewer.stop(bench)?;
    // At most what was missing (2 s and the start of FFmpeg) and a refilled buffer.
    let seconds = opened.elapsed().as_secs_f64() - 10.0;
    // What was promised before the publisher went is refused a segment later
    // (MEDIA.md section 5).
    let withdrawn = |what: &str| what.contains("404") && what.contains("/cmaf/");
    report.check_playing_despite(seconds, withdrawn)?;
    ensure!(
        report.size() == size,
        "the picture is {:?}, not that of the second publisher",
        report.size()
    );
    server.stop(bench)
}

/// Above any that low latency gives on a busy machine, below any of ordinary DASH.
const LOW: f64 = 2_500.0;

fn source(bench: &Bench) -> Source {
    Source {
        clock: true,
        gop: if bench.minutes.is_some() { 50 } else { 25 },
        ..Source::default()
    }
}

/// Waits until the manifest offers segments that are being cut, and no others.
fn wait_for_low_latency(server: &Server) -> Result {
    let start = Instant::now();
    wait_for(Duration::from_secs(40), "low latency", || {
        let path = format!("/dash/{KEY}/manifest.mpd");
        let text = http::get(&server.http, &path)?.text();
        let early = text.contains("availabilityTimeComplete");
        Ok((early && !text.contains("<SegmentTimeline")).then_some(()))
    })?;
    note(format!(
        "low latency {:.1} s later",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Tells what was read of the clock in the picture, and returns the median.
fn glass(report: &Report) -> Result<f64> {
    let (samples, unread) = report.glass();
    let at = |percent: usize| {
        let index = (samples.len() * percent / 100).min(samples.len().saturating_sub(1));
        samples.get(index).copied().unwrap_or(f64::NAN)
    };
    let (waits, still) = report.stalls();
    note(format!(
        "glass to glass: p50 {:.0} ms, p95 {:.0} ms, most {:.0} ms, of {} pictures; \
         {unread} unread; {waits} waits, still for at most {still:.0} ms",
        at(50),
        at(95),
        at(100),
        samples.len(),
    ));
    ensure!(!samples.is_empty(), "the clock was read from no picture");
    Ok(at(50))
}
