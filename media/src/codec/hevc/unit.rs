//! Access units: walking their NAL units, and their canonical form.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::{Error, Units};
use crate::codec::nal::{self, byte_stream, joined};

// `nal_unit_type` of ISO/IEC 23008-2, table 7-1.
/// Coded slices of pictures where decoding can start (`IRAP`): BLA, IDR, CRA,
/// and the two reserved for more of them.
const IRAP: RangeInclusive<u8> = 16..=23;
/// The last type of a coded slice, reserved ones included.
const LAST_SLICE: u8 = 31;
pub(super) const VPS: u8 = 32;
pub(super) const SPS: u8 = 33;
pub(super) const PPS: u8 = 34;
const AUD: u8 = 35;
const FILLER: u8 = 38;
pub(super) const PREFIX_SEI: u8 = 39;
/// What the base layer's types do not reach, for units of other layers and
/// such without a header: `UNSPEC63`.
const NONE: u8 = 63;

/// The `nal_unit_type` of a NAL unit of the base layer; 63, which is
/// unspecified, for one of another layer and for one without a header.
#[must_use]
pub const fn unit_type(unit: &[u8]) -> u8 {
    match unit {
        // nuh_layer_id is 0.
        [header, layer, ..] if *header & 1 == 0 && *layer >> 3 == 0 => *header >> 1 & 0x3f,
        _ => NONE,
    }
}

/// The NAL units of an access unit in canonical form (four-byte lengths). Ends
/// after the first error.
#[must_use]
pub const fn units(payload: &[u8]) -> Units<'_> {
    Units::new(payload, 4)
}

/// What an access unit holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// A coded slice of a picture.
    pub picture: bool,
    /// A slice of an IRAP picture: decoding can start here. Pictures that lead
    /// it and refer to others before it are skipped by decoders that do so.
    pub keyframe: bool,
    /// A video, sequence or picture parameter set.
    pub parameter_sets: bool,
    /// An empty NAL unit, which the canonical form does not have.
    pub empty_unit: bool,
}

impl Summary {
    fn of(units: Units<'_>) -> Result<Self, Error> {
        let mut summary = Self::default();
        for unit in units {
            let unit = unit?;
            match unit_type(unit) {
                kind @ 0..=LAST_SLICE => {
                    summary.picture = true;
                    summary.keyframe |= IRAP.contains(&kind);
                }
                VPS | SPS | PPS => summary.parameter_sets = true,
                _ => summary.empty_unit |= unit.is_empty(),
            }
        }
        Ok(summary)
    }
}

/// Walks an access unit in canonical form and says what it holds.
///
/// # Errors
/// [`Error::UnitLength`] or [`Error::Trailing`] if the lengths do not add up.
pub fn summarize(payload: &[u8]) -> Result<Summary, Error> {
    Summary::of(units(payload))
}

/// Whether an access unit in canonical form holds a slice of an IRAP picture.
/// `false` if its lengths do not add up.
#[must_use]
pub fn is_keyframe(payload: &[u8]) -> bool {
    summarize(payload).is_ok_and(|summary| summary.keyframe)
}

/// Whether two access units in canonical form hold the same NAL units in the
/// same order, access unit delimiters, filler data and parameter sets left
/// out. Malformed ones are equal only to themselves.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    nal::equal(a, b, |unit| {
        !matches!(unit_type(unit), AUD | FILLER | VPS | SPS | PPS)
    })
}

/// Brings an access unit whose NAL unit lengths take `length_size` bytes (1, 2
/// or 4) into canonical form, and says what it holds. One that is canonical
/// already comes back as the slice that it is; else it is copied.
///
/// An access unit whose lengths do not add up and that begins with a start code
/// of four bytes is read as a byte stream (annex B), as with H.264.
///
/// # Errors
/// [`Error::LengthSize`] for any other size; [`Error::UnitLength`] or
/// [`Error::Trailing`] if the lengths do not add up.
pub fn canonical(payload: Bytes, length_size: u8) -> Result<(Bytes, Summary), Error> {
    if !matches!(length_size, 1 | 2 | 4) {
        return Err(Error::LengthSize(length_size));
    }
    let walk = Units::new(&payload, usize::from(length_size));
    let mut summary = match Summary::of(walk.clone()) {
        Ok(summary) => summary,
        Err(error) => {
            let payload = joined(&byte_stream(&payload).ok_or(error)?);
            let summary = summarize(&payload)?;
            return Ok((payload, summary));
        }
    };
    if length_size == 4 && !summary.empty_unit {
        return Ok((payload, summary));
    }
    summary.empty_unit = false;
    Ok((joined(&walk.filter_map(Result::ok)), summary))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixed(units: &[&[u8]], length_size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for unit in units {
            out.extend_from_slice(&unit.len().to_be_bytes()[8 - length_size..]);
            out.extend_from_slice(unit);
        }
        out
    }

    /// A NAL unit of `kind` in `layer`.
    fn unit(kind: u8, layer: u8, body: &[u8]) -> Vec<u8> {
        [&[kind << 1 | layer >> 5, layer << 3 | 1], body].concat()
    }

    #[test]
    fn a_keyframe_is_what_the_slices_of_the_base_layer_say() {
        for (kind, picture, keyframe) in [
            (0, true, false),  // TRAIL_N
            (1, true, false),  // TRAIL_R
            (9, true, false),  // RASL_R
            (15, true, false), // reserved
            (16, true, true),  // BLA_W_LP
            (19, true, true),  // IDR_W_RADL
            (20, true, true),  // IDR_N_LP
            (21, true, true),  // CRA
            (23, true, true),  // reserved IRAP
            (24, true, false),
            (32, false, false),
            (35, false, false),
            (39, false, false),
            (63, false, false),
        ] {
            let own = unit(kind, 0, &[0x80]);
            let summary = summarize(&prefixed(&[&unit(35, 0, &[0x50]), &own], 4)).unwrap();
            assert_eq!(
                (summary.picture, summary.keyframe),
                (picture, keyframe),
                "{kind}"
            );
            assert_eq!(summary.parameter_sets, kind == 32);
            for layer in [1, 31, 32, 63] {
                let other = prefixed(&[&unit(kind, layer, &[0x80])], 4);
                assert_eq!(
                    summarize(&other),
                    Ok(Summary::default()),
                    "{kind} in {layer}"
                );
            }
        }
        assert!(!is_keyframe(&prefixed(&[&[19 << 1]], 4)), "half a header");
    }

    #[test]
    fn short_lengths_and_byte_streams_are_rewritten_and_four_byte_lengths_kept() {
        let (aud, slice) = (unit(35, 0, &[0x50]), unit(19, 0, &[0xaf, 0, 1, 7]));
        let want = prefixed(&[&aud, &slice], 4);
        for length_size in [1, 2] {
            let payload = Bytes::from(prefixed(&[&aud, &[], &slice], length_size));
            let length_size = u8::try_from(length_size).unwrap();
            let (canonical, summary) = canonical(payload, length_size).unwrap();
            assert_eq!(canonical, want);
            assert!(summary.keyframe && !summary.empty_unit);
        }
        let whole = Bytes::from(want.clone());
        let (kept, _) = canonical(whole.clone(), 4).unwrap();
        assert_eq!(kept.as_ptr(), whole.as_ptr());
        let holes = Bytes::from(prefixed(&[&[], &aud, &slice, &[]], 4));
        assert_eq!(canonical(holes, 4).unwrap().0, want);
        let stream = [&[0, 0, 0, 1][..], &aud, &[0, 0, 1], &slice, &[0, 0]].concat();
        let (canonical_stream, summary) = canonical(stream.into(), 4).unwrap();
        assert_eq!(canonical_stream, want);
        assert!(summary.keyframe);
        assert_eq!(canonical(whole, 3), Err(Error::LengthSize(3)));
    }

    #[test]
    fn lengths_that_do_not_add_up_are_typed() {
        for (bytes, want) in [
            (
                &[0, 0, 0, 5, 0x26, 1][..],
                Error::UnitLength {
                    at: 4,
                    claimed: 5,
                    left: 2,
                },
            ),
            (&[0, 0, 0, 2, 0x26, 1, 0, 0][..], Error::Trailing(2)),
        ] {
            assert_eq!(summarize(bytes), Err(want));
            assert!(!is_keyframe(bytes));
            assert_eq!(units(bytes).filter(Result::is_err).count(), 1);
        }
    }

    #[test]
    fn equal_units_ignore_delimiters_filler_and_parameter_sets() {
        let slice = &unit(1, 0, &[0x80, 1])[..];
        let sei = &unit(39, 0, &[5])[..];
        let second = &unit(1, 1, &[0x80, 1])[..];
        let sets = [32, 33, 34, 35, 38].map(|kind| unit(kind, 0, &[1]));
        let bare = prefixed(&[sei, slice], 4);
        for (units, want) in [
            (&[sei, slice][..], true),
            (
                &[&sets[3], &sets[0], &sets[1], &sets[2], sei, slice, &sets[4]],
                true,
            ),
            (&[slice, sei], false),
            (&[sei, slice, second], false),
            (&[slice], false),
        ] {
            assert_eq!(equal(&bare, &prefixed(units, 4)), want, "{units:?}");
        }
        assert!(!equal(&bare, &bare[..bare.len() - 1]));
    }
}
