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
fn connections_fill_a_block_before_the_next_thread_and_stay() {
    let threads = threads(2);
    assert_eq!(threads.count(), 2);
    let (viewers, publishers) = (threads.placement(), threads.placement());
    let tasks = TaskTracker::new();
    let (a, b) = ("rillcast-io-0", "rillcast-io-1");
    let spawn_all = |placement: &Placement, count, thread: &str| {
        let seats = (0..count).map(|_| spawn(placement, &tasks));
        let seats: Vec<_> = seats.collect();
        assert!(seats.iter().all(|(name, _)| name == thread), "{thread}");
        seats.into_iter().map(|(_, end)| end).collect::<Vec<_>>()
    };
    let first = spawn_all(&viewers, BLOCK, a);
    // Another kind goes where fewer others are.
    let other = spawn_all(&publishers, 1, b);
    let second = spawn_all(&viewers, BLOCK, b);
    let third = spawn_all(&viewers, 1, a);
    // Whoever leaves makes room.
    let left = 2 * BLOCK + 2 - first.len();
    drop(first);
    while tasks.len() > left || viewers.fullness(0) != (0, 0) {
        thread::yield_now();
    }
    let fourth = spawn_all(&viewers, BLOCK - 1, a);
    drop((other, second, third, fourth));
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
    assert_eq!(threads.pool.loads[0].load(Relaxed), 0);
    let (name, _end) = spawn(&placement, &tasks);
    assert_eq!(name, "rillcast-io-0");
}
