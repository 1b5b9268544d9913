//! What groups promise for any future: who is polled, and who goes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::marks::MEMBERS;
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn groups() -> Groups {
    Groups::new(&Handle::current())
}

async fn until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it never happens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_wait_for_whatever_they_like() {
    let groups = groups();
    let (done, mut all_done) = mpsc::unbounded_channel();
    let mut senders = Vec::new();
    for number in 0..1_500_u64 {
        let (sender, mut receiver) = mpsc::channel(4);
        let done = done.clone();
        senders.push(sender);
        groups.spawn(async move {
            sleep(Duration::from_millis(number % 7)).await;
            let mut sum = 0;
            while let Some(value) = receiver.recv().await {
                sum += value;
                if value % 3 == 0 {
                    yield_now().await;
                }
            }
            done.send((number, sum)).unwrap();
        });
    }
    drop(done);
    for value in 0..40 {
        for (number, sender) in senders.iter().enumerate() {
            sender.send(value + number).await.unwrap();
        }
    }
    drop(senders);
    let mut left = 1_500;
    while let Some((number, sum)) = timeout(PATIENCE, all_done.recv()).await.unwrap() {
        let number = usize::try_from(number).unwrap();
        assert_eq!(sum, (0..40).map(|value| value + number).sum());
        left -= 1;
    }
    assert_eq!(left, 0);
    until(|| groups.open.lock().is_empty()).await;
}

#[tokio::test]
async fn a_group_has_room_for_so_many_and_takes_new_ones_in_for_those_who_leave() {
    let groups = groups();
    let running = Arc::new(());
    let spawn = || {
        let running = Arc::clone(&running);
        groups.spawn(async move {
            std::future::pending::<()>().await;
            drop(running);
        })
    };
    let mut members: Vec<_> = (0..3 * MEMBERS).map(|_| spawn()).collect();
    let tasks = Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks, 3);
    assert!(groups.open.lock().is_empty(), "all are full");
    for round in 0..5 {
        // Some before they were ever polled.
        for member in members.iter().skip(round).step_by(3) {
            member.abort();
        }
        until(|| members.iter().filter(|member| member.is_finished()).count() >= 500).await;
        members.retain(|member| !member.is_finished());
        assert_eq!(Arc::strong_count(&running) - 1, members.len());
        members.resize_with(3 * MEMBERS, spawn);
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 3);
    }
    drop(members);
    yield_now().await;
    assert_eq!(Arc::strong_count(&running) - 1, 3 * MEMBERS, "they run on");
}

#[tokio::test]
async fn a_panic_costs_the_member_that_panics_and_no_other() {
    struct Bomb(Arc<AtomicUsize>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            assert!(std::thread::panicking(), "this one panics, too");
        }
    }
    let groups = groups();
    let (polls, drops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let members: Vec<_> = (0..200)
        .map(|number| {
            let (polls, bomb) = (Arc::clone(&polls), Bomb(Arc::clone(&drops)));
            groups.spawn(async move {
                yield_now().await;
                match number % 4 {
                    0 => panic!("a member panics"),
                    // Its end panics.
                    1 => drop(bomb),
                    _ => loop {
                        polls.fetch_add(1, Ordering::Relaxed);
                        std::mem::forget(Arc::clone(&bomb.0));
                        yield_now().await;
                    },
                }
            })
        })
        .collect();
    until(|| polls.load(Ordering::Relaxed) > 10_000).await;
    assert_eq!(drops.load(Ordering::Relaxed), 100);
    for (number, member) in members.iter().enumerate() {
        assert_eq!(member.is_finished(), number % 4 < 2, "{number}");
        // All that are left panic when they are dropped.
        member.abort();
    }
    until(|| members.iter().all(Member::is_finished)).await;
    assert_eq!(drops.load(Ordering::Relaxed), 200);
    until(|| groups.open.lock().is_empty()).await;
}

#[tokio::test]
async fn who_never_has_enough_leaves_time_for_others() {
    let groups = groups();
    let polls = Arc::new(AtomicUsize::new(0));
    for _ in 0..100 {
        let polls = Arc::clone(&polls);
        groups.spawn(std::future::poll_fn(move |cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
    }
    let (sender, receiver) = oneshot::channel();
    groups.spawn(async move {
        for _ in 0..100 {
            yield_now().await;
        }
        sender.send(()).unwrap();
    });
    // Another task of the same thread, and a member of the same group.
    for _ in 0..100 {
        yield_now().await;
    }
    timeout(PATIENCE, receiver).await.unwrap().unwrap();
    assert!(polls.load(Ordering::Relaxed) > 100 * 100);
}

#[tokio::test]
async fn a_waker_of_a_member_that_is_gone_polls_its_successor_at_most() {
    let groups = groups();
    let old = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&old);
    let first = groups.spawn(std::future::poll_fn(move |cx| {
        *keep.lock() = Some(cx.waker().clone());
        Poll::Ready(())
    }));
    until(|| first.is_finished()).await;
    let old = old.lock().take().unwrap();
    old.wake_by_ref();
    let polls = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&polls);
    let second = groups.spawn(std::future::poll_fn(move |_| {
        counting.fetch_add(1, Ordering::Relaxed);
        Poll::<()>::Pending
    }));
    until(|| polls.load(Ordering::Relaxed) == 1).await;
    first.abort();
    for _ in 0..10 {
        old.wake_by_ref();
        yield_now().await;
    }
    assert!(!second.is_finished());
    assert!(polls.load(Ordering::Relaxed) <= 11);
}

#[test]
fn members_go_with_their_runtime() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let groups = Groups::new(runtime.handle());
    let running = Arc::new(());
    let spawn = || {
        let running = Arc::clone(&running);
        let also = groups.clone();
        groups.spawn(async move {
            // Nobody can be spawned for it any more when it is dropped.
            let _late = Late(also);
            sleep(PATIENCE * 10).await;
            drop(running);
        })
    };
    struct Late(Groups);
    impl Drop for Late {
        fn drop(&mut self) {
            assert!(self.0.spawn(std::future::pending()).is_finished());
        }
    }
    let members: Vec<_> = (0..1_000).map(|_| spawn()).collect();
    runtime.shutdown_timeout(PATIENCE);
    assert!(members.iter().all(Member::is_finished));
    assert!(spawn().is_finished(), "too late");
    assert_eq!(Arc::strong_count(&running), 1);
    assert!(groups.open.lock().is_empty());
}
