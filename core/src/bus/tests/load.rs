//! The same promises while everything happens at once.

use std::time::Duration;

use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::*;
use crate::sync::{Acquire, Arc, AtomicBool, Release};
use crate::{CloseReason, JoinAt, PublishRequest, Registry, StreamEvent, Takeover};

const PATIENCE: Duration = Duration::from_secs(15);

/// Reads on until the end, and checks that numbers go up by one but where a
/// lag says how many are missing, and that reading starts at keyframes.
/// Gives the first number, the one behind the last, and the count of breaks.
async fn follow(mut reader: ResilientSubscription, until: u32) -> (u32, u32, u32) {
    let (mut first, mut next, mut breaks, mut at_start) = (None, 0, 0, true);
    loop {
        match reader.recv().await {
            Recv::Track(_) => {}
            Recv::Frame(frame) => {
                let number = number(&frame);
                if at_start {
                    assert!(frame.keyframe, "starts at {number}");
                    if first.is_none() {
                        (first, next) = (Some(number), number);
                    }
                }
                assert_eq!(number, next);
                next += 1;
                at_start = false;
                if next == until {
                    break;
                }
            }
            Recv::Lagged { skipped } => {
                next += u32::try_from(skipped).unwrap();
                at_start = true;
            }
            Recv::Discontinuity(_) => breaks += 1,
            Recv::Ended => break,
        }
    }
    (first.unwrap_or(next), next, breaks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_join_by_the_thousand_see_neither_gap_nor_duplicate() {
    const JOINS: usize = 3_000;
    let (mut publisher, handle) = stream(BusConfig::default());
    publish(&mut publisher, "tv");
    let all_joined = Arc::new(AtomicBool::new(false));
    let joined = Arc::clone(&all_joined);
    let publishing = tokio::spawn(async move {
        let mut number = 0;
        while number < 2_000 || !joined.load(Acquire) {
            publisher
                .publish_frame(frame(VIDEO, number, number % 60 == 0))
                .unwrap();
            number += 1;
            if number % 16 == 0 {
                yield_now().await;
            }
        }
        publisher.finish();
        number
    });
    let mut readers = JoinSet::new();
    for number in 0..JOINS {
        let reader = handle.subscribe_resilient();
        // Most leave soon, some stay to the end.
        let until = if number % 50 == 0 {
            u32::MAX
        } else {
            u32::try_from(reader.position()).unwrap() + 200
        };
        readers.spawn(follow(reader, until));
        if number % 8 == 0 {
            yield_now().await;
        }
    }
    all_joined.store(true, Release);
    let frames = timeout(PATIENCE, publishing).await.unwrap().unwrap();
    let mut read = 0;
    while let Some(reader) = timeout(PATIENCE, readers.join_next())
        .await
        .expect("a reader hangs")
    {
        let (first, next, _) = reader.unwrap();
        assert!(first % 60 == 0 || first == frames, "starts at {first}");
        assert!(next <= frames, "{next} of {frames}");
        read += 1;
    }
    assert_eq!(read, JOINS);
    assert_eq!(handle.qos().frames, u64::from(frames));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_fall_behind_count_exactly() {
    let (mut publisher, handle) = stream(BusConfig {
        lag_frames: 64,
        ..BusConfig::default()
    });
    publish(&mut publisher, "tv");
    publish_video(&mut publisher, 0..1, 1);
    let mut readers = JoinSet::new();
    for _ in 0..200 {
        readers.spawn(follow(handle.subscribe_resilient(), u32::MAX));
    }
    for number in 1..30_000 {
        publisher
            .publish_frame(frame(VIDEO, number, number % 90 == 0))
            .unwrap();
        if number % 500 == 0 {
            yield_now().await;
        }
    }
    publisher.finish();
    let mut lagged = 0;
    while let Some(read) = timeout(PATIENCE, readers.join_next())
        .await
        .expect("a reader hangs")
    {
        let (_, next, _) = read.unwrap();
        assert_eq!(next, 30_000);
        lagged += 1;
    }
    assert_eq!(lagged, 200);
    assert!(handle.qos().lagged > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_under_load_ends_every_reader() {
    for round in 0..30 {
        let (mut publisher, handle) = stream(BusConfig::default());
        let mut readers = JoinSet::new();
        for _ in 0..100 {
            readers.spawn(follow(
                handle.subscribe_at(JoinAt::Keyframe).resilient(),
                u32::MAX,
            ));
        }
        let publishing = tokio::spawn(async move {
            for number in 0.. {
                if publisher
                    .publish_frame(frame(VIDEO, number, number % 30 == 0))
                    .is_err()
                {
                    return number;
                }
                if number % 8 == 0 {
                    yield_now().await;
                }
            }
            0
        });
        for _ in 0..round {
            yield_now().await;
        }
        handle.close(CloseReason::Kicked);
        let published = timeout(PATIENCE, publishing)
            .await
            .expect("the publisher hangs")
            .unwrap();
        while let Some(read) = timeout(PATIENCE, readers.join_next())
            .await
            .expect("a reader hangs")
        {
            // What was published before the end was read.
            assert!(read.unwrap().1 <= published);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_the_end_is_told_why() {
    for _ in 0..300 {
        let (mut publisher, handle) = stream(BusConfig::default());
        publish(&mut publisher, "tv V0");
        let mut readers = JoinSet::new();
        for _ in 0..8 {
            let mut reader = handle.subscribe();
            readers.spawn(async move {
                while !matches!(reader.recv().await, Recv::Ended) {}
                reader.end()
            });
        }
        yield_now().await;
        handle.close(CloseReason::Kicked);
        while let Some(end) = timeout(PATIENCE, readers.join_next())
            .await
            .expect("a reader hangs")
        {
            let kicked = crate::SubscriptionEnd::Closed(CloseReason::Kicked);
            assert_eq!(end.unwrap(), Some(kicked));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_that_come_and_go_under_load_are_one_stream() {
    let registry = Registry::default();
    let request = || PublishRequest::new(key(), "test");
    let mut publisher = registry.publish(request()).unwrap();
    let handle = publisher.handle();
    publish(&mut publisher, "tv V0");
    let mut readers = JoinSet::new();
    for _ in 0..50 {
        readers.spawn(follow(handle.subscribe_resilient(), u32::MAX));
    }
    let mut number = 1;
    let mut epochs = 1;
    for _ in 0..40 {
        drop(publisher);
        publisher = registry.publish(request()).unwrap();
        epochs += 1;
        for _ in 0..50 {
            let keyframe = number % 50 == 1;
            publisher
                .publish_frame(frame(VIDEO, number, keyframe))
                .unwrap();
            number += 1;
        }
        yield_now().await;
    }
    assert_eq!(handle.epoch(), epochs);
    publisher.finish();
    while let Some(read) = timeout(PATIENCE, readers.join_next())
        .await
        .expect("a reader hangs")
    {
        let (first, next, breaks) = read.unwrap();
        assert_eq!((first, next), (0, number));
        assert!(breaks <= 40, "{breaks}");
    }
}

/// Reads frames in their order, from `next` to the one before `until`.
async fn read_on(reader: &mut ResilientSubscription, mut next: u32, until: u32) -> u32 {
    while next < until {
        if let Recv::Frame(frame) = reader.recv().await {
            assert_eq!(number(&frame), next);
            next += 1;
        }
    }
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_readers_that_stand_still_cost_the_others_nothing() {
    let (mut publisher, handle) = stream(BusConfig {
        pinned_limit: ByteSize(256 << 10),
        ..BusConfig::default()
    });
    publish_video(&mut publisher, 0..1, 1);
    let mut stuck: Vec<_> = (0..1_000).map(|_| handle.subscribe_resilient()).collect();
    let mut healthy = handle.subscribe_resilient();
    let mut next = 0;
    for number in 1..20_000 {
        publisher
            .publish_frame(frame(VIDEO, number, number % 60 == 0))
            .unwrap();
        // Each of them has read something, and holds the block of that.
        if let Some(reader) = stuck.get_mut(number as usize / 20) {
            let _ = reader.try_recv();
        }
        if number % 4 == 0 {
            next = timeout(PATIENCE, read_on(&mut healthy, next, number))
                .await
                .expect("the healthy reader hangs");
        }
    }
    assert!(handle.memory().pinned < 512 << 10, "{:?}", handle.memory());
    publisher.finish();
    read_on(&mut healthy, next, 20_000).await;
    assert!(matches!(healthy.recv().await, Recv::Ended));
    drop(stuck);
}

/// Publishers, and whoever kicks, in each other's way: each life of the stream
/// is one sequence of events, and ends once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_publishers_in_each_others_way_are_well_formed() {
    let registry = Registry::default();
    let mut events = registry.events();
    let following = tokio::spawn(async move {
        let (mut live, mut ended, mut resumed) = (None, 0, 0);
        while let Some(event) = events.next().await {
            let session = event.session().unwrap().to_owned();
            match event {
                StreamEvent::Published { .. } => {
                    assert_eq!(live, None);
                    live = Some((session, 1, true));
                }
                StreamEvent::Detached { .. } => {
                    let (of, _, held) = live.as_mut().unwrap();
                    assert_eq!(*of, session);
                    assert!(std::mem::take(held));
                }
                StreamEvent::Resumed { epoch, .. } => {
                    let (of, last, held) = live.as_mut().unwrap();
                    assert_eq!((&*of, epoch), (&session, *last + 1));
                    (*last, *held) = (epoch, true);
                    resumed += 1;
                }
                StreamEvent::Ended { .. } => {
                    assert_eq!(live.take().unwrap().0, session);
                    ended += 1;
                }
                StreamEvent::Lagged { .. } => panic!("too slow"),
            }
        }
        assert_eq!(live, None);
        (ended, resumed)
    });
    let mut publishers = JoinSet::new();
    for task in 0..4_u32 {
        let registry = registry.clone();
        publishers.spawn(async move {
            let config = BusConfig {
                takeover: Takeover::Replace,
                ..BusConfig::default()
            };
            for round in 0..100 {
                let request = PublishRequest::new(key(), "test").with_bus(config.clone());
                let mut publisher = registry.publish(request).unwrap();
                let mut reader = publisher.handle().subscribe();
                let published = publisher.publish_frame(frame(VIDEO, round, true));
                yield_now().await;
                match (task + round) % 5 {
                    0 => publisher.finish(),
                    1 => {
                        publisher.handle().close(CloseReason::Kicked);
                        assert!(publisher.publish_frame(frame(VIDEO, round, true)).is_err());
                    }
                    _ => drop(publisher),
                }
                // What was published can be read, unless the end came before.
                if published.is_ok() {
                    assert!(reader.try_recv().is_some());
                }
                yield_now().await;
            }
        });
    }
    while let Some(done) = timeout(PATIENCE, publishers.join_next())
        .await
        .expect("a publisher hangs")
    {
        done.unwrap();
    }
    registry.shutdown();
    let (ended, resumed) = timeout(PATIENCE, following).await.unwrap().unwrap();
    assert!(ended > 20 && resumed > 20, "{ended} {resumed}");
}

/// An encoder that was taken over from goes on sending until it is told.
#[test]
fn who_was_taken_over_from_is_in_no_way_of_the_one_who_took_over() {
    let registry = Registry::default();
    let replacing = || {
        PublishRequest::new(key(), "test").with_bus(BusConfig {
            takeover: Takeover::Replace,
            ..BusConfig::default()
        })
    };
    for _ in 0..300 {
        let mut old = registry.publish(replacing()).unwrap();
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let sending = std::thread::spawn(move || {
            let mut number = 0;
            while old.publish_frame(frame(VIDEO, number, true)).is_ok() {
                begins.store(true, Release);
                number += 1;
            }
            old.publish_frame(frame(VIDEO, number, true)).unwrap_err()
        });
        while !begun.load(Acquire) {
            std::thread::yield_now();
        }
        let mut new = registry.publish(replacing()).unwrap();
        for number in 0..8 {
            new.publish_frame(frame(VIDEO, number, true)).unwrap();
        }
        let closed = sending.join().unwrap();
        assert_eq!(closed.reason, CloseReason::TakenOver);
        new.finish();
    }
}
