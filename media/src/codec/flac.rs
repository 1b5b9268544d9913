//! FLAC (RFC 9639): the STREAMINFO block, and how long frames are.

use bytes::{BufMut, Bytes, BytesMut};
use rillcast_core::{AudioParams, MediaParams, Timescale, Track, TrackId};

use super::FLAC;
use super::bits::BitReader;
use crate::cursor::Cursor;

/// What a STREAMINFO block says (section 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    min_block: u16,
    max_block: u16,
    sample_rate: u32,
    channels: u8,
    bits_per_sample: u8,
}

/// Why bytes are no configuration of FLAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It ends too early.
    #[error("a FLAC configuration that ends too early")]
    Truncated,
    /// None of its metadata blocks is STREAMINFO.
    #[error("a FLAC configuration without STREAMINFO")]
    NoStreamInfo,
    /// The sample rate is zero, which is no sound.
    #[error("a FLAC configuration with a sample rate of zero")]
    SampleRate,
    /// Blocks are shorter than 16 samples, or the longest is not the longest.
    #[error("a FLAC configuration with impossible block sizes")]
    BlockSize,
}

impl Config {
    /// Parses a STREAMINFO block: its contents alone, behind the header of a
    /// metadata block, or behind the marker `fLaC`.
    ///
    /// # Errors
    /// An [`Error`] if it is malformed or not there.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() == STREAM_INFO {
            return Self::read(bytes);
        }
        let blocks = bytes.strip_prefix(b"fLaC").unwrap_or(bytes);
        let mut cursor = Cursor::new(blocks);
        loop {
            let header = cursor.u32().ok_or(Error::Truncated)?;
            let len = usize::try_from(header & 0xff_ffff).unwrap_or(usize::MAX);
            let body = cursor.take(len).ok_or(Error::Truncated)?;
            if header >> 24 & 0x7f == 0 {
                return Self::read(body);
            }
            if header >> 31 == 1 || cursor.is_empty() {
                return Err(Error::NoStreamInfo);
            }
        }
    }

    fn read(body: &[u8]) -> Result<Self, Error> {
        let config = Self::fields(body).ok_or(Error::Truncated)?;
        if config.sample_rate == 0 {
            return Err(Error::SampleRate);
        }
        if config.min_block < 16 || config.max_block < config.min_block {
            return Err(Error::BlockSize);
        }
        Ok(config)
    }

    fn fields(body: &[u8]) -> Option<Self> {
        let body = body.get(..STREAM_INFO)?;
        let mut bits = BitReader::new(body);
        let min_block = u16::try_from(bits.read(16)?).ok()?;
        let max_block = u16::try_from(bits.read(16)?).ok()?;
        bits.skip(48)?; // sizes of frames
        Some(Self {
            min_block,
            max_block,
            sample_rate: bits.read(20)?,
            channels: bits.read_u8(3)? + 1,
            bits_per_sample: bits.read_u8(5)? + 1,
        })
    }

    /// Samples per second.
    #[must_use]
    pub const fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Channels: 1 to 8.
    #[must_use]
    pub const fn channels(&self) -> u8 {
        self.channels
    }

    /// Bits of a sample: 4 to 32.
    #[must_use]
    pub const fn bits_per_sample(&self) -> u8 {
        self.bits_per_sample
    }

    /// Samples of each frame, if all have as many.
    #[must_use]
    pub fn frame_duration(&self) -> Option<u32> {
        (self.min_block == self.max_block).then_some(u32::from(self.max_block))
    }

    /// The contents of the STREAMINFO block. What a live stream cannot know (the
    /// sizes of frames, the number of samples, their checksum) is left open.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(STREAM_INFO);
        out.put_u16(self.min_block);
        out.put_u16(self.max_block);
        out.put_bytes(0, 6);
        let format = u64::from(self.sample_rate) << 44
            | u64::from(self.channels.saturating_sub(1)) << 41
            | u64::from(self.bits_per_sample.saturating_sub(1)) << 36;
        out.put_u64(format);
        out.put_bytes(0, 16);
        out.freeze()
    }

    /// The track that the configuration describes; its timescale is the sample
    /// rate.
    #[must_use]
    pub fn track(&self, id: TrackId) -> Track {
        // The parser refuses a rate of zero.
        let timescale = Timescale::new(self.sample_rate).unwrap_or(Timescale::MILLIS);
        let params =
            MediaParams::Audio(AudioParams::new(self.sample_rate, u16::from(self.channels)));
        Track::new(id, FLAC, timescale, params)
            .with_codec_string("fLaC")
            .with_config(self.to_bytes())
    }
}

/// How many samples a frame holds, as its header says (section 9.1); `None` if
/// it begins with none.
#[must_use]
pub fn frame_duration(frame: &[u8]) -> Option<u32> {
    let mut cursor = Cursor::new(frame);
    let [sync, strategy, sizes, channels] = cursor.array()?;
    // 15 bits of it, and the strategy; a reserved bit behind the sample size.
    if sync != 0xff || strategy & 0xfe != 0xf8 || channels & 1 != 0 {
        return None;
    }
    // The number of the frame or of its first sample, coded as UTF-8 codes characters.
    let first = cursor.u8()?;
    let more = match first.leading_ones() {
        0 => 0,
        1 | 8 => return None,
        ones => ones - 1,
    };
    for _ in 0..more {
        cursor.u8().filter(|byte| byte & 0xc0 == 0x80)?;
    }
    match sizes >> 4 {
        1 => Some(192),
        size @ 2..=5 => Some(576 << (size - 2)),
        6 => Some(u32::from(cursor.u8()?) + 1),
        7 => Some(u32::from(cursor.u16()?) + 1),
        size @ 8.. => Some(256 << (size - 8)),
        0 => None,
    }
}

/// Bytes of the contents of a STREAMINFO block.
const STREAM_INFO: usize = 34;

#[cfg(test)]
mod tests;
