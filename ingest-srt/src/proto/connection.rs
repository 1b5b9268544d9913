//! The receiving end of a connection (draft-sharabayko-srt section 4): [`Connection`].
//!
//! Datagrams and the time go in; datagrams for the peer, payloads at their time and the
//! end come out. What is missing is asked for until its time has come (section 4.8.2),
//! and given up then, so that nothing waits longer than the latency (4.5, 4.6).
//!
//! `connection/window.rs` has the packets, `connection/clock.rs` the peer's clock,
//! `connection/ack.rs` what is acknowledged,
//! `connection/stats.rs` what is counted.

mod ack;
mod clock;
mod stats;
#[cfg(test)]
mod tests;
mod window;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use self::ack::{ACK_EVERY, Acks, LIGHT_ACK_EVERY};
use self::clock::Clock;
pub use self::stats::Stats;
use self::stats::{LEAST_PATIENCE, Rate, RoundTrip};
use self::window::{Place, Window};
use super::keys::{KeyState, Keys};
use super::packet::{
    Control, HEADER_LEN, KeySlot, Kind, LossRange, Packet, SeqNumber, Timestamp, user, write_nak,
};
use super::terms::{Flags, Terms};

/// The bounds of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many packets may be on their way to delivery: the flow window that the
    /// handshake told the peer.
    pub packets: u32,
    /// How many bytes of payload may wait for their time.
    pub bytes: u64,
    /// A peer that is silent for so long is gone.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packets: 8_192,
            bytes: 16 << 20,
            idle: Duration::from_secs(5),
        }
    }
}

/// What was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What the packet carried.
    pub data: Bytes,
    /// Its time: when it was sent, plus the shortest way, plus the latency.
    pub at: Instant,
    /// How many packets are missing just before it.
    pub lost_before: u32,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// The peer said so. All that had arrived was delivered at its time.
    #[error("the peer has closed the connection")]
    Shutdown,
    /// The peer was silent.
    #[error("the peer was silent for too long")]
    Silent,
    /// [`Connection::close`] was called.
    #[error("the connection was closed from this side")]
    Closed,
}

/// One connection, from the end of its handshake on.
///
/// After each [`handle`](Self::handle) and [`handle_timeout`](Self::handle_timeout),
/// send what [`poll_transmit`](Self::poll_transmit) gives, take what
/// [`poll_payload`](Self::poll_payload) gives, and come back at
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Connection {
    terms: Terms,
    limits: Limits,
    /// Whether the peer marks what it sends again; else that bit is a message's number.
    marks_retransmitted: bool,
    window: Window,
    clock: Clock,
    rate: Rate,
    round_trip: RoundTrip,
    stats: Stats,
    /// Datagrams for the peer.
    out: VecDeque<BytesMut>,
    acks: Acks,
    /// When to ask for what is missing.
    nak_at: Option<Instant>,
    /// When something was heard, and said.
    heard: Instant,
    said: Instant,
    ended: Option<Ended>,
    /// The peer has ended it; what has arrived is still delivered, until then.
    draining: Option<Instant>,
    /// Packets that were given up and not told of with a payload yet.
    untold: u64,
    /// The key that the newest encrypted packet names, and its number.
    key: Option<(KeySlot, SeqNumber)>,
}

impl Connection {
    /// A connection on `terms`, which were agreed on `now`.
    #[must_use]
    pub fn new(terms: Terms, limits: Limits, now: Instant) -> Self {
        let first = terms.first_seq;
        let stats = Stats {
            latency: terms.latency,
            ..Stats::default()
        };
        Self {
            marks_retransmitted: terms.peer_flags.contains(Flags::RETRANSMIT_BIT),
            window: Window::new(first, limits.packets),
            clock: Clock::new(terms.peer_start, terms.peer_arrival),
            rate: Rate::new(now),
            round_trip: RoundTrip::new(),
            stats,
            out: VecDeque::new(),
            acks: Acks::new(first, limits.packets),
            nak_at: None,
            heard: now,
            said: now,
            ended: None,
            draining: None,
            untold: 0,
            key: None,
            terms,
            limits,
        }
    }

    /// What was agreed on.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Takes a datagram of the peer, which has an allocation of its own: what it
    /// carries is delivered in that.
    pub fn handle(&mut self, datagram: BytesMut, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        let packet = match Packet::parse(&datagram) {
            Ok(packet) => packet,
            Err(_) => {
                self.stats.malformed += 1;
                return;
            }
        };
        self.heard = now;
        let control = match packet {
            Packet::Control(control) => control,
            Packet::Data(data) => {
                let arrived = Arrived {
                    seq: data.seq,
                    key: data.key,
                    retransmitted: data.retransmitted && self.marks_retransmitted,
                    timestamp: data.timestamp,
                };
                self.data(arrived, datagram, now);
                return;
            }
        };
        self.clock.unwrap(control.timestamp);
        match control.kind {
            Kind::AckAck { number } => self.acknowledged(number, now),
            Kind::DropRequest { first, last, .. } => self.window.give_up(first, last),
            Kind::Shutdown => {
                let until = now + self.terms.latency + LINGER;
                self.draining = self.draining.or(Some(until));
            }
            Kind::User {
                subtype: user::KEY_REQUEST,
                body,
            } => {
                let answer = match &mut self.terms.keys {
                    Some(keys) => keys.refresh(body, now),
                    None => KeyState::NoSecret.write(),
                };
                let kind = Kind::User {
                    subtype: user::KEY_RESPONSE,
                    body: &answer,
                };
                self.send(kind, now);
            }
            // What a peer says that sends data too is of no use here.
            _ => {}
        }
    }

    fn data(&mut self, arrived: Arrived, mut datagram: BytesMut, now: Instant) {
        let sent = self.clock.unwrap(arrived.timestamp);
        datagram.advance(HEADER_LEN);
        let size = u64::try_from(datagram.len()).unwrap_or(u64::MAX);
        self.stats.received += 1;
        self.stats.received_bytes += size;
        self.stats.retransmitted += u64::from(arrived.retransmitted);
        if arrived.key == KeySlot::None && self.terms.keys.is_some() {
            // A peer that has keys encrypts everything: this is somebody else's, and must
            // not take the place of what it sends.
            self.stats.undecrypted += 1;
            return;
        }
        self.clock.arrived(sent, arrived.retransmitted, now);
        self.rate.add(arrived.seq.value(), size, now);
        // Where nothing can be said now, what is missing is due at once.
        let patience = if self.is_full() {
            self.patience()
        } else {
            Duration::ZERO
        };
        let asked = now.checked_sub(patience).unwrap_or(now);
        let (keys, undecrypted) = (self.terms.keys.as_ref(), &mut self.stats.undecrypted);
        let (key, key_changes) = (&mut self.key, &mut self.stats.key_changes);
        let open = || {
            let payload = decrypt(keys, &arrived, datagram);
            *undecrypted += u64::from(payload.is_none());
            // What comes late may still have the key before.
            if arrived.key != KeySlot::None
                && key.is_none_or(|(_, newest)| newest.distance(arrived.seq) > 0)
            {
                let known = key.replace((arrived.key, arrived.seq));
                *key_changes += u64::from(known.is_some_and(|(slot, _)| slot != arrived.key));
            }
            payload
        };
        let room = self.limits.bytes;
        match self.window.put(arrived.seq, sent, size, asked, room, open) {
            Place::New { missing, skipped } => {
                self.stats.lost += missing + skipped;
                self.stats.dropped += skipped;
                self.untold += skipped;
                if missing > 0 {
                    self.ask_at_once(arrived.seq, missing, now);
                    let due = asked + self.patience();
                    self.nak_at = Some(self.nak_at.map_or(due, |at| at.min(due)));
                }
            }
            Place::Gap => {}
            Place::Again => self.stats.duplicates += 1,
            Place::Late => self.stats.belated += 1,
            Place::Beyond => self.stats.overflowed += 1,
        }
        self.acks.packets += 1;
        if self.acks.at.is_none() {
            self.acks.at = Some(now + ACK_EVERY);
        }
        if self.acks.packets >= LIGHT_ACK_EVERY {
            self.acknowledge_lightly(now);
        }
    }

    /// Asks for what is missing just before `seq` as soon as that is known.
    fn ask_at_once(&mut self, seq: SeqNumber, missing: u64, now: Instant) {
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let range = LossRange::new(seq.sub(missing), seq.sub(1));
        self.ask(range, now);
    }

    /// After how long what is missing is asked for again. One answer that took a second
    /// must not cost the tries that the latency leaves time for, nor must jitter: with
    /// four tries, one packet of millions is lost where 3 of 100 are lost on the way.
    fn patience(&self) -> Duration {
        let tries = (self.terms.latency / 6).max(self.round_trip.smoothed);
        self.round_trip.patience().min(tries).max(LEAST_PATIENCE)
    }

    /// Sends NAKs.
    fn ask(&mut self, ranges: impl IntoIterator<Item = LossRange>, now: Instant) {
        let mut ranges = ranges.into_iter().peekable();
        let limit = usize::from(self.terms.mtu).saturating_sub(IP_AND_UDP);
        while ranges.peek().is_some() {
            let Some(mut out) = self.begin() else { return };
            let timestamp = Timestamp::since(self.terms.start, now);
            // At most so many words as fit, though each may need two.
            let batch = ranges.by_ref().take(limit.saturating_sub(HEADER_LEN) / 8);
            if write_nak(timestamp, self.terms.peer, batch, limit, &mut out) == 0 {
                return;
            }
            self.stats.naks += 1;
            self.push(out, now);
        }
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        if now.saturating_duration_since(self.heard) >= self.limits.idle && self.draining.is_none()
        {
            self.ended = Some(Ended::Silent);
            return;
        }
        if self.acks.at.is_some_and(|at| at <= now) {
            self.acknowledge(now);
        }
        let asks = self.nak_at.is_some_and(|at| at <= now) && self.draining.is_none();
        if asks && self.is_full() {
            self.nak_at = Some(now + NAK_PAUSE);
        } else if asks {
            let patience = self.patience();
            let due = self.window.due(now, patience, MOST_RANGES);
            self.ask(due, now);
            let next = self.window.next_due(patience);
            self.nak_at = next.map(|at| at.max(now + NAK_PAUSE));
        }
        if now.saturating_duration_since(self.said) >= KEEP_ALIVE {
            self.send(Kind::KeepAlive, now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) and
    /// [`poll_payload`](Self::poll_payload) are worth calling next; `None` when the
    /// connection is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended.is_some() {
            return None;
        }
        let head = self.window.head();
        let payload = head.map(|head| self.clock.deliver_at(head.sent, self.terms.latency));
        let nak = self.nak_at.filter(|_| self.draining.is_none());
        let over = self.draining.unwrap_or(self.heard + self.limits.idle);
        let fixed = over.min(self.said + KEEP_ALIVE);
        let times = [payload, nak, self.acks.at];
        Some(times.into_iter().flatten().fold(fixed, Instant::min))
    }

    /// Puts the next datagram for the peer into `out`, which is emptied before; false if
    /// there is none.
    pub fn poll_transmit(&mut self, out: &mut BytesMut) -> bool {
        match self.out.pop_front() {
            Some(datagram) => {
                *out = datagram;
                true
            }
            None => false,
        }
    }

    /// The next payload whose time has come.
    pub fn poll_payload(&mut self, now: Instant) -> Option<Payload> {
        loop {
            let head = self.window.head();
            let due = head.and_then(|head| {
                let at = self.clock.deliver_at(head.sent, self.terms.latency);
                (at <= now).then_some((head, at))
            });
            let Some((head, at)) = due else {
                // Nothing is left, or what a peer dates into the future.
                let over = |until| head.is_none() || until <= now;
                if self.draining.is_some_and(over) {
                    self.ended = self.ended.or(Some(Ended::Shutdown));
                }
                return None;
            };
            let slot = self.window.take()?;
            if self.acks.at.is_none() && self.is_narrow() {
                self.acks.at = Some(now + ACK_EVERY);
            }
            self.stats.dropped += head.missing;
            self.untold += head.missing;
            let Some(data) = slot.payload else {
                self.stats.dropped += 1;
                self.untold += 1;
                continue;
            };
            self.stats.delivered += 1;
            let lost_before = u32::try_from(std::mem::take(&mut self.untold));
            let lost_before = lost_before.unwrap_or(u32::MAX);
            return Some(Payload {
                data,
                at,
                lost_before,
            });
        }
    }

    /// Whether the connection is over, and why.
    #[must_use]
    pub const fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Ends the connection and tells the peer.
    pub fn close(&mut self, now: Instant) {
        if self.ended.is_none() {
            self.send(Kind::Shutdown, now);
            self.ended = Some(Ended::Closed);
        }
    }

    /// The figures as of `now`.
    pub fn stats(&mut self, now: Instant) -> Stats {
        let (buffered, buffered_bytes) = self.window.held();
        let span = self.window.head().zip(self.window.newest());
        let span = span.map_or(0, |(head, newest)| newest.saturating_sub(head.sent));
        let (packets_per_second, bytes_per_second) = self.rate.per_second(now);
        let rtt = self.round_trip;
        Stats {
            rtt: if rtt.measured {
                rtt.smoothed
            } else {
                Duration::ZERO
            },
            rtt_variance: if rtt.measured {
                rtt.variance
            } else {
                Duration::ZERO
            },
            buffered,
            buffered_bytes,
            buffered_time: Duration::from_micros(u64::try_from(span).unwrap_or(0)),
            packets_per_second,
            bytes_per_second,
            capacity: self.rate.capacity(),
            ..self.stats
        }
    }

    fn send(&mut self, kind: Kind<'_>, now: Instant) {
        let Some(mut out) = self.begin() else { return };
        Control {
            timestamp: Timestamp::since(self.terms.start, now),
            destination: self.terms.peer,
            kind,
        }
        .write(&mut out);
        self.push(out, now);
    }

    /// A place for a datagram; none if so many wait that the driver must be stuck.
    fn begin(&self) -> Option<BytesMut> {
        (!self.is_full()).then(|| BytesMut::with_capacity(64))
    }

    fn is_full(&self) -> bool {
        self.out.len() >= MOST_OUT
    }

    fn push(&mut self, datagram: BytesMut, now: Instant) {
        self.out.push_back(datagram);
        self.said = now;
    }
}

/// The payload; `None` if there is no key for it.
fn decrypt(keys: Option<&Keys>, arrived: &Arrived, mut payload: BytesMut) -> Option<Bytes> {
    let known = match (arrived.key, keys) {
        (KeySlot::None, _) => true,
        (slot, Some(keys)) => keys.decrypt(slot, arrived.seq, &mut payload).is_ok(),
        (_, None) => false,
    };
    known.then(|| payload.freeze())
}

/// What of a data packet outlives its datagram.
struct Arrived {
    seq: SeqNumber,
    key: KeySlot,
    retransmitted: bool,
    timestamp: Timestamp,
}

/// The least time between two looks for what is to be asked for again.
const NAK_PAUSE: Duration = Duration::from_millis(5);

/// Ranges that are asked for at one time.
const MOST_RANGES: usize = 1_024;

/// How often something is said at least (section 3.2.3).
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// After a peer has closed, what it sent is delivered for the latency and so much more.
const LINGER: Duration = Duration::from_secs(1);

/// Datagrams that may wait to be sent.
const MOST_OUT: usize = 256;

/// What an MTU counts that is no SRT.
const IP_AND_UDP: usize = 28;
