//! The sequence header (section 5.5): what it tells of the pictures.

use rillcast_core::{Colour, FrameRate};

use super::Error;
use crate::codec::bits::BitReader;
use crate::codec::vui;

/// What a sequence header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sequence {
    /// `seq_profile`: 0 (Main), 1 (High) or 2 (Professional).
    pub profile: u8,
    /// Level and tier of the first operating point, which is all of the stream.
    pub level: Level,
    /// The largest width of its pictures.
    pub width: u32,
    /// The largest height.
    pub height: u32,
    /// 8, 10 or 12.
    pub bit_depth: u8,
    /// Pictures without colours.
    pub monochrome: bool,
    /// Whether chroma has half of the columns and half of the rows.
    pub subsampling: (bool, bool),
    /// `chroma_sample_position`.
    pub chroma_position: u8,
    /// How colours are meant, if that is said.
    pub colour: Option<Colour>,
    /// How fast pictures come, if all last equally long.
    pub frame_rate: Option<FrameRate>,
    /// `reduced_still_picture_header`: each picture is one of its own.
    pub reduced: bool,
}

/// What a decoder must be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Level {
    /// `seq_level_idx`: 0 to 23 for the levels 2.0 to 7.3, 31 for none.
    pub index: u8,
    /// The High tier and not the Main one.
    pub high_tier: bool,
}

impl Sequence {
    /// Reads the body of a sequence header OBU.
    ///
    /// # Errors
    /// [`Error::Sequence`] if it is malformed.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut bits = BitReader::new(body);
        let sequence = read(&mut bits).ok_or(Error::Sequence("that ends too early"))?;
        if sequence.profile > 2 {
            return Err(Error::Sequence("of a reserved profile"));
        }
        Ok(sequence)
    }
}

fn read(bits: &mut BitReader<'_>) -> Option<Sequence> {
    let profile = bits.read_u8(3)?;
    bits.skip(1)?; // still_picture
    let reduced = bits.bit()?;
    let mut frame_rate = None;
    let level = if reduced {
        Level {
            index: bits.read_u8(5)?,
            high_tier: false,
        }
    } else {
        operating_points(bits, &mut frame_rate)?
    };
    let width_bits = bits.read(4)? + 1;
    let height_bits = bits.read(4)? + 1;
    let width = bits.read(width_bits)? + 1;
    let height = bits.read(height_bits)? + 1;
    if !reduced && bits.bit()? {
        bits.skip(4 + 3)?; // lengths of frame ids
    }
    bits.skip(3)?; // use_128x128_superblock, filter_intra, intra_edge_filter
    if !reduced {
        tools(bits)?;
    }
    bits.skip(3)?; // superres, cdef, restoration
    let mut sequence = Sequence {
        profile,
        level,
        width,
        height,
        bit_depth: 8,
        monochrome: false,
        subsampling: (true, true),
        chroma_position: 0,
        colour: None,
        frame_rate,
        reduced,
    };
    sequence.read_colours(bits)?;
    Some(sequence)
}

/// From `timing_info_present_flag` to the last operating point: level and tier
/// of the first one.
fn operating_points(bits: &mut BitReader<'_>, rate: &mut Option<FrameRate>) -> Option<Level> {
    let mut delay_bits = None;
    if bits.bit()? {
        let units = u64::from(bits.read(32)?);
        let time_scale = bits.read(32)?;
        if bits.bit()? {
            // `uvlc()`, which is `ue(v)` but for numbers that make no rate.
            let ticks = u64::from(bits.ue()?) + 1;
            *rate = units
                .checked_mul(ticks)
                .and_then(|units| vui::frame_rate(time_scale, units));
        }
        if bits.bit()? {
            delay_bits = Some(usize::from(bits.read_u8(5)?) + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let has_display_delay = bits.bit()?;
    let count = bits.read(5)? + 1;
    let mut first = None;
    for _ in 0..count {
        bits.skip(12)?; // operating_point_idc
        let index = bits.read_u8(5)?;
        let high_tier = index > 7 && bits.bit()?;
        if let Some(delay_bits) = delay_bits
            && bits.bit()?
        {
            bits.skip(2 * delay_bits + 1)?;
        }
        if has_display_delay && bits.bit()? {
            bits.skip(4)?;
        }
        first.get_or_insert(Level { index, high_tier });
    }
    first
}

/// The tools of pictures that are predicted from others.
fn tools(bits: &mut BitReader<'_>) -> Option<()> {
    bits.skip(4)?; // interintra, masked compound, warped motion, dual filter
    let has_order_hint = bits.bit()?;
    if has_order_hint {
        bits.skip(2)?; // jnt_comp, ref_frame_mvs
    }
    // Chosen for each picture, which is as if it were forced.
    let screen_content = bits.bit()? || bits.bit()?;
    if screen_content && !bits.bit()? {
        bits.skip(1)?; // seq_force_integer_mv
    }
    if has_order_hint {
        bits.skip(3)?; // order_hint_bits
    }
    Some(())
}

impl Sequence {
    /// `color_config()` (section 5.5.2).
    fn read_colours(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        let is_high = bits.bit()?;
        self.bit_depth = match (self.profile, is_high) {
            (2, true) if bits.bit()? => 12,
            (_, true) => 10,
            (_, false) => 8,
        };
        self.monochrome = self.profile != 1 && bits.bit()?;
        let described = bits.bit()?;
        let (primaries, transfer, matrix) = if described {
            (bits.read_u8(8)?, bits.read_u8(8)?, bits.read_u8(8)?)
        } else {
            (2, 2, 2)
        };
        let full_range = if self.monochrome {
            bits.bit()?
        } else if (primaries, transfer, matrix) == SRGB {
            self.subsampling = (false, false);
            true
        } else {
            let full_range = bits.bit()?;
            self.subsampling = match self.profile {
                0 => (true, true),
                1 => (false, false),
                _ if self.bit_depth == 12 => {
                    let columns = bits.bit()?;
                    (columns, columns && bits.bit()?)
                }
                _ => (true, false),
            };
            if self.subsampling == (true, true) {
                self.chroma_position = bits.read_u8(2)?;
            }
            full_range
        };
        self.colour = (described || full_range)
            .then_some(Colour::new(primaries, transfer, matrix, full_range));
        Some(())
    }
}

/// Primaries of BT.709, transfer of sRGB, no matrix: red, green and blue.
const SRGB: (u8, u8, u8) = (1, 13, 0);
