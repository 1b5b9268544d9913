//! The handshake of version 5 (draft-sharabayko-srt section 4.3), from both sides.
//!
//! A caller asks, gets a cookie, and asks again with it and its extensions; the answer
//! to that opens or refuses the connection. [`Gate`] is the listener's side, which
//! keeps nothing; what it lets through is a [`Call`]. [`Dial`] is the caller's.
//! `handshake/wire.rs` has the bytes, `handshake/cookie.rs` the cookies.

mod call;
mod cookie;
mod dial;
mod gate;
mod reject;
#[cfg(test)]
mod tests;
mod wire;

pub use call::Call;
pub use dial::{Dial, DialConfig, DialError};
pub use gate::{Answer, Gate, GateConfig, Ignored, Refusal, Refused};
pub use reject::RejectReason;
