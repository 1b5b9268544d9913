//! What lines, peers and their answers do when all does not go well: outages, bursts,
//! acknowledgements that nobody answers, windows that are full, packets from the future.

use super::*;
use crate::proto::packet::{Data, KeySlot};

#[test]
fn a_burst_of_200_megabits_is_taken_whole() {
    for loss in [0.0, 0.01] {
        let mut world = World::new(20, Network::clean(10_000).with_loss(loss));
        world.latency(Duration::from_millis(200));
        world.size(1_316);
        world.keeps(8_000);
        world.every(52);
        world.run(3 * SECOND);
        world.every(5_000);
        world.run(SECOND);
        let report = world.finish();
        assert_eq!((report.lost, report.stats.overflowed), (0, 0), "{loss}");
        assert_eq!(report.stats.delivered, report.sent);
        assert!(report.sent > 55_000);
        // Between full acknowledgements there are light ones.
        assert!(report.light_acks > 200, "{}", report.light_acks);
        assert!(report.full_acks < 450, "{}", report.full_acks);
    }
}

#[test]
fn a_sender_that_keeps_to_the_window_that_it_is_told_loses_nothing_and_fills_it() {
    let packets = Limits {
        packets: 512,
        ..Limits::default()
    };
    let bytes = Limits {
        bytes: 400_000,
        ..Limits::default()
    };
    for (limits, loss) in [(packets, 0.0), (packets, 0.02), (bytes, 0.0), (bytes, 0.02)] {
        let mut world = World::new(21, Network::clean(10_000).with_loss(loss));
        world.latency(Duration::from_millis(300));
        world.limits(limits);
        world.size(1_316);
        // Three times what the window has room for within the latency.
        world.every(200);
        world.run(20 * SECOND);
        let report = world.finish();
        assert_eq!(report.lost, 0, "{limits:?}");
        // Two at a time may always come, so that no peer waits for ever.
        let overflowed = report.stats.overflowed;
        assert!(overflowed * 50 < report.sent, "{overflowed} {limits:?}");
        // It is well used: the window is what limits it.
        let room = u64::from(limits.packets).min(limits.bytes / 1_316);
        assert!(report.sent > room * 20 * 2, "{} {limits:?}", report.sent);
    }
}

#[test]
fn an_outage_longer_than_the_window_ends_with_the_outage() {
    let mut world = World::new(22, Network::clean(20_000));
    world.every(200);
    world.run(5 * SECOND);
    let before = world.stats();
    world.cut();
    world.run(4 * SECOND);
    world.mend();
    // Half a second to be back.
    world.run(SECOND / 2);
    let back = world.stats();
    world.run(5 * SECOND);
    let after = world.stats();
    assert!(back.delivered > before.delivered + 1_000, "{back:?}");
    assert_eq!(after.dropped, back.dropped);
    assert!(after.delivered - back.delivered > 24_900, "{after:?}");
    let report = world.finish();
    assert_eq!(report.ended, None);
    assert_eq!(report.in_time_and_lost, 0);
    assert!((17_000..20_500).contains(&report.lost), "{}", report.lost);
    assert_eq!(report.stats.dropped, report.lost);
}

#[test]
fn an_hour_without_data_leaves_the_latency_as_it_was_in_spite_of_drift() {
    for ppm in [100, -100] {
        let mut world = World::new(23, Network::clean(20_000).with_loss(0.01));
        world.latency(Duration::from_millis(200));
        world.drift(ppm);
        world.run(MINUTE);
        world.pause_data();
        world.run(HOUR);
        world.resume_data();
        world.run(MINUTE);
        let report = world.finish();
        assert_eq!((report.lost, report.early, report.late), (0, 0, 0), "{ppm}");
    }
}

#[test]
fn nobody_who_acknowledges_acknowledgements_is_no_harm() {
    let mut world = World::new(24, Network::clean(20_000).with_loss(0.01));
    world.latency(Duration::from_millis(500));
    world.spoil(|packet| {
        let Packet::Control(control) = packet else {
            return false;
        };
        matches!(control.kind, Kind::AckAck { .. })
    });
    world.run(MINUTE);
    let report = world.finish();
    assert_eq!((report.lost, report.early, report.late), (0, 0, 0));
    assert_eq!(report.stats.rtt, Duration::ZERO);
    assert!(report.full_acks <= 100 * 63, "{}", report.full_acks);
}

#[test]
fn one_answer_that_took_a_second_leaves_time_for_three_tries() {
    let (mut connection, now) = bare(Limits::default());
    connection.terms.latency = Duration::from_millis(500);
    for _ in 0..200 {
        connection.round_trip.add(Duration::from_millis(40));
    }
    connection.round_trip.add(Duration::from_secs(1));
    connection.handle(data(1_000, b"x"), now);
    connection.handle(data(1_002, b"y"), now);
    for ms in 1..500 {
        connection.handle_timeout(now + Duration::from_millis(ms));
    }
    assert_eq!(connection.stats(now).naks, 1 + 3);
}

#[test]
fn answers_that_come_twice_and_in_disorder_count_once() {
    let network = Network::clean(20_000).with_jitter(15_000);
    let mut world = World::new(25, network.with_duplicates(0.5));
    world.latency(Duration::from_millis(200));
    world.run(2 * MINUTE);
    let report = world.finish();
    assert_eq!((report.lost, report.early, report.late), (0, 0, 0));
    let rtt = report.stats.rtt.as_millis();
    assert!((39..75).contains(&rtt), "{rtt}");
}

#[test]
fn what_a_sender_has_forgotten_is_acknowledged_and_not_asked_for_any_more() {
    let mut world = World::new(26, Network::clean(40_000).with_loss(0.02));
    world.latency(Duration::from_millis(1_000));
    // 50 ms: gone before the first question arrives.
    world.keeps(10);
    world.run(2 * MINUTE);
    let report = world.finish();
    assert_eq!(
        (report.early, report.late, report.in_time_and_lost),
        (0, 0, 0)
    );
    assert!(report.lost > 300, "{}", report.lost);
    assert_eq!(report.stats.dropped, report.lost);
    // Once at once, and again for what was lost of questions and answers.
    let naks = report.stats.naks;
    assert!(naks < report.lost * 13 / 10, "{naks} for {}", report.lost);
}

#[test]
#[ignore = "takes minutes without optimisation"]
fn ten_hours_of_everything_at_once() {
    for (seed, ppm) in [(30, 100), (31, -100)] {
        let network = Network::clean(25_000)
            .with_jitter(30_000)
            .with_loss(0.03)
            .with_duplicates(0.01);
        let mut world = World::encrypted(seed, network);
        world.latency(Duration::from_millis(600));
        world.drift(ppm);
        world.every(10_000);
        for _ in 0..60 {
            world.run(10 * MINUTE);
            world.renew_keys();
        }
        let report = world.finish();
        assert_eq!((report.lost, report.early, report.late), (0, 0, 0), "{ppm}");
        assert_eq!(report.stats.undecrypted, 0);
        assert!(report.sent > 3_600_000);
        let asked = report.stats.retransmitted * 10;
        assert!(asked < report.stats.lost * 15, "{:?}", report.stats);
    }
}

#[test]
fn what_cannot_be_decrypted_is_told_of_with_the_next_payload() {
    let (mut connection, now) = bare(Limits::default());
    let ms = Duration::from_millis;
    let sealed = |seq: u32, micros: u32| {
        let mut out = BytesMut::new();
        Data {
            key: KeySlot::Odd,
            ..world::data_packet(SeqNumber::new(seq), Timestamp::new(micros), b"x")
        }
        .write(&mut out);
        out
    };
    connection.handle(sealed(1_000, 0), now);
    connection.handle(sealed(1_002, 10_000), now + ms(10));
    let mut open = BytesMut::new();
    world::data_packet(SeqNumber::new(1_003), Timestamp::new(20_000), b"y").write(&mut open);
    connection.handle(open, now + ms(20));
    // Those that are no use come due before the one that is.
    for at in [120, 125, 130, 135] {
        assert_eq!(connection.poll_payload(now + ms(at)), None);
    }
    let payload = connection.poll_payload(now + ms(140)).unwrap();
    assert_eq!((payload.lost_before, &payload.data[..]), (3, &b"y"[..]));
    let stats = connection.stats(now);
    assert_eq!((stats.undecrypted, stats.dropped), (2, 3));
}

#[test]
fn what_is_dated_into_the_future_is_not_held_longer_than_the_latency() {
    let future = Timestamp::new(30 * 60_000_000);
    for retransmitted in [false, true] {
        let (mut connection, now) = bare(Limits::default());
        connection.handle(data(1_000, b"x"), now);
        let mut out = BytesMut::new();
        Data {
            retransmitted,
            ..world::data_packet(SeqNumber::new(1_001), future, b"y")
        }
        .write(&mut out);
        connection.handle(out, now);
        connection.handle(control(Kind::Shutdown), now);
        let later = now + Duration::from_millis(120);
        let delivered = std::iter::from_fn(|| connection.poll_payload(later)).count();
        assert_eq!(delivered, 2);
        assert_eq!(connection.ended(), Some(Ended::Shutdown));
    }
}

#[test]
fn packets_far_ahead_are_followed_only_when_nothing_waits_and_cost_nothing() {
    let (mut connection, mut now) = bare(Limits::default());
    connection.handle(data(1_000, b"x"), now);
    connection.handle(data(0x2000_0000, b"y"), now);
    assert_eq!(connection.stats(now).overflowed, 1);
    now += Duration::from_millis(120);
    assert_eq!(connection.poll_payload(now).unwrap().data, &b"x"[..]);
    // As far as numbers reach, over and over.
    let mut seq = SeqNumber::new(1_001);
    for _ in 0..1_000 {
        seq = seq.add(0x3FFF_0000);
        connection.handle(data(seq.value(), b"z"), now);
        now += Duration::from_millis(120);
        connection.handle_timeout(now);
        let payload = connection.poll_payload(now).unwrap();
        assert!(payload.lost_before > 0x3FFE_0000);
        let mut out = BytesMut::new();
        while connection.poll_transmit(&mut out) {
            assert!(out.len() < 64);
        }
    }
    assert_eq!(connection.stats(now).buffered, 0);
}
