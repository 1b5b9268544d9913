//! What can keep a track or a fragment out of MP4.

use rillcast_core::Codec;

use crate::codec::{aac, av1, avc, flac, hevc, vp9};

/// Why an init segment or a fragment could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No sample entry is known for the codec.
    #[error("{0} cannot be carried in fragmented MP4 yet")]
    Codec(Codec),
    /// The track's H.264 configuration is not one.
    #[error("the track's H.264 configuration is unusable")]
    Avc(#[from] avc::Error),
    /// The track's HEVC configuration is not one.
    #[error("the track's HEVC configuration is unusable")]
    Hevc(#[from] hevc::Error),
    /// The track's AV1 configuration is not one.
    #[error("the track's AV1 configuration is unusable")]
    Av1(#[from] av1::Error),
    /// The track's VP9 configuration is not one.
    #[error("the track's VP9 configuration is unusable")]
    Vp9(#[from] vp9::Error),
    /// The track's FLAC configuration is not one.
    #[error("the track's FLAC configuration is unusable")]
    Flac(#[from] flac::Error),
    /// The track's AAC configuration is not one.
    #[error("the track's AAC configuration is unusable")]
    Aac(#[from] aac::Error),
    /// The track's configuration is not what its codec has in MP4.
    #[error("the track's {0} configuration is unusable")]
    Record(Codec, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// A box could not be encoded.
    #[error("the init segment cannot be encoded")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A fragment must have a sample.
    #[error("a fragment without samples")]
    NoSamples,
    /// The samples are too many or too large for 32-bit box fields.
    #[error("a fragment larger than its 32-bit fields can say")]
    TooLarge,
}
