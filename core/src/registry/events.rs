//! What happens to the streams of a registry, as one sequence to follow.

use std::collections::VecDeque;
use std::fmt;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::Home;
use crate::bus::Lifecycle;
use crate::bus::stream::Stream;
use crate::sync::Arc;
use crate::{CloseReason, StreamKey};

/// Something that happened to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// A stream began (in a snapshot: it lives).
    Published {
        /// Its key.
        key: StreamKey,
        /// The name of this life of the stream.
        session: Arc<str>,
    },
    /// The publisher left, and the grace time began.
    Detached {
        /// The stream's key.
        key: StreamKey,
        /// The name of this life of the stream.
        session: Arc<str>,
    },
    /// Another publisher, or the same one again, goes on with the stream.
    Resumed {
        /// The stream's key.
        key: StreamKey,
        /// The name of this life of the stream.
        session: Arc<str>,
        /// The number of the publish that goes on, from 2.
        epoch: u64,
    },
    /// The stream is over.
    Ended {
        /// Its key.
        key: StreamKey,
        /// The name of this life of the stream.
        session: Arc<str>,
        /// Why it ended.
        reason: CloseReason,
    },
    /// The follower was too slow, and this many events are lost. A new
    /// snapshot follows: what is not in it has ended.
    Lagged {
        /// How many.
        missed: u64,
    },
}

impl StreamEvent {
    /// The key of the stream, unless events were lost.
    #[must_use]
    pub const fn key(&self) -> Option<&StreamKey> {
        match self {
            Self::Published { key, .. }
            | Self::Detached { key, .. }
            | Self::Resumed { key, .. }
            | Self::Ended { key, .. } => Some(key),
            Self::Lagged { .. } => None,
        }
    }

    /// The life of the stream, unless events were lost.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        match self {
            Self::Published { session, .. }
            | Self::Detached { session, .. }
            | Self::Resumed { session, .. }
            | Self::Ended { session, .. } => Some(session),
            Self::Lagged { .. } => None,
        }
    }

    pub(crate) fn published(stream: &Stream) -> Self {
        Self::Published {
            key: stream.key.clone(),
            session: Arc::clone(&stream.session),
        }
    }

    pub(crate) fn detached(stream: &Stream) -> Self {
        Self::Detached {
            key: stream.key.clone(),
            session: Arc::clone(&stream.session),
        }
    }

    pub(crate) fn resumed(stream: &Stream) -> Self {
        Self::Resumed {
            key: stream.key.clone(),
            session: Arc::clone(&stream.session),
            epoch: stream.epoch(),
        }
    }

    pub(crate) fn ended(stream: &Stream, reason: CloseReason) -> Self {
        Self::Ended {
            key: stream.key.clone(),
            session: Arc::clone(&stream.session),
            reason,
        }
    }
}

/// Follows the streams of a registry.
pub struct Events {
    home: Arc<Home>,
    /// What comes before the next event of `live`.
    snapshot: VecDeque<StreamEvent>,
    /// `None` if the registry had shut down before.
    live: Option<broadcast::Receiver<StreamEvent>>,
}

impl Events {
    pub(super) fn new(home: Arc<Home>) -> Self {
        let mut events = Self {
            home,
            snapshot: VecDeque::new(),
            live: None,
        };
        events.start();
        events
    }

    /// Takes a snapshot, and what comes after it, at one moment.
    fn start(&mut self) {
        let table = self.home.table();
        self.live = table.events.as_ref().map(broadcast::Sender::subscribe);
        let mut streams: Vec<_> = table.streams.values().collect();
        streams.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        for stream in streams {
            self.snapshot.push_back(StreamEvent::published(stream));
            if stream.state().lifecycle == Lifecycle::Idle {
                self.snapshot.push_back(StreamEvent::detached(stream));
            }
        }
    }

    fn start_again(&mut self, missed: u64) -> StreamEvent {
        self.snapshot.clear();
        self.start();
        StreamEvent::Lagged { missed }
    }

    /// Waits for the next event; `None` once the registry has shut down and
    /// everything that happened until then was read. Cancel safe.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        if let Some(event) = self.snapshot.pop_front() {
            return Some(event);
        }
        match self.live.as_mut()?.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(self.start_again(missed)),
            Err(RecvError::Closed) => None,
        }
    }

    /// The next event, if there is one to read.
    pub fn try_next(&mut self) -> Option<StreamEvent> {
        if let Some(event) = self.snapshot.pop_front() {
            return Some(event);
        }
        match self.live.as_mut()?.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Lagged(missed)) => Some(self.start_again(missed)),
            Err(TryRecvError::Closed | TryRecvError::Empty) => None,
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("snapshot", &self.snapshot.len())
            .finish_non_exhaustive()
    }
}
