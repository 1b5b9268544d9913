//! Any order of publishing, joining, reading and falling behind, held against
//! what was published.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::{Discontinuity, DiscontinuityCause, JoinAt};

#[derive(Clone, Debug)]
enum Op {
    Frame(TrackId, bool),
    Flood(u8),
    Track(TrackId, &'static str),
    Break,
    Join(JoinAt, bool),
    Read(usize, u8),
    Leave(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let track = prop_oneof![Just(VIDEO), Just(AUDIO), Just(SECOND_VIDEO)];
    let join = prop_oneof![
        4 => Just(JoinAt::Keyframe),
        1 => Just(JoinAt::Live),
        1 => Just(JoinAt::Configs)
    ];
    prop_oneof![
        8 => (track.clone(), prop::bool::weighted(0.2)).prop_map(|(track, keyframe)| Op::Frame(track, keyframe)),
        3 => any::<u8>().prop_map(Op::Flood),
        1 => (track, prop_oneof![Just("1"), Just("2"), Just("3")]).prop_map(|(track, config)| Op::Track(track, config)),
        1 => Just(Op::Break),
        2 => (join, any::<bool>()).prop_map(|(at, resilient)| Op::Join(at, resilient)),
        6 => (any::<usize>(), any::<u8>()).prop_map(|(which, count)| Op::Read(which, count)),
        1 => any::<usize>().prop_map(Op::Leave),
    ]
}

fn config() -> impl Strategy<Value = BusConfig> {
    (0_u64..3, 0_u64..200, 0_u64..100_000).prop_map(|(cache, lag_frames, pinned)| BusConfig {
        gop_cache: [0, 40, 4_096][usize::try_from(cache).unwrap()],
        lag_frames,
        pinned_limit: ByteSize(pinned),
        ..BusConfig::default()
    })
}

/// What was published: for each frame its keyframe flag, its track, and the
/// configuration of its track.
#[derive(Default)]
struct Published {
    frames: Vec<(TrackId, bool, Option<&'static str>)>,
    configs: HashMap<TrackId, &'static str>,
}

impl Published {
    fn put(&mut self, publisher: &mut Publisher, track: TrackId, keyframe: bool) {
        // Sound needs no other frame.
        let keyframe = keyframe || track == AUDIO;
        let number = u32::try_from(self.frames.len()).unwrap();
        publisher
            .publish_frame(frame(track, number, keyframe))
            .unwrap();
        self.frames
            .push((track, keyframe, self.configs.get(&track).copied()));
    }
}

/// A subscription, and what it may see next.
struct Follower {
    subscription: Box<dyn Reads>,
    at: JoinAt,
    resilient: bool,
    /// The number of the next frame, once one is known.
    next: Option<usize>,
    /// A keyframe must come first.
    starts: bool,
    configs: HashMap<TrackId, String>,
    /// Tracks of which a keyframe was seen.
    opened: Vec<TrackId>,
    dropped: u64,
    /// A lag was read, and how much it skipped.
    lagged: bool,
    skipped: usize,
}

impl Follower {
    fn new(handle: &StreamHandle, at: JoinAt, resilient: bool, published: &Published) -> Self {
        let subscription = handle.subscribe_at(at);
        Self {
            subscription: if resilient {
                Box::new(subscription.resilient())
            } else {
                Box::new(subscription)
            },
            at,
            resilient,
            next: (at != JoinAt::Keyframe).then_some(published.frames.len()),
            starts: at == JoinAt::Keyframe,
            configs: HashMap::new(),
            opened: Vec::new(),
            dropped: 0,
            lagged: false,
            skipped: 0,
        }
    }

    /// Reads one entry; false if there is none.
    fn read(&mut self, published: &Published) -> Result<bool, TestCaseError> {
        match self.subscription.next() {
            None => return Ok(false),
            Some(Recv::Track(track)) => {
                let config = str::from_utf8(&track.config).unwrap().to_owned();
                self.configs.insert(track.id, config);
            }
            Some(Recv::Lagged { skipped }) => {
                self.dropped += skipped;
                self.skipped += usize::try_from(skipped).unwrap();
                self.lagged = true;
                self.starts = self.resilient;
            }
            Some(Recv::Discontinuity(_)) => {}
            Some(Recv::Frame(frame)) => {
                let number = usize::try_from(number(&frame)).unwrap();
                let (track, keyframe, config) = published.frames[number];
                prop_assert_eq!((frame.track, frame.keyframe), (track, keyframe));
                if self.starts {
                    prop_assert!(keyframe, "starts at {}", number);
                }
                self.starts = false;
                // Where the reader stood before what it missed. Before the first
                // frame it alone knows.
                let stood = number - self.skipped;
                let next = self.next.unwrap_or(stood);
                prop_assert!(stood >= next, "{} after {}", stood, next);
                for (track, keyframe, _) in &published.frames[next..stood] {
                    // The view for decoders leaves out what cannot be decoded.
                    let hidden = self.resilient && !keyframe && !self.opened.contains(track);
                    prop_assert!(hidden, "{} to {} are missing", next, stood);
                }
                if std::mem::take(&mut self.lagged) {
                    self.skipped = 0;
                    self.opened.clear();
                }
                if keyframe {
                    self.opened.push(track);
                }
                if self.at != JoinAt::Live {
                    let known = self.configs.get(&track).map(String::as_str);
                    prop_assert_eq!(known, config, "the configuration of {}", number);
                }
                self.next = Some(number + 1);
            }
            Some(Recv::Ended) => prop_assert!(false, "an end"),
        }
        prop_assert_eq!(self.subscription.missed(), self.dropped);
        Ok(true)
    }
}

fn run(config: BusConfig, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let (mut publisher, handle) = stream(config);
    let mut published = Published::default();
    let mut followers: Vec<Follower> = Vec::new();
    for op in ops {
        match op {
            Op::Frame(track, keyframe) => published.put(&mut publisher, track, keyframe),
            Op::Flood(frames) => {
                for number in 0..frames {
                    let track = if number % 3 == 0 { AUDIO } else { VIDEO };
                    published.put(&mut publisher, track, number % 50 == 1);
                }
            }
            Op::Track(id, config) => {
                let track = if id == AUDIO { audio(id) } else { video(id) };
                publisher.publish_track(changed(track, config)).unwrap();
                published.configs.insert(id, config);
            }
            Op::Break => {
                let gap = Discontinuity::new(DiscontinuityCause::Gap, Duration::ZERO);
                publisher.publish_discontinuity(gap).unwrap();
            }
            Op::Join(at, resilient) => {
                followers.push(Follower::new(&handle, at, resilient, &published))
            }
            Op::Read(which, count) if !followers.is_empty() => {
                let which = which % followers.len();
                for _ in 0..count {
                    if !followers[which].read(&published)? {
                        break;
                    }
                }
            }
            Op::Leave(which) if !followers.is_empty() => {
                followers.swap_remove(which % followers.len());
            }
            Op::Read(..) | Op::Leave(..) => {}
        }
    }
    // In the end everyone has read everything, or waits for a keyframe.
    for mut follower in followers {
        while follower.read(&published)? {}
        if !follower.resilient && follower.next.is_some() && !follower.lagged {
            prop_assert_eq!(follower.next, Some(published.frames.len()));
        }
    }
    drop(publisher);
    prop_assert_eq!(handle.memory().pinned, 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_readers_see_what_was_published(config in config(), ops in vec(op(), 1..120)) {
        run(config, ops)?;
    }
}
