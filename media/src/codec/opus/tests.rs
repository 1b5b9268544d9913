//! Packets and control headers by hand. Streams that FFmpeg wrote are in
//! `tests/audio.rs`.

use proptest::prelude::*;

use super::*;
use crate::codec::framer::Framer;
use crate::codec::framer::tests::cut;

#[test]
fn a_packet_is_as_long_as_its_first_bytes_say() {
    for (packet, want) in [
        (&[0x00][..], Some(480)),     // SILK, 10 ms
        (&[0x08], Some(960)),         // 20 ms
        (&[0x10], Some(1_920)),       // 40 ms
        (&[0x18], Some(2_880)),       // 60 ms
        (&[0x58], Some(2_880)),       // wide band
        (&[0x60], Some(480)),         // hybrid, 10 ms
        (&[0x78], Some(960)),         // hybrid, 20 ms
        (&[0x80], Some(120)),         // CELT, 2.5 ms
        (&[0xfc], Some(960)),         // full band, stereo, 20 ms
        (&[0xfd], Some(1_920)),       // two frames
        (&[0xfe], Some(1_920)),       // two frames of different sizes
        (&[0xff, 0x03], Some(2_880)), // three
        (&[0x83, 0x30], Some(5_760)), // 48 of 2.5 ms
        (&[0x83, 0x31], None),        // longer than 120 ms
        (&[0xff, 0x40], None),        // none
        (&[0xff], None),
        (&[], None),
    ] {
        assert_eq!(packet_duration(packet), want, "{packet:02x?}");
    }
}

#[test]
fn channels_by_the_descriptors_code() {
    for (code, channels, config) in [
        (None, 2, "0002000000 00bb80 0000 00"),
        (Some(1), 1, "0001000000 00bb80 0000 00"),
        (Some(2), 2, "0002000000 00bb80 0000 00"),
        (Some(0), 2, "0002000000 00bb80 0000 ff 01 01 0001"),
        (Some(6), 6, "0006000000 00bb80 0000 01 04 02 000401020305"),
        (
            Some(8),
            8,
            "0008000000 00bb80 0000 01 05 03 0006010203040507",
        ),
    ] {
        let track = Config::of_channel_code(code).unwrap().track(TrackId(1));
        assert_eq!(track.audio().unwrap().channels, channels);
        let hex: String = track.config.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, config.replace(' ', ""), "{code:?}");
    }
    // Each channel has a place in the streams, and none has two.
    for code in 1..=8 {
        let config = Config::of_channel_code(Some(code)).unwrap();
        let mut places = config.mapping.to_vec();
        places.sort_unstable();
        assert!(
            places
                .iter()
                .copied()
                .eq(0..config.streams + config.coupled)
        );
    }
    for code in [9, 0x80, 0x81, 0x88, 0xff] {
        assert_eq!(Config::of_channel_code(Some(code)), None);
    }
}

#[test]
fn control_headers_with_all_that_may_be_in_them() {
    let long = [0xfc].repeat(600);
    let packets: [(&[u8], &[u8]); 5] = [
        (&[0x7f, 0xe0, 3], &[0xfc, 1, 2]),
        (&[0x7f, 0xf0, 2, 0x01, 0x38], &[0xfc, 3]),
        (&[0x7f, 0xf8, 2, 0x01, 0x38, 0x00, 0x10], &[0xfc, 4]),
        (&[0x7f, 0xe4, 255, 255, 90, 2, 9, 9], &long),
        (&[0x7f, 0xe0, 1], &[0x80]),
    ];
    let stream = packets
        .map(|(header, packet)| [header, packet].concat())
        .concat();
    for piece in [1, 5, 1_000] {
        let mut framer = Framer::opus(Some(2)).unwrap();
        let mut units = cut(&mut framer, &stream, piece);
        units.extend(cut(&mut framer, &stream, piece));
        assert_eq!(units.len(), 10);
        for (unit, (_, packet)) in units.iter().zip(packets.iter().cycle()) {
            assert_eq!(unit.payload, packet);
        }
        let samples: Vec<_> = units.iter().take(5).map(|unit| unit.samples).collect();
        assert_eq!(samples, [960, 960, 960, 960, 120]);
        assert_eq!(framer.track(TrackId(0)).unwrap().codec_string, "opus");
    }
}

#[test]
fn a_packet_of_no_duration_is_dropped_and_sizes_are_bounded() {
    let broken = [0x7f, 0xe0, 1, 0xff];
    let good = [0x7f, 0xe0, 2, 0xfc, 9];
    let mut framer = Framer::opus(None).unwrap();
    let units = cut(&mut framer, &[&good[..], &broken, &good].concat(), 4);
    assert_eq!((units.len(), framer.dropped()), (2, 1));
    let endless = [&[0x7f, 0xe0][..], &[255; 70_000]].concat();
    let mut framer = Framer::opus(None).unwrap();
    assert!(cut(&mut framer, &endless, 1_000).is_empty());
    let units = cut(&mut framer, &good.repeat(2), 10);
    assert_eq!(units.len(), 2, "nothing waits for what is too long");
}

proptest! {
    #[test]
    fn any_packets_are_cut_without_a_panic(
        choice in any::<u8>(),
        packets in prop::collection::vec(
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..8),
    ) {
        let mut data = vec![choice];
        for (flags, packet) in packets {
            data.extend([0x7f, 0xe0 | flags, u8::try_from(packet.len()).unwrap()]);
            data.extend(packet);
        }
        crate::fuzz::opus(&data);
    }
}

#[test]
fn identification_headers_become_records() {
    let head = |tail: &str| [b"OpusHead", &crate::codec::avc::captures::bytes(tail)[..]].concat();
    for (tail, want) in [
        // FFmpeg: stereo, 312 samples to skip, which live streams do not have.
        ("01023801 80bb0000 0000 00", "0002000000 00bb80 0000 00"),
        ("01013801 44ac0000 00ff 00", "0001000000 00bb80 ff00 00"),
        (
            "01063801 80bb0000 0000 01 04 02 000401020305",
            "0006000000 00bb80 0000 01 04 02 000401020305",
        ),
        (
            "01033801 80bb0000 0000 ff 03 00 00ff02",
            "0003000000 00bb80 0000 ff 03 00 00ff02",
        ),
    ] {
        let config = Config::parse_head(&head(&tail.replace(' ', ""))).unwrap();
        let hex: String = config
            .to_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(hex, want.replace(' ', ""), "{tail}");
        assert_eq!(Config::parse(&config.to_bytes()), Ok(config));
    }
    for (tail, want) in [
        ("", Error::Truncated),
        ("110238018 0bb0000 0000 00", Error::Version(0x11)),
        ("010238018 0bb0000 0000", Error::Truncated),
        ("010038018 0bb0000 0000 00", Error::Channels),
        ("010338018 0bb0000 0000 00", Error::Channels),
        ("010938018 0bb0000 0000 01 0904", Error::Channels),
        ("010238018 0bb0000 0000 02", Error::Family(2)),
        ("010238018 0bb0000 0000 01 0101 00", Error::Truncated),
        ("010238018 0bb0000 0000 01 0101 0002", Error::Channels),
        ("010238018 0bb0000 0000 01 0000 0001", Error::Channels),
        ("010238018 0bb0000 0000 01 0102 0001", Error::Channels),
    ] {
        let head = head(&tail.replace(' ', ""));
        assert_eq!(Config::parse_head(&head), Err(want), "{tail}");
    }
    assert_eq!(Config::parse_head(b"OpusTags"), Err(Error::Magic));
    assert_eq!(Config::parse(&[1]), Err(Error::Version(1)));
    assert_eq!(Config::parse(&[]), Err(Error::Truncated));
}
