//! The bus: one publisher per stream, any number of subscribers.
//!
//! What is published goes into a chain of blocks (`bus/chain.rs`) that one
//! writer (`bus/writer.rs`) extends and expires, and that readers
//! (`bus/subscription/reader.rs`) walk by reference; who has read everything
//! waits in a wake set (`bus/wake.rs`, `bus/pump.rs`). A stream's life, with
//! its grace time and take-overs, is in `bus/life.rs`; the registry of all
//! streams is the neighbour `registry.rs`.
//!
//! - The publisher never waits for a subscriber, and what it does per frame
//!   does not depend on their number.
//! - Join, replay and live are one sequence read by one cursor: there is no
//!   seam where a frame could be lost or read twice.
//! - What is kept is bounded, by frames, bytes and age; a reader that falls
//!   out of it is told exactly how many frames it missed.
//! - A reader holds one block at most, and the publisher can take it away.

mod chain;
mod config;
mod configs;
pub(crate) mod doors;
mod group;
mod handle;
pub(crate) mod life;
pub(crate) mod memory;
mod metadata;
#[cfg(all(test, loom))]
mod models;
mod observer;
mod pace;
mod publisher;
mod pump;
mod qos;
mod reactor;
mod readers;
mod slots;
mod state;
pub(crate) mod stream;
mod subscription;
#[cfg(test)]
mod tests;
pub(crate) mod wake;
mod writer;

pub use config::{BusConfig, MaxLag, Takeover};
pub use group::{Groups, Member};
pub use handle::{StreamHandle, StreamMemory, WeakStreamHandle};
pub use metadata::StreamMetadata;
pub use observer::{NoopObserver, Observer};
pub use pace::Bitrates;
pub use publisher::{Publisher, ResumePoint};
pub use qos::{Qos, TrackQos};
pub use reactor::{Reactor, Sink};
pub use state::{CloseReason, Closed, JoinAt, Lifecycle, StreamFlag, StreamState};
pub use subscription::{
    BusEntry, FrameRef, Frames, FramesIter, Recv, ResilientSubscription, Run, Subscription,
    SubscriptionEnd,
};

pub(crate) use observer::Watcher;
pub(crate) use slots::Slots;
