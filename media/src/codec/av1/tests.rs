//! Records and temporal units of real encoders, and OBUs by hand.

use bytes::Bytes;
use proptest::prelude::*;
use rillcast_core::{Colour, TrackId};

use super::*;
use crate::codec::avc::captures::bytes;
use crate::codec::bits::BitWriter;

/// `av1C` of 320x180 by libaom 3.6, by SVT-AV1 1.4, and by libaom in 10 bits
/// for perceptual quantisation.
const LIBAOM: &str = "81000c000a0b000000043cfeccdaf90040";
const SVT: &str = "81000c000a0b000000043cfecc02f80040";
const HDR: &str = "81004c000a0e000000043cfeccdaf95091009040";

/// An OBU with its size.
fn obu(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u8::try_from(body.len()).unwrap();
    assert!(len < 0x80);
    [&[kind << 3 | 2, len][..], body].concat()
}

const DELIMITER: [u8; 2] = [0x12, 0];
/// A key frame that is shown, and one that is predicted.
const KEY: [u8; 3] = [0x10, 0x84, 0x55];
const INTER: [u8; 3] = [0x30, 0x84, 0x55];

fn sequence() -> Vec<u8> {
    bytes(LIBAOM).split_off(4)
}

#[test]
fn records_of_real_encoders_are_canonical_already() {
    let pq = Some(Colour::new(9, 16, 9, false));
    for (hex, string, depth, colour) in [
        (LIBAOM, "av01.0.00M.08", 8, None),
        (SVT, "av01.0.00M.08", 8, None),
        (HDR, "av01.0.00M.10.0.110.09.16.09.0", 10, pq),
    ] {
        let config = Config::parse(&bytes(hex)).unwrap();
        assert_eq!(config.to_bytes(), bytes(hex));
        assert_eq!(config.codec_string(), string);
        assert_eq!(config.sequence().bit_depth, depth);
        let track = config.track(TrackId(3));
        let video = track.video().unwrap();
        assert_eq!((video.width, video.height), (320, 180));
        assert_eq!((video.colour, video.frame_rate), (colour, None));
        assert_eq!(Config::parse(&track.config), Ok(config.clone()));
        // The same from a keyframe, whose delimiter it does not need.
        let unit = [&DELIMITER[..], &bytes(hex)[4..], &obu(6, &KEY)].concat();
        assert_eq!(Config::gather(&unit).as_ref(), Some(&config));
        assert_eq!(config.clone().absorb(&unit), Ok(false));
    }
}

#[test]
fn records_that_cannot_be_used_are_refused_by_name() {
    for (hex, want) in [
        ("", Error::Truncated),
        ("810000", Error::Truncated),
        ("82000c00", Error::Version(2)),
        ("81000c00", Error::NoSequence),
        ("81000c000a0b0000", Error::Obu { at: 0 }),
        ("81000c000a020000", Error::Sequence("that ends too early")),
        ("81000c00f200", Error::Obu { at: 0 }),
    ] {
        assert_eq!(Config::parse(&bytes(hex)), Err(want), "{hex}");
    }
    let mut reserved = bytes(LIBAOM);
    reserved[6] |= 0xe0;
    let want = Error::Sequence("of a reserved profile");
    assert_eq!(Config::parse(&reserved), Err(want));
}

/// A sequence header by its fields: timing, operating points and all.
#[test]
fn a_sequence_header_with_everything() {
    let mut bits = BitWriter::default();
    bits.put(1, 3); // profile
    bits.put(0, 2);
    bits.put(1, 1); // timing_info
    bits.put(1_001, 32);
    bits.put(60_000, 32);
    bits.put(1, 1);
    bits.put(0b010, 3); // two ticks a picture
    bits.put(1, 1); // decoder_model_info
    bits.put(9, 5);
    bits.put(1, 32);
    bits.put(0, 10);
    bits.put(1, 1); // initial_display_delay
    bits.put(1, 5); // two operating points
    for level in [13, 5] {
        bits.put(0, 12);
        bits.put(level, 5);
        if level > 7 {
            bits.put(1, 1); // High tier
        }
        bits.put(1, 1);
        bits.put(0, 21);
        bits.put(1, 1);
        bits.put(7, 4);
    }
    bits.put(11 << 4 | 11, 8);
    bits.put(3_839, 12);
    bits.put(2_159, 12);
    bits.put(1, 1); // frame ids
    bits.put(0, 7);
    bits.put(0, 3);
    bits.put(0, 4);
    bits.put(1, 1); // order hint
    bits.put(0, 2);
    bits.put(0, 1); // screen content: forced
    bits.put(1, 1);
    bits.put(0, 1);
    bits.put(0, 1);
    bits.put(6, 3);
    bits.put(0, 3);
    bits.put(1, 1); // high bit depth
    bits.put(1, 1);
    bits.put(9 << 16 | 18 << 8 | 9, 24);
    bits.put(1, 1); // full range
    bits.put(0b101, 3); // separate_uv_delta_q, film grain, the trailing bit
    let body = bits.into_bytes();
    let sequence = Sequence::parse(&body).unwrap();
    assert_eq!((sequence.width, sequence.height), (3_840, 2_160));
    let rate = sequence.frame_rate.unwrap();
    assert_eq!((rate.num, rate.den), (30_000, 1_001));
    let config = Config::gather(&obu(1, &body)).unwrap();
    assert_eq!(config.codec_string(), "av01.1.13H.10.0.000.09.18.09.1");
    for len in 0..body.len() - 1 {
        assert!(Sequence::parse(&body[..len]).is_err(), "{len}");
    }
}

#[test]
fn a_keyframe_is_a_shown_key_frame_that_comes_first() {
    for (first, keyframe) in [
        (0b0001_0000, true),
        (0b0000_0000, false), // hidden
        (0b0011_0000, false), // predicted
        (0b0101_0000, false), // intra only
        (0b0111_0000, false), // switch
        (0b1001_0000, false), // shows an earlier one
    ] {
        for kind in [3, 6] {
            let unit = [sequence(), obu(kind, &[first, 1])].concat();
            let summary = summarize(&unit).unwrap();
            assert_eq!(summary.keyframe, keyframe, "{first:08b}");
            assert!(summary.picture && summary.sequence_header);
            let behind = [obu(6, &INTER), obu(kind, &[first])].concat();
            assert!(!is_keyframe(&behind));
        }
    }
    assert_eq!(summarize(&[]), Ok(Summary::default()));
    assert!(!is_keyframe(&obu(1, &[])));
}

#[test]
fn the_canonical_form_has_sizes_and_nothing_that_files_must_not_have() {
    let plain = [sequence(), obu(6, &KEY)].concat();
    // What lies in one piece is not copied.
    for around in [&[][..], &DELIMITER] {
        let whole = Bytes::from([around, &plain].concat());
        let (out, summary) = canonical(whole.clone()).unwrap();
        assert_eq!(out, plain);
        assert_eq!(out.as_ptr(), whole[around.len()..].as_ptr());
        assert!(summary.keyframe && summary.sequence_header);
    }
    let last = [&[6 << 3][..], &KEY].concat();
    for parts in [
        [&sequence()[..], &obu(15, &[1, 2]), &obu(6, &KEY), &[]],
        [&sequence()[..], &obu(8, &[]), &obu(2, &[]), &obu(6, &KEY)],
        [&sequence()[..], &last, &[], &[]],
        [&DELIMITER[..], &sequence(), &last, &[]],
    ] {
        let (out, _) = canonical(parts.concat().into()).unwrap();
        assert_eq!(out, plain, "{parts:?}");
        assert!(equal(&out, &parts.concat()));
    }
    // An extension stays, with a size put behind it.
    let extended = [6 << 3 | 4, 0x20, 0x30, 0x84];
    let (out, _) = canonical(Bytes::copy_from_slice(&extended)).unwrap();
    assert_eq!(out[..], [6 << 3 | 6, 0x20, 2, 0x30, 0x84]);
    let (out, summary) = canonical(Bytes::from_static(&DELIMITER)).unwrap();
    assert!(out.is_empty() && !summary.picture);
    for broken in [&[0x92, 0][..], &[0x32, 5, 1], &[0x32, 0xff], &[0x36]] {
        let want = Err(Error::Obu { at: 0 });
        assert_eq!(canonical(Bytes::copy_from_slice(broken)), want);
    }
}

#[test]
fn only_another_sequence_header_is_a_change() {
    let mut config = Config::parse(&bytes(LIBAOM)).unwrap();
    assert_eq!(config.absorb(&obu(6, &INTER)), Ok(false));
    // The same, filled up with zeros, and in another order.
    let mut padded = sequence();
    padded[1] += 1;
    padded.push(0);
    assert_eq!(config.absorb(&padded), Ok(false));
    let other = [&DELIMITER[..], &bytes(HDR)[4..], &obu(6, &KEY)].concat();
    assert_eq!(config.absorb(&other), Ok(true));
    assert_eq!(config.codec_string(), "av01.0.00M.10.0.110.09.16.09.0");
    assert_eq!(config.absorb(&other), Ok(false));
    let before = config.clone();
    assert!(config.absorb(&obu(1, &[0, 0])).is_err());
    assert!(config.absorb(&other[..other.len() - 1]).is_err());
    assert_eq!(config, before);
}

#[test]
fn units_are_equal_but_for_what_says_nothing_of_the_pictures() {
    let bare = obu(6, &KEY);
    assert!(equal(&bare, &[&DELIMITER[..], &sequence(), &bare].concat()));
    assert!(!equal(&bare, &obu(6, &INTER)));
    assert!(!equal(&bare, &obu(3, &KEY)));
    assert!(!equal(&bare, &bare[..3]));
    assert!(equal(&bare[..3], &bare[..3]));
}

#[test]
fn metadata_of_the_stream_goes_into_the_record() {
    let light = obu(5, &[1, 0x03, 0xe8, 0x01, 0x90, 0x80]);
    let mut mastering = vec![2];
    for value in [
        0xae14_u16, 0x51ec, 0x43d7, 0xb0a4, 0x2666, 0x0f5c, 0x5014, 0x5439,
    ] {
        mastering.extend_from_slice(&value.to_be_bytes());
    }
    mastering.extend_from_slice(&(1_000_u32 << 8).to_be_bytes());
    mastering.extend_from_slice(&82_u32.to_be_bytes());
    mastering.push(0x80);
    let caption = obu(5, &[4, 0xb5, 0x80]);
    let unit = [sequence(), light, caption, obu(5, &mastering), obu(6, &KEY)].concat();
    let config = Config::gather(&unit).unwrap();
    let light = config.light().unwrap();
    assert_eq!((light.max_content, light.max_average), (1_000, 400));
    let said = config.mastering().unwrap();
    // BT.2020's green is 0.265, 0.690 here; red 0.68, 0.32.
    assert_eq!(said.primaries[0], (13_250, 34_500));
    assert_eq!(said.primaries[2], (34_000, 16_000));
    assert_eq!((said.max_luminance, said.min_luminance), (10_000_000, 50));
    let again = Config::parse(&config.to_bytes()).unwrap();
    assert_eq!(
        (again.light(), again.mastering()),
        (Some(light), Some(said))
    );
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Config::parse(&data);
        let _ = Sequence::parse(&data);
        if let Ok((out, summary)) = canonical(Bytes::from(data.clone())) {
            prop_assert_eq!(summarize(&out), Ok(summary));
            prop_assert!(equal(&out, &data));
            let (again, _) = canonical(out.clone()).unwrap();
            prop_assert_eq!(again, out);
        }
    }
}
