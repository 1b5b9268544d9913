//! Syncframes: `syncinfo()` and `bsi()` of AC-3 (sections 4.3 and 4.4) and of
//! Enhanced AC-3 (annex E.1).

use crate::codec::bits::BitReader;

/// What the begin of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) role: Role,
    pub(super) len: usize,
    pub(super) sample_rate: u32,
    /// `fscod`.
    pub(super) rate_code: u8,
    /// `frmsizecod` without its lowest bit; 0 for Enhanced AC-3.
    pub(super) bitrate_code: u8,
    /// `bsid`.
    pub(super) version: u8,
    /// `bsmod`.
    pub(super) service: u8,
    /// `acmod`.
    pub(super) mode: u8,
    /// `lfeon`.
    pub(super) low_effects: bool,
    /// Blocks of 256 samples: 1, 2, 3 or 6.
    pub(super) blocks: u32,
    /// `chanmap` of a dependent substream, or what its mode amounts to.
    pub(super) locations: u16,
}

/// What a frame is for, with the number of its substream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Ac3,
    Independent(u8),
    Dependent(u8),
}

impl Frame {
    /// How long a frame with this header is, and what it has in common with
    /// all others of its stream.
    pub(super) fn probe(header: &[u8; HEADER]) -> Option<(usize, u64)> {
        let frame = Self::read(header)?;
        let format = match frame.role {
            Role::Ac3 => u64::from(frame.mode) << 2 | u64::from(frame.low_effects) << 1 | 1,
            // Substreams have different channels.
            _ => 0,
        };
        let kind = u64::from(frame.sample_rate) << 16 | u64::from(frame.version) << 8 | format;
        Some((frame.len, kind))
    }

    /// Reads a whole frame's header.
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        let mut parsed = Self::read(frame)?;
        if parsed.role != Role::Ac3 {
            // What lies behind the first fields is not needed to go on.
            let _ = parsed.read_information(frame);
        }
        Some(parsed)
    }

    /// The fields that stand at fixed places.
    fn read(frame: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(frame);
        if bits.read(16)? != SYNCWORD {
            return None;
        }
        // Both have `bsid` at the same place.
        let version = frame.get(5)? >> 3;
        match version {
            0..=8 => Self::read_ac3(bits),
            11..=16 => Self::read_enhanced(bits),
            _ => None,
        }
    }

    fn read_ac3(mut bits: BitReader<'_>) -> Option<Self> {
        bits.skip(16)?; // crc1
        let rate_code = bits.read_u8(2)?;
        let size_code = bits.read_u8(6)?;
        let version = bits.read_u8(5)?;
        let service = bits.read_u8(3)?;
        let mode = bits.read_u8(3)?;
        if mode & 1 != 0 && mode != 1 {
            bits.skip(2)?; // cmixlev
        }
        if mode & 4 != 0 {
            bits.skip(2)?; // surmixlev
        }
        if mode == 2 {
            bits.skip(2)?; // dsurmod
        }
        let low_effects = bits.bit()?;
        let bitrate_code = size_code >> 1;
        let sample_rate = *SAMPLE_RATES.get(usize::from(rate_code))?;
        let bitrate = u32::from(*BITRATES.get(usize::from(bitrate_code))?) * 1_000;
        // Table 4.13: words of 16 bits, at 44.1 kHz one more with odd codes.
        let odd = u32::from(rate_code == 1 && size_code & 1 == 1);
        let words = bitrate * 96 / sample_rate + odd;
        Some(Self {
            role: Role::Ac3,
            len: usize::try_from(words * 2).ok()?,
            sample_rate,
            rate_code,
            bitrate_code,
            version,
            service,
            mode,
            low_effects,
            blocks: 6,
            locations: locations(mode, low_effects),
        })
    }

    fn read_enhanced(mut bits: BitReader<'_>) -> Option<Self> {
        let kind = bits.read_u8(2)?;
        let number = bits.read_u8(3)?;
        let len = (usize::try_from(bits.read(11)?).ok()? + 1) * 2;
        let role = match kind {
            // 2: independent, and was AC-3 once.
            0 | 2 => Role::Independent(number),
            1 => Role::Dependent(number),
            _ => return None,
        };
        let rate_code = bits.read_u8(2)?;
        let low = bits.read_u8(2)?;
        let (sample_rate, blocks) = match rate_code {
            // Half of the rates, always with six blocks.
            3 => (SAMPLE_RATES.get(usize::from(low))? / 2, 6),
            code => (
                *SAMPLE_RATES.get(usize::from(code))?,
                *BLOCKS.get(usize::from(low))?,
            ),
        };
        let mode = bits.read_u8(3)?;
        let low_effects = bits.bit()?;
        let version = bits.read_u8(5)?;
        (len >= HEADER).then_some(Self {
            role,
            len,
            sample_rate,
            rate_code,
            bitrate_code: 0,
            version,
            service: 0,
            mode,
            low_effects,
            blocks,
            locations: locations(mode, low_effects),
        })
    }

    /// What lies behind `bsid` in Enhanced AC-3, up to `bsmod`.
    fn read_information(&mut self, frame: &[u8]) -> Option<()> {
        let mut bits = BitReader::new(frame);
        bits.skip(45)?;
        let is_dual_mono = self.mode == 0;
        for _ in 0..if is_dual_mono { 2 } else { 1 } {
            bits.skip(5)?; // dialnorm
            skip_if(&mut bits, 8)?; // compr
        }
        if matches!(self.role, Role::Dependent(_)) && bits.bit()? {
            self.locations = u16::try_from(bits.read(16)?).ok()?;
        }
        if bits.bit()? {
            self.skip_mixing(&mut bits)?;
        }
        if bits.bit()? {
            self.service = bits.read_u8(3)?;
        }
        Some(())
    }

    /// The metadata for mixing (section E.1.2.2, `mixmdate`).
    fn skip_mixing(&self, bits: &mut BitReader<'_>) -> Option<()> {
        let mode = self.mode;
        if mode > 2 {
            bits.skip(2)?; // dmixmod
        }
        if mode & 1 != 0 && mode > 2 {
            bits.skip(6)?; // ltrtcmixlev, lorocmixlev
        }
        if mode & 4 != 0 {
            bits.skip(6)?; // ltrtsurmixlev, lorosurmixlev
        }
        if self.low_effects {
            skip_if(bits, 5)?; // lfemixlevcod
        }
        if matches!(self.role, Role::Dependent(_)) {
            return Some(());
        }
        skip_if(bits, 6)?; // pgmscl
        if mode == 0 {
            skip_if(bits, 6)?; // pgmscl2
        }
        skip_if(bits, 6)?; // extpgmscl
        match bits.read(2)? {
            0 => {}
            1 => bits.skip(5)?,
            2 => bits.skip(12)?,
            _ => {
                let len = usize::from(bits.read_u8(5)?) + 2;
                bits.skip(8 * len)?;
            }
        }
        if mode < 2 {
            skip_if(bits, 14)?; // panmean, paninfo
            if mode == 0 {
                skip_if(bits, 14)?;
            }
        }
        if bits.bit()? {
            if self.blocks == 1 {
                bits.skip(5)?; // blkmixcfginfo
            } else {
                for _ in 0..self.blocks {
                    skip_if(bits, 5)?;
                }
            }
        }
        Some(())
    }
}

/// A flag, and so many bits behind it if it is set.
fn skip_if(bits: &mut BitReader<'_>, count: usize) -> Option<()> {
    if bits.bit()? {
        bits.skip(count)?;
    }
    Some(())
}

/// The channels of a mode as `chanmap` has them (table E.1.5): from the highest
/// bit on left, centre, right, left and right surround, and at the ninth the
/// one surround behind; the lowest is the low-frequency effects channel.
fn locations(mode: u8, low_effects: bool) -> u16 {
    const LEFT: u16 = 1 << 15;
    const CENTRE: u16 = 1 << 14;
    const RIGHT: u16 = 1 << 13;
    const SIDES: u16 = 1 << 12 | 1 << 11;
    const BEHIND: u16 = 1 << 8;
    let full = match mode {
        0 | 2 => LEFT | RIGHT,
        1 => CENTRE,
        3 => LEFT | CENTRE | RIGHT,
        4 => LEFT | RIGHT | BEHIND,
        5 => LEFT | CENTRE | RIGHT | BEHIND,
        6 => LEFT | RIGHT | SIDES,
        _ => LEFT | CENTRE | RIGHT | SIDES,
    };
    full | u16::from(low_effects)
}

/// Bytes up to `lfeon`.
pub(super) const HEADER: usize = 7;

const SYNCWORD: u32 = 0x0b77;

/// Table 4.1.
const SAMPLE_RATES: [u32; 3] = [48_000, 44_100, 32_000];

/// Table 4.13, in kbit/s.
const BITRATES: [u16; 19] = [
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
];

/// Table E.1.3, by `numblkscod`.
const BLOCKS: [u32; 4] = [1, 2, 3, 6];
