//! Source clocks of any kind: whatever comes, stream time goes on, and a clock
//! that is right is not touched.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rillcast_core::{
    AudioParams, Frame, MediaKind, MediaParams, Timescale, Track, TrackId, VideoParams, rescale,
};

use super::input::Reader;
use crate::{SourceClock, SourceFrame, Timed, Timeline, codec};

/// The first byte chooses between a stream without a fault, which must come out
/// as it went in, and one that may do anything.
pub fn timeline(data: &[u8]) {
    let mut from = Reader::new(data);
    if from.u8().is_multiple_of(8) {
        clean(&mut from);
    } else {
        wild(&mut from);
    }
}

/// Two tracks of even steps on RTMP's clock from any point of it, arriving with
/// jitter: one constant is added to their times, and nothing is repaired.
fn clean(from: &mut Reader<'_>) {
    let start = Instant::now();
    let mut timeline = Timeline::new();
    let audio = Sound::of(from.u8());
    timeline.track(&track(TrackId(0), MediaKind::Video, Timescale::VIDEO));
    timeline.track(&track(TrackId(1), MediaKind::Audio, audio.timescale));
    let width = match from.u8() % 2 {
        0 => 31,
        _ => 32,
    };
    let mask = (1_u64 << width) - 1;
    let origin = u64::from(from.u32()) & mask;
    // Slower than 1 fps counts as a row of gaps, faster than the clock as disorder.
    let step = u64::from(from.u16() % 1_000) + 1;
    let late = u64::from(from.u16() % 500) + 1;
    let (mut pictures, mut sounds) = (0_u64, 0_u64);
    let mut first: Option<i64> = None;
    let mut seed = from.u32();
    let mut received = start;
    for _ in 0..MOST_CLEAN {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let sound_at = audio.millis(sounds);
        let (id, at, duration) = if pictures * step <= sound_at {
            (TrackId(0), pictures * step, 0)
        } else {
            (TrackId(1), sound_at, SAMPLES)
        };
        let jitter = u64::from(seed >> 16) % late;
        received = received.max(start + Duration::from_millis(at + jitter));
        let frame = SourceFrame {
            track: id,
            dts: i64::try_from((origin + at) & mask).unwrap(),
            cts: 0,
            clock: SourceClock::RTMP_MILLIS,
            nanos: 0,
            duration,
            keyframe: true,
            payload: Bytes::from_static(b"x"),
            received,
        };
        let Timed {
            discontinuity,
            frame,
            ..
        } = timeline.push(frame);
        assert_eq!(discontinuity, None, "at {at} ms");
        let dts = frame.unwrap().dts;
        let first = *first.get_or_insert(dts);
        if id == TrackId(0) {
            let passed = i64::try_from(at).unwrap() * 90;
            assert_eq!(dts - first, passed, "at {at} ms");
            pictures += 1;
        } else {
            // The first is rounded to a tick of the sound, the rest are sums.
            let begin = audio.timescale.from_nanos(Timescale::VIDEO.to_nanos(first));
            let passed = i64::try_from(sounds).unwrap() * i64::from(SAMPLES);
            assert!((dts - begin - passed).abs() <= 1, "at {at} ms: {dts}");
            sounds += 1;
        }
    }
    assert_eq!(timeline.repairs().total(), 0);
}

/// Audio frames of 1024 samples, stamped in milliseconds rounded down.
struct Sound {
    timescale: Timescale,
}

impl Sound {
    fn of(choice: u8) -> Self {
        let rates = [
            48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 11_025, 8_000,
        ];
        let rate = rates.get(usize::from(choice) % rates.len());
        let timescale = rate.and_then(|rate| Timescale::new(*rate));
        Self {
            timescale: timescale.unwrap(),
        }
    }

    fn millis(&self, index: u64) -> u64 {
        index * u64::from(SAMPLES) * 1_000 / u64::from(self.timescale.hz())
    }
}

fn wild(from: &mut Reader<'_>) {
    let start = Instant::now();
    let mut now = start;
    let (mut timeline, floor) = match from.u8() {
        resumed @ 0..64 => {
            let time = i64::from(from.u32()) * 1_000_000 * i64::from(resumed);
            (Timeline::resumed(time, start), time)
        }
        _ => (Timeline::new(), 0),
    };
    let mut tracks: Vec<Seen> = Vec::new();
    let mut repairs = 0;
    while !from.is_empty() {
        let step = from.u8();
        let id = TrackId(step >> 4 & 3);
        match step & 0xF {
            0 | 1 => {
                let kind = match step & 0x80 {
                    0 => MediaKind::Video,
                    _ => MediaKind::Audio,
                };
                let track = track(id, kind, timescale(from.u8()));
                timeline.track(&track);
                match tracks.iter_mut().find(|seen| seen.track.id == id) {
                    Some(seen) => seen.retrack(track),
                    None => tracks.push(Seen::new(track)),
                }
            }
            2 => now += Duration::from_millis(u64::from(from.u16())),
            choice => {
                now += Duration::from_millis(u64::from(from.u8() % 64));
                let seen = tracks.iter_mut().find(|seen| seen.track.id == id);
                let raw = seen.as_ref().map_or(0, |seen| seen.raw);
                let dts = match choice {
                    3..=9 => raw.wrapping_add(i64::from(from.u8())),
                    10..=12 => raw.wrapping_add(i64::from(from.i16())),
                    13 => raw.wrapping_add(i64::from(from.u32().cast_signed())),
                    14 => i64::from(from.u32()),
                    _ => from.i64(),
                };
                let flags = from.u8();
                let clock = clock(flags);
                let dts = match clock.wraps().last() {
                    Some(bits) => dts & ((1_i64 << bits) - 1),
                    None => dts,
                };
                let frame = SourceFrame {
                    track: id,
                    dts,
                    cts: match flags >> 6 {
                        0 | 1 => 0,
                        2 => i32::from(from.i16()),
                        _ => from.u32().cast_signed(),
                    },
                    clock,
                    nanos: 0,
                    duration: match flags >> 3 & 7 {
                        0..=3 => SAMPLES,
                        4..=5 => 0,
                        6 => u32::from(from.u16()),
                        _ => from.u32(),
                    },
                    keyframe: flags & 4 == 0,
                    payload: Bytes::from_static(b"payload"),
                    received: now,
                };
                let timed = timeline.push(frame.clone());
                assert!(timeline.repairs().total() >= repairs);
                repairs = timeline.repairs().total();
                match seen {
                    Some(seen) => seen.take(&frame, &timed, floor),
                    None => assert!(timed.frame.is_none() && timed.discontinuity.is_none()),
                }
            }
        }
    }
}

/// A track as a reader of the bus sees it.
struct Seen {
    track: Track,
    /// The last reading of its clock.
    raw: i64,
    last: Option<Frame>,
}

impl Seen {
    fn new(track: Track) -> Self {
        Self {
            track,
            raw: 0,
            last: None,
        }
    }

    /// Times of another timescale are compared by what they mean.
    fn retrack(&mut self, track: Track) {
        if let Some(last) = &mut self.last {
            last.dts = rescale(last.dts, self.track.timescale, track.timescale);
        }
        self.track = track;
    }

    fn take(&mut self, sent: &SourceFrame, timed: &Timed, floor: i64) {
        self.raw = sent.dts;
        let frame = timed
            .frame
            .as_ref()
            .expect("a known track's frame is dropped");
        assert_eq!(frame.payload.as_ptr(), sent.payload.as_ptr(), "copied");
        assert_eq!(
            (frame.track, frame.keyframe, frame.received),
            (sent.track, sent.keyframe, sent.received)
        );
        assert_eq!(frame.duration.map_or(0, |d| d.get()), sent.duration);
        if sent.cts >= 0 {
            assert!(frame.pts >= frame.dts, "{frame:?}");
        }
        match &self.last {
            // Nothing lies behind the end of the number line.
            Some(last) if last.dts < i64::MAX => {
                assert!(frame.dts > last.dts, "{frame:?} after {last:?}");
            }
            Some(_) => {}
            None => {
                let time = self.track.timescale.to_nanos(frame.dts);
                assert!(time >= floor, "{frame:?} before {floor}");
            }
        }
        self.last = Some(frame.clone());
    }
}

fn track(id: TrackId, kind: MediaKind, timescale: Timescale) -> Track {
    match kind {
        MediaKind::Audio => {
            let params = MediaParams::Audio(AudioParams::new(48_000, 2));
            Track::new(id, codec::AAC, timescale, params)
        }
        _ => {
            let params = MediaParams::Video(VideoParams::new(640, 360));
            Track::new(id, codec::AVC, timescale, params)
        }
    }
}

fn timescale(choice: u8) -> Timescale {
    let rates = [
        90_000,
        48_000,
        44_100,
        22_050,
        8_000,
        1_000,
        1,
        1_000_000_000,
        u32::MAX,
        96_000,
    ];
    let rate = rates.get(usize::from(choice) % rates.len());
    rate.and_then(|rate| Timescale::new(*rate)).unwrap()
}

fn clock(choice: u8) -> SourceClock {
    match choice & 3 {
        0 | 1 => SourceClock::RTMP_MILLIS,
        2 => SourceClock::MPEG,
        _ => SourceClock::unwrapped(timescale(choice >> 2)),
    }
}

/// Samples of an AAC frame.
const SAMPLES: u32 = 1_024;

/// Frames of a clean stream: some minutes of it, wraps included.
const MOST_CLEAN: u32 = 2_000;
