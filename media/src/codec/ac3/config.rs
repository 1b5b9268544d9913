//! What a track of AC-3 says of itself: `dac3` (section F.4) and `dec3`
//! (section F.6), the boxes' contents without their headers.

use bytes::Bytes;
use rillcast_core::{AudioParams, MediaParams, Timescale, Track, TrackId};

use super::frame::{Frame, Role};
use crate::codec::bits::BitWriter;
use crate::codec::{AC3, EAC3};

/// A decoder's configuration, made from an access unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    first: Program,
    sample_rate: u32,
    /// Further programs (Enhanced AC-3).
    others: Vec<Program>,
    /// In kbit/s, as the first access unit had it (Enhanced AC-3).
    data_rate: u32,
    is_enhanced: bool,
    bitrate_code: u8,
}

/// An independent substream with those that depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Program {
    rate_code: u8,
    version: u8,
    service: u8,
    mode: u8,
    low_effects: bool,
    dependent: u8,
    /// Channels of the dependent substreams, as `chanmap` has them.
    dependent_locations: u16,
    /// All channels.
    locations: u16,
}

impl Config {
    /// The configuration that an access unit states: one frame of AC-3, or all
    /// frames of Enhanced AC-3 that sound together. `None` if it begins with
    /// neither.
    #[must_use]
    pub fn of_frame(payload: &[u8]) -> Option<Self> {
        let mut frames = Vec::new();
        let mut rest = payload;
        // Eight programs, each with what depends on it, of up to six frames.
        while !rest.is_empty() && frames.len() < MAX_FRAMES {
            let Some(frame) = Frame::parse(rest) else {
                break;
            };
            rest = rest.get(frame.len..).unwrap_or_default();
            frames.push(frame);
            if frame.role == Role::Ac3 {
                break;
            }
        }
        let first = frames.first()?;
        if matches!(first.role, Role::Dependent(_)) {
            return None;
        }
        Self::of_frames(&frames, frames.iter().map(|frame| frame.len).sum())
    }

    /// The configuration that an access unit of `len` bytes states; `None` if
    /// it has no frame to begin with.
    pub(super) fn of_frames(frames: &[Frame], len: usize) -> Option<Self> {
        let (first, rest) = frames.split_first()?;
        let mut programs = vec![Program::of(first)];
        let mut numbers = vec![first.role];
        for frame in rest {
            match frame.role {
                Role::Dependent(_) => programs.last_mut()?.add(frame),
                // The same again in units of several frames each.
                role if numbers.contains(&role) => break,
                role => {
                    numbers.push(role);
                    programs.push(Program::of(frame));
                }
            }
        }
        let blocks: u32 = frames
            .iter()
            .filter(|frame| frame.role == first.role)
            .map(|frame| frame.blocks)
            .sum();
        let samples = u64::from(blocks.max(1)) * 256;
        let bits = u64::try_from(len).ok()? * 8 * u64::from(first.sample_rate);
        let mut programs = programs.into_iter();
        Some(Self {
            first: programs.next()?,
            // The field has three bits for their number.
            others: programs.take(7).collect(),
            sample_rate: first.sample_rate,
            data_rate: u32::try_from(bits.div_ceil(samples * 1_000))
                .ok()?
                .min(0x1fff),
            is_enhanced: first.role != Role::Ac3,
            bitrate_code: first.bitrate_code,
        })
    }

    /// Whether this is the same but for what access units of one stream may
    /// have differently: their data rate, and with Enhanced AC-3 the kind of
    /// service, which not all of them state.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let lasting = |config: &Self| {
            let mut config = config.clone();
            config.data_rate = 0;
            if config.is_enhanced {
                let others = config.others.iter_mut();
                others
                    .chain([&mut config.first])
                    .for_each(|program| program.service = 0);
            }
            config
        };
        lasting(self) == lasting(other)
    }

    /// Samples per second.
    #[must_use]
    pub const fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Channels of the first program, the low-frequency effects channel
    /// included.
    #[must_use]
    pub fn channels(&self) -> u16 {
        let locations = self.first.locations;
        let pairs = (locations & PAIRS).count_ones();
        u16::try_from(locations.count_ones() + pairs).unwrap_or(u16::MAX)
    }

    /// Whether it is Enhanced AC-3.
    #[must_use]
    pub const fn is_enhanced(&self) -> bool {
        self.is_enhanced
    }

    /// The contents of a `dac3` box, or of a `dec3` box.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut bits = BitWriter::default();
        if self.is_enhanced {
            bits.put(self.data_rate, 13);
            bits.put(u32::try_from(self.others.len()).unwrap_or(0), 3);
            self.first.put_enhanced(&mut bits);
            for program in &self.others {
                program.put_enhanced(&mut bits);
            }
        } else {
            let first = &self.first;
            bits.put(u32::from(first.rate_code), 2);
            bits.put(u32::from(first.version), 5);
            first.put_channels(&mut bits);
            bits.put(u32::from(self.bitrate_code), 5);
            bits.put(0, 5);
        }
        bits.into_bytes()
    }

    /// The track that the configuration describes; its timescale is the sample
    /// rate.
    #[must_use]
    pub fn track(&self, id: TrackId) -> Track {
        let (codec, codec_string) = if self.is_enhanced {
            (EAC3, "ec-3")
        } else {
            (AC3, "ac-3")
        };
        // No frame has a rate of zero.
        let timescale = Timescale::new(self.sample_rate).unwrap_or(Timescale::MILLIS);
        let params = MediaParams::Audio(AudioParams::new(self.sample_rate, self.channels()));
        Track::new(id, codec, timescale, params)
            .with_codec_string(codec_string)
            .with_config(self.to_bytes())
    }
}

impl Program {
    const fn of(frame: &Frame) -> Self {
        Self {
            rate_code: frame.rate_code,
            version: frame.version,
            service: frame.service,
            mode: frame.mode,
            low_effects: frame.low_effects,
            dependent: 0,
            dependent_locations: 0,
            locations: frame.locations,
        }
    }

    const fn add(&mut self, frame: &Frame) {
        // The field has four bits for their number.
        if self.dependent < 15 {
            self.dependent += 1;
        }
        self.dependent_locations |= frame.locations;
        self.locations |= frame.locations;
    }

    fn put_channels(&self, bits: &mut BitWriter) {
        bits.put(u32::from(self.service), 3);
        bits.put(u32::from(self.mode), 3);
        bits.put(u32::from(self.low_effects), 1);
    }

    fn put_enhanced(&self, bits: &mut BitWriter) {
        bits.put(u32::from(self.rate_code), 2);
        bits.put(u32::from(self.version), 5);
        bits.put(0, 2); // reserved, asvc
        self.put_channels(bits);
        bits.put(0, 3);
        bits.put(u32::from(self.dependent), 4);
        if self.dependent > 0 {
            bits.put(self.channel_locations(), 9);
        } else {
            bits.put(0, 1);
        }
    }

    /// `chan_loc` (table F.6.1): from its lowest bit on what `chanmap` has from
    /// its sixth highest on, the second low-frequency channel last.
    fn channel_locations(&self) -> u32 {
        let map = self.dependent_locations;
        let above = (map >> 3).to_le_bytes()[0].reverse_bits();
        u32::from(above) | u32::from(map >> 1 & 1) << 8
    }
}

/// More frames than an access unit has.
const MAX_FRAMES: usize = 64;

/// Bits of `chanmap` that are two channels (table E.1.4).
const PAIRS: u16 = 1 << 10 | 1 << 9 | 1 << 6 | 1 << 5 | 1 << 4 | 1 << 2;
