//! What a publisher asks the registry with, and how it is refused.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{Bitrates, BusConfig, StreamKey};

/// Asks to publish a stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishRequest {
    /// The key of the stream.
    pub key: StreamKey,
    /// The name of the ingest.
    pub protocol: &'static str,
    /// Where the publisher connects from, if it is a peer.
    pub peer: Option<SocketAddr>,
    /// How the stream behaves on the bus.
    pub bus: BusConfig,
    /// A publisher that is silent for so long is ended, and its stream with it.
    pub idle_timeout: Option<Duration>,
    /// The most streams of the key's app at one time.
    pub max_per_app: usize,
    /// What the publisher may send.
    pub bitrates: Bitrates,
}

impl PublishRequest {
    /// A request with the default settings, without a peer or an idle time-out.
    #[must_use]
    pub fn new(key: StreamKey, protocol: &'static str) -> Self {
        Self {
            key,
            protocol,
            peer: None,
            bus: BusConfig::default(),
            idle_timeout: None,
            max_per_app: usize::MAX,
            bitrates: Bitrates::default(),
        }
    }

    /// Sets where the publisher connects from.
    #[must_use]
    pub const fn with_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Sets how the stream behaves on the bus.
    #[must_use]
    pub fn with_bus(mut self, bus: BusConfig) -> Self {
        self.bus = bus;
        self
    }

    /// Sets after how long a silence the publisher is ended.
    #[must_use]
    pub const fn with_idle_timeout(mut self, idle_timeout: Option<Duration>) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    /// Sets the most streams of the key's app at one time.
    #[must_use]
    pub const fn with_max_per_app(mut self, max_per_app: usize) -> Self {
        self.max_per_app = max_per_app;
        self
    }

    /// Sets what the publisher may send.
    #[must_use]
    pub const fn with_bitrates(mut self, bitrates: Bitrates) -> Self {
        self.bitrates = bitrates;
        self
    }
}

/// Why a publisher was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Another publisher holds the stream, and is not silent.
    #[error("{0} is being published already")]
    Busy(StreamKey),
    /// There are as many streams as there may be.
    #[error("the server carries {0} streams, and may carry no more (limits.streams)")]
    Full(usize),
    /// There are as many streams of the app as there may be.
    #[error("{app} carries {most} streams, and may carry no more (limits.streams_per_app)")]
    AppFull {
        /// The app.
        app: String,
        /// How many it may carry.
        most: usize,
    },
    /// The registry has shut down.
    #[error("the server is shutting down")]
    ShuttingDown,
}
