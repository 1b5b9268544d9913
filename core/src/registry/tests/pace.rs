//! Publishers that send more than they may.

use super::*;
use crate::{BitRate, Bitrates};

/// May send 1 Mb/s with a warning above half of it.
fn limited() -> PublishRequest {
    request().with_bitrates(Bitrates::new(BitRate(500_000), BitRate::mbps(1)))
}

fn heavy(number: i64, bytes: usize) -> Frame {
    let payload = Bytes::from(vec![0; bytes]);
    Frame::new(TrackId(0), number, now(), payload).with_keyframe(true)
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_too_much_is_warned_of_and_then_cut() {
    let registry = Registry::default();
    let mut events = registry.events();
    let mut publisher = registry.publish(limited()).unwrap();
    let stream = publisher.handle();
    let closed = publisher.closed();
    let mut reader = stream.subscribe_resilient();
    // Exactly five seconds' worth may come at once.
    assert!(publisher.publish_frame(heavy(0, 312_500)).is_ok());
    assert_eq!(stream.qos().bitrate_warnings, 0);
    assert!(publisher.publish_frame(heavy(1, 312_500)).is_ok());
    assert_eq!(stream.qos().bitrate_warnings, 1);
    let cut = publisher.publish_frame(heavy(2, 1_000)).unwrap_err();
    assert_eq!(cut.reason, CloseReason::TooFast);
    // The end is the usual one.
    assert_eq!(closed.await, CloseReason::TooFast);
    assert_eq!(read(&mut reader), "V0 V0 end");
    assert_eq!(
        all(&mut events),
        "published live/cam, ended live/cam too fast"
    );
    assert_eq!(registry.bitrate_cuts(), 1);
    assert!(registry.get(&key("live/cam")).is_none());
    assert!(publisher.publish_frame(heavy(3, 1)).is_err());
    assert_eq!(registry.bitrate_cuts(), 1);
    // The next publish is a new one in every way.
    let mut again = registry.publish(limited()).unwrap();
    assert!(again.publish_frame(heavy(0, 312_500)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_becomes_no_frame_counts_too() {
    let registry = Registry::default();
    let mut publisher = registry.publish(limited()).unwrap();
    assert!(publisher.count_unused(625_000).is_ok());
    advance(Duration::from_secs(1)).await;
    assert!(publisher.count_unused(125_000).is_ok());
    let cut = publisher.count_unused(1).unwrap_err();
    assert_eq!(cut.reason, CloseReason::TooFast);
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_was_taken_over_cuts_nobody() {
    let registry = Registry::default();
    let mut first = registry.publish(limited()).unwrap();
    let _second = registry.publish(replacing()).unwrap();
    let gone = first.count_unused(1_000_000).unwrap_err();
    assert_eq!(gone.reason, CloseReason::TakenOver);
    assert!(registry.get(&key("live/cam")).is_some());
    assert_eq!(registry.bitrate_cuts(), 0);
}
