//! Fragmented MP4 as CMAF wants it (ISO/IEC 14496-12 and 23000-19): one track
//! in each init segment and in each fragment.
//!
//! [`init`] turns a track into its init segment, [`fragment`] writes what
//! stands before the samples of a part: the payloads follow as the slices
//! that they are, uncopied. Which samples make a part is decided elsewhere
//! (`cmaf`).

mod error;
mod fragment;
mod init;

use rillcast_core::TrackId;

pub use error::Error;
pub use fragment::{FragmentHeader, Sample, fragment, samples};
pub use init::{can_carry, init};

/// The `track_ID` of a track: always the same for the same [`TrackId`], and
/// never 0, which ISO/IEC 14496-12 section 8.3.2 reserves.
#[must_use]
pub fn track_id(id: TrackId) -> u32 {
    u32::from(id.0) + 1
}
