//! What a connection owes to the others of its thread.

use std::cell::Cell;
use std::net::Ipv4Addr;

use rillcast_core::{BusConfig, StreamHandle};

use super::*;
use crate::proto::handshake::{Answer, Dial, DialConfig, Gate, GateConfig};
use crate::proto::packet::{Data, KeySlot, MessageNumber, SocketId, Timestamp};

/// What two ends agree on.
fn terms(now: Instant) -> Terms {
    let gate = Gate::new(GateConfig::default(), &[7; Gate::SECRET_LEN], now);
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let config = DialConfig {
        stream_id: "live/cam".to_owned(),
        ..DialConfig::default()
    };
    let mut dial = Dial::new(config, SocketId(1), here, &[7; Dial::SEED_LEN], now);
    loop {
        let mut question = BytesMut::new();
        assert!(dial.poll_transmit(now, &mut question));
        match gate.handle(&question, here, now) {
            Answer::Reply(answer) => assert!(dial.handle(&answer, now).unwrap().is_none()),
            Answer::Call(call) => return call.accept(SocketId(2), None, Duration::ZERO, now).1,
            other => panic!("{other:?}"),
        }
    }
}

fn open() -> Open {
    let now = Instant::now();
    let key = "live/cam".parse().unwrap();
    let (publisher, handle) = StreamHandle::new(key, BusConfig::default());
    let udp = Udp::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1 << 16).unwrap();
    let terms = terms(now);
    Open {
        peer: terms.peer_addr,
        connection: Connection::new(terms, Limits::default(), now),
        to_bus: ToBus::new(publisher),
        inbox: Arc::new(Inbox::new()),
        udp: Arc::new(udp),
        admission: Admission::new("srt", 1, 1),
        begun: now,
        told: false,
        line: handle.slot(Link::default).begin(),
        shown: now,
        unhandled: 0,
    }
}

#[tokio::test]
async fn who_floods_leaves_the_others_of_its_thread_their_turns() {
    const FLOOD: u32 = 5_000;
    let mut open = open();
    let (start, first) = (Instant::now(), open.connection.terms().first_seq);
    for number in 0..FLOOD {
        let mut datagram = BytesMut::new();
        Data {
            seq: first.add(number),
            first: true,
            last: true,
            in_order: false,
            key: KeySlot::None,
            retransmitted: false,
            message: MessageNumber::new(1),
            timestamp: Timestamp::since(start, start),
            destination: SocketId(2),
            payload: &[0x47; 188],
        }
        .write(&mut datagram);
        open.inbox.put(datagram, start);
    }
    let turns = Cell::new(0);
    let others = async {
        loop {
            turns.set(turns.get() + 1);
            yield_now().await;
        }
    };
    let mut mail = Vec::new();
    tokio::select! {
        biased;
        worked = open.work(&mut mail) => assert!(worked.is_ok()),
        () = others => {}
    }
    assert_eq!(open.connection.stats(start).received, u64::from(FLOOD));
    assert!(turns.get() >= FLOOD / TURN, "{} turns", turns.get());
}
