//! Protocol control: pings, acknowledgements, chunk sizes, aborts, aggregates,
//! and the stream that a message names.

use super::*;

#[test]
fn pings_are_answered_with_their_own_data() {
    let mut pair = Pair::opened();
    let (kind, body) = Control::PingRequest(0xABCD).write();
    pair.send(2, kind, 0, 0, body);
    let (kind, body) = Control::PingResponse(1).write();
    pair.send(2, kind, 0, 0, body);
    assert_eq!(pair.said, [Said::Control(Control::PingResponse(0xABCD))]);
}

#[test]
fn what_arrived_is_acknowledged_within_the_peers_window() {
    let mut pair = Pair::live();
    let (kind, body) = Control::WindowAckSize(20_000).write();
    pair.send(2, kind, 0, 0, body);
    let before = pair.session.received;
    for timestamp in 0..10 {
        pair.send(6, kind::VIDEO, 1, timestamp, vec![0x27; 5_000]);
    }
    let acknowledged: Vec<u64> = pair
        .said
        .iter()
        .map(|said| match said {
            Said::Control(Control::Acknowledgement(bytes)) => u64::from(*bytes),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(acknowledged.len() >= 4, "{acknowledged:?}");
    assert!(acknowledged.is_sorted());
    assert!(
        acknowledged
            .iter()
            .all(|bytes| *bytes > before && *bytes <= pair.session.received)
    );
    // A window of nothing does not mean an answer to every byte.
    let mut pair = Pair::live();
    let (kind, body) = Control::WindowAckSize(0).write();
    pair.send(2, kind, 0, 0, body);
    for _ in 0..20 {
        pair.send(6, kind::VIDEO, 1, 0, &b"x"[..]);
    }
    assert_eq!(pair.said, []);
}

#[test]
fn chunk_size_and_abort_apply_to_the_peers_next_chunk() {
    let mut pair = Pair::live();
    let (kind, body) = Control::SetChunkSize(60_000).write();
    pair.send(2, kind, 0, 0, body);
    pair.client.set_chunk_size(60_000);
    pair.send(6, kind::VIDEO, 1, 0, vec![1; 100_000]);
    assert_eq!(pair.events.len(), 1);

    // The first chunk of a message, an abort, the same message whole.
    let mut wire = BytesMut::new();
    let body = Bytes::from(vec![2; 100_000]);
    let message = Message {
        chunk_stream: 6,
        kind: kind::VIDEO,
        stream: 1,
        timestamp: 9,
        body,
    };
    pair.client.write(&message, &mut wire);
    pair.feed(&wire[..12 + 60_000]).unwrap();
    let (kind, body) = Control::Abort(6).write();
    pair.send(2, kind, 0, 0, body);
    pair.feed(&wire).unwrap();
    assert_eq!(pair.events.len(), 2);
}

#[test]
fn aggregates_are_taken_apart() {
    let mut pair = Pair::live();
    let mut body = Vec::new();
    for (kind, time) in [(9, 5), (8, 6), (22, 7), (8, 9)] {
        body.extend_from_slice(&[kind, 0, 0, 1, 0, 0, time, 0, 0, 0, 0, b'x', 0, 0, 0, 12]);
    }
    pair.send(6, kind::AGGREGATE, 1, 1_000, body);
    let times: Vec<_> = pair
        .events
        .iter()
        .map(|event| match event {
            Event::Media(media) => (media.kind, media.timestamp),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        times,
        [
            (MediaKind::Video, 1_000),
            (MediaKind::Audio, 1_001),
            (MediaKind::Audio, 1_004)
        ]
    );
}

#[test]
fn media_belong_to_the_publish_unless_they_name_another_stream() {
    for (publish, media, taken) in [(1, 1, true), (1, 0, true), (0, 1, true), (1, 2, false)] {
        let mut pair = Pair::connected(Object::new().with("app", "live"));
        let arguments = vec![Value::Null, "cam".into()];
        pair.command(publish, "publish", 0.0, arguments);
        pair.session.accept(pair.now);
        pair.events.clear();
        pair.send(6, kind::VIDEO, media, 0, &b"x"[..]);
        assert_eq!(!pair.events.is_empty(), taken, "{media} for {publish}");
        assert_eq!(pair.session.ignored().messages, u64::from(!taken));
    }
    // librtmp without metadata: its first chunk leaves the stream out (type 1).
    let mut pair = Pair::live();
    pair.feed(&[0x44, 0, 0, 9, 0, 0, 1, kind::VIDEO, b'x'])
        .unwrap();
    assert!(matches!(&pair.events[..], [Event::Media(media)] if media.timestamp == 9));
}

#[test]
fn a_flood_of_what_is_of_no_use_ends_the_connection() {
    // A message of an unknown kind without a body, and then as many as there
    // are bytes: each repeats it.
    const FIRST: [u8; 12] = [0x05, 0, 0, 0, 0, 0, 0, 0x63, 0, 0, 0, 0];
    let most = usize::try_from(SessionLimits::default().max_useless_messages).unwrap();
    let mut pair = Pair::live();
    pair.feed(&FIRST).unwrap();
    pair.feed(&vec![0xC5; most - 1]).unwrap();
    // As many again a minute later, as an odd encoder may send them.
    pair.now += Duration::from_secs(59);
    pair.now += Duration::from_secs(1);
    pair.feed(&vec![0xC5; most]).unwrap();
    let error = pair.feed(&vec![0xC5; 2 * most]).unwrap_err();
    assert!(matches!(error, SessionError::Useless(_)), "{error}");
    assert_eq!(error.setting(), Some("rtmp.max_useless_messages"));
}
