//! Tests of the threads: who runs where, and what is left afterwards.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::*;

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn threads(count: usize) -> Threads {
    Threads::start(NonZeroUsize::new(count)).unwrap()
}

/// Spawns a connection that tells its thread's name and lives until told to end.
fn spawn(placement: &Placement, tasks: &TaskTracker) -> (String, oneshot::Sender<()>) {
    let (end, ended) = oneshot::channel::<()>();
    let (name, named) = mpsc::sync_channel(1);
    placement.spawn(tasks, async move {
        let thread = thread::current().name().unwrap_or_default().to_owned();
        name.send(thread).unwrap();
        let _ = ended.await;
    });
    (named.recv_timeout(PATIENCE).unwrap(), end)
}

#[test]
fn connections_go_where_the_fewest_of_their_kind_are_and_stay() {
    let threads = threads(2);
    assert_eq!(threads.count(), 2);
    let (viewers, publishers) = (threads.placement(), threads.placement());
    let tasks = TaskTracker::new();
    let seats: Vec<_> = (0..4).map(|_| spawn(&viewers, &tasks)).collect();
    let names: Vec<&str> = seats.iter().map(|(name, _)| name.as_str()).collect();
    let (a, b) = ("rillcast-io-0", "rillcast-io-1");
    assert_eq!(names, [a, b, a, b]);
    // Another kind is spread by itself.
    let (name, _end) = spawn(&publishers, &tasks);
    assert_eq!(name, a);
    // Whoever leaves makes room.
    let mut left = Vec::new();
    for (name, end) in seats {
        if name == b {
            end.send(()).unwrap();
        } else {
            left.push(end);
        }
    }
    while viewers.counts.iter().any(|count| count.load(Relaxed) == 1) || tasks.len() > 3 {
        thread::yield_now();
    }
    for _ in 0..2 {
        let (name, end) = spawn(&viewers, &tasks);
        assert_eq!(name, b);
        left.push(end);
    }
}

#[tokio::test]
async fn what_runs_when_the_threads_end_is_dropped_with_them() {
    for by_drop in [false, true] {
        let threads = threads(3);
        let placement = threads.placement();
        let tasks = TaskTracker::new();
        let ends: Vec<_> = (0..6).map(|_| spawn(&placement, &tasks).1).collect();
        let running = threads.pool.running.clone();
        tasks.close();
        if by_drop {
            drop(threads);
            assert!(!running.is_empty(), "the placement holds them");
            drop(placement);
        } else {
            threads.stop();
            threads.stopped().await;
            // Nobody runs what comes too late.
            placement.spawn(&tasks, async { panic!("it runs") });
        }
        running.wait().await;
        tasks.wait().await;
        assert!(ends.iter().all(oneshot::Sender::is_closed));
    }
}

#[tokio::test]
async fn without_threads_the_callers_runtime_runs_it() {
    let placement = Threads::none().placement();
    let tasks = TaskTracker::new();
    tasks.close();
    let (sender, receiver) = oneshot::channel();
    let here = thread::current().id();
    placement.spawn(&tasks, async move {
        sender.send(thread::current().id()).unwrap();
    });
    assert_eq!(receiver.await.unwrap(), here);
    tasks.wait().await;
}

#[tokio::test]
async fn a_panic_costs_its_own_task_alone() {
    let threads = threads(1);
    let placement = threads.placement();
    let tasks = TaskTracker::new();
    tasks.close();
    placement.spawn(&tasks, async { panic!("on purpose") });
    tasks.wait().await;
    assert_eq!(placement.counts[0].load(Relaxed), 0);
    let (name, _end) = spawn(&placement, &tasks);
    assert_eq!(name, "rillcast-io-0");
}
