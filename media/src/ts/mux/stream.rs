//! How each codec lies in its elementary stream: what the program's map says
//! of it, and what becomes of an access unit.

use bytes::Bytes;
use rillcast_core::{MediaKind, Track};

use super::{MuxError, Unit};
use crate::codec::{self, aac, avc, hevc, opus};
use crate::ts::language;

/// One elementary stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) pid: u16,
    pub(super) stream_type: u8,
    /// Of its PES packets (table 2-22).
    pub(super) stream_id: u8,
    /// Those of the program's map.
    pub(super) descriptors: Vec<u8>,
    syntax: Syntax,
    /// Samples of an access unit where all have as many.
    samples: Option<u32>,
    /// Samples a second.
    rate: u32,
}

/// What becomes of an access unit.
#[derive(Debug)]
enum Syntax {
    Avc(Sets),
    Hevc(Sets),
    Adts(aac::AdtsForm),
    Opus,
    /// The access unit as it is.
    Bare,
}

/// Parameter sets of a configuration, and the messages in it.
#[derive(Debug)]
struct Sets {
    units: Vec<Bytes>,
    /// An access unit delimiter, as a byte stream.
    delimiter: &'static [u8],
    /// The delimiter and all sets, as a byte stream.
    keyframe: Vec<u8>,
}

/// How much of an access unit can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Whole,
    /// Up to where its lengths go wrong.
    Cut,
    LeftOut,
}

impl Stream {
    /// The stream of a track: the `number`th, on this PID.
    pub(super) fn of(track: &Track, number: u8, pid: u16) -> Result<Self, MuxError> {
        // Table 2-22: video and audio have ranges of their own, what the
        // standard does not know is private.
        let (video, audio, private) = (0xe0 | number & 15, 0xc0 | number & 31, 0xbd);
        let config = &track.config;
        let (stream_type, stream_id, registration, syntax) = match track.codec {
            codec::AVC => {
                let sets = Sets::avc(&avc::Config::parse(config)?);
                (0x1b, video, None, Syntax::Avc(sets))
            }
            codec::HEVC => {
                let sets = Sets::hevc(&hevc::Config::parse(config)?);
                (0x24, video, Some(*b"HEVC"), Syntax::Hevc(sets))
            }
            codec::AAC => {
                let config = aac::Config::parse(config)?;
                let form = config
                    .adts()
                    .ok_or_else(|| MuxError::Adts(config.codec_string()))?;
                (0x0f, audio, None, Syntax::Adts(form))
            }
            // 0x04 is for the lower rates, which came with MPEG-2.
            codec::MP2 | codec::MP3 => {
                let is_low = track
                    .audio()
                    .is_some_and(|audio| audio.sample_rate < 32_000);
                (if is_low { 4 } else { 3 }, audio, None, Syntax::Bare)
            }
            // ATSC A/53 part 3 and A/52 annexes A and G, and what Apple asks
            // of HLS. The registrations are SMPTE's.
            codec::AC3 => (0x81, private, Some(*b"AC-3"), Syntax::Bare),
            codec::EAC3 => (0x87, private, Some(*b"EAC3"), Syntax::Bare),
            codec::OPUS => (0x06, private, Some(*b"Opus"), Syntax::Opus),
            other => return Err(MuxError::Codec(codec::name(other))),
        };
        let mut descriptors = Vec::new();
        if let Some(registration) = registration {
            descriptors.extend_from_slice(&[0x05, 4]);
            descriptors.extend_from_slice(&registration);
        }
        if track.codec == codec::OPUS {
            let code = opus::Config::parse(config)?.channel_code();
            let code = code.ok_or(MuxError::OpusChannels)?;
            // An extension descriptor, `opus_audio_descriptor()` in it.
            descriptors.extend_from_slice(&[0x7f, 2, 0x80, code]);
        }
        if let Some(language) = track.language.as_deref().and_then(language::code) {
            // ISO_639_language_descriptor (2.6.18), of no special kind.
            descriptors.extend_from_slice(&[0x0a, 4]);
            descriptors.extend_from_slice(&language);
            descriptors.push(0);
        }
        Ok(Self {
            pid,
            stream_type,
            stream_id,
            descriptors,
            syntax,
            samples: codec::frame_duration(track).filter(|_| track.kind() == MediaKind::Audio),
            rate: track.timescale.hz(),
        })
    }

    pub(super) const fn is_video(&self) -> bool {
        matches!(self.syntax, Syntax::Avc(_) | Syntax::Hevc(_))
    }

    /// How many samples an access unit has; `None` if nothing says it.
    pub(super) fn samples(&self, payload: &[u8]) -> Option<u32> {
        match self.syntax {
            Syntax::Opus => opus::packet_duration(payload),
            _ => self.samples,
        }
    }

    /// So many samples in ticks of 90 kHz, rounded down.
    pub(super) fn ticks(&self, samples: u64) -> u64 {
        samples.saturating_mul(90_000) / u64::from(self.rate.max(1))
    }

    /// Gives the bytes of an access unit in the stream to `sink`, piece by
    /// piece. They are nothing to go by if the access unit is to be left out.
    pub(super) fn pieces<'a>(&'a self, unit: &Unit<'a>, mut sink: impl FnMut(&[u8])) -> Fate {
        match &self.syntax {
            Syntax::Avc(sets) => sets.pieces::<AvcUnits>(unit, sink),
            Syntax::Hevc(sets) => sets.pieces::<HevcUnits>(unit, sink),
            Syntax::Adts(form) => match form.header(unit.payload) {
                Some((header, elements)) => {
                    sink(&header);
                    sink(elements);
                    sink(unit.payload);
                    Fate::Whole
                }
                None => Fate::LeftOut,
            },
            Syntax::Opus => {
                // `opus_control_header()`: nothing to trim, then the length.
                let length = unit.payload.len();
                sink(&[0x7f, 0xe0]);
                (0..length / 255).for_each(|_| sink(&[255]));
                sink(&[u8::try_from(length % 255).unwrap_or(0)]);
                sink(unit.payload);
                whole_unless(length == 0)
            }
            Syntax::Bare => {
                sink(unit.payload);
                whole_unless(unit.payload.is_empty())
            }
        }
    }
}

const fn whole_unless(empty: bool) -> Fate {
    if empty { Fate::LeftOut } else { Fate::Whole }
}

/// What an access unit of video is looked through for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Slice,
    Delimiter,
    Set,
    Other,
}

trait Units {
    fn role(unit: &[u8]) -> Role;
}

struct AvcUnits;

impl Units for AvcUnits {
    /// ISO/IEC 14496-10, table 7-1.
    fn role(unit: &[u8]) -> Role {
        match avc::unit_type(unit) {
            1..=5 => Role::Slice,
            9 => Role::Delimiter,
            7 | 8 | 13 => Role::Set,
            _ => Role::Other,
        }
    }
}

struct HevcUnits;

impl Units for HevcUnits {
    /// ISO/IEC 23008-2, table 7-1.
    fn role(unit: &[u8]) -> Role {
        match hevc::unit_type(unit) {
            0..=31 => Role::Slice,
            35 => Role::Delimiter,
            // Messages stand in configurations too.
            32..=34 | 39 => Role::Set,
            _ => Role::Other,
        }
    }
}

/// Of each NAL unit four bytes: as many as the length takes in whose place it
/// stands. A delimiter, a parameter set and the first NAL unit need them
/// (annex B.1.2), the others may have them.
const START_CODE: &[u8] = &[0, 0, 0, 1];

impl Sets {
    fn avc(config: &avc::Config) -> Self {
        let sps = config.sequence_parameter_sets();
        let extensions = config.sequence_parameter_set_extensions();
        let pps = config.picture_parameter_sets();
        // Any slice may follow: primary_pic_type 7.
        Self::new(&[0, 0, 0, 1, 0x09, 0xf0], &[sps, extensions, pps])
    }

    fn hevc(config: &hevc::Config) -> Self {
        let vps = config.video_parameter_sets();
        let sps = config.sequence_parameter_sets();
        let pps = config.picture_parameter_sets();
        // What an encoder tells of itself (user_data_unregistered) helps no
        // player, and can take kilobytes.
        let told = |unit: &&Bytes| unit.get(2) != Some(&5);
        let messages: Vec<Bytes> = config.messages().iter().filter(told).cloned().collect();
        // Any slice may follow: pic_type 2.
        Self::new(&[0, 0, 0, 1, 0x46, 0x01, 0x50], &[vps, sps, pps, &messages])
    }

    fn new(delimiter: &'static [u8], sets: &[&[Bytes]]) -> Self {
        let units: Vec<Bytes> = sets.iter().copied().flatten().cloned().collect();
        let mut keyframe = delimiter.to_vec();
        for unit in &units {
            keyframe.extend_from_slice(START_CODE);
            keyframe.extend_from_slice(unit);
        }
        Self {
            units,
            delimiter,
            keyframe,
        }
    }

    /// An access unit as a byte stream (ISO/IEC 13818-1, 2.14.1 and 2.17.1): a
    /// delimiter first, in a keyframe the configuration's parameter sets, then
    /// all that is in it but for what stands there by then.
    fn pieces<U: Units>(&self, unit: &Unit<'_>, mut sink: impl FnMut(&[u8])) -> Fate {
        sink(if unit.keyframe {
            &self.keyframe
        } else {
            self.delimiter
        });
        let mut picture = false;
        let mut broken = false;
        // Both codecs have the same lengths.
        for nal in avc::units(unit.payload) {
            let Ok(nal) = nal else {
                broken = true;
                break;
            };
            let there = match U::role(nal) {
                _ if nal.is_empty() => true,
                Role::Slice => {
                    picture = true;
                    false
                }
                Role::Delimiter => !picture,
                Role::Set => !picture && unit.keyframe && self.units.iter().any(|set| set == nal),
                Role::Other => false,
            };
            if !there {
                sink(START_CODE);
                sink(nal);
            }
        }
        match (picture, broken) {
            (false, _) => Fate::LeftOut,
            (true, true) => Fate::Cut,
            (true, false) => Fate::Whole,
        }
    }
}
