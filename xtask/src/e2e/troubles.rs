//! What happens to publishers, while players watch: a jump of their clock, ten
//! seconds without a frame, a connection that is lost, and one that comes back
//! with pictures of another size. Each player has to go on by itself.

use std::time::Duration;

use super::browser::{Viewer, With};
use super::player::Watching;
use super::publisher::{Publisher, Source};
use super::server::Server;
use super::{Bench, note};
use crate::process::Result;
use crate::tools;

const KEY: &str = "live/trouble";

/// The page with hls.js, FFmpeg, GStreamer.
///
/// Not Chromium's own player, which goes on most times and now and then gives up
/// with COULD_NOT_PARSE: why is not known yet. Not shaka: 5.2 takes the jump of the dates at a reconnect out of its timeline,
/// but lets segments go by the wall clock, until it has none left and fails in its
/// own parser. Not VLC: version 3 begins a new demuxer behind any
/// EXT-X-DISCONTINUITY without the initialisation segment, and is at its end with
/// fragmented MP4.
pub(crate) fn run(bench: &Bench) -> Result {
    let browsers = [With::Watch, With::HlsJs];
    let usual = Source {
        jump: Some(14),
        ..Source::default()
    };
    let small = Source {
        size: (480, 270),
        ..Source::default()
    };
    let mut server = Server::start(bench, &[])?;
    let url = server.rtmp(KEY)?;
    let mut publisher = Publisher::live(bench, "publisher-1", &usual, &url)?;
    server.wait_settled(bench, KEY)?;

    let mut viewers = Vec::new();
    for with in browsers {
        let mut viewer = Viewer::open(bench, with, &server, KEY, 300)?;
        viewer.first_frame(bench)?;
        viewers.push(viewer);
    }
    let hls = server.hls(KEY);
    let mut watching = vec![Watching::ffmpeg(bench, &hls)?];
    if tools::in_path("gst-launch-1.0") {
        watching.push(Watching::gstreamer(bench, &hls)?);
    }
    let mut go_on = |after: &str| -> Result {
        for player in &mut watching {
            player.goes_on(bench, after)?;
        }
        Ok(())
    };
    go_on("the start")?;
    // The time passes whatever happens; what is waited for is behind it.
    std::thread::sleep(Duration::from_secs(12));
    go_on("a jump of the clock")?;
    publisher.freeze()?;
    std::thread::sleep(Duration::from_secs(10));
    publisher.resume()?;
    std::thread::sleep(Duration::from_secs(6));
    go_on("ten seconds without a frame")?;
    publisher.kill();
    std::thread::sleep(Duration::from_secs(2));
    let mut publisher = Publisher::live(bench, "publisher-2", &Source::default(), &url)?;
    std::thread::sleep(Duration::from_secs(8));
    go_on("a reconnect")?;
    publisher.kill();
    std::thread::sleep(Duration::from_secs(2));
    let mut publisher = Publisher::live(bench, "publisher-3", &small, &url)?;
    std::thread::sleep(Duration::from_secs(12));
    go_on("pictures of another size")?;

    // Of all that was published, what was lost and what filled buffers anew.
    const AT_LEAST: f64 = 30.0;
    let mut failures = Vec::new();
    for viewer in viewers {
        let checked = viewer.stop(bench).and_then(|report| {
            report.check_playing(AT_LEAST)?;
            report.check_size(small.size)
        });
        failures.extend(checked.err().map(|failure| failure.to_string()));
    }
    crate::process::ensure!(failures.is_empty(), "{}", failures.join("; "));
    publisher.check_alive(bench)?;
    note("all went on");
    server.stop(bench)
}
