//! A caller and a listener of our own agree, and what they refuse.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use super::*;
use crate::proto::keys::{KeyLength, Passphrase};
use crate::proto::packet::{KeySlot, Kind, Packet, SeqNumber, SocketId};
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

/// The second question of a caller, changed, as a gate answers it.
fn asked(config: DialConfig, change: impl FnOnce(&mut BytesMut)) -> Answer {
    let now = Instant::now();
    let mut dial = dial(config, now);
    let gate = gate(now);
    let Answer::Reply(reply) = gate.handle(&transmit(&mut dial, now), addr(8), now) else {
        panic!("no cookie");
    };
    dial.handle(&reply, now).unwrap();
    let mut conclusion = transmit(&mut dial, now);
    change(&mut conclusion);
    gate.handle(&conclusion, addr(8), now)
}

fn encrypted() -> DialConfig {
    DialConfig {
        passphrase: Some(passphrase()),
        key_length: Some(KeyLength::Aes256),
        ..DialConfig::default()
    }
}

/// Appends an extension.
fn extend(datagram: &mut BytesMut, kind: u16, content: &[u8]) {
    datagram.put_u16(kind);
    datagram.put_u16(u16::try_from(content.len() / 4).unwrap());
    datagram.put_slice(content);
}

/// Where things are in a conclusion of [`Dial`] without a stream id.
const VERSION: usize = 19;
const HELLO: usize = 64;
const KEYS: usize = HELLO + 16;

#[test]
fn a_caller_that_cannot_be_served_is_told_so() {
    type Change = fn(&mut BytesMut);
    let cases: [(Change, u32, &str); 14] = [
        (|d| d[VERSION] = 4, 2, "version 4"),
        (|d| d[VERSION] = 6, 2, "version 6"),
        (|d| d.truncate(HELLO), 4, "HSREQ"),
        (|d| d.truncate(HELLO + 2), 4, "cut off"),
        (|d| d.truncate(HELLO + 15), 4, "cut off"),
        (|d| d.truncate(KEYS), 4, "no key material"),
        (|d| d[HELLO + 1] = 99, 4, "HSREQ"),
        (|d| d[28..32].copy_from_slice(&[0, 0, 0, 99]), 4, "MTU"),
        (|d| d[32..36].fill(0), 4, "flow window"),
        (|d| d[HELLO + 11] |= 0x40, 12, "transtype=live"),
        (|d| extend(d, 6, b"elif"), 13, "`file`"),
        (|d| extend(d, 7, b"cef\n"), 14, "`?fec`"),
        (|d| extend(d, 8, &[0; 8]), 15, "bonding"),
        (|d| d[KEYS + 4 + 8] = 4, 17, "AES-GCM"),
    ];
    for (change, code, words) in cases {
        let mut length = 0;
        let answer = asked(encrypted(), |datagram| {
            change(datagram);
            length = datagram.len();
        });
        let Answer::Refuse(refused) = answer else {
            panic!("{words}: {answer:?}");
        };
        assert_eq!(refused.reason.code(), code, "{words}");
        assert!(refused.why.to_string().contains(words), "{}", refused.why);
        // Never more than was asked with.
        assert!(refused.datagram.len() <= length.max(64));
        let told = refused.datagram.get(36..40).unwrap();
        assert_eq!(told, (1_000 + code).to_be_bytes(), "{words}");
    }
}

#[test]
fn what_is_not_known_or_said_twice_is_passed_over() {
    let answer = asked(encrypted(), |datagram| {
        extend(datagram, 6, b"evil");
        extend(datagram, 6, &[]);
        datagram.truncate(datagram.len() - 12);
        extend(datagram, 0, &[1; 4]);
        extend(datagram, 999, &[]);
        extend(datagram, 6, b"evil");
        extend(datagram, 1, &[]);
        extend(datagram, 3, &[7; 8]);
    });
    assert!(matches!(answer, Answer::Call(_)), "{answer:?}");
}

#[test]
fn who_has_no_cookie_of_this_address_and_time_gets_no_answer() {
    let now = Instant::now();
    let mut dial = dial(DialConfig::default(), now);
    let gate = gate(now);
    let Answer::Reply(reply) = gate.handle(&transmit(&mut dial, now), addr(8), now) else {
        panic!("no cookie");
    };
    dial.handle(&reply, now).unwrap();
    let conclusion = transmit(&mut dial, now);
    let after = |seconds| now + Duration::from_secs(seconds);
    for (from, at, known) in [
        (addr(8), now, true),
        (addr(8), after(119), true),
        (addr(8), after(120), false),
        (addr(7), now, false),
        ((std::net::Ipv6Addr::LOCALHOST, 8).into(), now, false),
    ] {
        let answer = gate.handle(&conclusion, from, at);
        assert_eq!(
            matches!(answer, Answer::Call(_)),
            known,
            "{from} {answer:?}"
        );
    }
    let other = Gate::new(GateConfig::default(), &[8; Gate::SECRET_LEN], now);
    let answer = other.handle(&conclusion, addr(8), now);
    assert!(matches!(answer, Answer::Ignore(Ignored::BadCookie)));
}

#[test]
fn what_is_no_handshake_gets_no_answer() {
    let now = Instant::now();
    let question = transmit(&mut dial(DialConfig::default(), now), now);
    let gate = gate(now);
    for length in 0..question.len() {
        let answer = gate.handle(&question[..length], addr(8), now);
        assert!(matches!(answer, Answer::Ignore(Ignored::NotAHandshake)));
    }
    for (at, byte) in [(0, 0), (1, 2), (15, 1), (VERSION, 3), (39, 2), (36, 0xFF)] {
        let mut changed = question.clone();
        changed[at] = byte;
        let answer = gate.handle(&changed, addr(8), now);
        assert!(matches!(answer, Answer::Ignore(_)), "{at}: {answer:?}");
    }
}

#[test]
fn a_caller_asks_again_until_it_gives_up() {
    let start = Instant::now();
    let mut dial = dial(DialConfig::default(), start);
    let mut asked = 0;
    let given_up = loop {
        let mut out = BytesMut::new();
        let now = dial.poll_timeout();
        asked += u32::from(dial.poll_transmit(now, &mut out));
        if let Err(error) = dial.handle_timeout(now) {
            break (error, now - start);
        }
    };
    assert_eq!(given_up, (DialError::Timeout, Duration::from_secs(3)));
    assert_eq!(asked, 12);
}

/// What a caller makes of the answer to its second question, changed.
fn answered(
    config: DialConfig,
    passphrase: Option<&Passphrase>,
    change: impl FnOnce(&mut BytesMut),
) -> Result<Option<Terms>, DialError> {
    let now = Instant::now();
    let mut dial = dial(config, now);
    let call = call(&mut dial, now);
    let keys = call.unlock(passphrase).unwrap_or_default();
    let (answer, _) = call.accept(SocketId(6), keys, Duration::ZERO, now);
    let mut answer = BytesMut::from(answer.as_ref());
    change(&mut answer);
    dial.handle(&answer, now)
}

#[test]
fn a_caller_knows_why_it_has_no_connection() {
    let plain = DialConfig::default;
    let failed = |result: Result<Option<Terms>, DialError>| result.unwrap_err();
    let key_state =
        |state: &'static [u8]| move |datagram: &mut BytesMut| extend(datagram, 4, state);
    assert_eq!(
        failed(answered(encrypted(), None, |_| {})),
        DialError::Unencrypted
    );
    assert_eq!(
        failed(answered(encrypted(), None, key_state(&[3, 0, 0, 0]))),
        DialError::Unencrypted
    );
    assert_eq!(
        failed(answered(encrypted(), None, key_state(&[4, 0, 0, 0]))),
        DialError::BadSecret
    );
    assert_eq!(
        failed(answered(plain(), None, |d| d[VERSION] = 4)),
        DialError::Version(4)
    );
    for change in [
        (|d| d.truncate(HELLO)) as fn(&mut BytesMut),
        |d| d.truncate(HELLO + 6),
        |d| d[40..44].fill(0),
        |d| d[28..32].fill(0),
    ] {
        let error = failed(answered(plain(), None, change));
        assert!(matches!(error, DialError::Malformed(_)), "{error}");
    }
    // Not for this caller, or nothing that concerns one.
    for change in [
        (|d| d[15] ^= 1) as fn(&mut BytesMut),
        |d| d[39] = 0xFE,
        |d| d[1] = 1,
        |d| d.truncate(60),
    ] {
        assert!(answered(plain(), None, change).unwrap().is_none());
    }
}

#[test]
fn a_listener_hears_that_nobody_will_use_what_it_has_opened() {
    let now = Instant::now();
    let mut dial = dial(encrypted(), now);
    let call = call(&mut dial, now);
    let (answer, _) = call.accept(SocketId(6), None, Duration::ZERO, now);
    assert_eq!(
        dial.handle(&answer, now).unwrap_err(),
        DialError::Unencrypted
    );
    let goodbye = transmit(&mut dial, now);
    let Ok(Packet::Control(control)) = Packet::parse(&goodbye) else {
        panic!("{goodbye:02x?}");
    };
    assert_eq!(
        (control.kind, control.destination),
        (Kind::Shutdown, SocketId(6))
    );
}

#[test]
fn a_caller_prints_the_listeners_reason() {
    let now = Instant::now();
    for (reason, words) in [
        (
            RejectReason::Conflict,
            "somebody else publishes this stream (SRT reject code 1409)",
        ),
        (
            RejectReason::BadSecret,
            "the passphrase is wrong (SRT reject code 10)",
        ),
        (RejectReason::Other(2_345), "(SRT reject code 2345)"),
    ] {
        let mut dial = dial(DialConfig::default(), now);
        let refusal: Bytes = call(&mut dial, now).reject(reason);
        let error = dial.handle(&refusal, now).unwrap_err();
        assert_eq!(error, DialError::Refused(reason));
        assert!(error.to_string().contains(words), "{error}");
        // And has nothing more to say.
        assert!(dial.handle(&refusal, now).unwrap().is_none());
        assert!(!dial.poll_transmit(now, &mut BytesMut::new()));
    }
}

#[test]
fn every_reason_has_its_number() {
    for code in 0..3_000 {
        let reason = RejectReason::from_code(code);
        assert_eq!(reason.code(), code);
        assert!(reason.to_string().contains(&code.to_string()));
    }
}
