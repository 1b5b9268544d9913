//! The configuration record, `avcC` (ISO/IEC 14496-15 section 5.3.3.1).

use bytes::{BufMut, Bytes, BytesMut};
use rillcast_core::{MediaParams, Timescale, Track, TrackId, VideoParams};

use super::unit::{PPS, SPS, SPS_EXT};
use super::{Error, Sps, unit_type, units};
use crate::codec::AVC;
use crate::codec::bits::BitReader;
use crate::codec::nal::{trimmed, unescape};
use crate::codec::sets::{Allowance, ParameterSets};
use crate::cursor::Cursor;

/// A decoder's configuration: the parameter sets of a stream.
///
/// What the record says of profile, level, chroma format and bit depths is
/// taken from the sequence parameter set and not from the record's own copy,
/// so two configurations are equal exactly if their parameter sets are.
#[derive(Clone, Debug)]
pub struct Config {
    length_size: u8,
    sps: ParameterSets,
    pps: ParameterSets,
    sps_ext: ParameterSets,
    first: Sps,
}

impl Config {
    /// Parses a configuration record.
    ///
    /// # Errors
    /// An [`Error`] if it is malformed or has no usable sequence parameter set.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(record);
        let [
            version,
            _profile,
            _constraints,
            _level,
            length_size,
            sps_count,
        ] = cursor.array().ok_or(Error::Truncated)?;
        if version != 1 {
            return Err(Error::Version(version));
        }
        let length_size = (length_size & 3) + 1;
        if length_size == 3 {
            return Err(Error::LengthSize(length_size));
        }
        let sps = parameter_sets(&mut cursor, sps_count & 0x1f).ok_or(Error::Truncated)?;
        let pps_count = cursor.u8().ok_or(Error::Truncated)?;
        let pps = parameter_sets(&mut cursor, pps_count).ok_or(Error::Truncated)?;
        let first = Sps::parse(sps.units().first().ok_or(Error::NoSps)?)?;
        // The extension of the high profiles is missing from some senders'
        // records, and the rest of it follows from the parameter set.
        let sps_ext = if first.has_extension() {
            extension(&mut cursor).unwrap_or_default()
        } else {
            ParameterSets::default()
        };
        let config = Self {
            length_size,
            sps,
            pps,
            sps_ext,
            first,
        };
        config.is_bounded().then_some(config).ok_or(TOO_LARGE)
    }

    /// The configuration that the parameter sets in an access unit in canonical
    /// form make, for streams that have no record; `None` without a sequence
    /// and a picture parameter set, or if one is malformed.
    #[must_use]
    pub fn gather(payload: &[u8]) -> Option<Self> {
        let mut sets = units(payload).filter_map(Result::ok);
        let sps = trimmed(sets.find(|unit| unit_type(unit) == SPS)?);
        let mut config = Self {
            length_size: 4,
            sps: ParameterSets::default(),
            pps: ParameterSets::default(),
            sps_ext: ParameterSets::default(),
            first: Sps::parse(sps).ok()?,
        };
        let id = set_id(sps).ok();
        config.sps.push(id, Bytes::copy_from_slice(sps));
        config.absorb(payload).ok()?;
        (!config.pps.units().is_empty() && config.is_bounded()).then_some(config)
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

    /// The sequence parameter sets as NAL units.
    #[must_use]
    pub fn sequence_parameter_sets(&self) -> &[Bytes] {
        self.sps.units()
    }

    /// The picture parameter sets as NAL units.
    #[must_use]
    pub fn picture_parameter_sets(&self) -> &[Bytes] {
        self.pps.units()
    }

    /// The extensions of sequence parameter sets as NAL units (alpha planes).
    #[must_use]
    pub fn sequence_parameter_set_extensions(&self) -> &[Bytes] {
        self.sps_ext.units()
    }

    /// The codec with its profile and level: `avc1.PPCCLL` (RFC 6381 section 3.3).
    #[must_use]
    pub fn codec_string(&self) -> String {
        let Sps {
            profile,
            constraints,
            level,
            ..
        } = self.first;
        format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
    }

    /// The record in canonical form: with four-byte lengths, and with the
    /// extension of the high profiles where the profile wants it.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        let sps = &self.first;
        out.put_slice(&[1, sps.profile, sps.constraints, sps.level]);
        out.put_u8(0xfc | 3);
        put_parameter_sets(&mut out, 0xe0, self.sps.units(), MAX_SPS);
        put_parameter_sets(&mut out, 0, self.pps.units(), MAX_SETS);
        if sps.has_extension() {
            out.put_u8(0xfc | sps.chroma_format);
            out.put_u8(0xf8 | sps.bit_depth_luma.saturating_sub(8));
            out.put_u8(0xf8 | sps.bit_depth_chroma.saturating_sub(8));
            put_parameter_sets(&mut out, 0, self.sps_ext.units(), MAX_SETS);
        }
        out.freeze()
    }

    /// The track that the configuration describes, in 90 kHz ticks. Its size is
    /// that of the shown picture, which is what playlists and manifests state.
    #[must_use]
    pub fn track(&self, id: TrackId) -> Track {
        let (width, height) = self.first.display_size();
        let video = VideoParams::new(width, height)
            .with_frame_rate(self.first.frame_rate)
            .with_colour(self.first.colour);
        Track::new(id, AVC, Timescale::VIDEO, MediaParams::Video(video))
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
        let mut next: Option<Self> = None;
        let mut allowance = Allowance::new(MAX_BYTES);
        for unit in units(payload) {
            let unit = trimmed(unit?);
            let kind = unit_type(unit);
            if !matches!(kind, SPS | PPS | SPS_EXT)
                || next.as_ref().unwrap_or(self).sets(kind).contains(unit)
            {
                continue;
            }
            if !allowance.take(unit) {
                return Err(TOO_LARGE);
            }
            next.get_or_insert_with(|| self.clone())
                .replace(kind, unit)?;
        }
        let Some(mut next) = next else {
            return Ok(false);
        };
        next.first = Sps::parse(next.sps.units().first().ok_or(Error::NoSps)?)?;
        if !next.first.has_extension() {
            // The record has no place for them.
            next.sps_ext.clear();
        }
        if !next.is_bounded() {
            return Err(TOO_LARGE);
        }
        let changed = next != *self;
        *self = next;
        Ok(changed)
    }

    fn is_bounded(&self) -> bool {
        let sets = [&self.sps, &self.pps, &self.sps_ext].map(ParameterSets::units);
        sets.into_iter().flatten().map(Bytes::len).sum::<usize>() <= MAX_BYTES
    }

    const fn sets(&self, kind: u8) -> &ParameterSets {
        match kind {
            SPS => &self.sps,
            PPS => &self.pps,
            _ => &self.sps_ext,
        }
    }

    fn replace(&mut self, kind: u8, unit: &[u8]) -> Result<(), Error> {
        let id = set_id(unit)?;
        let (sets, limit) = match kind {
            SPS => {
                Sps::parse(unit)?;
                (&mut self.sps, MAX_SPS)
            }
            PPS => (&mut self.pps, MAX_SETS),
            _ => (&mut self.sps_ext, MAX_SETS),
        };
        let fits = sets.put(id, Bytes::copy_from_slice(unit), limit);
        fits.then_some(())
            .ok_or(Error::ParameterSet("is one more than a record can hold"))
    }
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.sps == other.sps && self.pps == other.pps && self.sps_ext == other.sps_ext
    }
}

impl Eq for Config {}

/// How many parameter sets the record's count fields of 5 and 8 bits can say.
const MAX_SPS: usize = 31;
const MAX_SETS: usize = 255;

/// What all parameter sets of a stream may take together. Real ones take some
/// hundred bytes; each reader of a stream and each initialisation segment has
/// a copy. Below the 65535 bytes that the record can say of one.
const MAX_BYTES: usize = 32 << 10;
const TOO_LARGE: Error = Error::ParameterSet("makes all of them together longer than 32 KiB");

fn parameter_sets(cursor: &mut Cursor<'_>, count: u8) -> Option<ParameterSets> {
    let mut sets = ParameterSets::default();
    for _ in 0..count {
        let len = usize::from(cursor.u16()?);
        let unit = trimmed(cursor.take(len)?);
        // A zero-length entry carries nothing.
        if !unit.is_empty() {
            sets.push(set_id(unit).ok(), Bytes::copy_from_slice(unit));
        }
    }
    Some(sets)
}

fn extension(cursor: &mut Cursor<'_>) -> Option<ParameterSets> {
    let [_chroma_format, _luma, _chroma, count] = cursor.array()?;
    parameter_sets(cursor, count)
}

fn put_parameter_sets(out: &mut BytesMut, reserved: u8, sets: &[Bytes], limit: usize) {
    let sets = sets.get(..limit).unwrap_or(sets);
    out.put_u8(reserved | u8::try_from(sets.len()).unwrap_or(u8::MAX));
    for set in sets {
        // Both ways in refuse longer ones.
        out.put_u16(u16::try_from(set.len()).unwrap_or(u16::MAX));
        out.put_slice(set);
    }
}

/// The id of a parameter set: all three kinds have it first, but that an SPS
/// has profile and level before it.
fn set_id(unit: &[u8]) -> Result<u32, Error> {
    let skip = if unit_type(unit) == SPS { 4 } else { 1 };
    // An id of 8 bits takes at most 17: emulation prevention cannot fall into
    // more than the first few bytes.
    let body = unit.get(1..unit.len().min(16)).unwrap_or_default();
    let rbsp = unescape(body);
    BitReader::new(rbsp.get(skip - 1..).unwrap_or_default())
        .ue()
        .filter(|id| *id <= 255)
        .ok_or(Error::ParameterSet("has no id"))
}

#[cfg(test)]
pub(crate) mod captures;
#[cfg(test)]
mod tests;
