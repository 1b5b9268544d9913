//! Recordings from end to end without a server: the demo's clip through the real cut,
//! into real files, compared with what was sent.

mod disk;
mod files;
mod repair;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use rillcast_core::{Frame, StreamKey, Track};
use rillcast_media::cmaf::{CmafConfig, Segmenter, Snapshot, WallClock};
use rillcast_media::flv::{self, Demuxer};
use rillcast_media::{SourceItem, Timeline};
use tempfile::TempDir;

use crate::config::Config;
use crate::disk::{Place, Writer};
use crate::file::scan::{Scan, scan};
use crate::index::{self, Line};
use crate::take::Taker;

/// A stream that is recorded: the clip goes in, files come out.
struct Scene {
    segmenter: Segmenter,
    timeline: Timeline,
    items: Vec<SourceItem>,
    /// How often the clip was sent.
    rounds: i64,
    start: Instant,
    now: Instant,
    snapshot: Option<Arc<Snapshot>>,
    taker: Taker,
    writer: Writer,
    folder: TempDir,
    /// What was put on the bus, by track.
    sent: BTreeMap<u32, Vec<Frame>>,
    /// What the disk said no to.
    failed: u32,
}

/// One sample of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sample {
    dts: i64,
    pts: i64,
    keyframe: bool,
    payload: Bytes,
}

const CLIP_MS: i64 = 8_000;

/// Begins at second 1,700,000,000 of Unix: 2023-11-14T22:13:20Z.
fn epoch() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

impl Scene {
    fn new(config: &Config) -> Self {
        Self::in_folder(config, tempfile::tempdir().unwrap())
    }

    fn in_folder(config: &Config, folder: TempDir) -> Self {
        let key = StreamKey::parse("live/cam").unwrap();
        let start = Instant::now();
        let clock = WallClock::new(epoch(), start);
        let segmenter = Segmenter::new(key.clone(), "session", CmafConfig::default(), clock);
        let mut reader = flv::file::Reader::new();
        reader.push(include_bytes!("../../server/assets/demo/demo.flv"));
        let mut demuxer = Demuxer::new();
        let mut items = Vec::new();
        while let Some(tag) = reader.next_tag().unwrap() {
            items.extend(demuxer.tag(tag, start).unwrap());
        }
        let place = Place {
            folder: folder.path().to_owned(),
            key: key.clone(),
            sync: false,
        };
        Self {
            segmenter,
            timeline: Timeline::new(),
            items,
            rounds: 0,
            start,
            now: start,
            snapshot: None,
            taker: Taker::new(key, config).unwrap(),
            writer: Writer::new(place),
            folder,
            sent: BTreeMap::new(),
            failed: 0,
        }
    }

    /// Sends the clip, and records what has come at least every `flush`.
    fn play(&mut self, flush: Duration) {
        let mut last = self.now;
        for item in self.items.clone() {
            match item {
                SourceItem::Track(track) => self.describe(track),
                SourceItem::Frame(mut frame) => {
                    frame.dts += self.rounds * CLIP_MS;
                    let at = Duration::from_millis(u64::try_from(frame.dts).unwrap());
                    self.now = self.start + at;
                    frame.received = self.now;
                    self.frame(frame);
                }
                _ => {}
            }
            if self.now.duration_since(last) >= flush {
                last = self.now;
                self.record();
            }
        }
        self.rounds += 1;
    }

    fn describe(&mut self, track: Track) {
        self.timeline.track(&track);
        self.segmenter.track(Arc::new(track), self.now);
    }

    fn frame(&mut self, frame: rillcast_media::SourceFrame) {
        let timed = self.timeline.push(frame);
        if let Some(discontinuity) = timed.discontinuity {
            self.segmenter.discontinuity(discontinuity, self.now);
        }
        if let Some(frame) = timed.frame {
            let number = rillcast_media::fmp4::track_id(frame.track);
            self.sent.entry(number).or_default().push(frame.clone());
            self.segmenter.frame(&frame, self.now);
        }
        if let Some(snapshot) = self.segmenter.snapshot() {
            self.snapshot = Some(snapshot);
        }
    }

    /// What the recorder does once a flush interval.
    fn record(&mut self) {
        let Some(snapshot) = self.snapshot.clone() else {
            return;
        };
        while let Some(step) = self.taker.take(&snapshot) {
            if self.writer.step(step).is_err() {
                self.failed += 1;
                self.taker.give_up();
                return;
            }
        }
    }

    fn end(&mut self) {
        self.segmenter.end(self.now);
        self.snapshot = self.segmenter.snapshot().or(self.snapshot.take());
        self.record();
        assert!(!self.taker.is_open());
        assert_eq!(self.taker.failed, 0);
    }

    fn lines(&self) -> Vec<Line> {
        lines(self.folder.path())
    }

    /// The recorded files in their order.
    fn files(&self) -> Vec<PathBuf> {
        started(&self.lines())
            .map(|file| self.folder.path().join(file))
            .collect()
    }
}

fn lines(folder: &Path) -> Vec<Line> {
    let key = StreamKey::parse("live/cam").unwrap();
    let bytes = fs::read(folder.join(index::path(&key))).unwrap();
    let (lines, good) = index::read(&bytes);
    assert_eq!(good, bytes.len());
    lines
}

fn started(lines: &[Line]) -> impl Iterator<Item = &str> {
    lines.iter().filter_map(|line| match line {
        Line::Start { file, .. } => Some(file.as_str()),
        _ => None,
    })
}

fn scanned(path: &Path) -> Scan {
    scan(&fs::File::open(path).unwrap()).unwrap().unwrap()
}

/// The samples of a file by track, read as a player does: by every number in it.
fn samples(path: &Path) -> BTreeMap<u32, Vec<Sample>> {
    let bytes = Bytes::from(fs::read(path).unwrap());
    let mut samples: BTreeMap<u32, Vec<Sample>> = BTreeMap::new();
    let mut sequence = 0;
    let u32_at = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut at, mut moof) = (0, None);
    while at < bytes.len() {
        let size = u32_at(at) as usize;
        match &bytes[at + 4..at + 8] {
            b"moof" => moof = Some(at),
            b"mdat" => {
                // mfhd, traf: tfhd, tfdt, trun, each of a fixed size before it.
                let moof = moof.take().unwrap();
                let this = u32_at(moof + 20);
                assert!(this == sequence + 1, "{this} after {sequence}");
                sequence = this;
                let track = u32_at(moof + 24 + 8 + 12);
                let mut dts = i64::from(u32_at(moof + 52 + 8 + 4));
                assert_eq!(u32_at(moof + 52 + 8), 0);
                let trun = moof + 68;
                assert_eq!(&bytes[trun + 4..trun + 8], b"trun");
                let mut data = moof + u32_at(trun + 16) as usize;
                assert_eq!(data, at + 8);
                for index in 0..u32_at(trun + 12) as usize {
                    let entry = trun + 20 + 16 * index;
                    let length = u32_at(entry + 4) as usize;
                    samples.entry(track).or_default().push(Sample {
                        dts,
                        pts: dts + i64::from(u32_at(entry + 12).cast_signed()),
                        keyframe: u32_at(entry + 8) & 0x1_0000 == 0,
                        payload: bytes.slice(data..data + length),
                    });
                    data += length;
                    dts += i64::from(u32_at(entry));
                }
                assert_eq!(data, at + size);
            }
            b"ftyp" | b"moov" | b"uuid" | b"prft" => {}
            other => panic!("{:?} at {at}", String::from_utf8_lossy(other)),
        }
        at += size;
    }
    samples
}

impl Scene {
    /// Says that what `file` has of a track is a run of what was sent, at the very
    /// times that file and index say; returns where it begins and ends.
    fn compare(&self, file: &Path, track: u32) -> (usize, usize) {
        let (recorded, sent) = (&samples(file)[&track], &self.sent[&track]);
        let scan = scanned(file);
        let anchor = self.snapshot.as_ref().unwrap().anchor.unwrap();
        let zero = time(&scan.note.at) - Timestamp::try_from(anchor).unwrap();
        let zero = i64::try_from(jiff::SignedDuration::try_from(zero).unwrap().as_nanos()).unwrap();
        let (_, scale) = scan
            .tracks
            .iter()
            .find(|(number, _)| *number == track)
            .unwrap();
        let origin = scale.from_nanos(zero);
        let begins = |frame: &Frame| frame.pts == recorded[0].pts + origin;
        let begin = sent.iter().position(begins).unwrap();
        let end = begin + recorded.len();
        for (sample, frame) in recorded.iter().zip(&sent[begin..end]) {
            let sample = (sample.pts + origin, sample.keyframe, &sample.payload);
            assert!(
                sample == (frame.pts, frame.keyframe, &frame.payload),
                "{frame:?}"
            );
        }
        (begin, end)
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A file's time zero is a little before its first picture.
fn near(text: &str, want: &str) -> bool {
    let early = time(want) - time(text);
    (0..10).contains(&early.get_milliseconds()) && early.get_seconds() == 0
}

fn quickly() -> Duration {
    Duration::from_millis(300)
}

fn whole() -> Config {
    Config {
        file: "{app}/{name}/{start:%H-%M-%S}".to_owned(),
        ..Config::default()
    }
}
