//! A player at the very edge: it asks for each segment at the first millisecond
//! that the manifest in force declares it available, and for each manifest as late
//! as it may, across publishers that are killed and come back, with an encoder's
//! clock that is off.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::manifest::Manifest;
use crate::e2e::publisher::{Publisher, Source};
use crate::e2e::scenarios::KEY;
use crate::e2e::server::Server;
use crate::e2e::{Bench, note};
use crate::http;
use crate::process::{Context, Failure, Result, ensure};

/// By how much the encoder's clock is fast, in millionths.
const PPM: i32 = 100;

pub(crate) fn edge(bench: &Bench) -> Result {
    let lasts = Duration::from_secs(bench.minutes.map_or(30, |minutes| minutes * 60));
    let source = Source {
        gop: 25,
        ppm: PPM,
        ..Source::default()
    };
    let mut server = Server::start(bench, &["cmaf.segment_duration=1s"])?;
    let url = server.rtmp(KEY)?;
    let mut publisher = Publisher::live(bench, "publisher-1", &source, &url)?;
    server.wait_playable(bench, KEY)?;
    let mut player = Player::new(&server.http)?;
    let start = Instant::now();
    // A short absence and a long one.
    for (index, away) in [(1, 500), (2, 4_000)] {
        player.play_until(start + lasts * index / 3)?;
        publisher.kill();
        player.play_until(Instant::now() + Duration::from_millis(away))?;
        let name = format!("publisher-{}", index + 1);
        publisher = Publisher::live(bench, &name, &source, &url)?;
    }
    player.play_until(start + lasts)?;
    publisher.check_alive(bench)?;
    player.finish()?;
    player.judge(lasts)?;
    server.stop(bench)
}

struct Player {
    server: String,
    manifest: Manifest,
    /// When the manifest must be asked for again.
    update: SystemTime,
    /// The number that is asked for next of each track.
    next: BTreeMap<String, u64>,
    timescales: BTreeMap<String, f64>,
    asked: BTreeMap<(String, u64), f64>,
    answers: (Sender<Answer>, Receiver<Answer>),
    open: usize,
    got: BTreeMap<(String, u64), Times>,
    /// Numbers that a Period was seen to begin with.
    begins: Vec<u64>,
    /// Numbers that are in no Period, of a track.
    left_out: Vec<(String, Range<u64>)>,
    /// Requests in vain for what was promised before the publisher went.
    withdrawn: u32,
    early: u32,
}

/// What came of a request.
struct Answer {
    track: String,
    number: u64,
    response: Result<http::Response>,
    took: Duration,
}

/// When a segment's samples are decoded, in ticks.
struct Times {
    start: u64,
    end: u64,
}

impl Player {
    fn new(server: &str) -> Result<Self> {
        let manifest = Manifest::fetch(server, KEY)?;
        let mut player = Self {
            server: server.to_owned(),
            update: SystemTime::now(),
            next: BTreeMap::new(),
            timescales: BTreeMap::new(),
            asked: BTreeMap::new(),
            answers: channel(),
            open: 0,
            got: BTreeMap::new(),
            begins: Vec::new(),
            left_out: Vec::new(),
            withdrawn: 0,
            early: 0,
            manifest,
        };
        let now = SystemTime::now();
        for template in player.manifest.tracks() {
            let init = http::get(server, &template.init)?.body;
            let newest = player.manifest.newest(&template.track, now);
            player
                .next
                .insert(template.track.clone(), newest.unwrap_or(1));
            player
                .timescales
                .insert(template.track.clone(), timescale(&init)?);
        }
        ensure!(
            player.next.len() == 2,
            "not one track of video and one of audio"
        );
        Ok(player)
    }

    fn play_until(&mut self, until: Instant) -> Result {
        while Instant::now() < until {
            self.step()?;
        }
        Ok(())
    }

    /// Waits for all that was asked for.
    fn finish(&mut self) -> Result {
        while self.open > 0 {
            let limit = Duration::from_secs(20);
            let answer = self.answers.1.recv_timeout(limit);
            let answer = answer.map_err(|_| Failure::new("a request was never answered"))?;
            self.take(answer)?;
        }
        Ok(())
    }

    /// Does what is due, and waits for what is due next.
    fn step(&mut self) -> Result {
        while let Ok(answer) = self.answers.1.try_recv() {
            self.take(answer)?;
        }
        let now = SystemTime::now();
        if now >= self.update {
            self.fetch()?;
        }
        let mut due = self.update;
        for (track, next) in &mut self.next {
            // Where no Period has it, the next Period goes on behind it.
            if self.manifest.place(track, *next).is_none()
                && let Some(first) = self.manifest.firsts().find(|first| first > next)
            {
                self.left_out.push((track.clone(), *next..first));
                *next = first;
            }
            // A manifest that lists several at once has them all available.
            while let Some(place) = self.manifest.place(track, *next) {
                if place.available > now {
                    due = due.min(place.available);
                    break;
                }
                let (track, number) = (track.clone(), *next);
                self.asked.insert((track.clone(), number), place.begin);
                let (server, answers) = (self.server.clone(), self.answers.0.clone());
                self.open += 1;
                thread::spawn(move || {
                    let start = Instant::now();
                    let response = http::request("GET", &server, &place.path);
                    let took = start.elapsed();
                    // Who waits for it may have failed.
                    let _ = answers.send(Answer {
                        track,
                        number,
                        response,
                        took,
                    });
                });
                *next += 1;
            }
        }
        let wait = due.duration_since(SystemTime::now()).unwrap_or_default();
        thread::sleep(wait.min(Duration::from_millis(20)));
        Ok(())
    }

    fn fetch(&mut self) -> Result {
        let asked = SystemTime::now();
        self.manifest = Manifest::fetch(&self.server, KEY)?;
        let update = self
            .manifest
            .update
            .context("the manifest is not updated any more")?;
        self.update = asked + update;
        self.begins.extend(self.manifest.firsts());
        self.begins.sort_unstable();
        self.begins.dedup();
        Ok(())
    }

    fn take(&mut self, answer: Answer) -> Result {
        self.open -= 1;
        let Answer {
            track,
            number,
            response,
            took,
        } = answer;
        let response = response?;
        let what = format!("segment {number} of {track}, after {took:?}");
        if response.status == 404 {
            // Judged by the manifest in force: the publisher may be away.
            self.fetch()?;
            let place = self.manifest.place(&track, number);
            let declared = place.is_some_and(|place| place.available <= SystemTime::now());
            ensure!(!declared, "404: {what}, and is declared available");
            self.withdrawn += 1;
            // It is asked for again when it is declared again.
            let next = self.next.entry(track).or_insert(number);
            *next = number.min(*next);
            return Ok(());
        }
        ensure!(response.status == 200, "{}: {what}", response.status);
        self.early += u32::from(response.header("content-length").is_none());
        let times =
            times(&response.body).map_err(|error| Failure::new(format!("{what}: {error}")))?;
        let scale = self.timescales.get(&track).copied().unwrap_or(1.0);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let begin = times.start as f64 / scale;
        let asked = self.asked.get(&(track.clone(), number)).copied();
        let asked = asked.context("an answer to no request")?;
        // Sound is cut where the picture is decoded, which is before it is shown.
        let is_there = |place: f64| (place - begin).abs() < 0.3;
        if !is_there(asked) {
            // It was to follow what came, and a break has come between: the manifest
            // in force says where it is.
            self.fetch()?;
            let place = self.manifest.place(&track, number);
            ensure!(
                place.as_ref().is_none_or(|place| is_there(place.begin)),
                "{what}: begins at {begin}, not at {asked}"
            );
        }
        self.got.insert((track, number), times);
        Ok(())
    }

    /// Decode times go on to the tick, but where a Period begins; no number is missing.
    fn judge(&mut self, lasts: Duration) -> Result {
        self.fetch()?;
        let mut breaks = Vec::new();
        let mut before: Option<(&str, u64, u64)> = None;
        for ((track, number), times) in &self.got {
            if let Some((_, last, end)) = before.filter(|(name, ..)| name == track) {
                if *number != last + 1 {
                    self.judge_left_out(track, last + 1..*number)?;
                    breaks.push(*number);
                } else if times.start != end {
                    ensure!(
                        self.begins.contains(number),
                        "{track}: {number} begins at {}, {last} ends at {end}",
                        times.start
                    );
                    breaks.push(*number);
                }
            }
            before = Some((track.as_str(), *number, times.end));
        }
        breaks.sort_unstable();
        breaks.dedup();
        let count = self.got.len();
        note(format!(
            "{count} segments, {} while they were cut; {} withdrawn as the publisher went; \
             breaks at {breaks:?}, Periods from {:?}",
            self.early, self.withdrawn, self.begins
        ));
        ensure!(breaks.len() == 2, "two absences made breaks at {breaks:?}");
        let least = usize::try_from(lasts.as_secs()).unwrap_or(0) * 2;
        ensure!(
            count + 30 >= least,
            "{count} segments in {lasts:?}, of a second each and two tracks"
        );
        ensure!(self.early > 0, "no segment was had while it was cut");
        Ok(())
    }
}

impl Player {
    /// Only what the publisher left behind in its last instant may be in no Period.
    fn judge_left_out(&self, track: &str, numbers: Range<u64>) -> Result {
        let entry = (track.to_owned(), numbers);
        let (_, numbers) = &entry;
        ensure!(
            self.left_out.contains(&entry) && self.begins.contains(&numbers.end),
            "{track}: {} comes after {}",
            numbers.end,
            numbers.start - 1
        );
        for number in numbers.clone() {
            let tracks = self.manifest.tracks();
            let template = tracks.iter().find(|it| it.track == track);
            let template = template.context("the track is gone")?;
            let path = template.path(number);
            let response = http::request("GET", &self.server, &path)?;
            if response.status != 404 {
                let times = times(&response.body)?;
                let scale = self.timescales.get(track).copied().unwrap_or(1.0);
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
                let lasts = (times.end - times.start) as f64 / scale;
                note(format!("{track}: {number}, {lasts:.3} s, is in no Period"));
                ensure!(lasts < 0.25, "{track}: {number} is in no Period");
            }
        }
        Ok(())
    }
}

/// The ticks per second of an initialisation segment (`mdhd`).
fn timescale(init: &[u8]) -> Result<f64> {
    let at = init.windows(4).position(|it| it == b"mdhd");
    let body = at.and_then(|at| init.get(at + 4..)).context("no mdhd")?;
    let skip = if body.first() == Some(&1) { 20 } else { 12 };
    let scale = body.get(skip..skip + 4).context("a short mdhd")?;
    Ok(f64::from(number(scale)?))
}

/// What the fragments of a segment say of their times: each goes on where the one
/// before ended.
fn times(segment: &[u8]) -> Result<Times> {
    let mut times: Option<Times> = None;
    for (kind, body) in boxes(segment)? {
        if kind != *b"moof" {
            continue;
        }
        for (kind, traf) in boxes(body)? {
            if kind != *b"traf" {
                continue;
            }
            let (mut start, mut duration) = (None, 0_u64);
            for (kind, body) in boxes(traf)? {
                match &kind {
                    // Version 1, which has 64 bits.
                    b"tfdt" => {
                        let high = u64::from(number(body.get(4..8).context("tfdt")?)?);
                        let low = u64::from(number(body.get(8..12).context("tfdt")?)?);
                        start = Some(high << 32 | low);
                    }
                    // Duration, size, flags and offset of each sample.
                    b"trun" => {
                        for sample in body.get(12..).context("trun")?.chunks_exact(16) {
                            let ticks = number(sample.get(..4).context("a sample")?)?;
                            duration += u64::from(ticks);
                        }
                    }
                    _ => {}
                }
            }
            let start = start.context("a fragment without a time")?;
            match &mut times {
                Some(times) => {
                    ensure!(
                        start == times.end,
                        "a part at {start}, not at {}",
                        times.end
                    );
                    times.end += duration;
                }
                None => {
                    times = Some(Times {
                        start,
                        end: start + duration,
                    });
                }
            }
        }
    }
    times.context("no fragment")
}

/// The boxes that `bytes` are, whole.
fn boxes(mut bytes: &[u8]) -> Result<Vec<([u8; 4], &[u8])>> {
    let mut boxes = Vec::new();
    while !bytes.is_empty() {
        let size = number(bytes.get(..4).context("a box")?)?;
        let size = usize::try_from(size).map_err(|_| Failure::new("a large box"))?;
        let kind = bytes.get(4..8).and_then(|it| it.try_into().ok());
        let body = bytes.get(8..size).context("a box that is cut off")?;
        boxes.push((kind.context("a box")?, body));
        bytes = bytes.get(size..).unwrap_or_default();
    }
    Ok(boxes)
}

fn number(bytes: &[u8]) -> Result<u32> {
    let bytes = bytes.try_into().map_err(|_| Failure::new("four bytes"))?;
    Ok(u32::from_be_bytes(bytes))
}
