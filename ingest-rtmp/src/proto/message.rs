//! What the messages of a connection are: their type ids, and the small binary
//! ones that control the connection (specification sections 5.4, 6.2 and 7.1).
//!
//! Commands are in [`command`](super::command), the session that acts on all
//! of them is [`Session`](super::Session).

use bytes::{BufMut, Bytes, BytesMut};

/// Message type ids (sections 5.4 and 7.1).
pub mod kind {
    /// Set Chunk Size.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort Message.
    pub const ABORT: u8 = 2;
    /// Acknowledgement.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control Message.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Set Peer Bandwidth.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio.
    pub const AUDIO: u8 = 8;
    /// Video.
    pub const VIDEO: u8 = 9;
    /// Data in AMF3: a zero byte, then as [`DATA_AMF0`].
    pub const DATA_AMF3: u8 = 15;
    /// A command in AMF3: a zero byte, then as [`COMMAND_AMF0`].
    pub const COMMAND_AMF3: u8 = 17;
    /// Data (metadata, cue points).
    pub const DATA_AMF0: u8 = 18;
    /// A command.
    pub const COMMAND_AMF0: u8 = 20;
    /// Several messages in one.
    pub const AGGREGATE: u8 = 22;
}

/// The chunk stream of everything that controls the connection (section 5.4).
pub const CONTROL_CHUNK_STREAM: u32 = 2;
/// The chunk stream that our commands go out on; every server's habit.
pub const COMMAND_CHUNK_STREAM: u32 = 3;
/// The chunk stream that what we say about a message stream goes out on.
pub const STATUS_CHUNK_STREAM: u32 = 5;

/// A message that controls the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// What follows from the sender is cut by this size (section 5.4.1).
    SetChunkSize(u32),
    /// The unfinished message on this chunk stream is not continued (5.4.2).
    Abort(u32),
    /// So many bytes have arrived, modulo 2^32 (5.4.3).
    Acknowledgement(u32),
    /// The sender expects an acknowledgement after so many bytes (5.4.4).
    WindowAckSize(u32),
    /// The receiver shall not have more than so many bytes unacknowledged
    /// (5.4.5); always with the limit type "dynamic" when written.
    SetPeerBandwidth(u32),
    /// A stream has become usable (7.1.7, event 0).
    StreamBegin(u32),
    /// A stream has no more data (event 1).
    StreamEof(u32),
    /// The receiver is asked for a [`Control::PingResponse`] with the same
    /// bytes (event 6).
    PingRequest(u32),
    /// The answer to a ping (event 7).
    PingResponse(u32),
}

impl Control {
    /// Reads a control message; `None` if it is too short, or of a kind that
    /// asks nothing of a server that only takes streams in.
    #[must_use]
    pub fn read(message_kind: u8, body: &[u8]) -> Option<Self> {
        if message_kind == kind::USER_CONTROL {
            let (event, data) = body.split_first_chunk()?;
            let data = u32::from_be_bytes(*data.first_chunk()?);
            return match u16::from_be_bytes(*event) {
                0 => Some(Self::StreamBegin(data)),
                1 => Some(Self::StreamEof(data)),
                6 => Some(Self::PingRequest(data)),
                7 => Some(Self::PingResponse(data)),
                _ => None,
            };
        }
        let value = u32::from_be_bytes(*body.first_chunk()?);
        Some(match message_kind {
            kind::SET_CHUNK_SIZE => Self::SetChunkSize(value),
            kind::ABORT => Self::Abort(value),
            kind::ACKNOWLEDGEMENT => Self::Acknowledgement(value),
            kind::WINDOW_ACK_SIZE => Self::WindowAckSize(value),
            kind::SET_PEER_BANDWIDTH => Self::SetPeerBandwidth(value),
            _ => return None,
        })
    }

    /// The message type id and body that say this.
    #[must_use]
    pub fn write(&self) -> (u8, Bytes) {
        let mut body = BytesMut::with_capacity(8);
        let mut user = |event: u16, data: u32| {
            body.put_u16(event);
            body.put_u32(data);
            kind::USER_CONTROL
        };
        let message_kind = match *self {
            Self::StreamBegin(stream) => user(0, stream),
            Self::StreamEof(stream) => user(1, stream),
            Self::PingRequest(data) => user(6, data),
            Self::PingResponse(data) => user(7, data),
            Self::SetPeerBandwidth(size) => {
                body.put_u32(size);
                body.put_u8(LIMIT_DYNAMIC);
                kind::SET_PEER_BANDWIDTH
            }
            Self::SetChunkSize(value) => {
                body.put_u32(value & 0x7FFF_FFFF);
                kind::SET_CHUNK_SIZE
            }
            Self::Abort(value) => {
                body.put_u32(value);
                kind::ABORT
            }
            Self::Acknowledgement(value) => {
                body.put_u32(value);
                kind::ACKNOWLEDGEMENT
            }
            Self::WindowAckSize(value) => {
                body.put_u32(value);
                kind::WINDOW_ACK_SIZE
            }
        };
        (message_kind, body.freeze())
    }
}

/// Set Peer Bandwidth's limit type "dynamic" (section 5.4.5).
const LIMIT_DYNAMIC: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_messages_are_read_as_they_are_written() {
        for control in [
            Control::SetChunkSize(4_096),
            Control::Abort(6),
            Control::Acknowledgement(u32::MAX),
            Control::WindowAckSize(2_500_000),
            Control::SetPeerBandwidth(2_500_000),
            Control::StreamBegin(1),
            Control::StreamEof(1),
            Control::PingRequest(0xDEAD_BEEF),
            Control::PingResponse(7),
        ] {
            let (kind, body) = control.write();
            assert_eq!(Control::read(kind, &body), Some(control.clone()));
            for short in 0..body.len().min(4) {
                assert_eq!(Control::read(kind, &body[..short]), None, "{control:?}");
            }
        }
    }

    #[test]
    fn what_asks_nothing_is_no_control_message() {
        // SetBufferLength, StreamIsRecorded, a ping cut short, an unknown event.
        for body in [
            &[0, 3, 0, 0, 0, 1, 0, 0, 11, 184][..],
            &[0, 4, 0, 0, 0, 1],
            &[0, 6, 0, 0, 0],
            &[0, 31, 0, 0, 0, 0],
        ] {
            assert_eq!(Control::read(kind::USER_CONTROL, body), None);
        }
        assert_eq!(Control::read(kind::AUDIO, &[0; 8]), None);
    }
}
