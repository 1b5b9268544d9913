//! What the usability information of H.264 and HEVC says alike: how samples
//! are shaped, how colours are meant, how fast pictures come.

use rillcast_core::FrameRate;

pub use rillcast_core::Colour;

use super::bits::BitReader;

/// What the first fields, up to `video_signal_type`, say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signal {
    pub(super) sample_aspect_ratio: Option<(u16, u16)>,
    pub(super) colour: Option<Colour>,
}

impl Signal {
    /// Reads the usability information (section E.1.1 of ISO/IEC 14496-10,
    /// E.2.1 of ISO/IEC 23008-2) from its begin to the chroma locations. `None`
    /// where the bits end; what was read until then stays in `self`.
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        if bits.bit()? {
            let ratio = match bits.read_u8(8)? {
                EXTENDED_SAR => (bits.read(16)?, bits.read(16)?),
                index => *SAMPLE_ASPECT_RATIOS
                    .get(usize::from(index))
                    .unwrap_or(&(0, 0)),
            };
            let ratio = (u16::try_from(ratio.0).ok()?, u16::try_from(ratio.1).ok()?);
            // A zero on either side means unspecified.
            self.sample_aspect_ratio = Some(ratio).filter(|(h, v)| *h != 0 && *v != 0);
        }
        if bits.bit()? {
            bits.skip(1)?; // overscan_appropriate_flag
        }
        if bits.bit()? {
            bits.skip(3)?; // video_format
            let full_range = bits.bit()?;
            let described = bits.bit()?;
            // 2 is "unspecified" in all three tables.
            let (primaries, transfer, matrix) = if described {
                (bits.read_u8(8)?, bits.read_u8(8)?, bits.read_u8(8)?)
            } else {
                (2, 2, 2)
            };
            self.colour = (described || full_range)
                .then_some(Colour::new(primaries, transfer, matrix, full_range));
        }
        if bits.bit()? {
            bits.ue()?;
            bits.ue()?; // chroma_sample_loc_type
        }
        Some(())
    }
}

/// Width and height of a picture as it is meant to be shown: the sample aspect
/// ratio is applied to the width, rounded. A ratio that leads to no width of 16
/// bits is taken for a mistake.
pub(super) fn display_size(width: u16, height: u16, ratio: Option<(u16, u16)>) -> (u32, u32) {
    let (width, height) = (u32::from(width), u32::from(height));
    match ratio {
        Some((h, v)) if h != v => {
            let (h, v) = (u64::from(h), u64::from(v));
            let shown = (u64::from(width) * h + v / 2) / v;
            let shown = u16::try_from(shown).ok().filter(|shown| *shown > 0);
            (shown.map_or(width, u32::from), height)
        }
        _ => (width, height),
    }
}

/// `time_scale` over `units`, if that is a rate of pictures: encoders of
/// variable rate state the tick of their clock there, for example 1/1000 or
/// 1/90000 s.
pub(super) fn frame_rate(time_scale: u32, units: u64) -> Option<FrameRate> {
    let (num, den) = (u64::from(time_scale), units);
    if num == 0 || den == 0 || num < den / 4 || num > MAX_FRAME_RATE * den {
        return None;
    }
    let divisor = gcd(num, den);
    FrameRate::new(
        u32::try_from(num / divisor).ok()?,
        u32::try_from(den / divisor).ok()?,
    )
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Above this, a stated rate is taken for a clock's tick: cameras of live
/// streams end at 240 pictures a second.
const MAX_FRAME_RATE: u64 = 300;

const EXTENDED_SAR: u8 = 255;

/// Table E-1 of both.
const SAMPLE_ASPECT_RATIOS: [(u32, u32); 17] = [
    (0, 0),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];
