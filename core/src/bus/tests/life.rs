//! The life of a stream outside of a registry. Streams that are continued are
//! the registry's, and tested there.

use super::*;
use crate::{CloseReason, Lifecycle};

#[tokio::test(start_paused = true)]
async fn a_dropped_publisher_detaches_and_the_stream_ends_after_the_grace_time() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let mut reader = handle.subscribe();
    publish(&mut publisher, "V0");
    drop(publisher);
    assert_eq!(handle.current_state().lifecycle, Lifecycle::Idle);
    assert_eq!(read(&mut reader), "V0");
    // Within the grace time, joiners still get what is there.
    tokio::time::sleep(Duration::from_millis(14_900)).await;
    assert_eq!(read(&mut handle.subscribe()), "V0");
    assert_eq!(handle.close_reason(), None);
    let before = tokio::time::Instant::now();
    assert_eq!(handle.ended().await, CloseReason::GraceExpired);
    assert!(
        before.elapsed() <= Duration::from_millis(101),
        "{:?}",
        before.elapsed()
    );
    assert!(matches!(reader.recv().await, Recv::Ended));
}

#[test]
fn without_a_clock_a_dropped_publisher_ends_the_stream() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "V0");
    drop(publisher);
    assert_eq!(handle.close_reason(), Some(CloseReason::GraceExpired));
}

#[tokio::test]
async fn without_a_grace_time_a_dropped_publisher_ends_the_stream() {
    let (publisher, handle) = stream(BusConfig {
        reconnect_grace: HumanDuration::from_secs(0),
        ..BusConfig::default()
    });
    drop(publisher);
    assert_eq!(handle.close_reason(), Some(CloseReason::GraceExpired));
}

#[tokio::test(start_paused = true)]
async fn the_last_frame_counts_from_the_creation() {
    let (mut publisher, handle) = stream(BusConfig::default());
    tokio::time::advance(Duration::from_millis(1_500)).await;
    assert_eq!(handle.last_frame_ms(), 1_500);
    publish(&mut publisher, "V0");
    assert_eq!(handle.last_frame_ms(), 0);
    tokio::time::advance(Duration::from_millis(40)).await;
    // A configuration is no frame.
    publish(&mut publisher, "tv");
    assert_eq!(handle.last_frame_ms(), 40);
    assert_eq!(handle.uptime(), Duration::from_millis(1_540));
}

#[tokio::test]
async fn a_publisher_that_panics_detaches() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let task = tokio::spawn(async move {
        publish(&mut publisher, "V0");
        panic!("on purpose");
    });
    assert!(task.await.is_err());
    assert_eq!(handle.current_state().lifecycle, Lifecycle::Idle);
    assert_eq!(read(&mut handle.subscribe()), "V0");
}
