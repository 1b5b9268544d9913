//! The bounds of the GOP cache: what does not fit is never a hole.

use super::*;

/// A stream, and a script that makes a GOP outgrow one of its bounds.
fn outgrown(bound: &str) -> (Publisher, StreamHandle) {
    let mut config = BusConfig::default();
    match bound {
        "frames" => config.gop_cache = 100,
        "bytes" => config.gop_cache_bytes = ByteSize(4 * 100),
        "memory" => config.memory = ByteSize(16 << 10),
        _ => config.gop_cache_age = HumanDuration::from_secs(3),
    }
    let (mut publisher, handle) = stream(config);
    publish(&mut publisher, "tv");
    publish_video(&mut publisher, 0..100, 1_000);
    (publisher, handle)
}

#[tokio::test(start_paused = true)]
async fn a_gop_that_outgrows_a_bound_is_dropped_whole() {
    for bound in ["frames", "bytes", "age", "memory"] {
        let (mut publisher, handle) = outgrown(bound);
        let whole = read(&mut handle.subscribe());
        assert!(
            whole.starts_with("tv V0 v1 ") && whole.ends_with(" v99"),
            "{bound}: {whole}"
        );
        if bound == "age" {
            tokio::time::advance(Duration::from_millis(3_001)).await;
        }
        let more = if bound == "memory" { 400 } else { 101 };
        publish_video(&mut publisher, 100..more, 1_000);
        assert_eq!(handle.qos().gop_truncated, 1, "{bound}");

        // A joiner gets no head without a tail: it waits, and asks.
        let mut reader = handle.subscribe();
        assert_eq!(handle.qos().keyframe_requests, 1, "{bound}");
        assert_eq!(read(&mut reader), "tv", "{bound}");
        publish_video(&mut publisher, more..1_000, 1_000);
        assert_eq!(read(&mut reader), "", "{bound}");
        publish_video(&mut publisher, 1_000..1_003, 1_000);
        assert_eq!(read(&mut reader), "V1000 v1001 v1002", "{bound}");
        assert_eq!(reader.dropped(), 0, "{bound}");
        assert_eq!(
            read(&mut handle.subscribe()),
            "tv V1000 v1001 v1002",
            "{bound}"
        );
    }
}

#[test]
fn a_reader_of_a_dropped_gop_reads_on() {
    let (mut publisher, handle) = stream(BusConfig {
        gop_cache: 100,
        ..BusConfig::default()
    });
    publish_video(&mut publisher, 0..90, 1_000);
    let mut reader = handle.subscribe();
    publish_video(&mut publisher, 90..150, 1_000);
    assert_video(&mut reader, 0..150, 1_000);
}

#[test]
fn a_keyframe_larger_than_the_cache_is_not_cached() {
    let (mut publisher, handle) = stream(BusConfig {
        gop_cache_bytes: ByteSize(1_000),
        ..BusConfig::default()
    });
    let mut live = handle.subscribe();
    let payload = Bytes::from(vec![0; 1_001]);
    let large = Frame::new(VIDEO, 0, now(), payload).with_keyframe(true);
    publisher.publish_frame(large).unwrap();
    assert!(matches!(live.try_recv(), Some(Recv::Frame(frame)) if frame.payload.len() == 1_001));
    assert_eq!(read(&mut handle.subscribe()), "");
}

#[test]
fn sound_whose_cache_overflows_starts_again_at_once() {
    let (mut publisher, handle) = stream(BusConfig {
        gop_cache: 10,
        ..BusConfig::default()
    });
    publish(
        &mut publisher,
        "ta a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 a12",
    );
    assert_eq!(read(&mut handle.subscribe()), "ta a11 a12");
}
