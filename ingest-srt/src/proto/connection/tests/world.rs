//! A sender as libsrt's is, a network and a clock, all of them made up.

mod network;
mod sender;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use self::network::Dice;
pub(super) use self::network::Network;
use self::sender::Sent;
use super::super::{Connection, Ended, Limits, Stats};
use crate::proto::keys::{KeyLength, KeyRequest, Keys, MAX_KEY_LEN, Passphrase};
use crate::proto::packet::{
    AckBody, Control, Data, KeySlot, Kind, MessageNumber, Packet, SeqNumber, SocketId, Timestamp,
    user,
};
use crate::proto::terms::{Flags, Terms, Version};

/// What came of it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) sent: u64,
    pub(super) lost: u64,
    /// Payloads delivered before or after their time.
    pub(super) early: u64,
    pub(super) late: u64,
    /// Lost, though they had arrived in time.
    pub(super) in_time_and_lost: u64,
    pub(super) key_responses: u64,
    pub(super) light_acks: u64,
    pub(super) full_acks: u64,
    pub(super) stats: Stats,
    pub(super) ended: Option<Ended>,
}

/// What happens at a time.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    ToReceiver(Vec<u8>),
    ToSender(Vec<u8>),
    Send,
    KeepAlive,
}

pub(super) struct World {
    start: Instant,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    dice: Dice,
    network: Network,
    connection: Connection,
    limits: Limits,
    // The sender.
    seq: SeqNumber,
    zero: Timestamp,
    ppm: i64,
    every: u64,
    number: u64,
    kept: VecDeque<Sent>,
    keys: Option<Keys>,
    sends: bool,
    is_cut: bool,
    key_responses: u64,
    /// The bytes of a payload, and how many packets are kept to be sent again.
    size: usize,
    keeps: usize,
    /// What the receiver says it can take, if the sender cares; what it has acknowledged.
    obeys: bool,
    flow: u64,
    acknowledged: SeqNumber,
    /// Datagrams that the network never carries.
    spoils: fn(&Packet<'_>) -> bool,
    light_acks: u64,
    full_acks: u64,
    // What is known of each payload: when it was sent, and came.
    made: BTreeMap<u64, (u64, Option<u64>)>,
    expected: u64,
    lost: u64,
    early: u64,
    late: u64,
    in_time_and_lost: u64,
    /// Until when nothing is said of the time of delivery.
    forgiven: u64,
}

const OWN: SocketId = SocketId(1);
const PEER: SocketId = SocketId(2);

pub(super) fn terms(first: SeqNumber, zero: Timestamp, now: Instant, keys: Option<Keys>) -> Terms {
    Terms {
        own: OWN,
        peer: PEER,
        peer_addr: "127.0.0.1:9".parse().unwrap(),
        first_seq: first,
        latency: Duration::from_millis(120),
        peer_latency: Duration::from_millis(120),
        mtu: 1_500,
        flow_window: 8_192,
        peer_version: Version::new(1, 5, 1),
        peer_flags: Flags::OURS,
        keys,
        peer_start: zero,
        peer_arrival: now,
        start: now,
    }
}

pub(super) fn data_packet(seq: SeqNumber, timestamp: Timestamp, payload: &[u8]) -> Data<'_> {
    Data {
        seq,
        first: true,
        last: true,
        in_order: false,
        key: KeySlot::None,
        retransmitted: false,
        message: MessageNumber::new(1),
        timestamp,
        destination: OWN,
        payload,
    }
}

impl World {
    pub(super) fn new(seed: u64, network: Network) -> Self {
        Self::starting(seed, network, SeqNumber::new(77), Timestamp::new(5_000))
    }

    pub(super) fn starting(seed: u64, network: Network, first: SeqNumber, zero: Timestamp) -> Self {
        Self::with(seed, network, first, zero, None, None)
    }

    pub(super) fn encrypted(seed: u64, network: Network) -> Self {
        let passphrase = Passphrase::new("correct horse").unwrap();
        let keys = Keys::new(&passphrase, KeyLength::Aes256, &[9; Keys::SEED_LEN]);
        let request = KeyRequest::parse(&keys.message()).unwrap();
        let theirs = request.unlock(&passphrase).unwrap();
        let first = SeqNumber::new(5);
        let zero = Timestamp::new(0);
        Self::with(seed, network, first, zero, Some(keys), Some(theirs))
    }

    fn with(
        seed: u64,
        network: Network,
        first: SeqNumber,
        zero: Timestamp,
        keys: Option<Keys>,
        theirs: Option<Keys>,
    ) -> Self {
        let start = Instant::now();
        // The handshake took as long as any datagram.
        let arrival = start + Duration::from_micros(network.delay + network.jitter / 2);
        let limits = Limits::default();
        let connection = Connection::new(terms(first, zero, arrival, theirs), limits, arrival);
        let now = network.delay + network.jitter / 2;
        let mut world = Self {
            start,
            now,
            events: BinaryHeap::new(),
            order: 0,
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            network,
            connection,
            limits,
            seq: first,
            zero,
            ppm: 0,
            every: 5_000,
            number: 0,
            kept: VecDeque::new(),
            keys,
            sends: true,
            is_cut: false,
            key_responses: 0,
            size: 100,
            keeps: 2_000,
            obeys: false,
            flow: u64::from(limits.packets),
            acknowledged: first,
            spoils: |_| false,
            light_acks: 0,
            full_acks: 0,
            made: BTreeMap::new(),
            expected: 0,
            lost: 0,
            early: 0,
            late: 0,
            in_time_and_lost: 0,
            forgiven: 3_000_000,
        };
        world.at(now, Event::Send);
        world.at(now, Event::KeepAlive);
        world
    }

    /// Before anything is sent.
    pub(super) fn latency(&mut self, latency: Duration) {
        let mut terms = terms(self.seq, self.zero, self.moment(self.now), None);
        terms.keys = self.connection.terms.keys.take();
        terms.latency = latency;
        self.connection = Connection::new(terms, self.limits, self.moment(self.now));
    }

    /// Before anything is sent; the sender keeps to what it is told of the window.
    pub(super) fn limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.flow = u64::from(limits.packets);
        self.obeys = true;
        self.latency(self.connection.terms.latency);
    }

    /// Bytes of each payload.
    pub(super) fn size(&mut self, size: usize) {
        self.size = size;
    }

    /// The sender forgets what it sent after so many packets, and says so when asked.
    pub(super) fn keeps(&mut self, keeps: usize) {
        self.keeps = keeps;
    }

    /// These the network never carries.
    pub(super) fn spoil(&mut self, spoils: fn(&Packet<'_>) -> bool) {
        self.spoils = spoils;
    }

    /// The sender's clock is fast by so many millionths.
    pub(super) fn drift(&mut self, ppm: i64) {
        self.ppm = ppm;
    }

    /// Microseconds between packets.
    pub(super) fn every(&mut self, every: u64) {
        self.every = every;
    }

    pub(super) fn set_delay(&mut self, delay: u64) {
        self.network.delay = delay;
    }

    /// Says nothing of the time of delivery for so long.
    pub(super) fn forgive(&mut self, time: u64) {
        self.forgiven = self.now + time;
    }

    pub(super) fn pause_data(&mut self) {
        self.sends = false;
    }

    pub(super) fn resume_data(&mut self) {
        self.sends = true;
    }

    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }

    pub(super) fn mend(&mut self) {
        self.is_cut = false;
    }

    pub(super) fn stats(&mut self) -> Stats {
        let now = self.moment(self.now);
        self.connection.stats(now)
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.connection.ended()
    }

    pub(super) fn close_peer(&mut self) {
        self.sends = false;
        self.say(Kind::Shutdown);
    }

    fn moment(&self, at: u64) -> Instant {
        self.start + Duration::from_micros(at)
    }

    fn at(&mut self, time: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((time, self.order, event)));
    }

    /// Puts a datagram on the network.
    fn carry(&mut self, datagram: Vec<u8>, to_receiver: bool) {
        let spoiled = Packet::parse(&datagram).is_ok_and(|packet| (self.spoils)(&packet));
        if self.is_cut || spoiled || self.dice.share() < self.network.loss {
            return;
        }
        let copies = 1 + u64::from(self.dice.share() < self.network.duplicates);
        for _ in 0..copies {
            let jitter = match self.network.jitter {
                0 => 0,
                most => self.dice.roll() % most,
            };
            let at = self.now + self.network.delay + jitter;
            let event = match to_receiver {
                true => Event::ToReceiver(datagram.clone()),
                false => Event::ToSender(datagram.clone()),
            };
            self.at(at, event);
        }
    }

    /// Lets so much time pass.
    pub(super) fn run(&mut self, time: u64) {
        let until = self.now + time;
        loop {
            let event = self.events.peek().map(|Reverse((at, ..))| *at);
            let timer = self.connection.poll_timeout().map(|at| {
                let micros = at.saturating_duration_since(self.start).as_nanos();
                u64::try_from(micros.div_ceil(1_000)).unwrap()
            });
            let next = [event, timer].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.now = self.now.max(next);
            if event == Some(next) {
                let Reverse((_, _, event)) = self.events.pop().unwrap();
                self.happen(event);
            }
            let now = self.moment(self.now);
            self.connection.handle_timeout(now);
            self.collect();
        }
        self.now = until;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Send => {
                let every = self.every;
                self.at(self.now + every, Event::Send);
                let flight = self.acknowledged.distance(self.seq);
                let full = self.obeys && i64::from(flight) >= self.flow.cast_signed();
                if self.sends && !full {
                    self.send();
                }
            }
            Event::KeepAlive => {
                self.at(self.now + 1_000_000, Event::KeepAlive);
                self.say(Kind::KeepAlive);
            }
            Event::ToReceiver(datagram) => {
                if let Ok(Packet::Data(data)) = Packet::parse(&datagram) {
                    let distance = self.seq.distance(data.seq);
                    let number = self.number.saturating_add_signed(i64::from(distance));
                    if let Some((_, came)) = self.made.get_mut(&number) {
                        came.get_or_insert(self.now);
                    }
                }
                let now = self.moment(self.now);
                self.connection.handle(BytesMut::from(&datagram[..]), now);
            }
            Event::ToSender(datagram) => self.hear(&datagram),
        }
    }

    /// Takes what the receiver has to give.
    fn collect(&mut self) {
        let mut out = BytesMut::new();
        while self.connection.poll_transmit(&mut out) {
            self.carry(out.to_vec(), false);
        }
        let now = self.moment(self.now);
        while let Some(payload) = self.connection.poll_payload(now) {
            let number = u64::from_be_bytes(payload.data[..8].try_into().unwrap());
            let lost = number - self.expected;
            assert_eq!(lost, u64::from(payload.lost_before), "before {number}");
            let latency = u64::try_from(self.connection.terms.latency.as_micros()).unwrap();
            for missing in self.expected..number {
                let (sent, came) = self.made.remove(&missing).unwrap();
                let due = sent + self.network.delay + latency;
                if came.is_some_and(|came| came + SLACK < due) {
                    self.in_time_and_lost += 1;
                }
            }
            self.lost += lost;
            self.expected = number + 1;
            let (sent, _) = self.made.remove(&number).unwrap();
            let due = sent + self.network.delay + latency;
            if self.now > self.forgiven {
                self.early += u64::from(self.now + SLACK < due);
                self.late += u64::from(self.now > due + SLACK);
            }
        }
    }

    /// Stops sending, lets everything come in, and tells what became of it.
    pub(super) fn finish(mut self) -> Report {
        self.sends = false;
        self.run(3_000_000);
        // The last ones may have been lost with nothing behind them to show it.
        let now = self.moment(self.now);
        Report {
            sent: self.expected,
            lost: self.lost,
            early: self.early,
            late: self.late,
            in_time_and_lost: self.in_time_and_lost,
            key_responses: self.key_responses,
            light_acks: self.light_acks,
            full_acks: self.full_acks,
            stats: self.connection.stats(now),
            ended: self.connection.ended(),
        }
    }
}

/// How far a delivery may be off its time: what the shortest way is known by, and a
/// clock that drifts for as long as the buckets reach.
const SLACK: u64 = 5_000;
