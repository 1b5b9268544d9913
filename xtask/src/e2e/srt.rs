//! The scenarios over SRT: every kind of caller, callers that are refused, a bad
//! network, and that what is served is what was sent.

mod caller;
mod relay;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use self::caller::{Caller, Encryption};
use self::relay::Relay;
use super::browser::{Viewer, With};
use super::exact::{self, Collector, Kind};
use super::playlist::Multivariant;
use super::publisher::{Publisher, Source};
use super::scenarios::{KEY, check_clean, check_repairs};
use super::server::Server;
use super::{Bench, note, player, wait_for};
use crate::process::{Context, Result, Run, ensure, fail};

/// Shared with nobody.
const SECRET: &str = "correct-horse-battery";

/// What each stream asks of its callers.
const STREAMS: &str = "\
[[stream]]
match = \"secret/*\"
srt.passphrase = \"correct-horse-battery\"
";

/// How long callers keep on beside those that are refused.
const BESIDE: u32 = 45;

/// Each program that must work, all at once; beside them those that must not.
pub(crate) fn callers(bench: &Bench) -> Result {
    let file = make(bench, BESIDE, 1_000)?;
    let mut server = Server::configured(bench, STREAMS, &[])?;
    let address = server.srt()?;
    let secret = |key_length, refresh| {
        Some(Encryption {
            passphrase: SECRET,
            key_length,
            refresh,
        })
    };
    let started = Instant::now();
    let mut callers = Vec::new();
    for (name, key, stream_id, encryption) in [
        ("ffmpeg", "live/ffmpeg", "live/ffmpeg", None),
        (
            "current-ffmpeg",
            "secret/current",
            "#!::r=secret/current,m=publish,u=me,s=word",
            secret(32, false),
        ),
        (
            "srt-live-transmit",
            "secret/transmit",
            "#!::m=publish,r=secret/transmit",
            // New keys all the time.
            secret(24, true),
        ),
        (
            "gstreamer",
            "secret/gst",
            "publish:secret/gst:me:word",
            secret(16, false),
        ),
    ] {
        let caller = Caller::start(bench, name, &file, &address, stream_id, encryption)?;
        callers.push((caller, key));
    }
    for (caller, key) in &mut callers {
        server.wait_playable(bench, key)?;
        caller.check_alive(bench)?;
    }
    refusals(bench, &file, &address, &server)?;
    for (caller, key) in &mut callers {
        note(format!("{}:", caller.name()));
        caller.check_alive(bench)?;
        check_clean(&server, key)?;
        check_line(&server, key)?;
        player::ffmpeg(bench, &server.hls(key), 4)?;
    }
    check_key_changes(&server, "secret/transmit", 2)?;
    // At least once every program must have ended in its own way.
    for (caller, key) in &mut callers {
        let left = Duration::from_secs(u64::from(BESIDE) + 10).saturating_sub(started.elapsed());
        caller.finish(bench, left)?;
        wait_for(Duration::from_secs(10), "the end of the publish", || {
            let stream = server.stream(key)?;
            Ok(stream
                .is_none_or(|it| it.get("publisher").is_none_or(Value::is_null))
                .then_some(()))
        })?;
    }
    note("all have ended, and their streams wait for them");
    server.stop(bench)
}

/// Callers that must be refused in words, and must not matter to others.
fn refusals(bench: &Bench, file: &Path, address: &str, server: &Server) -> Result {
    let wrong = Encryption {
        passphrase: "another-horse-altogether",
        key_length: 16,
        refresh: false,
    };
    let right = Encryption {
        passphrase: SECRET,
        ..wrong
    };
    let cases = [
        ("wrong-key", "secret/other", Some(wrong), "passphrase"),
        ("no-key", "secret/other", None, "does not encrypt"),
        ("needless-key", "live/other", Some(right), "no passphrase"),
        ("taken", "secret/gst", Some(right), "secret/gst"),
        ("no-stream", "#!::m=publish", None, "stream"),
        ("play", "#!::r=live/ffmpeg,m=request", None, "receive"),
        ("long-way", "live/../x", None, "two parts"),
    ];
    for ((name, stream_id, encryption, words), host) in cases.into_iter().zip(2..) {
        // From an address of its own: the log has a line for each and minute.
        let source = format!("127.0.0.{host}");
        let relay = Relay::start(bench, address, &[("--source", source.clone())])?;
        let mut caller = Caller::start(bench, name, file, relay.address(), stream_id, encryption)?;
        caller.wait_refused(Duration::from_secs(15))?;
        let log = server_log(bench)?;
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&source)).collect();
        let [line] = lines.as_slice() else {
            fail!("{name}: not one line of the log:\n{}", lines.join("\n"));
        };
        ensure!(
            line.contains("refused: ") && line.contains(words),
            "{name}: the log does not say `{words}`: {line}"
        );
        let (_, why) = line.split_once("refused: ").unwrap_or_default();
        note(format!("{name}: {why}"));
        ensure!(
            server.stream("live/other")?.is_none() && server.stream("secret/other")?.is_none(),
            "{name}: there is a stream"
        );
    }
    Ok(())
}

fn server_log(bench: &Bench) -> Result<String> {
    let path = bench.dir.join("server.log");
    fs::read_to_string(&path).context(path.display())
}

/// hls.js in a browser plays what FFmpeg sends.
pub(crate) fn plays(bench: &Bench) -> Result {
    const SECONDS: u32 = 20;
    let source = Source::default();
    let mut server = Server::start(bench, &[])?;
    let url = format!("srt://{}?streamid={KEY}&latency=200000", server.srt()?);
    let mut publisher = Publisher::live(bench, "publisher", &source, &url)?;
    server.wait_settled(bench, KEY)?;
    let mut viewer = Viewer::open(bench, With::HlsJs, &server, KEY, SECONDS)?;
    viewer.first_frame(bench)?;
    viewer.watch(bench, SECONDS)?.check(SECONDS, source.tone)?;
    publisher.check_alive(bench)?;
    check_clean(&server, KEY)?;
    check_line(&server, KEY)?;
    server.stop(bench)
}

/// What FFmpeg sends is what is served, to the byte and the tick.
pub(crate) fn exact(bench: &Bench) -> Result {
    const SECONDS: u32 = 60;
    const SPEED: u32 = 4;
    let file = make(bench, SECONDS, 500)?;
    let mut server = Server::start(bench, GRACE)?;
    // Its end must be waited for, or FFmpeg throws away what is not sent yet.
    let url = format!(
        "srt://{}?streamid={KEY}&latency=200000&linger=3000000",
        server.srt()?
    );
    let mut watch = Watch::start(bench, &mut server, KEY, &file, SPEED, &url)?;
    let limit = Duration::from_secs(u64::from(SECONDS / SPEED) + 40);
    wait_for(limit, "the end of the stream", || {
        Ok(watch.poll(&server)?.then_some(()))
    })?;
    watch.judge(bench, &file, Duration::ZERO)?;
    server.stop(bench)
}

/// A publisher that ends is not waited for any longer than this.
const GRACE: &[&str] = &["bus.reconnect_grace=3s"];

/// 1 % and 5 % of all datagrams are lost in both directions, which take 20 ms.
pub(crate) fn loss(bench: &Bench) -> Result {
    let seconds = bench.minutes.map_or(20, |minutes| minutes * 60);
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    let file = make(bench, seconds, 2_500)?;
    let mut server = Server::start(bench, GRACE)?;
    let to = server.srt()?;
    let mut runs = Vec::new();
    for (key, percent) in [("live/one", 1_u32), ("live/five", 5)] {
        let relay = Relay::start(
            bench,
            &to,
            &[
                ("--loss", percent.to_string()),
                ("--delay", "20".to_owned()),
                ("--seed", percent.to_string()),
            ],
        )?;
        let url = format!("srt://{}?streamid={key}&latency=500000", relay.address());
        let watch = Watch::start(bench, &mut server, key, &file, 1, &url)?;
        runs.push((percent, relay, watch));
    }
    let limit = Duration::from_secs(u64::from(seconds) + 60);
    wait_for(limit, "the end of the streams", || {
        let mut ended = true;
        for (_, _, watch) in &mut runs {
            ended &= watch.poll(&server)?;
        }
        Ok(ended.then_some(()))
    })?;
    for (percent, relay, watch) in runs {
        let counts = relay.stop()?;
        let of = |name| counts.pointer(name).and_then(Value::as_u64).unwrap_or(0);
        let (received, lost) = (of("/up/received"), of("/up/lost"));
        note(format!(
            "{percent} %: the network lost {lost} of {received} datagrams, and {} of {} back",
            of("/down/lost"),
            of("/down/received"),
        ));
        ensure!(
            of("/up/overflowed") + of("/down/overflowed") == 0,
            "the relay was overrun: {counts}"
        );
        // Half of what is to be expected at least: else there was no bad network.
        ensure!(
            lost * 200 >= received * u64::from(percent) && lost > 0,
            "the network lost hardly anything: {counts}"
        );
        watch.judge(bench, &file, TAIL)?;
    }
    server.stop(bench)
}

/// A publish of a file, and what is served of it.
struct Watch {
    key: String,
    publisher: Publisher,
    collectors: Vec<Collector>,
    /// The last that the API said of it while it was published.
    stream: Option<Value>,
}

/// What may be missing of a track at its end: a caller that ends does not send
/// again what its last moments lost.
const TAIL: Duration = Duration::from_secs(2);

impl Watch {
    fn start(
        bench: &Bench,
        server: &mut Server,
        key: &str,
        file: &Path,
        speed: u32,
        url: &str,
    ) -> Result<Self> {
        let name = key.replace('/', "-");
        let path = file.display().to_string();
        let publisher = Publisher::file(bench, &name, &path, speed, url)?;
        server.wait_playable(bench, key)?;
        let list = Multivariant::fetch(&server.http, &format!("/hls/{key}/index.m3u8"))?;
        Ok(Self {
            key: key.to_owned(),
            publisher,
            collectors: list.media.into_iter().map(Collector::new).collect(),
            stream: None,
        })
    }

    /// Fetches what has come; whether the stream has ended.
    fn poll(&mut self, server: &Server) -> Result<bool> {
        if let Some(stream) = server.stream(&self.key)?
            && stream
                .pointer("/publisher/link")
                .is_some_and(Value::is_object)
        {
            self.stream = Some(stream);
        }
        let mut ended = true;
        for collector in &mut self.collectors {
            ended &= collector.poll(&server.http)?;
        }
        Ok(ended)
    }

    /// All that was sent was served, in order, whole and on time, but for its `tail`.
    fn judge(mut self, bench: &Bench, file: &Path, tail: Duration) -> Result {
        let key = &self.key;
        self.publisher.finish(bench, Duration::from_secs(5))?;
        let served = bench.dir.join("served.mp4");
        let mut offset = None;
        for (collector, kind) in self.collectors.iter().zip([Kind::Video, Kind::Audio]) {
            collector.write(&served)?;
            let mut sent = exact::units(file, kind)?;
            let mut got = exact::units(&served, kind)?;
            let missing = sent.len().saturating_sub(got.len());
            let tail = exact::last(&sent, tail);
            ensure!(
                missing <= tail && got.len() <= sent.len(),
                "{key}: {} access units were served, {missing} of {} access units ({kind:?}) were not",
                got.len(),
                sent.len()
            );
            // A hole that nobody fills any more may be anywhere in the tail.
            sent.truncate(sent.len().saturating_sub(tail));
            got.truncate(sent.len());
            offset = Some(exact::compare(kind, &sent, &got, offset)?);
            note(format!(
                "{key}: {kind:?}: {} access units are equal, {missing} of {tail} behind them not sent",
                got.len()
            ));
        }
        let Some(stream) = &self.stream else {
            fail!("{key}: the API has never told of its line");
        };
        check_repairs(stream)?;
        check_link(key, stream)
    }
}

/// The publisher goes over to new keys, and nothing is lost by it.
fn check_key_changes(server: &Server, key: &str, least: u64) -> Result {
    wait_for(Duration::from_secs(20), "new keys", || {
        let Some(stream) = server.stream(key)? else {
            fail!("the API does not know {key}");
        };
        let changes = stream.pointer("/publisher/link/key_changes");
        let changes = changes.and_then(Value::as_u64).unwrap_or(0);
        if changes < least {
            return Ok(None);
        }
        note(format!(
            "{key}: it went over to another key {changes} times"
        ));
        Ok(Some(()))
    })?;
    check_line(server, key)
}

/// What the receiver says of a line.
fn check_line(server: &Server, key: &str) -> Result {
    match server.stream(key)? {
        Some(stream) => check_link(key, &stream),
        None => fail!("the API does not know {key}"),
    }
}

/// Nothing was dropped, and nothing could not be decrypted.
fn check_link(key: &str, stream: &Value) -> Result {
    let link = stream.pointer("/publisher/link");
    let Some(link) = link.filter(|link| link.is_object()) else {
        fail!("{key}: the API tells nothing of the line: {stream}");
    };
    for name in ["dropped", "overflowed", "undecrypted"] {
        ensure!(
            link.get(name).and_then(Value::as_u64) == Some(0),
            "{key}: {name} is not 0: {link}"
        );
    }
    let show = |name| link.get(name).map(Value::to_string).unwrap_or_default();
    note(format!(
        "{key}: {} packets, {} found missing, {} sent again, none dropped, RTT {}",
        show("received"),
        show("lost"),
        show("retransmitted"),
        show("rtt")
    ));
    Ok(())
}

/// A file of `seconds`, `kilobits` each, as MPEG-TS.
fn make(bench: &Bench, seconds: u32, kilobits: u32) -> Result<PathBuf> {
    let file = bench.dir.join("sent.ts");
    let rate = format!("{kilobits}k");
    Run::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i"])
        .arg("testsrc2=size=320x180:rate=25,noise=alls=20:allf=t")
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
        .args(["-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-profile:v", "high", "-bf", "2", "-g", "50"])
        .args(["-x264-params", "b-adapt=0:scenecut=0"])
        .args(["-pix_fmt", "yuv420p", "-b:v", &rate, "-maxrate", &rate])
        .args(["-bufsize", &rate, "-c:a", "aac", "-b:a", "96k"])
        .args(["-t", &seconds.to_string(), "-f", "mpegts", "-y"])
        .arg(&file)
        .output()?;
    Ok(file)
}
