//! What is tested, scenario by scenario; `ALL` is the list.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::browser::{self, Viewer, With};
use super::exact::{self, Collector, Kind};
use super::playlist::{Media, Multivariant};
use super::publisher::{Publisher, Source};
use super::server::Server;
use super::{
    Bench, cache, codecs, dash, glass, hostile, https, note, player, srt, troubles, wait_for,
};
use crate::http;
use crate::process::{Context, Result, Run, ensure};

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) run: fn(&Bench) -> Result,
}

pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "refusals",
        what: "a busy port and bad values end with code 2 and a sentence",
        run: refusals,
    },
    Scenario {
        name: "demo",
        what: "the built-in stream plays on the player page, seams included",
        run: demo,
    },
    Scenario {
        name: "players",
        what: "one publisher, every player",
        run: players,
    },
    Scenario {
        name: "https",
        what: "the player page over HTTPS plays with low latency by HTTP/2 alone",
        run: https::run,
    },
    Scenario {
        name: "mid-gop",
        what: "a viewer that joins in the middle of a long GOP",
        run: mid_gop,
    },
    Scenario {
        name: "restart",
        what: "hls.js plays through a publisher that is killed and comes back",
        run: restart,
    },
    Scenario {
        name: "kick",
        what: "DELETE ends a stream and its publisher",
        run: kick,
    },
    Scenario {
        name: "exact",
        what: "10,000 access units are served as they were published",
        run: exact,
    },
    Scenario {
        name: "glass",
        what: "from glass to glass on the player page; `--minutes 5` judges it",
        run: glass::ordinary,
    },
    Scenario {
        name: "glass-100ms",
        what: "the same with parts of 100 ms",
        run: glass::short,
    },
    Scenario {
        name: "glass-tight",
        what: "the same, two parts behind instead of three",
        run: glass::tight,
    },
    Scenario {
        name: "dash",
        what: "dash.js and shaka, glass to glass in low latency; `--minutes 5` judges them",
        run: dash::low_latency,
    },
    Scenario {
        name: "dash-ordinary",
        what: "dash.js, shaka, FFmpeg and GStreamer play DASH without low latency",
        run: dash::ordinary,
    },
    Scenario {
        name: "dash-restart",
        what: "DASH players in low latency go on with a publisher that comes back",
        run: dash::restart,
    },
    Scenario {
        name: "dash-resize",
        what: "DASH players go on with a publisher that comes back with another size",
        run: dash::resize,
    },
    Scenario {
        name: "dash-edge",
        what: "each DASH segment at the first millisecond that it is declared available",
        run: dash::edge,
    },
    Scenario {
        name: "cache",
        what: "a cache in front fetches each segment once for viewers of HLS and DASH",
        run: cache::run,
    },
    Scenario {
        name: "codecs",
        what: "every codec over every transport is served as it was sent, and plays",
        run: codecs::run,
    },
    Scenario {
        name: "srt-callers",
        what: "every program that speaks SRT, beside others that are refused",
        run: srt::callers,
    },
    Scenario {
        name: "srt-plays",
        what: "hls.js plays what comes over SRT",
        run: srt::plays,
    },
    Scenario {
        name: "srt-exact",
        what: "what comes over SRT is served as it was sent",
        run: srt::exact,
    },
    Scenario {
        name: "srt-loss",
        what: "1 % and 5 % loss over SRT cost no access unit",
        run: srt::loss,
    },
    Scenario {
        name: "troubles",
        what: "players go on through what befalls a publisher",
        run: troubles::run,
    },
    Scenario {
        name: "hostile",
        what: "30 good streams over RTMP and SRT and their viewers do not notice hostile peers",
        run: hostile::run,
    },
];

pub(super) const KEY: &str = "live/cam";

fn refusals(bench: &Bench) -> Result {
    let busy = TcpListener::bind("127.0.0.1:0").context("a port")?;
    let port = busy.local_addr().context("a port")?.port();
    let cases = [
        (
            format!("server.listen=127.0.0.1:{port}"),
            format!("127.0.0.1:{port}"),
        ),
        ("server.listen=nowhere".into(), "server.listen".into()),
        ("rtmp.no_such_key=1".into(), "no_such_key".into()),
        ("nosuchplugin.listen=1".into(), "nosuchplugin".into()),
        ("cmaf.window=soon".into(), "cmaf.window".into()),
    ];
    for (setting, named) in cases {
        let mut command = Command::new(&bench.binary);
        command.args([
            "run",
            "--set",
            "server.listen=127.0.0.1:0",
            "--set",
            "rtmp.listen=127.0.0.1:0",
            "--set",
            "srt.listen=127.0.0.1:0",
        ]);
        let output = command
            .args(["--set", &setting])
            .output()
            .context("rillcast")?;
        let text = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        ensure!(
            code == Some(2),
            "{setting}: the exit code is {code:?}:\n{text}"
        );
        ensure!(
            text.contains(&named),
            "{setting}: the message does not name {named}: {text}"
        );
        ensure!(!text.contains("panicked"), "{setting}: a panic:\n{text}");
        let last = text
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or_default();
        note(format!("{setting}: {last}"));
    }
    Ok(())
}

fn demo(bench: &Bench) -> Result {
    const DEMO: &str = "live/demo";
    const SECONDS: u32 = 20;
    let mut server = Server::demo(bench)?;
    // As a newcomer does: the page is opened before there is anything to play. It
    // may have to try more than once, and must not need its viewer for that.
    let mut early = Viewer::open(bench, With::Watch, &server, DEMO, 12)?;
    let first = early.first_frame(bench)?;
    ensure!(first <= 15_000, "the player page took {first} ms");
    early.watch(bench, 12)?.check_playing(5.0)?;
    server.wait_settled(bench, DEMO)?;
    let mut viewer = Viewer::open(bench, With::Watch, &server, DEMO, SECONDS)?;
    viewer.first_frame(bench)?;
    viewer.watch(bench, SECONDS)?.check(SECONDS, 440)?;
    // Longer than the clip: the seam must not be heard of.
    player::ffmpeg(bench, &server.hls(DEMO), 12)?;
    check_clean(&server, DEMO)?;
    server.stop(bench)
}

fn players(bench: &Bench) -> Result {
    const SECONDS: u32 = 20;
    const SHORT: u32 = 10;
    let source = Source::default();
    let mut server = Server::start(bench, &[])?;
    let mut publisher = Publisher::live(bench, "publisher", &source, &server.rtmp(KEY)?)?;
    server.wait_settled(bench, KEY)?;
    let link = browser::look(bench, &server.url("/"), &format!("a[href='/watch/{KEY}']"))?;
    note(format!("the list shows `{}`", link.trim()));
    browser::switch(bench, &server.url(&format!("/watch/{KEY}")))?;
    for (with, seconds) in [
        (With::Watch, SECONDS),
        (With::WatchNative, SHORT),
        (With::HlsJs, SECONDS),
        (With::Shaka, SHORT),
        (With::Native, SHORT),
    ] {
        let mut viewer = Viewer::open(bench, with, &server, KEY, seconds)?;
        viewer.first_frame(bench)?;
        viewer.watch(bench, seconds)?.check(seconds, source.tone)?;
    }
    player::ffmpeg(bench, &server.hls(KEY), SHORT)?;
    player::vlc(bench, &server.hls(KEY), SHORT)?;
    publisher.check_alive(bench)?;
    check_clean(&server, KEY)?;
    server.stop(bench)?;
    publisher.wait_refused(Duration::from_secs(5))
}

fn mid_gop(bench: &Bench) -> Result {
    // Ten seconds between keyframes: below cmaf.max_gop, above any part.
    let source = Source {
        gop: 250,
        ..Source::default()
    };
    let mut server = Server::start(bench, &[])?;
    let mut publisher = Publisher::live(bench, "publisher", &source, &server.rtmp(KEY)?)?;
    server.wait_playable(bench, KEY)?;
    let start = Instant::now();
    let frame = Run::new("ffmpeg").args([
        "-v",
        "error",
        "-i",
        &server.hls(KEY),
        "-frames:v",
        "1",
        "-f",
        "null",
        "-",
    ]);
    frame.output()?;
    note(format!(
        "ffmpeg: first picture after {} ms",
        start.elapsed().as_millis()
    ));
    let mut viewer = Viewer::open(bench, With::HlsJs, &server, KEY, 10)?;
    let first = viewer.first_frame(bench)?;
    // Far below the 10 s that a wait for the next keyframe takes on average.
    ensure!(first <= 3000, "the first picture took {first} ms");
    viewer.watch(bench, 10)?.check(10, source.tone)?;
    publisher.check_alive(bench)?;
    check_clean(&server, KEY)?;
    server.stop(bench)
}

fn restart(bench: &Bench) -> Result {
    let source = Source::default();
    // A short window, so that the discontinuity is seen to leave it.
    let mut server = Server::start(bench, &["cmaf.window=12s"])?;
    let url = server.rtmp(KEY)?;
    let mut first = Publisher::live(bench, "publisher-1", &source, &url)?;
    server.wait_playable(bench, KEY)?;
    let mut watched = Watched::new(&server)?;
    let mut viewer = Viewer::open(bench, With::HlsJs, &server, KEY, 60)?;
    viewer.first_frame(bench)?;
    let opened = Instant::now();
    // The viewer settles for some seconds first, as one does.
    watched.poll_for(&server, Duration::from_secs(6))?;
    ensure!(
        watched.tagged.is_empty(),
        "there is a discontinuity before the publisher died"
    );
    first.kill();
    watched.poll_for(&server, Duration::from_secs(2))?;
    let mut second = Publisher::live(bench, "publisher-2", &source, &url)?;
    wait_for(
        Duration::from_secs(20),
        "the discontinuity in the playlists",
        || {
            watched.poll(&server)?;
            Ok((watched.tagged.len() == watched.media.len()).then_some(()))
        },
    )?;
    wait_for(
        Duration::from_secs(40),
        "the discontinuity to leave the playlists",
        || {
            watched.poll(&server)?;
            Ok(watched.left.iter().all(|left| *left).then_some(()))
        },
    )?;
    second.check_alive(bench)?;
    let report = viewer.stop(bench)?;
    // At most what was missing (2 s and the start of FFmpeg) and a refilled buffer.
    report.check_moving(opened.elapsed().as_secs_f64() - 10.0, source.tone)?;
    ensure!(
        watched.tagged.len() == watched.media.len(),
        "a second discontinuity: {:?}",
        watched.tagged
    );
    note(format!(
        "one session, one discontinuity, at {:?}",
        watched.tagged
    ));
    server.stop(bench)
}

/// What the media playlists of a stream say over its life.
struct Watched {
    media: Vec<String>,
    session: String,
    /// The last media and discontinuity sequence of each playlist.
    last: Vec<(u64, u64)>,
    /// Playlist and number of each segment that was seen behind EXT-X-DISCONTINUITY.
    tagged: BTreeSet<(usize, u64)>,
    /// Whether the discontinuity has left the playlist.
    left: Vec<bool>,
}

impl Watched {
    fn new(server: &Server) -> Result<Self> {
        let media = Multivariant::fetch(&server.http, &format!("/hls/{KEY}/index.m3u8"))?.media;
        ensure!(
            media.len() == 2,
            "not one playlist for video and one for audio: {media:?}"
        );
        let first = media.first().map_or("", String::as_str);
        let session = Media::fetch(&server.http, first)?.session()?;
        let (last, left) = (vec![(0, 0); media.len()], vec![false; media.len()]);
        Ok(Self {
            media,
            session,
            last,
            tagged: BTreeSet::new(),
            left,
        })
    }

    fn poll(&mut self, server: &Server) -> Result {
        for (i, path) in self.media.iter().enumerate() {
            let playlist = Media::fetch(&server.http, path)?;
            playlist.check()?;
            let session = playlist.session()?;
            ensure!(
                session == self.session,
                "{path}: the session went from {} to {session}",
                self.session
            );
            let (sequence, discontinuities) = (playlist.sequence, playlist.discontinuity_sequence);
            if let Some(last) = self.last.get_mut(i) {
                ensure!(
                    sequence >= last.0 && discontinuities >= last.1,
                    "{path}: a sequence went back"
                );
                *last = (sequence, discontinuities);
            }
            for (segment, number) in playlist.segments.iter().zip(sequence..) {
                if segment.discontinuity {
                    self.tagged.insert((i, number));
                }
            }
            // The tag counts as soon as the segment that carried it has left.
            let gone = self
                .tagged
                .iter()
                .filter(|(list, number)| *list == i && *number < sequence)
                .count();
            ensure!(
                u64::try_from(gone) == Ok(discontinuities),
                "{path}: {gone} discontinuities have left, EXT-X-DISCONTINUITY-SEQUENCE is {discontinuities}"
            );
            if let Some(left) = self.left.get_mut(i) {
                *left = gone > 0;
            }
        }
        Ok(())
    }

    fn poll_for(&mut self, server: &Server, time: Duration) -> Result {
        let start = Instant::now();
        wait_for(time + Duration::from_secs(5), "time to pass", || {
            self.poll(server)?;
            Ok((start.elapsed() >= time).then_some(()))
        })
    }
}

fn kick(bench: &Bench) -> Result {
    let limit = Duration::from_secs(10);
    let mut server = Server::start(bench, &[])?;
    let url = server.rtmp(KEY)?;
    let mut publisher = Publisher::live(bench, "publisher", &Source::default(), &url)?;
    server.wait_playable(bench, KEY)?;

    let mut second = Publisher::live(bench, "second", &Source::default(), &url)?;
    second.wait_refused(limit)?;
    publisher.check_alive(bench)?;
    note("a second publisher of a live key is refused");

    let session = Watched::new(&server)?.session;
    let response = http::request("DELETE", &server.http, &format!("/api/v1/streams/{KEY}"))?;
    ensure!(
        (200..300).contains(&response.status),
        "DELETE was answered with {}: {}",
        response.status,
        response.text()
    );
    wait_for(limit, "the kicked stream to be gone", || {
        Ok(server.stream(KEY)?.is_none().then_some(()))
    })?;
    publisher.wait_refused(limit)?;
    note("DELETE ends stream and publisher");

    let mut again = Publisher::live(bench, "again", &Source::default(), &url)?;
    server.wait_playable(bench, KEY)?;
    // The playlists of the kicked stream may still be there for its viewers.
    wait_for(limit, "playlists of the new stream", || {
        Ok((Watched::new(&server)?.session != session).then_some(()))
    })?;
    note("the key can be published again, in a new session");
    again.check_alive(bench)?;
    server.stop(bench)
}

fn exact(bench: &Bench) -> Result {
    const UNITS: u32 = 10_000;
    const RATE: u32 = 50;
    const SPEED: u32 = 10;
    let sent = bench.dir.join("sent.flv");
    let served = bench.dir.join("served.mp4");
    let path = |file: &std::path::Path| file.display().to_string();
    // Long enough for all, small enough to make in a moment. B-frames in threes with
    // a pyramid reorder as deep as encoders do.
    Run::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i"])
        .arg(format!("testsrc2=size=192x108:rate={RATE}"))
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-profile:v",
            "high",
            "-bf",
            "3",
        ])
        .args([
            "-x264-params",
            "b-pyramid=normal:b-adapt=0:scenecut=0:aud=1",
            "-g",
            "100",
        ])
        .args([
            "-pix_fmt", "yuv420p", "-crf", "32", "-c:a", "aac", "-b:a", "64k",
        ])
        .args(["-t", &(UNITS / RATE).to_string(), "-y"])
        .arg(&sent)
        .output()?;

    let mut server = Server::start(bench, &["bus.reconnect_grace=3s"])?;
    let url = server.rtmp(KEY)?;
    let mut publisher = Publisher::file(bench, "publisher", &path(&sent), SPEED, &url)?;
    server.wait_playable(bench, KEY)?;
    let list = Multivariant::fetch(&server.http, &format!("/hls/{KEY}/index.m3u8"))?;
    let mut collectors: Vec<Collector> = list.media.into_iter().map(Collector::new).collect();
    let mut clean = None;
    wait_for(
        Duration::from_secs(u64::from(UNITS / RATE / SPEED) + 40),
        "the end of the stream",
        || {
            if let Some(stream) = server.stream(KEY)? {
                clean = Some(stream);
            }
            let mut ended = true;
            for collector in &mut collectors {
                ended &= collector.poll(&server.http)?;
            }
            Ok(ended.then_some(()))
        },
    )?;
    publisher.finish(bench, Duration::from_secs(5))?;

    let mut offset = None;
    for (collector, kind) in collectors.iter().zip([Kind::Video, Kind::Audio]) {
        collector.write(&served)?;
        let (sent, served) = (exact::units(&sent, kind)?, exact::units(&served, kind)?);
        offset = Some(exact::compare(kind, &sent, &served, offset)?);
        note(format!(
            "{kind:?}: {} access units are equal, in {} segments",
            sent.len(),
            collector.count()
        ));
    }
    if let Some(stream) = clean {
        check_repairs(&stream)?;
    }
    server.stop(bench)
}

/// A clean publish has no repair.
pub(super) fn check_clean(server: &Server, key: &str) -> Result {
    match server.stream(key)? {
        Some(stream) => check_repairs(&stream),
        None => crate::process::fail!("the API does not know {key}"),
    }
}

pub(super) fn check_repairs(stream: &Value) -> Result {
    let Some(repairs) = find(stream, "repairs") else {
        crate::process::fail!("the API tells no repairs: {stream}");
    };
    ensure!(
        sum(repairs) == 0.0,
        "a clean publish was repaired: {repairs}"
    );
    note("the API tells no repair");
    Ok(())
}

fn find<'a>(json: &'a Value, key: &str) -> Option<&'a Value> {
    match json {
        Value::Object(map) => map
            .get(key)
            .or_else(|| map.values().find_map(|it| find(it, key))),
        Value::Array(list) => list.iter().find_map(|it| find(it, key)),
        _ => None,
    }
}

fn sum(json: &Value) -> f64 {
    match json {
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::Object(map) => map.values().map(sum).sum(),
        Value::Array(list) => list.iter().map(sum).sum(),
        _ => 0.0,
    }
}
