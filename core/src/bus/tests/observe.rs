//! Observers: every hook, and none that can hurt.

use std::sync::{Arc, Mutex};

use super::*;
use crate::{CloseReason, MaxLag, NoopObserver, Observer, StreamEvent};

/// Writes down what it is told, and panics after that if it is to.
#[derive(Default)]
struct Notes {
    lines: Mutex<Vec<String>>,
    panics: bool,
}

impl Notes {
    fn add(&self, line: String) {
        self.lines.lock().unwrap().push(line);
        assert!(!self.panics, "on purpose");
    }

    fn take(&self) -> String {
        std::mem::take(
            &mut *self
                .lines
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
        .join("; ")
    }
}

impl Observer for Notes {
    fn on_event(&self, event: &StreamEvent) {
        let name = match event {
            StreamEvent::Published { .. } => "published",
            StreamEvent::Detached { .. } => "detached",
            StreamEvent::Resumed { .. } => "resumed",
            StreamEvent::Ended { .. } => "ended",
            StreamEvent::Lagged { .. } => "lagged",
        };
        self.add(format!("event {name}"));
    }

    fn on_publish_started(&self, key: &StreamKey, epoch: u64) {
        self.add(format!("{key} started {epoch}"));
    }

    fn on_publish_ended(&self, _: &StreamKey, epoch: u64, reason: Option<CloseReason>) {
        self.add(format!("ended {epoch} {reason:?}"));
    }

    fn on_frame(&self, _: &StreamKey, frame: &Frame) {
        self.add(format!("frame {}", number(frame)));
    }

    fn on_subscriber_lagged(&self, _: &StreamKey, skipped: u64) {
        self.add(format!("lag {skipped}"));
    }

    fn on_subscriber_evicted(&self, _: &StreamKey, missed: u64) {
        self.add(format!("evicted {missed}"));
    }

    fn on_keyframe_requested(&self, _: &StreamKey) {
        self.add("keyframe".to_owned());
    }

    fn on_gop_truncated(&self, _: &StreamKey) {
        self.add("truncated".to_owned());
    }
}

fn observed(config: BusConfig, panics: bool) -> (Publisher, StreamHandle, Arc<Notes>) {
    let notes = Arc::new(Notes {
        panics,
        ..Notes::default()
    });
    let (publisher, handle) = StreamHandle::with_observer(key(), config, Arc::clone(&notes) as _);
    (publisher, handle, notes)
}

#[test]
fn an_observer_is_told_of_everything() {
    let (mut publisher, handle, notes) = observed(
        BusConfig {
            gop_cache: 3,
            ..short()
        },
        false,
    );
    assert_eq!(notes.take(), "live/test started 1; event published");
    let mut reader = handle
        .subscribe_resilient()
        .max_lag(Some(MaxLag::new(10, Duration::from_secs(1))));
    publish(&mut publisher, "tv V0 v1");
    assert_eq!(notes.take(), "frame 0; frame 1");
    handle.request_keyframe();
    assert_eq!(notes.take(), "keyframe");
    publish(&mut publisher, "v2 v3");
    assert_eq!(notes.take(), "frame 2; frame 3; truncated");
    publish_video(&mut publisher, 4..200, 1_000);
    notes.take();
    let _ = read(&mut reader);
    publish(&mut publisher, "V200");
    notes.take();
    let _ = read(&mut reader);
    assert_eq!(notes.take(), "lag 193; evicted 193");
    publisher.finish();
    assert_eq!(notes.take(), "ended 1 Some(Finished); event ended");
}

#[test]
fn a_panic_in_an_observer_reaches_no_one() {
    let (mut publisher, handle, notes) = observed(
        BusConfig {
            gop_cache: 3,
            ..short()
        },
        true,
    );
    let mut reader = handle
        .subscribe_resilient()
        .max_lag(Some(MaxLag::new(10, Duration::from_secs(1))));
    publish(&mut publisher, "tv V0 v1 v2 v3");
    handle.request_keyframe();
    publish_video(&mut publisher, 4..200, 1_000);
    publish(&mut publisher, "V200");
    assert!(read(&mut reader).ends_with("lag193 end"));
    drop(publisher);
    assert!(handle.close_reason().is_some());
    let notes = notes.take();
    for hook in [
        "started",
        "event",
        "frame",
        "truncated",
        "keyframe",
        "lag",
        "evicted",
        "ended",
    ] {
        assert!(notes.contains(hook), "{hook}: {notes}");
    }
}

#[test]
fn the_observer_that_does_nothing_does_nothing() {
    let (mut publisher, handle) =
        StreamHandle::with_observer(key(), BusConfig::default(), Arc::new(NoopObserver));
    publish(&mut publisher, "V0 v1");
    assert_eq!(read(&mut handle.subscribe()), "V0 v1");
}

#[test]
fn an_observer_may_use_the_stream_that_it_observes() {
    struct Closer(Mutex<Option<StreamHandle>>);
    impl Observer for Closer {
        fn on_frame(&self, _: &StreamKey, frame: &Frame) {
            let handle = self.0.lock().unwrap().clone();
            if let Some(handle) = handle.filter(|_| number(frame) == 1) {
                handle.close(CloseReason::Kicked);
            }
        }
    }
    let closer = Arc::new(Closer(Mutex::new(None)));
    let (mut publisher, handle) =
        StreamHandle::with_observer(key(), BusConfig::default(), Arc::clone(&closer) as _);
    *closer.0.lock().unwrap() = Some(handle.clone());
    publish(&mut publisher, "V0 v1");
    assert!(publisher.publish_frame(frame(VIDEO, 2, false)).is_err());
    *closer.0.lock().unwrap() = None;
}
