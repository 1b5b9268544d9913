//! Synthetic streams for the segmenter, and a driver that runs them through it
//! on a virtual clock, checking every snapshot and every byte.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use mp4_atom::{Any, DecodeMaybe};
use rillcast_core::{Discontinuity, Frame, StreamKey, Timescale, Track, TrackId};

use crate::cmaf::budget::Grant;
use crate::cmaf::{CmafConfig, Segment, Segmenter, Snapshot, State, WallClock, check};
use crate::codec::{aac, avc};

pub(in crate::cmaf) const VIDEO: TrackId = TrackId(0);
pub(in crate::cmaf) const AUDIO: TrackId = TrackId(1);

/// What a subscription yields, with the second at which it does.
#[derive(Clone, Debug)]
pub(in crate::cmaf) enum Event {
    Track(Track),
    Frame(Sent),
    Discontinuity(Discontinuity),
    Lost(u64),
}

/// A frame without its arrival.
#[derive(Clone, Debug)]
pub(in crate::cmaf) struct Sent {
    pub(in crate::cmaf) track: TrackId,
    pub(in crate::cmaf) dts: i64,
    pub(in crate::cmaf) pts: i64,
    pub(in crate::cmaf) keyframe: bool,
    pub(in crate::cmaf) duration: u32,
    pub(in crate::cmaf) payload: Bytes,
}

/// A stream as a list of events, by the second of their arrival.
#[derive(Clone, Debug, Default)]
pub(in crate::cmaf) struct Scene {
    pub(in crate::cmaf) events: Vec<(f64, Event)>,
}

/// How the pictures of a scene come.
#[derive(Clone, Debug)]
pub(in crate::cmaf) struct Pictures {
    /// Frames per so many seconds.
    pub(in crate::cmaf) fps: (u32, u32),
    /// Frames from keyframe to keyframe; 0 for a first one only.
    pub(in crate::cmaf) gop: u32,
    /// Timestamps as RTMP rounds them.
    pub(in crate::cmaf) rounded: bool,
    /// With B-frames.
    pub(in crate::cmaf) reordered: bool,
    pub(in crate::cmaf) from: f64,
    pub(in crate::cmaf) to: f64,
    pub(in crate::cmaf) bytes: usize,
    pub(in crate::cmaf) track: TrackId,
    /// Leaves out what this refuses, by index.
    pub(in crate::cmaf) keep: fn(u32) -> bool,
}

impl Pictures {
    pub(in crate::cmaf) fn new(fps: (u32, u32), gop: u32, to: f64) -> Self {
        Self {
            fps,
            gop,
            rounded: true,
            reordered: true,
            from: 0.0,
            to,
            bytes: 1_000,
            track: VIDEO,
            keep: |_| true,
        }
    }
}

/// How the sound of a scene comes.
#[derive(Clone, Debug)]
pub(in crate::cmaf) struct Sound {
    pub(in crate::cmaf) rate: u32,
    pub(in crate::cmaf) from: f64,
    pub(in crate::cmaf) to: f64,
    pub(in crate::cmaf) track: TrackId,
}

impl Sound {
    pub(in crate::cmaf) fn new(rate: u32, to: f64) -> Self {
        Self {
            rate,
            from: 0.0,
            to,
            track: AUDIO,
        }
    }
}

pub(in crate::cmaf) fn video_track(id: TrackId) -> Track {
    let record = avc::captures::bytes(avc::captures::HIGH_1080);
    avc::Config::parse(&record).unwrap().track(id)
}

pub(in crate::cmaf) fn other_video_track(id: TrackId) -> Track {
    let record = avc::captures::bytes(avc::captures::FULL_RANGE);
    avc::Config::parse(&record).unwrap().track(id)
}

pub(in crate::cmaf) fn audio_track(id: TrackId, rate: u32) -> Track {
    // AAC-LC, stereo (ISO/IEC 14496-3, 1.6.2.1).
    let index: u16 = match rate {
        48_000 => 3,
        44_100 => 4,
        22_050 => 7,
        8_000 => 11,
        other => panic!("{other} Hz is not in this table"),
    };
    let config = (2 << 11 | index << 7 | 2 << 3_u16).to_be_bytes();
    aac::Config::parse(&config).unwrap().track(id)
}

impl Scene {
    /// The tracks of `video` and `audio`, and their frames by time.
    pub(in crate::cmaf) fn new(video: Option<Pictures>, audio: Option<Sound>) -> Self {
        let mut scene = Self::default();
        if let Some(video) = &video {
            scene = scene.with_pictures(video);
        }
        if let Some(audio) = &audio {
            scene = scene.with_sound(audio);
        }
        scene
    }

    pub(in crate::cmaf) fn with_pictures(mut self, pictures: &Pictures) -> Self {
        self.push(pictures.from, Event::Track(video_track(pictures.track)));
        let (num, den) = (u64::from(pictures.fps.0), u64::from(pictures.fps.1));
        let tick = |n: u64| {
            let exact = n * den * 90_000 / num;
            let millis = (n * den * 1_000 + num / 2) / num;
            let ticks = if pictures.rounded { millis * 90 } else { exact };
            i64::try_from(ticks).unwrap() + ORIGIN * 90_000
        };
        for n in 0_u32.. {
            let index = u64::from(n);
            let at = f64::from(n) * f64::from(pictures.fps.1) / f64::from(pictures.fps.0);
            if at >= pictures.to {
                break;
            }
            if at < pictures.from || !(pictures.keep)(n) {
                continue;
            }
            let keyframe = n.checked_rem(pictures.gop).map_or(n == 0, |n| n == 0);
            let begins = keyframe || index == 0;
            let within = n.checked_rem(pictures.gop).unwrap_or(n);
            let ahead = match within % 3 {
                _ if !pictures.reordered => 0,
                0 if begins => 1,
                1 => 3,
                _ => 0,
            };
            let sent = Sent {
                track: pictures.track,
                dts: tick(index),
                pts: tick(index + ahead),
                keyframe,
                duration: 0,
                payload: payload(
                    pictures.track,
                    n,
                    pictures.bytes * if keyframe { 4 } else { 1 },
                ),
            };
            self.push(at, Event::Frame(sent));
        }
        self
    }

    pub(in crate::cmaf) fn with_sound(mut self, sound: &Sound) -> Self {
        self.push(
            sound.from,
            Event::Track(audio_track(sound.track, sound.rate)),
        );
        for n in 0_u32.. {
            let at = f64::from(n) * 1_024.0 / f64::from(sound.rate);
            if at >= sound.to {
                break;
            }
            if at < sound.from {
                continue;
            }
            let dts = i64::from(n) * 1_024 + ORIGIN * i64::from(sound.rate);
            let sent = Sent {
                track: sound.track,
                dts,
                pts: dts,
                keyframe: true,
                duration: 1_024,
                payload: payload(sound.track, n, 200),
            };
            self.push(at, Event::Frame(sent));
        }
        self
    }

    pub(in crate::cmaf) fn push(&mut self, at: f64, event: Event) {
        self.events.push((at, event));
    }

    /// In the order of arrival: what is pushed first stays first.
    pub(in crate::cmaf) fn sorted(mut self) -> Self {
        self.events.sort_by(|a, b| a.0.total_cmp(&b.0));
        self
    }

    /// Another scene after this one: `pause` seconds later by its arrival and
    /// its times, behind a discontinuity.
    pub(in crate::cmaf) fn then(
        mut self,
        pause: f64,
        discontinuity: Discontinuity,
        next: Self,
    ) -> Self {
        let end = self.events.iter().map(|(at, _)| *at).fold(0.0, f64::max);
        let shift = end + pause;
        self.push(shift, Event::Discontinuity(discontinuity));
        let mut hz: BTreeMap<TrackId, Timescale> = BTreeMap::new();
        for (at, event) in next.sorted().events {
            let event = match event {
                Event::Track(track) => {
                    hz.insert(track.id, track.timescale);
                    Event::Track(track)
                }
                Event::Frame(mut sent) => {
                    let scale = hz[&sent.track];
                    let ticks = scale.from_duration(Duration::from_secs_f64(shift));
                    sent.dts += ticks;
                    sent.pts += ticks;
                    Event::Frame(sent)
                }
                other => other,
            };
            self.push(at + shift, event);
        }
        self
    }

    /// The frames of one track, in their order.
    pub(in crate::cmaf) fn frames(&self, track: TrackId) -> Vec<&Sent> {
        let frames = self.events.iter().filter_map(|(_, event)| match event {
            Event::Frame(sent) if sent.track == track => Some(sent),
            _ => None,
        });
        frames.collect()
    }

    pub(in crate::cmaf) fn run(&self) -> Run {
        self.run_with(CmafConfig::default())
    }

    /// Runs the scene, and ends it after its last event.
    pub(in crate::cmaf) fn run_with(&self, config: CmafConfig) -> Run {
        let mut run = self.run_open(config);
        run.end();
        run
    }

    /// Runs the scene without ending it.
    pub(in crate::cmaf) fn run_open(&self, config: CmafConfig) -> Run {
        let mut run = Run::new(config);
        for (at, event) in self.clone().sorted().events {
            run.feed(at, event);
        }
        run
    }
}

/// Any bytes that tell which frame they are of.
fn payload(track: TrackId, n: u32, bytes: usize) -> Bytes {
    let mut payload = vec![track.0; bytes.max(5)];
    payload[1..5].copy_from_slice(&n.to_be_bytes());
    payload.into()
}

/// A segmenter at work, and all that it has shown.
pub(in crate::cmaf) struct Run {
    pub(in crate::cmaf) segmenter: Segmenter,
    start: Instant,
    now: Instant,
    pub(in crate::cmaf) last: Arc<Snapshot>,
    /// Every segment in its last form, by track and number.
    pub(in crate::cmaf) segments: BTreeMap<(String, u64), Arc<Segment>>,
    /// The second at which each segment was first seen complete.
    pub(in crate::cmaf) completed: BTreeMap<(String, u64), f64>,
    /// Seconds from a part's last frame to the snapshot that shows it.
    pub(in crate::cmaf) part_delay: f64,
    pub(in crate::cmaf) snapshots: u32,
}

/// A sample as the bytes of a part have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cmaf) struct Read {
    pub(in crate::cmaf) dts: i64,
    pub(in crate::cmaf) pts: i64,
    pub(in crate::cmaf) duration: u32,
    pub(in crate::cmaf) keyframe: bool,
    pub(in crate::cmaf) payload: Bytes,
}

impl Run {
    pub(in crate::cmaf) fn new(config: CmafConfig) -> Self {
        let start = Instant::now();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let key = StreamKey::parse("live/cam").unwrap();
        let clock = WallClock::new(wall, start);
        let mut segmenter = Segmenter::new(key, "session", config, clock);
        let last = segmenter.snapshot().unwrap();
        Self {
            segmenter,
            start,
            now: start,
            last,
            segments: BTreeMap::new(),
            completed: BTreeMap::new(),
            part_delay: 0.0,
            snapshots: 0,
        }
    }

    pub(in crate::cmaf) fn with_grant(mut self, grant: Arc<Grant>) -> Self {
        self.segmenter = self.segmenter.with_grant(grant);
        self
    }

    pub(in crate::cmaf) fn feed(&mut self, at: f64, event: Event) {
        let now = (self.start + Duration::from_secs_f64(at)).max(self.now);
        self.wait_until(now);
        match event {
            Event::Track(track) => self.segmenter.track(track.into(), now),
            Event::Frame(sent) => {
                let frame = Frame::new(sent.track, sent.dts, now, sent.payload)
                    .with_pts(sent.pts)
                    .with_keyframe(sent.keyframe)
                    .with_duration(sent.duration);
                self.segmenter.frame(&frame, now);
            }
            Event::Discontinuity(discontinuity) => self.segmenter.discontinuity(discontinuity, now),
            Event::Lost(skipped) => self.segmenter.lost(skipped, now),
        }
        self.look();
    }

    /// Lets time pass, deadlines included.
    pub(in crate::cmaf) fn wait_until(&mut self, now: Instant) {
        while let Some(deadline) = self.segmenter.deadline().filter(|at| *at <= now) {
            self.now = deadline.max(self.now);
            self.segmenter.on_deadline(self.now);
            self.look();
            let next = self.segmenter.deadline();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a deadline that stays"
            );
        }
        self.now = now;
    }

    pub(in crate::cmaf) fn wait(&mut self, seconds: f64) {
        self.wait_until(self.now + Duration::from_secs_f64(seconds));
    }

    pub(in crate::cmaf) fn end(&mut self) {
        self.segmenter.end(self.now);
        self.look();
    }

    fn seconds(&self) -> f64 {
        (self.now - self.start).as_secs_f64()
    }

    /// Checks and keeps what is shown, if it has changed.
    fn look(&mut self) {
        let Some(snapshot) = self.segmenter.snapshot() else {
            return;
        };
        self.snapshots += 1;
        if let Err(violation) = check(Some(&self.last), &snapshot) {
            panic!("at {:.3} s: {violation}", self.seconds());
        }
        for track in snapshot.tracks.iter() {
            let old = self.last.track(&track.name);
            for segment in track.segments.iter().chain(&track.open) {
                let seen = old.and_then(|old| old.segment(segment.number));
                if seen.is_some_and(|seen| Arc::ptr_eq(seen, segment)) {
                    continue;
                }
                let key = (track.name.to_string(), segment.number);
                if segment.complete && !self.completed.contains_key(&key) {
                    self.completed.insert(key.clone(), self.seconds());
                }
                let old = self.segments.insert(key, Arc::clone(segment));
                let known = old.map_or(0, |old| old.parts.len());
                // What was cut before is there all at once.
                let known = if self.last.state == State::Waiting {
                    usize::MAX
                } else {
                    known
                };
                for part in segment.parts.get(known..).unwrap_or_default() {
                    let delay = (self.now - part.received).as_secs_f64();
                    self.part_delay = self.part_delay.max(delay);
                }
            }
        }
        self.last = snapshot;
    }

    /// Every segment of a track that was shown, in its last form.
    pub(in crate::cmaf) fn of(&self, name: &str) -> Vec<&Arc<Segment>> {
        let of = self.segments.iter().filter(|((track, _), _)| track == name);
        of.map(|(_, segment)| segment).collect()
    }

    /// The lengths of a track's segments, in seconds.
    pub(in crate::cmaf) fn lengths(&self, name: &str) -> Vec<f64> {
        let lengths = self.of(name).into_iter();
        lengths
            .map(|segment| segment.length().as_secs_f64())
            .collect()
    }

    /// The samples of a track, read from the bytes of all its parts.
    pub(in crate::cmaf) fn samples(&self, name: &str) -> Vec<Read> {
        let parts = self.of(name).into_iter().flat_map(|segment| &segment.parts);
        parts.flat_map(|part| read(&part.slices)).collect()
    }

    /// Fails unless the bytes hold exactly the scene's frames of the track, at
    /// exactly their times.
    pub(in crate::cmaf) fn check_exact(&self, name: &str, scene: &Scene, track: TrackId) {
        let samples = self.samples(name);
        let sent = scene.clone().sorted();
        let sent = sent.frames(track);
        for (sample, sent) in samples.iter().zip(&sent) {
            assert_eq!((sample.dts, sample.pts), (sent.dts, sent.pts), "{name}");
            assert_eq!(sample.keyframe, sent.keyframe, "{name} at {}", sent.dts);
            assert_eq!(sample.payload, sent.payload, "{name} at {}", sent.dts);
        }
        assert_eq!(samples.len(), sent.len(), "{name}");
    }
}

/// The samples of one part, from its bytes as they would be sent.
fn read(slices: &[Bytes]) -> Vec<Read> {
    let whole = slices.concat();
    let mut rest = &whole[..];
    let mut samples = Vec::new();
    let mut moof = None;
    while let Some(atom) = Any::decode_maybe(&mut rest).unwrap() {
        match atom {
            Any::Moof(read) => moof = Some(read),
            Any::Mdat(mdat) => {
                let moof = moof.take().expect("a moof before each mdat");
                assert_eq!(moof.traf.len(), 1, "one track");
                let traf = &moof.traf[0];
                let mut dts =
                    i64::try_from(traf.tfdt.as_ref().unwrap().base_media_decode_time).unwrap();
                let mut data = Bytes::from(mdat.data);
                for entry in &traf.trun[0].samples {
                    let duration = entry.duration.unwrap();
                    let size = usize::try_from(entry.size.unwrap()).unwrap();
                    samples.push(Read {
                        dts,
                        pts: dts + entry.cts.unwrap(),
                        duration,
                        keyframe: entry.flags.unwrap() & 0x1_0000 == 0,
                        payload: data.split_to(size),
                    });
                    dts += i64::from(duration);
                }
                assert!(data.is_empty(), "bytes of no sample");
            }
            Any::Styp(_) => {}
            Any::Prft(_) => assert!(samples.is_empty(), "a date behind what it dates"),
            other => panic!("a box that does not belong here: {other:?}"),
        }
    }
    assert!(rest.is_empty(), "stray bytes");
    samples
}

/// The stream time at which scenes begin, in seconds.
pub(in crate::cmaf) const ORIGIN: i64 = 10;
