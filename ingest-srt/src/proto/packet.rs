//! SRT packets (draft-sharabayko-srt section 3), read from and written to datagrams:
//! [`Packet`].
//!
//! Reading borrows and copies nothing. `packet/number.rs` has the numbers that wrap,
//! `packet/control.rs` what control packets say, `packet/loss.rs` the lists of lost
//! packets.

mod control;
mod loss;
mod number;
#[cfg(test)]
mod tests;

use bytes::{BufMut, BytesMut};

pub use control::{AckBody, Control, FullAck, Kind, Rates, user};
pub use loss::{LossRange, LossRanges, write_nak};
pub use number::{MessageNumber, SeqNumber, SocketId, Timestamp};

/// The bytes of a header, of data and control packets alike.
pub const HEADER_LEN: usize = 16;

/// The largest datagram of a peer: an Ethernet frame without IP and UDP headers. The
/// handshake offers an MTU of 1500, so nobody may send more.
pub const MAX_DATAGRAM: usize = 1_472;

/// One datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A piece of a message.
    Data(Data<'a>),
    /// Everything else.
    Control(Control<'a>),
}

/// A data packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// Its place in the sequence of all data packets of its direction.
    pub seq: SeqNumber,
    /// Whether a message begins with it.
    pub first: bool,
    /// Whether a message ends with it.
    pub last: bool,
    /// Whether the message may only be delivered after those before it. Live
    /// senders leave it unset.
    pub in_order: bool,
    /// Which key its payload is encrypted with.
    pub key: KeySlot,
    /// Whether it was sent before.
    pub retransmitted: bool,
    /// The message it belongs to.
    pub message: MessageNumber,
    /// When the sender was given it, on the sender's clock.
    pub timestamp: Timestamp,
    /// The socket that it is for.
    pub destination: SocketId,
    /// What it carries.
    pub payload: &'a [u8],
}

/// Which of a sender's two keys something is encrypted with. They alternate, so that
/// one can be replaced while the other is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySlot {
    /// Not encrypted.
    None,
    /// The even key.
    Even,
    /// The odd key.
    Odd,
}

/// Why a datagram is no SRT packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// It is shorter than a header.
    #[error("a datagram of {0} bytes is too short for an SRT header")]
    TooShort(usize),
    /// It is longer than [`MAX_DATAGRAM`].
    #[error("a datagram of {0} bytes is longer than any that SRT may send here")]
    TooLong(usize),
    /// A data packet that says it is encrypted with both keys, which only key material
    /// may say.
    #[error("a data packet is marked as encrypted with two keys")]
    TwoKeys,
    /// A data packet that carries nothing.
    #[error("a data packet is empty")]
    Empty,
    /// A control packet whose body is too short, not made of words or contradicts itself.
    #[error("the body of a control packet ({0}) is malformed")]
    Body(&'static str),
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// A [`PacketError`] if it is not what an SRT peer may send; it is to be counted and
    /// dropped.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, PacketError> {
        if datagram.len() > MAX_DATAGRAM {
            return Err(PacketError::TooLong(datagram.len()));
        }
        let (header, body) = datagram
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(PacketError::TooShort(datagram.len()))?;
        let [word, info, timestamp, destination] = words(header);
        let timestamp = Timestamp::new(timestamp);
        let destination = SocketId(destination);
        if word & CONTROL != 0 {
            let kind = Kind::parse(word, info, body)?;
            return Ok(Self::Control(Control {
                timestamp,
                destination,
                kind,
            }));
        }
        if body.is_empty() {
            return Err(PacketError::Empty);
        }
        let key = match (info >> 27) & 3 {
            0 => KeySlot::None,
            1 => KeySlot::Even,
            2 => KeySlot::Odd,
            _ => return Err(PacketError::TwoKeys),
        };
        Ok(Self::Data(Data {
            seq: SeqNumber::new(word),
            first: info & FIRST != 0,
            last: info & LAST != 0,
            in_order: info & IN_ORDER != 0,
            key,
            retransmitted: info & RETRANSMITTED != 0,
            message: MessageNumber::new(info),
            timestamp,
            destination,
            payload: body,
        }))
    }

    /// The socket that a datagram is for, and nothing else of it: what one is sorted by.
    /// Zero asks for a new connection.
    #[must_use]
    pub fn destination(datagram: &[u8]) -> Option<SocketId> {
        let header = datagram.first_chunk::<HEADER_LEN>()?;
        let [_, _, _, destination] = words(header);
        Some(SocketId(destination))
    }

    /// Appends the datagram to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Data(data) => data.write(out),
            Self::Control(control) => control.write(out),
        }
    }
}

impl Data<'_> {
    /// Appends the datagram to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        let mut info = self.message.value();
        for (is, bit) in [
            (self.first, FIRST),
            (self.last, LAST),
            (self.in_order, IN_ORDER),
            (self.retransmitted, RETRANSMITTED),
        ] {
            info |= if is { bit } else { 0 };
        }
        info |= match self.key {
            KeySlot::None => 0,
            KeySlot::Even => 1 << 27,
            KeySlot::Odd => 2 << 27,
        };
        out.reserve(HEADER_LEN + self.payload.len());
        out.put_u32(self.seq.value());
        out.put_u32(info);
        out.put_u32(self.timestamp.value());
        out.put_u32(self.destination.0);
        out.put_slice(self.payload);
    }
}

/// The words of a header.
fn words(header: &[u8; HEADER_LEN]) -> [u32; 4] {
    let (words, _) = header.as_chunks::<4>();
    match words {
        [a, b, c, d] => [*a, *b, *c, *d].map(u32::from_be_bytes),
        // A header has sixteen bytes.
        _ => [0; 4],
    }
}

/// The first bit of a control packet's header.
const CONTROL: u32 = 1 << 31;

/// In the second word of a data packet.
const FIRST: u32 = 1 << 31;
const LAST: u32 = 1 << 30;
const IN_ORDER: u32 = 1 << 29;
const RETRANSMITTED: u32 = 1 << 26;
