//! Timeline and segmenter together: what a publisher's clock does, seen from
//! the segments that viewers get.

use std::time::Instant;

use proptest::prelude::*;
use rillcast_core::TrackId;

use super::scene::{AUDIO, Event, Run, Sent, VIDEO, audio_track, video_track};
use super::*;
use crate::{Repairs, SourceClock, SourceFrame, Timeline};

/// A publisher of pictures and sound over RTMP.
#[derive(Clone)]
struct Publisher {
    fps: (u32, u32),
    gop: u32,
    rate: u32,
    seconds: f64,
    /// What its clock shows, in seconds, for a track at a moment.
    clock: fn(TrackId, f64) -> f64,
    /// Whether it sends a frame of the track at a moment.
    sends: fn(TrackId, f64) -> bool,
    /// The bits of its clock.
    bits: u32,
    /// This machine's clock against the publisher's.
    ppm: f64,
}

impl Default for Publisher {
    fn default() -> Self {
        Self {
            fps: (25, 1),
            gop: 50,
            rate: 48_000,
            seconds: 40.0,
            clock: |_, at| at,
            sends: |_, _| true,
            bits: 32,
            ppm: 0.0,
        }
    }
}

impl Publisher {
    fn run(&self) -> (Run, Repairs) {
        let mut run = Run::new(CmafConfig::default());
        let mut timeline = Timeline::new();
        for track in [video_track(VIDEO), audio_track(AUDIO, self.rate)] {
            timeline.track(&track);
            run.feed(0.0, Event::Track(track));
        }
        let start = Instant::now();
        let picture = f64::from(self.fps.1) / f64::from(self.fps.0);
        let packet = 1_024.0 / f64::from(self.rate);
        let (mut pictures, mut packets) = (0_u32, 0_u32);
        loop {
            let (video, audio) = (f64::from(pictures) * picture, f64::from(packets) * packet);
            let (track, at) = if video <= audio {
                (VIDEO, video)
            } else {
                (AUDIO, audio)
            };
            if at >= self.seconds {
                break;
            }
            let index = if track == VIDEO { pictures } else { packets };
            *(if track == VIDEO {
                &mut pictures
            } else {
                &mut packets
            }) += 1;
            if !(self.sends)(track, at) {
                continue;
            }
            let arrives = at * (1.0 + self.ppm / 1e6);
            let timed = timeline.push(SourceFrame {
                track,
                dts: millis((self.clock)(track, at)).rem_euclid(1 << self.bits),
                cts: if track == VIDEO { 40 } else { 0 },
                clock: SourceClock::RTMP_MILLIS,
                nanos: 0,
                duration: if track == VIDEO { 0 } else { 1_024 },
                keyframe: track == AUDIO || index.is_multiple_of(self.gop),
                payload: vec![track.0; 50].into(),
                received: start + Duration::from_secs_f64(arrives),
            });
            if let Some(discontinuity) = timed.discontinuity {
                run.feed(arrives, Event::Discontinuity(discontinuity));
            }
            let frame = timed.frame.unwrap();
            let sent = Sent {
                track,
                dts: frame.dts,
                pts: frame.pts,
                keyframe: frame.keyframe,
                duration: frame.duration.map_or(0, std::num::NonZero::get),
                payload: frame.payload,
            };
            run.feed(arrives, Event::Frame(sent));
        }
        run.end();
        (run, timeline.repairs())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a test's hours fit")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1_000.0).round() as i64
}

/// Audio and video of each segment begin together, within a frame and what the
/// timeline lets the sound's clock deviate.
fn check_together(run: &Run, deviation: Duration, what: &str) {
    let video = run.of("v0");
    // The sound's first segment begins when the sound does.
    for audio in run.of("a1").into_iter().skip(1) {
        let Some(video) = video.iter().find(|video| video.number == audio.number) else {
            continue;
        };
        // Behind a discontinuity either may begin first.
        if video.discontinuity {
            continue;
        }
        let apart = Duration::from_nanos(audio.time.abs_diff(video.time));
        assert!(
            apart < deviation + Duration::from_millis(25),
            "{what}: {apart:?} in {}",
            audio.number
        );
    }
}

/// A publisher that does what its name says, and what viewers see of it:
/// discontinuities, repairs, gaps of the timeline.
type Row = (&'static str, Publisher, u64, u64, u64);

#[test]
fn what_a_publishers_clock_does_is_seen_as_it_should_be() {
    let usual = Publisher::default;
    let rows: Vec<Row> = vec![
        ("nothing", usual(), 0, 0, 0),
        (
            "wraps at 32 bits",
            Publisher {
                clock: |_, at| 4_294_967.296 - 11.3 + at,
                ..usual()
            },
            0,
            0,
            0,
        ),
        (
            "wraps at 31 bits",
            Publisher {
                clock: |_, at| 2_147_483.648 - 11.3 + at,
                bits: 31,
                ..usual()
            },
            0,
            0,
            0,
        ),
        (
            "wraps at 24 bits within a gap",
            Publisher {
                clock: |_, at| 16_777.216 - 11.3 + at,
                sends: |_, at| !(10.0..15.0).contains(&at),
                bits: 24,
                ..usual()
            },
            1,
            0,
            1,
        ),
        (
            "falls silent",
            Publisher {
                sends: |_, at| !(10.3..14.7).contains(&at),
                ..usual()
            },
            1,
            0,
            1,
        ),
        (
            "sends no picture for a while",
            Publisher {
                sends: |track, at| track == AUDIO || !(10.3..14.7).contains(&at),
                ..usual()
            },
            1,
            0,
            1,
        ),
        (
            "jumps an hour ahead, audio a little later",
            Publisher {
                clock: |track, at| {
                    let when = if track == AUDIO { 12.2 } else { 12.0 };
                    if at < when { at } else { at + 3_600.0 }
                },
                ..usual()
            },
            1,
            1,
            0,
        ),
        (
            "starts again from zero",
            Publisher {
                clock: |_, at| if at < 12.0 { at + 900.0 } else { at - 12.0 },
                ..usual()
            },
            1,
            1,
            0,
        ),
        (
            "begins audio three seconds late",
            Publisher {
                sends: |track, at| track == VIDEO || at > 3.0,
                ..usual()
            },
            0,
            0,
            0,
        ),
        (
            "loses 150 ms of audio",
            Publisher {
                sends: |track, at| track == VIDEO || !(10.0..10.15).contains(&at),
                ..usual()
            },
            0,
            1,
            0,
        ),
    ];
    for (what, publisher, discontinuities, repairs, gaps) in rows {
        for (fps, rate) in [((25, 1), 48_000), ((30_000, 1_001), 44_100)] {
            let publisher = Publisher {
                fps,
                rate,
                gop: fps.0.div_ceil(fps.1) * 2,
                ..publisher.clone()
            };
            let (run, repaired) = publisher.run();
            let what = format!("{what} at {fps:?}");
            assert_eq!(run.last.counters.discontinuities, discontinuities, "{what}");
            assert_eq!(repaired.total(), repairs, "{what}: {repaired:?}");
            assert_eq!(repaired.gaps, gaps, "{what}");
            assert_eq!(run.last.counters.skipped_frames, 0, "{what}");
            // Sound that is lost is made up for at once, after two seconds.
            let lost = if repaired.reanchors > 0 { 150 } else { 0 };
            check_together(&run, Duration::from_millis(lost), &what);
            for name in ["v0", "a1"] {
                let of = run.of(name);
                let shown = of.iter().filter(|segment| segment.discontinuity).count();
                assert_eq!(
                    u64::try_from(shown).unwrap(),
                    discontinuities,
                    "{what}: {name}"
                );
            }
        }
    }
}

#[test]
fn an_hour_with_clocks_off_by_100_ppm_keeps_every_law() {
    for ppm in [-100.0, 100.0] {
        // The publisher's clock against this machine's.
        let whole = Publisher {
            seconds: 3_600.0,
            ppm,
            ..Publisher::default()
        };
        let (run, repaired) = whole.run();
        assert_eq!(
            (repaired.total(), run.last.counters.discontinuities),
            (0, 0)
        );
        assert_eq!(run.last.counters.moved_samples, 0);
        assert!(
            run.lengths("v0")
                .iter()
                .all(|length| (length - 2.0).abs() < 1e-6)
        );
        check_together(&run, Duration::ZERO, "publisher's clock");
    }
    // The sound card's clock against the publisher's.
    let clocks: [fn(TrackId, f64) -> f64; 2] = [
        |track, at| if track == AUDIO { at * 0.9999 } else { at },
        |track, at| if track == AUDIO { at * 1.0001 } else { at },
    ];
    for clock in clocks {
        let whole = Publisher {
            seconds: 3_600.0,
            clock,
            ..Publisher::default()
        };
        let (run, repaired) = whole.run();
        assert!((8..=9).contains(&repaired.reanchors), "{repaired:?}");
        assert_eq!(run.last.counters.discontinuities, 0);
        check_together(&run, Duration::from_millis(45), "sound card's clock");
        let (video, audio) = (run.of("v0"), run.of("a1"));
        let (video, audio) = (video.last().unwrap(), audio.last().unwrap());
        assert_eq!(video.number, audio.number);
    }
}

proptest! {
    #![proptest_config(super::cases(16))]

    /// Whatever stamps arrive over RTMP, at whatever moments: timeline and
    /// segmenter together keep every law, and lose no frame in silence.
    #[test]
    fn any_stamps_give_lawful_segments(
        frames in prop::collection::vec(
            (any::<bool>(), any::<u32>(), 0..60_u32, 0..3_000_u32, 0..100_u8), 10..1_500),
    ) {
        let mut run = Run::new(CmafConfig::default());
        let mut timeline = Timeline::new();
        for track in [video_track(VIDEO), audio_track(AUDIO, 48_000)] {
            timeline.track(&track);
            run.feed(0.0, Event::Track(track));
        }
        let start = Instant::now();
        let (mut at, mut stamp) = (0.0, 0_i64);
        let count = u64::try_from(frames.len()).unwrap();
        for (audio, wild, step, pause, kind) in frames {
            stamp = match kind {
                0 => i64::from(wild),
                1 => stamp + i64::from(pause),
                2 => stamp - i64::from(step),
                _ => stamp + i64::from(step),
            };
            at += f64::from(match kind {
                1 | 3 => pause,
                _ => step,
            }) / 1_000.0;
            let track = if audio { AUDIO } else { VIDEO };
            let timed = timeline.push(SourceFrame {
                track,
                dts: stamp.rem_euclid(1 << 32),
                cts: i32::try_from(wild % 100).unwrap(),
                clock: SourceClock::RTMP_MILLIS,
                nanos: 0,
                duration: if audio { 1_024 } else { 0 },
                keyframe: audio || kind % 20 == 4,
                payload: vec![0; 20].into(),
                received: start + Duration::from_secs_f64(at),
            });
            if let Some(discontinuity) = timed.discontinuity {
                run.feed(at, Event::Discontinuity(discontinuity));
            }
            let frame = timed.frame.unwrap();
            run.feed(at, Event::Frame(Sent {
                track,
                dts: frame.dts,
                pts: frame.pts,
                keyframe: frame.keyframe,
                duration: frame.duration.map_or(0, std::num::NonZero::get),
                payload: frame.payload,
            }));
        }
        run.end();
        let seen: usize = ["v0", "a1"].map(|name| run.samples(name).len()).iter().sum();
        prop_assert_eq!(u64::try_from(seen).unwrap() + run.last.counters.skipped_frames, count);
    }
}
