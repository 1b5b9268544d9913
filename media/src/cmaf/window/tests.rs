//! Windows of real streams: who makes them, who finds them, and for how long.

use std::future::Future;
use std::ops::Range;

use bytes::Bytes;
use rillcast_core::{
    ByteSize, CloseReason, PublishRequest, Publisher, Registry, RegistryConfig, TrackId,
};
use tokio::time::timeout;

use super::*;
use crate::cmaf::Refusal;
use crate::codec::avc;
use crate::{Feed, SourceClock, SourceFrame, SourceItem};

fn key() -> StreamKey {
    StreamKey::parse("live/cam").unwrap()
}

fn publish(registry: &Registry) -> Publisher {
    registry
        .publish(PublishRequest::new(key(), "test"))
        .unwrap()
}

/// Publishes `seconds` of pictures, 25 a second, with a GOP of a second, as if
/// they had come in time from `start` on.
fn feed(feed: &mut Feed, start: Instant, seconds: u32) {
    feed_bytes(feed, start, 0..seconds, Bytes::from_static(b"picture"));
}

/// The same from one second to another, and pictures of those bytes.
fn feed_bytes(feed: &mut Feed, start: Instant, seconds: Range<u32>, payload: Bytes) {
    let record = avc::captures::bytes(avc::captures::HIGH_1080);
    let track = avc::Config::parse(&record).unwrap().track(TrackId(0));
    feed.push(SourceItem::Track(track)).unwrap();
    feed_pictures(feed, start, seconds.start * 25..seconds.end * 25, payload);
}

/// The same from one picture to another.
fn feed_pictures(feed: &mut Feed, start: Instant, pictures: Range<u32>, payload: Bytes) {
    for n in pictures {
        let frame = SourceFrame {
            track: TrackId(0),
            dts: i64::from(n) * 40,
            cts: 0,
            clock: SourceClock::RTMP_MILLIS,
            nanos: 0,
            duration: 0,
            keyframe: n % 25 == 0,
            payload: payload.clone(),
            received: start + Duration::from_millis(40) * n,
        };
        feed.push(SourceItem::Frame(frame)).unwrap();
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what)
        .await
        .expect("in time")
}

fn complete(snapshot: &Snapshot) -> usize {
    snapshot.primary().map_or(0, |track| track.segments.len())
}

#[tokio::test]
async fn all_who_ask_get_the_one_window_of_the_stream() {
    let registry = Registry::new(RegistryConfig::default());
    let (one, other) = (Store::new(), Store::new());
    let now = Instant::now();
    let mut feed_one = Feed::new(publish(&registry));
    let handle = registry.get(&key()).unwrap();
    assert!(existing_window(&handle).is_none());
    let config = CmafConfig::default();
    let window = one.open(&handle, &config, now);
    assert!(Arc::ptr_eq(&window, &one.open(&handle, &config, now)));
    assert!(Arc::ptr_eq(&window, &other.open(&handle, &config, now)));
    assert!(Arc::ptr_eq(&window, &existing_window(&handle).unwrap()));
    assert_eq!(handle.subscriber_count(), 1, "one packager");
    assert_eq!(window.load().state, State::Waiting);
    assert_eq!(window.session(), handle.session());
    feed(&mut feed_one, now, 9);
    let snapshot = soon(window.watched().wait_for(|s| complete(s) >= 4)).await;
    assert_eq!(snapshot.state, State::Live);
    assert_eq!(one.usage(now).0, 1);
    assert!(one.usage(now).1 > 0);
}

#[tokio::test]
async fn a_window_outlives_its_stream_for_as_long_as_it_lists() {
    let registry = Registry::new(RegistryConfig::default());
    let store = Store::new();
    let mut source = Feed::new(publish(&registry));
    let handle = registry.get(&key()).unwrap();
    let now = Instant::now();
    let window = store.open(&handle, &CmafConfig::default(), now);
    feed(&mut source, now, 60);
    source.finish();
    let ended = soon(window.watched().wait_for(Snapshot::is_ended)).await;
    let State::Ended { at } = ended.state else {
        panic!("{:?}", ended.state);
    };
    let listed = ended.listed_duration();
    assert!((30..34).contains(&listed.as_secs()), "{listed:?}");
    let session = window.session().to_owned();
    drop((window, handle));
    let before = at + listed - Duration::from_millis(1);
    assert!(store.get(&key(), before).is_some());
    let found = store.find(key().as_str(), &session, before).unwrap();
    assert_eq!(found.key(), &key());
    assert!(store.find(key().as_str(), "another", before).is_none());
    store.sweep(at + listed);
    assert!(store.find(key().as_str(), &session, at).is_none());
    assert_eq!(store.usage(at), (0, 0));
}

#[tokio::test]
async fn the_next_life_of_a_stream_has_a_window_of_its_own() {
    let registry = Registry::new(RegistryConfig::default());
    let store = Store::new();
    let now = Instant::now();
    let mut sessions = Vec::new();
    for _ in 0..6 {
        let mut source = Feed::new(publish(&registry));
        let handle = registry.get(&key()).unwrap();
        let window = store.open(&handle, &CmafConfig::default(), now);
        assert!(Arc::ptr_eq(&window, &store.get(&key(), now).unwrap()));
        sessions.push(window.session().to_owned());
        feed(&mut source, now, 3);
        source.finish();
        soon(window.watched().wait_for(Snapshot::is_ended)).await;
    }
    store.sweep(now);
    sessions.dedup();
    assert_eq!(sessions.len(), 6);
    let found = |session: &String| store.find(key().as_str(), session, now).is_some();
    let kept: Vec<bool> = sessions.iter().map(found).collect();
    assert_eq!(
        kept,
        [false, false, true, true, true, true],
        "the last {MOST_PER_KEY}"
    );
}

#[tokio::test]
async fn only_so_many_ended_windows_are_kept() {
    let registry = Registry::new(RegistryConfig::default());
    let store = Store::new();
    let now = Instant::now();
    for n in 0..MOST_ENDED + 3 {
        let key = StreamKey::parse(&format!("live/cam{n}")).unwrap();
        let publisher = registry
            .publish(PublishRequest::new(key.clone(), "test"))
            .unwrap();
        let window = store.open(&registry.get(&key).unwrap(), &CmafConfig::default(), now);
        publisher.finish();
        soon(window.watched().wait_for(Snapshot::is_ended)).await;
    }
    assert_eq!(store.usage(now).0, MOST_ENDED);
}

#[tokio::test]
async fn a_publisher_that_comes_back_goes_on_in_the_same_window() {
    let registry = Registry::new(RegistryConfig::default());
    let store = Store::new();
    let mut source = Feed::new(publish(&registry));
    let handle = registry.get(&key()).unwrap();
    let now = Instant::now();
    let window = store.open(&handle, &CmafConfig::default(), now);
    feed(&mut source, now, 7);
    drop(source);
    soon(window.watched().wait_for(|s| complete(s) >= 3)).await;
    let mut source = Feed::new(publish(&registry));
    feed(&mut source, now + Duration::from_secs(9), 7);
    source.finish();
    let ended = soon(window.watched().wait_for(Snapshot::is_ended)).await;
    let track = ended.track("v0").unwrap();
    let broken: Vec<u64> = track
        .segments
        .iter()
        .filter(|segment| segment.discontinuity)
        .map(|segment| segment.number)
        .collect();
    assert_eq!(broken, [5]);
    assert_eq!(
        (ended.counters.discontinuities, track.segments.len()),
        (1, 8)
    );
    // By arrival: two seconds passed between the last frame and the next.
    let (last, next) = (&track.segments[3], &track.segments[4]);
    let pause = next.timescale.to_duration(next.start - last.end());
    assert!((1.9..2.2).contains(&pause.as_secs_f64()), "{pause:?}");
    assert_eq!(handle.close_reason(), Some(CloseReason::Finished));
}

#[tokio::test]
async fn a_publisher_that_falls_silent_has_its_segment_closed_in_time() {
    let registry = Registry::new(RegistryConfig::default());
    let mut source = Feed::new(publish(&registry));
    let handle = registry.get(&key()).unwrap();
    let window = window(&handle, &CmafConfig::default());
    feed(&mut source, Instant::now(), 3);
    let open = soon(window.watched().wait_for(|s| complete(s) == 1)).await;
    assert!(open.track("v0").unwrap().open.is_some());
    // The driver's clock, not ours, brings the stall.
    let closed = soon(window.watched().wait_for(|s| complete(s) == 2)).await;
    assert_eq!(closed.counters.stalls, 1);
}

#[tokio::test]
async fn what_all_windows_hold_is_bounded_until_they_are_let_go_of() {
    let registry = Registry::new(RegistryConfig::default());
    let store = Store::new();
    let now = Instant::now();
    let config = CmafConfig {
        memory: ByteSize::mib(1),
        total_memory: ByteSize::mib(1),
        ..CmafConfig::default()
    };
    let picture = Bytes::from(vec![0; 3_000]);
    let open = |name: &str| {
        let key = StreamKey::parse(name).unwrap();
        let request = PublishRequest::new(key.clone(), "test");
        let feed = Feed::new(registry.publish(request).unwrap());
        let window = store.open(&registry.get(&key).unwrap(), &config, now);
        (feed, window)
    };
    let (mut older, first) = open("live/older");
    feed_bytes(&mut older, now, 0..30, picture.clone());
    soon(first.watched().wait_for(|s| complete(s) >= 5)).await;
    soon(async {
        while store.reserved() < 1 << 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let (mut newer, second) = open("live/newer");
    feed_bytes(&mut newer, now, 0..9, picture.clone());
    let refused = |s: &Snapshot| s.state == State::Refused(Refusal::TotalMemory);
    soon(second.watched().wait_for(refused)).await;
    assert_eq!(store.reserved(), 1 << 20);

    older.finish();
    let ended = soon(first.watched().wait_for(Snapshot::is_ended)).await;
    assert!(ended.listed_duration() >= ended.target_duration * 3);
    assert!(store.reserved() >= ended.memory, "viewers still read it");
    drop((first, ended));
    store.sweep(now + Duration::from_secs(3_600));
    soon(async {
        while store.reserved() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    feed_bytes(&mut newer, now, 9..20, picture);
    let live = |s: &Snapshot| s.state == State::Live && complete(s) >= 3;
    soon(second.watched().wait_for(live)).await;
    assert!((1..=1 << 20).contains(&store.reserved()));
}

/// A packager that panics at its first frame after so many.
struct Panics(Packager, u32);

impl StreamWorker for Panics {
    fn on_recv(&mut self, recv: Recv<'_>, now: Instant) {
        self.0.on_recv(recv, now);
        self.1 -= 1;
        assert!(self.1 > 0, "on purpose");
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }
}

#[tokio::test]
async fn a_packager_that_panics_ends_its_window_so_that_nobody_waits_for_ever() {
    let registry = Registry::new(RegistryConfig::default());
    let mut source = Feed::new(publish(&registry));
    let handle = registry.get(&key()).unwrap();
    let slot = Slot::new(&handle, &CmafConfig::default(), &Arc::default());
    let packager = slot.packager().unwrap();
    handle.attach_worker(Panics(packager, 25 * 7));
    feed(&mut source, Instant::now(), 20);
    let window = &slot.window;
    let ended = soon(window.watched().wait_for(Snapshot::is_ended)).await;
    let track = ended.primary().unwrap();
    // What there was of the open segment is the last one.
    assert!(track.open.is_none());
    assert_eq!(track.segments.len(), 4);
    assert!(track.segments.iter().all(|segment| segment.complete));
    assert_eq!(super::super::check(None, &ended), Ok(()));
    assert!(registry.get(&key()).is_some(), "the stream goes on");
}

#[tokio::test]
async fn packaging_on_demand_pauses_when_nobody_asks_and_goes_on_in_the_same_session() {
    let registry = Registry::new(RegistryConfig::default());
    let store = Store::new();
    let mut source = Feed::new(publish(&registry));
    let handle = registry.get(&key()).unwrap();
    let (start, hour) = (Instant::now(), Duration::from_secs(3_600));
    let config = CmafConfig {
        start: Start::OnDemand,
        // No request is younger than this once the frames have come.
        linger: rillcast_core::HumanDuration(Duration::ZERO),
        ..CmafConfig::default()
    };
    let window = store.open(&handle, &config, start);
    let bytes = Bytes::from(vec![0; 4_096]);
    tokio::time::sleep_until((start + Duration::from_millis(2)).into()).await;
    feed_bytes(&mut source, start, 0..10, bytes.clone());
    let idle = |snapshot: &Snapshot| snapshot.counters.segments > 0 && complete(snapshot) == 0;
    let paused = soon(window.watched().wait_for(idle)).await;
    assert_eq!(paused.state, State::Live);
    assert!(paused.memory < 30 * 4_096, "{} bytes", paused.memory);
    let (next, part) = paused.primary().unwrap().next;
    assert!(next > 1 && part == 0, "{next}.{part}");

    // A viewer comes, and stays.
    assert!(store.get(&key(), start + hour).is_some());
    feed_bytes(&mut source, start, 10..20, bytes);
    let live = soon(window.watched().wait_for(|s| complete(s) >= 3)).await;
    let first = Arc::clone(&live.primary().unwrap().segments[0]);
    assert_eq!(first.number, next);
    assert!(first.discontinuity && first.independent);
    assert_eq!(live.target_duration, paused.target_duration);
    assert_eq!(super::super::check(Some(&paused), &live), Ok(()));
}

#[tokio::test]
async fn who_makes_packaging_begin_gets_a_segment_of_what_the_bus_has_kept() {
    let registry = Registry::new(RegistryConfig::default());
    let store = Store::new();
    let mut source = Feed::new(publish(&registry));
    let handle = registry.get(&key()).unwrap();
    let config = CmafConfig {
        start: Start::OnDemand,
        ..CmafConfig::default()
    };
    let bytes = Bytes::from_static(b"picture");
    // Of the fourth GOP most has come; its end has not.
    let now = Instant::now();
    let start = now.checked_sub(Duration::from_millis(3_880)).unwrap();
    feed_bytes(&mut source, start, 0..3, bytes.clone());
    feed_pictures(&mut source, start, 75..97, bytes.clone());
    let window = store.open(&handle, &config, now);
    // Three pictures come while it is watched, none of them a keyframe.
    feed_pictures(&mut source, start, 97..100, bytes.clone());
    let first = soon(window.watched().wait_for(|s| complete(s) > 0)).await;
    let track = first.primary().unwrap();
    assert!(track.segments[0].independent);
    let length = track.segments[0].length();
    assert!(length >= Duration::from_millis(800), "{length:?}");
    assert_eq!(first.target_duration, Duration::from_secs(2));
    assert_eq!(first.counters.long_gops, 0);
    assert_eq!(super::super::check(None, &first), Ok(()));
    // It goes on at the keyframes.
    feed_bytes(&mut source, start, 4..12, bytes);
    let live = soon(window.watched().wait_for(|s| complete(s) >= 4)).await;
    let segments = &live.primary().unwrap().segments;
    assert!(segments[2..].iter().all(|segment| segment.independent));
    assert_eq!(super::super::check(Some(&first), &live), Ok(()));
}
