//! The caller's side of the handshake: [`Dial`].

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::call::mtu;
use super::reject::RejectReason;
use super::wire::{self, Arrived, Body, Hello};
use crate::proto::keys::{KeyLength, KeyState, Keys, Passphrase};
use crate::proto::packet::{Control, Kind, SeqNumber, SocketId, Timestamp};
use crate::proto::terms::{Flags, Terms, Version};

/// What a caller wants.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DialConfig {
    /// Which stream of the listener, in the listener's own words; empty if it needs none.
    /// At most 512 bytes are sent.
    pub stream_id: String,
    /// If the connection is to be encrypted.
    pub passphrase: Option<Passphrase>,
    /// How long the keys are; if it does not matter, as the listener says, or 128 bits.
    pub key_length: Option<KeyLength>,
    /// The least latency of what we receive and deliver.
    pub latency: Duration,
    /// How many packets we can hold that were not delivered.
    pub flow_window: u32,
    /// The largest datagram in bytes, IP and UDP headers included; up to 1500.
    pub mtu: u16,
    /// After that long without an answer it is given up.
    pub timeout: Duration,
}

impl Default for DialConfig {
    fn default() -> Self {
        Self {
            stream_id: String::new(),
            passphrase: None,
            key_length: None,
            latency: Duration::from_millis(120),
            flow_window: 8_192,
            mtu: wire::MTU,
            timeout: Duration::from_secs(3),
        }
    }
}

/// Asks a listener for a connection.
///
/// 1. [`poll_transmit`](Self::poll_transmit) until it gives nothing more.
/// 2. [`poll_timeout`](Self::poll_timeout): when to call
///    [`handle_timeout`](Self::handle_timeout) if nothing arrives before.
/// 3. [`handle`](Self::handle) with what arrives from the listener; it gives the terms
///    of the connection when there is one. After that nothing more comes of it.
/// 4. After an error [`poll_transmit`](Self::poll_transmit) once more: a listener that has
///    opened a connection is told that nobody will use it.
pub struct Dial {
    config: DialConfig,
    own: SocketId,
    peer: SocketAddr,
    first_seq: SeqNumber,
    seed: [u8; Keys::SEED_LEN],
    phase: Phase,
    start: Instant,
    /// When to ask again …
    again: Instant,
    /// … and whether it is time.
    due: bool,
    /// The listener's socket of a connection that will not be used.
    unused: Option<SocketId>,
}

enum Phase {
    /// Asks for a cookie.
    Induction,
    /// Asks for a connection, encrypted if there are keys.
    Conclusion {
        cookie: u32,
        keys: Option<Box<Offer>>,
    },
    /// Has an answer.
    Over,
}

/// Keys, and the key material that tells the listener.
struct Offer {
    keys: Keys,
    message: Bytes,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No answer came in time.
    #[error("there is no answer: check the address, and that the listener runs and can be reached")]
    Timeout,
    /// The listener refuses.
    #[error("the listener refuses: {0}")]
    Refused(RejectReason),
    /// A listener of before 2018.
    #[error("the listener speaks version {0} of the handshake: SRT 1.3 or newer is needed")]
    Version(u32),
    /// The listener has no passphrase, or does not encrypt.
    #[error("the listener does not encrypt: unset the passphrase here, or set it there")]
    Unencrypted,
    /// The listener has another passphrase, and takes callers in nevertheless.
    #[error("the listener has another passphrase")]
    BadSecret,
    /// Its answer cannot be.
    #[error("the listener's answer is malformed: {0}")]
    Malformed(&'static str),
}

impl Dial {
    /// How many random bytes [`new`](Self::new) wants.
    pub const SEED_LEN: usize = Keys::SEED_LEN + 4;

    /// Begins `now` to call the listener at `peer` for our socket `own`; `seed` must be
    /// random and is used once.
    #[must_use]
    pub fn new(
        config: DialConfig,
        own: SocketId,
        peer: SocketAddr,
        seed: &[u8; Self::SEED_LEN],
        now: Instant,
    ) -> Self {
        let mut keys = [0; Keys::SEED_LEN];
        let mut first = [0; 4];
        for (to, from) in keys.iter_mut().chain(&mut first).zip(seed) {
            *to = *from;
        }
        Self {
            config,
            own,
            peer,
            first_seq: SeqNumber::new(u32::from_be_bytes(first)),
            seed: keys,
            phase: Phase::Induction,
            start: now,
            again: now + AGAIN,
            due: true,
            unused: None,
        }
    }

    /// Appends the next datagram for the listener to `out`, if there is one to be sent
    /// `now`.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut BytesMut) -> bool {
        if let Some(destination) = self.unused.take() {
            let shutdown = Control {
                timestamp: Timestamp::since(self.start, now),
                destination,
                kind: Kind::Shutdown,
            };
            shutdown.write(out);
            return true;
        }
        if !self.due {
            return false;
        }
        self.due = false;
        let mut body = Body {
            version: wire::UDT,
            encryption: 0,
            extension: wire::DATAGRAMS,
            first_seq: self.first_seq,
            mtu: u32::from(self.config.mtu),
            flow_window: self.config.flow_window,
            request: wire::INDUCTION,
            socket: self.own,
            cookie: 0,
            address: wire::address(self.peer),
        };
        let timestamp = Timestamp::since(self.start, now);
        let datagram = match &self.phase {
            Phase::Induction => body.datagram(timestamp, SocketId::NONE, &[]),
            Phase::Conclusion { cookie, keys } => {
                let hello = Hello {
                    version: Version::OURS,
                    flags: Flags::OURS,
                    receive: self.config.latency,
                    send: Duration::ZERO,
                }
                .write();
                let stream_id = self.config.stream_id.as_bytes();
                let stream_id = stream_id.get(..MAX_STREAM_ID).unwrap_or(stream_id);
                let stream_id = wire::write_text(stream_id);
                body.version = wire::SRT;
                body.extension = wire::HAS_HELLO;
                body.request = wire::CONCLUSION;
                body.cookie = *cookie;
                let mut extensions: Vec<(u16, &[u8])> = vec![(wire::HELLO_REQUEST, &hello)];
                if let Some(offer) = keys {
                    body.encryption =
                        u16::try_from(offer.keys.length().bytes() / 8).unwrap_or_default();
                    body.extension |= wire::HAS_KEYS;
                    extensions.push((wire::KEY_REQUEST, &offer.message));
                }
                if !stream_id.is_empty() {
                    body.extension |= wire::HAS_CONFIG;
                    extensions.push((wire::STREAM_ID, &stream_id));
                }
                body.datagram(timestamp, SocketId::NONE, &extensions)
            }
            Phase::Over => return false,
        };
        out.extend_from_slice(&datagram);
        true
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.again.min(self.deadline())
    }

    /// Asks again when it is time.
    ///
    /// # Errors
    /// [`DialError::Timeout`] if it has asked for long enough.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), DialError> {
        if now >= self.deadline() {
            self.phase = Phase::Over;
            return Err(DialError::Timeout);
        }
        if now >= self.again {
            self.again = now + AGAIN;
            self.due = true;
        }
        Ok(())
    }

    /// Takes a datagram that came from the listener's address. What is not an answer
    /// to this caller is passed over. The answer to the first round derives a key, as
    /// [`Keys::new`] does.
    ///
    /// # Errors
    /// A [`DialError`] if there will be no connection.
    pub fn handle(&mut self, datagram: &[u8], now: Instant) -> Result<Option<Terms>, DialError> {
        let Some(arrived) = Arrived::parse(datagram) else {
            return Ok(None);
        };
        if arrived.destination != self.own {
            return Ok(None);
        }
        let done = self.answer(&arrived, now);
        if !matches!(done, Ok(None)) {
            self.phase = Phase::Over;
        }
        done
    }

    fn answer(&mut self, arrived: &Arrived<'_>, now: Instant) -> Result<Option<Terms>, DialError> {
        let body = arrived.body;
        match (&mut self.phase, body.request) {
            (Phase::Over, _) => Ok(None),
            (Phase::Induction, wire::INDUCTION) => {
                if body.version < wire::SRT || body.extension != wire::MAGIC {
                    return Err(DialError::Version(body.version));
                }
                self.phase = Phase::Conclusion {
                    cookie: body.cookie,
                    keys: self.keys(body.encryption),
                };
                self.again = now + AGAIN;
                self.due = true;
                Ok(None)
            }
            (Phase::Conclusion { keys, .. }, wire::CONCLUSION) => {
                let keys = keys.take();
                let terms = self.conclusion(arrived, keys, now);
                if terms.is_err() && body.socket != SocketId::NONE {
                    self.unused = Some(body.socket);
                }
                terms.map(Some)
            }
            // The cookie again, or the answer to a caller that was here before.
            (_, wire::INDUCTION | wire::CONCLUSION) => Ok(None),
            (_, request) => match request.checked_sub(wire::REFUSAL) {
                // Types of handshakes between two callers come after that.
                Some(code) if request < AGREEMENT => {
                    Err(DialError::Refused(RejectReason::from_code(code)))
                }
                _ => Ok(None),
            },
        }
    }

    /// Keys of our own, as long as we or else the listener wants them.
    fn keys(&self, encryption: u16) -> Option<Box<Offer>> {
        let passphrase = self.config.passphrase.as_ref()?;
        let theirs = || KeyLength::from_bytes(usize::from(encryption) * 8);
        let length = self.config.key_length.or_else(theirs).unwrap_or_default();
        let keys = Keys::new(passphrase, length, &self.seed);
        let message = keys.message();
        Some(Box::new(Offer { keys, message }))
    }

    fn conclusion(
        &self,
        arrived: &Arrived<'_>,
        offer: Option<Box<Offer>>,
        now: Instant,
    ) -> Result<Terms, DialError> {
        use DialError::Malformed;
        let body = arrived.body;
        if body.version != wire::SRT {
            return Err(DialError::Version(body.version));
        }
        if body.socket == SocketId::NONE {
            return Err(Malformed("it has no socket"));
        }
        if body.mtu < u32::from(wire::LEAST_MTU) || body.flow_window == 0 {
            return Err(Malformed(
                "its MTU or flow window leaves no room for a payload",
            ));
        }
        let (mut hello, mut response) = (None, None);
        for extension in arrived.extensions.clone() {
            let (kind, content) = extension.map_err(|_| Malformed("an extension is cut off"))?;
            match kind {
                wire::HELLO_RESPONSE => hello = hello.or(Hello::parse(content)),
                wire::KEY_RESPONSE => response = response.or(Some(content)),
                _ => {}
            }
        }
        let hello = hello.ok_or(Malformed("it has no extension 2 (HSRSP)"))?;
        let keys = match (offer, response) {
            (None, _) => None,
            (Some(offer), Some(response)) if response == offer.message => Some(offer.keys),
            (Some(_), response) => {
                return Err(match response.and_then(KeyState::parse) {
                    Some(KeyState::BadSecret) => DialError::BadSecret,
                    Some(KeyState::NoSecret) | None => DialError::Unencrypted,
                });
            }
        };
        Ok(Terms {
            own: self.own,
            peer: body.socket,
            peer_addr: self.peer,
            first_seq: self.first_seq,
            latency: hello.send.max(wire::whole_millis(self.config.latency)),
            peer_latency: hello.receive,
            mtu: mtu(&body, self.config.mtu),
            flow_window: body.flow_window,
            peer_version: hello.version,
            peer_flags: hello.flags,
            keys,
            peer_start: arrived.timestamp,
            peer_arrival: now,
            start: self.start,
        })
    }

    fn deadline(&self) -> Instant {
        self.start + self.config.timeout
    }
}

/// Never the seed.
impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial")
            .field("config", &self.config)
            .field("own", &self.own)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// From one question to the next, as libsrt has it.
const AGAIN: Duration = Duration::from_millis(250);

/// As many bytes of a stream id as listeners take.
const MAX_STREAM_ID: usize = 512;

/// The types of handshakes from -3 to -1, of which only -1 concerns a caller.
const AGREEMENT: u32 = 0xFFFF_FFFD;
