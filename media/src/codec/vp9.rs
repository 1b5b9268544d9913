//! VP9: the configuration record `vpcC` ("VP Codec ISO Media File Format
//! Binding") and uncompressed headers (VP9 Bitstream & Decoding Process,
//! section 6.2).
//!
//! The record does not say how large pictures are; keyframes do. So a
//! [`Config`] of a record becomes whole with the first of them, which
//! [`Config::absorb`] takes.

mod config;
mod frame;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use frame::{Header, is_keyframe};

/// Why bytes are no VP9 as rillcast carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration record ends too early.
    #[error("a VP9 configuration record that ends too early")]
    Truncated,
    /// The configuration record says something reserved.
    #[error("a VP9 configuration record with a reserved {0}")]
    Reserved(&'static str),
    /// A key frame's header is malformed.
    #[error("a VP9 key frame whose header is malformed")]
    Header,
}
