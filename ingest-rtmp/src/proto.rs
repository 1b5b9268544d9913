//! RTMP as a state machine: bytes and time in, events and bytes out.
//!
//! [`Session`] is the whole of it; a driver needs nothing else. Below it, from
//! the wire up: [`handshake`], [`chunk`] (messages out of interleaved chunks),
//! [`message`] (control messages), [`aggregate`], [`command`] (AMF0 commands)
//! and [`target`] (which stream an address means). Nothing here opens a
//! socket, reads a clock or spawns a task.
//!
//! "The specification" is Adobe's Real Time Messaging Protocol 1.0 of 2012-12-21.

pub mod aggregate;
pub mod chunk;
pub mod command;
pub mod handshake;
pub mod message;
mod session;
pub mod target;

pub(crate) use command::setting_of;
pub use session::{
    Event, Farewell, Ignored, Media, MediaKind, PublishRequest, Refused, Rejection, Session,
    SessionError, SessionLimits,
};
