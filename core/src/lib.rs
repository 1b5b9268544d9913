//! The bus of rillcast and the face that plugins are written against.
//!
//! One publisher puts the [`Frame`]s of a stream on the bus, any number of
//! subscribers read them. The [`Registry`] knows which streams live; plugins
//! ([`Ingest`], [`Egress`]) reach it through the capabilities of their context.
//! This crate names no protocol, no codec and no container, and opens no
//! socket: what bytes mean is `rillcast-media`'s, how they travel a plugin's.
#![forbid(unsafe_code)]

mod admission;
mod auth;
mod bus;
mod frame;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod http;
mod interest;
mod key;
mod link;
mod plugin;
mod registry;
mod settings;
mod sync;
mod threads;
mod time;
mod track;
mod units;
mod viewers;
mod watched;
mod woken;
mod worker;

pub use admission::{Admission, Place, Refusal, Subject, network};
pub use auth::{Access, Action, AllowAll, Authorizer, Credentials, Denied};
pub use bus::{
    Bitrates, BusConfig, BusEntry, CloseReason, Closed, FrameRef, Frames, FramesIter, Groups,
    JoinAt, Lifecycle, MaxLag, Member, NoopObserver, Observer, Publisher, Qos, Reactor, Recv,
    ResilientSubscription, ResumePoint, Run, Sink, StreamFlag, StreamHandle, StreamMemory,
    StreamMetadata, StreamState, Subscription, SubscriptionEnd, Takeover, TrackQos,
    WeakStreamHandle,
};
pub use frame::{Discontinuity, DiscontinuityCause, Frame, TrackId};
pub use interest::Interest;
pub use key::{KeyError, StreamKey};
pub use link::{Line, Link, LinkStats};
pub use plugin::{
    BoxError, Egress, EgressContext, FaultyKey, Host, Ingest, IngestContext, Limits, PluginEntry,
    PluginFailed, PluginSetError, PluginState, PluginStatus, Plugins, Publish, PublishRefused,
    Role, Services, SharedSection, Shutdown,
};
pub use registry::{
    Events, MemoryUse, PublishError, PublishRequest, Registry, RegistryConfig, StreamEvent,
};
pub use settings::{Origin, Section, Settings, SettingsError};
pub use threads::{Placement, Threads};
pub use time::{Timescale, rescale};
pub use track::{
    AudioParams, Codec, Colour, DynamicRange, FrameRate, MediaKind, MediaParams, Track, VideoParams,
};
pub use units::{BitRate, ByteSize, HumanDuration, UnitError};
pub use viewers::Viewers;
pub use watched::Watched;
pub use woken::Woken;
pub use worker::StreamWorker;

/// What the macros of this crate expand to; no part of its interface.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
}
