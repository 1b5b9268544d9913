//! Parameter sets of real encoders, and the agreement with h264-reader.

use h264_reader::nal::sps::{ChromaFormat, SeqParameterSet};
use h264_reader::rbsp;
use proptest::prelude::*;

use super::*;
use crate::codec::avc::captures::{self, sps as unit};

struct Want {
    size: (u16, u16),
    ratio: Option<(u16, u16)>,
    rate: Option<(u32, u32)>,
    depth: u8,
    chroma: u8,
    colour: Option<(u8, u8, u8, bool)>,
}

fn check(hex: &str, want: &Want) {
    let sps = Sps::parse(&unit(hex)).unwrap();
    assert_eq!((sps.width, sps.height), want.size, "{hex}");
    assert_eq!(sps.sample_aspect_ratio, want.ratio, "{hex}");
    assert_eq!(sps.frame_rate.map(|r| (r.num, r.den)), want.rate, "{hex}");
    assert_eq!(sps.bit_depth_luma, want.depth, "{hex}");
    assert_eq!(sps.chroma_format, want.chroma, "{hex}");
    let colour = sps
        .colour
        .map(|c| (c.primaries, c.transfer, c.matrix, c.full_range));
    assert_eq!(colour, want.colour, "{hex}");
}

#[test]
fn parameter_sets_of_x264() {
    let want = |size, ratio, rate| Want {
        size,
        ratio,
        rate,
        depth: 8,
        chroma: 1,
        colour: None,
    };
    let square = Some((1, 1));
    let pal = Some((25, 1));
    check(
        captures::HIGH_1080,
        &want((1_920, 1_080), square, Some((30_000, 1_001))),
    );
    check(captures::BASELINE, &want((640, 360), square, pal));
    check(captures::INTERLACED, &want((720, 576), Some((64, 45)), pal));
    check(
        captures::HIGH_422,
        &Want {
            depth: 10,
            chroma: 2,
            colour: Some((9, 16, 9, false)),
            ..want((1_280, 720), square, Some((50, 1)))
        },
    );
    check(
        captures::HIGH_444,
        &Want {
            chroma: 3,
            ..want((322, 242), square, pal)
        },
    );
    check(
        captures::GRAY,
        &Want {
            chroma: 0,
            // Full range, and nothing said of the colours.
            colour: Some((2, 2, 2, true)),
            ..want((96, 64), square, pal)
        },
    );
    check(
        captures::FULL_RANGE,
        &Want {
            colour: Some((1, 1, 1, true)),
            ..want((1_280, 720), square, pal)
        },
    );
    check(captures::HRD, &want((1_280, 720), square, pal));
    check(
        captures::FILM,
        &want((426, 240), square, Some((24_000, 1_001))),
    );
}

#[test]
fn a_level_too_low_for_the_picture_is_no_reason_to_refuse() {
    // x264 with `-level 3.0` at 1080p warns and goes on; so do all players.
    let unit = unit(captures::LOW_LEVEL);
    assert!(reader(&unit).is_none());
    let sps = Sps::parse(&unit).unwrap();
    assert_eq!((sps.width, sps.height, sps.level), (1_920, 1_080, 30));
}

#[test]
fn usability_information_that_is_cut_short_gives_what_was_read() {
    let whole = unit(captures::HIGH_1080);
    // Behind the sample aspect ratio, within the timing.
    let sps = Sps::parse(&whole[..whole.len() - 7]).unwrap();
    assert_eq!((sps.width, sps.height), (1_920, 1_080));
    assert_eq!(sps.sample_aspect_ratio, Some((1, 1)));
    assert_eq!(sps.frame_rate, None);
}

#[test]
fn what_is_no_parameter_set_is_typed() {
    for (bytes, why) in [
        (&[][..], "is empty"),
        (&[0x68, 1, 2, 3], "is of another type"),
        (&[0x67], "ends too early"),
        (&[0x67, 66, 0, 30, 0x00, 0x00], "ends too early"),
        // id 32
        (&[0x67, 66, 0, 30, 0x04, 0x20, 0x80], "has an id above 31"),
    ] {
        assert_eq!(
            Sps::parse(bytes),
            Err(Error::ParameterSet(why)),
            "{bytes:?}"
        );
    }
}

#[test]
fn the_shown_size_applies_the_sample_aspect_ratio() {
    let sps = Sps::parse(&unit(captures::INTERLACED)).unwrap();
    assert_eq!(sps.display_size(), (1_024, 576));
    let sps = Sps::parse(&unit(captures::HIGH_1080)).unwrap();
    assert_eq!(sps.display_size(), (1_920, 1_080));
    // Nonsense is not believed.
    for ratio in [(65_535, 1), (1, 65_535)] {
        let sps = Sps {
            sample_aspect_ratio: Some(ratio),
            ..sps
        };
        assert_eq!(sps.display_size(), (1_920, 1_080));
    }
}

#[test]
fn a_clock_tick_is_no_frame_rate() {
    for (units, scale, want) in [
        (1, 50, Some((25, 1))),
        (1_001, 60_000, Some((30_000, 1_001))),
        (1_001, 48_000, Some((24_000, 1_001))),
        (1, 600, Some((300, 1))),
        (1, 2_000, None),
        (1, 180_000, None),
        (0, 50, None),
        (1, 0, None),
        (u32::MAX, 1, None),
        (10, 20, Some((1, 1))),
    ] {
        let rate = vui::frame_rate(scale, 2 * u64::from(units)).map(|rate| (rate.num, rate.den));
        assert_eq!(rate, want, "{units}/{scale}");
    }
}

#[test]
fn emulation_prevention_is_removed_once() {
    for (wire, want) in [
        (&[0, 0, 3, 1][..], &[0, 0, 1][..]),
        (&[0, 0, 3, 0, 0, 3], &[0, 0, 0, 0]),
        (&[0, 0, 3, 3], &[0, 0, 3]),
        (&[0, 3, 0], &[0, 3, 0]),
        (&[0, 0, 0, 3], &[0, 0, 0]),
    ] {
        assert_eq!(unescape(wire), want);
    }
}

fn reader(unit: &[u8]) -> Option<SeqParameterSet> {
    let rbsp = rbsp::decode_nal(unit).ok()?;
    SeqParameterSet::from_bits(rbsp::BitReader::new(&rbsp[..])).ok()
}

fn agree(unit: &[u8]) {
    let ours = Sps::parse(unit);
    let Some(theirs) = reader(unit) else {
        return;
    };
    // A reserved chroma format is let through there.
    if matches!(theirs.chroma_info.chroma_format, ChromaFormat::Invalid(_)) {
        return;
    }
    let Ok((width, height)) = theirs.pixel_dimensions() else {
        return;
    };
    let in_range = |size: u32| size > 0 && size <= 65_535;
    if !in_range(width) || !in_range(height) {
        return;
    }
    let ours = ours.unwrap();
    assert_eq!(
        (u32::from(ours.width), u32::from(ours.height)),
        (width, height)
    );
    assert_eq!(ours.id, theirs.id().id());
    let vui = theirs.vui_parameters.unwrap_or_default();
    assert_eq!(
        ours.sample_aspect_ratio,
        vui.aspect_ratio_info.and_then(|info| info.get())
    );
    if let Some(colour) = vui.video_signal_type.and_then(|t| t.colour_description) {
        let ours = ours.colour.unwrap();
        assert_eq!(
            (ours.primaries, ours.transfer, ours.matrix),
            (
                colour.colour_primaries,
                colour.transfer_characteristics,
                colour.matrix_coefficients
            )
        );
    }
    if let (Some(rate), Some(timing)) = (ours.frame_rate, vui.timing_info) {
        assert_eq!(
            u64::from(rate.num) * 2 * u64::from(timing.num_units_in_tick),
            u64::from(rate.den) * u64::from(timing.time_scale)
        );
    }
}

#[test]
fn h264_reader_agrees_on_real_parameter_sets() {
    for hex in captures::ALL {
        agree(&unit(hex));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn h264_reader_agrees_on_what_it_takes(
        index in 0..captures::ALL.len(),
        changes in prop::collection::vec((4_usize..40, any::<u8>()), 0..4),
    ) {
        let mut unit = unit(captures::ALL[index]);
        for (at, value) in changes {
            if let Some(byte) = unit.get_mut(at) {
                *byte = value;
            }
        }
        agree(&unit);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let unit = [&[0x67][..], &bytes].concat();
        let _ = Sps::parse(&unit);
    }
}
