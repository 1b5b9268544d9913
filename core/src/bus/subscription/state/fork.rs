//! Readers that part at the place where one stands, and readers that stand alike.

use super::State;
use crate::bus::config::MaxLag;
use crate::bus::readers::Cursor;
use crate::sync::{Arc, now};

impl State {
    /// A reader that goes on as this one would, from where it stands, and its
    /// cursor. The stream knows of it if it knows of this one, but does not count it.
    pub(in crate::bus::subscription) fn fork(
        &self,
        cursor: Option<&Cursor>,
    ) -> (Self, Option<Arc<Cursor>>) {
        let mut fork = Self {
            stream: Arc::clone(&self.stream),
            streak: 0,
            waiter: None,
            dropped: 0,
            join: self.join.clone(),
            counted: false,
            place: None,
            pending: self.pending.clone(),
            lags: self.lags.clone(),
            ..*self
        };
        let cursor = cursor.map(|cursor| {
            // Where the publisher has taken the block away, the other reads so, too.
            let block = cursor.wait().clone();
            let fork = Arc::new(Cursor::new());
            fork.place(block);
            fork
        });
        if let Some(cursor) = &cursor
            && fork.known
            && !fork.done
        {
            fork.place = Some(fork.stream.readers.add(cursor));
        }
        (fork, cursor)
    }

    /// Has the stream count this reader no longer.
    pub(in crate::bus::subscription) fn uncount(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.stream.readers.leave();
        }
    }

    /// Whether there is anything to look at, be it the end.
    #[inline]
    pub(in crate::bus::subscription) fn has_more(&self) -> bool {
        !self.steady || !self.stream.is_read(self.seq) || self.stream.is_closed()
    }

    /// Whether both go on alike, frame by frame, from the same place.
    pub(in crate::bus::subscription) fn is_like(&self, other: &Self) -> bool {
        self.steady
            && other.steady
            && self.seq == other.seq
            && (self.seen, self.resilient) == (other.seen, other.resilient)
            && (self.awaited, self.opened) == (other.awaited, other.opened)
            && self.max_lag == other.max_lag
            && self.is_forgiven()
            && other.is_forgiven()
            && Arc::ptr_eq(&self.stream, &other.stream)
    }

    /// Whether what the reader once missed has no consequences any more.
    fn is_forgiven(&self) -> bool {
        match (self.lags.back(), self.max_lag) {
            (Some((at, _)), Some(MaxLag { window, .. })) => {
                now().saturating_duration_since(*at) > window
            }
            _ => true,
        }
    }
}
