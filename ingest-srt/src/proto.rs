//! SRT without a socket: packets, the handshake and its keys. Nothing here opens
//! anything, reads a clock or spawns; time is an argument.

pub mod connection;
pub mod handshake;
pub mod keys;
pub mod packet;
pub mod stream_id;
pub mod terms;
