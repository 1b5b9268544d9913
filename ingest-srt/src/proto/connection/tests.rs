//! A connection over a network that exists on a clock of its own: hours in seconds.

mod bad_times;
mod world;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use self::world::{Network, World};
use super::{Connection, Ended, Limits};
use crate::proto::keys::{KeyLength, KeyRequest, Keys, Passphrase};
use crate::proto::packet::{
    AckBody, Control, Data, Kind, MessageNumber, Packet, SeqNumber, SocketId, Timestamp,
};

const HOUR: u64 = 3_600_000_000;
const MINUTE: u64 = 60_000_000;
const SECOND: u64 = 1_000_000;

#[test]
fn a_clean_line_delivers_everything_at_its_time() {
    let mut world = World::new(1, Network::clean(20_000));
    world.run(10 * MINUTE);
    let report = world.finish();
    assert_eq!((report.lost, report.early, report.late), (0, 0, 0));
    assert_eq!(report.stats.lost, 0);
    assert_eq!(report.stats.delivered, report.sent);
    // The round trip was measured.
    let rtt = report.stats.rtt.as_millis();
    assert!((39..=42).contains(&rtt), "{rtt}");
}

#[test]
fn what_is_lost_is_asked_for_until_it_comes() {
    for (seed, loss) in [(2, 0.01), (3, 0.05), (4, 0.1)] {
        let mut world = World::new(seed, Network::clean(20_000).with_loss(loss));
        world.latency(Duration::from_millis(500));
        world.run(10 * MINUTE);
        let report = world.finish();
        assert_eq!(
            (report.lost, report.early, report.late),
            (0, 0, 0),
            "{loss}"
        );
        assert!(report.stats.lost > 100, "{:?}", report.stats);
        assert!(report.stats.retransmitted >= report.stats.lost);
        // Nobody is asked much more often than needed.
        let asked = report.stats.retransmitted * 10;
        assert!(asked < report.stats.lost * 15, "{:?}", report.stats);
    }
}

#[test]
fn hours_of_jitter_loss_disorder_and_duplicates_leave_latency_as_it_was_agreed_on() {
    for (seed, ppm) in [(5, 100), (6, -100)] {
        let network = Network::clean(30_000)
            .with_jitter(40_000)
            .with_loss(0.01)
            .with_duplicates(0.01);
        let mut world = World::new(seed, network);
        world.latency(Duration::from_millis(800));
        world.drift(ppm);
        world.every(30_000);
        world.run(3 * HOUR);
        let report = world.finish();
        assert_eq!((report.lost, report.early, report.late), (0, 0, 0), "{ppm}");
        assert!(report.stats.duplicates > 500, "{:?}", report.stats);
        assert!(report.sent > 350_000);
    }
}

#[test]
fn numbers_and_times_wrap_without_a_trace() {
    let network = Network::clean(10_000).with_jitter(5_000).with_loss(0.02);
    let mut world = World::starting(
        7,
        network,
        SeqNumber::MAX.sub(1_000),
        Timestamp::new(u32::MAX - 3_000_000),
    );
    world.latency(Duration::from_millis(300));
    world.run(MINUTE);
    let report = world.finish();
    assert_eq!((report.lost, report.early, report.late), (0, 0, 0));
    assert!(report.stats.lost > 100);
}

#[test]
fn what_cannot_come_in_time_is_given_up_and_nothing_waits_longer_for_it() {
    // Two thirds of the round trip is all the time there is.
    let mut world = World::new(8, Network::clean(60_000).with_loss(0.02));
    world.latency(Duration::from_millis(80));
    world.run(5 * MINUTE);
    let report = world.finish();
    assert_eq!((report.early, report.late), (0, 0));
    assert_eq!(report.in_time_and_lost, 0);
    assert!(report.lost > 500, "{}", report.lost);
    assert_eq!(report.stats.dropped, report.lost);
    assert_eq!(report.stats.dropped + report.stats.delivered, report.sent);
}

#[test]
fn keys_are_replaced_while_packets_are_on_their_way() {
    let network = Network::clean(20_000).with_jitter(10_000).with_loss(0.02);
    let mut world = World::encrypted(9, network);
    world.latency(Duration::from_millis(400));
    for _ in 0..6 {
        world.run(20 * SECOND);
        world.renew_keys();
    }
    world.run(SECOND);
    let report = world.finish();
    assert_eq!((report.lost, report.early, report.late), (0, 0, 0));
    assert_eq!(report.stats.undecrypted, 0);
    assert_eq!(report.key_responses, 6);
    assert_eq!(report.stats.key_changes, 6);
}

#[test]
fn the_tail_is_delivered_at_its_time_after_the_peer_has_closed() {
    let mut world = World::new(10, Network::clean(20_000));
    world.latency(Duration::from_millis(500));
    world.run(10 * SECOND);
    world.close_peer();
    let report = world.finish();
    assert_eq!((report.lost, report.early, report.late), (0, 0, 0));
    assert_eq!(report.stats.delivered, report.sent);
    assert_eq!(report.ended, Some(Ended::Shutdown));
}

#[test]
fn a_peer_that_is_silent_is_gone_and_one_that_says_little_is_not() {
    let mut world = World::new(11, Network::clean(20_000));
    world.run(SECOND);
    world.pause_data();
    // Keep-alives go on.
    world.run(MINUTE);
    assert_eq!(world.ended(), None);
    world.cut();
    world.run(6 * SECOND);
    assert_eq!(world.ended(), Some(Ended::Silent));
}

#[test]
fn a_line_that_becomes_longer_or_shorter_is_followed() {
    let mut world = World::new(12, Network::clean(80_000));
    world.latency(Duration::from_millis(200));
    world.run(MINUTE);
    // Shorter: at once. Longer: once the buckets have seen nothing else.
    world.set_delay(20_000);
    world.forgive(SECOND);
    world.run(MINUTE);
    world.set_delay(90_000);
    world.forgive(20 * SECOND);
    world.run(MINUTE);
    let report = world.finish();
    assert_eq!((report.lost, report.early, report.late), (0, 0, 0));
}

/// A connection that nobody feeds but the test.
fn bare(limits: Limits) -> (Connection, Instant) {
    let now = Instant::now();
    let terms = world::terms(SeqNumber::new(1_000), Timestamp::new(0), now, None);
    (Connection::new(terms, limits, now), now)
}

fn data(seq: u32, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    world::data_packet(SeqNumber::new(seq), Timestamp::new(0), payload).write(&mut out);
    out
}

fn control(kind: Kind<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    Control {
        timestamp: Timestamp::new(0),
        destination: SocketId(1),
        kind,
    }
    .write(&mut out);
    out
}

#[test]
fn what_lies_beyond_the_window_or_its_room_is_counted_and_dropped() {
    let limits = Limits {
        packets: 64,
        bytes: 10_000,
        ..Limits::default()
    };
    let (mut connection, now) = bare(limits);
    connection.handle(data(1_063, b"x"), now);
    connection.handle(data(1_064, b"x"), now);
    assert_eq!(connection.stats(now).overflowed, 1);
    let stats = connection.stats(now);
    assert_eq!((stats.lost, stats.buffered), (63, 1));
    for seq in 1_000..1_062 {
        connection.handle(data(seq, &[0; 1_000]), now);
    }
    let stats = connection.stats(now);
    assert!(stats.buffered_bytes <= 10_000, "{stats:?}");
    assert_eq!(stats.overflowed, 1 + 53);
    // What came is delivered, at its time, with what is missing between.
    let later = now + Duration::from_secs(1);
    let mut delivered = 0;
    let mut lost = 0;
    while let Some(payload) = connection.poll_payload(later) {
        delivered += 1;
        lost += payload.lost_before;
    }
    assert_eq!((delivered, lost), (10, 54));
}

#[test]
fn what_is_not_encrypted_counts_for_nothing_where_everything_is() {
    let now = Instant::now();
    let passphrase = Passphrase::new("correct horse").unwrap();
    let keys = Keys::new(&passphrase, KeyLength::Aes128, &[9; Keys::SEED_LEN]);
    let request = KeyRequest::parse(&keys.message()).unwrap();
    let theirs = request.unlock(&passphrase).unwrap();
    let first = SeqNumber::new(1_000);
    let terms = world::terms(first, Timestamp::new(0), now, Some(theirs));
    let mut connection = Connection::new(terms, Limits::default(), now);
    // Somebody on the way has no key, and puts in something of his own.
    connection.handle(data(1_000, b"forged"), now);
    let mut payload = *b"genuine";
    let key = keys.encrypt(first, &mut payload);
    let mut out = BytesMut::new();
    Data {
        key,
        ..world::data_packet(first, Timestamp::new(0), &payload)
    }
    .write(&mut out);
    connection.handle(out, now);
    let delivered = connection.poll_payload(now + Duration::from_secs(1));
    assert_eq!(
        delivered.map(|payload| payload.data).as_deref(),
        Some(&b"genuine"[..])
    );
    assert_eq!(connection.stats(now).undecrypted, 1);
}

#[test]
fn drop_requests_of_everything_cost_nothing_and_free_nothing_that_is_there() {
    let (mut connection, now) = bare(Limits::default());
    for seq in (1_000..1_200).step_by(2) {
        connection.handle(data(seq, b"x"), now);
    }
    for (first, last) in [(1_000, 0x3FFF_FFFF), (0, 1_198), (1_001, 1_001)] {
        let kind = Kind::DropRequest {
            message: MessageNumber::new(0),
            first: SeqNumber::new(first),
            last: SeqNumber::new(last),
        };
        for _ in 0..1_000 {
            connection.handle(control(kind.clone()), now);
        }
    }
    let later = now + Duration::from_secs(1);
    connection.handle_timeout(later);
    let mut out = BytesMut::new();
    // Nothing is asked for any more.
    let mut acknowledged = None;
    let mut naks = 0;
    while connection.poll_transmit(&mut out) {
        match Packet::parse(&out) {
            Ok(Packet::Control(Control {
                kind: Kind::Ack { body, .. },
                ..
            })) => acknowledged = Some(body),
            Ok(Packet::Control(Control {
                kind: Kind::Nak(_), ..
            })) => naks += 1,
            _ => {}
        }
    }
    assert_eq!(naks, 99, "one at once for each gap");
    let Some(AckBody::Full(full)) = acknowledged else {
        panic!("{acknowledged:?}");
    };
    assert_eq!(full.next, SeqNumber::new(1_199));
    let delivered = std::iter::from_fn(|| connection.poll_payload(later)).count();
    assert_eq!(delivered, 100);
}

#[test]
fn what_could_not_be_asked_for_at_once_is_asked_for_as_soon_as_it_can() {
    let (mut connection, now) = bare(Limits::default());
    // As much as comes while the driver has no time, with more gaps than it may leave
    // unsent.
    for seq in (0..1_200).step_by(2) {
        connection.handle(data(1_000 + seq, b"x"), now);
    }
    connection.handle_timeout(now);
    let mut asked = BTreeSet::new();
    let mut out = BytesMut::new();
    for wait in [0, 5, 10] {
        connection.handle_timeout(now + Duration::from_millis(wait));
        while connection.poll_transmit(&mut out) {
            if let Ok(Packet::Control(Control {
                kind: Kind::Nak(ranges),
                ..
            })) = Packet::parse(&out)
            {
                asked.extend(ranges.map(|range| range.first.value()));
            }
        }
    }
    assert_eq!(asked.len(), 599);
}

#[test]
fn a_flood_is_bounded_in_what_it_makes_us_hold_and_say() {
    let (mut connection, now) = bare(Limits::default());
    // Every second packet, again and again, with NAKs that nobody fetches.
    for round in 0..20 {
        for seq in (round..16_000).step_by(2) {
            connection.handle(data(1_000 + seq, &[0; 1_316]), now);
        }
    }
    let stats = connection.stats(now);
    assert!(stats.buffered_bytes <= Limits::default().bytes);
    assert!(stats.buffered <= 8_192);
    let mut out = BytesMut::new();
    let mut said = 0;
    while connection.poll_transmit(&mut out) {
        said += 1;
    }
    assert!(said <= 256, "{said}");
}
