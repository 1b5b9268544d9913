//! Configuration records of real encoders, and parameter sets in the stream.

use proptest::prelude::*;
use rillcast_core::FrameRate;

use super::captures::{self, bytes, pps, sps};
use super::*;

fn access_unit(units: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for unit in units {
        out.extend_from_slice(&u32::try_from(unit.len()).unwrap().to_be_bytes());
        out.extend_from_slice(unit);
    }
    out
}

#[test]
fn records_of_x264_are_canonical_already() {
    for hex in captures::ALL {
        let config = Config::parse(&bytes(hex)).unwrap();
        assert_eq!(config.length_size(), 4);
        assert_eq!(config.to_bytes(), bytes(hex), "{hex}");
        assert_eq!(config.sequence_parameter_sets(), [sps(hex)]);
        assert_eq!(config.picture_parameter_sets(), [pps(hex)]);
    }
}

#[test]
fn a_track_says_what_the_parameter_set_says() {
    for (hex, codec_string, size, rate) in [
        (
            captures::HIGH_1080,
            "avc1.640028",
            (1_920, 1_080),
            FrameRate::new(30_000, 1_001),
        ),
        (
            captures::BASELINE,
            "avc1.42c01e",
            (640, 360),
            FrameRate::new(25, 1),
        ),
        (
            captures::INTERLACED,
            "avc1.4d401e",
            // 720 samples a line, each of 64:45.
            (1_024, 576),
            FrameRate::new(25, 1),
        ),
        (
            captures::HIGH_444,
            "avc1.f4000d",
            (322, 242),
            FrameRate::new(25, 1),
        ),
    ] {
        let track = Config::parse(&bytes(hex)).unwrap().track(TrackId(3));
        let video = track.video().unwrap();
        assert_eq!(track.id, TrackId(3));
        assert_eq!(track.codec, AVC);
        assert_eq!(track.codec_string, codec_string);
        assert_eq!(track.timescale, Timescale::VIDEO);
        assert_eq!((video.width, video.height), size);
        assert_eq!(video.frame_rate, rate);
        assert_eq!(track.config, bytes(hex));
    }
}

#[test]
fn a_record_is_brought_into_canonical_form() {
    let canonical = bytes(captures::HIGH_1080);
    let len = canonical.len();
    let with = |at: usize, value: u8| {
        let mut record = canonical.clone();
        record[at] = value;
        record
    };
    for (what, record, length_size) in [
        ("one-byte lengths", with(4, 0xfc), 1),
        ("two-byte lengths", with(4, 0xfd), 2),
        ("reserved bits not set", with(4, 3), 4),
        ("a profile that is not the parameter set's", with(1, 66), 4),
        ("no extension", canonical[..len - 4].to_vec(), 4),
        ("half an extension", canonical[..len - 2].to_vec(), 4),
        ("wrong bit depths", with(len - 3, 0xfa), 4),
        ("bytes behind it", [&canonical[..], &[0; 9]].concat(), 4),
    ] {
        let config = Config::parse(&record).unwrap();
        assert_eq!(config.to_bytes(), canonical, "{what}");
        assert_eq!(config.length_size(), length_size, "{what}");
    }
}

#[test]
fn trailing_zeros_of_a_parameter_set_are_no_part_of_it() {
    let (sps, pps) = (sps(captures::BASELINE), pps(captures::BASELINE));
    let mut record = bytes(captures::BASELINE)[..6].to_vec();
    for (count, unit) in [(None, &sps), (Some(1), &pps)] {
        record.extend(count);
        record.extend_from_slice(&u16::try_from(unit.len() + 2).unwrap().to_be_bytes());
        record.extend_from_slice(unit);
        record.extend_from_slice(&[0, 0]);
    }
    let config = Config::parse(&record).unwrap();
    assert_eq!(config.to_bytes(), bytes(captures::BASELINE));
}

#[test]
fn malformed_records_are_typed() {
    let good = bytes(captures::BASELINE);
    let with = |at: usize, value: u8| {
        let mut record = good.clone();
        record[at] = value;
        record
    };
    for (record, want) in [
        (vec![], Error::Truncated),
        (good[..5].to_vec(), Error::Truncated),
        (good[..20].to_vec(), Error::Truncated),
        (with(0, 0), Error::Version(0)),
        (with(4, 0xfe), Error::LengthSize(3)),
        (with(5, 0xe0), Error::NoSps),
        (vec![1, 66, 0, 30, 255, 0xe0, 0], Error::NoSps),
        (with(8, 0x68), Error::ParameterSet("is of another type")),
        (with(5, 0xff), Error::Truncated),
    ] {
        assert_eq!(Config::parse(&record).unwrap_err(), want, "{record:02x?}");
    }
}

#[test]
fn equal_parameter_sets_in_the_stream_change_nothing() {
    let mut config = Config::parse(&bytes(captures::HIGH_1080)).unwrap();
    let before = config.clone();
    let (sps, pps) = (sps(captures::HIGH_1080), pps(captures::HIGH_1080));
    let padded = [&sps[..], &[0]].concat();
    for units in [
        &[&sps[..], &pps, &[0x65, 1]][..],
        &[&pps[..], &[0x65, 1]],
        &[&padded[..], &[0x65, 1]],
        &[&[0x41, 1][..]],
    ] {
        assert_eq!(config.absorb(&access_unit(units)), Ok(false));
        assert_eq!(config, before);
    }
}

#[test]
fn other_parameter_sets_in_the_stream_take_the_place_of_those_with_their_id() {
    let mut config = Config::parse(&bytes(captures::HIGH_1080)).unwrap();
    let (sps, pps) = (sps(captures::BASELINE), pps(captures::BASELINE));
    let unit = access_unit(&[&sps, &pps, &[0x65, 1]]);
    assert_eq!(config.absorb(&unit), Ok(true));
    assert_eq!(config.to_bytes(), bytes(captures::BASELINE));
    assert_eq!(config.track(TrackId(0)).video().unwrap().width, 640);
    assert_eq!(config.absorb(&unit), Ok(false));

    // Another picture parameter set beside the first: id 1 is 0b010.
    let second = [0x68, 0b0101_1000, 0x80];
    assert_eq!(config.absorb(&access_unit(&[&second])), Ok(true));
    assert_eq!(config.picture_parameter_sets(), [&pps[..], &second[..]]);
    assert_eq!(config.absorb(&access_unit(&[&second])), Ok(false));
}

#[test]
fn a_broken_parameter_set_in_the_stream_changes_nothing() {
    let mut config = Config::parse(&bytes(captures::HIGH_1080)).unwrap();
    let before = config.clone();
    let (good, cut) = (pps(captures::BASELINE), &sps(captures::BASELINE)[..6]);
    for units in [
        access_unit(&[&good, cut, &[0x65]]),
        access_unit(&[&good, &[0x68]]),
        [&access_unit(&[&good])[..], &[0, 0, 0, 9]].concat(),
    ] {
        assert!(config.absorb(&units).is_err(), "{units:02x?}");
        assert_eq!(config, before);
    }
}

#[test]
fn more_parameter_sets_than_a_record_can_hold_are_refused() {
    let mut config = Config::parse(&bytes(captures::BASELINE)).unwrap();
    let mut refused = 0;
    for id in 0..=255_u32 {
        // ue(v) of the id in 17 bits, behind the NAL unit's header.
        let code = (id + 1) << 7;
        let zeros = (id + 1).ilog2();
        let bits = u64::from(code >> 7) << (40 - 2 * zeros - 1) | 1;
        let [_, _, _, body @ ..] = bits.to_be_bytes();
        let unit = [&[0x68][..], &body].concat();
        match config.absorb(&access_unit(&[&unit])) {
            Ok(changed) => assert!(changed, "{id}"),
            Err(_) => refused += 1,
        }
    }
    assert_eq!(config.picture_parameter_sets().len(), 255);
    assert_eq!(refused, 1);
    let again = Config::parse(&config.to_bytes()).unwrap();
    assert_eq!(again, config);
}

#[test]
fn parameter_sets_that_take_too_much_room_are_refused() {
    let mut config = Config::parse(&bytes(captures::BASELINE)).unwrap();
    let before = config.clone();
    // Picture parameter sets of 16 KiB with the ids 1 and 2 (0b010, 0b011).
    let long = |id: u8| [&[0x68, id << 5][..], &[0xFF; 16 << 10]].concat();
    assert_eq!(config.absorb(&access_unit(&[&long(2)])), Ok(true));
    let full = config.clone();
    for units in [&[&long(3)[..]][..], &[&[0x68, 0x80, 0xFF].repeat(20_000)]] {
        assert_eq!(config.absorb(&access_unit(units)), Err(TOO_LARGE));
        assert_eq!(config, full);
    }
    let mut record = before.to_bytes().to_vec();
    let end = record.len();
    let pps = pps(captures::BASELINE);
    record.truncate(end - pps.len() - 3);
    record.push(2);
    for _ in 0..2 {
        record.extend_from_slice(&(16_u16 << 10).to_be_bytes());
        record.extend_from_slice(&[0x68; 16 << 10]);
    }
    assert_eq!(Config::parse(&record), Err(TOO_LARGE));
}

#[test]
fn an_access_unit_that_replaces_its_sets_again_and_again_is_refused() {
    let mut config = Config::parse(&bytes(captures::BASELINE)).unwrap();
    let before = config.clone();
    // Picture parameter sets of three bytes with the ids 1 and 2, each another one than
    // what was known: a few bytes of the publisher's, and work on all sets of ours.
    let sets: Vec<[u8; 3]> = (0..40_000_u32)
        .map(|n| {
            [
                0x68,
                0x40 | u8::try_from(n % 2).unwrap() << 5 | 0x10,
                1 + u8::try_from(n % 251).unwrap(),
            ]
        })
        .collect();
    let units: Vec<&[u8]> = sets.iter().map(|set| &set[..]).collect();
    assert_eq!(config.absorb(&access_unit(&units)), Err(TOO_LARGE));
    assert_eq!(config, before);
}

#[test]
fn an_extension_that_the_profile_does_not_know_changes_nothing() {
    let mut config = Config::parse(&bytes(captures::BASELINE)).unwrap();
    let extension = [0x6D, 0x80, 0x80];
    assert_eq!(config.absorb(&access_unit(&[&extension])), Ok(false));
    assert!(config.sequence_parameter_set_extensions().is_empty());
    let mut config = Config::parse(&bytes(captures::HIGH_1080)).unwrap();
    assert_eq!(config.absorb(&access_unit(&[&extension])), Ok(true));
    assert_eq!(Config::parse(&config.to_bytes()), Ok(config));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_mutated_record_parses_to_its_canonical_form_or_to_an_error(
        index in 0..captures::ALL.len(),
        changes in prop::collection::vec((0_usize..60, any::<u8>()), 1..5),
        keep in 0_usize..70,
    ) {
        let mut record = bytes(captures::ALL[index]);
        for (at, value) in changes {
            if let Some(byte) = record.get_mut(at) {
                *byte = value;
            }
        }
        record.truncate(keep);
        crate::fuzz::avc_config(&record);
    }

    #[test]
    fn any_access_unit_is_walked_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        crate::fuzz::avc_access_unit(&bytes);
    }

    #[test]
    fn a_nearly_good_access_unit_is_walked_without_a_panic(
        size in 0_u8..3,
        units in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6),
        cut in 0_usize..10,
    ) {
        let length_size = [1, 2, 4][usize::from(size)];
        let mut out = vec![size];
        for unit in &units {
            out.extend_from_slice(&unit.len().to_be_bytes()[8 - length_size..]);
            out.extend_from_slice(unit);
        }
        out.truncate(out.len().saturating_sub(cut).max(1));
        crate::fuzz::avc_access_unit(&out);
    }
}
