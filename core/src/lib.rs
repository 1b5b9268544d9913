//! The bus of rillcast and the face that plugins are written against.
//!
//! One publisher puts the [`Frame`]s of a stream on the bus, any number of
//! subscribers read them. The [`Registry`] knows which streams live; plugins
//! ([`Ingest`], [`Egress`]) reach it through the capabilities of their context.
//! This crate names no protocol, no codec and no container, and opens no
//! socket: what bytes mean is `rillcast-media`'s, how they travel a plugin's.
#![forbid(unsafe_code)]

mod frame;
mod key;
mod time;
mod track;
mod units;

pub use frame::{Discontinuity, DiscontinuityCause, Frame, TrackId};
pub use key::{KeyError, StreamKey};
pub use time::{Timescale, rescale};
pub use track::{AudioParams, Codec, FrameRate, MediaKind, MediaParams, Track, VideoParams};
pub use units::{ByteSize, HumanDuration, UnitError};
