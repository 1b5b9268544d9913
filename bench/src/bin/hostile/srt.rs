//! SRT from the attacker's side: handshakes by the server's own caller, which can be
//! spoilt before they are sent, and packets word by word.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use rillcast_bench::{Error, Result};
use rillcast_ingest_srt::proto::handshake::{Dial, DialConfig, DialError, RejectReason};
use rillcast_ingest_srt::proto::keys::{KeyLength, Passphrase};
use rillcast_ingest_srt::proto::packet::SocketId;
use rillcast_ingest_srt::proto::terms::Terms;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout, timeout_at};

use crate::arena::{Arena, PROMPT};

/// What a caller encrypts with.
pub(crate) type Secret<'a> = Option<(&'a str, KeyLength)>;

/// A connection that was accepted.
pub(crate) struct Caller {
    pub(crate) socket: UdpSocket,
    pub(crate) terms: Terms,
}

/// A caller that has its cookie, and has not sent it back yet.
pub(crate) struct Asking {
    pub(crate) socket: UdpSocket,
    /// What it would send now.
    pub(crate) conclusion: Vec<u8>,
}

/// What the server says to a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Here is your cookie.
    Cookie(u32),
    /// Your connection has this socket here.
    In(u32),
    /// No, and libsrt's number for why.
    Refused(u32),
    /// Nothing.
    Unheard,
}

/// Where the fields of a handshake are in its datagram.
pub(crate) mod field {
    pub(crate) const DESTINATION: usize = 12;
    pub(crate) const VERSION: usize = 16;
    pub(crate) const EXTENSION: usize = 22;
    pub(crate) const FIRST_SEQ: usize = 24;
    pub(crate) const MTU: usize = 28;
    pub(crate) const FLOW_WINDOW: usize = 32;
    pub(crate) const REQUEST: usize = 36;
    pub(crate) const SOCKET: usize = 40;
    pub(crate) const COOKIE: usize = 44;
    /// The first extension (HSREQ): its type, its length in words, its content.
    pub(crate) const HELLO: usize = 64;
    pub(crate) const HELLO_FLAGS: usize = HELLO + 8;
    pub(crate) const HELLO_SEND: usize = HELLO + 14;
    /// The second one.
    pub(crate) const SECOND: usize = HELLO + 16;
}

/// Types of control packets.
pub(crate) mod kind {
    pub(crate) const HANDSHAKE: u16 = 0;
    pub(crate) const KEEP_ALIVE: u16 = 1;
    pub(crate) const ACK: u16 = 2;
    pub(crate) const NAK: u16 = 3;
    pub(crate) const SHUTDOWN: u16 = 5;
    pub(crate) const ACK_ACK: u16 = 6;
    pub(crate) const DROP_REQUEST: u16 = 7;
    pub(crate) const USER: u16 = 0x7FFF;
    /// Of [`USER`].
    pub(crate) const KEY_REQUEST: u16 = 3;
    pub(crate) const KEY_RESPONSE: u16 = 4;
}

/// A packet of four words and a body.
pub(crate) fn packet(words: [u32; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = words.map(u32::to_be_bytes).concat();
    bytes.extend_from_slice(body);
    bytes
}

/// A control packet for the socket `to`.
pub(crate) fn control(kind: u16, subtype: u16, info: u32, to: u32, body: &[u8]) -> Vec<u8> {
    let first = 0x8000_0000 | u32::from(kind) << 16 | u32::from(subtype);
    packet([first, info, 0, to], body)
}

/// A data packet for the socket `to`: a message of its own.
pub(crate) fn data(seq: u32, timestamp: u32, to: u32, payload: &[u8]) -> Vec<u8> {
    packet([seq & 0x7FFF_FFFF, 0xC000_0001, timestamp, to], payload)
}

/// Puts a word into a datagram.
pub(crate) fn put(datagram: &mut [u8], at: usize, word: u32) {
    if let Some(field) = datagram.get_mut(at..at + 4) {
        field.copy_from_slice(&word.to_be_bytes());
    }
}

/// The word at `at`; 0 if there is none.
pub(crate) fn word(datagram: &[u8], at: usize) -> u32 {
    let word = datagram.get(at..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u32::from_be_bytes(*word))
}

/// Sockets of callers: the address and this must not be another one's.
static NEXT: AtomicU32 = AtomicU32::new(1);

fn dial(arena: &Arena, stream_id: &str, secret: Secret<'_>) -> Result<Dial> {
    let mut config = DialConfig::default();
    config.stream_id = stream_id.to_owned();
    config.timeout = PROMPT;
    if let Some((passphrase, length)) = secret {
        let passphrase = Passphrase::new(passphrase).map_err(Error::of("a passphrase"))?;
        (config.passphrase, config.key_length) = (Some(passphrase), Some(length));
    }
    let own = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut chance = arena.chance();
    let mut seed = [0; Dial::SEED_LEN];
    seed.fill_with(|| chance.byte());
    let now = std::time::Instant::now();
    Ok(Dial::new(config, SocketId(own), arena.srt, &seed, now))
}

/// Sends what is to be sent, and waits for an answer until it is time to send it again.
async fn turn(
    dial: &mut Dial,
    socket: &UdpSocket,
) -> Result<std::result::Result<Option<Terms>, DialError>> {
    let mut out = BytesMut::new();
    while dial.poll_transmit(std::time::Instant::now(), &mut out) {
        say(socket, &out).await?;
        out.clear();
    }
    let due = dial.poll_timeout();
    let mut buffer = [0; 2_048];
    match timeout_at(due.into(), socket.recv(&mut buffer)).await {
        Ok(read) => {
            let length = read.map_err(Error::of("a socket"))?;
            let answer = buffer.get(..length).unwrap_or_default();
            Ok(dial.handle(answer, std::time::Instant::now()))
        }
        Err(_) => Ok(dial
            .handle_timeout(std::time::Instant::now())
            .map(|()| None)),
    }
}

/// Calls on `socket`, and tells what came of it.
pub(crate) async fn call_on(
    arena: &Arena,
    socket: UdpSocket,
    stream_id: &str,
    secret: Secret<'_>,
) -> Result<std::result::Result<Caller, DialError>> {
    let mut dial = dial(arena, stream_id, secret)?;
    loop {
        match turn(&mut dial, &socket).await? {
            Ok(Some(terms)) => return Ok(Ok(Caller { socket, terms })),
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// Calls from the attack's address number `host`, and must be refused.
pub(crate) async fn refused(
    arena: &Arena,
    host: u8,
    stream_id: &str,
    secret: Secret<'_>,
) -> Result<RejectReason> {
    let socket = arena.udp(host).await?;
    match call_on(arena, socket, stream_id, secret).await? {
        Err(DialError::Refused(reason)) => Ok(reason),
        Err(error) => Err(Error::new(format!("the call for {stream_id}: {error}"))),
        Ok(_) => Err(Error::new(format!("the call for {stream_id} was taken"))),
    }
}

/// The question for a cookie that comes before this `conclusion`.
pub(crate) fn induction(conclusion: &[u8]) -> Vec<u8> {
    let mut datagram = conclusion.to_vec();
    datagram.truncate(field::HELLO);
    put(&mut datagram, field::VERSION, 4);
    put(&mut datagram, field::EXTENSION - 2, 2);
    put(&mut datagram, field::REQUEST, INDUCTION);
    put(&mut datagram, field::COOKIE, 0);
    datagram
}

impl Caller {
    /// A connection that nobody encrypts, for `name` in the attack's own app.
    pub(crate) async fn open(arena: &Arena, host: u8, name: &str) -> Result<Self> {
        let socket = arena.udp(host).await?;
        let local = socket.local_addr().map_err(Error::of("a socket"))?;
        // The one before may not have been missed yet.
        let name = format!("{name}-{}-{}", local.ip(), local.port());
        let stream_id = format!("publish:{}/{name}", arena.app());
        call_on(arena, socket, &stream_id, None)
            .await?
            .map_err(Error::of(format!("the call for {stream_id}")))
    }

    /// The server's socket of the connection.
    pub(crate) fn id(&self) -> u32 {
        self.terms.peer.0
    }

    /// Microseconds since it called.
    pub(crate) fn time(&self) -> u32 {
        let micros = self.terms.start.elapsed().as_micros();
        u32::try_from(micros & u128::from(u32::MAX)).unwrap_or_default()
    }

    /// A data packet so many behind the first one.
    pub(crate) fn data(&self, number: u32, payload: &[u8]) -> Vec<u8> {
        let seq = self.terms.first_seq.add(number).value();
        data(seq, self.time(), self.id(), payload)
    }

    pub(crate) async fn say(&self, datagram: &[u8]) -> Result {
        say(&self.socket, datagram).await
    }

    /// Whether the server still knows it: a question about keys is answered at once.
    pub(crate) async fn is_alive(&self) -> Result {
        if self.answers(PROMPT).await? {
            return Ok(());
        }
        Err(Error::new("the server does not answer on a connection"))
    }

    /// Whether a question about keys is answered within `limit`.
    pub(crate) async fn answers(&self, limit: Duration) -> Result<bool> {
        let question = control(kind::USER, kind::KEY_REQUEST, 0, self.id(), &[]);
        let deadline = Instant::now() + limit;
        loop {
            self.say(&question).await?;
            let again = deadline.min(Instant::now() + AGAIN);
            let answered = |it: &[u8]| is_control(it, kind::USER, Some(kind::KEY_RESPONSE));
            if self.hears(again, answered).await? {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
        }
    }

    /// The server ends it within `limit`, and says so.
    pub(crate) async fn gone_within(&self, limit: Duration) -> Result {
        let ended = |it: &[u8]| is_control(it, kind::SHUTDOWN, None);
        if self.hears(Instant::now() + limit, ended).await? {
            return Ok(());
        }
        Err(Error::new(format!(
            "the server had not ended the connection after {limit:?}"
        )))
    }

    /// Reads what has come until now.
    pub(crate) async fn forget(&self) -> Result<usize> {
        let mut count = 0;
        while heard(&self.socket, Duration::from_millis(10))
            .await?
            .is_some()
        {
            count += 1;
        }
        Ok(count)
    }

    /// Reads until a datagram is `wanted`, until `deadline` at most.
    async fn hears(&self, deadline: Instant, wanted: impl Fn(&[u8]) -> bool) -> Result<bool> {
        let mut buffer = [0; 2_048];
        loop {
            match timeout_at(deadline, self.socket.recv(&mut buffer)).await {
                Err(_) => return Ok(false),
                Ok(read) => {
                    let length = read.map_err(Error::of("a socket"))?;
                    if wanted(buffer.get(..length).unwrap_or_default()) {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Says goodbye.
    pub(crate) async fn leave(self) -> Result {
        let shutdown = control(kind::SHUTDOWN, 0, 0, self.id(), &[0; 4]);
        self.say(&shutdown).await
    }
}

impl Asking {
    /// Asks for a cookie from the attack's address number `host`.
    pub(crate) async fn start(
        arena: &Arena,
        host: u8,
        stream_id: &str,
        secret: Secret<'_>,
    ) -> Result<Self> {
        let socket = arena.udp(host).await?;
        let mut dial = dial(arena, stream_id, secret)?;
        let mut out = BytesMut::new();
        loop {
            if turn(&mut dial, &socket).await?.is_err() {
                return Err(Error::new("there is no cookie to be had"));
            }
            // Behind the first question it is the second that is to be sent.
            let now = std::time::Instant::now();
            if dial.poll_transmit(now, &mut out) {
                if word(&out, field::REQUEST) == CONCLUSION {
                    return Ok(Self {
                        socket,
                        conclusion: out.to_vec(),
                    });
                }
                say(&socket, &out).await?;
                out.clear();
            }
        }
    }

    /// Sends `datagram` and waits for the verdict, which must not be longer than it. Where
    /// none is expected, `patience` says how long.
    pub(crate) async fn ask(&self, datagram: &[u8], patience: Duration) -> Result<Verdict> {
        say(&self.socket, datagram).await?;
        let own = word(datagram, field::SOCKET);
        let asks = word(datagram, field::REQUEST) == INDUCTION;
        let deadline = Instant::now() + patience;
        let answer = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(answer) = heard(&self.socket, left.min(PROMPT / 5)).await? else {
                if Instant::now() >= deadline {
                    return Ok(Verdict::Unheard);
                }
                // It may have been lost.
                say(&self.socket, datagram).await?;
                continue;
            };
            // The answer to a question before this one may come now, and a connection
            // that came of it says more.
            let another = own != 0 && word(&answer, field::DESTINATION) != own
                || matches!(verdict(&answer), Verdict::Cookie(_)) && !asks
                || !is_control(&answer, kind::HANDSHAKE, None);
            if !another {
                break answer;
            }
        };
        if answer.len() > datagram.len() {
            return Err(Error::new(format!(
                "{} bytes were answered with {}",
                datagram.len(),
                answer.len()
            )));
        }
        Ok(verdict(&answer))
    }
}

/// What an answer to a handshake says.
pub(crate) fn verdict(answer: &[u8]) -> Verdict {
    match word(answer, field::REQUEST) {
        _ if !is_control(answer, kind::HANDSHAKE, None) => Verdict::Unheard,
        INDUCTION => Verdict::Cookie(word(answer, field::COOKIE)),
        CONCLUSION => Verdict::In(word(answer, field::SOCKET)),
        code => Verdict::Refused(code.wrapping_sub(REFUSAL)),
    }
}

/// The next datagram, if there is one within `limit`.
pub(crate) async fn heard(socket: &UdpSocket, limit: Duration) -> Result<Option<Vec<u8>>> {
    let mut buffer = [0; 2_048];
    match timeout(limit, socket.recv(&mut buffer)).await {
        Err(_) => Ok(None),
        Ok(read) => {
            let length = read.map_err(Error::of("a socket"))?;
            Ok(buffer.get(..length).map(<[u8]>::to_vec))
        }
    }
}

/// Sends a datagram; it may be lost as any other.
pub(crate) async fn say(socket: &UdpSocket, datagram: &[u8]) -> Result {
    let sent = socket.send(datagram).await;
    sent.map(drop).map_err(Error::of("a socket"))
}

fn is_control(datagram: &[u8], kind: u16, subtype: Option<u16>) -> bool {
    let first = word(datagram, 0);
    let low = u16::try_from(first & 0xFFFF).unwrap_or_default();
    first >> 16 == 0x8000 | u32::from(kind) && subtype.is_none_or(|it| it == low)
}

const INDUCTION: u32 = 1;
const CONCLUSION: u32 = 0xFFFF_FFFF;
const REFUSAL: u32 = 1_000;

/// From one question to the next.
const AGAIN: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_by_their_request() {
        let answer = |request| {
            let mut answer = control(kind::HANDSHAKE, 0, 0, 9, &[0; 48]);
            put(&mut answer, field::REQUEST, request);
            put(&mut answer, field::SOCKET, 5);
            put(&mut answer, field::COOKIE, 6);
            answer
        };
        for (request, wanted) in [
            (INDUCTION, Verdict::Cookie(6)),
            (CONCLUSION, Verdict::In(5)),
            (REFUSAL + 10, Verdict::Refused(10)),
        ] {
            assert_eq!(verdict(&answer(request)), wanted);
        }
        let other = control(kind::KEEP_ALIVE, 0, 0, 9, &[0; 48]);
        assert_eq!(verdict(&other), Verdict::Unheard);
    }

    #[test]
    fn packets_have_four_words_and_a_body() {
        let keys = control(kind::USER, kind::KEY_REQUEST, 1, 2, &[3]);
        assert_eq!(
            keys,
            [0xFF, 0xFF, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 3]
        );
        assert!(is_control(&keys, kind::USER, Some(kind::KEY_REQUEST)));
        assert!(!is_control(&keys, kind::USER, Some(kind::KEY_RESPONSE)));
        assert_eq!(word(&keys, 4), 1);
        assert_eq!(word(&keys, 15), 0, "beyond the end");
        let media = data(u32::MAX, 7, 8, &[9]);
        assert_eq!((word(&media, 0), word(&media, 12)), (0x7FFF_FFFF, 8));
    }
}
