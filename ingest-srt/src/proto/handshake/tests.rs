//! A caller and a listener of our own agree.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::*;
use crate::proto::keys::Passphrase;
use crate::proto::packet::{KeySlot, SeqNumber, SocketId};
use crate::proto::terms::Terms;

fn addr(port: u16) -> std::net::SocketAddr {
    (std::net::Ipv4Addr::LOCALHOST, port).into()
}

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery").unwrap()
}

fn gate(now: Instant) -> Gate {
    Gate::new(GateConfig::default(), &[7; Gate::SECRET_LEN], now)
}

fn dial(config: DialConfig, now: Instant) -> Dial {
    let seed = std::array::from_fn(|at| u8::try_from(at * 5).unwrap());
    Dial::new(config, SocketId(5), addr(9), &seed, now)
}

fn transmit(dial: &mut Dial, now: Instant) -> BytesMut {
    let mut out = BytesMut::new();
    assert!(dial.poll_transmit(now, &mut out));
    assert!(!dial.poll_transmit(now, &mut BytesMut::new()));
    out
}

/// Lets the caller get as far as its call.
fn call(dial: &mut Dial, now: Instant) -> Box<Call> {
    let gate = gate(now);
    let Answer::Reply(reply) = gate.handle(&transmit(dial, now), addr(8), now) else {
        panic!("no cookie");
    };
    assert!(dial.handle(&reply, now).unwrap().is_none());
    match gate.handle(&transmit(dial, now), addr(8), now) {
        Answer::Call(call) => call,
        other => panic!("{other:?}"),
    }
}

fn agree(config: DialConfig, passphrase: Option<&Passphrase>) -> (Terms, Terms) {
    let now = Instant::now();
    let mut dial = dial(config, now);
    let call = call(&mut dial, now);
    let keys = call.unlock(passphrase).unwrap();
    let (answer, theirs) = call.accept(SocketId(6), keys, Duration::from_millis(200), now);
    let ours = dial.handle(&answer, now).unwrap().unwrap();
    for (one, other) in [(&ours, &theirs), (&theirs, &ours)] {
        assert_eq!(one.own, other.peer);
        assert_eq!(one.first_seq, other.first_seq);
        assert_eq!(one.latency, other.peer_latency);
    }
    (ours, theirs)
}

#[test]
fn a_caller_and_a_listener_agree() {
    for wanted in [0, 120, 201, 70_000] {
        let config = DialConfig {
            stream_id: "publish:live/cam".to_owned(),
            latency: Duration::from_millis(wanted),
            ..DialConfig::default()
        };
        let (ours, theirs) = agree(config, None);
        assert_eq!(ours.peer_addr, addr(9));
        assert_eq!(theirs.peer_addr, addr(8));
        assert!(ours.keys.is_none() && theirs.keys.is_none());
        // The listener delivers with its own; what the caller delivers with is the caller's.
        assert_eq!(theirs.latency, Duration::from_millis(200));
        let wanted = Duration::from_millis(wanted.min(65_535));
        assert_eq!(theirs.peer_latency, wanted);
    }
}

#[test]
fn both_directions_are_encrypted() {
    let config = DialConfig {
        passphrase: Some(passphrase()),
        ..DialConfig::default()
    };
    let (ours, theirs) = agree(config, Some(&passphrase()));
    let (ours, theirs) = (ours.keys.unwrap(), theirs.keys.unwrap());
    let seq = SeqNumber::new(3);
    for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
        let mut payload = *b"as it was";
        assert_eq!(from.encrypt(seq, &mut payload), KeySlot::Even);
        assert_ne!(&payload, b"as it was");
        to.decrypt(KeySlot::Even, seq, &mut payload).unwrap();
        assert_eq!(&payload, b"as it was");
    }
}
