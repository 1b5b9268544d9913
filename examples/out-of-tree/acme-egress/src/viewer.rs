//! One viewer: [`Viewer`] is given what the stream carries, [`Pieces`] is the
//! body of its response; a queue is between.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;
use rillcast_core::http::Chunk;
use rillcast_core::{
    BoxError, Frames, ResilientSubscription, Run, Sink, SubscriptionEnd, Track, Viewers,
};

use crate::mux::Layout;
use crate::queue::Queue;
use crate::rows::Rows;

/// What a viewer of HTTP-FLV is to the bus: a sink, called with all that the
/// stream carries, that never waits.
pub(crate) struct Viewer {
    queue: Arc<Queue>,
    rows: Arc<Rows>,
    /// Counts it.
    viewers: Arc<Viewers>,
    number: u64,
    noted: Option<Instant>,
    /// When it came.
    joined: Instant,
    gather: Duration,
    /// Since when sound waits for a picture.
    held: Option<Instant>,
    layout: Layout,
    /// The configurations of now.
    tracks: Vec<Arc<Track>>,
    /// Those that the viewer has yet to be told.
    untold: Vec<Arc<Track>>,
    opened: bool,
}

/// What makes one viewer differ from another.
pub(crate) struct Seat {
    pub(crate) queue: Arc<Queue>,
    pub(crate) rows: Arc<Rows>,
    pub(crate) viewers: Arc<Viewers>,
    pub(crate) number: u64,
    pub(crate) gather: Duration,
}

impl Viewer {
    pub(crate) fn new(seat: Seat, now: Instant) -> Self {
        Self {
            queue: seat.queue,
            rows: seat.rows,
            viewers: seat.viewers,
            number: seat.number,
            noted: None,
            joined: now,
            gather: seat.gather,
            held: None,
            layout: Layout::default(),
            tracks: Vec::new(),
            untold: Vec::new(),
            opened: false,
        }
    }

    /// What comes before a row: the file's header at the start, and what
    /// configurations are new. Configurations have no time of their own, so they
    /// get that of the frames that need them.
    fn prelude(&mut self, timestamp: u32) {
        let mut slices: Vec<Bytes> = Vec::new();
        if !self.opened {
            self.opened = true;
            slices.push(self.layout.opening(&self.tracks));
        }
        let untold = self.untold.drain(..);
        slices.extend(untold.filter_map(|track| self.layout.configuration(&track, timestamp)));
        let bytes = slices.iter().map(Bytes::len).sum();
        self.queue.push(slices.into(), bytes);
    }

    /// Whether what was put into the queue has to leave now.
    fn leaves(&mut self, pictures: bool, first: Instant, last: Instant) -> bool {
        if !pictures && self.layout.has_pictures() {
            let since = *self.held.get_or_insert(first);
            if last.saturating_duration_since(since) < self.gather {
                return false;
            }
        }
        self.held = None;
        true
    }

    /// Counts this viewer for a while from `now`.
    fn note(&mut self, now: Instant) {
        let due = self.noted.is_none_or(|noted| now >= noted + NOTE_EVERY);
        if due {
            self.noted = Some(now);
            self.viewers.note(("flv", self.number), now, STAY);
        }
    }
}

impl Sink for Viewer {
    fn track(&mut self, track: &Arc<Track>) {
        match self.tracks.iter_mut().find(|known| known.id == track.id) {
            Some(known) => *known = Arc::clone(track),
            None => self.tracks.push(Arc::clone(track)),
        }
        if self.layout.add(track) {
            self.untold.retain(|known| known.id != track.id);
            self.untold.push(Arc::clone(track));
        }
    }

    fn frames(&mut self, frames: &Frames<'_>) {
        let Some(row) = self.rows.of(self.layout, frames.iter()) else {
            return;
        };
        let timestamp = frames.iter().find_map(|frame| self.layout.timestamp(frame));
        let (Some(timestamp), Some(first), Some(last)) =
            (timestamp, frames.iter().next(), frames.iter().last())
        else {
            return;
        };
        // Frames that are too large for a tag.
        if row.bytes == 0 {
            return;
        }
        if !self.opened || !self.untold.is_empty() {
            self.prelude(timestamp);
        }
        self.queue.push(row.slices, row.bytes);
        if self.leaves(row.pictures, first.received, last.received) {
            self.queue.wake();
        }
        // Replayed frames came before the viewer did.
        self.note(last.received.max(self.joined));
    }

    fn lagged(&mut self, skipped: u64) {
        tracing::debug!(protocol = "flv", viewer = self.number, skipped, "a gap");
    }

    /// One that is not stays where it is on the bus, and comes to a gap when the
    /// stream no longer keeps what it has not had.
    fn is_ready(&mut self) -> bool {
        self.queue.has_room()
    }

    fn is_open(&self) -> bool {
        !self.queue.is_left()
    }

    fn end(&mut self, _end: SubscriptionEnd) {
        self.queue.end();
    }
}

/// The reactor lets go of a sink when its stream has ended, and at the latest
/// when the server does.
impl Drop for Viewer {
    fn drop(&mut self) {
        self.queue.end();
    }
}

/// The body of a viewer's response.
pub(crate) struct Pieces {
    queue: Arc<Queue>,
    /// A viewer that reads the bus by itself, in its connection's task.
    own: Option<(ResilientSubscription, Viewer)>,
}

impl Pieces {
    /// What a reactor puts into the queue.
    pub(crate) const fn new(queue: Arc<Queue>) -> Self {
        Self { queue, own: None }
    }

    /// What the subscription yields.
    pub(crate) const fn of_own(
        queue: Arc<Queue>,
        subscription: ResilientSubscription,
        viewer: Viewer,
    ) -> Self {
        let own = Some((subscription, viewer));
        Self { queue, own }
    }
}

impl Stream for Pieces {
    type Item = Result<Chunk, BoxError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { queue, own } = self.get_mut();
        while let Some((subscription, viewer)) = own {
            if let Some(chunk) = queue.take_due() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            let ended = match ready!(subscription.poll_recv_run(cx)) {
                Run::Frames(frames) => {
                    viewer.frames(&frames);
                    false
                }
                Run::Track(track) => {
                    viewer.track(&track);
                    false
                }
                Run::Lagged { skipped } => {
                    viewer.lagged(skipped);
                    false
                }
                run => matches!(run, Run::Ended),
            };
            // Which ends the queue.
            if ended {
                *own = None;
            }
        }
        queue.poll_take(cx).map(|chunk| chunk.map(Ok))
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.queue.leave();
    }
}

/// How long a viewer counts from when it was noted last, and how often it is.
const STAY: Duration = Duration::from_secs(3);
const NOTE_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
