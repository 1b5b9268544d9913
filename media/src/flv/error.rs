//! What can be wrong with a tag body or a file.

use rillcast_core::{Codec, MediaKind};

use super::amf0;
use crate::codec::{self, aac, avc};

/// Why a body gave nothing. The demuxer stays usable after every error: the
/// caller drops the message, counts it and goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The body has no byte, or no byte after its header.
    #[error("an empty {0} message")]
    Empty(MediaKind),
    /// The body ends within its header.
    #[error("a {0} message that ends within its header")]
    Truncated(MediaKind),
    /// The body is in a codec that is not carried: it is the same for every
    /// message of the track, so say it once.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// An access unit came before its track's configuration.
    #[error("a {0} message before the track's configuration")]
    NoConfiguration(MediaKind),
    /// The H.264 in the body is malformed.
    #[error(transparent)]
    Avc(#[from] avc::Error),
    /// The AAC in the body is malformed or of an unknown kind.
    #[error(transparent)]
    Aac(#[from] aac::Error),
    /// The script data is malformed.
    #[error("script data: {0}")]
    Script(#[from] amf0::Error),
    /// A file does not begin as an FLV file does.
    #[error("this is no FLV file")]
    NoFlv,
    /// A tag is encrypted or filtered in a way that is not known here.
    #[error("an FLV tag that is encrypted")]
    Encrypted,
}

/// A codec that cannot be carried (yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unsupported {
    kind: MediaKind,
    codec: Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Named {
    /// By a number of the FLV specification.
    Legacy(&'static str),
    /// By the four-character code of enhanced RTMP.
    FourCc(Codec),
}

impl Error {
    /// The codec, if the error is that it cannot be carried.
    #[must_use]
    pub const fn unsupported(&self) -> Option<Unsupported> {
        match self {
            Self::Unsupported(unsupported) => Some(*unsupported),
            _ => None,
        }
    }

    /// Whether the publisher sent something broken, as opposed to something
    /// that is well-formed but not carried, or that only came too early.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        !matches!(
            self,
            Self::Unsupported(_) | Self::NoConfiguration(_) | Self::Aac(aac::Error::ObjectType(_))
        )
    }
}

impl Unsupported {
    pub(super) const fn legacy(kind: MediaKind, name: &'static str) -> Self {
        Self {
            kind,
            codec: Named::Legacy(name),
        }
    }

    pub(super) const fn four_cc(kind: MediaKind, codec: Codec) -> Self {
        Self {
            kind,
            codec: Named::FourCc(codec),
        }
    }

    /// Whether it is the video or the audio.
    #[must_use]
    pub const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// What people call the codec.
    #[must_use]
    pub fn codec_name(&self) -> String {
        match self.codec {
            Named::Legacy(name) => name.to_owned(),
            Named::FourCc(code) => codec::name(code),
        }
    }
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} in {} is not carried yet",
            self.kind,
            self.codec_name()
        )
    }
}

impl std::error::Error for Unsupported {}
