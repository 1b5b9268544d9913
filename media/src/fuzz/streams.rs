//! Streams of any kind through the segmenter: every snapshot keeps the laws,
//! and no frame goes missing that was not counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rillcast_core::{
    ByteSize, Discontinuity, DiscontinuityCause, Frame, HumanDuration, MediaKind, StreamKey, Track,
    TrackId,
};

use super::input::Reader;
use crate::cmaf::{CmafConfig, Segmenter, Snapshot, WallClock, check};
use crate::codec::{aac, avc};
use crate::flv::{Demuxer, file};
use crate::{SourceItem, Timeline};

/// A configuration, then what happens to a stream, act by act.
pub fn segmenter(data: &[u8]) {
    let mut from = Reader::new(data);
    let segment = 500 + u64::from(from.u8()) * 100;
    let part = 20 + u64::from(from.u8()) * 4;
    let window = u64::from(from.u8());
    let memory = match from.u8() {
        small @ 192.. => ByteSize(u64::from(small) << 14),
        _ => ROOMY,
    };
    let config = CmafConfig {
        segment_duration: HumanDuration::from_millis(segment),
        part_duration: HumanDuration::from_millis(part),
        window: HumanDuration::from_secs(window),
        memory,
        ..CmafConfig::default()
    };
    if config.validate().is_err() {
        return;
    }
    let mut source = Source::new(config);
    while !from.is_empty() && source.budget > 0 {
        source.act(&mut from);
    }
    // What is measured before the first cut may be longer than a short window,
    // and its beginning is then let go unseen.
    let roomy = memory == ROOMY && window >= 20;
    source.viewer.finish(roomy && source.orderly);
}

/// An FLV file, cut into reads as by [`super::flv_file`], on its whole way to
/// the window. What a timeline yields is orderly, whatever the file holds.
pub fn publish(data: &[u8]) {
    let Some((step, data)) = data.split_first() else {
        return;
    };
    let mut reader = file::Reader::new();
    let mut demuxer = Demuxer::new();
    let mut timeline = Timeline::new();
    let mut viewer = Viewer::new(CmafConfig {
        memory: ROOMY,
        ..CmafConfig::default()
    });
    let mut tags = 0_u32;
    for read in data.chunks(usize::from(*step) * 16 + 1) {
        reader.push(read);
        loop {
            let tag = match reader.next_tag() {
                Ok(Some(tag)) => tag,
                Ok(None) => break,
                Err(crate::flv::Error::NoFlv) => return,
                Err(_) => continue,
            };
            tags += 1;
            if tags > MOST_TAGS {
                return viewer.finish(true);
            }
            // Some come late, so that gaps are explained and jumps are not.
            let pause = if tag.timestamp_ms % 64 == 63 {
                2_000
            } else {
                20
            };
            let now = viewer.now + Duration::from_millis(pause);
            for item in demuxer.tag(tag, now).unwrap_or_default() {
                match item {
                    SourceItem::Track(track) => {
                        timeline.track(&track);
                        viewer.track(now, track);
                    }
                    SourceItem::Frame(frame) => {
                        let timed = timeline.push(frame);
                        if let Some(discontinuity) = timed.discontinuity {
                            viewer.discontinuity(now, discontinuity);
                        }
                        if let Some(frame) = timed.frame {
                            viewer.frame(now, &frame);
                        }
                    }
                    SourceItem::Announce(_) => {}
                }
            }
        }
    }
    viewer.finish(true);
}

/// A source of two tracks, or more.
struct Source {
    viewer: Viewer,
    now: Instant,
    /// Stream time of the tracks in nanoseconds.
    video: i64,
    audio: i64,
    pictures: u64,
    since_key: u32,
    /// The rate of the sound, and the decode time of its next frame.
    rate: i64,
    next_sound: i64,
    /// Frames that may still be sent.
    budget: u32,
    /// Decode times rise, as those of a timeline do.
    orderly: bool,
    seed: u32,
}

impl Source {
    fn new(config: CmafConfig) -> Self {
        let viewer = Viewer::new(config);
        Self {
            now: viewer.now,
            viewer,
            video: BEGIN,
            audio: BEGIN,
            pictures: 0,
            since_key: 0,
            rate: 48_000,
            next_sound: 0,
            budget: MOST_FRAMES,
            orderly: true,
            seed: 1,
        }
    }

    fn act(&mut self, from: &mut Reader<'_>) {
        let act = from.u8();
        match act % 16 {
            0..=3 => self.both(u64::from(from.u8() % 80), u32::from(from.u8())),
            4 => {
                let (count, step) = (from.u8() % 100, u64::from(from.u8()) + 1);
                let (jitter, gop) = (u64::from(from.u8() % 40), u32::from(from.u8()));
                self.pictures(count, step, jitter, gop);
            }
            5 => {
                for _ in 0..from.u8() % 100 {
                    self.sound();
                    self.wait(21);
                }
                self.video = self.video.max(self.audio - SECOND / 2);
            }
            6 => {
                let millis = from.u16() % 4_000;
                self.wait(millis.into());
                if act & 16 == 0 {
                    let shown = i64::from(millis.min(1_000)) * MILLI;
                    self.video += shown;
                    self.audio += shown;
                }
            }
            7 => self.interrupt(from.u16() % 5_000, act >> 4),
            8 => self
                .viewer
                .track(self.now, video_track(VIDEO, act & 16 == 0)),
            9 => {
                let skipped = u64::from(from.u8()) + 1;
                self.viewer.lost(self.now, skipped);
            }
            10 => {
                // Described first, or another rate of the same track.
                self.rate = if act & 16 == 0 { 48_000 } else { 44_100 };
                self.next_sound = ticks(self.audio, self.rate);
                self.viewer.track(self.now, audio_track(AUDIO, self.rate));
            }
            11 => self
                .viewer
                .track(self.now, video_track(SECOND_VIDEO, act & 16 == 0)),
            12 => self.wait(from.u16().into()),
            13 => {
                let (step, ahead) = (i64::from(from.i16()), i64::from(from.i16()));
                let track = TrackId(act >> 4 & 3);
                let scale = if track == AUDIO { self.rate } else { 90_000 };
                let time = if track == AUDIO {
                    self.audio
                } else {
                    self.video
                };
                let dts = ticks(time, scale) + step;
                self.orderly = false;
                self.send(track, dts, dts + ahead, act & 64 == 0, from.u16().into());
            }
            14 => {
                let (dts, pts) = (from.i64(), from.i64());
                self.orderly = false;
                self.send(TrackId(act >> 4 & 3), dts, pts, act & 64 == 0, from.u32());
            }
            _ if act & 0xF0 == 0xF0 => {
                let segmenter = &mut self.viewer.segmenter;
                segmenter.end(self.now);
                self.orderly = false;
            }
            _ => {
                self.viewer.track(self.now, video_track(VIDEO, true));
                self.viewer.track(self.now, audio_track(AUDIO, self.rate));
            }
        }
    }

    /// Both tracks, interleaved, for so many tenths of a second.
    fn both(&mut self, tenths: u64, gop: u32) {
        let end = self.video.max(self.audio) + i64::try_from(tenths).unwrap() * SECOND / 10;
        while (self.video < end || self.audio < end) && self.budget > 0 {
            if self.video <= self.audio {
                self.picture(40, self.since_key >= gop);
            } else {
                self.sound();
            }
            self.wait(13);
        }
    }

    fn pictures(&mut self, count: u8, step: u64, jitter: u64, gop: u32) {
        for _ in 0..count {
            let millis = step + self.random(jitter + 1);
            self.picture(millis, self.since_key >= gop);
            self.wait(millis);
        }
        self.audio = self.audio.max(self.video - SECOND / 2);
    }

    fn picture(&mut self, millis: u64, keyframe: bool) {
        let keyframe = keyframe || self.pictures == 0;
        let dts = ticks(self.video, 90_000);
        let ahead = i64::try_from(self.random(3)).unwrap() * 3_600;
        self.send(VIDEO, dts, dts + ahead, keyframe, 0);
        self.video += i64::try_from(millis).unwrap() * MILLI;
        self.pictures += 1;
        self.since_key = if keyframe { 1 } else { self.since_key + 1 };
    }

    fn sound(&mut self) {
        let stamp = ticks(self.audio, self.rate);
        // Times of sound are sums of samples, as a timeline makes them.
        let dts = match stamp.abs_diff(self.next_sound) {
            0..=2 => self.next_sound,
            _ => stamp.max(self.next_sound),
        };
        self.next_sound = dts + 1_024;
        self.send(AUDIO, dts, dts, true, 1_024);
        self.audio += 1_024 * SECOND / self.rate + 1;
    }

    /// A break of stream time, as a timeline or a new publish makes it.
    fn interrupt(&mut self, millis: u16, cause: u8) {
        let causes = [
            DiscontinuityCause::Gap,
            DiscontinuityCause::Jump,
            DiscontinuityCause::Reconnect,
            DiscontinuityCause::Takeover,
        ];
        self.wait(millis.into());
        let end = self.video.max(self.audio);
        self.video = end + i64::from(millis) * MILLI;
        self.audio = self.video;
        let cause = causes.get(usize::from(cause) % causes.len());
        let missing = Duration::from_millis(millis.into());
        let discontinuity = Discontinuity::new(*cause.unwrap(), missing);
        self.viewer.discontinuity(self.now, discontinuity);
    }

    fn send(&mut self, track: TrackId, dts: i64, pts: i64, keyframe: bool, duration: u32) {
        let Some(budget) = self.budget.checked_sub(1) else {
            return;
        };
        self.budget = budget;
        let size = usize::try_from(self.random(3_000)).unwrap();
        let payload = Bytes::from_static(&PAYLOAD).slice(..size + 1);
        let frame = Frame::new(track, dts, self.now, payload)
            .with_pts(pts)
            .with_keyframe(keyframe)
            .with_duration(duration);
        self.viewer.frame(self.now, &frame);
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        u64::from(self.seed >> 8) % below.max(1)
    }
}

/// Whoever looks at every snapshot.
struct Viewer {
    segmenter: Segmenter,
    now: Instant,
    last: Arc<Snapshot>,
    /// The parts that were seen of each segment.
    parts: BTreeMap<(TrackId, u64), usize>,
    /// Samples in them.
    seen: u64,
    sent: u64,
    lost: u64,
}

impl Viewer {
    fn new(config: CmafConfig) -> Self {
        let now = Instant::now();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let key = StreamKey::parse("live/cam").unwrap();
        let mut segmenter = Segmenter::new(key, "session", config, WallClock::new(wall, now));
        Self {
            last: segmenter.snapshot().expect("the first snapshot"),
            segmenter,
            now,
            parts: BTreeMap::new(),
            seen: 0,
            sent: 0,
            lost: 0,
        }
    }

    fn track(&mut self, now: Instant, track: Track) {
        self.wait_until(now);
        self.segmenter.track(track.into(), now);
        self.look();
    }

    fn frame(&mut self, now: Instant, frame: &Frame) {
        self.wait_until(now);
        self.sent += 1;
        self.segmenter.frame(frame, now);
        self.look();
    }

    fn discontinuity(&mut self, now: Instant, discontinuity: Discontinuity) {
        self.wait_until(now);
        self.segmenter.discontinuity(discontinuity, now);
        self.look();
    }

    fn lost(&mut self, now: Instant, skipped: u64) {
        self.wait_until(now);
        self.lost += skipped;
        self.segmenter.lost(skipped, now);
        self.look();
    }

    /// Lets time pass, deadlines included.
    fn wait_until(&mut self, now: Instant) {
        while let Some(deadline) = self.segmenter.deadline().filter(|at| *at <= now) {
            self.now = deadline.max(self.now);
            self.segmenter.on_deadline(self.now);
            let next = self.segmenter.deadline();
            assert!(next != Some(deadline), "a deadline that stays");
            self.look();
        }
        self.now = now;
    }

    fn look(&mut self) {
        let Some(snapshot) = self.segmenter.snapshot() else {
            return;
        };
        if let Err(violation) = check(Some(&self.last), &snapshot) {
            panic!("{violation}");
        }
        for track in snapshot.tracks.iter() {
            // What was complete when it was last looked at is so still.
            let segments = track.segments.iter().rev().chain(&track.open);
            for segment in segments {
                let known = self.parts.entry((track.track.id, segment.number));
                let known = known.or_default();
                let new = segment.parts.get(*known..).unwrap_or_default();
                self.seen += new.iter().map(|part| u64::from(part.samples)).sum::<u64>();
                *known = segment.parts.len();
            }
        }
        self.last = snapshot;
    }

    /// Ends the stream. Of one that is `whole` no frame may be missing that was
    /// not counted.
    fn finish(mut self, whole: bool) {
        self.segmenter.end(self.now);
        self.look();
        assert!(self.segmenter.deadline().is_none());
        let counters = self.last.counters;
        // Of a stream that breaks all the time, segments are let go unseen.
        if whole && counters.segments < 64 {
            // Of what was lost before there was a stream to cut, nobody tells.
            if !self.last.tracks.is_empty() {
                assert_eq!(counters.lost_frames, self.lost, "fragments failed");
            }
            assert_eq!(
                self.seen + counters.skipped_frames,
                self.sent,
                "{counters:?}"
            );
        }
    }
}

/// One of two real encoders' tracks.
pub(super) fn video_track(id: TrackId, one: bool) -> Track {
    let record: &[u8] = if one { &BASELINE } else { &FULL_RANGE };
    avc::Config::parse(record).unwrap().track(id)
}

/// AAC-LC, stereo (ISO/IEC 14496-3, 1.6.2.1).
fn audio_track(id: TrackId, rate: i64) -> Track {
    let index: u16 = if rate == 48_000 { 3 } else { 4 };
    let config = (2 << 11 | index << 7 | 2 << 3_u16).to_be_bytes();
    let track = aac::Config::parse(&config).unwrap().track(id);
    assert_eq!(track.kind(), MediaKind::Audio);
    track
}

fn ticks(nanos: i64, rate: i64) -> i64 {
    nanos / 1_000 * rate / 1_000_000
}

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);
const SECOND_VIDEO: TrackId = TrackId(2);

const MILLI: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLI;

/// The stream time of the first frames.
const BEGIN: i64 = 10 * SECOND;

/// Memory that no input of these targets fills.
const ROOMY: ByteSize = ByteSize::mib(512);

/// What one input may make the segmenter do.
const MOST_FRAMES: u32 = 1_000;
const MOST_TAGS: u32 = 1_000;

static PAYLOAD: [u8; 3_001] = [7; 3_001];

/// Configuration records of x264: `-profile:v baseline` at 640x360, and
/// `-pix_fmt yuvj420p` at 1280x720.
const BASELINE: [u8; 41] = [
    0x01, 0x42, 0xC0, 0x1E, 0xFF, 0xE1, 0x00, 0x19, 0x67, 0x42, 0xC0, 0x1E, 0xD9, 0x00, 0xA0, 0x2F,
    0xF9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0F, 0x16, 0x2E,
    0x48, 0x01, 0x00, 0x05, 0x68, 0xCB, 0x83, 0xCB, 0x20,
];
const FULL_RANGE: [u8; 49] = [
    0x01, 0x64, 0x00, 0x1F, 0xFF, 0xE1, 0x00, 0x1C, 0x67, 0x64, 0x00, 0x1F, 0xAC, 0xD9, 0x40, 0x50,
    0x05, 0xBB, 0x01, 0x6E, 0x02, 0x02, 0x02, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x19,
    0x07, 0x8C, 0x18, 0xCB, 0x01, 0x00, 0x06, 0x68, 0xEB, 0xE3, 0xCB, 0x22, 0xC0, 0xFD, 0xF8, 0xF8,
    0x00,
];
