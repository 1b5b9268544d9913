//! LATM in LOAS: AAC with its configuration in between (ISO/IEC 14496-3,
//! sections 1.7.2 and 1.7.3), as DVB sends it: `AudioSyncStream()` with one
//! program of one layer.

use std::collections::VecDeque;

use bytes::Bytes;
use rillcast_core::{Track, TrackId};

use super::{Config, ENHANCED_LOW_DELAY, read};
use crate::codec::bits::{BitReader, BitWriter};
use crate::codec::framer::{AudioUnit, Broken, Probe, Syntax};

/// The format, and what the stream said of itself so far.
#[derive(Debug, Default)]
pub(in crate::codec) struct Latm {
    mux: Option<Mux>,
    /// Whether an access unit was given that the configuration is for.
    has_begun: bool,
}

/// `StreamMuxConfig()`, as far as it is needed to read what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mux {
    config: Config,
    /// `numSubFrames` + 1.
    frames: u32,
    length: Length,
}

/// How long the payload of a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// Each says so, in bytes.
    Stated,
    /// All are so many bytes long.
    Fixed(usize),
}

impl Syntax for Latm {
    fn probe(&self, bytes: &[u8]) -> Probe {
        match bytes {
            [] | [0x56] => Probe::More,
            [0x56, second, ..] if second & 0xe0 == 0xe0 => match bytes {
                [_, second, third, ..] => {
                    match usize::from(second & 0x1f) << 8 | usize::from(*third) {
                        0 => Probe::No,
                        len => Probe::Frame {
                            len: len + HEADER,
                            kind: 0,
                        },
                    }
                }
                _ => Probe::More,
            },
            _ => Probe::No,
        }
    }

    fn unit(&mut self, frame: &[u8], at: u64, out: &mut VecDeque<AudioUnit>) -> Result<(), Broken> {
        let mut bits = BitReader::new(frame.get(HEADER..).ok_or(Broken)?);
        let mut changed = !self.has_begun;
        // useSameStreamMux
        if !bits.bit().ok_or(Broken)? {
            let mux = Mux::read(&mut bits).ok_or(Broken)?;
            let known = self.mux.as_ref().map(|mux| &mux.config);
            changed |= known != Some(&mux.config);
            self.mux = Some(mux);
        }
        // One that was joined in between says later what it is.
        let Some(mux) = &self.mux else {
            return Ok(());
        };
        for frame in 0..mux.frames {
            let begin = HEADER + bits.position() / 8;
            let payload = mux.payload(&mut bits).ok_or(Broken)?;
            if payload.is_empty() {
                continue;
            }
            self.has_begun = true;
            out.push_back(AudioUnit {
                payload,
                samples: mux.config.frame_duration(),
                // The first one begins with the header.
                at: if frame == 0 { at } else { at + begin as u64 },
                changed: std::mem::take(&mut changed),
            });
        }
        Ok(())
    }

    fn track(&self, id: TrackId) -> Option<Track> {
        let mux = self.mux.as_ref().filter(|_| self.has_begun)?;
        Some(mux.config.track(id))
    }
}

impl Mux {
    /// `StreamMuxConfig()`; `None` where it is cut short, and for what is not
    /// carried: several programs or layers, codecs that are no AAC.
    fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let version = bits.bit()?;
        // audioMuxVersionA is reserved.
        if version && bits.bit()? {
            return None;
        }
        if version {
            value(bits)?; // taraBufferFullness
        }
        let is_in_step = bits.bit()?; // allStreamsSameTimeFraming
        let frames = bits.read(6)? + 1;
        let (programs, layers) = (bits.read(4)?, bits.read(3)?);
        if !is_in_step || programs > 0 || layers > 0 {
            return None;
        }
        let config = if version {
            let len = usize::try_from(value(bits)?).ok()?;
            Config::parse(&copied(bits, len)?).ok()?
        } else {
            read_config(bits)?
        };
        let length = match bits.read(3)? {
            0 => {
                bits.skip(8)?; // latmBufferFullness
                Length::Stated
            }
            1 => Length::Fixed(usize::try_from(bits.read(9)?).ok()? + 20),
            _ => return None,
        };
        // Other data lies behind the payloads, where nobody looks for it.
        if bits.bit()? {
            if version {
                value(bits)?;
            } else {
                while bits.bit()? {
                    bits.skip(8)?;
                }
                bits.skip(8)?;
            }
        }
        if bits.bit()? {
            bits.skip(8)?; // crcCheckSum
        }
        Some(Self {
            config,
            frames,
            length,
        })
    }

    /// `PayloadLengthInfo()` and `PayloadMux()` of one frame.
    fn payload(&self, bits: &mut BitReader<'_>) -> Option<Bytes> {
        let len = match self.length {
            Length::Fixed(len) => len,
            Length::Stated => {
                let mut len = 0;
                loop {
                    let part = bits.read(8)?;
                    len += usize::try_from(part).ok()?;
                    if part != 255 {
                        break len;
                    }
                }
            }
        };
        copied(bits, len.checked_mul(8)?)
    }
}

/// `AudioSpecificConfig()` whose length is not stated: what is behind it begins
/// where it ends, so it must be of a kind that is read to its last bit.
fn read_config(bits: &mut BitReader<'_>) -> Option<Config> {
    let rest = copied(&mut bits.clone(), bits.remaining())?;
    let mut aligned = BitReader::new(&rest);
    let config = read(&mut aligned).ok()?;
    if config.object_type() == ENHANCED_LOW_DELAY {
        return None;
    }
    Config::parse(&copied(bits, aligned.position())?).ok()
}

/// The next `count` bits, moved to where bytes begin; zeros fill the last byte.
fn copied(bits: &mut BitReader<'_>, count: usize) -> Option<Bytes> {
    if count > bits.remaining() {
        return None;
    }
    let mut out = BitWriter::default();
    for _ in 0..count / 8 {
        out.put(bits.read(8)?, 8);
    }
    for _ in 0..count % 8 {
        out.put(u32::from(bits.bit()?), 1);
    }
    Some(out.into_bytes())
}

/// `LatmGetValue()`.
fn value(bits: &mut BitReader<'_>) -> Option<u32> {
    let bytes = bits.read(2)? + 1;
    bits.read(8 * bytes)
}

/// Bytes of `syncword` and `audioMuxLengthBytes`.
const HEADER: usize = 3;

#[cfg(test)]
mod tests;
