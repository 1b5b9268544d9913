//! Frames: the index of a superframe (annex B) and the uncompressed header.

use rillcast_core::Colour;

use crate::codec::bits::BitReader;

/// What the header of a key frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// 0 to 3.
    pub profile: u8,
    /// 8, 10 or 12.
    pub bit_depth: u8,
    /// Whether chroma has half of the columns and half of the rows.
    pub subsampling: (bool, bool),
    /// How colours are meant, as far as the header can say it.
    pub colour: Option<Colour>,
    /// Width of the picture.
    pub width: u32,
    /// Height of the picture.
    pub height: u32,
    /// In what size it is meant to be shown.
    pub shown: (u32, u32),
}

/// Whether decoding can start at a frame or superframe: its first frame is a key
/// frame, which is shown itself or by one behind it.
#[must_use]
pub fn is_keyframe(payload: &[u8]) -> bool {
    first_frame(payload).is_some_and(|frame| begin(frame).is_some_and(|(_, is_key)| is_key))
}

impl Header {
    /// Reads the header of the key frame that a frame or superframe begins with;
    /// `None` for any other one, and if it is malformed.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (mut bits, is_key) = begin(first_frame(payload)?)?;
        let profile = profile(&mut BitReader::new(payload))?;
        if !is_key || bits.read(24)? != SYNC_CODE {
            return None;
        }
        let bit_depth = match profile {
            0 | 1 => 8,
            _ if bits.bit()? => 12,
            _ => 10,
        };
        let space = bits.read_u8(3)?;
        let has_sampling = profile & 1 == 1;
        let (full_range, subsampling) = if space == RGB {
            if !has_sampling {
                return None;
            }
            bits.skip(1)?;
            (true, (false, false))
        } else {
            let full_range = bits.bit()?;
            let subsampling = if has_sampling {
                let sampling = (bits.bit()?, bits.bit()?);
                bits.skip(1)?;
                sampling
            } else {
                (true, true)
            };
            (full_range, subsampling)
        };
        let width = bits.read(16)? + 1;
        let height = bits.read(16)? + 1;
        let shown = if bits.bit()? {
            (bits.read(16)? + 1, bits.read(16)? + 1)
        } else {
            (width, height)
        };
        Some(Self {
            profile,
            bit_depth,
            subsampling,
            colour: colour(space, full_range),
            width,
            height,
            shown,
        })
    }
}

/// The first frame of a superframe, which ends with an index of the frames'
/// sizes; the payload itself if it is none.
fn first_frame(payload: &[u8]) -> Option<&[u8]> {
    let marker = *payload.last()?;
    if marker & 0xe0 != 0xc0 {
        return Some(payload);
    }
    let frames = usize::from(marker & 7) + 1;
    let width = usize::from(marker >> 3 & 3) + 1;
    let index = payload
        .len()
        .checked_sub(2 + frames * width)
        .and_then(|begin| payload.get(begin..));
    let Some([first, sizes @ ..]) = index else {
        return Some(payload);
    };
    if *first != marker {
        return Some(payload);
    }
    let mut begin = 0;
    for size in sizes.chunks_exact(width).take(frames) {
        let size = size
            .iter()
            .rev()
            .fold(0, |size, byte| size << 8 | usize::from(*byte));
        // Frames of nothing are left out by decoders.
        if size > 0 {
            return payload.get(begin..)?.get(..size);
        }
        begin += size;
    }
    None
}

/// Reads a header up to `error_resilient_mode`; whether it is a key frame.
fn begin(frame: &[u8]) -> Option<(BitReader<'_>, bool)> {
    let mut bits = BitReader::new(frame);
    profile(&mut bits)?;
    // `show_existing_frame`: nothing follows.
    if bits.bit()? {
        return Some((bits, false));
    }
    let is_key = !bits.bit()?;
    bits.skip(2)?; // show_frame, error_resilient_mode
    Some((bits, is_key))
}

fn profile(bits: &mut BitReader<'_>) -> Option<u8> {
    if bits.read(2)? != 2 {
        return None;
    }
    let low = u8::from(bits.bit()?);
    let profile = u8::from(bits.bit()?) << 1 | low;
    // A bit for more profiles than there are.
    (profile < 3 || !bits.bit()?).then_some(profile)
}

/// The code points of a `color_space`. What BT.2020 is to be shown by, the
/// bitstream does not say.
fn colour(space: u8, full_range: bool) -> Option<Colour> {
    let (primaries, transfer, matrix) = match space {
        1 => (5, 6, 5),
        2 => (1, 1, 1),
        3 => (6, 6, 6),
        4 => (7, 7, 7),
        5 => (9, 2, 9),
        RGB => (1, 13, 0),
        _ if full_range => (2, 2, 2),
        _ => return None,
    };
    Some(Colour::new(primaries, transfer, matrix, full_range))
}

const SYNC_CODE: u32 = 0x49_83_42;
const RGB: u8 = 7;
