//! The listener's side of the handshake, without state: [`Gate`].

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::call::{Call, refuse};
use super::cookie::{Cookies, SECRET_LEN};
use super::reject::RejectReason;
use super::wire::{self, Arrived, Body, Hello};
use crate::proto::keys::{KeyError, KeyRequest};
use crate::proto::packet::{SocketId, Timestamp};
use crate::proto::stream_id::{StreamIdError, StreamRequest};
use crate::proto::terms::Flags;

/// What a listener tells its callers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GateConfig {
    /// How many packets we can hold that were not delivered.
    pub flow_window: u32,
    /// The largest datagram in bytes, IP and UDP headers included; up to 1500.
    pub mtu: u16,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            flow_window: 8_192,
            mtu: wire::MTU,
        }
    }
}

/// Answers whoever asks for a connection, and keeps nothing of it.
///
/// Every datagram that is for socket 0 goes through [`handle`](Self::handle). An answer
/// is never longer than what it answers, and only who has sent back the cookie is
/// looked at any further, so a forged address costs one keyed hash.
#[derive(Clone)]
pub struct Gate {
    config: GateConfig,
    cookies: Cookies,
}

/// What is to be done about a datagram.
#[derive(Debug)]
pub enum Answer {
    /// Nothing.
    Ignore(Ignored),
    /// Send this to where it came from.
    Reply(Bytes),
    /// Send this likewise: the caller cannot be served.
    Refuse(Refused),
    /// Somebody asks for a connection, and can be served. It asks again and again until
    /// it has an answer, with the same [`Call::peer`] and [`Call::peer_socket`]: that is
    /// to be answered with the bytes of the first answer.
    Call(Box<Call>),
}

/// Why a datagram has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ignored {
    /// It is no handshake, or not one for a listener.
    NotAHandshake,
    /// It does not have the cookie of that address.
    BadCookie,
}

/// A caller that is refused by what its handshake says.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What to send to it.
    pub datagram: Bytes,
    /// What that says.
    pub reason: RejectReason,
    /// Why, for the log.
    pub why: Refusal,
    /// The stream that it asked for, as far as that was understood.
    pub stream_id: Option<Result<StreamRequest, StreamIdError>>,
}

/// What is wrong with a caller's handshake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A caller of before 2018, which cannot encrypt or name a stream.
    #[error("it speaks version {0} of the handshake: SRT 1.3 or newer is needed")]
    Version(u32),
    /// Lengths or values that cannot be.
    #[error("its handshake is malformed: {0}")]
    Malformed(&'static str),
    /// `transtype=file`, or a congestion control of its own.
    #[error("it wants the congestion control `{0}`: set it to live mode (transtype=live)")]
    Congestion(String),
    /// Bytes without messages.
    #[error("it sends a stream of bytes: set it to live mode (transtype=live)")]
    Stream,
    /// Forward error correction.
    #[error("it wants the packet filter `{0}`, and there is none here: unset its packetfilter")]
    Filter(String),
    /// Bonding.
    #[error("it wants a group of connections (bonding), which is not supported")]
    Group,
    /// Key material that is not understood.
    #[error("{0}")]
    Keys(#[from] KeyError),
}

impl Refusal {
    /// What the caller is told.
    #[must_use]
    pub const fn reason(&self) -> RejectReason {
        match self {
            // The only one that callers of that age know.
            Self::Version(_) => RejectReason::Peer,
            Self::Malformed(_) | Self::Keys(KeyError::Malformed(_)) => RejectReason::Rogue,
            Self::Congestion(_) => RejectReason::Congestion,
            Self::Stream => RejectReason::MessageApi,
            Self::Filter(_) => RejectReason::Filter,
            Self::Group => RejectReason::Group,
            Self::Keys(_) => RejectReason::Crypto,
        }
    }
}

impl Gate {
    /// The bytes of the secret.
    pub const SECRET_LEN: usize = SECRET_LEN;

    /// A gate; `secret` must be random.
    #[must_use]
    pub fn new(config: GateConfig, secret: &[u8; SECRET_LEN], now: Instant) -> Self {
        Self {
            config,
            cookies: Cookies::new(secret, now),
        }
    }

    /// Answers a datagram for socket 0, which came `from` there `now`.
    #[must_use]
    pub fn handle(&self, datagram: &[u8], from: SocketAddr, now: Instant) -> Answer {
        let Some(arrived) = Arrived::parse(datagram) else {
            return Answer::Ignore(Ignored::NotAHandshake);
        };
        let body = arrived.body;
        if arrived.destination != SocketId::NONE || body.socket == SocketId::NONE {
            return Answer::Ignore(Ignored::NotAHandshake);
        }
        match body.request {
            wire::INDUCTION if body.version >= wire::UDT => {
                Answer::Reply(self.induction(&body, from, now))
            }
            wire::CONCLUSION if self.cookies.check(body.cookie, from, now) => {
                self.conclusion(&arrived, from, now)
            }
            wire::CONCLUSION => Answer::Ignore(Ignored::BadCookie),
            _ => Answer::Ignore(Ignored::NotAHandshake),
        }
    }

    /// The cookie, and that we know version 5; the rest as it came, as libsrt does.
    fn induction(&self, body: &Body, from: SocketAddr, now: Instant) -> Bytes {
        let answer = Body {
            version: wire::SRT,
            encryption: 0,
            extension: wire::MAGIC,
            cookie: self.cookies.make(from, now),
            ..*body
        };
        answer.datagram(Timestamp::default(), body.socket, &[])
    }

    fn conclusion(&self, arrived: &Arrived<'_>, from: SocketAddr, now: Instant) -> Answer {
        let body = arrived.body;
        let mut found = Found::default();
        let why = match found.read(arrived) {
            Ok(hello) => {
                let stream_id = found.stream_id.unwrap_or_else(|| StreamRequest::parse(b""));
                return Answer::Call(Box::new(Call::new(
                    &self.config,
                    arrived,
                    hello,
                    stream_id,
                    found.keys,
                    from,
                    now,
                )));
            }
            Err(why) => why,
        };
        let reason = why.reason();
        Answer::Refuse(Refused {
            datagram: refuse(&body, from, reason),
            reason,
            why,
            stream_id: found.stream_id,
        })
    }
}

/// What the extensions of a conclusion say.
#[derive(Default)]
struct Found {
    stream_id: Option<Result<StreamRequest, StreamIdError>>,
    keys: Option<KeyRequest>,
}

impl Found {
    /// Walks the extensions, of which those that are not known are skipped and the
    /// first of each kind counts.
    fn read(&mut self, arrived: &Arrived<'_>) -> Result<Hello, Refusal> {
        use Refusal::Malformed;
        let body = arrived.body;
        if body.version != wire::SRT {
            return Err(Refusal::Version(body.version));
        }
        if body.mtu < u32::from(wire::LEAST_MTU) {
            return Err(Malformed("its MTU leaves no room for a payload"));
        }
        if body.flow_window == 0 {
            return Err(Malformed("its flow window is zero"));
        }
        let (mut hello, mut refusal) = (None, None);
        for extension in arrived.extensions.clone() {
            let (kind, content) = extension.map_err(|_| Malformed("an extension is cut off"))?;
            match kind {
                wire::HELLO_REQUEST if hello.is_none() => {
                    hello = Some(
                        Hello::parse(content).ok_or(Malformed("its extension 1 is too short"))?,
                    );
                }
                wire::KEY_REQUEST if self.keys.is_none() => match KeyRequest::parse(content) {
                    Ok(keys) => self.keys = Some(keys),
                    Err(error) => refusal = refusal.or(Some(error.into())),
                },
                wire::STREAM_ID if self.stream_id.is_none() => {
                    self.stream_id = Some(StreamRequest::parse(&wire::read_text(content)));
                }
                wire::CONGESTION => {
                    let name = printable(content);
                    if name != "live" {
                        refusal = refusal.or(Some(Refusal::Congestion(name)));
                    }
                }
                wire::FILTER => {
                    refusal = refusal.or(Some(Refusal::Filter(printable(content))));
                }
                wire::GROUP => refusal = refusal.or(Some(Refusal::Group)),
                _ => {}
            }
        }
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let hello = hello.ok_or(Malformed("it has no extension 1 (HSREQ)"))?;
        if body.extension & wire::HAS_KEYS != 0 && self.keys.is_none() {
            return Err(Malformed("it has no key material, and says that it has"));
        }
        if hello.flags.contains(Flags::STREAM) {
            return Err(Refusal::Stream);
        }
        Ok(hello)
    }
}

/// A short text of a peer for the log.
fn printable(content: &[u8]) -> String {
    let text = wire::read_text(content);
    let text = text.iter().take(64).map(|byte| match byte {
        b' '..=b'~' if *byte != b'`' => char::from(*byte),
        _ => '?',
    });
    text.collect()
}

/// Never the secret.
impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
