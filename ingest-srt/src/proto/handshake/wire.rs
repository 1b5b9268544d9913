//! The body of a handshake and its extensions, as they are sent
//! (draft-sharabayko-srt section 3.2.1).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::proto::packet::{Control, Kind, Packet, SeqNumber, SocketId, Timestamp};
use crate::proto::terms::{Flags, Version};

/// What every handshake has; extensions follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body {
    /// 4 in the first round, 5 from then on.
    pub(super) version: u32,
    /// The length of keys in units of eight bytes; 0 if open.
    pub(super) encryption: u16,
    /// Which extensions follow, [`MAGIC`] in the answer of the first round.
    pub(super) extension: u16,
    pub(super) first_seq: SeqNumber,
    pub(super) mtu: u32,
    pub(super) flow_window: u32,
    /// [`INDUCTION`], [`CONCLUSION`] or [`REFUSAL`] and more.
    pub(super) request: u32,
    pub(super) socket: SocketId,
    pub(super) cookie: u32,
    /// Of whom it is sent to, the bytes of each word from the last to the first.
    pub(super) address: [u8; 16],
}

/// A handshake that arrived: its header's timestamp, its destination and what it says.
#[derive(Debug)]
pub(super) struct Arrived<'a> {
    pub(super) timestamp: Timestamp,
    pub(super) destination: SocketId,
    pub(super) body: Body,
    pub(super) extensions: Extensions<'a>,
}

impl<'a> Arrived<'a> {
    /// `None` if it is no handshake.
    pub(super) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let Ok(Packet::Control(Control {
            timestamp,
            destination,
            kind: Kind::Handshake(bytes),
        })) = Packet::parse(datagram)
        else {
            return None;
        };
        let (body, rest) = bytes.split_first_chunk::<BODY_LEN>()?;
        Some(Self {
            timestamp,
            destination,
            body: Body::parse(body),
            extensions: Extensions(rest),
        })
    }
}

impl Body {
    fn parse(bytes: &[u8; BODY_LEN]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |at: usize| words.get(at).map_or(0, |word| u32::from_be_bytes(*word));
        let [high0, high1, low0, low1] = word(1).to_be_bytes();
        let mut address = [0; 16];
        for (to, from) in address.iter_mut().zip(bytes.iter().skip(32)) {
            *to = *from;
        }
        Self {
            version: word(0),
            encryption: u16::from_be_bytes([high0, high1]),
            extension: u16::from_be_bytes([low0, low1]),
            first_seq: SeqNumber::new(word(2)),
            mtu: word(3),
            flow_window: word(4),
            request: word(5),
            socket: SocketId(word(6)),
            cookie: word(7),
            address,
        }
    }

    /// The datagram with this body and these extensions.
    pub(super) fn datagram(
        &self,
        timestamp: Timestamp,
        destination: SocketId,
        extensions: &[(u16, &[u8])],
    ) -> Bytes {
        let mut body = BytesMut::with_capacity(BODY_LEN + 64);
        body.put_u32(self.version);
        body.put_u16(self.encryption);
        body.put_u16(self.extension);
        body.put_u32(self.first_seq.value());
        body.put_u32(self.mtu);
        body.put_u32(self.flow_window);
        body.put_u32(self.request);
        body.put_u32(self.socket.0);
        body.put_u32(self.cookie);
        body.put_slice(&self.address);
        for (kind, content) in extensions {
            body.put_u16(*kind);
            body.put_u16(u16::try_from(content.len().div_ceil(4)).unwrap_or_default());
            body.put_slice(content);
            body.put_bytes(0, content.len().next_multiple_of(4) - content.len());
        }
        let mut out = BytesMut::with_capacity(body.len() + 16);
        let control = Control {
            timestamp,
            destination,
            kind: Kind::Handshake(&body),
        };
        control.write(&mut out);
        out.freeze()
    }
}

/// The extensions of a handshake: type and content each. Those that reach beyond the
/// end are the last item, an error.
#[derive(Clone, Debug)]
pub(super) struct Extensions<'a>(&'a [u8]);

/// An extension is longer than what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Torn;

impl<'a> Iterator for Extensions<'a> {
    type Item = Result<(u16, &'a [u8]), Torn>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut read = || {
            let ([kind0, kind1, length0, length1], rest) = self.0.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_be_bytes([*length0, *length1])) * 4;
            let (content, rest) = rest.split_at_checked(length)?;
            self.0 = rest;
            Some((u16::from_be_bytes([*kind0, *kind1]), content))
        };
        let read = read();
        if read.is_none() {
            self.0 = &[];
        }
        Some(read.ok_or(Torn))
    }
}

/// What an end tells of itself (draft-sharabayko-srt section 3.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) version: Version,
    pub(super) flags: Flags,
    /// For what it receives.
    pub(super) receive: Duration,
    /// For what it sends.
    pub(super) send: Duration,
}

impl Hello {
    pub(super) fn parse(content: &[u8]) -> Option<Self> {
        let (words, _) = content.as_chunks::<4>();
        let [version, flags, [receive0, receive1, send0, send1], ..] = words else {
            return None;
        };
        let millis = |high: &u8, low: &u8| {
            Duration::from_millis(u64::from(u16::from_be_bytes([*high, *low])))
        };
        Some(Self {
            version: Version::from_bits(u32::from_be_bytes(*version)),
            flags: Flags::from_bits(u32::from_be_bytes(*flags)),
            receive: millis(receive0, receive1),
            send: millis(send0, send1),
        })
    }

    pub(super) fn write(&self) -> [u8; 12] {
        let [a, b, c, d] = self.version.bits().to_be_bytes();
        let [e, f, g, h] = self.flags.bits().to_be_bytes();
        let millis = |latency: Duration| {
            u16::try_from(whole_millis(latency).as_millis()).map_or([0xFF; 2], u16::to_be_bytes)
        };
        let ([i, j], [k, l]) = (millis(self.receive), millis(self.send));
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }
}

/// The next latency that a handshake can tell: milliseconds, up to 65.535 seconds.
pub(super) fn whole_millis(latency: Duration) -> Duration {
    let millis = latency.as_micros().div_ceil(1_000);
    Duration::from_millis(u64::from(u16::try_from(millis).unwrap_or(u16::MAX)))
}

/// A text as extensions carry it: the bytes of each word from the last to the first, zeros at
/// the end.
pub(super) fn read_text(content: &[u8]) -> Vec<u8> {
    let (words, _) = content.as_chunks::<4>();
    let mut text: Vec<u8> = words
        .iter()
        .flat_map(|[a, b, c, d]| [*d, *c, *b, *a])
        .collect();
    while text.last() == Some(&0) {
        text.pop();
    }
    text
}

/// The reverse of [`read_text`].
pub(super) fn write_text(text: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(text.len().next_multiple_of(4));
    for part in text.chunks(4) {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().rev().zip(part) {
            *to = *from;
        }
        content.extend_from_slice(&word);
    }
    content
}

/// An address as the body carries it.
pub(super) fn address(of: SocketAddr) -> [u8; 16] {
    let mut bytes = match of.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(ip) => ip.octets(),
    };
    for word in bytes.as_chunks_mut::<4>().0 {
        word.reverse();
    }
    bytes
}

/// The body without extensions.
const BODY_LEN: usize = 48;

/// Values of [`Body::version`].
pub(super) const UDT: u32 = 4;
pub(super) const SRT: u32 = 5;

/// Values of [`Body::request`].
pub(super) const INDUCTION: u32 = 1;
pub(super) const CONCLUSION: u32 = 0xFFFF_FFFF;
/// With a reason added.
pub(super) const REFUSAL: u32 = 1_000;

/// What a caller's first round has in [`Body::extension`]: a socket of datagrams.
pub(super) const DATAGRAMS: u16 = 2;
/// What its answer has there, from listeners that know version 5.
pub(super) const MAGIC: u16 = 0x4A17;

/// The bits of [`Body::extension`].
pub(super) const HAS_HELLO: u16 = 1;
pub(super) const HAS_KEYS: u16 = 2;
pub(super) const HAS_CONFIG: u16 = 4;

/// The types of extensions.
pub(super) const HELLO_REQUEST: u16 = 1;
pub(super) const HELLO_RESPONSE: u16 = 2;
pub(super) const KEY_REQUEST: u16 = 3;
pub(super) const KEY_RESPONSE: u16 = 4;
pub(super) const STREAM_ID: u16 = 5;
pub(super) const CONGESTION: u16 = 6;
pub(super) const FILTER: u16 = 7;
pub(super) const GROUP: u16 = 8;

/// The largest MTU: Ethernet's.
pub(super) const MTU: u16 = 1_500;

/// What a smaller one would leave for payload is no TS packet.
pub(super) const LEAST_MTU: u16 = 28 + 16 + 188;
