//! What is written is read, and what is malformed is said to be.

use super::*;

fn control(kind: Kind<'_>) -> Packet<'_> {
    Packet::Control(Control {
        timestamp: Timestamp::new(0x0102_0304),
        destination: SocketId(0xA0B0_C0D0),
        kind,
    })
}

/// The datagram of a packet, which must be read as the same packet.
fn round_trip(packet: &Packet<'_>) -> BytesMut {
    let mut datagram = BytesMut::new();
    packet.write(&mut datagram);
    assert_eq!(Packet::parse(&datagram).as_ref(), Ok(packet));
    datagram
}

#[test]
fn every_kind_of_packet_comes_back() {
    let seq = SeqNumber::new;
    let full = FullAck {
        next: seq(7),
        rtt: 100_000,
        rtt_variance: 50_000,
        available_buffer: 8_192,
        rates: None,
    };
    let rates = Rates {
        packets_per_second: 900,
        capacity: 12_000,
        bytes_per_second: None,
    };
    let complete = Rates {
        bytes_per_second: Some(1_200_000),
        ..rates
    };
    for kind in [
        Kind::Handshake(&[1, 2, 3]),
        Kind::KeepAlive,
        Kind::Ack {
            number: 0,
            body: AckBody::Light { next: seq(5) },
        },
        Kind::Ack {
            number: 9,
            body: AckBody::Full(full),
        },
        Kind::Ack {
            number: 9,
            body: AckBody::Full(FullAck {
                rates: Some(rates),
                ..full
            }),
        },
        Kind::Ack {
            number: u32::MAX,
            body: AckBody::Full(FullAck {
                rates: Some(complete),
                ..full
            }),
        },
        Kind::CongestionWarning,
        Kind::Shutdown,
        Kind::AckAck { number: 77 },
        Kind::DropRequest {
            message: MessageNumber::MAX,
            first: SeqNumber::MAX,
            last: seq(3),
        },
        Kind::PeerError(4_000),
        Kind::User {
            subtype: user::KEY_REQUEST,
            body: &[9; 72],
        },
        Kind::Unknown {
            kind: 0x1234,
            subtype: 5,
        },
    ] {
        round_trip(&control(kind));
    }
    for key in [KeySlot::None, KeySlot::Even, KeySlot::Odd] {
        for bits in 0..16 {
            let datagram = round_trip(&Packet::Data(Data {
                seq: SeqNumber::MAX,
                first: bits & 1 != 0,
                last: bits & 2 != 0,
                in_order: bits & 4 != 0,
                key,
                retransmitted: bits & 8 != 0,
                message: MessageNumber::new(0x155_5555),
                timestamp: Timestamp::new(u32::MAX),
                destination: SocketId(1),
                payload: b"\x47payload",
            }));
            assert_eq!(Packet::destination(&datagram), Some(SocketId(1)));
        }
    }
}

#[test]
fn the_bits_lie_where_the_draft_has_them() {
    let datagram = [
        0x12,
        0x34,
        0x56,
        0x78, // 0 | sequence number
        0b1100_1101,
        0,
        0,
        9, // PP = 11, O = 0, KK = 01, R = 1, message number
        0,
        0,
        1,
        0,
        0,
        0,
        0,
        5,
        0x47,
    ];
    let want = Data {
        seq: SeqNumber::new(0x1234_5678),
        first: true,
        last: true,
        in_order: false,
        key: KeySlot::Even,
        retransmitted: true,
        message: MessageNumber::new(0x100_0009),
        timestamp: Timestamp::new(256),
        destination: SocketId(5),
        payload: &[0x47],
    };
    assert_eq!(Packet::parse(&datagram), Ok(Packet::Data(want)));
}

#[test]
fn a_list_of_lost_packets_is_cut_at_the_limit() {
    let range = |first, last| LossRange::new(SeqNumber::new(first), SeqNumber::new(last)).unwrap();
    let ranges = [
        range(5, 5),
        range(7, 900),
        range(0x7FFF_FFFE, 1),
        range(40, 40),
    ];
    let (timestamp, to) = (Timestamp::new(3), SocketId(8));
    for (limit, fit) in [
        (16, 0),
        (19, 0),
        (20, 1),
        (27, 1),
        (28, 2),
        (36, 3),
        (40, 4),
    ] {
        let mut out = BytesMut::new();
        let written = write_nak(timestamp, to, ranges, limit, &mut out);
        assert_eq!(written, fit, "limit {limit}");
        assert!(out.len() <= limit);
        if fit == 0 {
            assert!(out.is_empty());
            continue;
        }
        let Ok(Packet::Control(Control {
            kind: Kind::Nak(read),
            ..
        })) = Packet::parse(&out)
        else {
            panic!("{out:?}");
        };
        assert_eq!(read.clone().collect::<Vec<_>>(), ranges[..fit]);
        round_trip(&Packet::Control(Control {
            timestamp,
            destination: to,
            kind: Kind::Nak(read),
        }));
    }
    assert_eq!(range(0x7FFF_FFFE, 1).count(), 4);
    assert_eq!(range(3, 3).count(), 1);
}

#[test]
fn what_is_malformed_is_refused() {
    let header = |first: u32, info: u32| {
        let mut out = BytesMut::new();
        out.put_u32(first);
        out.put_u32(info);
        out.put_u64(0);
        out
    };
    let check = |datagram: &[u8], want: PacketError| {
        assert_eq!(Packet::parse(datagram), Err(want));
    };
    check(&[], PacketError::TooShort(0));
    check(&[0x80; 15], PacketError::TooShort(15));
    check(&[0; MAX_DATAGRAM + 1], PacketError::TooLong(1_473));
    check(&header(5, 0), PacketError::Empty);
    let mut both = header(5, 3 << 27);
    both.put_u8(1);
    check(&both, PacketError::TwoKeys);
    for (kind, words, name) in [
        (ACK, &[][..], "ACK"),
        // Ends within a range; a range in a range; a range that goes back.
        (NAK, &[RANGE | 5], "NAK"),
        (NAK, &[RANGE | 5, RANGE | 6, 7], "NAK"),
        (NAK, &[RANGE | 6, 5], "NAK"),
        (DROP, &[5], "drop request"),
        (DROP, &[6, 5], "drop request"),
    ] {
        let mut datagram = header(CONTROL | kind << 16, 1);
        for word in words {
            datagram.put_u32(*word);
        }
        check(&datagram, PacketError::Body(name));
    }
    let mut odd = header(CONTROL | NAK << 16, 0);
    odd.put_slice(&[0, 0, 0, 1, 0]);
    check(&odd, PacketError::Body("NAK"));
}

#[test]
fn numbers_wrap_and_have_distances() {
    let seq = SeqNumber::new;
    assert_eq!(SeqNumber::MAX.next(), seq(0));
    assert_eq!(seq(0).sub(1), SeqNumber::MAX);
    assert_eq!(seq(5).add(u32::MAX), seq(4));
    for (from, to, distance) in [
        (seq(1), seq(4), 3),
        (seq(4), seq(1), -3),
        (SeqNumber::MAX, seq(1), 2),
        (seq(1), SeqNumber::MAX, -2),
        (seq(0), seq(0x3FFF_FFFF), 0x3FFF_FFFF),
        (seq(0), seq(0x4000_0000), -0x4000_0000),
    ] {
        assert_eq!(from.distance(to), distance, "{from} {to}");
    }
    assert_eq!(MessageNumber::MAX.next().value(), 1);
    assert_eq!(MessageNumber::new(1).next().value(), 2);

    let start = std::time::Instant::now();
    let day = std::time::Duration::from_hours(24);
    let at = Timestamp::since(start, start + day);
    assert_eq!(u128::from(at.value()), day.as_micros() % (1 << 32));
    assert_eq!(Timestamp::default().after(day), at);
    assert_eq!(Timestamp::new(u32::MAX).distance(Timestamp::new(4)), 5);
    assert_eq!(Timestamp::new(4).distance(Timestamp::new(u32::MAX)), -5);
    assert_eq!(Timestamp::since(start + day, start), Timestamp::default());
}

const ACK: u32 = 2;
const NAK: u32 = 3;
const DROP: u32 = 7;
const RANGE: u32 = 1 << 31;
