//! Parameter sets of real encoders, and such as only a hand can write.

use proptest::prelude::*;

use super::*;
use crate::codec::avc::captures::bytes;
use crate::codec::bits::BitWriter;
use crate::codec::hevc::Config;
use crate::codec::hevc::config::captures;

struct Want {
    size: (u16, u16),
    ratio: (u16, u16),
    rate: (u32, u32),
    depth: u8,
    chroma: u8,
    layers: u8,
    colour: Option<(u8, u8, u8, bool)>,
}

fn check(hex: &str, want: &Want) {
    let config = Config::parse(&bytes(hex)).unwrap();
    let sps = config.sps();
    assert_eq!((sps.width, sps.height), want.size, "{hex}");
    assert_eq!(sps.sample_aspect_ratio, Some(want.ratio), "{hex}");
    let rate = sps.frame_rate.map(|r| (r.num, r.den));
    assert_eq!(rate, Some(want.rate), "{hex}");
    assert_eq!(sps.bit_depth_luma, want.depth, "{hex}");
    assert_eq!(sps.bit_depth_chroma, want.depth, "{hex}");
    assert_eq!(sps.chroma_format, want.chroma, "{hex}");
    assert_eq!(sps.temporal_layers, want.layers, "{hex}");
    assert_eq!(sps.id, 0);
    let colour = sps
        .colour
        .map(|c| (c.primaries, c.transfer, c.matrix, c.full_range));
    assert_eq!(colour, want.colour, "{hex}");
    // x265 says the rate in both.
    let vps = vps_frame_rate(&config.video_parameter_sets()[0]);
    assert!(vps.is_none() || vps == sps.frame_rate);
}

#[test]
fn parameter_sets_of_x265() {
    let want = |size, rate| Want {
        size,
        ratio: (1, 1),
        rate,
        depth: 8,
        chroma: 1,
        layers: 1,
        colour: None,
    };
    check(captures::MAIN_360, &want((640, 360), (25, 1)));
    check(
        captures::MAIN10_HDR,
        &Want {
            depth: 10,
            colour: Some((9, 16, 9, false)),
            ..want((1_920, 1_080), (30_000, 1_001))
        },
    );
    check(
        captures::MEDIUM_422,
        &Want {
            chroma: 2,
            layers: 2,
            ..want((322, 242), (50, 1))
        },
    );
    check(
        captures::HRD_444,
        &Want {
            chroma: 3,
            ratio: (64, 45),
            ..want((720, 576), (25, 1))
        },
    );
    check(
        captures::GRAY,
        &Want {
            chroma: 0,
            colour: Some((2, 2, 2, true)),
            ..want((96, 64), (24_000, 1_001))
        },
    );
    check(
        captures::FIELDS_12,
        &Want {
            depth: 12,
            ..want((426, 240), (60, 1))
        },
    );
}

/// Writes parameter sets field by field.
#[derive(Default)]
struct Writer(BitWriter);

impl Writer {
    fn u(&mut self, value: u32, bits: u32) -> &mut Self {
        self.0.put(value, bits);
        self
    }

    fn ue(&mut self, values: &[u32]) -> &mut Self {
        for value in values {
            let len = (value + 1).ilog2();
            self.0.put(0, len);
            self.0.put(value + 1, len + 1);
        }
        self
    }

    /// `profile_tier_level()` of Main, level 4.1, with two of `sub_layers`
    /// present in different ways.
    fn level(&mut self, sub_layers: u32) -> &mut Self {
        self.u(1, 8)
            .u(0x6000_0000, 32)
            .u(0x9000, 16)
            .u(0, 32)
            .u(123, 8);
        for layer in 0..sub_layers {
            // Profile and level, the level alone, nothing.
            self.u([0b11, 0b01, 0][layer as usize % 3], 2);
        }
        if sub_layers > 0 {
            self.u(0, 2 * (8 - sub_layers));
        }
        for layer in 0..sub_layers {
            match layer % 3 {
                0 => self.u(1, 24).u(2, 32).u(3, 32).u(90, 8),
                1 => self.u(93, 8),
                _ => self,
            };
        }
        self
    }

    /// The NAL unit, with emulation prevention.
    fn unit(&mut self, kind: u8) -> Vec<u8> {
        self.u(1, 1);
        let mut out = vec![kind << 1, 1];
        let mut zeros = 0;
        for byte in std::mem::take(&mut self.0).into_bytes() {
            if zeros == 2 && byte <= 3 {
                out.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            out.push(byte);
        }
        out
    }
}

/// Everything that x265 does not write: seven temporal layers, scaling lists,
/// PCM, long-term pictures, predicted reference sets, a default display window.
fn everything() -> Vec<u8> {
    let mut set = Writer::default();
    set.u(0, 4).u(6, 3).u(1, 1).level(6);
    set.ue(&[15, 1, 1_920, 1_088]);
    set.u(1, 1).ue(&[0, 0, 0, 4]); // 8 lines off the bottom
    set.ue(&[0, 2, 4]); // 8 and 10 bits, order counts of 8
    set.u(1, 1);
    for layer in 0..7 {
        set.ue(&[layer + 1, 0, 0]);
    }
    set.ue(&[0, 3, 0, 3, 1, 2]);
    // Scaling lists: predicted ones, and such with all coefficients.
    set.u(0b11, 2);
    for size in 0..4_u32 {
        for matrix in 0..if size == 3 { 2 } else { 6 } {
            if matrix % 2 == 0 {
                set.u(0, 1).ue(&[matrix / 2]);
                continue;
            }
            set.u(1, 1);
            if size > 1 {
                set.ue(&[7]);
            }
            (0..64.min(1 << (4 + 2 * size))).for_each(|at| {
                set.ue(&[at % 5]);
            });
        }
    }
    set.u(0b11, 2); // amp, sao
    set.u(1, 1).u(0x77, 8).ue(&[0, 2]).u(1, 1);
    // {-1, -2, +1}; then shifted by +1: {-1, +1, +2}, its own picture kept.
    set.ue(&[2, 2, 1]);
    for _ in 0..3 {
        set.ue(&[0]).u(1, 1);
    }
    set.u(0b10, 2).ue(&[0]).u(0b1111, 4);
    set.u(1, 1).ue(&[2]).u(0x55, 9).u(0x1aa, 9); // long-term pictures
    set.u(0b01, 2);
    set.u(1, 1); // usability information
    set.u(1, 1).u(255, 8).u(4, 16).u(3, 16);
    set.u(0b11, 2);
    set.u(1, 1).u(5, 3).u(1, 1).u(1, 1).u(1, 8).u(13, 8).u(6, 8);
    set.u(1, 1).ue(&[2, 2]);
    set.u(0, 3);
    set.u(1, 1).ue(&[1, 1, 1, 1]);
    set.u(1, 1).u(1_001, 32).u(60_000, 32);
    set.unit(SPS)
}

#[test]
fn everything_that_may_be_there_is_stepped_over() {
    let sps = Sps::parse(&everything()).unwrap();
    assert_eq!(sps.id, 15);
    assert_eq!((sps.width, sps.height), (1_920, 1_080));
    assert_eq!((sps.bit_depth_luma, sps.bit_depth_chroma), (8, 10));
    assert_eq!((sps.temporal_layers, sps.temporal_nesting), (7, true));
    assert_eq!((sps.level.profile, sps.level.level), (1, 123));
    assert_eq!(sps.sample_aspect_ratio, Some((4, 3)));
    assert_eq!(sps.display_size(), (2_560, 1_080));
    assert_eq!(sps.frame_rate, FrameRate::new(60_000, 1_001));
    let colour = sps.colour.unwrap();
    assert_eq!((colour.primaries, colour.transfer), (1, 13));
    assert!(colour.full_range);
}

#[test]
fn one_that_is_cut_short_gives_what_was_read_of_it() {
    let whole = everything();
    let mut seen = [0; 3];
    for len in 0..whole.len() {
        match Sps::parse(&whole[..len]) {
            Err(error) => {
                assert!(matches!(error, Error::ParameterSet(_)));
                seen[0] += 1;
            }
            Ok(sps) => {
                assert_eq!((sps.width, sps.height), (1_920, 1_080));
                seen[if sps.colour.is_none() { 1 } else { 2 }] += 1;
                assert_eq!(sps.frame_rate, None);
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn a_video_parameter_set_states_a_rate() {
    let set = |layer_sets: u32, timing: bool| {
        let mut set = Writer::default();
        set.u(0, 4)
            .u(3, 2)
            .u(0, 6)
            .u(2, 3)
            .u(1, 1)
            .u(0xffff, 16)
            .level(2);
        set.u(1, 1);
        for _ in 0..3 {
            set.ue(&[4, 1, 0]);
        }
        set.u(2, 6).ue(&[layer_sets]);
        for _ in 0..layer_sets.min(2_000) {
            set.u(0b101, 3);
        }
        set.u(timing.into(), 1).u(1_001, 32).u(24_000, 32);
        set.unit(VPS)
    };
    assert_eq!(vps_frame_rate(&set(0, true)), FrameRate::new(24_000, 1_001));
    assert_eq!(
        vps_frame_rate(&set(1_023, true)),
        FrameRate::new(24_000, 1_001)
    );
    assert_eq!(vps_frame_rate(&set(0, false)), None);
    assert_eq!(vps_frame_rate(&set(1_024, true)), None);
    assert_eq!(vps_frame_rate(&everything()), None);
}

#[test]
fn what_is_no_parameter_set_is_typed() {
    let wrong = |unit: &[u8]| match Sps::parse(unit) {
        Err(Error::ParameterSet(why)) => why,
        other => panic!("{other:?}"),
    };
    let set = |fields: &dyn Fn(&mut Writer)| {
        let mut set = Writer::default();
        fields(&mut set);
        set.unit(SPS)
    };
    assert_eq!(wrong(&[]), "is empty");
    assert_eq!(wrong(&[SPS << 1]), "is of another type");
    assert_eq!(wrong(&[PPS_HEADER, 1, 0xc0]), "is of another type");
    assert_eq!(wrong(&[SPS << 1, 9, 0xc0]), "is of another type");
    assert_eq!(wrong(&[SPS << 1, 1, 1, 2, 3]), "ends too early");
    for (what, unit) in [
        (
            "has more than seven temporal layers",
            set(&|s| {
                s.u(0, 4).u(7, 3).u(1, 1).level(6);
            }),
        ),
        (
            "has an id above 15",
            set(&|s| {
                s.u(1, 8).level(0).ue(&[16, 1, 64, 64]);
            }),
        ),
        (
            "has an unknown chroma format or bit depth",
            set(&|s| {
                s.u(1, 8)
                    .level(0)
                    .ue(&[0, 4, 64, 64])
                    .u(0, 1)
                    .ue(&[0, 0, 4]);
            }),
        ),
        (
            "has an unknown chroma format or bit depth",
            set(&|s| {
                s.u(1, 8)
                    .level(0)
                    .ue(&[0, 1, 64, 64])
                    .u(0, 1)
                    .ue(&[9, 0, 4]);
            }),
        ),
        (
            "has picture order counts of more than 16 bits",
            set(&|s| {
                s.u(1, 8)
                    .level(0)
                    .ue(&[0, 1, 64, 64])
                    .u(0, 1)
                    .ue(&[0, 0, 13]);
            }),
        ),
        (
            "has pictures of no size, or of more than 65535 samples a side",
            set(&|s| {
                s.u(1, 8)
                    .level(0)
                    .ue(&[0, 1, 65_536, 64])
                    .u(0, 1)
                    .ue(&[0, 0, 4]);
            }),
        ),
        (
            "has pictures of no size, or of more than 65535 samples a side",
            set(&|s| {
                s.u(1, 8).level(0).ue(&[0, 1, 64, 64]);
                s.u(1, 1).ue(&[16, 16, 0, 0]).ue(&[0, 0, 4]);
            }),
        ),
    ] {
        assert_eq!(wrong(&unit), what);
    }
}

/// The first byte of a picture parameter set.
const PPS_HEADER: u8 = 34 << 1;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_mutated_set_is_read_without_a_panic(
        changes in prop::collection::vec((2_usize..200, any::<u8>()), 1..6),
        keep in 0_usize..250,
    ) {
        let mut unit = everything();
        for (at, value) in changes {
            if let Some(byte) = unit.get_mut(at) {
                *byte = value;
            }
        }
        unit.truncate(keep);
        crate::fuzz::hevc_config(&unit);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..80)) {
        for kind in [VPS, SPS] {
            let unit = [&[kind << 1, 1][..], &body].concat();
            crate::fuzz::hevc_config(&unit);
        }
    }
}
