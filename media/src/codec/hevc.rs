//! HEVC, also known as H.265: configuration records, parameter sets and access
//! units (ISO/IEC 23008-2, carried as ISO/IEC 14496-15 section 8 says).
//!
//! The neighbour `avc` has the same shape: [`Config`] is the configuration
//! record, [`Sps`] what its sequence parameter set tells, [`units`] walks an
//! access unit, [`canonical`] makes the form with four-byte lengths and no
//! empty NAL unit. Of a stream with several layers (annex F), the base layer is
//! what counts; the others are carried along.

mod config;
mod message;
#[cfg(test)]
pub(crate) use config::captures;
mod sps;
mod unit;

pub use super::vui::Colour;
pub use config::Config;
pub use sps::{Level, Sps};
pub use unit::{Summary, canonical, equal, is_keyframe, summarize, unit_type, units};

use super::nal;

/// Iterator of [`units`].
pub type Units<'a> = nal::Units<'a, Error>;

/// Why bytes are no HEVC as rillcast carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration record ends too early.
    #[error("an HEVC configuration record that ends too early")]
    Truncated,
    /// The configuration record is of an unknown version; 1 is known.
    #[error("an HEVC configuration record of version {0}, where only 1 is known")]
    Version(u8),
    /// NAL unit lengths of three bytes, which ISO/IEC 14496-15 does not allow.
    #[error("an HEVC configuration record with NAL unit lengths of {0} bytes")]
    LengthSize(u8),
    /// The configuration record has no sequence parameter set.
    #[error("an HEVC configuration record without a sequence parameter set")]
    NoSps,
    /// A parameter set is unusable; the text says why.
    #[error("an HEVC parameter set {0}")]
    ParameterSet(&'static str),
    /// The lengths of an access unit's NAL units do not add up to its size.
    #[error(
        "an HEVC access unit whose NAL unit at byte {at} claims {claimed} bytes where {left} are left"
    )]
    UnitLength {
        /// Where the NAL unit begins, behind its length.
        at: usize,
        /// The length that it claims.
        claimed: usize,
        /// The bytes that are there.
        left: usize,
    },
    /// An access unit ends within the length of a NAL unit.
    #[error("an HEVC access unit with {0} bytes after its last NAL unit")]
    Trailing(usize),
}

impl From<nal::Fault> for Error {
    fn from(fault: nal::Fault) -> Self {
        match fault {
            nal::Fault::UnitLength { at, claimed, left } => Self::UnitLength { at, claimed, left },
            nal::Fault::Trailing(left) => Self::Trailing(left),
        }
    }
}
