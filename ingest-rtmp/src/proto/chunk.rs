//! The chunk layer (specification section 5.3): messages cut into chunks, and
//! several chunk streams interleaved on one connection.
//!
//! [`Reader`] puts messages together, [`Writer`] cuts them up. Both hold bytes
//! and numbers only; protocol control messages come out of the reader like any
//! other message, and [`Session`](super::Session) applies them to it
//! ([`Reader::set_chunk_size`], [`Reader::abort`]) before it reads on.

mod header;
mod reader;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

use bytes::Bytes;

pub use reader::{Reader, ReaderLimits};
pub use writer::Writer;

/// The chunk size of both directions until a Set Chunk Size message (section 5.4.1).
pub const DEFAULT_CHUNK_SIZE: u32 = 128;

/// The largest chunk that makes sense: no message is longer than 24 bits say
/// (section 5.4.1).
pub const MAX_CHUNK_SIZE: u32 = 0xFF_FFFF;

/// A timestamp field of this value says that the real one follows in 32 bits
/// (section 5.3.1.3).
const EXTENDED: u32 = 0xFF_FFFF;

/// A whole message as the chunk layer carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The chunk stream that it came on or goes out on.
    pub chunk_stream: u32,
    /// The message type id (section 5.4 and 7.1), see [`message`](super::message).
    pub kind: u8,
    /// The message stream id: 0 is the connection itself.
    pub stream: u32,
    /// Milliseconds, modulo 2^32, from an origin that the sender chose.
    pub timestamp: u32,
    /// The body. From the reader it owns exactly its allocation.
    pub body: Bytes,
}

/// Why chunks could not be read. Each ends the connection: where the next chunk
/// begins is not known any more, or the peer takes more than its share.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// A chunk that leans on an earlier header of its chunk stream came first.
    #[error(
        "chunk stream {chunk_stream} begins with a header of type {format}, which needs an earlier one"
    )]
    NoHeader {
        /// The chunk stream.
        chunk_stream: u32,
        /// The header type, 2 or 3.
        format: u8,
    },
    /// A message is longer than is allowed in this state of the connection.
    #[error("a message of type {kind} declares {declared} bytes, {limit} are allowed")]
    MessageTooLong {
        /// The message type id.
        kind: u8,
        /// What its header declares.
        declared: u32,
        /// The bound in force.
        limit: usize,
        /// Whether it is `rtmp.max_message_size`; else it is `rtmp.max_command_size`.
        media: bool,
    },
    /// More chunk streams than `rtmp.max_chunk_streams`.
    #[error("more than {0} chunk streams are in use")]
    TooManyChunkStreams(usize),
    /// More messages begun and not finished than `rtmp.max_partial_messages`.
    #[error("more than {0} messages are begun and not finished")]
    TooManyPartialMessages(usize),
    /// Unfinished messages hold more than `rtmp.max_partial_bytes`.
    #[error("unfinished messages hold more than {0} bytes")]
    TooManyPartialBytes(usize),
    /// Set Chunk Size named a size that no chunk can have.
    #[error("the chunk size is set to {0}")]
    ChunkSize(u32),
}

impl ChunkError {
    /// The setting whose bound was passed, if it is a matter of one.
    #[must_use]
    pub const fn setting(&self) -> Option<&'static str> {
        match self {
            Self::MessageTooLong { media: true, .. } => Some("rtmp.max_message_size"),
            Self::MessageTooLong { .. } => Some("rtmp.max_command_size"),
            Self::TooManyChunkStreams(_) => Some("rtmp.max_chunk_streams"),
            Self::TooManyPartialMessages(_) => Some("rtmp.max_partial_messages"),
            Self::TooManyPartialBytes(_) => Some("rtmp.max_partial_bytes"),
            Self::NoHeader { .. } | Self::ChunkSize(_) => None,
        }
    }
}
