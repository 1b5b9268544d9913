//! AV1: configuration records, sequence headers and temporal units (AV1
//! Bitstream & Decoding Process, carried as "AV1 Codec ISO Media File Format
//! Binding" says).
//!
//! The neighbour `hevc` has the same shape: [`Config`] is the configuration
//! record, [`Sequence`] what its sequence header tells, [`canonical`] makes the
//! form in which every OBU says its size and those that files must not have are
//! left out.

mod config;
mod metadata;
mod obu;
mod sequence;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use obu::{Summary, canonical, equal, is_keyframe, summarize};
pub use sequence::{Level, Sequence};

/// Why bytes are no AV1 as rillcast carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration record ends too early.
    #[error("an AV1 configuration record that ends too early")]
    Truncated,
    /// The configuration record is of an unknown version; 1 is known.
    #[error("an AV1 configuration record of version {0}, where only 1 is known")]
    Version(u8),
    /// The configuration record has no sequence header: the first keyframe does.
    #[error("an AV1 configuration record without a sequence header")]
    NoSequence,
    /// The sequence header is unusable; the text says why.
    #[error("an AV1 sequence header {0}")]
    Sequence(&'static str),
    /// An OBU's header or its size is malformed, or it reaches beyond the end.
    #[error("an AV1 temporal unit whose OBU at byte {at} is malformed")]
    Obu {
        /// Where the OBU begins.
        at: usize,
    },
}
