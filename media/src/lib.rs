//! What the bytes of a live stream mean.
//!
//! Codec configurations, the containers FLV and fragmented MP4, the
//! timeline that every source passes before the bus, and the CMAF cut
//! behind it: the segmenter and the live window that HLS, DASH and the
//! recorder share.
//!
//! This crate opens no socket, reads no clock and spawns nothing: bytes and
//! times are arguments.
#![forbid(unsafe_code)]

pub mod cmaf;
pub mod codec;
mod cursor;
pub mod delivery;
mod feed;
pub mod flv;
pub mod fmp4;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod payload;
mod source;
mod timeline;
pub mod ts;

pub use feed::Feed;
pub use payload::compact;
pub use source::{SourceClock, SourceFrame, SourceItem};
pub use timeline::{DISORDER_LIMIT, Repairs, Timed, Timeline};
