//! The numbers of packets, all of which wrap: none has an order, only distances.

use std::fmt;
use std::time::{Duration, Instant};

/// The number of a data packet: 31 bits, after the last comes 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNumber(u32);

impl SeqNumber {
    /// The largest number.
    pub const MAX: Self = Self(0x7FFF_FFFF);

    /// The number in the lower 31 bits.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value & Self::MAX.0)
    }

    /// Below 2³¹.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The number of the next packet.
    #[must_use]
    pub const fn next(self) -> Self {
        self.add(1)
    }

    /// The number `count` packets later.
    #[must_use]
    pub const fn add(self, count: u32) -> Self {
        Self::new(self.0.wrapping_add(count))
    }

    /// The number `count` packets before.
    #[must_use]
    pub const fn sub(self, count: u32) -> Self {
        Self::new(self.0.wrapping_sub(count))
    }

    /// How many packets `to` comes after `self`, negative if before: the shorter way
    /// around, from -2³⁰ to 2³⁰ - 1.
    #[must_use]
    pub const fn distance(self, to: Self) -> i32 {
        (to.0.wrapping_sub(self.0) << 1).cast_signed() >> 1
    }
}

impl fmt::Display for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a message: 26 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MessageNumber(u32);

impl MessageNumber {
    /// The largest number.
    pub const MAX: Self = Self(0x03FF_FFFF);

    /// The number in the lower 26 bits.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value & Self::MAX.0)
    }

    /// Below 2²⁶. Zero is no message: of a drop request it says that the sender does not
    /// know.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The number of the next message: after the last comes 1.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 == Self::MAX.0 {
            Self(1)
        } else {
            Self(self.0 + 1)
        }
    }
}

/// A time in microseconds since its sender's socket began: 32 bits, which wrap every
/// 71 minutes and 35 seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timestamp(u32);

impl Timestamp {
    /// A time in microseconds.
    #[must_use]
    pub const fn new(micros: u32) -> Self {
        Self(micros)
    }

    /// What a socket that began at `start` writes `now`.
    #[must_use]
    pub fn since(start: Instant, now: Instant) -> Self {
        let micros = now.saturating_duration_since(start).as_micros();
        // The lower 32 bits are what is meant.
        Self(u32::try_from(micros & u128::from(u32::MAX)).unwrap_or_default())
    }

    /// In microseconds.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The time `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let micros = duration.as_micros() & u128::from(u32::MAX);
        Self(
            self.0
                .wrapping_add(u32::try_from(micros).unwrap_or_default()),
        )
    }

    /// How many microseconds `to` comes after `self`, negative if before: the shorter way
    /// around.
    #[must_use]
    pub const fn distance(self, to: Self) -> i32 {
        to.0.wrapping_sub(self.0).cast_signed()
    }
}

/// The number of a socket; each end chooses its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SocketId(pub u32);

impl SocketId {
    /// No socket: who asks for a connection sends to it.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}
