//! Random streams: whatever comes, the window keeps its laws and loses nothing
//! that it does not count.

use proptest::prelude::*;
use rillcast_core::{ByteSize, DiscontinuityCause, HumanDuration, TrackId};

use super::breaks::break_of;
use super::scene::{AUDIO, Event, Run, Sent, VIDEO, audio_track, other_video_track, video_track};
use super::*;

/// One thing that happens to a stream.
#[derive(Clone, Debug)]
enum Act {
    /// So many pictures of this many milliseconds each, with a jitter in
    /// milliseconds, and a keyframe every so many (0: none).
    Pictures(u8, u16, u16, u8),
    /// So many audio frames.
    Sound(u8),
    /// Both, interleaved, for so many tenths of a second; GOPs of so many pictures.
    Both(u8, u8),
    /// Nothing comes for so many milliseconds, and the times show it or not.
    Silence(u16, bool),
    /// A break, after so many milliseconds.
    Break(u16, u8),
    /// Another configuration.
    Configure(bool),
    /// Pictures of a second video track join those of `Both`, or leave.
    Second(bool),
    /// The packager was too slow.
    Lost,
    /// A picture with a time that makes no sense.
    Wild(i64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (1..100_u8, 5..120_u16, 0..40_u16, 0..60_u8)
            .prop_map(|(n, step, jitter, gop)| Act::Pictures(n, step, jitter, gop)),
        4 => (1..100_u8).prop_map(Act::Sound),
        10 => (1..80_u8, 1..100_u8).prop_map(|(tenths, gop)| Act::Both(tenths, gop)),
        3 => (0..4_000_u16, any::<bool>()).prop_map(|(ms, shown)| Act::Silence(ms, shown)),
        2 => (0..5_000_u16, 0..4_u8).prop_map(|(ms, cause)| Act::Break(ms, cause)),
        2 => any::<bool>().prop_map(Act::Configure),
        1 => any::<bool>().prop_map(Act::Second),
        1 => Just(Act::Lost),
    ]
}

/// A stream on the stream time of a timeline: decode times rise.
struct Source {
    run: Run,
    /// Seconds since the begin, by arrival.
    at: f64,
    /// Stream time of both tracks in nanoseconds.
    video: i64,
    audio: i64,
    pictures: u32,
    since_key: u32,
    sent: u64,
    seed: u64,
    second: bool,
}

impl Source {
    fn new(config: CmafConfig) -> Self {
        Self::begun(config, true)
    }

    /// Without `video` that track is described by an act, if at all.
    fn begun(config: CmafConfig, video: bool) -> Self {
        let mut run = Run::new(config);
        if video {
            run.feed(0.0, Event::Track(video_track(VIDEO)));
        }
        run.feed(0.0, Event::Track(audio_track(AUDIO, 48_000)));
        Self {
            run,
            at: 0.0,
            video: 10_000_000_000,
            audio: 10_000_000_000,
            pictures: 0,
            since_key: 0,
            sent: 0,
            seed: 1,
            second: false,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below.max(1)
    }

    fn picture(&mut self, millis: u64, keyframe: bool) {
        let dts = self.video / 1_000_000 * 90;
        let ahead = i64::try_from(self.random(3)).unwrap() * 3_600;
        let bytes = usize::try_from(self.random(3_000)).unwrap();
        self.feed(Sent {
            track: VIDEO,
            dts,
            pts: dts + ahead,
            keyframe,
            duration: 0,
            payload: vec![0; bytes].into(),
        });
        self.video += i64::try_from(millis.max(1)).unwrap() * 1_000_000;
        self.pictures += 1;
        self.since_key = if keyframe { 1 } else { self.since_key + 1 };
    }

    /// A picture of the second track, half a frame after the last of the first.
    fn second_picture(&mut self, keyframe: bool) {
        let dts = (self.video - 20_000_000) / 1_000_000 * 90;
        self.feed(Sent {
            track: SECOND,
            dts,
            pts: dts,
            keyframe,
            duration: 0,
            payload: vec![2; 300].into(),
        });
    }

    fn sound(&mut self) {
        let dts = self.audio * 48 / 1_000_000;
        self.feed(Sent {
            track: AUDIO,
            dts,
            pts: dts,
            keyframe: true,
            duration: 1_024,
            payload: vec![0; 100].into(),
        });
        self.audio += 64_000_000 / 3 + 1;
    }

    fn feed(&mut self, sent: Sent) {
        self.sent += 1;
        self.run.feed(self.at, Event::Frame(sent));
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Pictures(count, step, jitter, gop) => {
                for n in 0..count {
                    let millis = u64::from(step) + self.random(u64::from(jitter) + 1);
                    let key = n.checked_rem(gop).is_some_and(|n| n == 0);
                    self.picture(millis, key || self.pictures == 0);
                    self.at += millis as f64 / 1_000.0;
                }
                self.audio = self.audio.max(self.video - 500_000_000);
            }
            Act::Sound(count) => {
                for _ in 0..count {
                    self.sound();
                    self.at += 0.021_333;
                }
                self.video = self.video.max(self.audio - 500_000_000);
            }
            Act::Both(tenths, gop) => {
                let end = self.video.max(self.audio) + i64::from(tenths) * 100_000_000;
                while self.video < end || self.audio < end {
                    if self.video <= self.audio {
                        let key = self.since_key >= u32::from(gop) || self.pictures == 0;
                        self.picture(40, key);
                        if self.second {
                            self.second_picture(key);
                        }
                    } else {
                        self.sound();
                    }
                    self.at += 0.013;
                }
            }
            Act::Silence(millis, shown) => {
                self.at += f64::from(millis) / 1_000.0;
                if shown {
                    let step = i64::from(millis.min(1_000)) * 1_000_000;
                    self.video += step;
                    self.audio += step;
                }
            }
            Act::Break(millis, cause) => {
                let causes = [
                    DiscontinuityCause::Gap,
                    DiscontinuityCause::Jump,
                    DiscontinuityCause::Reconnect,
                    DiscontinuityCause::Takeover,
                ];
                self.at += f64::from(millis) / 1_000.0;
                let end = self.video.max(self.audio);
                self.video = end + i64::from(millis) * 1_000_000;
                self.audio = self.video;
                let cause = causes[usize::from(cause)];
                self.run
                    .feed(self.at, Event::Discontinuity(break_of(cause)));
            }
            Act::Configure(other) => {
                let track = if other {
                    other_video_track(VIDEO)
                } else {
                    video_track(VIDEO)
                };
                self.run.feed(self.at, Event::Track(track));
            }
            Act::Second(on) => {
                if on {
                    self.run.feed(self.at, Event::Track(video_track(SECOND)));
                }
                self.second = on;
            }
            Act::Lost => self.run.feed(self.at, Event::Lost(7)),
            Act::Wild(dts) => self.feed(Sent {
                track: if dts % 2 == 0 { VIDEO } else { AUDIO },
                dts,
                pts: dts.wrapping_mul(7),
                keyframe: dts % 3 == 0,
                duration: u32::try_from(dts.unsigned_abs() % 5_000).unwrap(),
                payload: vec![0; 10].into(),
            }),
        }
    }

    /// Ends the stream; nothing may be missing that was not counted.
    fn finish(mut self) -> Run {
        self.run.end();
        let counters = self.run.last.counters;
        let seen: usize = ["v0", "a1", "v2"]
            .map(|name| self.run.samples(name).len())
            .iter()
            .sum();
        let lost = counters.lost_frames % 7;
        assert_eq!(lost, 0, "fragments failed");
        assert_eq!(
            u64::try_from(seen).unwrap() + counters.skipped_frames,
            self.sent,
            "{counters:?}"
        );
        self.run
    }
}

const SECOND: TrackId = TrackId(2);

fn config(segment: u64, part: u64, window: u64) -> CmafConfig {
    let config = CmafConfig {
        segment_duration: HumanDuration::from_millis(segment),
        part_duration: HumanDuration::from_millis(part.min(segment)),
        window: HumanDuration::from_secs(window),
        memory: ByteSize::mib(512),
        ..CmafConfig::default()
    };
    config.validate().unwrap();
    config
}

proptest! {
    #![proptest_config(super::cases(32))]

    /// Any stream that a timeline can yield is cut lawfully, and wholly.
    #[test]
    fn every_stream_of_a_timeline_is_cut_lawfully(
        acts in prop::collection::vec(act(), 1..25),
        segment in 500..6_000_u64,
        part in 20..1_000_u64,
        window in 1..60_u64,
        described in prop::bool::weighted(0.8),
    ) {
        let mut source = Source::begun(config(segment, part, window), described);
        for act in &acts {
            source.act(act);
        }
        source.finish();
    }

    /// Publishers that use no timeline may send anything: laws hold all the same.
    #[test]
    fn frames_without_any_order_are_cut_lawfully(
        acts in prop::collection::vec(
            prop_oneof![
                2 => act(),
                1 => any::<i64>().prop_map(Act::Wild),
                1 => (0..10_000_000_i64).prop_map(Act::Wild),
            ],
            1..40,
        ),
        memory in 1..8_u64,
    ) {
        let mut config = config(2_000, 200, 10);
        config.memory = ByteSize::mib(memory);
        let mut source = Source::new(config);
        for act in &acts {
            source.act(act);
        }
        source.run.end();
    }
}

#[test]
fn a_track_number_that_was_never_described_is_skipped() {
    let mut source = Source::new(CmafConfig::default());
    source.act(&Act::Both(50, 25));
    source.feed(Sent {
        track: TrackId(9),
        dts: 0,
        pts: 0,
        keyframe: true,
        duration: 0,
        payload: vec![1].into(),
    });
    let run = source.finish();
    assert_eq!(run.last.counters.skipped_frames, 1);
}
