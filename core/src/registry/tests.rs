//! The registry and the lives of its streams.

mod pace;
mod room;

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{advance, sleep};

use super::{Events, PublishError, PublishRequest, Registry, RegistryConfig, StreamEvent};
use crate::bus::{BusConfig, Publisher, Recv, StreamHandle, Takeover};
use crate::sync::{Arc, Mutex, now};
use crate::{
    AudioParams, ByteSize, CloseReason, Closed, Codec, DiscontinuityCause, Frame, Lifecycle,
    MediaKind, MediaParams, Observer, ResilientSubscription, StreamKey, Timescale, Track, TrackId,
    VideoParams,
};

fn key(text: &str) -> StreamKey {
    text.parse().unwrap()
}

fn request() -> PublishRequest {
    PublishRequest::new(key("live/cam"), "test")
}

fn replacing() -> PublishRequest {
    request().with_bus(BusConfig {
        takeover: Takeover::Replace,
        ..BusConfig::default()
    })
}

fn video() -> Track {
    let params = MediaParams::Video(VideoParams::new(640, 360));
    Track::new(TrackId(0), Codec::new(*b"avc1"), Timescale::VIDEO, params)
}

fn audio() -> Track {
    let rate = Timescale::new(48_000).unwrap();
    let params = MediaParams::Audio(AudioParams::new(48_000, 2));
    Track::new(TrackId(1), Codec::new(*b"mp4a"), rate, params)
}

fn picture(number: i64, keyframe: bool) -> Frame {
    Frame::new(
        TrackId(0),
        number * 3_600,
        now(),
        Bytes::from_static(b"picture"),
    )
    .with_keyframe(keyframe)
}

fn sound(number: i64) -> Frame {
    Frame::new(
        TrackId(1),
        number * 1_024,
        now(),
        Bytes::from_static(b"sound"),
    )
    .with_keyframe(true)
    .with_duration(1_024)
}

fn put(publisher: &mut Publisher, numbers: std::ops::Range<i64>) {
    for number in numbers {
        publisher
            .publish_frame(picture(number, number % 10 == 0))
            .unwrap();
    }
}

/// What there is to read: `V` and the time in frames for pictures, `a` for sound.
fn read(reader: &mut ResilientSubscription) -> String {
    let mut words = Vec::new();
    while let Some(recv) = reader.try_recv() {
        words.push(match recv {
            Recv::Frame(frame) if frame.track == TrackId(0) => format!("V{}", frame.dts / 3_600),
            Recv::Frame(frame) => format!("a{}", frame.dts / 1_024),
            Recv::Track(track) => format!("t{}", track.id),
            Recv::Discontinuity(it) => format!("{}-{}ms", it.cause, it.missing.as_millis()),
            Recv::Lagged { skipped } => format!("lag{skipped}"),
            Recv::Ended => {
                words.push("end".to_owned());
                break;
            }
        });
    }
    words.join(" ")
}

fn shown(event: &StreamEvent) -> String {
    let key = event.key().map(ToString::to_string).unwrap_or_default();
    match event {
        StreamEvent::Published { .. } => format!("published {key}"),
        StreamEvent::Detached { .. } => format!("detached {key}"),
        StreamEvent::Resumed { epoch, .. } => format!("resumed {key} {epoch}"),
        StreamEvent::Ended { reason, .. } => format!("ended {key} {reason}"),
        StreamEvent::Lagged { missed } => format!("lagged {missed}"),
    }
}

fn all(events: &mut Events) -> String {
    let mut texts = Vec::new();
    while let Some(event) = events.try_next() {
        texts.push(shown(&event));
    }
    texts.join(", ")
}

#[tokio::test]
async fn a_stream_can_be_found_while_it_lives() {
    let registry = Registry::default();
    assert!(registry.get(&key("live/cam")).is_none());
    let publisher = registry
        .publish(request().with_peer("192.0.2.1:9".parse().unwrap()))
        .unwrap();
    let other = registry
        .publish(PublishRequest::new(key("live/a"), "test"))
        .unwrap();
    let handle = registry.get(&key("live/cam")).unwrap();
    assert!(handle.same_stream(&publisher.handle()));
    let metadata = handle.metadata_snapshot();
    assert_eq!(
        metadata.publisher_addr,
        Some("192.0.2.1:9".parse().unwrap())
    );
    assert_eq!(metadata.ingest_protocol, "test");
    let keys: Vec<_> = registry
        .list()
        .iter()
        .map(|handle| handle.key().to_string())
        .collect();
    assert_eq!(keys, ["live/a", "live/cam"]);
    publisher.finish();
    other.finish();
    assert!(registry.get(&key("live/cam")).is_none() && registry.list().is_empty());
}

#[tokio::test]
async fn two_registries_never_meet() {
    let (one, two) = (Registry::default(), Registry::default());
    let _publisher = one.publish(request()).unwrap();
    assert!(two.get(&key("live/cam")).is_none());
    let _other = two.publish(request()).unwrap();
    one.shutdown();
    assert!(two.get(&key("live/cam")).is_some());
    assert_eq!(*one.shared(|| 1), 1);
    assert_eq!(*two.shared(|| 2), 2);
    assert_eq!(*one.clone().shared(|| 3), 1);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_comes_back_goes_on_in_the_same_stream() {
    let registry = Registry::default();
    let mut publisher = registry.publish(request()).unwrap();
    assert_eq!((publisher.epoch(), publisher.resume_point()), (1, None));
    let handle = publisher.handle();
    let mut reader = handle.subscribe_resilient();
    publisher.publish_track(video()).unwrap();
    publisher.publish_track(audio()).unwrap();
    put(&mut publisher, 0..3);
    publisher.publish_frame(sound(6)).unwrap();
    let last = now();
    drop(publisher);
    assert_eq!(handle.current_state().lifecycle, Lifecycle::Idle);
    assert_eq!(read(&mut reader), "t0 t1 V0 V1 V2 a6");

    sleep(Duration::from_secs(14)).await;
    let mut publisher = registry.publish(request()).unwrap();
    assert!(publisher.handle().same_stream(&handle));
    assert_eq!((publisher.epoch(), handle.epoch()), (2, 2));
    let resume = publisher.resume_point().unwrap();
    // The sound ends last: 7 × 1,024 / 48,000 s.
    assert_eq!((resume.time, resume.at), (149_333_333, last));
    // One break, before the first thing that is put; equal tracks are none.
    sleep(Duration::from_millis(500)).await;
    assert!(!publisher.publish_track(video()).unwrap());
    assert_eq!(read(&mut reader), "");
    publisher.publish_frame(picture(400, true)).unwrap();
    publisher.publish_frame(picture(401, false)).unwrap();
    assert_eq!(read(&mut reader), "reconnect-14500ms V400 V401");
    assert_eq!(handle.qos().discontinuities, 1);
    publisher.finish();
    assert_eq!(read(&mut reader), "end");
}

#[tokio::test(start_paused = true)]
async fn publishers_that_put_nothing_make_no_further_break() {
    let registry = Registry::default();
    let mut publisher = registry.publish(request()).unwrap();
    let mut reader = publisher.handle().subscribe_resilient();
    // Nothing was put yet, so nothing breaks.
    drop(publisher);
    publisher = registry.publish(request()).unwrap();
    put(&mut publisher, 0..1);
    for _ in 0..3 {
        sleep(Duration::from_secs(1)).await;
        drop(publisher);
        publisher = registry.publish(request()).unwrap();
    }
    publisher.publish_track(video()).unwrap();
    put(&mut publisher, 10..11);
    assert_eq!(read(&mut reader), "V0 reconnect-3000ms t0 V10");
}

#[tokio::test(start_paused = true)]
async fn a_publishers_own_discontinuity_takes_the_place_of_the_buss() {
    let registry = Registry::default();
    let mut publisher = registry.publish(request()).unwrap();
    let mut reader = publisher.handle().subscribe_resilient();
    put(&mut publisher, 0..1);
    drop(publisher);
    publisher = registry.publish(request()).unwrap();
    let own = crate::Discontinuity::new(DiscontinuityCause::Jump, Duration::from_millis(7));
    publisher.publish_discontinuity(own).unwrap();
    put(&mut publisher, 10..11);
    assert_eq!(read(&mut reader), "V0 reconnect-7ms V10");
}

#[tokio::test(start_paused = true)]
async fn after_a_break_pictures_go_on_at_a_keyframe() {
    let registry = Registry::default();
    let mut publisher = registry.publish(request()).unwrap();
    let mut reader = publisher.handle().subscribe_resilient();
    publisher.publish_track(video()).unwrap();
    put(&mut publisher, 0..2);
    drop(publisher);
    publisher = registry.publish(request()).unwrap();
    put(&mut publisher, 18..22);
    assert_eq!(read(&mut reader), "t0 V0 V1 reconnect-0ms V20 V21");
}

#[tokio::test(start_paused = true)]
async fn a_track_that_the_next_publisher_does_not_send_is_forgotten() {
    let registry = Registry::default();
    let mut publisher = registry.publish(request()).unwrap();
    let handle = publisher.handle();
    let tracks = || {
        handle
            .tracks()
            .iter()
            .map(|track| track.kind())
            .collect::<Vec<_>>()
    };
    publisher.publish_track(video()).unwrap();
    publisher.publish_track(audio()).unwrap();
    put(&mut publisher, 0..1);
    drop(publisher);
    publisher = registry.publish(request()).unwrap();
    publisher.publish_track(video()).unwrap();
    put(&mut publisher, 10..20);
    // It may still come, within a GOP.
    assert_eq!(tracks(), [MediaKind::Video, MediaKind::Audio]);
    put(&mut publisher, 20..30);
    assert_eq!(tracks(), [MediaKind::Video]);
    assert_eq!(handle.metadata_snapshot().tracks.len(), 1);
    let mut reader = handle.subscribe_resilient();
    assert!(read(&mut reader).starts_with("t0 V20"));
    // And if it comes after all, it is new to those who joined meanwhile.
    assert!(publisher.publish_track(audio()).unwrap());
    assert_eq!(read(&mut reader), "t1");
}

#[tokio::test(start_paused = true)]
async fn the_grace_time_ends_the_stream() {
    let registry = Registry::default();
    let mut publisher = registry.publish(request()).unwrap();
    let handle = publisher.handle();
    let mut reader = handle.subscribe_resilient();
    put(&mut publisher, 0..1);
    drop(publisher);
    sleep(Duration::from_millis(14_999)).await;
    assert_eq!(read(&mut reader), "V0");
    sleep(Duration::from_millis(2)).await;
    assert_eq!(read(&mut reader), "end");
    assert_eq!(handle.close_reason(), Some(CloseReason::GraceExpired));
    // The key is free, for another life.
    let publisher = registry.publish(request()).unwrap();
    assert_ne!(publisher.handle().session(), handle.session());
    assert_eq!(publisher.epoch(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_end_of_an_old_publisher_ends_nothing() {
    let registry = Registry::default();
    let mut old = registry.publish(request()).unwrap();
    let handle = old.handle();
    put(&mut old, 0..1);
    let closed = tokio::spawn(old.closed());
    let mut new = registry.publish(replacing()).unwrap();
    assert_eq!(closed.await.unwrap(), CloseReason::TakenOver);
    let taken = Err(Closed::new(CloseReason::TakenOver));
    assert_eq!(old.publish_frame(picture(1, false)), taken);
    old.finish();
    put(&mut new, 10..12);
    // Nor does its grace time.
    let mut older = new;
    let newest = registry.publish(replacing()).unwrap();
    assert!(older.publish_frame(picture(2, false)).is_err());
    drop(older);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(handle.current_state().lifecycle, Lifecycle::Publishing);
    assert_eq!(handle.epoch(), 3);
    newest.finish();
    assert_eq!(handle.close_reason(), Some(CloseReason::Finished));
}

#[tokio::test(start_paused = true)]
async fn a_live_stream_is_not_taken_over_unless_that_is_asked_for() {
    let registry = Registry::default();
    let mut publisher = registry.publish(request()).unwrap();
    let mut reader = publisher.handle().subscribe_resilient();
    put(&mut publisher, 0..1);
    let busy = registry.publish(request()).unwrap_err();
    assert_eq!(busy, PublishError::Busy(key("live/cam")));
    assert_eq!(busy.to_string(), "live/cam is being published already");
    put(&mut publisher, 1..2);
    advance(Duration::from_millis(100)).await;
    let mut other = registry.publish(replacing()).unwrap();
    put(&mut other, 10..11);
    assert_eq!(read(&mut reader), "V0 V1 takeover-100ms V10");
}

#[tokio::test(start_paused = true)]
async fn a_silent_publisher_may_be_replaced_in_any_case() {
    let registry = Registry::default();
    let mut publisher = registry.publish(request()).unwrap();
    // One that has only just begun is not silent yet.
    advance(Duration::from_millis(1_999)).await;
    assert!(registry.publish(request()).is_err());
    put(&mut publisher, 0..1);
    advance(Duration::from_millis(1_999)).await;
    assert!(registry.publish(request()).is_err());
    advance(Duration::from_millis(1)).await;
    let mut reader = publisher.handle().subscribe_resilient();
    let mut back = registry.publish(request()).unwrap();
    assert_eq!(publisher.close_reason(), Some(CloseReason::TakenOver));
    assert!(registry.publish(request()).is_err());
    put(&mut back, 10..11);
    assert_eq!(read(&mut reader), "V0 reconnect-2000ms V10");
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_stays_silent_is_reaped() {
    #[derive(Default)]
    struct Reaped(Mutex<Vec<String>>);
    impl Observer for Reaped {
        fn on_stream_reaped(&self, key: &StreamKey) {
            self.0.lock().push(key.to_string());
        }
    }
    let reaped = Arc::new(Reaped::default());
    let registry = Registry::new(RegistryConfig::default().with_observer(Arc::clone(&reaped) as _));
    let mut publisher = registry
        .publish(request().with_idle_timeout(Some(Duration::from_secs(30))))
        .unwrap();
    for number in 0..5 {
        sleep(Duration::from_secs(29)).await;
        put(&mut publisher, number..number + 1);
    }
    let closed = publisher.closed();
    let before = tokio::time::Instant::now();
    assert_eq!(closed.await, CloseReason::Idle);
    assert!(before.elapsed().abs_diff(Duration::from_secs(30)) < Duration::from_millis(10));
    assert!(registry.get(&key("live/cam")).is_none());
    assert_eq!(*reaped.0.lock(), ["live/cam"]);
    // One that never sent anything, too.
    let publisher = registry
        .publish(request().with_idle_timeout(Some(Duration::from_secs(30))))
        .unwrap();
    assert_eq!(publisher.closed().await, CloseReason::Idle);
}

#[tokio::test(start_paused = true)]
async fn events_start_with_what_lives_and_miss_nothing() {
    let registry = Registry::default();
    let publisher = registry.publish(request()).unwrap();
    drop(
        registry
            .publish(PublishRequest::new(key("live/b"), "test"))
            .unwrap(),
    );
    let mut events = registry.events();
    assert_eq!(
        all(&mut events),
        "published live/b, detached live/b, published live/cam"
    );
    drop(publisher);
    let publisher = registry.publish(request()).unwrap();
    let other = registry.publish(replacing()).unwrap();
    publisher.finish();
    other.finish();
    assert_eq!(
        all(&mut events),
        "detached live/cam, resumed live/cam 2, resumed live/cam 3, ended live/cam finished"
    );
    sleep(Duration::from_secs(16)).await;
    assert_eq!(all(&mut events), "ended live/b grace expired");
    let _publisher = registry.publish(request()).unwrap();
    assert!(registry.close(&key("live/cam"), CloseReason::Kicked));
    assert!(!registry.close(&key("live/cam"), CloseReason::Kicked));
    let next = events.next().await.unwrap();
    assert_eq!(shown(&next), "published live/cam");
    assert_eq!(next.session().map(str::len), Some(12));
    assert_eq!(all(&mut events), "ended live/cam kicked");
}

#[tokio::test]
async fn a_slow_follower_gets_a_new_snapshot() {
    let registry = Registry::default();
    let mut events = registry.events();
    for number in 0..1_000 {
        let publisher = registry
            .publish(PublishRequest::new(key(&format!("live/{number}")), "test"))
            .unwrap();
        publisher.finish();
    }
    let _live = registry.publish(request()).unwrap();
    let missed = 2_001 - super::EVENTS;
    assert_eq!(
        all(&mut events),
        format!("lagged {missed}, published live/cam")
    );
}

#[tokio::test]
async fn shutting_down_ends_everything() {
    let registry = Registry::default();
    let mut events = registry.events();
    let mut publisher = registry.publish(request()).unwrap();
    let mut reader = publisher.handle().subscribe_resilient();
    put(&mut publisher, 0..2);
    registry.shutdown();
    registry.shutdown();
    assert_eq!(publisher.closed().await, CloseReason::Shutdown);
    assert_eq!(read(&mut reader), "V0 V1 end");
    assert_eq!(
        registry.publish(request()).unwrap_err(),
        PublishError::ShuttingDown
    );
    assert_eq!(shown(&events.next().await.unwrap()), "published live/cam");
    assert_eq!(
        shown(&events.next().await.unwrap()),
        "ended live/cam shutdown"
    );
    assert_eq!(events.next().await, None);
    assert_eq!(registry.events().next().await, None);
    registry.drained().await;
}

#[tokio::test]
async fn all_streams_share_one_budget() {
    let registry = Registry::new(RegistryConfig::default().with_memory(ByteSize::mib(8)));
    let mut publishers: Vec<_> = (0..8)
        .map(|number| {
            registry
                .publish(PublishRequest::new(key(&format!("live/{number}")), "test"))
                .unwrap()
        })
        .collect();
    let large = |number: i64| {
        let payload = Bytes::from(vec![0; 20_000]);
        Frame::new(TrackId(0), number, now(), payload).with_keyframe(number % 100 == 0)
    };
    let mut most = 0;
    for number in 0..300 {
        // One small stream among large ones keeps its whole GOP.
        publishers[0]
            .publish_frame(picture(number, number % 100 == 0))
            .unwrap();
        for publisher in &mut publishers[1..] {
            publisher.publish_frame(large(number)).unwrap();
        }
        most = most.max(registry.memory().used);
    }
    let slack = 8 * (512 << 10);
    assert!(most > 7 << 20 && most < (8 << 20) + slack, "{most}");
    assert_eq!(registry.memory().limit, 8 << 20);
    let small = publishers[0].handle().replay_buffer();
    assert_eq!(small.len(), 100);
    assert_eq!(publishers[0].handle().qos().gop_truncated, 0);
    assert!(publishers[1].handle().qos().gop_truncated > 0);
    let handles: Vec<StreamHandle> = publishers.iter().map(Publisher::handle).collect();
    drop(handles);
    drop(publishers);
    registry.shutdown();
}
