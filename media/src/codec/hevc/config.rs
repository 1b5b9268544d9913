//! The configuration record, `hvcC` (ISO/IEC 14496-15 section 8.3.3.1).

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use rillcast_core::{MediaParams, Timescale, Track, TrackId, VideoParams};

use super::sps::vps_frame_rate;
use super::unit::{PPS, PREFIX_SEI, SPS, VPS};
use super::{Error, Level, Sps, message, unit_type, units};
use crate::codec::HEVC;
use crate::codec::bits::BitReader;
use crate::codec::light::{Light, Mastering};
use crate::codec::nal::{trimmed, unescape};
use crate::codec::sets::{Allowance, ParameterSets};
use crate::cursor::Cursor;

/// A decoder's configuration: the parameter sets of a stream.
///
/// What the record says of profile, level, chroma format and bit depths is
/// taken from the sequence parameter set and not from the record's own copy,
/// so two configurations are equal exactly if their parameter sets are, and
/// the messages that come with them.
#[derive(Clone, Debug)]
pub struct Config {
    length_size: u8,
    sets: Sets,
    first: Sps,
}

/// NAL units of the record, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sets {
    vps: ParameterSets,
    sps: ParameterSets,
    pps: ParameterSets,
    /// Messages that hold for the whole stream (how bright its pictures are).
    sei: ParameterSets,
}

impl Config {
    /// Parses a configuration record. Messages of the encoder to itself, such
    /// as the list of its options, are left out.
    ///
    /// # Errors
    /// An [`Error`] if it is malformed or has no usable sequence parameter set.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(record);
        let version = cursor.u8().ok_or(Error::Truncated)?;
        if version != 1 {
            return Err(Error::Version(version));
        }
        // Up to the number of arrays, the parameter sets say the same.
        let fields: [u8; 22] = cursor.array().ok_or(Error::Truncated)?;
        let [.., length_size, arrays] = fields;
        let length_size = (length_size & 3) + 1;
        if length_size == 3 {
            return Err(Error::LengthSize(length_size));
        }
        let mut sets = Sets::default();
        for _ in 0..arrays {
            sets.read_array(&mut cursor).ok_or(Error::Truncated)?;
        }
        let first = Sps::parse(sets.sps.units().first().ok_or(Error::NoSps)?)?;
        let config = Self {
            length_size,
            sets,
            first,
        };
        config.sets.check_size()?;
        Ok(config)
    }

    /// The configuration that the parameter sets in an access unit in canonical
    /// form make, for streams that have no record; `None` without one of each
    /// kind, or if one is malformed.
    #[must_use]
    pub fn gather(payload: &[u8]) -> Option<Self> {
        let mut found = units(payload).filter_map(Result::ok);
        let sps = trimmed(found.find(|unit| unit_type(unit) == SPS)?);
        let first = Sps::parse(sps).ok()?;
        let mut config = Self {
            length_size: 4,
            sets: Sets::default(),
            first,
        };
        let id = Some(u32::from(first.id));
        config.sets.sps.push(id, Bytes::copy_from_slice(sps));
        config.absorb(payload).ok()?;
        for unit in units(payload).filter_map(Result::ok).map(trimmed) {
            let known = config.sets.sei.units();
            let is_new = known.len() < MAX_MESSAGES && !config.sets.sei.contains(unit);
            if is_new && unit_type(unit) == PREFIX_SEI && message::is_of_light(unit) {
                config.sets.sei.push(None, Bytes::copy_from_slice(unit));
            }
        }
        config.sets.check_size().ok()?;
        let Sets { vps, pps, .. } = &config.sets;
        (!vps.units().is_empty() && !pps.units().is_empty()).then_some(config)
    }

    /// How many bytes the lengths of NAL units take in the stream that the
    /// record came with: 1, 2 or 4.
    #[must_use]
    pub const fn length_size(&self) -> u8 {
        self.length_size
    }

    /// What the first sequence parameter set says.
    #[must_use]
    pub const fn sps(&self) -> &Sps {
        &self.first
    }

    /// The video parameter sets as NAL units.
    #[must_use]
    pub fn video_parameter_sets(&self) -> &[Bytes] {
        self.sets.vps.units()
    }

    /// The sequence parameter sets as NAL units.
    #[must_use]
    pub fn sequence_parameter_sets(&self) -> &[Bytes] {
        self.sets.sps.units()
    }

    /// The picture parameter sets as NAL units.
    #[must_use]
    pub fn picture_parameter_sets(&self) -> &[Bytes] {
        self.sets.pps.units()
    }

    /// Supplemental enhancement information that holds for the whole stream,
    /// as NAL units.
    #[must_use]
    pub fn messages(&self) -> &[Bytes] {
        self.sets.sei.units()
    }

    /// The display that the pictures were made on, if a message says it.
    #[must_use]
    pub fn mastering(&self) -> Option<Mastering> {
        self.messages()
            .iter()
            .find_map(|unit| message::mastering(unit))
    }

    /// How bright the pictures are, if a message says it.
    #[must_use]
    pub fn light(&self) -> Option<Light> {
        self.messages().iter().find_map(|unit| message::light(unit))
    }

    /// The codec with its profile, tier, level and constraints: for example
    /// `hvc1.1.6.L93.B0` (ISO/IEC 14496-15, section E.3).
    #[must_use]
    pub fn codec_string(&self) -> String {
        let Level {
            profile_space,
            high_tier,
            profile,
            compatibility,
            constraints,
            level,
        } = self.first.level;
        let space = ["", "A", "B", "C"]
            .get(usize::from(profile_space))
            .unwrap_or(&"");
        let tier = if high_tier { 'H' } else { 'L' };
        let compatibility = compatibility.reverse_bits();
        let mut out = format!("hvc1.{space}{profile}.{compatibility:X}.{tier}{level}");
        let said = constraints.iter().rposition(|byte| *byte != 0);
        for byte in constraints.iter().take(said.map_or(0, |last| last + 1)) {
            // Writing to a string does not fail.
            let _ = write!(out, ".{byte:X}");
        }
        out
    }

    /// The record in canonical form: with four-byte lengths, nothing said of
    /// frame rates and parallelism, and all sets of a kind in one array.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        let sps = &self.first;
        let level = &sps.level;
        let tier = if level.high_tier { 0x20 } else { 0 };
        out.put_slice(&[1, level.profile_space << 6 | tier | level.profile]);
        out.put_u32(level.compatibility);
        out.put_slice(&level.constraints);
        out.put_u8(level.level);
        out.put_u16(0xf000); // min_spatial_segmentation_idc: unknown
        out.put_u8(0xfc); // parallelismType: unknown
        out.put_u8(0xfc | sps.chroma_format);
        // Three bits each: with 16 bits a sample, the sets alone can say it.
        out.put_u8(0xf8 | sps.bit_depth_luma.saturating_sub(8).min(7));
        out.put_u8(0xf8 | sps.bit_depth_chroma.saturating_sub(8).min(7));
        out.put_u16(0); // avgFrameRate: unspecified
        let nesting = if sps.temporal_nesting { 4 } else { 0 };
        out.put_u8(sps.temporal_layers << 3 | nesting | 3);
        let arrays = [VPS, SPS, PPS, PREFIX_SEI].map(|kind| (kind, self.sets.of(kind).units()));
        let filled = || arrays.iter().filter(|(_, sets)| !sets.is_empty());
        out.put_u8(u8::try_from(filled().count()).unwrap_or(u8::MAX));
        for (kind, sets) in filled() {
            // Complete: none comes in the stream alone. Messages may.
            let complete = if *kind == PREFIX_SEI { 0 } else { 0x80 };
            out.put_u8(complete | kind);
            // Both ways in refuse more, and longer ones.
            out.put_u16(u16::try_from(sets.len()).unwrap_or(u16::MAX));
            for set in *sets {
                out.put_u16(u16::try_from(set.len()).unwrap_or(u16::MAX));
                out.put_slice(set);
            }
        }
        out.freeze()
    }

    /// The track that the configuration describes, in 90 kHz ticks. Its size is
    /// that of the shown picture, which is what playlists and manifests state.
    #[must_use]
    pub fn track(&self, id: TrackId) -> Track {
        let (width, height) = self.first.display_size();
        let rate = self.first.frame_rate.or_else(|| {
            self.video_parameter_sets()
                .iter()
                .find_map(|vps| vps_frame_rate(vps))
        });
        let video = VideoParams::new(width, height)
            .with_frame_rate(rate)
            .with_colour(self.first.colour);
        Track::new(id, HEVC, Timescale::VIDEO, MediaParams::Video(video))
            .with_codec_string(self.codec_string())
            .with_config(self.to_bytes())
    }

    /// Takes over the parameter sets that an access unit in canonical form
    /// holds, and says whether that changed the configuration. One that is
    /// equal to what is known changes nothing, another one takes the place of
    /// that with its id.
    ///
    /// # Errors
    /// An [`Error`] if the access unit or a parameter set in it is malformed;
    /// the configuration is then unchanged.
    pub fn absorb(&mut self, payload: &[u8]) -> Result<bool, Error> {
        let mut next: Option<Sets> = None;
        let mut allowance = Allowance::new(MAX_BYTES);
        for unit in units(payload) {
            let unit = trimmed(unit?);
            let kind = unit_type(unit);
            if !matches!(kind, VPS | SPS | PPS) {
                continue;
            }
            let known = next.as_ref().unwrap_or(&self.sets).of(kind);
            if !known.contains(unit) {
                if !allowance.take(unit) {
                    return Err(TOO_LARGE);
                }
                next.get_or_insert_with(|| self.sets.clone())
                    .replace(kind, unit)?;
            }
        }
        let Some(sets) = next else {
            return Ok(false);
        };
        sets.check_size()?;
        self.first = Sps::parse(sets.sps.units().first().ok_or(Error::NoSps)?)?;
        let changed = sets != self.sets;
        self.sets = sets;
        Ok(changed)
    }
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.sets == other.sets
    }
}

impl Eq for Config {}

impl Sets {
    const fn of(&self, kind: u8) -> &ParameterSets {
        match kind {
            VPS => &self.vps,
            SPS => &self.sps,
            PPS => &self.pps,
            _ => &self.sei,
        }
    }

    const fn of_mut(&mut self, kind: u8) -> &mut ParameterSets {
        match kind {
            VPS => &mut self.vps,
            SPS => &mut self.sps,
            PPS => &mut self.pps,
            _ => &mut self.sei,
        }
    }

    /// One array of the record, of which it may have several for a kind.
    fn read_array(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let kind = cursor.u8()? & 0x3f;
        for _ in 0..cursor.u16()? {
            let len = usize::from(cursor.u16()?);
            let unit = trimmed(cursor.take(len)?);
            // Units that are not what the array says carry nothing.
            let is_kept = unit_type(unit) == kind
                && (matches!(kind, VPS | SPS | PPS)
                    || kind == PREFIX_SEI && is_of_the_stream(unit));
            if is_kept {
                let id = set_id(unit).ok().filter(|_| kind != PREFIX_SEI);
                self.of_mut(kind).push(id, Bytes::copy_from_slice(unit));
            }
        }
        Some(())
    }

    fn replace(&mut self, kind: u8, unit: &[u8]) -> Result<(), Error> {
        let id = set_id(unit)?;
        // There are no more than 64 ids.
        self.of_mut(kind)
            .put(id, Bytes::copy_from_slice(unit), usize::MAX);
        Ok(())
    }

    fn check_size(&self) -> Result<(), Error> {
        let sets = [&self.vps, &self.sps, &self.pps, &self.sei].map(ParameterSets::units);
        // Each takes its length too, so that their number is bounded.
        let bytes: usize = sets.into_iter().flatten().map(|set| set.len() + 2).sum();
        (bytes <= MAX_BYTES).then_some(()).ok_or(TOO_LARGE)
    }
}

/// What all parameter sets of a stream may take together. Real ones take some
/// hundred bytes; each reader of a stream and each initialisation segment has
/// a copy. Below the 65535 bytes that the record can say of one.
const MAX_BYTES: usize = 32 << 10;
const TOO_LARGE: Error = Error::ParameterSet("makes all of them together longer than 32 KiB");

/// Whether supplemental enhancement information tells of the stream: its first
/// message is neither registered nor unregistered user data (section D.2.1).
fn is_of_the_stream(unit: &[u8]) -> bool {
    !matches!(unit.get(2), None | Some(4 | 5))
}

/// The id of a parameter set.
fn set_id(unit: &[u8]) -> Result<u32, Error> {
    const NO_ID: Error = Error::ParameterSet("has no id");
    let (id, end) = match unit_type(unit) {
        SPS => (Some(u32::from(Sps::parse(unit)?.id)), 16),
        kind => {
            // Emulation prevention cannot fall into more than these.
            let rbsp = unescape(unit.get(2..unit.len().min(8)).unwrap_or_default());
            let mut bits = BitReader::new(&rbsp);
            match kind {
                VPS => (bits.read(4), 16),
                _ => (bits.ue(), 64),
            }
        }
    };
    id.filter(|id| *id < end).ok_or(NO_ID)
}

/// One says the display, one the light.
const MAX_MESSAGES: usize = 2;

#[cfg(test)]
pub(crate) mod captures;
#[cfg(test)]
mod tests;
