//! A segment sent while it is being cut: each part as soon as it is there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use rillcast_core::BoxError;
use rillcast_core::http::{Body, Chunk, hold};

use super::super::{Snapshot, Window};

/// The body of segment `number` of `track`. It ends well only when all of the
/// segment has been sent; otherwise the connection is aborted, so that neither
/// a player nor a cache takes a torso for the segment.
pub(super) fn body(window: Arc<Window>, track: String, number: u64) -> Body {
    let growing = Growing {
        window,
        track,
        number,
        sent: 0,
    };
    Body::stream(Pieces::Next(Box::pin(growing.next())))
}

/// Why a growing segment is not sent to its end.
#[derive(Debug, thiserror::Error)]
enum Aborted {
    #[error("the segment was dropped before it was complete")]
    Dropped,
    #[error("no part has come for too long")]
    Stalled,
}

struct Growing {
    window: Arc<Window>,
    track: String,
    number: u64,
    /// How many parts have been handed out.
    sent: usize,
}

impl Growing {
    /// All parts that are new since the last call, waiting for one if there is
    /// none; with `None` for the rest once the segment is complete.
    async fn next(mut self) -> Result<(Chunk, Option<Self>), Aborted> {
        let watched = self.window.watched();
        let moved = |snapshot: &Snapshot| !matches!(self.look(snapshot), Look::Nothing);
        let limit = (watched.load().target_duration * 3).max(LEAST_PATIENCE);
        let snapshot = hold(limit, watched.wait_for(moved)).await;
        let snapshot = snapshot.ok_or(Aborted::Stalled)?;
        match self.look(&snapshot) {
            Look::Parts { new, complete } => {
                self.sent += new.len();
                let chunk = Chunk::from_lists(new.into());
                Ok((chunk, (!complete).then_some(self)))
            }
            Look::Nothing => Err(Aborted::Stalled),
            Look::Gone => Err(Aborted::Dropped),
        }
    }

    fn look(&self, snapshot: &Snapshot) -> Look {
        let track = snapshot.track(&self.track);
        let Some(segment) = track.and_then(|track| track.segment(self.number)) else {
            return Look::Gone;
        };
        let new = segment.parts.get(self.sent..).unwrap_or_default();
        let complete = segment.complete;
        if new.is_empty() && !complete {
            return if snapshot.is_ended() {
                Look::Gone
            } else {
                Look::Nothing
            };
        }
        let new = new.iter().map(|part| Arc::clone(&part.slices)).collect();
        Look::Parts { new, complete }
    }
}

/// What a snapshot has for a segment in progress.
enum Look {
    Parts {
        new: Vec<Arc<[Bytes]>>,
        complete: bool,
    },
    Nothing,
    Gone,
}

type Next = Pin<Box<dyn Future<Output = Result<(Chunk, Option<Growing>), Aborted>> + Send>>;

/// [`Growing`] as a stream.
enum Pieces {
    Next(Next),
    Done,
}

impl Stream for Pieces {
    type Item = Result<Chunk, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self::Next(next) = &mut *self else {
            return Poll::Ready(None);
        };
        let piece = ready!(next.as_mut().poll(cx));
        let (item, rest) = match piece {
            Ok((chunk, rest)) => (Ok(chunk), rest),
            Err(aborted) => (Err(aborted.into()), None),
        };
        *self = rest.map_or(Self::Done, |rest| Self::Next(Box::pin(rest.next())));
        // The last piece may be empty when the end was not known with the last part.
        if matches!(&item, Ok(chunk) if chunk.is_empty()) {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(item))
    }
}

/// For how long at least a part is waited for: longer than any frame interval
/// that still counts as a stream.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);
