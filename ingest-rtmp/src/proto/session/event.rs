//! What a [`Session`](super::Session) has to say: events, refusals, errors.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use rillcast_core::{KeyError, StreamKey};
use rillcast_media::flv::amf0;

use crate::proto::chunk::ChunkError;
use crate::proto::command::setting_of;
use crate::proto::handshake::HandshakeError;
use crate::proto::target::Parameters;

/// What a [`Session`](super::Session) has to say to its driver.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The peer wants to publish. Nothing more is read until
    /// [`Session::accept`](super::Session::accept) or [`Session::reject`](super::Session::reject) was called.
    Publish(PublishRequest),
    /// A message with media of the accepted publish.
    Media(Media),
    /// The peer has ended its publish in the protocol's words. It may publish
    /// again.
    Unpublished,
    /// The peer was told that it cannot have what it asked for.
    Refused(Refused),
}

/// A request to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishRequest {
    /// The stream.
    pub key: StreamKey,
    /// The parameters of its address.
    pub parameters: Parameters,
    /// What the peer says it is (`flashVer`), at most 64 characters of it.
    pub agent: String,
}

/// A message with media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What it carries.
    pub kind: MediaKind,
    /// Milliseconds modulo 2^32, as the peer sent them.
    pub timestamp: u32,
    /// The body: of a video or audio message that of an FLV tag, of a script
    /// message AMF0 values from the name (`onMetaData`) on.
    pub body: Bytes,
}

/// The kinds of [`Media`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Message type 8.
    Audio,
    /// Message type 9.
    Video,
    /// Message types 18 and 15, `@setDataFrame` taken off.
    Script,
}

/// What a peer was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// To publish under a name that is none.
    Publish(KeyError),
    /// To play a stream.
    Play,
}

/// Why a publish is rejected, in the protocol's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// The name is taken: `NetStream.Publish.BadName`.
    BadName,
    /// The peer may not: `NetStream.Publish.Denied`.
    Denied,
    /// The server cannot: `NetStream.Publish.Failed`.
    Failed,
}

/// Why the server ends a publish that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Farewell {
    /// An operator ended it.
    Kicked,
    /// Another publisher took the name over.
    TakenOver,
    /// It was silent for too long: for the connection (`rtmp.idle_timeout`) or
    /// for the stream (`limits.idle_timeout`).
    Idle,
    /// It sent more than it may.
    TooFast,
    /// The server stops.
    Shutdown,
    /// What it sends cannot be used; in a sentence for its user.
    Unusable(String),
}

impl Farewell {
    /// The protocol's code for it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Kicked => "NetStream.Publish.Denied",
            Self::TakenOver => "NetStream.Publish.BadName",
            Self::Idle => "NetConnection.Connect.IdleTimeOut",
            Self::Shutdown => "NetConnection.Connect.AppShutdown",
            Self::TooFast | Self::Unusable(_) => "NetStream.Publish.Failed",
        }
    }
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kicked => "an operator ended the stream",
            Self::TakenOver => "another publisher took the stream over",
            Self::Idle => {
                "nothing was sent for too long (rtmp.idle_timeout; for pictures and sound, limits.idle_timeout)"
            }
            Self::TooFast => "more is sent than limits.bitrate_cut allows",
            Self::Shutdown => "the server stops",
            Self::Unusable(why) => why,
        })
    }
}

/// Why a session ended. Each means that the connection is to be closed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The handshake failed.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// The chunk layer failed.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command was no honest one.
    #[error("a command holds {0}")]
    Command(#[from] amf0::Error),
    /// More answers than `rtmp.max_write_buffer` wait for the peer.
    #[error("the peer asks and does not read: {0} bytes of answers wait")]
    NotReading(usize),
    /// More than `rtmp.max_useless_messages` came in a minute.
    #[error("{0} messages of no use within a minute")]
    Useless(u64),
    /// `rtmp.handshake_timeout` is over.
    #[error("no stream was published within {0:?}")]
    HandshakeTimeout(Duration),
    /// `rtmp.idle_timeout` is over.
    #[error("nothing was received for {0:?}")]
    IdleTimeout(Duration),
}

impl SessionError {
    /// The setting whose bound was passed, if it is a matter of one.
    #[must_use]
    pub fn setting(&self) -> Option<&'static str> {
        match self {
            Self::Chunk(error) => error.setting(),
            Self::Command(error) => setting_of(*error),
            Self::NotReading(_) => Some("rtmp.max_write_buffer"),
            Self::Useless(_) => Some("rtmp.max_useless_messages"),
            Self::HandshakeTimeout(_) => Some("rtmp.handshake_timeout"),
            Self::IdleTimeout(_) => Some("rtmp.idle_timeout"),
            Self::Handshake(_) => None,
        }
    }
}

/// How much of what came was of no use; for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ignored {
    /// Messages of no known type, malformed ones, and media outside of a publish.
    pub messages: u64,
    /// Commands that no server of streams knows.
    pub commands: u64,
}
