//! The sender: what it keeps, says and makes of what it hears.

use super::*;

pub(super) struct Sent {
    seq: SeqNumber,
    timestamp: Timestamp,
    slot: KeySlot,
    payload: Vec<u8>,
}

impl Sent {
    fn datagram(&self, again: bool) -> Vec<u8> {
        let mut out = BytesMut::new();
        Data {
            key: self.slot,
            retransmitted: again,
            ..data_packet(self.seq, self.timestamp, &self.payload)
        }
        .write(&mut out);
        out.to_vec()
    }
}

impl World {
    /// The sender has another key from here on, which it announces first.
    pub(in super::super) fn renew_keys(&mut self) {
        let mut key = [0; MAX_KEY_LEN];
        for byte in &mut key {
            *byte = self.dice.roll().to_be_bytes()[0];
        }
        let message = self.keys.as_mut().unwrap().renew(&key);
        // Sent until it is answered; the network here may lose it.
        let before = self.key_responses;
        while self.key_responses == before {
            let kind = Kind::User {
                subtype: user::KEY_REQUEST,
                body: &message,
            };
            self.say(kind);
            self.run(1_000_000);
        }
        self.key_responses = before + 1;
        self.keys.as_mut().unwrap().switch();
    }

    /// What the sender's clock shows.
    fn shown(&self) -> Timestamp {
        let since = i64::try_from(self.now).unwrap();
        let shown = since + since / 1_000_000 * self.ppm + since % 1_000_000 * self.ppm / 1_000_000;
        self.zero
            .after(Duration::from_micros(u64::try_from(shown).unwrap()))
    }

    pub(super) fn say(&mut self, kind: Kind<'_>) {
        let mut out = BytesMut::new();
        Control {
            timestamp: self.shown(),
            destination: OWN,
            kind,
        }
        .write(&mut out);
        self.carry(out.to_vec(), true);
    }

    pub(super) fn send(&mut self) {
        let mut payload = self.number.to_be_bytes().to_vec();
        payload.resize(self.size, 0xA5);
        let slot = match &self.keys {
            Some(keys) => keys.encrypt(self.seq, &mut payload),
            None => KeySlot::None,
        };
        let sent = Sent {
            seq: self.seq,
            timestamp: self.shown(),
            slot,
            payload,
        };
        self.made.insert(self.number, (self.now, None));
        let datagram = sent.datagram(false);
        self.carry(datagram, true);
        self.kept.push_back(sent);
        if self.kept.len() > self.keeps {
            self.kept.pop_front();
        }
        self.number += 1;
        self.seq = self.seq.next();
    }

    /// What the receiver says.
    pub(super) fn hear(&mut self, datagram: &[u8]) {
        let Packet::Control(control) = Packet::parse(datagram).unwrap() else {
            panic!("a receiver sends no data");
        };
        assert_eq!(control.destination, PEER);
        match control.kind {
            Kind::Nak(ranges) => {
                for range in ranges {
                    let kept = self.kept.front().map_or(self.seq, |sent| sent.seq);
                    if kept.distance(range.first) < 0 {
                        let last = match kept.distance(range.last) < 0 {
                            true => range.last,
                            false => kept.sub(1),
                        };
                        self.say(Kind::DropRequest {
                            message: MessageNumber::new(0),
                            first: range.first,
                            last,
                        });
                    }
                    let mut seq = range.first;
                    for _ in 0..range.count() {
                        let first = self.kept.front().map(|sent| sent.seq);
                        let at = first.map(|first| first.distance(seq));
                        let at = at.and_then(|at| usize::try_from(at).ok());
                        if let Some(again) = at.and_then(|at| self.kept.get(at)) {
                            let datagram = again.datagram(true);
                            self.carry(datagram, true);
                        }
                        seq = seq.next();
                    }
                }
            }
            Kind::Ack { number, body } => {
                assert!(self.seq.distance(body.next()) <= 0);
                let newly = self.acknowledged.distance(body.next());
                if newly > 0 {
                    self.acknowledged = body.next();
                }
                match body {
                    AckBody::Full(full) => {
                        self.full_acks += 1;
                        if newly >= 0 {
                            self.flow = u64::from(full.available_buffer);
                        }
                        self.say(Kind::AckAck { number });
                    }
                    AckBody::Light { .. } => {
                        self.light_acks += 1;
                        let newly = u64::try_from(newly).unwrap_or(0);
                        self.flow = self.flow.saturating_sub(newly);
                    }
                }
            }
            Kind::User { subtype, body } => {
                assert_eq!(subtype, user::KEY_RESPONSE);
                assert!(body.len() > 4, "the key was not understood");
                self.key_responses += 1;
            }
            Kind::KeepAlive | Kind::Shutdown => {}
            other => panic!("{other:?}"),
        }
    }
}
