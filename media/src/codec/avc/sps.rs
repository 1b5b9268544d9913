//! The sequence parameter set (ISO/IEC 14496-10, sections 7.3.2.1.1 and
//! E.1.1), as far as a server needs it.
//!
//! Players take what breaks a rule without harm: a level too low for its
//! picture size, buffering that exceeds the level, usability information that
//! is cut short. A parser that refuses such a stream would keep its publisher
//! out for no viewer's good, so this one reads what it needs, checks what it
//! uses, and does not look at the rest.

use rillcast_core::FrameRate;

use super::{Colour, Error, unit::SPS};
use crate::codec::bits::BitReader;
use crate::codec::nal::unescape;
use crate::codec::vui;

/// What a sequence parameter set says of its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sps {
    /// `seq_parameter_set_id`, 0 to 31.
    pub id: u8,
    /// `profile_idc`.
    pub profile: u8,
    /// The constraint flags and their two reserved bits, as one byte.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
    /// `chroma_format_idc`: 0 to 3 for monochrome, 4:2:0, 4:2:2, 4:4:4.
    pub chroma_format: u8,
    /// Bits of a luma sample, 8 to 14.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample, 8 to 14.
    pub bit_depth_chroma: u8,
    /// Width in samples, cropped; the sample aspect ratio is not applied.
    pub width: u16,
    /// Height in samples, cropped, of both fields if there are fields.
    pub height: u16,
    /// Width and height of one sample, relative to each other, if stated.
    pub sample_aspect_ratio: Option<(u16, u16)>,
    /// How colours are meant, if stated.
    pub colour: Option<Colour>,
    /// The rate that the timing information states, if it states one that is
    /// a rate of pictures.
    pub frame_rate: Option<FrameRate>,
    /// What the headers of slices need to be read.
    pub(super) slices: SliceSyntax,
}

/// The lengths and presence of fields in slice headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct SliceSyntax {
    /// Bits of `frame_num`, 4 to 16.
    pub(super) frame_num_bits: u32,
    /// Bits of `pic_order_cnt_lsb`, 4 to 16; `None` where it is not written.
    pub(super) order_bits: Option<u32>,
    /// `frame_mbs_only_flag`: no slice belongs to a field.
    pub(super) frames_only: bool,
    /// `separate_colour_plane_flag`.
    pub(super) separate_planes: bool,
}

impl Sps {
    /// Parses the NAL unit, its one-byte header included.
    ///
    /// # Errors
    /// [`Error::ParameterSet`] with the reason.
    pub fn parse(unit: &[u8]) -> Result<Self, Error> {
        let Some((header, body)) = unit.split_first() else {
            return Err(Error::ParameterSet("is empty"));
        };
        if header & 0x1f != SPS {
            return Err(Error::ParameterSet("is of another type"));
        }
        let rbsp = unescape(body);
        let mut bits = BitReader::new(&rbsp);
        let mut sps = read(&mut bits).ok_or(Error::ParameterSet("ends too early"))??;
        // Nothing after the usability information is needed, so one that is
        // cut short gives what was read of it.
        let _ = read_vui(&mut bits, &mut sps);
        Ok(sps)
    }

    /// Whether the profile's configuration record states chroma format and
    /// bit depths (ISO/IEC 14496-15 section 5.3.3.1.2).
    #[must_use]
    pub const fn has_extension(&self) -> bool {
        !matches!(self.profile, 66 | 77 | 88)
    }

    /// Width and height of the picture as it is meant to be shown: the sample
    /// aspect ratio is applied to the width, rounded. A ratio that leads to no
    /// width of 16 bits is taken for a mistake.
    #[must_use]
    pub fn display_size(&self) -> (u32, u32) {
        vui::display_size(self.width, self.height, self.sample_aspect_ratio)
    }
}

/// Everything before the usability information. `None` where the bits end.
fn read(bits: &mut BitReader<'_>) -> Option<Result<Sps, Error>> {
    let wrong = |why| Some(Err(Error::ParameterSet(why)));
    let profile = bits.read_u8(8)?;
    let constraints = bits.read_u8(8)?;
    let level = bits.read_u8(8)?;
    let id = bits.ue()?;
    let Some(id) = u8::try_from(id).ok().filter(|id| *id < 32) else {
        return wrong("has an id above 31");
    };

    let (mut chroma_format, mut luma, mut chroma) = (1, 8, 8);
    let mut slices = SliceSyntax::default();
    if HAS_CHROMA_INFO.contains(&profile) {
        let format = bits.ue()?;
        if format == 3 {
            slices.separate_planes = bits.bit()?;
        }
        let luma_minus8 = bits.ue()?;
        let chroma_minus8 = bits.ue()?;
        if format > 3 || luma_minus8 > 6 || chroma_minus8 > 6 {
            return wrong("has an unknown chroma format or bit depth");
        }
        chroma_format = u8::try_from(format).ok()?;
        luma = u8::try_from(luma_minus8 + 8).ok()?;
        chroma = u8::try_from(chroma_minus8 + 8).ok()?;
        bits.skip(1)?; // qpprime_y_zero_transform_bypass_flag
        if bits.bit()? {
            for list in 0..if format == 3 { 12 } else { 8 } {
                if bits.bit()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }

    // Larger ones are not allowed, and no slice is read with them.
    slices.frame_num_bits = bits.ue()?.saturating_add(4).min(32);
    match bits.ue()? {
        0 => slices.order_bits = Some(bits.ue()?.saturating_add(4).min(32)),
        1 => {
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue()? {
                bits.se()?; // Ends with the bits, whatever the count says.
            }
        }
        _ => {}
    }
    bits.ue()?; // max_num_ref_frames
    bits.skip(1)?; // gaps_in_frame_num_value_allowed_flag
    let width_in_blocks = u64::from(bits.ue()?) + 1;
    let height_in_units = u64::from(bits.ue()?) + 1;
    let frames_only = bits.bit()?;
    slices.frames_only = frames_only;
    if !frames_only {
        bits.skip(1)?; // mb_adaptive_frame_field_flag
    }
    bits.skip(1)?; // direct_8x8_inference_flag
    let mut crop = [0_u64; 4]; // left, right, top, bottom
    if bits.bit()? {
        for side in &mut crop {
            *side = u64::from(bits.ue()?);
        }
    }

    let fields = if frames_only { 1 } else { 2 };
    // Cropping counts in chroma samples (equations 7-19 to 7-22).
    let (unit_x, unit_y) = match chroma_format {
        1 => (2, 2 * fields),
        2 => (2, fields),
        _ => (1, fields),
    };
    let size = |blocks: u64, unit: u64, before: u64, after: u64| {
        (blocks * 16)
            .checked_sub((before + after) * unit)
            .and_then(|size| u16::try_from(size).ok())
            .filter(|size| *size > 0)
    };
    let [left, right, top, bottom] = crop;
    let (Some(width), Some(height)) = (
        size(width_in_blocks, unit_x, left, right),
        size(height_in_units * fields, unit_y, top, bottom),
    ) else {
        return wrong("has pictures of no size, or of more than 65535 samples a side");
    };

    Some(Ok(Sps {
        id,
        profile,
        constraints,
        level,
        chroma_format,
        bit_depth_luma: luma,
        bit_depth_chroma: chroma,
        width,
        height,
        sample_aspect_ratio: None,
        colour: None,
        frame_rate: None,
        slices,
    }))
}

/// Section 7.3.2.1.1.1, the values thrown away.
fn skip_scaling_list(bits: &mut BitReader<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// The usability information up to the timing. `None` where the bits end.
fn read_vui(bits: &mut BitReader<'_>, sps: &mut Sps) -> Option<()> {
    if !bits.bit()? {
        return Some(());
    }
    let mut signal = vui::Signal::default();
    let read = signal.read(bits);
    sps.sample_aspect_ratio = signal.sample_aspect_ratio;
    sps.colour = signal.colour;
    read?;
    if bits.bit()? {
        let units_in_tick = bits.read(32)?;
        let time_scale = bits.read(32)?;
        // A tick is a field, so a picture takes two (section E.2.1).
        sps.frame_rate = vui::frame_rate(time_scale, 2 * u64::from(units_in_tick));
    }
    Some(())
}

/// Profiles whose parameter set states the chroma format (section 7.3.2.1.1).
const HAS_CHROMA_INFO: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

#[cfg(test)]
mod tests;
