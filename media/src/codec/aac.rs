//! AAC: the AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1). How MPEG-TS
//! frames it is beside: `aac/adts.rs` and `aac/latm.rs`.

use bytes::Bytes;
use rillcast_core::{AudioParams, MediaParams, Timescale, Track, TrackId};

use super::AAC;
use super::bits::BitReader;

pub(in crate::codec) mod adts;
pub(in crate::codec) mod latm;

pub(crate) use adts::AdtsForm;

/// What an AudioSpecificConfig says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    bytes: Bytes,
    object_type: u8,
    core_rate: u32,
    sample_rate: u32,
    channels: u16,
    frame_length: u32,
    sbr: bool,
    ps: bool,
}

/// Why bytes are no AudioSpecificConfig that rillcast can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration ends too early.
    #[error("an AAC configuration that ends too early")]
    Truncated,
    /// The audio object type is no AAC of the kinds known here.
    #[error("an AAC configuration of audio object type {0}, which is not known here")]
    ObjectType(u8),
    /// The sampling frequency is reserved or zero.
    #[error("an AAC configuration with an impossible sampling frequency")]
    SampleRate,
    /// The channel configuration is reserved.
    #[error("an AAC configuration with the reserved channel configuration {0}")]
    Channels(u8),
}

impl Config {
    /// Parses an AudioSpecificConfig. Bytes after it stay part of
    /// [`Config::to_bytes`] if they may belong to it.
    ///
    /// # Errors
    /// An [`Error`] if it is malformed or of a kind that is not known here.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut bits = BitReader::new(bytes);
        let mut config = read(&mut bits)?;
        read_sync_extension(&mut bits, &mut config);
        // Longer ones are padding: the largest real one, with a program
        // config element and its comment, stays below this.
        let kept = bytes.get(..MAX_CONFIG).unwrap_or(bytes);
        config.bytes = Bytes::copy_from_slice(kept);
        Ok(config)
    }

    /// The audio object type: 2 for AAC-LC. With spectral band replication or
    /// parametric stereo, that of the core.
    #[must_use]
    pub const fn object_type(&self) -> u8 {
        self.object_type
    }

    /// Samples per second of the decoded sound: with spectral band
    /// replication that the configuration states, twice the core's.
    #[must_use]
    pub const fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Channels of the decoded sound; 0 if the configuration leaves it open.
    #[must_use]
    pub const fn channels(&self) -> u16 {
        self.channels
    }

    /// Whether the configuration states spectral band replication (HE-AAC).
    #[must_use]
    pub const fn sbr(&self) -> bool {
        self.sbr
    }

    /// Whether the configuration states parametric stereo (HE-AAC v2).
    #[must_use]
    pub const fn ps(&self) -> bool {
        self.ps
    }

    /// Samples of each frame, which are ticks of the track: 1024 or 960, twice
    /// that with spectral band replication; 512 or 480 in low-delay profiles.
    #[must_use]
    pub fn frame_duration(&self) -> u32 {
        let scaled = u64::from(self.frame_length) * u64::from(self.sample_rate);
        let core = u64::from(self.core_rate.max(1));
        u32::try_from(scaled / core).unwrap_or(self.frame_length)
    }

    /// The codec with its object type: `mp4a.40.N` (RFC 6381 section 3.3),
    /// where N is 5 with spectral band replication, 29 with parametric stereo.
    #[must_use]
    pub fn codec_string(&self) -> String {
        let object_type = if self.ps {
            PARAMETRIC_STEREO
        } else if self.sbr {
            SPECTRAL_BAND_REPLICATION
        } else {
            self.object_type
        };
        format!("mp4a.40.{object_type}")
    }

    /// The AudioSpecificConfig itself.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The track that the configuration describes; its timescale is the
    /// sample rate.
    #[must_use]
    pub fn track(&self, id: TrackId) -> Track {
        // The parser refuses a rate of zero.
        let timescale = Timescale::new(self.sample_rate).unwrap_or(Timescale::MILLIS);
        let params = MediaParams::Audio(AudioParams::new(self.sample_rate, self.channels));
        Track::new(id, AAC, timescale, params)
            .with_codec_string(self.codec_string())
            .with_config(self.bytes.clone())
    }
}

/// `AudioSpecificConfig()` up to the backward compatible extension.
fn read(bits: &mut BitReader<'_>) -> Result<Config, Error> {
    let mut object_type = object_type(bits).ok_or(Error::Truncated)?;
    let core_rate = sample_rate(bits)?;
    let channel_config = bits.read_u8(4).ok_or(Error::Truncated)?;
    let mut output_rate = core_rate;
    let (mut sbr, mut ps) = (false, false);
    if object_type == SPECTRAL_BAND_REPLICATION || object_type == PARAMETRIC_STEREO {
        sbr = true;
        ps = object_type == PARAMETRIC_STEREO;
        output_rate = sample_rate(bits)?;
        if !is_sbr_rate(core_rate, output_rate) {
            return Err(Error::SampleRate);
        }
        object_type = self::object_type(bits).ok_or(Error::Truncated)?;
    }
    let (short_frame, counted) = match object_type {
        // GASpecificConfig: the AAC kinds, and their error resilient ones.
        1..=4 | 6 | 17 | 19 | 20 | 23 => {
            general_audio(bits, object_type, channel_config).ok_or(Error::Truncated)?
        }
        // ELDSpecificConfig begins with the frame length.
        ENHANCED_LOW_DELAY => (bits.bit().ok_or(Error::Truncated)?, None),
        other => return Err(Error::ObjectType(other)),
    };
    let frame_length = match (object_type, short_frame) {
        (LOW_DELAY | ENHANCED_LOW_DELAY, false) => 512,
        (LOW_DELAY | ENHANCED_LOW_DELAY, true) => 480,
        (_, false) => 1_024,
        (_, true) => 960,
    };
    let channels = match counted {
        Some(counted) => counted,
        None => channels(channel_config)?,
    };
    Ok(Config {
        bytes: Bytes::new(),
        object_type,
        core_rate,
        sample_rate: output_rate,
        // Parametric stereo makes two channels of one.
        channels: if ps && channels == 1 { 2 } else { channels },
        frame_length,
        sbr,
        ps,
    })
}

/// `GetAudioObjectType()`, with its escape.
fn object_type(bits: &mut BitReader<'_>) -> Option<u8> {
    match bits.read_u8(5)? {
        31 => Some(32 + bits.read_u8(6)?),
        short => Some(short),
    }
}

/// The sampling frequency: an index (table 1.18) or 24 bits.
fn sample_rate(bits: &mut BitReader<'_>) -> Result<u32, Error> {
    let index = bits.read_u8(4).ok_or(Error::Truncated)?;
    let rate = match index {
        15 => bits.read(24).ok_or(Error::Truncated)?,
        index => *SAMPLE_RATES.get(usize::from(index)).unwrap_or(&0),
    };
    if rate == 0 {
        return Err(Error::SampleRate);
    }
    Ok(rate)
}

/// Spectral band replication doubles the rate, or, downsampled, keeps it
/// (section 4.6.18.4.3).
const fn is_sbr_rate(core: u32, output: u32) -> bool {
    output == core || output == 2 * core
}

/// Channels of a channel configuration (table 1.19 and its amendments); 0 for
/// one that the configuration leaves to be counted.
const fn channels(configuration: u8) -> Result<u16, Error> {
    Ok(match configuration {
        0..=6 => configuration as u16,
        7 | 12 | 14 => 8,
        11 => 7,
        13 => 24,
        other => return Err(Error::Channels(other)),
    })
}

/// `GASpecificConfig()` (section 4.4.1): whether frames are short, and the
/// channels if a program config element states them.
fn general_audio(
    bits: &mut BitReader<'_>,
    object_type: u8,
    channel_config: u8,
) -> Option<(bool, Option<u16>)> {
    let short_frame = bits.bit()?;
    if bits.bit()? {
        bits.skip(14)?; // coreCoderDelay
    }
    let extension = bits.bit()?;
    let counted = if channel_config == 0 {
        Some(program_config(bits)?)
    } else {
        None
    };
    if object_type == 6 || object_type == 20 {
        bits.skip(3)?; // layerNr
    }
    if extension {
        if matches!(object_type, 17 | 19 | 20 | 23) {
            bits.skip(3)?;
        }
        bits.skip(1)?; // extensionFlag3
    }
    if matches!(object_type, 17 | 19 | 20 | 23) {
        bits.skip(2)?; // epConfig
    }
    Some((short_frame, counted))
}

/// `program_config_element()` (section 4.4.1.1): the number of its channels.
fn program_config(bits: &mut BitReader<'_>) -> Option<u16> {
    let channels = program_config_fields(bits)?;
    bits.align();
    let comment = bits.read(8)?;
    bits.skip(usize::try_from(comment).ok()? * 8)?;
    Some(channels)
}

/// The same without its comment and the alignment before that.
fn program_config_fields(bits: &mut BitReader<'_>) -> Option<u16> {
    bits.skip(4 + 2 + 4)?; // instance tag, object type, sampling frequency
    let front = bits.read(4)?;
    let side = bits.read(4)?;
    let back = bits.read(4)?;
    let lfe = bits.read(2)?;
    let data = bits.read(3)?;
    let coupling = bits.read(4)?;
    for mixdown in [4, 4, 3] {
        if bits.bit()? {
            bits.skip(mixdown)?;
        }
    }
    let mut channels = 0;
    for _ in 0..front + side + back {
        channels += if bits.bit()? { 2 } else { 1 };
        bits.skip(4)?;
    }
    for _ in 0..lfe {
        channels += 1;
        bits.skip(4)?;
    }
    for _ in 0..data {
        bits.skip(4)?;
    }
    for _ in 0..coupling {
        bits.skip(5)?;
    }
    Some(channels)
}

/// The backward compatible signalling of spectral band replication and
/// parametric stereo behind the configuration. What is cut short is not there.
fn read_sync_extension(bits: &mut BitReader<'_>, config: &mut Config) {
    let mut read = || -> Option<()> {
        if config.sbr || bits.remaining() < 16 || bits.read(11)? != SYNC_EXTENSION_SBR {
            return None;
        }
        if object_type(bits)? != SPECTRAL_BAND_REPLICATION || !bits.bit()? {
            return None;
        }
        let rate = sample_rate(bits)
            .ok()
            .filter(|rate| is_sbr_rate(config.core_rate, *rate))?;
        config.sbr = true;
        config.sample_rate = rate;
        if bits.remaining() >= 12 && bits.read(11)? == SYNC_EXTENSION_PS && bits.bit()? {
            config.ps = true;
            if config.channels == 1 {
                config.channels = 2;
            }
        }
        Some(())
    };
    let _ = read();
}

/// More bytes than any AudioSpecificConfig needs.
const MAX_CONFIG: usize = 512;

const SPECTRAL_BAND_REPLICATION: u8 = 5;
const PARAMETRIC_STEREO: u8 = 29;
const LOW_DELAY: u8 = 23;
const ENHANCED_LOW_DELAY: u8 = 39;

/// `syncExtensionType` values.
const SYNC_EXTENSION_SBR: u32 = 0x2b7;
const SYNC_EXTENSION_PS: u32 = 0x548;

/// Table 1.18.
const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

#[cfg(test)]
mod tests;
