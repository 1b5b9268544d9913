//! No wake-up is lost, in any of the ways in which waiters are woken.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::bus::wake::probe::before_arm;

/// Publishes the next frame only when every reader has read the one before:
/// a single lost wake-up stops everything.
async fn in_step(readers: usize, rounds: u32) {
    let (mut publisher, handle) = stream(BusConfig::default());
    let (done, mut all_done) = mpsc::unbounded_channel();
    for _ in 0..readers {
        let mut reader = handle.subscribe();
        let done = done.clone();
        tokio::spawn(async move {
            for round in 0..rounds {
                match reader.recv().await {
                    Recv::Frame(frame) => assert_eq!(number(&frame), round),
                    other => panic!("{other:?}"),
                }
                done.send(round).unwrap();
            }
        });
    }
    for round in 0..rounds {
        publisher.publish_frame(frame(VIDEO, round, true)).unwrap();
        for _ in 0..readers {
            let read = timeout(Duration::from_secs(10), all_done.recv()).await;
            assert_eq!(read.expect("a wake-up was lost"), Some(round));
        }
    }
}

/// The narrow moment: a reader has looked and found nothing, and what it waits
/// for comes before it has said that it waits.
#[test]
fn what_comes_between_the_look_and_the_wait_is_found() {
    let (publisher, handle) = stream(BusConfig::default());
    let publisher = Rc::new(RefCell::new(publisher));
    let mut reader = handle.subscribe();
    let mut cx = Context::from_waker(Waker::noop());
    for round in 0..200 {
        let published = Rc::new(Cell::new(false));
        {
            let (publisher, published) = (Rc::clone(&publisher), Rc::clone(&published));
            before_arm(move || {
                publish_video(&mut publisher.borrow_mut(), round..round + 1, 10);
                published.set(true);
            });
        }
        // The first time the reader registers, and then whenever its arm was
        // taken down.
        loop {
            let pending = reader.poll_recv(&mut cx).is_pending();
            if published.get() {
                assert!(!pending, "{round} was not found");
                break;
            }
            assert!(pending);
            publish_nothing(&handle);
        }
    }
}

/// A wake-up without anything new, which brings arms closer to their end.
fn publish_nothing(handle: &StreamHandle) {
    handle.stream.wake.wake();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_publisher_wakes_few_readers_itself() {
    in_step(1, 3_000).await;
    in_step(4, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pump_wakes_more() {
    in_step(5, 1_000).await;
    in_step(66, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pump_per_worker_wakes_many() {
    in_step(400, 50).await;
}

#[tokio::test]
async fn one_thread_is_enough() {
    in_step(1, 500).await;
    in_step(300, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_outside_of_the_runtime_wakes_its_readers() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let mut reader = handle.subscribe();
            tokio::spawn(async move {
                let mut read = 0;
                while let Recv::Frame(frame) = reader.recv().await {
                    assert_eq!(number(&frame), read);
                    read += 1;
                }
                read
            })
        })
        .collect();
    let thread = std::thread::spawn(move || {
        publish_video(&mut publisher, 0..500, 10);
        publisher.finish();
    });
    for task in tasks {
        let read = timeout(Duration::from_secs(10), task).await;
        assert_eq!(read.expect("a wake-up was lost").unwrap(), 500);
    }
    thread.join().unwrap();
}

#[test]
fn readers_outlive_the_runtime_that_ran_the_pump() {
    let (mut publisher, handle) = stream(BusConfig::default());
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let mut readers: Vec<_> = (0..50).map(|_| handle.subscribe()).collect();
    for round in 0..3 {
        // The pump of the round before went with its runtime.
        runtime().block_on(async {
            let tasks: Vec<_> = readers
                .drain(..)
                .map(|mut reader| {
                    tokio::spawn(async move {
                        let Recv::Frame(frame) = reader.recv().await else {
                            panic!("no frame")
                        };
                        assert_eq!(number(&frame), round);
                        drop(frame);
                        reader
                    })
                })
                .collect();
            tokio::task::yield_now().await;
            publisher.publish_frame(frame(VIDEO, round, true)).unwrap();
            let mut back = Vec::new();
            for task in tasks {
                back.push(
                    timeout(Duration::from_secs(10), task)
                        .await
                        .expect("a wake-up was lost")
                        .unwrap(),
                );
            }
            readers = back;
        });
    }
}
