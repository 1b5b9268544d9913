//! Streams that share what all windows may hold, on one virtual clock.

use std::sync::Arc;

use super::*;
use crate::cmaf::budget::{Budget, Grant};

/// A stream at work, and the seconds of it that are still to come.
struct Stream {
    run: Run,
    grant: Arc<Grant>,
    events: std::iter::Peekable<std::vec::IntoIter<(f64, Event)>>,
    /// The largest picture.
    key: u64,
    began: f64,
}

impl Stream {
    /// 25 pictures a second of so many bytes, a keyframe every two seconds.
    fn new(budget: &Arc<Budget>, began: f64, bytes: usize) -> Self {
        let mut pictures = Pictures::new((25, 1), 50, LONG);
        pictures.bytes = bytes;
        let scene = Scene::new(Some(pictures), Some(Sound::new(48_000, LONG)));
        let config = CmafConfig {
            memory: ByteSize::mib(24),
            total_memory: ByteSize(TOTAL),
            ..CmafConfig::default()
        };
        let grant = Arc::new(Grant::new(Arc::clone(budget), TOTAL));
        Self {
            run: Run::new(config).with_grant(Arc::clone(&grant)),
            grant,
            events: scene.sorted().events.into_iter().peekable(),
            key: 4 * u64::try_from(bytes).unwrap(),
            began,
        }
    }

    fn state(&self) -> State {
        self.run.last.state
    }

    fn listed(&self) -> usize {
        self.run.last.track("v0").map_or(0, |v| v.listed().len())
    }
}

/// Runs all streams from one second to another, side by side. The laws of
/// windows are checked by each run, those of the budget here.
fn run(budget: &Budget, streams: &mut [&mut Stream], seconds: std::ops::Range<u32>) {
    for second in seconds {
        for quarter in 0..4 {
            let until = f64::from(second) + 0.25 * f64::from(quarter);
            for stream in streams.iter_mut() {
                while let Some((at, event)) =
                    stream.events.next_if(|(at, _)| at + stream.began <= until)
                {
                    stream.run.feed(at, event);
                    let (memory, held) = (stream.run.last.memory, stream.grant.held());
                    let refused = matches!(stream.state(), State::Refused(_));
                    // One frame may be there that the next tidying sees.
                    let over = memory.saturating_sub(held);
                    assert!(refused || over <= stream.key + 1_024, "{memory} of {held}");
                }
            }
            assert!(budget.used() <= TOTAL);
            let held: u64 = streams.iter().map(|stream| stream.grant.held()).sum();
            assert!(held <= budget.used());
        }
    }
}

#[test]
fn older_streams_keep_what_they_have_and_newcomers_wait_for_them_to_go() {
    // Bytes of a picture of the last stream, and whether it was cut before it
    // was refused: a thin one finds no room at all, a fat one too little.
    for (bytes, second, cut) in [(10_000, 10_000, false), (40_000, 1_000, true)] {
        let budget = Arc::new(Budget::default());
        let mut first = Stream::new(&budget, 0.0, 10_000);
        run(&budget, &mut [&mut first], 0..100);
        let (held, listed) = (first.grant.held(), first.listed());
        assert!((15..=16).contains(&listed), "{listed}");
        assert!((15 << 20..22 << 20).contains(&held), "{held}");

        let mut other = Stream::new(&budget, 100.0, second);
        run(&budget, &mut [&mut first, &mut other], 100..200);
        assert_eq!(other.state(), State::Live);
        assert_eq!(first.grant.held(), held);
        assert!((15..=16).contains(&first.listed()), "{}", first.listed());
        if cut {
            assert!(other.listed() >= 15, "it is thin enough");
        } else {
            assert!((3..15).contains(&other.listed()), "{}", other.listed());
            assert_eq!(budget.used(), TOTAL);
        }

        let mut third = Stream::new(&budget, 200.0, bytes);
        run(&budget, &mut [&mut first, &mut other, &mut third], 200..260);
        let refused = State::Refused(Refusal::TotalMemory);
        assert_eq!(third.state(), refused, "{bytes}");
        assert_eq!(third.run.last.counters.segments > 0, cut, "{bytes}");
        assert_eq!(third.grant.held(), 0, "who is refused holds nothing");
        assert_eq!((first.grant.held(), first.state()), (held, State::Live));
        assert_eq!(other.state(), State::Live);

        // An ended window is still there for viewers, and keeps its room.
        first.run.end();
        assert_eq!(first.grant.held(), first.run.last.memory);
        run(&budget, &mut [&mut other, &mut third], 260..262);
        assert!(budget.used() >= first.run.last.memory);
        drop(first);
        run(&budget, &mut [&mut other, &mut third], 262..330);
        assert_eq!(third.state(), State::Live, "{bytes}");
        assert!(third.listed() >= 3, "{bytes}: {}", third.listed());
        assert_eq!(other.state(), State::Live);

        drop((other, third));
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn a_window_that_becomes_smaller_gives_room_back() {
    let budget = Arc::new(Budget::default());
    let mut stream = Stream::new(&budget, 0.0, 10_000);
    let mut thin = Pictures::new((25, 1), 50, LONG);
    thin.from = 80.0;
    let fat = stream.events.filter(|(at, _)| *at < 80.0);
    let thin = Scene::new(Some(thin), None).sorted().events;
    stream.events = fat.chain(thin).collect::<Vec<_>>().into_iter().peekable();
    run(&budget, &mut [&mut stream], 0..80);
    let fat = budget.used();
    run(&budget, &mut [&mut stream], 80..200);
    assert_eq!(stream.state(), State::Live);
    assert!(budget.used() < fat / 4, "{} of {fat}", budget.used());
}

/// Less than one and a half windows of pictures of 10 000 bytes.
const TOTAL: u64 = 28 << 20;

/// Longer than any of these tests runs a stream, in seconds.
const LONG: f64 = 400.0;
