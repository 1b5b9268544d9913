//! Workers, run by the streams of a registry.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::sleep;

use super::StreamWorker;
use crate::sync::{Arc, Mutex, now};
use crate::{
    BusConfig, ByteSize, Codec, Frame, HumanDuration, Interest, MediaParams, PublishRequest,
    Publisher, Recv, Registry, Timescale, Track, TrackId, VideoParams,
};

fn request() -> PublishRequest {
    PublishRequest::new("live/cam".parse().unwrap(), "test")
}

fn video() -> Track {
    let params = MediaParams::Video(VideoParams::new(640, 360));
    Track::new(TrackId(0), Codec::new(*b"avc1"), Timescale::VIDEO, params)
}

fn put(publisher: &mut Publisher, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let frame = Frame::new(
            TrackId(0),
            number * 3_600,
            now(),
            Bytes::from_static(b"picture"),
        );
        publisher
            .publish_frame(frame.with_keyframe(number % 10 == 0))
            .unwrap();
    }
}

/// Writes down what it is given.
struct Notes {
    lines: Arc<Mutex<Vec<String>>>,
    deadline: Option<Instant>,
    panics_at: i64,
}

impl StreamWorker for Notes {
    fn on_recv(&mut self, recv: Recv<'_>, now: Instant) {
        let line = match recv {
            Recv::Frame(frame) => {
                assert!(frame.dts != self.panics_at * 3_600, "on purpose");
                self.deadline = Some(now + Duration::from_millis(100));
                format!("V{}", frame.dts / 3_600)
            }
            Recv::Track(track) => format!("t{}", track.id),
            other => format!("{other:?}"),
        };
        self.lines.lock().push(line);
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn on_deadline(&mut self, now: Instant) {
        assert!(self.deadline.take().is_some_and(|at| now >= at));
        self.lines.lock().push("late".to_owned());
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.lines.lock().push("dropped".to_owned());
    }
}

fn notes(lines: &Arc<Mutex<Vec<String>>>, panics_at: i64) -> Notes {
    Notes {
        lines: Arc::clone(lines),
        deadline: None,
        panics_at,
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_given_the_stream_and_the_time() {
    let registry = Registry::default();
    let mut publisher = registry.publish(request()).unwrap();
    publisher.publish_track(video()).unwrap();
    put(&mut publisher, 0..2);
    let lines = Arc::default();
    let handle = publisher.handle();
    handle.attach_worker(notes(&lines, -1));
    // It joins at the moment of the call.
    put(&mut publisher, 10..11);
    sleep(Duration::from_millis(500)).await;
    put(&mut publisher, 11..12);
    registry.shutdown();
    registry.drained().await;
    assert_eq!(
        lines.lock().join(" "),
        "t0 V0 V1 V10 late V11 Ended dropped"
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_worker_costs_nobody_else() {
    let registry = Registry::default();
    let mut publisher = registry.publish(request()).unwrap();
    let handle = publisher.handle();
    let (good, bad) = (Arc::default(), Arc::default());
    handle.attach_worker(notes(&bad, 1));
    handle.attach_worker(notes(&good, -1));
    put(&mut publisher, 0..3);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(
        (handle.subscriber_count(), handle.qos().worker_panics),
        (1, 1)
    );
    publisher.finish();
    registry.shutdown();
    registry.drained().await;
    assert_eq!(bad.lock().join(" "), "V0 dropped");
    assert_eq!(good.lock().join(" "), "V0 V1 V2 Ended dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_keeps_up_with_a_flood() {
    let registry = Registry::default();
    let config = BusConfig {
        lag_frames: 100_000,
        memory: ByteSize::mib(512),
        lag_window: HumanDuration::from_secs(60),
        ..BusConfig::default()
    };
    let mut publisher = registry.publish(request().with_bus(config)).unwrap();
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    publisher.handle().attach_worker(notes(&lines, -1));
    put(&mut publisher, 0..10_000);
    registry.shutdown();
    registry.drained().await;
    let lines = lines.lock();
    let frames = lines.iter().filter(|line| line.starts_with('V')).count();
    assert_eq!(frames, 10_000);
}

/// Wants each tenth frame, and writes down when it was asked what it wants.
struct Patient {
    notes: Notes,
    next: i64,
}

impl StreamWorker for Patient {
    fn on_recv(&mut self, recv: Recv<'_>, now: Instant) {
        if let Recv::Frame(frame) = &recv {
            self.next = frame.dts / 36_000 * 36_000 + 36_000;
        }
        self.notes.on_recv(recv, now);
    }

    fn interest(&self) -> Interest {
        self.notes.lines.lock().push("-".to_owned());
        Interest::everything().in_track_from(TrackId(0), self.next, false)
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_woken_for_what_is_of_interest_and_given_all_of_it() {
    let registry = Registry::default();
    let mut publisher = registry.publish(request()).unwrap();
    let lines = Arc::default();
    publisher.handle().attach_worker(Patient {
        notes: notes(&lines, -1),
        next: 0,
    });
    for number in 0..23 {
        put(&mut publisher, number..number + 1);
        sleep(Duration::from_millis(1)).await;
    }
    let took = lines.lock().join(" ");
    let want = "V0 - V1 V2 V3 V4 V5 V6 V7 V8 V9 V10 - V11 V12 V13 V14 V15 V16 V17 V18 V19 V20 -";
    assert_eq!(took, want);
    // Whatever is no frame wakes it, and so does the end.
    publisher.publish_track(video()).unwrap();
    sleep(Duration::from_millis(1)).await;
    assert!(lines.lock().join(" ").ends_with("V20 - V21 V22 t0 -"));
    put(&mut publisher, 23..24);
    registry.shutdown();
    registry.drained().await;
    assert!(lines.lock().join(" ").ends_with("t0 - V23 Ended dropped"));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_and_a_heap_of_frames_wake_a_worker_too() {
    let registry = Registry::default();
    let mut publisher = registry.publish(request()).unwrap();
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    publisher.handle().attach_worker(Patient {
        notes: notes(&lines, -1),
        next: i64::MAX,
    });
    sleep(Duration::from_millis(1)).await;
    put(&mut publisher, 1..32);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(lines.lock().join(" "), "-", "nothing of interest yet");
    put(&mut publisher, 32..33);
    sleep(Duration::from_millis(1)).await;
    assert!(lines.lock().join(" ").ends_with("V32 -"));
    // And so does a discontinuity that comes with a frame of no interest.
    drop(publisher);
    sleep(Duration::from_millis(1)).await;
    let mut publisher = registry.publish(request()).unwrap();
    put(&mut publisher, 33..34);
    sleep(Duration::from_millis(1)).await;
    let took = lines.lock().join(" ");
    assert!(took.contains("Discontinuity"), "{took}");
}

/// The stream then keeps one block, and a worker that sleeps must not lose what
/// comes before it.
#[tokio::test(start_paused = true)]
async fn a_worker_that_sleeps_misses_nothing_where_memory_is_short() {
    let registry = Registry::default();
    let config = BusConfig {
        memory: ByteSize(64 << 10),
        ..BusConfig::default()
    };
    for (bytes, count) in [(7, 1_000), (200_000, 40), (1 << 20, 9)] {
        let request = request().with_bus(config.clone());
        let mut publisher = registry.publish(request).unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        publisher.handle().attach_worker(Patient {
            notes: notes(&lines, -1),
            next: i64::MAX,
        });
        sleep(Duration::from_millis(1)).await;
        for number in 0..count {
            let payload = Bytes::from(vec![0; bytes]);
            let frame = Frame::new(TrackId(0), number * 3_600, now(), payload);
            publisher
                .publish_frame(frame.with_keyframe(number == 0))
                .unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        publisher.finish();
        sleep(Duration::from_millis(1)).await;
        let lines = lines.lock();
        let frames = lines.iter().filter(|line| line.starts_with('V')).count();
        assert_eq!(i64::try_from(frames).unwrap(), count, "{bytes}: {lines:?}");
        assert!(!lines.iter().any(|line| line.contains("Lag")), "{bytes}");
    }
}
