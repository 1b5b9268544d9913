//! A connection that is open, and a peer that says anything at any time.

use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};

use super::{OWN, datagram_of, passphrase, peer};
use crate::proto::connection::{Connection, Limits};
use crate::proto::keys::{KeyLength, KeyRequest, Keys};
use crate::proto::packet::{
    AckBody, Control, Data, KeySlot, Kind, LossRange, MAX_DATAGRAM, MessageNumber, Packet,
    SeqNumber, SocketId, Timestamp, user, write_nak,
};
use crate::proto::terms::{Flags, Terms, Version};

const PEER: SocketId = SocketId(0x0000_BEEF);
const PACKETS: u32 = 256;
const BYTES: u64 = 64_000;

/// Runs a script on a connection: the first byte says where its numbers and times begin
/// and whether it is encrypted; then come steps of one byte, each with what it needs.
pub fn connection(data: &[u8]) {
    let Some((&first, script)) = data.split_first() else {
        return;
    };
    let mut world = World::new(first);
    let mut script = Script(script);
    while let Some(step) = script.byte() {
        world.step(step, &mut script);
        world.settle();
    }
    // Whatever it was, it is over soon when nothing more comes.
    for _ in 0..40 {
        world.now += Duration::from_millis(250);
        world.settle();
    }
    assert!(world.connection.ended().is_some(), "a peer that is gone");
    assert_eq!(world.connection.poll_timeout(), None);
}

/// The bytes that are left.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// A number; zeros where the script is over.
    fn word(&mut self) -> u32 {
        let mut word = [0; 4];
        word.fill_with(|| self.byte().unwrap_or(0));
        u32::from_be_bytes(word)
    }

    fn short(&mut self) -> i32 {
        let [high, low] = [(); 2].map(|()| self.byte().unwrap_or(0));
        i16::from_be_bytes([high, low]).into()
    }
}

struct World {
    connection: Connection,
    keys: Option<Keys>,
    now: Instant,
    seq: SeqNumber,
    timestamp: Timestamp,
    /// The last full acknowledgement that it sent.
    acknowledged: u32,
    received: u64,
}

impl World {
    fn new(first: u8) -> Self {
        let now = Instant::now() + Duration::from_secs(3_600);
        let keys = (first & 3 == 3).then(|| {
            let seed = [first; Keys::SEED_LEN];
            Keys::new(&passphrase(), KeyLength::Aes128, &seed)
        });
        let theirs = keys.as_ref().map(|keys| {
            let request = KeyRequest::parse(&keys.message()).expect("our own message");
            request.unlock(&passphrase()).expect("our own secret")
        });
        let near = u32::from(first >> 2 & 7) * 4;
        let seq = if first & 32 == 0 {
            SeqNumber::new(near)
        } else {
            SeqNumber::MAX.sub(near)
        };
        let timestamp = if first & 64 == 0 {
            Timestamp::new(near)
        } else {
            Timestamp::new(u32::MAX - near * 1_000)
        };
        let terms = Terms {
            own: OWN,
            peer: PEER,
            peer_addr: peer(),
            first_seq: seq,
            latency: Duration::from_millis(120),
            peer_latency: Duration::from_millis(120),
            mtu: 1_500,
            flow_window: PACKETS,
            peer_version: Version::OURS,
            peer_flags: Flags::OURS,
            keys: theirs,
            peer_start: timestamp,
            peer_arrival: now,
            start: now,
        };
        let limits = Limits {
            packets: PACKETS,
            bytes: BYTES,
            ..Limits::default()
        };
        Self {
            connection: Connection::new(terms, limits, now),
            keys,
            now,
            seq,
            timestamp,
            acknowledged: 0,
            received: 0,
        }
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let mut out = BytesMut::new();
        match step >> 4 {
            // Packets that follow each other, with one left out now and then.
            0..=4 => {
                for _ in 0..=step & 15 {
                    self.seq = self.seq.next();
                    self.timestamp = self.timestamp.after(Duration::from_millis(1));
                    self.now += Duration::from_millis(1);
                    let datagram = self.data(self.seq, self.timestamp, step);
                    self.handle(datagram);
                }
                self.seq = self.seq.add(u32::from(step >> 4));
                return;
            }
            // One from nearby, one from anywhere.
            5..=7 => {
                let near = script.short();
                let seq = SeqNumber::new(self.seq.value().wrapping_add_signed(near));
                out = self.data(seq, self.timestamp, step);
            }
            8 => {
                let seq = SeqNumber::new(script.word());
                let timestamp = Timestamp::new(script.word());
                out = self.data(seq, timestamp, step);
                if step & 8 != 0 {
                    (self.seq, self.timestamp) = (seq, timestamp);
                }
            }
            // Time passes.
            9 | 10 => {
                let time = Duration::from_millis(1 << (step & 15).min(12));
                self.now += time;
                self.timestamp = self.timestamp.after(time);
                return;
            }
            11 => {
                let near = |script: &mut Script<'_>| {
                    SeqNumber::new(self.seq.value().wrapping_add_signed(script.short()))
                };
                let (first, last) = match step & 1 {
                    0 => (near(script), near(script)),
                    _ => (SeqNumber::new(script.word()), SeqNumber::new(script.word())),
                };
                let message = MessageNumber::new(0);
                self.control(
                    Kind::DropRequest {
                        message,
                        first,
                        last,
                    },
                    &mut out,
                );
            }
            12 => {
                let number = match step & 1 {
                    0 => self.acknowledged.wrapping_sub(u32::from(step & 15)),
                    _ => script.word(),
                };
                self.control(Kind::AckAck { number }, &mut out);
            }
            13 => self.of_keys(step, script, &mut out),
            14 => self.other(step, script, &mut out),
            // Anything at all.
            _ => {
                let (datagram, rest) = datagram_of(script.0);
                script.0 = rest;
                out.put_slice(datagram);
            }
        }
        self.handle(out);
    }

    /// A data packet; `step` says what is odd about it.
    fn data(&self, seq: SeqNumber, timestamp: Timestamp, step: u8) -> BytesMut {
        let mut payload = [step; 700];
        let length = usize::from(step) * 2 + 1;
        let payload = payload.get_mut(..length).expect("shorter");
        let key = match (&self.keys, step & 3) {
            (Some(keys), _) => keys.encrypt(seq, payload),
            (None, 3) => KeySlot::Odd,
            (None, _) => KeySlot::None,
        };
        let mut out = BytesMut::new();
        Data {
            seq,
            first: true,
            last: true,
            in_order: step & 4 != 0,
            key,
            retransmitted: step & 2 != 0,
            message: MessageNumber::new(1),
            timestamp,
            destination: OWN,
            payload,
        }
        .write(&mut out);
        out
    }

    fn of_keys(&mut self, step: u8, script: &mut Script<'_>, out: &mut BytesMut) {
        let body = match (&mut self.keys, step & 3) {
            (Some(keys), 0) => keys.renew(&[step; 32]),
            (Some(keys), 1) => {
                keys.switch();
                return;
            }
            (Some(keys), 2) => keys.message(),
            _ => {
                let (body, rest) = datagram_of(script.0);
                script.0 = rest;
                body.to_vec().into()
            }
        };
        let kind = Kind::User {
            subtype: user::KEY_REQUEST,
            body: &body,
        };
        self.control(kind, out);
    }

    fn other(&self, step: u8, script: &mut Script<'_>, out: &mut BytesMut) {
        let next = SeqNumber::new(script.word());
        match step & 15 {
            0 => self.control(Kind::Shutdown, out),
            1 => self.control(Kind::CongestionWarning, out),
            2 => self.control(Kind::PeerError(4), out),
            3 => self.control(Kind::Handshake(&[0; 48]), out),
            4 => {
                let body = AckBody::Light { next };
                self.control(Kind::Ack { number: 1, body }, out);
            }
            5 => {
                let range = LossRange::new(next, next.add(0x1FFF_FFFF));
                write_nak(self.timestamp, OWN, range, 1_472, out);
            }
            _ => self.control(Kind::KeepAlive, out),
        }
    }

    fn control(&self, kind: Kind<'_>, out: &mut BytesMut) {
        Control {
            timestamp: self.timestamp,
            destination: OWN,
            kind,
        }
        .write(out);
    }

    fn handle(&mut self, datagram: BytesMut) {
        if let Ok(Packet::Data(_)) = Packet::parse(&datagram)
            && self.connection.ended().is_none()
        {
            self.received += 1;
        }
        self.connection.handle(datagram, self.now);
    }

    /// Does what a driver does, and looks at what must always hold.
    fn settle(&mut self) {
        let connection = &mut self.connection;
        connection.handle_timeout(self.now);
        while let Some(payload) = connection.poll_payload(self.now) {
            assert!(payload.at <= self.now, "before its time");
            assert!(!payload.data.is_empty());
        }
        let mut out = BytesMut::new();
        let mut said = 0;
        while connection.poll_transmit(&mut out) {
            said += 1;
            assert!(out.len() <= MAX_DATAGRAM);
            let Ok(Packet::Control(control)) = Packet::parse(&out) else {
                panic!("a receiver says what cannot be read: {out:?}");
            };
            assert_eq!(control.destination, PEER);
            if let Kind::Ack {
                number,
                body: AckBody::Full(full),
            } = control.kind
            {
                self.acknowledged = number;
                assert!((2..=PACKETS).contains(&full.available_buffer));
            }
        }
        assert!(said <= 256, "{said} datagrams at once");
        let stats = connection.stats(self.now);
        assert!(stats.buffered <= u64::from(PACKETS));
        assert!(stats.buffered_bytes <= BYTES);
        assert_eq!(stats.received, self.received);
        // Each packet came to one end.
        let ends = stats.delivered + stats.duplicates + stats.belated + stats.overflowed;
        let known = ends + stats.buffered;
        assert!(known <= stats.received && stats.received <= known + stats.undecrypted);
        assert!(stats.dropped <= stats.lost + stats.undecrypted);
        if let Some(next) = connection.poll_timeout() {
            assert!(next > self.now, "nothing is due that was just done");
            // Nothing that has arrived waits for longer than its latency.
            let head = next.saturating_duration_since(self.now);
            assert!(head <= Duration::from_secs(1), "{head:?}");
        }
    }
}
