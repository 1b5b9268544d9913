//! Datagrams on their way from the socket's reader to the task of their connection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::BytesMut;
use tokio::sync::Notify;

/// A bounded queue. What finds it full is dropped: a connection that does not keep up
/// costs nobody else anything.
#[derive(Debug)]
pub(crate) struct Inbox {
    mail: Mutex<Mail>,
    /// Something has come into an empty queue.
    bell: Notify,
}

#[derive(Debug, Default)]
struct Mail {
    datagrams: Vec<(BytesMut, Instant)>,
    dropped: u64,
    closed: bool,
}

/// As many datagrams may wait: 300 ms of 200 Mb/s.
const MOST: usize = 6_000;

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            mail: Mutex::default(),
            bell: Notify::new(),
        }
    }

    /// Leaves a datagram that arrived at `at`.
    pub(crate) fn put(&self, datagram: BytesMut, at: Instant) {
        let mut mail = self.lock();
        if mail.closed {
            return;
        }
        if mail.datagrams.len() >= MOST {
            mail.dropped += 1;
            return;
        }
        let first = mail.datagrams.is_empty();
        mail.datagrams.push((datagram, at));
        drop(mail);
        if first {
            self.bell.notify_one();
        }
    }

    /// Takes all that is there into `into`, which is emptied before; how many were
    /// dropped since the last time.
    pub(crate) fn take(&self, into: &mut Vec<(BytesMut, Instant)>) -> u64 {
        into.clear();
        let mut mail = self.lock();
        std::mem::swap(&mut mail.datagrams, into);
        std::mem::take(&mut mail.dropped)
    }

    /// Waits until there is something. Cancel safe.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Takes nothing in any more.
    pub(crate) fn close(&self) {
        let mut mail = self.lock();
        mail.closed = true;
        mail.datagrams = Vec::new();
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_finds_it_full_is_dropped_and_counted() {
        let inbox = Inbox::new();
        let now = Instant::now();
        for _ in 0..MOST + 7 {
            inbox.put(BytesMut::from(&b"x"[..]), now);
        }
        inbox.rung().await;
        let mut mail = Vec::new();
        assert_eq!(inbox.take(&mut mail), 7);
        assert_eq!(mail.len(), MOST);
        assert_eq!(inbox.take(&mut mail), 0);
        assert!(mail.is_empty());
        inbox.close();
        inbox.put(BytesMut::from(&b"x"[..]), now);
        inbox.take(&mut mail);
        assert!(mail.is_empty());
    }
}
