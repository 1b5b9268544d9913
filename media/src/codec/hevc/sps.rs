//! The sequence parameter set (ISO/IEC 23008-2, sections 7.3.2.2 and E.2.1)
//! and the timing of the video parameter set (7.3.2.1), as far as a server
//! needs them.
//!
//! As with H.264, what players take without harm is no reason to refuse a
//! publisher: what is used is checked, the rest is stepped over. Getting to the
//! usability information takes all that is before it, so a set that breaks a
//! rule there states neither rate nor colour.

use rillcast_core::FrameRate;

use super::unit::{SPS, VPS, unit_type};
use super::{Colour, Error};
use crate::codec::bits::BitReader;
use crate::codec::nal::unescape;
use crate::codec::vui;

mod syntax;

/// What a sequence parameter set says of its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sps {
    /// `sps_seq_parameter_set_id`, 0 to 15.
    pub id: u8,
    /// Profile, tier and level of the whole stream.
    pub level: Level,
    /// Temporal layers that there may be, 1 to 7.
    pub temporal_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub temporal_nesting: bool,
    /// `chroma_format_idc`: 0 to 3 for monochrome, 4:2:0, 4:2:2, 4:4:4.
    pub chroma_format: u8,
    /// Bits of a luma sample, 8 to 16.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample, 8 to 16.
    pub bit_depth_chroma: u8,
    /// Width in samples within the conformance window; the sample aspect ratio
    /// is not applied.
    pub width: u16,
    /// Height in samples within the conformance window; of one field if
    /// pictures are fields.
    pub height: u16,
    /// Width and height of one sample, relative to each other, if stated.
    pub sample_aspect_ratio: Option<(u16, u16)>,
    /// How colours are meant, if stated.
    pub colour: Option<Colour>,
    /// The rate of access units that the timing information states, if it
    /// states one that is a rate of pictures.
    pub frame_rate: Option<FrameRate>,
}

/// Profile, tier and level (`profile_tier_level()`, section 7.3.3), in the
/// form that configuration records have them in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Level {
    /// `general_profile_space`, 0 to 3.
    pub profile_space: u8,
    /// `general_tier_flag`: the high tier.
    pub high_tier: bool,
    /// `general_profile_idc`.
    pub profile: u8,
    /// `general_profile_compatibility_flag[j]`, the one of `j` = 0 first.
    pub compatibility: u32,
    /// The 48 bits from `general_progressive_source_flag` on.
    pub constraints: [u8; 6],
    /// `general_level_idc`: thirty times the level.
    pub level: u8,
}

impl Sps {
    /// Parses the NAL unit, its two-byte header included.
    ///
    /// # Errors
    /// [`Error::ParameterSet`] with the reason.
    pub fn parse(unit: &[u8]) -> Result<Self, Error> {
        let rbsp = payload(unit, SPS)?;
        let mut bits = BitReader::new(&rbsp);
        let (mut sps, order_bits) =
            read(&mut bits).ok_or(Error::ParameterSet("ends too early"))??;
        // What is behind the sizes is read for rate and colour alone.
        let _ = read_rest(&mut bits, &mut sps, order_bits);
        Ok(sps)
    }

    /// Width and height of the picture as it is meant to be shown: the sample
    /// aspect ratio is applied to the width, rounded. A ratio that leads to no
    /// width of 16 bits is taken for a mistake.
    #[must_use]
    pub fn display_size(&self) -> (u32, u32) {
        vui::display_size(self.width, self.height, self.sample_aspect_ratio)
    }
}

/// The rate that a video parameter set states (section 7.3.2.1), for streams
/// whose sequence parameter set does not.
pub(super) fn vps_frame_rate(unit: &[u8]) -> Option<FrameRate> {
    let rbsp = payload(unit, VPS).ok()?;
    let mut bits = BitReader::new(&rbsp);
    // vps_video_parameter_set_id, vps_base_layer_internal_flag,
    // vps_base_layer_available_flag, vps_max_layers_minus1
    bits.skip(4 + 1 + 1 + 6)?;
    let sub_layers = bits.read_u8(3)?;
    bits.skip(1 + 16)?; // vps_temporal_id_nesting_flag, vps_reserved_0xffff_16bits
    syntax::profile_tier_level(&mut bits, sub_layers)?;
    syntax::skip_ordering(&mut bits, sub_layers)?;
    let max_layer_id = usize::from(bits.read_u8(6)?);
    let layer_sets = usize::try_from(bits.ue()?).ok()?;
    if layer_sets > 1_023 {
        return None;
    }
    bits.skip(layer_sets * (max_layer_id + 1))?; // layer_id_included_flag
    if !bits.bit()? {
        return None;
    }
    timing(&mut bits)
}

/// The payload of a parameter set of the base layer.
fn payload(unit: &[u8], kind: u8) -> Result<Vec<u8>, Error> {
    match unit {
        [_, _, body @ ..] if unit_type(unit) == kind => Ok(unescape(body)),
        [] => Err(Error::ParameterSet("is empty")),
        _ => Err(Error::ParameterSet("is of another type")),
    }
}

/// Up to the bit depths, and the bits of `slice_pic_order_cnt_lsb`. `None`
/// where the bits end.
fn read(bits: &mut BitReader<'_>) -> Option<Result<(Sps, u32), Error>> {
    let wrong = |why| Some(Err(Error::ParameterSet(why)));
    bits.skip(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.read_u8(3)?;
    if sub_layers > 6 {
        return wrong("has more than seven temporal layers");
    }
    let temporal_nesting = bits.bit()?;
    let level = syntax::profile_tier_level(bits, sub_layers)?;
    let Some(id) = u8::try_from(bits.ue()?).ok().filter(|id| *id < 16) else {
        return wrong("has an id above 15");
    };
    let chroma_format = bits.ue()?;
    if chroma_format == 3 {
        bits.skip(1)?; // separate_colour_plane_flag
    }
    let coded = (bits.ue()?, bits.ue()?);
    let mut window = [0; 4]; // left, right, top, bottom
    if bits.bit()? {
        for side in &mut window {
            *side = bits.ue()?;
        }
    }
    let luma = bits.ue()?;
    let chroma = bits.ue()?;
    if chroma_format > 3 || luma > 8 || chroma > 8 {
        return wrong("has an unknown chroma format or bit depth");
    }
    let order_bits = bits.ue()?;
    if order_bits > 12 {
        return wrong("has picture order counts of more than 16 bits");
    }
    // The window counts in chroma samples (equations 7-3 and 7-4).
    let (unit_x, unit_y) = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let size = |coded: u32, unit: u64, before: u32, after: u32| {
        u64::from(coded)
            .checked_sub((u64::from(before) + u64::from(after)) * unit)
            .and_then(|size| u16::try_from(size).ok())
            .filter(|size| *size > 0)
    };
    let [left, right, top, bottom] = window;
    let (Some(width), Some(height)) = (
        size(coded.0, unit_x, left, right),
        size(coded.1, unit_y, top, bottom),
    ) else {
        return wrong("has pictures of no size, or of more than 65535 samples a side");
    };
    let sps = Sps {
        id,
        level,
        temporal_layers: sub_layers + 1,
        temporal_nesting,
        chroma_format: u8::try_from(chroma_format).ok()?,
        bit_depth_luma: u8::try_from(luma + 8).ok()?,
        bit_depth_chroma: u8::try_from(chroma + 8).ok()?,
        width,
        height,
        sample_aspect_ratio: None,
        colour: None,
        frame_rate: None,
    };
    Some(Ok((sps, order_bits + 4)))
}

/// Behind the bits of picture order counts, up to the timing information.
/// `None` where the bits end, and where what cannot be stepped over is wrong.
fn read_rest(bits: &mut BitReader<'_>, sps: &mut Sps, order_bits: u32) -> Option<()> {
    syntax::skip_ordering(bits, sps.temporal_layers - 1)?;
    // Sizes of coding and transform blocks, depths of transform hierarchies.
    for _ in 0..6 {
        bits.ue()?;
    }
    if bits.bit()? && bits.bit()? {
        syntax::skip_scaling_lists(bits)?;
    }
    bits.skip(2)?; // amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.bit()? {
        bits.skip(8)?; // pcm_sample_bit_depth
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?; // pcm_loop_filter_disabled_flag
    }
    syntax::skip_reference_sets(bits)?;
    if bits.bit()? {
        let count = usize::try_from(bits.ue()?).ok()?;
        if count > 32 {
            return None;
        }
        let each = usize::try_from(order_bits).ok()? + 1;
        bits.skip(count * each)?; // lt_ref_pic_poc_lsb_sps and its flag
    }
    bits.skip(2)?; // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    if !bits.bit()? {
        return Some(());
    }
    let mut signal = vui::Signal::default();
    let read = signal.read(bits);
    sps.sample_aspect_ratio = signal.sample_aspect_ratio;
    sps.colour = signal.colour;
    read?;
    bits.skip(3)?; // neutral_chroma_indication, field_seq, frame_field_info_present
    if bits.bit()? {
        for _ in 0..4 {
            bits.ue()?; // default display window
        }
    }
    if bits.bit()? {
        sps.frame_rate = timing(bits);
    }
    Some(())
}

/// Units in a tick and the time scale; a tick is a picture, or a field where
/// pictures are fields (section E.3.1).
fn timing(bits: &mut BitReader<'_>) -> Option<FrameRate> {
    let units_in_tick = bits.read(32)?;
    let time_scale = bits.read(32)?;
    vui::frame_rate(time_scale, u64::from(units_in_tick))
}

#[cfg(test)]
mod tests;
