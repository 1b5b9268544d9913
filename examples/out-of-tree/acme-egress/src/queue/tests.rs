//! The queue of `super` as its two ends see it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use bytes::Buf;

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn piece(bytes: usize) -> (Arc<[Bytes]>, usize) {
    (Arc::from([Bytes::from(vec![7; bytes])]), bytes)
}

fn push(queue: &Queue, bytes: usize) {
    let (slices, bytes) = piece(bytes);
    queue.push(slices, bytes);
}

/// What is there to take, without waiting.
fn take(queue: &Queue) -> Option<Chunk> {
    queue.lock().take()
}

fn length(taken: Option<Chunk>) -> Option<usize> {
    taken.map(|chunk| chunk.remaining())
}

#[test]
fn what_is_pushed_is_taken_at_once_and_one_wake_is_enough() {
    let (queue, count) = (Queue::new(1_000), Arc::new(Count::default()));
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    assert!(queue.poll_take(&mut cx).is_pending());
    push(&queue, 10);
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    push(&queue, 20);
    queue.wake();
    queue.wake();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    let Poll::Ready(taken) = queue.poll_take(&mut cx) else {
        panic!("nothing to take");
    };
    assert_eq!(length(taken), Some(30));
    assert!(queue.poll_take(&mut cx).is_pending());
    push(&queue, 5);
    assert!(queue.take_due().is_none());
    queue.end();
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
    assert_eq!(length(queue.take_due()), Some(5));
    assert!(matches!(queue.poll_take(&mut cx), Poll::Ready(None)));
}

#[test]
fn there_is_room_below_the_limit() {
    let queue = Queue::new(100);
    push(&queue, 99);
    assert!(queue.has_room());
    push(&queue, 500);
    assert!(!queue.has_room());
    assert_eq!(length(take(&queue)), Some(599));
    assert!(queue.has_room());
}

#[test]
fn much_is_taken_in_parts_of_whole_pieces() {
    let queue = Queue::new(usize::MAX);
    for bytes in [MOST_AT_ONCE / 2, MOST_AT_ONCE / 2, 1, MOST_AT_ONCE * 3, 2] {
        push(&queue, bytes);
    }
    let parts: Vec<usize> = std::iter::from_fn(|| length(take(&queue))).collect();
    assert_eq!(parts, [MOST_AT_ONCE, 1, MOST_AT_ONCE * 3, 2]);
}

#[test]
fn a_viewer_that_leaves_frees_what_waits() {
    let queue = Queue::new(1_000);
    let (slices, bytes) = piece(10);
    queue.push(Arc::clone(&slices), bytes);
    queue.leave();
    assert!(queue.is_left());
    queue.push(Arc::clone(&slices), bytes);
    assert_eq!(Arc::strong_count(&slices), 1);
    assert!(take(&queue).is_none());
}
