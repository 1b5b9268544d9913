//! What control packets say: [`Kind`].

use bytes::{BufMut, BytesMut};

use super::{CONTROL, LossRanges, MessageNumber, PacketError, SeqNumber, SocketId, Timestamp};

/// A control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control<'a> {
    /// When it was sent, on the sender's clock.
    pub timestamp: Timestamp,
    /// The socket that it is for.
    pub destination: SocketId,
    /// What it says.
    pub kind: Kind<'a>,
}

/// What a control packet says (draft-sharabayko-srt section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// The body of a handshake, not looked into.
    Handshake(&'a [u8]),
    /// The sender is there.
    KeepAlive,
    /// What has arrived.
    Ack {
        /// The number that is echoed by an [`AckAck`](Kind::AckAck); 0 of a light one,
        /// which is not answered.
        number: u32,
        /// What it acknowledges.
        body: AckBody,
    },
    /// What is missing.
    Nak(LossRanges<'a>),
    /// The sender of data should slow down; live senders do not.
    CongestionWarning,
    /// The connection ends.
    Shutdown,
    /// An acknowledgement has arrived.
    AckAck {
        /// The number of that one.
        number: u32,
    },
    /// Packets that are not worth waiting for: they were too late before they were sent.
    DropRequest {
        /// The message that they belong to; 0 if unknown.
        message: MessageNumber,
        /// The first packet.
        first: SeqNumber,
        /// The last packet, not before the first. Anything up to 2³⁰ packets: to be
        /// clamped before they are walked.
        last: SeqNumber,
    },
    /// The peer cannot go on receiving (file transfer only).
    PeerError(u32),
    /// An extension: see [`user`].
    User {
        /// Which one.
        subtype: u16,
        /// What it says, not looked into.
        body: &'a [u8],
    },
    /// Something that this version of SRT does not know; to be ignored.
    Unknown {
        /// Its type.
        kind: u16,
        /// Its subtype.
        subtype: u16,
    },
}

/// The subtypes of [`Kind::User`].
pub mod user {
    /// A handshake extension of HSv4.
    pub const HANDSHAKE_REQUEST: u16 = 1;
    /// The answer to it.
    pub const HANDSHAKE_RESPONSE: u16 = 2;
    /// New key material: see `Keys::refresh`.
    pub const KEY_REQUEST: u16 = 3;
    /// The answer to it.
    pub const KEY_RESPONSE: u16 = 4;
}

/// What an acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckBody {
    /// Only that everything before `next` has arrived or was given up: sent between
    /// full ones at high rates.
    Light {
        /// The first packet that is not acknowledged.
        next: SeqNumber,
    },
    /// The same with figures.
    Full(FullAck),
}

/// An acknowledgement with the receiver's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullAck {
    /// The first packet that is not acknowledged.
    pub next: SeqNumber,
    /// The round trip, smoothed, in microseconds.
    pub rtt: u32,
    /// Its mean deviation, in microseconds.
    pub rtt_variance: u32,
    /// How many packets more the receiver can hold.
    pub available_buffer: u32,
    /// The rest, which is not in every one.
    pub rates: Option<Rates>,
}

/// The figures at the end of a full acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Packets received per second.
    pub packets_per_second: u32,
    /// Estimated capacity of the link, in packets per second.
    pub capacity: u32,
    /// Bytes received per second; absent from peers older than 1.0.3.
    pub bytes_per_second: Option<u32>,
}

impl AckBody {
    /// The first packet that is not acknowledged.
    #[must_use]
    pub const fn next(&self) -> SeqNumber {
        match self {
            Self::Light { next } => *next,
            Self::Full(full) => full.next,
        }
    }

    fn parse(body: &[u8]) -> Result<Self, PacketError> {
        let (words, _) = body.as_chunks::<4>();
        let word = |at: usize| words.get(at).map(|word| u32::from_be_bytes(*word));
        let next = SeqNumber::new(word(0).ok_or(PacketError::Body("ACK"))?);
        let (Some(rtt), Some(rtt_variance), Some(available_buffer)) = (word(1), word(2), word(3))
        else {
            return Ok(Self::Light { next });
        };
        let rates = match (word(4), word(5)) {
            (Some(packets_per_second), Some(capacity)) => Some(Rates {
                packets_per_second,
                capacity,
                bytes_per_second: word(6),
            }),
            _ => None,
        };
        Ok(Self::Full(FullAck {
            next,
            rtt,
            rtt_variance,
            available_buffer,
            rates,
        }))
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_u32(self.next().value());
        let Self::Full(full) = self else { return };
        out.put_u32(full.rtt);
        out.put_u32(full.rtt_variance);
        out.put_u32(full.available_buffer);
        let Some(rates) = full.rates else { return };
        out.put_u32(rates.packets_per_second);
        out.put_u32(rates.capacity);
        if let Some(bytes) = rates.bytes_per_second {
            out.put_u32(bytes);
        }
    }
}

impl<'a> Kind<'a> {
    /// Reads the first two words of a header and the body.
    pub(super) fn parse(word: u32, info: u32, body: &'a [u8]) -> Result<Self, PacketError> {
        let [kind, subtype] = [word >> 16 & 0x7FFF, word & 0xFFFF]
            .map(|half| u16::try_from(half).unwrap_or_default());
        Ok(match kind {
            HANDSHAKE => Self::Handshake(body),
            KEEP_ALIVE => Self::KeepAlive,
            ACK => Self::Ack {
                number: info,
                body: AckBody::parse(body)?,
            },
            NAK => Self::Nak(LossRanges::parse(body)?),
            CONGESTION_WARNING => Self::CongestionWarning,
            SHUTDOWN => Self::Shutdown,
            ACK_ACK => Self::AckAck { number: info },
            DROP_REQUEST => {
                let (words, _) = body.as_chunks::<4>();
                let [first, last, ..] = words else {
                    return Err(PacketError::Body("drop request"));
                };
                let [first, last] =
                    [first, last].map(|word| SeqNumber::new(u32::from_be_bytes(*word)));
                if first.distance(last) < 0 {
                    return Err(PacketError::Body("drop request"));
                }
                Self::DropRequest {
                    message: MessageNumber::new(info),
                    first,
                    last,
                }
            }
            PEER_ERROR => Self::PeerError(info),
            USER => Self::User { subtype, body },
            _ => Self::Unknown { kind, subtype },
        })
    }
}

impl Control<'_> {
    /// Appends the datagram to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        let mut header = |kind, subtype, info| {
            put_header(kind, subtype, info, self.timestamp, self.destination, out);
        };
        match &self.kind {
            Kind::Handshake(body) => {
                header(HANDSHAKE, 0, 0);
                out.put_slice(body);
            }
            Kind::KeepAlive => {
                header(KEEP_ALIVE, 0, 0);
                out.put_u32(PADDING);
            }
            Kind::Ack { number, body } => {
                header(ACK, 0, *number);
                body.write(out);
            }
            Kind::Nak(ranges) => {
                header(NAK, 0, 0);
                out.put_slice(ranges.bytes());
            }
            Kind::CongestionWarning => {
                header(CONGESTION_WARNING, 0, 0);
                out.put_u32(PADDING);
            }
            Kind::Shutdown => {
                header(SHUTDOWN, 0, 0);
                out.put_u32(PADDING);
            }
            Kind::AckAck { number } => {
                header(ACK_ACK, 0, *number);
                out.put_u32(PADDING);
            }
            Kind::DropRequest {
                message,
                first,
                last,
            } => {
                header(DROP_REQUEST, 0, message.value());
                out.put_u32(first.value());
                out.put_u32(last.value());
            }
            Kind::PeerError(code) => {
                header(PEER_ERROR, 0, *code);
                out.put_u32(PADDING);
            }
            Kind::User { subtype, body } => {
                header(USER, *subtype, 0);
                out.put_slice(body);
            }
            Kind::Unknown { kind, subtype } => header(*kind, *subtype, 0),
        }
    }
}

/// Appends the header of a control packet.
pub(super) fn put_header(
    kind: u16,
    subtype: u16,
    info: u32,
    timestamp: Timestamp,
    destination: SocketId,
    out: &mut BytesMut,
) {
    out.put_u32(CONTROL | u32::from(kind) << 16 | u32::from(subtype));
    out.put_u32(info);
    out.put_u32(timestamp.value());
    out.put_u32(destination.0);
}

/// libsrt puts a word behind each header that needs no body; so do we, for peers that
/// rely on it.
const PADDING: u32 = 0;

/// The types of control packets.
const HANDSHAKE: u16 = 0;
const KEEP_ALIVE: u16 = 1;
const ACK: u16 = 2;
pub(super) const NAK: u16 = 3;
const CONGESTION_WARNING: u16 = 4;
const SHUTDOWN: u16 = 5;
const ACK_ACK: u16 = 6;
const DROP_REQUEST: u16 = 7;
const PEER_ERROR: u16 = 8;
const USER: u16 = 0x7FFF;
