//! What a handshake agreed on: [`Terms`], with which a connection begins.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::keys::Keys;
use super::packet::{SeqNumber, SocketId, Timestamp};

/// What both ends of a connection agreed on.
#[derive(Debug)]
#[non_exhaustive]
pub struct Terms {
    /// Our socket: what the peer sends to.
    pub own: SocketId,
    /// The peer's socket: what we send to.
    pub peer: SocketId,
    /// Where the peer is. Datagrams for our socket from anywhere else are not its.
    pub peer_addr: SocketAddr,
    /// The number of the first data packet, in either direction.
    pub first_seq: SeqNumber,
    /// From the peer's sending to our delivery, beyond the shortest way there: the
    /// larger of what either end asked for.
    pub latency: Duration,
    /// The same for what we send.
    pub peer_latency: Duration,
    /// The largest datagram to send in bytes, IP and UDP headers included, up to 1500.
    /// Peers do not keep to it: srt-tokio names less than it sends.
    pub mtu: u16,
    /// How many packets the peer can hold that were not acknowledged.
    pub flow_window: u32,
    /// The peer's version of SRT.
    pub peer_version: Version,
    /// What the peer can do.
    pub peer_flags: Flags,
    /// Of an encrypted connection.
    pub keys: Option<Keys>,
    /// When the peer sent its last packet of the handshake, on its clock …
    pub peer_start: Timestamp,
    /// … and when that arrived: the first pair to map its clock by.
    pub peer_arrival: Instant,
    /// When our socket began: what our timestamps count from.
    pub start: Instant,
}

/// A version of SRT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u32);

impl Version {
    /// What we announce: the release of libsrt whose behaviour ours follows.
    pub const OURS: Self = Self::new(1, 5, 4);

    /// The version with these numbers.
    #[must_use]
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self(u32::from_be_bytes([0, major, minor, patch]))
    }

    /// From a handshake.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// As it stands in a handshake.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, major, minor, patch] = self.0.to_be_bytes();
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// What an end of a connection can do (draft-sharabayko-srt section 3.2.1.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u32);

impl Flags {
    /// It sends with timestamps to deliver by.
    pub const TSBPD_SEND: Self = Self(1);
    /// It delivers by timestamps.
    pub const TSBPD_RECEIVE: Self = Self(1 << 1);
    /// It knows encryption.
    pub const CRYPT: Self = Self(1 << 2);
    /// It gives up what is too late.
    pub const TOO_LATE_DROP: Self = Self(1 << 3);
    /// It repeats its NAKs.
    pub const PERIODIC_NAK: Self = Self(1 << 4);
    /// It knows the bit that marks what is sent again.
    pub const RETRANSMIT_BIT: Self = Self(1 << 5);
    /// It sends a stream of bytes instead of messages (file transfer).
    pub const STREAM: Self = Self(1 << 6);
    /// It knows packet filters.
    pub const PACKET_FILTER: Self = Self(1 << 7);

    /// What this receiver does.
    pub const OURS: Self = Self(
        Self::TSBPD_SEND.0
            | Self::TSBPD_RECEIVE.0
            | Self::CRYPT.0
            | Self::TOO_LATE_DROP.0
            | Self::PERIODIC_NAK.0
            | Self::RETRANSMIT_BIT.0,
    );

    /// From a handshake.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// As they stand in a handshake.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `flags` are among these.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}
