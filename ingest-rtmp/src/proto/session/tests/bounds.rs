//! Peers that are slow, greedy or hostile.

use super::*;
use crate::proto::chunk::ChunkError;

#[test]
fn time_runs_out() {
    let limits = SessionLimits::default();
    let mut pair = Pair::connected(Object::new().with("app", "live"));
    // Bytes do not buy time before a publish.
    pair.now += limits.handshake_timeout - Duration::from_millis(1);
    pair.command(0, "createStream", 0.0, vec![]);
    assert_eq!(pair.session.handle_timeout(pair.now), Ok(()));
    pair.now = pair.session.poll_timeout();
    assert_eq!(
        pair.session.handle_timeout(pair.now),
        Err(SessionError::HandshakeTimeout(limits.handshake_timeout))
    );
    assert_eq!(
        pair.feed(&[0x42]),
        Err(SessionError::HandshakeTimeout(limits.handshake_timeout)),
        "neither do they when nobody looks at the timer"
    );

    let mut pair = Pair::live();
    for _ in 0..3 {
        pair.now += limits.idle_timeout - Duration::from_millis(1);
        pair.send(6, kind::VIDEO, 1, 0, &b"x"[..]);
        assert_eq!(pair.session.handle_timeout(pair.now), Ok(()));
    }
    pair.now = pair.session.poll_timeout();
    assert_eq!(
        pair.session.handle_timeout(pair.now),
        Err(SessionError::IdleTimeout(limits.idle_timeout))
    );
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_ended() {
    let play = Command {
        name: "play".to_owned(),
        transaction: 0.0,
        arguments: vec![Value::Null, "cam".into()],
    };
    // One that is answered in silence, and one whose answer is an event too.
    for (kind, body) in [
        Control::PingRequest(1).write(),
        (kind::COMMAND_AMF0, play.write()),
    ] {
        let mut pair = Pair::connected(Object::new().with("app", "live"));
        let mut wire = BytesMut::new();
        for _ in 0..10_000 {
            let message = Message {
                chunk_stream: 3,
                kind,
                stream: 0,
                timestamp: 0,
                body: body.clone(),
            };
            pair.client.write(&message, &mut wire);
        }
        let error = pair.feed(&wire).unwrap_err();
        assert!(matches!(error, SessionError::NotReading(_)), "{error}");
        assert!(pair.session.held_bytes() < 2 * SessionLimits::default().max_write_buffer);
    }
}

#[test]
fn a_publisher_that_never_reads_may_publish_for_ever() {
    let mut pair = Pair::live();
    let (kind, body) = Control::WindowAckSize(0).write();
    pair.send(2, kind, 0, 0, body);
    let message = Message {
        chunk_stream: 6,
        kind: kind::VIDEO,
        stream: 1,
        timestamp: 0,
        body: vec![0x27; 60_000].into(),
    };
    let mut wire = BytesMut::new();
    pair.client.write(&message, &mut wire);
    for _ in 0..1_000 {
        pair.feed(&wire).unwrap();
    }
    assert!(pair.session.held_bytes() < 100);
}

#[test]
fn a_stranger_cannot_send_large_messages() {
    let mut pair = Pair::connected(Object::new().with("app", "live"));
    let body = Bytes::from(vec![0; 100_000]);
    let message = Message {
        chunk_stream: 6,
        kind: kind::VIDEO,
        stream: 1,
        timestamp: 0,
        body,
    };
    let error = pair.try_send(&message).unwrap_err();
    assert!(
        matches!(
            error,
            SessionError::Chunk(ChunkError::MessageTooLong { .. })
        ),
        "{error}"
    );
}

#[test]
fn a_command_nested_without_end_ends_the_session() {
    let mut pair = Pair::opened();
    let mut body = string("connect");
    body.extend([3, 0, 1, b'a'].repeat(10_000));
    let message = Message {
        chunk_stream: 3,
        kind: kind::COMMAND_AMF0,
        stream: 0,
        timestamp: 0,
        body: body.into(),
    };
    let error = pair.try_send(&message).unwrap_err();
    assert!(
        matches!(error, SessionError::Command(amf0::Error::TooDeep(16))),
        "{error}"
    );
}
