//! Opus (RFC 6716): its configuration, `dOps` of the Opus mapping into ISO
//! files and `OpusHead` of RFC 7845, how long packets are, and how MPEG-TS frames them (Xiph, "OpusTS").

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use rillcast_core::{AudioParams, MediaParams, Timescale, Track, TrackId};

use super::OPUS;
use super::framer::{AudioUnit, Broken, Probe, Syntax};
use crate::cursor::Cursor;

/// Which channels there are, and how the streams within a packet carry them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `ChannelMappingFamily` (RFC 7845, section 5.1.1).
    family: u8,
    channels: u8,
    streams: u8,
    /// Streams that carry two channels, which come first.
    coupled: u8,
    mapping: Bytes,
    /// `OutputGain`, in 1/256 dB.
    gain: i16,
}

/// Why bytes are no configuration of Opus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It ends too early.
    #[error("an Opus configuration that ends too early")]
    Truncated,
    /// It does not begin as an identification header does.
    #[error("an Opus identification header without its magic signature")]
    Magic,
    /// It is of an unknown version.
    #[error("an Opus configuration of version {0}, which is not known here")]
    Version(u8),
    /// The channels, and how streams carry them, contradict each other.
    #[error("an Opus configuration whose channels are impossible")]
    Channels,
    /// Ambisonics and what else is no loudspeakers' channels.
    #[error("an Opus configuration of channel mapping family {0}, which is not known here")]
    Family(u8),
}

impl Config {
    /// Parses an identification header, `OpusHead` (RFC 7845, section 5.1).
    ///
    /// # Errors
    /// An [`Error`] if it is malformed or of a kind that is not known here.
    pub fn parse_head(head: &[u8]) -> Result<Self, Error> {
        let body = head.strip_prefix(b"OpusHead").ok_or(Error::Magic)?;
        let mut cursor = Cursor::new(body);
        let version = cursor.u8().ok_or(Error::Truncated)?;
        // The upper half is for changes that old readers cannot bear.
        if version >> 4 != 0 {
            return Err(Error::Version(version));
        }
        let channels = cursor.u8().ok_or(Error::Truncated)?;
        cursor.take(2 + 4).ok_or(Error::Truncated)?; // pre-skip, original rate
        let gain = cursor.array().ok_or(Error::Truncated)?;
        Self::read(channels, i16::from_le_bytes(gain), &mut cursor)
    }

    /// Parses the contents of a `dOps` box.
    ///
    /// # Errors
    /// An [`Error`] if it is malformed or of a kind that is not known here.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(record);
        let version = cursor.u8().ok_or(Error::Truncated)?;
        if version != 0 {
            return Err(Error::Version(version));
        }
        let channels = cursor.u8().ok_or(Error::Truncated)?;
        cursor.take(2 + 4).ok_or(Error::Truncated)?; // PreSkip, InputSampleRate
        let gain = cursor.i16().ok_or(Error::Truncated)?;
        Self::read(channels, gain, &mut cursor)
    }

    /// From the family on, where both formats say the same.
    fn read(channels: u8, gain: i16, cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        let family = cursor.u8().ok_or(Error::Truncated)?;
        let most = match family {
            0 => 2,
            1 => 8,
            255 => u8::MAX,
            other => return Err(Error::Family(other)),
        };
        if !(1..=most).contains(&channels) {
            return Err(Error::Channels);
        }
        if family == 0 {
            let mapping: &'static [u8] = if channels == 1 { &[0] } else { &[0, 1] };
            return Ok(Self {
                family,
                channels,
                streams: 1,
                coupled: channels - 1,
                mapping: Bytes::from_static(mapping),
                gain,
            });
        }
        let [streams, coupled] = cursor.array().ok_or(Error::Truncated)?;
        let mapping = cursor.take(usize::from(channels)).ok_or(Error::Truncated)?;
        let decoded = u16::from(streams) + u16::from(coupled);
        let is_there = |at: &u8| *at == SILENCE || u16::from(*at) < decoded;
        if streams == 0 || coupled > streams || decoded > 255 || !mapping.iter().all(is_there) {
            return Err(Error::Channels);
        }
        Ok(Self {
            family,
            channels,
            streams,
            coupled,
            mapping: Bytes::copy_from_slice(mapping),
            gain,
        })
    }

    /// The configuration that `channel_config_code` of the Opus descriptor
    /// states: 0 for two independent channels, 1 to 8 for so many channels in
    /// the order of Vorbis; two channels if there is no descriptor. `None` for
    /// a code that is not known here.
    #[must_use]
    pub fn of_channel_code(code: Option<u8>) -> Option<Self> {
        let code = code.unwrap_or(2);
        let (streams, coupled, mapping): (u8, u8, &'static [u8]) = match code {
            0 | 2 => (1, 1, &[0, 1]),
            1 => (1, 0, &[0]),
            3 => (2, 1, &[0, 2, 1]),
            4 => (2, 2, &[0, 1, 2, 3]),
            5 => (3, 2, &[0, 4, 1, 2, 3]),
            6 => (4, 2, &[0, 4, 1, 2, 3, 5]),
            7 => (4, 3, &[0, 4, 1, 2, 3, 5, 6]),
            8 => (5, 3, &[0, 6, 1, 2, 3, 4, 5, 7]),
            _ => return None,
        };
        Some(Self {
            family: match code {
                0 => 255,
                1 | 2 => 0,
                _ => 1,
            },
            channels: u8::try_from(mapping.len()).ok()?,
            streams,
            coupled,
            mapping: Bytes::from_static(mapping),
            gain: 0,
        })
    }

    /// The other way: the code that states these channels; `None` if no code
    /// of eight channels at most does. Codes say nothing of the gain.
    pub(crate) fn channel_code(&self) -> Option<u8> {
        let is_like = |code: &u8, exactly: bool| {
            Self::of_channel_code(Some(*code)).is_some_and(|other| {
                let streams = (self.streams, self.coupled) == (other.streams, other.coupled);
                streams
                    && self.mapping == other.mapping
                    && (!exactly || self.family == other.family)
            })
        };
        (0..=8)
            .find(|code| is_like(code, true))
            .or_else(|| (1..=8).find(|code| is_like(code, false)))
    }

    /// How many channels there are.
    #[must_use]
    pub const fn channels(&self) -> u8 {
        self.channels
    }

    /// The contents of a `dOps` box. Nothing is skipped at the start: what
    /// joins a live stream has no start.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(13 + self.mapping.len());
        out.put_slice(&[0, self.channels]); // Version, OutputChannelCount
        out.put_u16(0); // PreSkip
        out.put_u32(SAMPLE_RATE); // InputSampleRate
        out.put_i16(self.gain);
        out.put_u8(self.family);
        if self.family != 0 {
            out.put_slice(&[self.streams, self.coupled]);
            out.put_slice(&self.mapping);
        }
        out.freeze()
    }

    /// The track that the configuration describes, in ticks of 48 kHz.
    #[must_use]
    pub fn track(&self, id: TrackId) -> Track {
        let timescale = Timescale::new(SAMPLE_RATE).unwrap_or(Timescale::MILLIS);
        let params = MediaParams::Audio(AudioParams::new(SAMPLE_RATE, u16::from(self.channels)));
        Track::new(id, OPUS, timescale, params)
            .with_codec_string("opus")
            .with_config(self.to_bytes())
    }
}

/// How many samples at 48 kHz a packet holds (RFC 6716, section 3); `None` if
/// it is malformed. All streams of one packet are equally long.
#[must_use]
pub fn packet_duration(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame = match (config, config & 3) {
        (0..12, 3) => 2_880,
        (0..12, size) => 480 << size,
        (12..16, size) => 480 << (size & 1),
        (_, size) => 120 << size,
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    let samples = frame * frames;
    (1..=MAX_PACKET_DURATION)
        .contains(&samples)
        .then_some(samples)
}

/// The format of MPEG-TS: each packet behind a control header.
#[derive(Debug)]
pub(super) struct Opus {
    config: Config,
    has_begun: bool,
}

impl Opus {
    pub(super) const fn new(config: Config) -> Self {
        Self {
            config,
            has_begun: false,
        }
    }
}

impl Syntax for Opus {
    fn probe(&self, bytes: &[u8]) -> Probe {
        match bytes {
            [] | [0x7f] => Probe::More,
            [0x7f, flags, ..] if flags & 0xe0 == 0xe0 => match control_header(bytes) {
                None => Probe::More,
                Some((_, 0 | MAX_PACKET..)) => Probe::No,
                Some((header, packet)) => Probe::Frame {
                    len: header + packet,
                    kind: 0,
                },
            },
            _ => Probe::No,
        }
    }

    fn unit(&mut self, frame: &[u8], at: u64, out: &mut VecDeque<AudioUnit>) -> Result<(), Broken> {
        let (header, _) = control_header(frame).ok_or(Broken)?;
        let packet = frame.get(header..).ok_or(Broken)?;
        let samples = packet_duration(packet).ok_or(Broken)?;
        out.push_back(AudioUnit {
            payload: Bytes::copy_from_slice(packet),
            samples,
            at,
            changed: !self.has_begun,
        });
        self.has_begun = true;
        Ok(())
    }

    fn track(&self, id: TrackId) -> Option<Track> {
        self.has_begun.then(|| self.config.track(id))
    }
}

/// `opus_control_header()`: its bytes, and those of the packet behind it.
/// `None` if it is not all there.
fn control_header(bytes: &[u8]) -> Option<(usize, usize)> {
    let flags = *bytes.get(1)?;
    let mut at = 2;
    let mut packet = 0;
    loop {
        let part = *bytes.get(at)?;
        at += 1;
        packet += usize::from(part);
        if part != 255 || packet >= MAX_PACKET {
            break;
        }
    }
    // How many samples to leave out at the start and at the end.
    at += usize::from(flags >> 4 & 1) * 2 + usize::from(flags >> 3 & 1) * 2;
    if flags & 4 != 0 {
        at += 1 + usize::from(*bytes.get(at)?);
    }
    Some((at, packet))
}

/// A channel that no stream carries.
const SILENCE: u8 = 255;

/// Opus always decodes to this rate.
const SAMPLE_RATE: u32 = 48_000;

/// 120 milliseconds (RFC 6716, section 3.2.5, R5).
const MAX_PACKET_DURATION: u32 = 5_760;

/// More bytes than a packet takes: 48 frames of 1275 bytes are one stream's
/// most, and eight channels never come near it.
const MAX_PACKET: usize = 64 << 10;

#[cfg(test)]
mod tests;
