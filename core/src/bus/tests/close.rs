//! The end of a stream.

use super::*;
use crate::{CloseReason, Closed, SubscriptionEnd};

#[test]
fn finishing_ends_readers_after_what_was_published() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let mut reader = handle.subscribe();
    let mut resilient = handle.subscribe_resilient();
    publish(&mut publisher, "tv V0");
    assert_eq!(read(&mut reader), "tv V0");
    publish(&mut publisher, "v1 v2");
    publisher.finish();
    assert_eq!(read(&mut reader), "v1 v2 end");
    assert_eq!(read(&mut reader), "end");
    assert_eq!(read(&mut resilient), "tv V0 v1 v2 end");
    assert_eq!(
        reader.end(),
        Some(SubscriptionEnd::Closed(CloseReason::Finished))
    );
    assert_eq!(handle.close_reason(), Some(CloseReason::Finished));
}

#[test]
fn clones_of_the_handle_do_not_keep_the_stream_open() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let clones = vec![handle.clone(); 10];
    publish(&mut publisher, "V0");
    let mut reader = handle.subscribe();
    publisher.finish();
    assert_eq!(read(&mut reader), "V0 end");
    assert_eq!(clones[9].current_state().to_string(), "ended");
}

#[test]
fn closing_is_idempotent_and_publishing_afterwards_is_closed() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let mut reader = handle.subscribe();
    publish(&mut publisher, "tv V0");
    assert!(handle.close(CloseReason::Kicked));
    assert!(!handle.close(CloseReason::Shutdown));
    assert_eq!(handle.subscriber_count(), 0);
    assert_eq!(publisher.close_reason(), Some(CloseReason::Kicked));
    let closed = Closed::new(CloseReason::Kicked);
    assert_eq!(publisher.publish_frame(frame(VIDEO, 1, false)), Err(closed));
    assert_eq!(publisher.publish_track(video(VIDEO)), Err(closed));
    assert_eq!(closed.to_string(), "the stream is closed: kicked");
    assert_eq!(read(&mut reader), "tv V0 end");
    // Who comes now finds the end at once.
    assert_eq!(read(&mut handle.subscribe()), "end");
    assert_eq!(read(&mut handle.subscribe_resilient()), "end");
    assert_eq!(handle.close_reason(), Some(CloseReason::Kicked));
    assert!(!handle.request_keyframe());
}

#[tokio::test]
async fn closing_wakes_everyone_who_waits() {
    for readers in [1, 4, 5, 70, 300] {
        let (publisher, handle) = stream(BusConfig::default());
        let tasks: Vec<_> = (0..readers)
            .map(|_| {
                let mut reader = handle.subscribe();
                tokio::spawn(async move { matches!(reader.recv().await, Recv::Ended) })
            })
            .collect();
        let ended = tokio::spawn(handle.ended());
        let closed = tokio::spawn(publisher.closed());
        tokio::task::yield_now().await;
        handle.close(CloseReason::Kicked);
        for task in tasks {
            assert!(task.await.unwrap());
        }
        assert_eq!(ended.await.unwrap(), CloseReason::Kicked);
        assert_eq!(closed.await.unwrap(), CloseReason::Kicked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_stream_can_be_read_for_a_while_and_is_then_let_go() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let (mut prompt, mut late) = (handle.subscribe(), handle.subscribe());
    publish_video(&mut publisher, 0..500, 100);
    publisher.finish();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(tail(&read(&mut prompt), 2), "v499 end");
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The reader that stood still keeps its block, and no more.
    assert!(handle.memory().kept < 1_000, "{:?}", handle.memory());
    assert!(handle.memory().pinned < 2_000, "{:?}", handle.memory());
    assert_eq!(read(&mut late), "V0 v1 v2 v3 v4 v5 v6 v7 lag492 end");
    assert_eq!(handle.memory().pinned, 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_ended_stream_kept_goes_with_its_last_reader() {
    let (mut publisher, handle) = stream(BusConfig::default());
    publish_video(&mut publisher, 0..500, 100);
    publisher.finish();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(handle.memory().kept < 1_000, "{:?}", handle.memory());
    // Nobody but the handle holds the stream.
    assert_eq!(crate::sync::Arc::strong_count(&handle.stream), 1);

    let (mut publisher, handle) = stream(BusConfig::default());
    let mut reader = handle.subscribe();
    publish_video(&mut publisher, 0..500, 100);
    publisher.finish();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tail(&read(&mut reader), 2), "v499 end");
    drop(reader);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(handle.memory().kept < 1_000, "{:?}", handle.memory());
    assert_eq!(crate::sync::Arc::strong_count(&handle.stream), 1);
}
