//! What handles and subscriptions show, apart from the order of entries.

use super::*;
use crate::{Discontinuity, DiscontinuityCause, JoinAt, Lifecycle, StreamFlag};

#[test]
fn debug_prints_no_payload() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let secret = Frame::new(VIDEO, 0, now(), Bytes::from_static(b"SECRET")).with_keyframe(true);
    publisher.publish_frame(secret).unwrap();
    let mut reader = handle.subscribe();
    let shown = format!(
        "{handle:?} {publisher:?} {reader:?} {:?} {:?}",
        handle.subscribe_resilient(),
        handle.replay_buffer()
    );
    let shown = format!("{shown} {:?}", reader.try_recv());
    assert!(
        shown.contains("live/test") && shown.contains("publishing"),
        "{shown}"
    );
    assert!(
        !shown.contains("SECRET") && !shown.contains("83, 69"),
        "{shown}"
    );
}

#[test]
fn publishing_gives_the_number_of_subscribers() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let count = |publisher: &mut Publisher| publisher.publish_frame(frame(VIDEO, 0, true)).unwrap();
    assert_eq!(count(&mut publisher), 0);
    let (first, second) = (handle.subscribe(), handle.subscribe_resilient());
    assert_eq!((count(&mut publisher), handle.subscriber_count()), (2, 2));
    drop(first);
    assert_eq!((count(&mut publisher), handle.subscriber_count()), (1, 1));
    drop(second);
    assert_eq!(count(&mut publisher), 0);
}

#[test]
fn a_discontinuity_stands_in_its_place() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let mut reader = handle.subscribe();
    publish(&mut publisher, "tv V0");
    let gap = Discontinuity::new(DiscontinuityCause::Gap, Duration::from_secs(2));
    publisher.publish_discontinuity(gap).unwrap();
    publish(&mut publisher, "v1");
    assert_eq!(read(&mut reader), "tv V0 break-gap v1");
    assert_eq!(read(&mut handle.subscribe()), "tv V0 break-gap v1");
    assert_eq!(handle.qos().discontinuities, 1);
}

#[test]
fn flags_stand_beside_the_lifecycle() {
    let (publisher, handle) = stream(BusConfig::default());
    handle.set_state(StreamFlag::Recording, true);
    handle.set_state(StreamFlag::Transcoding, true);
    assert_eq!(
        handle.current_state().to_string(),
        "publishing, transcoding, recording"
    );
    handle.set_state(StreamFlag::Transcoding, false);
    publisher.finish();
    let state = handle.current_state();
    assert_eq!((state.lifecycle, state.recording), (Lifecycle::Ended, true));
}

#[test]
fn metadata_follows_the_tracks_and_what_is_set() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publisher.announce_tracks(&[MediaKind::Video, MediaKind::Audio]);
    publisher.set_metadata(|metadata| metadata.encoder = Some("test".to_owned()));
    publish(&mut publisher, "tv ta");
    handle.update_metadata(|metadata| metadata.ingest_protocol = "rtmp".to_owned());
    let metadata = handle.metadata_snapshot();
    assert_eq!((metadata.width, metadata.height), (1_280, 720));
    assert_eq!(metadata.announced, [MediaKind::Video, MediaKind::Audio]);
    assert_eq!(metadata.encoder.as_deref(), Some("test"));
    assert_eq!(metadata.ingest_protocol, "rtmp");
    assert_eq!(metadata.tracks[1].audio().unwrap().sample_rate, 48_000);
    assert!(metadata.started_at_ms > 1_700_000_000_000);
}

#[test]
fn a_slot_holds_one_value_per_type() {
    struct One(u32);
    struct Two;
    let (_publisher, handle) = stream(BusConfig::default());
    assert!(handle.existing_slot::<One>().is_none());
    // A slot may be asked for from within another one's making.
    let first = handle.slot(|| {
        let _two = handle.slot(|| Two);
        One(1)
    });
    let again = handle.clone().slot(|| One(2));
    assert_eq!((first.0, again.0), (1, 1));
    assert!(handle.existing_slot::<Two>().is_some());
    // Another stream has slots of its own.
    let (_other, other) = stream(BusConfig::default());
    assert_eq!(other.slot(|| One(3)).0, 3);
}

#[test]
fn a_slot_is_made_once_however_many_ask_for_it() {
    let (_publisher, handle) = stream(BusConfig::default());
    let made = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                handle.slot(|| made.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
}

#[test]
fn sessions_are_short_fit_for_urls_and_never_equal() {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1_000 {
        let (_publisher, handle) = stream(BusConfig::default());
        let session = handle.session().to_owned();
        assert!(
            session.len() == 12 && session.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{session}"
        );
        assert!(seen.insert(session));
    }
}

#[test]
fn a_weak_handle_keeps_nothing() {
    let (publisher, handle) = stream(BusConfig::default());
    let weak = handle.downgrade();
    assert!(weak.upgrade().unwrap().same_stream(&handle));
    drop((publisher, handle));
    assert!(weak.upgrade().is_none());
}

#[tokio::test]
async fn a_reader_that_never_waits_lets_others_run() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish_video(&mut publisher, 0..1_000, 1_000);
    let mut reader = handle.subscribe();
    let read = async {
        for _ in 0..1_000 {
            assert!(matches!(reader.recv().await, Recv::Frame(_)));
        }
        "read"
    };
    tokio::select! {
        biased;
        done = read => panic!("{done} everything at a stretch"),
        () = async {} => {}
    }
}

#[test]
fn a_subscription_at_live_for_decoders_starts_each_video_track_at_a_keyframe() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv ta V0");
    let mut reader = handle.subscribe_at(JoinAt::Live).resilient();
    publish(&mut publisher, "v1 a2 V3 v4");
    assert_eq!(read(&mut reader), "a2 V3 v4");
    let mut raw = handle.subscribe_at(JoinAt::Live).resilient().raw();
    publish(&mut publisher, "v5");
    assert_eq!(read(&mut raw), "v5");
}

#[test]
fn what_is_held_across_an_await_can_go_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync>(_: &T) {}
    let (publisher, handle) = stream(BusConfig::default());
    let mut reader = handle.subscribe();
    is_shared(&publisher);
    is_shared(&handle);
    is_shared(&reader);
    is_send(&publisher.closed());
    is_send(&handle.ended());
    is_send(&async {
        if let Recv::Frame(frame) = reader.recv().await {
            tokio::task::yield_now().await;
            drop(frame);
        }
    });
}
