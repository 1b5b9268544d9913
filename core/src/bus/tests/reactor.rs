//! Sinks on a reactor: the same promises as to any subscription.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;
use crate::{CloseReason, Discontinuity, Frames, Reactor, Sink, SubscriptionEnd};

mod count;
mod moody;

const PATIENCE: Duration = Duration::from_secs(20);

/// What is done to a sink, and what it has seen.
#[derive(Default)]
struct Seen {
    unready: AtomicBool,
    closed: AtomicBool,
    panics: AtomicBool,
    dropped: AtomicBool,
    /// The number behind the last frame.
    next: AtomicU32,
    frames: AtomicU32,
    missed: AtomicU32,
    lags: AtomicU32,
    end: Mutex<Option<SubscriptionEnd>>,
    /// As text, if that is wanted.
    text: Option<Mutex<String>>,
}

impl Seen {
    fn next(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }
}

/// Checks that numbers go up by one but where a lag says how many are missing,
/// and that it starts and goes on at keyframes.
struct Check {
    seen: Arc<Seen>,
    at_start: bool,
    began: bool,
}

impl Sink for Check {
    fn track(&mut self, track: &Arc<Track>) {
        if let Some(text) = &self.seen.text {
            let config = String::from_utf8(track.config.to_vec()).unwrap();
            write!(text.lock().unwrap(), "t{}{config} ", track.id.0).unwrap();
        }
    }

    fn frames(&mut self, frames: &Frames<'_>) {
        assert!(!self.seen.unready.load(Ordering::Relaxed), "not ready");
        assert!(!self.seen.panics.load(Ordering::Relaxed), "as it should");
        for frame in frames {
            let number = number(frame);
            if let Some(text) = &self.seen.text {
                write!(text.lock().unwrap(), "{}:{number} ", frame.track.0).unwrap();
                continue;
            }
            assert!(!self.at_start || frame.keyframe, "starts at {number}");
            if !self.began {
                self.seen.next.store(number, Ordering::Relaxed);
                self.began = true;
            }
            assert_eq!(number, self.seen.next());
            self.seen.next.store(number + 1, Ordering::Relaxed);
            self.seen.frames.fetch_add(1, Ordering::Relaxed);
            self.at_start = false;
        }
    }

    fn discontinuity(&mut self, _: Discontinuity) {
        if let Some(text) = &self.seen.text {
            text.lock().unwrap().push_str("break ");
        }
    }

    fn lagged(&mut self, skipped: u64) {
        if let Some(text) = &self.seen.text {
            write!(text.lock().unwrap(), "lost:{skipped} ").unwrap();
        }
        let skipped = u32::try_from(skipped).unwrap();
        self.seen.next.fetch_add(skipped, Ordering::Relaxed);
        self.seen.missed.fetch_add(skipped, Ordering::Relaxed);
        self.seen.lags.fetch_add(1, Ordering::Relaxed);
        self.at_start = true;
    }

    fn is_ready(&mut self) -> bool {
        !self.seen.unready.load(Ordering::Relaxed)
    }

    fn is_open(&self) -> bool {
        !self.seen.closed.load(Ordering::Relaxed)
    }

    fn end(&mut self, end: SubscriptionEnd) {
        *self.seen.end.lock().unwrap() = Some(end);
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.seen.dropped.store(true, Ordering::Relaxed);
    }
}

fn add(reactor: &Reactor<Check>, handle: &StreamHandle, seen: Seen) -> Arc<Seen> {
    let seen = Arc::new(seen);
    let sink = Check {
        seen: Arc::clone(&seen),
        at_start: true,
        began: false,
    };
    reactor.add(handle, sink);
    seen
}

fn reactor(lanes: usize) -> Reactor<Check> {
    Reactor::new(&Handle::current(), lanes)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            yield_now().await;
        }
    };
    let waited = timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "never: {what}");
}

const CLOSED: Option<SubscriptionEnd> = Some(SubscriptionEnd::Closed(CloseReason::Finished));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_that_join_by_the_thousand_see_neither_gap_nor_duplicate() {
    let frames = 20_000;
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv");
    publish_video(&mut publisher, 0..1, 1);
    let publishing = tokio::spawn(async move {
        for number in 1..frames {
            publish_video(&mut publisher, number..number + 1, 60);
            if number % 8 == 0 {
                yield_now().await;
            }
        }
        publisher.finish();
    });
    let reactor = reactor(2);
    let mut sinks = Vec::new();
    while !publishing.is_finished() && sinks.len() < 3_000 {
        for _ in 0..20 {
            sinks.push(add(&reactor, &handle, Seen::default()));
        }
        // Some leave while others come.
        for sink in sinks.iter().rev().skip(200).step_by(7).take(3) {
            sink.closed.store(true, Ordering::Relaxed);
        }
        for _ in 0..20 {
            yield_now().await;
        }
    }
    timeout(PATIENCE, publishing).await.unwrap().unwrap();
    until("all have gone", || reactor.is_empty()).await;
    assert!(sinks.len() >= 500, "{}", sinks.len());
    for sink in &sinks {
        assert!(sink.dropped.load(Ordering::Relaxed));
        if !sink.closed.load(Ordering::Relaxed) {
            assert!(sink.next() == frames || sink.frames.load(Ordering::Relaxed) == 0);
            assert_eq!(*sink.end.lock().unwrap(), CLOSED, "or it has panicked");
        }
    }
    assert_eq!(handle.stream.readers.len(), 0);
    until("the feeds too", || handle.stream.wake.len() == 0).await;
}

#[tokio::test]
async fn sinks_that_have_caught_up_share_one_cursor() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let reactor = reactor(1);
    publish(&mut publisher, "tv");
    let mut sinks = Vec::new();
    for round in 0..50 {
        publish_video(&mut publisher, round..round + 1, 20);
        sinks.extend((0..40).map(|_| add(&reactor, &handle, Seen::default())));
        until("all have it", || {
            sinks.iter().all(|it| it.next() == round + 1)
        })
        .await;
    }
    assert_eq!(handle.subscriber_count(), 2_000);
    assert_eq!(reactor.len(), 2_000);
    // One for some hundred of them.
    let cursors = handle.stream.readers.cursors();
    assert!(cursors <= 10, "{cursors}");
    publisher.finish();
    until("all have gone", || reactor.is_empty()).await;
}

#[tokio::test]
async fn what_a_track_sent_before_its_keyframe_reaches_no_one_who_missed_that() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let reactor = reactor(1);
    let text = || Seen {
        text: Some(Mutex::default()),
        ..Seen::default()
    };
    let read = |seen: &Seen| {
        let mut text = seen.text.as_ref().unwrap().lock().unwrap();
        std::mem::take(&mut *text)
    };
    publish(&mut publisher, "tvA twB taC V0 W1 a2");
    let one = add(&reactor, &handle, text());
    let mut seen = String::new();
    let mut follow = async |sink: &Seen, last: &str| {
        seen.clear();
        until(last, || {
            seen.push_str(&read(sink));
            seen.ends_with(last)
        })
        .await;
        seen.clone()
    };
    let start = "t0A t2B t1C 0:0 2:1 1:2 ";
    assert_eq!(follow(&one, "1:2 ").await, start);
    publish(&mut publisher, "V3 w4");
    assert_eq!(follow(&one, "2:4 ").await, "0:3 2:4 ");
    // It joins at 3, and cannot show what refers to 1.
    let other = add(&reactor, &handle, text());
    publish(&mut publisher, "w5 v6 a7");
    assert_eq!(follow(&other, "1:7 ").await, "t0A t2B t1C 0:3 0:6 1:7 ");
    assert_eq!(follow(&one, "1:7 ").await, "2:5 0:6 1:7 ");
    // Now they are alike.
    publish(&mut publisher, "W8 w9 v10");
    for sink in [&one, &other] {
        assert_eq!(follow(sink, "0:10 ").await, "2:8 2:9 0:10 ");
    }
    until("one cursor", || {
        publish(&mut publisher, "v11");
        handle.stream.readers.cursors() == 1
    })
    .await;
}

#[tokio::test]
async fn who_is_not_ready_goes_on_where_it_was_or_at_a_keyframe_with_the_exact_count() {
    let (mut publisher, handle) = stream(BusConfig {
        lag_frames: 100,
        ..BusConfig::default()
    });
    let reactor = reactor(1);
    publish(&mut publisher, "tv");
    publish_video(&mut publisher, 0..1, 1);
    let sinks: Vec<_> = (0..30)
        .map(|_| add(&reactor, &handle, Seen::default()))
        .collect();
    until("all have begun", || sinks.iter().all(|it| it.next() == 1)).await;
    let mut number = 1;
    for round in 0..60_usize {
        let away = &sinks[round % 3..][..10];
        for sink in away {
            sink.unready.store(true, Ordering::Relaxed);
        }
        // A short while, or one in which all is lost that they stood at.
        let frames = if round % 5 == 4 { 400 } else { 17 };
        let end = number + frames;
        while number < end {
            publish_video(&mut publisher, number..number + 1, 50);
            number += 1;
            // The others miss nothing.
            let ready = || {
                sinks
                    .iter()
                    .filter(|it| !it.unready.load(Ordering::Relaxed))
            };
            until("the others", || ready().all(|it| it.next() == number)).await;
        }
        for sink in away {
            sink.unready.store(false, Ordering::Relaxed);
        }
        // Nothing is published meanwhile.
        until("all go on", || sinks.iter().all(|it| it.next() == number)).await;
    }
    for (place, sink) in sinks.iter().enumerate() {
        let missed = sink.missed.load(Ordering::Relaxed);
        assert_eq!(
            sink.frames.load(Ordering::Relaxed) + missed,
            number,
            "{place}"
        );
        assert_eq!(missed > 0, (0..12).contains(&place), "{place}: {missed}");
        assert_eq!(missed > 0, sink.lags.load(Ordering::Relaxed) > 0);
    }
    assert_eq!(handle.stream.readers.cursors(), 1);
    let dropped: u32 = sinks
        .iter()
        .map(|it| it.missed.load(Ordering::Relaxed))
        .sum();
    assert_eq!(handle.qos().dropped, u64::from(dropped));
}

#[tokio::test]
async fn the_end_comes_after_everything_even_to_those_who_were_not_ready() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let reactor = reactor(2);
    publish(&mut publisher, "tv");
    publish_video(&mut publisher, 0..10, 10);
    let sinks: Vec<_> = (0..300)
        .map(|_| add(&reactor, &handle, Seen::default()))
        .collect();
    until("all have begun", || sinks.iter().all(|it| it.next() == 10)).await;
    for sink in sinks.iter().step_by(3) {
        sink.unready.store(true, Ordering::Relaxed);
    }
    publish_video(&mut publisher, 10..20, 10);
    publisher.finish();
    until("some have gone", || reactor.len() == 100).await;
    assert_eq!(handle.subscriber_count(), 0);
    for sink in sinks.iter().step_by(3) {
        assert_eq!((sink.next(), *sink.end.lock().unwrap()), (10, None));
        sink.unready.store(false, Ordering::Relaxed);
    }
    until("all have gone", || reactor.is_empty()).await;
    for sink in &sinks {
        assert_eq!((sink.next(), *sink.end.lock().unwrap()), (20, CLOSED));
    }
    // Who comes now is told the same.
    let late = add(&reactor, &handle, Seen::default());
    until("the late one", || reactor.is_empty()).await;
    assert_eq!((late.next(), *late.end.lock().unwrap()), (0, CLOSED));
}

#[tokio::test]
async fn a_sink_that_panics_costs_no_other_sink_anything() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let reactor = reactor(1);
    publish(&mut publisher, "tv");
    let sinks: Vec<_> = (0..100)
        .map(|_| add(&reactor, &handle, Seen::default()))
        .collect();
    publish_video(&mut publisher, 0..1, 1);
    until("all have begun", || sinks.iter().all(|it| it.next() == 1)).await;
    for sink in sinks.iter().step_by(9) {
        sink.panics.store(true, Ordering::Relaxed);
    }
    publish_video(&mut publisher, 1..2, 1);
    until("some have gone", || reactor.len() == 88).await;
    assert_eq!(handle.subscriber_count(), 88);
    for (place, sink) in sinks.iter().enumerate() {
        assert_eq!(sink.dropped.load(Ordering::Relaxed), place % 9 == 0);
        assert_eq!(sink.next(), if place % 9 == 0 { 1 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn closed_sinks_of_a_silent_stream_are_dropped() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let reactor = reactor(1);
    publish(&mut publisher, "tv V0");
    let sinks: Vec<_> = (0..10)
        .map(|_| add(&reactor, &handle, Seen::default()))
        .collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(sinks.iter().all(|it| it.next() == 1));
    for sink in &sinks[1..] {
        sink.closed.store(true, Ordering::Relaxed);
    }
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(reactor.len(), 1);
    sinks[0].closed.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(reactor.is_empty());
    assert_eq!(handle.stream.wake.len(), 0, "the feed is gone");
    assert_eq!(handle.subscriber_count(), 0);
    // And comes back.
    let again = add(&reactor, &handle, Seen::default());
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(again.next(), 1);
}

#[tokio::test]
async fn streams_are_spread_over_lanes_and_each_is_on_few() {
    let reactor = reactor(4);
    let mut streams = Vec::new();
    for sinks in [1, 3, 64, 70, 400] {
        let (mut publisher, handle) = stream(BusConfig::default());
        publish(&mut publisher, "tv V0");
        let sinks: Vec<_> = (0..sinks)
            .map(|_| add(&reactor, &handle, Seen::default()))
            .collect();
        until("all have it", || sinks.iter().all(|it| it.next() == 1)).await;
        let lanes = handle.stream.wake.len();
        assert_eq!(lanes, sinks.len().div_ceil(64).min(4), "{}", sinks.len());
        streams.push((publisher, sinks));
    }
    assert_eq!(reactor.len(), 538);
    drop(streams);
}

#[test]
fn sinks_go_with_their_runtime() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let reactor = Reactor::new(runtime.handle(), 2);
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv V0");
    let sinks: Vec<_> = (0..200)
        .map(|_| add(&reactor, &handle, Seen::default()))
        .collect();
    runtime.block_on(until("all have it", || {
        sinks.iter().all(|it| it.next() == 1)
    }));
    runtime.shutdown_timeout(PATIENCE);
    assert!(reactor.is_empty());
    assert!(sinks.iter().all(|it| it.dropped.load(Ordering::Relaxed)));
    assert_eq!(
        (handle.subscriber_count(), handle.stream.wake.len()),
        (0, 0)
    );
    let late = add(&reactor, &handle, Seen::default());
    assert!(late.dropped.load(Ordering::Relaxed) && reactor.is_empty());
    assert_eq!(handle.subscriber_count(), 0);
}

#[tokio::test]
async fn a_crowd_that_joins_lets_others_run_between() {
    struct Slow(Arc<AtomicUsize>);
    impl Sink for Slow {
        fn track(&mut self, _: &Arc<Track>) {}
        fn frames(&mut self, frames: &Frames<'_>) {
            // Some microseconds, as for a write.
            for _ in 0..2_000 {
                std::hint::black_box(frames.len());
            }
            self.0.fetch_add(frames.len(), Ordering::Relaxed);
        }
    }
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv");
    publish_video(&mut publisher, 0..500, 500);
    let reactor = Reactor::new(&Handle::current(), 1);
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..400 {
        reactor.add(&handle, Slow(Arc::clone(&count)));
    }
    // Another task of the thread, which takes turns with the lane.
    let mut turns = 0;
    let others = tokio::spawn(std::future::poll_fn(move |cx| {
        turns += 1;
        if count.load(Ordering::Relaxed) == 400 * 500 {
            return Poll::Ready(turns);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    let turns = timeout(PATIENCE, others).await.unwrap().unwrap();
    assert!(turns > 10, "the lane never paused: {turns}");
}

#[tokio::test(start_paused = true)]
async fn sinks_that_are_never_ready_end_after_their_stream() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv V0");
    let reactor = reactor(1);
    let sinks = [(); 3].map(|()| add(&reactor, &handle, Seen::default()));
    until("all have begun", || sinks.iter().all(|it| it.next() == 1)).await;
    for sink in &sinks[1..] {
        sink.unready.store(true, Ordering::Relaxed);
    }
    publish(&mut publisher, "v1 v2");
    publisher.finish();
    let minute = tokio::time::Instant::now() + Duration::from_secs(60);
    while !reactor.is_empty() {
        assert!(tokio::time::Instant::now() < minute, "{}", reactor.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let missed = sinks.each_ref().map(|it| it.missed.load(Ordering::Relaxed));
    assert_eq!(missed, [0, 2, 2]);
    assert_eq!(handle.qos().dropped, 4);
    for sink in &sinks {
        assert_eq!(*sink.end.lock().unwrap(), CLOSED);
    }
    assert_eq!(handle.stream.gauge.kept(), handle.stream.gauge.bytes());
}
