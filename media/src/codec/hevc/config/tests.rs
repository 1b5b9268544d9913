//! Configuration records of real encoders, and parameter sets in the stream.

use proptest::prelude::*;
use rillcast_core::FrameRate;

use super::*;
use crate::codec::avc::captures::bytes;

fn access_unit(units: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for unit in units {
        out.extend_from_slice(&u32::try_from(unit.len()).unwrap().to_be_bytes());
        out.extend_from_slice(unit);
    }
    out
}

/// The parameter sets of a capture and a slice of an IDR picture.
fn keyframe(hex: &str) -> Vec<u8> {
    let config = Config::parse(&bytes(hex)).unwrap();
    let Sets { vps, sps, pps, .. } = &config.sets;
    access_unit(&[
        &vps.units()[0],
        &sps.units()[0],
        &pps.units()[0],
        &[0x26, 1, 0xaf],
    ])
}

#[test]
fn records_of_x265_are_canonical_already() {
    for hex in captures::ALL {
        let config = Config::parse(&bytes(hex)).unwrap();
        assert_eq!(config.length_size(), 4);
        assert_eq!(config.to_bytes(), bytes(hex), "{hex}");
        assert_eq!(config.video_parameter_sets().len(), 1);
        assert_eq!(config.sequence_parameter_sets().len(), 1);
        assert_eq!(config.picture_parameter_sets().len(), 1);
    }
}

#[test]
fn a_track_says_what_the_parameter_sets_say() {
    let rate = |num, den| FrameRate::new(num, den);
    for (hex, codec_string, size, rate) in [
        (
            captures::MAIN_360,
            "hvc1.1.6.L63.90",
            (640, 360),
            rate(25, 1),
        ),
        (
            captures::MAIN10_HDR,
            "hvc1.2.4.L120.90",
            (1_920, 1_080),
            rate(30_000, 1_001),
        ),
        (
            captures::MEDIUM_422,
            "hvc1.4.10.L63.9D.8",
            (322, 242),
            rate(50, 1),
        ),
        // 720 samples a line, each of 64:45.
        (
            captures::HRD_444,
            "hvc1.4.10.L120.9E.8",
            (1_024, 576),
            rate(25, 1),
        ),
        (
            captures::GRAY,
            "hvc1.4.10.L30.9F.C8",
            (96, 64),
            rate(24_000, 1_001),
        ),
        (
            captures::FIELDS_12,
            "hvc1.4.10.L63.49.88",
            (426, 240),
            rate(60, 1),
        ),
    ] {
        let track = Config::parse(&bytes(hex)).unwrap().track(TrackId(3));
        let video = track.video().unwrap();
        assert_eq!((track.id, track.codec), (TrackId(3), HEVC));
        assert_eq!(track.codec_string, codec_string);
        assert_eq!(track.timescale, Timescale::VIDEO);
        assert_eq!((video.width, video.height), size);
        assert_eq!(video.frame_rate, rate);
        assert_eq!(track.config, bytes(hex));
    }
}

#[test]
fn the_codec_string_names_space_tier_and_constraints() {
    let mut config = Config::parse(&bytes(captures::MAIN_360)).unwrap();
    for (space, high_tier, constraints, want) in [
        (0, true, [0; 6], "hvc1.1.6.H63"),
        (1, false, [0xb0, 0, 0, 0, 0, 0], "hvc1.A1.6.L63.B0"),
        (3, false, [0, 0, 0, 0, 0, 1], "hvc1.C1.6.L63.0.0.0.0.0.1"),
    ] {
        config.first.level.profile_space = space;
        config.first.level.high_tier = high_tier;
        config.first.level.constraints = constraints;
        assert_eq!(config.codec_string(), want);
    }
}

#[test]
fn a_record_is_brought_into_canonical_form() {
    let canonical = bytes(captures::MAIN_360);
    let with = |at: usize, value: u8| {
        let mut record = canonical.clone();
        record[at] = value;
        record
    };
    // The arrays are of 24, 43 and 6 bytes.
    let array = |at: usize, len: usize| canonical[at..at + 5 + len].to_vec();
    let (vps, sps, pps) = (array(23, 24), array(52, 43), array(100, 6));
    let options = [&[39, 0, 1, 0, 20, 0x4e, 1, 5][..], &[7; 17]].concat();
    let arrays = |arrays: &[&[u8]]| {
        let count = u8::try_from(arrays.len()).unwrap();
        [&canonical[..22], &[count], &arrays.concat()].concat()
    };
    for (what, record, length_size) in [
        ("one-byte lengths", with(21, 0x0c), 1),
        ("two-byte lengths", with(21, 0x0d), 2),
        ("another level", with(12, 93), 4),
        ("parallelism that it states", with(15, 0xfe), 4),
        ("a frame rate that it states", with(19, 25), 4),
        ("another order", arrays(&[&pps, &vps, &sps]), 4),
        (
            "an encoder's options",
            arrays(&[&vps, &sps, &options, &pps]),
            4,
        ),
        ("incomplete arrays", with(23, 32), 4),
        ("bytes behind it", [&canonical[..], &[0; 9]].concat(), 4),
    ] {
        let config = Config::parse(&record).unwrap();
        assert_eq!(config.to_bytes(), canonical, "{what}");
        assert_eq!(config.length_size(), length_size, "{what}");
    }
    // What holds for the stream stays: the light levels of HDR.
    let config = Config::parse(&bytes(captures::MAIN10_HDR)).unwrap();
    assert_eq!(config.messages().len(), 1);
    assert_eq!(config.messages()[0][2], 144);
}

#[test]
fn malformed_records_are_typed() {
    let good = bytes(captures::MAIN_360);
    let with = |at: usize, value: u8| {
        let mut record = good.clone();
        record[at] = value;
        record
    };
    for (record, want) in [
        (vec![], Error::Truncated),
        (good[..22].to_vec(), Error::Truncated),
        (good[..50].to_vec(), Error::Truncated),
        (with(0, 0), Error::Version(0)),
        (with(21, 0x0e), Error::LengthSize(3)),
        (with(22, 1), Error::NoSps),
        (with(22, 9), Error::Truncated),
    ] {
        assert_eq!(Config::parse(&record).unwrap_err(), want, "{record:02x?}");
    }
}

#[test]
fn parameter_sets_in_the_stream_make_the_record() {
    for hex in captures::ALL {
        let mut want = Config::parse(&bytes(hex)).unwrap();
        want.sets.sei.clear();
        let gathered = Config::gather(&keyframe(hex)).unwrap();
        assert_eq!(gathered.to_bytes(), want.to_bytes());
        assert_eq!(gathered.length_size(), 4);
    }
    let config = Config::parse(&bytes(captures::MAIN_360)).unwrap();
    let Sets { vps, sps, pps, .. } = &config.sets;
    for units in [
        &[&vps.units()[0][..], &sps.units()[0]][..],
        &[&vps.units()[0][..], &pps.units()[0]],
        &[&sps.units()[0][..], &pps.units()[0]],
        &[&vps.units()[0][..], &sps.units()[0][..12], &pps.units()[0]],
    ] {
        assert_eq!(Config::gather(&access_unit(units)), None);
    }
}

#[test]
fn equal_parameter_sets_in_the_stream_change_nothing_and_others_take_their_place() {
    let mut config = Config::parse(&bytes(captures::MAIN_360)).unwrap();
    assert_eq!(config.absorb(&keyframe(captures::MAIN_360)), Ok(false));
    assert_eq!(config.absorb(&access_unit(&[&[2, 1, 0xd0]])), Ok(false));
    assert_eq!(config.absorb(&keyframe(captures::GRAY)), Ok(true));
    assert_eq!(config.to_bytes(), bytes(captures::GRAY));
    assert_eq!(config.sps().width, 96);
    // A picture parameter set with the id 1 (0b010) stands beside the first.
    let second = [0x44, 1, 0b0101_1000];
    assert_eq!(config.absorb(&access_unit(&[&second])), Ok(true));
    assert_eq!(config.picture_parameter_sets()[1], second[..]);
    // Other layers have sets of their own.
    assert_eq!(config.absorb(&access_unit(&[&[0x44, 9, 0xff]])), Ok(false));
}

#[test]
fn a_broken_parameter_set_in_the_stream_changes_nothing() {
    let mut config = Config::parse(&bytes(captures::MAIN_360)).unwrap();
    let before = config.clone();
    let other = Config::parse(&bytes(captures::GRAY)).unwrap();
    let good = &other.sets.pps.units()[0][..];
    let long = [&[0x44, 1, 0x60][..], &[0xff; 20 << 10]].concat();
    let long_too = [&[0x44, 1, 0x40][..], &[0xff; 20 << 10]].concat();
    for units in [
        access_unit(&[good, &other.sets.sps.units()[0][..20]]),
        access_unit(&[good, &[0x44, 1]]),
        access_unit(&[good, &[0x44, 1, 1, 0x04, 0x80]]),
        access_unit(&[&long, &long_too]),
        [&access_unit(&[good])[..], &[0, 0, 0, 9]].concat(),
    ] {
        assert!(config.absorb(&units).is_err(), "{:02x?}", &units[..20]);
        assert_eq!(config, before);
        assert_eq!(config.first, before.first);
    }
}

#[test]
fn an_access_unit_that_replaces_its_sets_again_and_again_is_refused() {
    let mut config = Config::parse(&bytes(captures::MAIN_360)).unwrap();
    let before = config.clone();
    let sps = &config.sets.sps.units()[0].clone()[..];
    // Each is another one than what was known: some bytes of the publisher's, and work
    // on all sets of ours.
    let sets: Vec<Vec<u8>> = (0..4_000_u32)
        .map(|n| [sps, &[1 + u8::try_from(n % 251).unwrap()]].concat())
        .collect();
    let units: Vec<&[u8]> = sets.iter().map(|set| &set[..]).collect();
    assert_eq!(config.absorb(&access_unit(&units)), Err(TOO_LARGE));
    assert_eq!(config, before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_mutated_record_parses_to_its_canonical_form_or_to_an_error(
        index in 0..captures::ALL.len(),
        changes in prop::collection::vec((0_usize..120, any::<u8>()), 1..5),
        keep in 0_usize..160,
    ) {
        let mut record = bytes(captures::ALL[index]);
        for (at, value) in changes {
            if let Some(byte) = record.get_mut(at) {
                *byte = value;
            }
        }
        record.truncate(keep);
        crate::fuzz::hevc_config(&record);
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
        crate::fuzz::hevc_access_unit(&out);
    }
}
