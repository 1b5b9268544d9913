//! Workers, run by the streams of a registry.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::sleep;

use super::StreamWorker;
use crate::sync::{Arc, Mutex, now};
use crate::{
    BusConfig, ByteSize, Codec, Frame, HumanDuration, MediaParams, PublishRequest, Publisher, Recv,
    Registry, Timescale, Track, TrackId, VideoParams,
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
