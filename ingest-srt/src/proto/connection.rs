//! The receiving end of a connection (draft-sharabayko-srt section 4): [`Connection`].
//!
//! Datagrams and the time go in; datagrams for the peer, payloads at their time and the
//! end come out. What is missing is asked for until its time has come (section 4.8.2),
//! and given up then, so that nothing waits longer than the latency (4.5, 4.6).
//!
//! `connection/window.rs` has the packets, `connection/clock.rs` the peer's clock,
//! `connection/stats.rs` what is counted.

mod clock;
mod stats;
#[cfg(test)]
mod tests;
mod window;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use self::clock::Clock;
pub use self::stats::Stats;
use self::stats::{Rate, RoundTrip};
use self::window::{Place, Slot, Window};
use super::keys::KeyState;
use super::packet::{
    AckBody, Control, FullAck, HEADER_LEN, KeySlot, Kind, LossRange, Packet, Rates, SeqNumber,
    Timestamp, user, write_nak,
};
use super::terms::Terms;

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
    /// The peer has ended it; what has arrived is still delivered.
    draining: bool,
}

/// What was acknowledged.
#[derive(Debug)]
struct Acks {
    /// The number of the last full one.
    number: u32,
    /// What the last full one, and the last of any kind, acknowledged.
    full: SeqNumber,
    light: SeqNumber,
    /// When the next full one is due, if there is anything to say.
    at: Option<Instant>,
    /// Packets since the last one.
    packets: u32,
    /// Those that were not acknowledged themselves yet, and when they were sent.
    sent: VecDeque<(u32, Instant)>,
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
            window: Window::new(first, limits.packets),
            clock: Clock::new(terms.peer_start, terms.peer_arrival),
            rate: Rate::new(now),
            round_trip: RoundTrip::new(),
            stats,
            out: VecDeque::new(),
            acks: Acks {
                number: 0,
                full: first,
                light: first,
                at: None,
                packets: 0,
                sent: VecDeque::new(),
            },
            nak_at: None,
            heard: now,
            said: now,
            ended: None,
            draining: false,
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
                    retransmitted: data.retransmitted,
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
            Kind::Shutdown => self.draining = true,
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
        if !arrived.retransmitted {
            self.clock.arrived(sent, now);
        }
        self.rate.add(arrived.seq.value(), size, now);
        // What is there, or whose time is over, need not be decrypted.
        let payload = self.decrypt(&arrived, datagram);
        let slot = Slot { payload, sent };
        let due = now + self.round_trip.patience().max(LEAST_PATIENCE);
        match self.window.put(arrived.seq, slot, due, self.limits.bytes) {
            Place::New { missing } => {
                self.stats.lost += missing;
                if missing > 0 {
                    self.ask_at_once(arrived.seq, missing, now);
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

    /// The payload; `None` if there is no key for it.
    fn decrypt(&mut self, arrived: &Arrived, mut payload: BytesMut) -> Option<Bytes> {
        let known = match (arrived.key, &self.terms.keys) {
            (KeySlot::None, _) => true,
            (slot, Some(keys)) => keys.decrypt(slot, arrived.seq, &mut payload).is_ok(),
            (_, None) => false,
        };
        self.stats.undecrypted += u64::from(!known);
        known.then(|| payload.freeze())
    }

    /// Asks for what is missing just before `seq` as soon as that is known.
    fn ask_at_once(&mut self, seq: SeqNumber, missing: u64, now: Instant) {
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let range = LossRange::new(seq.sub(missing), seq.sub(1));
        self.ask(range, now);
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

    /// The peer has our acknowledgement of that number.
    fn acknowledged(&mut self, number: u32, now: Instant) {
        let sent = &mut self.acks.sent;
        let Some(at) = sent.iter().position(|(sent, _)| *sent == number) else {
            return;
        };
        // Those before it were lost, or their answers were.
        let at = sent.drain(..=at).next_back().map(|(_, at)| at);
        if let Some(at) = at {
            self.round_trip.add(now.saturating_duration_since(at));
        }
    }

    fn acknowledge_lightly(&mut self, now: Instant) {
        self.acks.packets = 0;
        let next = self.window.acknowledged();
        if next == self.acks.light {
            return;
        }
        self.acks.light = next;
        let body = AckBody::Light { next };
        self.send(Kind::Ack { number: 0, body }, now);
    }

    /// Sends a full acknowledgement if there is anything new in it, or the last one was
    /// not heard of.
    fn acknowledge(&mut self, now: Instant) {
        let next = self.window.acknowledged();
        let unheard = self.acks.sent.back().map(|(_, at)| *at);
        let patience = self.round_trip.patience().max(ACK_EVERY);
        let again = unheard.is_some_and(|at| now.saturating_duration_since(at) >= patience);
        self.acks.at = None;
        if next == self.acks.full && !again {
            if unheard.is_some() {
                self.acks.at = Some(now + ACK_EVERY);
            }
            return;
        }
        self.acks.number = self.acks.number.wrapping_add(1).max(1);
        (self.acks.full, self.acks.light, self.acks.packets) = (next, next, 0);
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let (packets_per_second, bytes) = self.rate.per_second(now);
        let body = AckBody::Full(FullAck {
            next,
            rtt: micros(self.round_trip.smoothed),
            rtt_variance: micros(self.round_trip.variance),
            // Less than two would stop some peers for good.
            available_buffer: self.window.available().max(2),
            rates: Some(Rates {
                packets_per_second,
                capacity: self.rate.capacity(),
                bytes_per_second: Some(u32::try_from(bytes).unwrap_or(u32::MAX)),
            }),
        });
        let number = self.acks.number;
        if self.acks.sent.len() >= UNHEARD {
            self.acks.sent.pop_front();
        }
        self.acks.sent.push_back((number, now));
        self.acks.at = Some(now + ACK_EVERY);
        self.send(Kind::Ack { number, body }, now);
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        if now.saturating_duration_since(self.heard) >= self.limits.idle && !self.draining {
            self.ended = Some(Ended::Silent);
            return;
        }
        if self.acks.at.is_some_and(|at| at <= now) {
            self.acknowledge(now);
        }
        if self.nak_at.is_some_and(|at| at <= now) && !self.draining {
            let again = now + self.round_trip.patience().max(LEAST_PATIENCE);
            let due = self.window.due(now, again, MOST_RANGES);
            self.ask(due, now);
            self.nak_at = self.window.next_due().map(|at| at.max(now + NAK_PAUSE));
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
        let nak = self.nak_at.filter(|_| !self.draining);
        let idle = self.heard + self.limits.idle;
        let fixed = idle.min(self.said + KEEP_ALIVE);
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
        let mut lost = 0;
        loop {
            let Some(head) = self.window.head() else {
                if self.draining {
                    self.ended = self.ended.or(Some(Ended::Shutdown));
                }
                return None;
            };
            let at = self.clock.deliver_at(head.sent, self.terms.latency);
            if at > now {
                return None;
            }
            let slot = self.window.take()?;
            self.stats.dropped += head.missing;
            lost += head.missing;
            let Some(data) = slot.payload else {
                self.stats.dropped += 1;
                lost += 1;
                continue;
            };
            self.stats.delivered += 1;
            let lost_before = u32::try_from(lost).unwrap_or(u32::MAX);
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
        (self.out.len() < MOST_OUT).then(|| BytesMut::with_capacity(64))
    }

    fn push(&mut self, datagram: BytesMut, now: Instant) {
        self.out.push_back(datagram);
        self.said = now;
    }
}

/// What of a data packet outlives its datagram.
struct Arrived {
    seq: SeqNumber,
    key: KeySlot,
    retransmitted: bool,
    timestamp: Timestamp,
}

/// How often what has arrived is acknowledged (section 4.8.1), and after how many
/// packets sooner.
const ACK_EVERY: Duration = Duration::from_millis(10);
const LIGHT_ACK_EVERY: u32 = 64;

/// Acknowledgements whose answers are waited for.
const UNHEARD: usize = 1_024;

/// The least time after which what is missing is asked for again, and the least between
/// two looks for it.
const LEAST_PATIENCE: Duration = Duration::from_millis(20);
const NAK_PAUSE: Duration = Duration::from_millis(5);

/// Ranges that are asked for at one time.
const MOST_RANGES: usize = 1_024;

/// How often something is said at least (section 3.2.3).
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Datagrams that may wait to be sent.
const MOST_OUT: usize = 256;

/// What an MTU counts that is no SRT.
const IP_AND_UDP: usize = 28;
