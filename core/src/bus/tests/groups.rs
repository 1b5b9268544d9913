//! Subscriptions that are members of groups.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;
use crate::{Groups, Woken};

const PATIENCE: Duration = Duration::from_secs(20);

fn groups() -> Groups {
    Groups::new(&Handle::current())
}

/// Publishes the next frame only when every member has read the one before:
/// a single lost wake-up stops everything.
async fn in_step(members: usize, rounds: u32) {
    let (mut publisher, handle) = stream(BusConfig::default());
    let groups = groups();
    let (done, mut all_done) = mpsc::unbounded_channel();
    for member in 0..members {
        let mut reader = handle.subscribe();
        let done = done.clone();
        let reading = async move {
            for round in 0..rounds {
                match reader.recv().await {
                    Recv::Frame(frame) => assert_eq!(number(&frame), round),
                    other => panic!("{other:?}"),
                }
                done.send(round).unwrap();
            }
        };
        // One in 50 is no member, one waits by a waker that is not its own.
        match member % 50 {
            7 => drop(tokio::spawn(reading)),
            8 => drop(groups.spawn(Woken::new(Box::pin(reading)))),
            _ => drop(groups.spawn(reading)),
        }
    }
    for round in 0..rounds {
        publisher.publish_frame(frame(VIDEO, round, true)).unwrap();
        for _ in 0..members {
            let read = timeout(PATIENCE, all_done.recv()).await;
            assert_eq!(read.expect("a wake-up was lost"), Some(round));
        }
    }
    nothing_is_left(&handle).await;
}

/// Members have gone, soon after they have said so.
async fn nothing_is_left(handle: &StreamHandle) {
    let gone = async {
        while handle.stream.wake.len() > 0 {
            yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("a member stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_of_a_member_is_lost() {
    in_step(1, 3_000).await;
    in_step(60, 500).await;
    in_step(256, 200).await;
    in_step(2_000, 100).await;
}

#[tokio::test]
async fn nor_on_one_thread() {
    in_step(1, 500).await;
    in_step(700, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_join_and_leave_at_speed_without_gap_or_duplicate() {
    let frames = 20_000;
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv");
    publish_video(&mut publisher, 0..1, 1);
    let publishing = tokio::spawn(async move {
        for number in 1..frames {
            publish_video(&mut publisher, number..number + 1, 60);
            if number % 8 == 0 {
                yield_now().await;
            }
        }
        publisher.finish();
    });
    let groups = groups();
    let (done, mut all_done) = mpsc::unbounded_channel();
    let mut joined = 0_u32;
    while !publishing.is_finished() && joined < 4_000 {
        for _ in 0..50 {
            let (mut reader, done) = (handle.subscribe_resilient(), done.clone());
            let stays = joined.is_multiple_of(5);
            groups.spawn(async move {
                let (mut first, mut next, mut lagged) = (None, 0, true);
                loop {
                    match reader.recv().await {
                        Recv::Frame(frame) => {
                            let number = number(&frame);
                            assert!(!lagged || frame.keyframe, "starts at {number}");
                            next = *first.get_or_insert(number).max(&mut next);
                            assert_eq!(number, next);
                            (next, lagged) = (number + 1, false);
                        }
                        Recv::Lagged { skipped } => {
                            next += u32::try_from(skipped).unwrap();
                            lagged = true;
                        }
                        Recv::Track(_) | Recv::Discontinuity(_) => {}
                        Recv::Ended => break,
                    }
                    if !stays && first.is_some_and(|first| next >= first + 300) {
                        break;
                    }
                }
                done.send((stays, next)).unwrap();
            });
            joined += 1;
        }
        for _ in 0..20 {
            yield_now().await;
        }
    }
    timeout(PATIENCE, publishing).await.unwrap().unwrap();
    drop(done);
    let mut left = 0;
    while let Some((stayed, next)) = timeout(PATIENCE, all_done.recv())
        .await
        .expect("a member hangs")
    {
        assert!(!stayed || next == frames || next == 0, "{next}");
        left += 1;
    }
    assert_eq!(left, joined, "none has panicked");
    assert!(joined >= 500, "{joined}");
    nothing_is_left(&handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_may_read_a_stream_twice_and_hand_a_subscription_on() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let groups = groups();
    let (done, mut all_done) = mpsc::unbounded_channel();
    let members = 200;
    for _ in 0..members {
        let (mut one, mut other) = (handle.subscribe(), handle.subscribe());
        let (groups, done) = (groups.clone(), done.clone());
        groups.clone().spawn(async move {
            for round in 0..100 {
                for reader in [&mut one, &mut other] {
                    let Recv::Frame(frame) = reader.recv().await else {
                        panic!("no frame")
                    };
                    assert_eq!(number(&frame), round);
                }
                done.send(round).unwrap();
            }
            // Another member, or a task, goes on with what this one has waited for.
            let ending = done.clone();
            groups.spawn(async move {
                for round in 100..200 {
                    let Recv::Frame(frame) = one.recv().await else {
                        panic!("no frame")
                    };
                    assert_eq!(number(&frame), round);
                    drop(frame);
                    ending.send(round).unwrap();
                }
            });
            tokio::spawn(async move {
                for round in 100..200 {
                    let Recv::Frame(frame) = other.recv().await else {
                        panic!("no frame")
                    };
                    assert_eq!(number(&frame), round);
                    drop(frame);
                    done.send(round).unwrap();
                }
            });
        });
    }
    for round in 0..200 {
        publish_video(&mut publisher, round..round + 1, 10);
        let readers = if round < 100 { members } else { 2 * members };
        for _ in 0..readers {
            let read = timeout(PATIENCE, all_done.recv()).await;
            assert_eq!(read.expect("a wake-up was lost"), Some(round));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_many_streams_share_a_group() {
    let groups = groups();
    let (done, mut all_done) = mpsc::unbounded_channel();
    let mut publishers = Vec::new();
    let mut handles = Vec::new();
    for _ in 0..200 {
        let (publisher, handle) = stream(BusConfig::default());
        for _ in 0..3 {
            let (mut reader, done) = (handle.subscribe(), done.clone());
            groups.spawn(async move {
                let mut next = 0;
                while let Recv::Frame(frame) = reader.recv().await {
                    assert_eq!(number(&frame), next);
                    next += 1;
                }
                done.send(next).unwrap();
            });
        }
        publishers.push(publisher);
        handles.push(handle);
    }
    drop(done);
    for round in 0..300 {
        for publisher in &mut publishers {
            publish_video(publisher, round..round + 1, 50);
        }
        yield_now().await;
    }
    for publisher in publishers {
        publisher.finish();
    }
    let mut ended = 0;
    while let Some(next) = timeout(PATIENCE, all_done.recv()).await.expect("one hangs") {
        assert_eq!(next, 300);
        ended += 1;
    }
    assert_eq!(ended, 600);
}
