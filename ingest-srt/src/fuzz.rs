//! The bodies of the fuzz targets: each takes bytes of any kind and must not panic,
//! whatever they are. `fuzz/` runs them for hours; the normal tests run them on what is
//! committed there, on random bytes and on real captures that were tampered with.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what must hold and does not is a finding"
)]

mod connection;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::proto::handshake::{Answer, Call, Dial, DialConfig, Gate, GateConfig};
use crate::proto::keys::{KeyLength, KeyRequest, KeyState, Keys, MAX_KEY_LEN, Passphrase};
use crate::proto::packet::{Kind, MAX_DATAGRAM, Packet, SeqNumber, SocketId};
use crate::proto::stream_id::StreamRequest;
pub use connection::connection;

/// A packet: what was read is written and read as the same.
pub fn packet(data: &[u8]) {
    let Ok(packet) = Packet::parse(data) else {
        return;
    };
    let destination = match &packet {
        Packet::Data(data) => data.destination,
        Packet::Control(control) => control.destination,
    };
    assert_eq!(Packet::destination(data), Some(destination));
    if let Packet::Control(control) = &packet
        && let Kind::Nak(ranges) = &control.kind
    {
        let ranges: Vec<_> = ranges.clone().collect();
        assert!(ranges.len() <= MAX_DATAGRAM / 4);
        assert!(ranges.iter().all(|range| range.count() >= 1));
    }
    let mut written = BytesMut::new();
    packet.write(&mut written);
    assert!(written.len() <= data.len() + 4, "a word of padding");
    assert_eq!(Packet::parse(&written).as_ref(), Ok(&packet));
}

/// Handshakes, as a listener and as a caller gets them. The first byte says which, and
/// how far that was.
pub fn handshake(data: &[u8]) {
    let Some((&script, data)) = data.split_first() else {
        return;
    };
    if script & 1 == 0 {
        listener(data);
    } else {
        caller(script, data);
    }
}

/// Each datagram as it is, and then with the cookie that belongs into it.
fn listener(data: &[u8]) {
    let now = Instant::now();
    let gate = gate(now);
    let cookie = cookie(&gate, now);
    for datagram in datagrams(data) {
        let mut datagram = datagram.to_vec();
        answered(&gate, &datagram, now);
        if let Some(place) = datagram.get_mut(COOKIE) {
            place.copy_from_slice(&cookie);
            answered(&gate, &datagram, now);
        }
    }
}

fn answered(gate: &Gate, datagram: &[u8], now: Instant) {
    let answer = match gate.handle(datagram, peer(), now) {
        Answer::Ignore(_) => return,
        Answer::Reply(answer) => answer,
        Answer::Refuse(refused) => {
            printable(&refused.why.to_string());
            refused.datagram
        }
        Answer::Call(call) => {
            called(&call, now);
            let reason = call.stream_id.as_ref().err().map(|error| error.reason());
            call.reject(reason.unwrap_or(crate::proto::handshake::RejectReason::Forbidden))
        }
    };
    // No help for who sends with a forged address.
    assert!(answer.len() <= datagram.len());
    Packet::parse(&answer).expect("our own answer");
}

fn called(call: &Call, now: Instant) {
    if let Err(error) = &call.stream_id {
        printable(&error.to_string());
    }
    let (answer, terms) = call.accept(SocketId(9), None, Duration::from_millis(120), now);
    Packet::parse(&answer).expect("our own answer");
    assert!(terms.latency >= Duration::from_millis(120));
    assert!((232..=1_500).contains(&terms.mtu));
    assert_ne!(terms.flow_window, 0);
}

/// Each datagram to a caller that waits for its first or second answer.
fn caller(script: u8, data: &[u8]) {
    let now = Instant::now();
    let config = DialConfig {
        stream_id: "publish:live/cam".to_owned(),
        passphrase: (script & 2 != 0).then(passphrase),
        ..DialConfig::default()
    };
    let mut dial = Dial::new(config, OWN, peer(), &[1; Dial::SEED_LEN], now);
    let mut out = BytesMut::new();
    if script & 4 != 0 {
        assert!(dial.poll_transmit(now, &mut out));
        let Answer::Reply(reply) = gate(now).handle(&out, peer(), now) else {
            panic!("the gate does not know its own caller");
        };
        let waiting = dial.handle(&reply, now);
        assert!(matches!(waiting, Ok(None)));
    }
    for datagram in datagrams(data) {
        let mut datagram = datagram.to_vec();
        if let Some(place) = datagram.get_mut(DESTINATION) {
            place.copy_from_slice(&OWN.0.to_be_bytes());
        }
        match dial.handle(&datagram, now) {
            Ok(None) => {}
            Ok(Some(terms)) => {
                assert!((232..=1_500).contains(&terms.mtu));
                assert_ne!(terms.flow_window, 0);
                assert!(terms.latency >= Duration::from_millis(120));
                break;
            }
            Err(error) => {
                printable(&error.to_string());
                break;
            }
        }
        out.clear();
        if dial.poll_transmit(now, &mut out) {
            Packet::parse(&out).expect("our own question");
        }
    }
}

/// Key material, and a connection whose keys are replaced: whatever the peer sends in
/// between, what was announced decrypts what was encrypted.
pub fn keys(data: &[u8]) {
    if let Ok(request) = KeyRequest::parse(data) {
        assert_eq!(KeyRequest::parse(&request.response()), Ok(request));
    }
    let Some((&first, mut script)) = data.split_first() else {
        return;
    };
    let length = match first % 3 {
        0 => KeyLength::Aes128,
        1 => KeyLength::Aes192,
        _ => KeyLength::Aes256,
    };
    let mut now = Instant::now();
    let mut sender = Keys::new(&passphrase(), length, &[first; Keys::SEED_LEN]);
    let request = KeyRequest::parse(&sender.message()).expect("our own message");
    let mut receiver = request.unlock(&passphrase()).expect("our own secret");
    while let Some((&step, rest)) = script.split_first() {
        script = rest;
        match step % 6 {
            0 => {
                let message = sender.renew(&[step; MAX_KEY_LEN]);
                assert_eq!(receiver.refresh(&message, now), message);
            }
            1 => sender.switch(),
            2 => now += Duration::from_secs(step.into()),
            // What is damaged is not taken, as far as that can be told.
            3 => {
                let mut message = sender.message().to_vec();
                let at = usize::from(step) * message.len() / 256;
                if let (Some(byte), Some((change, rest))) =
                    (message.get_mut(at), script.split_first())
                {
                    script = rest;
                    *byte ^= change;
                    let damaged = *change != 0;
                    let answer = receiver.refresh(&message, now);
                    if damaged && KeyState::parse(&answer).is_none() {
                        // Nothing in the protocol guards what is reserved, nor the half
                        // of the salt that no key is derived from.
                        assert!([0, 3, 11, 12, 13].contains(&at) || (16..24).contains(&at));
                        now += Duration::from_secs(60);
                        let _ = receiver.refresh(&sender.message(), now);
                    }
                }
            }
            4 => {
                let length = rest.len().min(MAX_DATAGRAM);
                let (message, rest) = rest.split_at(length.min(usize::from(step)));
                script = rest;
                let _ = receiver.refresh(message, now);
            }
            _ => {}
        }
        let mut payload = [step; 40];
        let seq = SeqNumber::new(u32::from(step) << 23);
        let slot = sender.encrypt(seq, &mut payload);
        let read = receiver.decrypt(slot, seq, &mut payload);
        assert_eq!((read, payload), (Ok(()), [step; 40]));
    }
}

/// A stream id.
pub fn stream_id(data: &[u8]) {
    match StreamRequest::parse(data) {
        Ok(request) => {
            printable(&format!("{request:?}"));
            let short = format!("publish:{}", request.key);
            let again = StreamRequest::parse(short.as_bytes());
            let key = again.map(|again| again.key);
            assert!(short.len() > StreamRequest::MAX_LEN || key == Ok(request.key));
        }
        Err(error) => printable(&error.to_string()),
    }
}

/// What goes to the log is one line.
fn printable(text: &str) {
    assert!(
        !text.is_empty() && !text.chars().any(char::is_control),
        "{text:?}"
    );
}

fn gate(now: Instant) -> Gate {
    Gate::new(GateConfig::default(), &[7; Gate::SECRET_LEN], now)
}

/// What the gate wants to see of [`peer`].
fn cookie(gate: &Gate, now: Instant) -> [u8; 4] {
    let seed = [1; Dial::SEED_LEN];
    let mut dial = Dial::new(DialConfig::default(), OWN, peer(), &seed, now);
    let mut out = BytesMut::new();
    assert!(dial.poll_transmit(now, &mut out));
    let Answer::Reply(reply) = gate.handle(&out, peer(), now) else {
        panic!("the gate does not know its own caller");
    };
    let cookie = reply.get(COOKIE).expect("a whole handshake");
    *cookie.first_chunk().expect("four bytes")
}

fn peer() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 5).into()
}

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery").expect("long enough")
}

/// Cuts the bytes into datagrams, each with its length in front of it.
fn datagrams(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        rest.first_chunk::<2>()?;
        let (datagram, tail) = datagram_of(rest);
        rest = tail;
        Some(datagram)
    })
}

/// The first datagram, and what is behind it.
fn datagram_of(data: &[u8]) -> (&[u8], &[u8]) {
    let Some(([high, low], tail)) = data.split_first_chunk() else {
        return (&[], &[]);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
    tail.split_at(length)
}

const OWN: SocketId = SocketId(0x0BAD_CAFE);

/// Where they are in a handshake.
const DESTINATION: std::ops::Range<usize> = 12..16;
const COOKIE: std::ops::Range<usize> = 44..48;
