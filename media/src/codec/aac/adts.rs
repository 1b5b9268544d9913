//! ADTS: AAC frames that carry their configuration with them (ISO/IEC 14496-3,
//! sections 1.A.2.2 and 1.A.3.2; ISO/IEC 13818-7, section 6.2).
//!
//! A stream with spectral band replication states the core's rate and nothing
//! else: its configuration signals the replication implicitly, as section
//! 1.6.6.1 allows, and the track's rate is the core's.
//!
//! The checksum of a frame that has one is not verified: it covers the first bits of
//! each element of the block, and where those begin only a decoder knows. What is lost
//! on the way shows in the transport's own counters.

use std::collections::VecDeque;

use bytes::Bytes;
use rillcast_core::{Track, TrackId};

use super::{Config, SAMPLE_RATES, program_config};
use crate::codec::bits::{BitReader, BitWriter};
use crate::codec::framer::{AudioUnit, Broken, Probe, Syntax};

/// The format, and what the stream said of itself so far.
#[derive(Debug, Default)]
pub(in crate::codec) struct Adts {
    /// The header's fields that the configuration is made of.
    described: Option<Described>,
    config: Option<Config>,
}

impl Syntax for Adts {
    fn probe(&self, bytes: &[u8]) -> Probe {
        // Without all of the header, what is there of the syncword decides.
        match bytes {
            [] | [0xff] => return Probe::More,
            [0xff, second, ..] if second & 0xf6 == 0xf0 => {}
            _ => return Probe::No,
        }
        let Some(bytes) = bytes.first_chunk() else {
            return Probe::More;
        };
        Header::parse(bytes).map_or(Probe::No, |header| Probe::Frame {
            len: header.frame_len,
            kind: header.fixed,
        })
    }

    fn unit(&mut self, frame: &[u8], at: u64, out: &mut VecDeque<AudioUnit>) -> Result<(), Broken> {
        let header = frame.first_chunk().and_then(Header::parse).ok_or(Broken)?;
        let blocks = header.blocks(frame).ok_or(Broken)?;
        for (offset, block) in blocks {
            let changed = self.describe(&header, block)?;
            let config = self.config.as_ref().ok_or(Broken)?;
            out.push_back(AudioUnit {
                payload: Bytes::copy_from_slice(block),
                samples: config.frame_duration(),
                // The first one begins with the header.
                at: at + offset.map_or(0, |offset| offset as u64),
                changed,
            });
        }
        Ok(())
    }

    fn track(&self, id: TrackId) -> Option<Track> {
        self.config.as_ref().map(|config| config.track(id))
    }

    fn is_telling(&self) -> bool {
        // 28 bits.
        true
    }
}

impl Adts {
    /// Takes over what a frame says of the stream; says whether that changed
    /// the configuration.
    fn describe(&mut self, header: &Header, block: &[u8]) -> Result<bool, Broken> {
        // With channel configuration 0 a program config element in the block
        // itself says which channels there are, not necessarily each time.
        let elements = (header.channel_config == 0)
            .then(|| first_program_config(block))
            .flatten();
        let described = Described {
            object_type: header.object_type,
            rate_index: header.rate_index,
            channel_config: header.channel_config,
            elements,
        };
        if let Some(known) = &self.described
            && (*known == described || known.covers(&described))
        {
            return Ok(false);
        }
        let config = Config::parse(&described.to_config()).map_err(|_| Broken)?;
        let changed = self.config.as_ref() != Some(&config);
        self.described = Some(described);
        self.config = Some(config);
        Ok(changed)
    }
}

/// What the configuration of a stream is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Described {
    object_type: u8,
    rate_index: u8,
    channel_config: u8,
    /// The block that begins with a program config element, up to its end.
    elements: Option<Bytes>,
}

impl Described {
    /// Whether `other` is the same without its program config element.
    fn covers(&self, other: &Self) -> bool {
        other.elements.is_none()
            && self.elements.is_some()
            && (self.object_type, self.rate_index) == (other.object_type, other.rate_index)
            && other.channel_config == 0
    }

    /// `AudioSpecificConfig()` with its `GASpecificConfig()`.
    fn to_config(&self) -> Bytes {
        let mut bits = BitWriter::default();
        bits.put(u32::from(self.object_type), 5);
        bits.put(u32::from(self.rate_index), 4);
        bits.put(u32::from(self.channel_config), 4);
        // Frames of 1024 samples, no core coder, no extension.
        bits.put(0, 3);
        if let Some(elements) = &self.elements {
            put_program_config(&mut bits, elements);
        }
        bits.into_bytes()
    }
}

/// How frames of a configuration are written as ADTS.
#[derive(Clone, Debug)]
pub(crate) struct AdtsForm {
    /// The header of a frame without its length.
    header: [u8; HEADER],
    /// The program config element that says which channels there are where no
    /// number does; empty else.
    elements: Bytes,
}

/// What 13 bits can say.
const MAX_FRAME: usize = (1 << 13) - 1;

impl AdtsForm {
    /// The header of a frame, and what stands between it and the raw data
    /// block. `None` for an empty block and one that is too long.
    pub(crate) fn header(&self, block: &[u8]) -> Option<([u8; HEADER], &[u8])> {
        let elements: &[u8] = match block {
            [] => return None,
            // It has the element itself.
            [first, ..] if u32::from(*first >> 5) == PROGRAM_CONFIG_ELEMENT => &[],
            _ => &self.elements,
        };
        let length = HEADER + elements.len() + block.len();
        if length > MAX_FRAME {
            return None;
        }
        let length = u32::try_from(length).ok()? << 5;
        let [_, high, middle, low] = length.to_be_bytes();
        let [a, b, c, d, _, f, g] = self.header;
        Some(([a, b, c, d | high, middle, f | low, g], elements))
    }
}

impl Config {
    /// How frames are written as ADTS; `None` if that has no words for the
    /// configuration. Spectral band replication is left for decoders to find.
    pub(crate) fn adts(&self) -> Option<AdtsForm> {
        let mut bits = BitReader::new(&self.bytes);
        let outer = super::object_type(&mut bits)?;
        super::sample_rate(&mut bits).ok()?;
        let channel_config = bits.read_u8(4)?;
        if matches!(
            outer,
            super::SPECTRAL_BAND_REPLICATION | super::PARAMETRIC_STEREO
        ) {
            super::sample_rate(&mut bits).ok()?;
            super::object_type(&mut bits)?;
        }
        let rates = &mut SAMPLE_RATES.iter();
        let rate_index = rates.position(|rate| *rate == self.core_rate)?;
        // frameLengthFlag, dependsOnCoreCoder, extensionFlag.
        let plain = bits.read(2)? == 0;
        bits.skip(1)?;
        let known = matches!(self.object_type, 1..=4) && channel_config < 8;
        if !plain || !known {
            return None;
        }
        let elements = match channel_config {
            0 => elements_of(&mut bits)?,
            _ => Bytes::new(),
        };
        let profile = (self.object_type - 1) << 6;
        let rate = u8::try_from(rate_index).ok()? << 2;
        // MPEG-4, no checksum, a buffer fullness that says nothing, one block.
        let header = [
            0xff,
            0xf1,
            profile | rate | channel_config >> 2,
            channel_config << 6,
            0,
            0x1f,
            0xfc,
        ];
        Some(AdtsForm { header, elements })
    }
}

/// The program config element of a configuration as one of a raw data block.
fn elements_of(bits: &mut BitReader<'_>) -> Option<Bytes> {
    let mut end = bits.clone();
    super::program_config_fields(&mut end)?;
    let mut out = BitWriter::default();
    out.put(PROGRAM_CONFIG_ELEMENT, 3);
    while bits.position() < end.position() {
        out.put(u32::from(bits.bit()?), 1);
    }
    bits.align();
    out.align();
    let comment = bits.read(8)?;
    out.put(comment, 8);
    for _ in 0..comment {
        out.put(bits.read(8)?, 8);
    }
    Some(out.into_bytes())
}

/// The header of a frame, `adts_fixed_header()` and `adts_variable_header()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// The fixed header's 28 bits, which all frames of a stream share.
    fixed: u64,
    is_protected: bool,
    object_type: u8,
    rate_index: u8,
    channel_config: u8,
    frame_len: usize,
    /// `number_of_raw_data_blocks_in_frame` + 1.
    block_count: usize,
}

impl Header {
    fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let mut bits = BitReader::new(bytes);
        let fixed = bits.clone().read(28)?;
        if bits.read(12)? != 0xfff {
            return None;
        }
        bits.skip(1)?; // ID: MPEG-2 and MPEG-4 have the same frames.
        if bits.read(2)? != 0 {
            return None; // layer
        }
        let is_protected = !bits.bit()?;
        let object_type = bits.read_u8(2)? + 1;
        let rate_index = bits.read_u8(4)?;
        bits.skip(1)?; // private_bit
        let channel_config = bits.read_u8(3)?;
        bits.skip(4)?; // original_copy, home, copyright identification
        let frame_len = usize::try_from(bits.read(13)?).ok()?;
        bits.skip(11)?; // adts_buffer_fullness
        let block_count = usize::try_from(bits.read(2)?).ok()? + 1;
        let header = Self {
            fixed: u64::from(fixed),
            is_protected,
            object_type,
            rate_index,
            channel_config,
            frame_len,
            block_count,
        };
        let is_possible =
            usize::from(rate_index) < SAMPLE_RATES.len() && frame_len > header.overhead();
        is_possible.then_some(header)
    }

    /// Bytes that are no raw data blocks: the header, the checksum with the
    /// positions of all blocks but the first, and a checksum behind each block
    /// if there are several.
    const fn overhead(&self) -> usize {
        match (self.is_protected, self.block_count) {
            (false, _) => HEADER,
            (true, 1) => HEADER + CHECKSUM,
            (true, count) => HEADER + 2 * (count - 1) + CHECKSUM + CHECKSUM * count,
        }
    }

    /// The raw data blocks of a frame, each with its offset but for the first.
    /// `None` if they cannot be told apart: where blocks end is only written
    /// with a checksum, and to find it otherwise takes a decoder.
    fn blocks<'a>(&self, frame: &'a [u8]) -> Option<Vec<(Option<usize>, &'a [u8])>> {
        if self.block_count == 1 {
            let begin = self.overhead();
            return Some(vec![(
                None,
                frame.get(begin..).filter(|rest| !rest.is_empty())?,
            )]);
        }
        if !self.is_protected {
            return None;
        }
        // `raw_data_block_position[i]` counts from the first block's begin.
        let first = HEADER + 2 * (self.block_count - 1) + CHECKSUM;
        let mut begins = vec![first];
        let positions = frame.get(HEADER..first - CHECKSUM)?;
        let (positions, _) = positions.as_chunks::<2>();
        begins.extend(
            positions
                .iter()
                .map(|position| first + usize::from(u16::from_be_bytes(*position))),
        );
        let ends = begins.iter().skip(1).copied().chain([frame.len()]);
        let blocks = begins.iter().zip(ends).map(|(begin, end)| {
            let block = frame.get(*begin..end.checked_sub(CHECKSUM)?)?;
            let offset = (*begin != first).then_some(*begin);
            (!block.is_empty()).then_some((offset, block))
        });
        blocks.collect()
    }
}

/// The program config element that a raw data block begins with: its bytes from
/// the block's first to the element's last. `None` if it begins otherwise.
fn first_program_config(block: &[u8]) -> Option<Bytes> {
    let mut bits = BitReader::new(block);
    if bits.read(3)? != PROGRAM_CONFIG_ELEMENT {
        return None;
    }
    program_config(&mut bits)?;
    let end = bits.position().div_ceil(8);
    block.get(..end).map(Bytes::copy_from_slice)
}

/// Writes the program config element that `block` begins with behind what is
/// in `out`: its fields move by bits, its comment stays aligned to bytes.
fn put_program_config(out: &mut BitWriter, block: &[u8]) {
    let mut bits = BitReader::new(block);
    let copied = (|| {
        bits.skip(3)?;
        let mut end = bits.clone();
        super::program_config_fields(&mut end)?;
        while bits.position() < end.position() {
            out.put(u32::from(bits.bit()?), 1);
        }
        bits.align();
        out.align();
        while let Some(byte) = bits.read(8) {
            out.put(byte, 8);
        }
        Some(())
    })();
    // `first_program_config` has read the same.
    debug_assert!(copied.is_some());
}

/// Bytes of a header without its checksum.
const HEADER: usize = 7;
/// Bytes of a checksum.
const CHECKSUM: usize = 2;
/// `ID_PCE` (table 4.85).
const PROGRAM_CONFIG_ELEMENT: u32 = 5;

#[cfg(test)]
mod tests;
