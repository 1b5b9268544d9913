//! What can be wrong with a tag body or a file.

use rillcast_core::{Codec, MediaKind};

use super::{AUDIO_CODECS, MAX_NUMBER, MAX_TRACKS, VIDEO_CODECS, amf0};
use crate::codec::{self, aac, av1, avc, flac, hevc, opus, vp9};

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
    /// A body of several tracks within one of several tracks, or extensions
    /// within one, which enhanced RTMP forbids.
    #[error("a {0} message of several tracks whose packets are of several tracks again")]
    Nested(MediaKind),
    /// A body whose tracks lie in a way that is not known.
    #[error("a {0} message of several tracks in the unknown layout {1}")]
    Layout(MediaKind, u8),
    /// More extensions stand before the packet than there can be kinds.
    #[error("a {0} message with more extensions than there are kinds of them")]
    Extensions(MediaKind),
    /// A body has more parts than there are numbers for tracks.
    #[error("a {0} message with more parts than there are numbers for tracks")]
    Parts(MediaKind),
    /// A track's part of a body is longer than what is left of the body.
    #[error("a {kind} message that claims {claimed} bytes of track {number} where {left} are left")]
    PartLength {
        /// The kind of the message.
        kind: MediaKind,
        /// The track, as the publisher counts.
        number: u8,
        /// The length that it claims.
        claimed: u32,
        /// The bytes that are there.
        left: usize,
    },
    /// A track beyond those that one stream may have: left out, so say it once.
    #[error(
        "{kind} track {number} is left out: of each kind {MAX_TRACKS} tracks are carried, \
         with numbers up to {MAX_NUMBER}"
    )]
    TooManyTracks {
        /// The kind of the track.
        kind: MediaKind,
        /// Its number, as the publisher counts.
        number: u8,
    },
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
    /// The H.265 in the body is malformed.
    #[error(transparent)]
    Hevc(#[from] hevc::Error),
    /// The AV1 in the body is malformed.
    #[error(transparent)]
    Av1(#[from] av1::Error),
    /// The VP9 in the body is malformed.
    #[error(transparent)]
    Vp9(#[from] vp9::Error),
    /// The configuration of Opus is malformed or of an unknown kind.
    #[error(transparent)]
    Opus(#[from] opus::Error),
    /// The configuration of FLAC is malformed.
    #[error(transparent)]
    Flac(#[from] flac::Error),
    /// The AAC in the body is malformed or of an unknown kind.
    #[error(transparent)]
    Aac(#[from] aac::Error),
    /// An access unit does not begin as those of its codec do.
    #[error("a message in {} that does not begin with a frame's header", codec::name(*.0))]
    NoHeader(Codec),
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

/// A codec that cannot be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unsupported {
    kind: MediaKind,
    number: u8,
    codec: Named,
    announced: bool,
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
            Self::Unsupported(_)
                | Self::TooManyTracks { .. }
                | Self::NoConfiguration(_)
                | Self::Aac(aac::Error::ObjectType(_))
        )
    }
}

impl Unsupported {
    pub(super) const fn legacy(kind: MediaKind, name: &'static str) -> Self {
        Self {
            kind,
            number: 0,
            codec: Named::Legacy(name),
            announced: false,
        }
    }

    /// Of the track `number`, which is only `announced` or has media already.
    pub(super) const fn four_cc(
        kind: MediaKind,
        number: u8,
        codec: Codec,
        announced: bool,
    ) -> Self {
        Self {
            kind,
            number,
            codec: Named::FourCc(codec),
            announced,
        }
    }

    /// Whether it is the video or the audio.
    #[must_use]
    pub const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// The publisher's number of the track.
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// Whether the message only began the track, so that others of its kind
    /// may still be about to begin.
    #[must_use]
    pub const fn is_announcement(&self) -> bool {
        self.announced
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

/// One sentence: what is not carried, and what is.
impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, number, .. } = self;
        write!(f, "{kind} ")?;
        if *number > 0 {
            write!(f, "track {number} ")?;
        }
        write!(f, "in {} is not carried: send ", self.codec_name())?;
        let carried = match kind {
            MediaKind::Video => VIDEO_CODECS,
            _ => AUDIO_CODECS,
        };
        let (last, others) = carried
            .split_last()
            .map_or((None, carried), |(last, others)| (Some(last), others));
        for (at, codec) in others.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{}", codec::name(*codec))?;
        }
        match last {
            Some(last) => write!(f, " or {}", codec::name(*last)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Unsupported {}
