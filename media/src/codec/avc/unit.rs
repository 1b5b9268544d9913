//! Access units: walking their NAL units, and their canonical form.

use bytes::Bytes;

use super::{Error, Units};
use crate::codec::nal::{self, byte_stream, joined};

// `nal_unit_type` of ISO/IEC 14496-10, table 7-1.
const SLICE: u8 = 1;
pub(super) const IDR: u8 = 5;
pub(super) const SPS: u8 = 7;
pub(super) const PPS: u8 = 8;
const AUD: u8 = 9;
const FILLER: u8 = 12;
pub(super) const SPS_EXT: u8 = 13;

/// The `nal_unit_type` of a NAL unit; 0, which is unspecified, for an empty one.
#[must_use]
pub fn unit_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & 0x1f)
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
    /// A slice of an IDR picture: decoding can start here.
    pub keyframe: bool,
    /// A sequence or picture parameter set.
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
                IDR => {
                    summary.picture = true;
                    summary.keyframe = true;
                }
                SLICE..IDR => summary.picture = true,
                SPS | PPS | SPS_EXT => summary.parameter_sets = true,
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

/// Whether an access unit in canonical form holds a slice of an IDR picture.
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
        !matches!(unit_type(unit), AUD | FILLER | SPS | PPS | SPS_EXT)
    })
}

/// Brings an access unit whose NAL unit lengths take `length_size` bytes (1, 2
/// or 4) into canonical form, and says what it holds. One that is canonical
/// already comes back as the slice that it is; else it is copied.
///
/// Some hardware encoders put a byte stream (annex B of ISO/IEC 14496-10)
/// where lengths belong. An access unit whose lengths do not add up and that
/// begins with a start code of four bytes is read as one.
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

    fn prefixed(units: &[&[u8]], length_size: usize) -> Bytes {
        let mut out = Vec::new();
        for unit in units {
            out.extend_from_slice(&unit.len().to_be_bytes()[8 - length_size..]);
            out.extend_from_slice(unit);
        }
        out.into()
    }

    #[test]
    fn short_lengths_are_rewritten_and_four_byte_ones_kept() {
        let parts: [&[u8]; 3] = [&[0x09, 0xf0], &[0x65, 1, 2, 3], &[0x41; 200]];
        let want = prefixed(&parts, 4);
        for length_size in [1, 2, 4] {
            let wire = prefixed(&parts, length_size);
            let size = u8::try_from(length_size).unwrap();
            let (payload, summary) = canonical(wire.clone(), size).unwrap();
            assert_eq!(payload, want);
            assert!(summary.keyframe && summary.picture && !summary.parameter_sets);
            assert_eq!(payload.as_ptr() == wire.as_ptr(), length_size == 4);
        }
        assert_eq!(canonical(want, 3), Err(Error::LengthSize(3)));
    }

    #[test]
    fn empty_units_are_left_out() {
        let wire = prefixed(&[&[], &[0x41, 1], &[]], 4);
        let (payload, summary) = canonical(wire, 4).unwrap();
        assert_eq!(payload, prefixed(&[&[0x41, 1]], 4));
        assert!(!summary.empty_unit && summary.picture && !summary.keyframe);
    }

    #[test]
    fn a_byte_stream_is_taken_where_lengths_belong() {
        let parts: [&[u8]; 4] = [
            &[9, 0xf0],
            &[0x67, 0, 0, 3, 1],
            &[0x68, 7],
            &[0x65, 1, 0, 2],
        ];
        let want = prefixed(&parts, 4);
        let (long, short): (&[u8], &[u8]) = (&[0, 0, 0, 1], &[0, 0, 1]);
        for codes in [[long; 4], [long, short, &[0, 0, 0, 0, 1], short]] {
            let mut wire = Vec::new();
            for (code, unit) in codes.iter().zip(parts) {
                wire.extend_from_slice(code);
                wire.extend_from_slice(unit);
            }
            for end in [&[][..], &[0, 0, 0]] {
                let wire = [&wire, end].concat();
                for length_size in [2, 4] {
                    let (payload, summary) = canonical(wire.clone().into(), length_size).unwrap();
                    assert_eq!(payload, want, "{wire:?}");
                    assert!(summary.keyframe && summary.parameter_sets && !summary.empty_unit);
                }
            }
        }
        for none in [
            &[0, 0, 0, 1][..],
            &[0, 1, 0x65, 1],
            &[0, 0, 0, 9, 0x65],
            &[0; 7],
            &[0, 0, 1, 0x65, 1],
        ] {
            assert!(
                canonical(Bytes::copy_from_slice(none), 4).is_err(),
                "{none:?}"
            );
        }
    }

    #[test]
    fn lengths_that_do_not_add_up_are_typed() {
        for (bytes, want) in [
            (
                &[0, 0, 0, 5, 0x65, 1][..],
                Error::UnitLength {
                    at: 4,
                    claimed: 5,
                    left: 2,
                },
            ),
            (&[0, 0, 0, 1, 0x65, 0, 0][..], Error::Trailing(2)),
            (
                &[0xff, 0xff, 0xff, 0xff][..],
                Error::UnitLength {
                    at: 4,
                    claimed: 0xffff_ffff,
                    left: 0,
                },
            ),
        ] {
            assert_eq!(summarize(bytes), Err(want), "{bytes:?}");
            assert!(!is_keyframe(bytes));
            let last = units(bytes).last().unwrap();
            assert_eq!(last, Err(want));
            assert_eq!(units(bytes).filter(Result::is_err).count(), 1);
        }
    }

    #[test]
    fn a_keyframe_is_what_the_slices_say() {
        for (kind, picture, keyframe) in [
            (1, true, false),
            (2, true, false),
            (5, true, true),
            (6, false, false),
            (9, false, false),
            (10, false, false),
        ] {
            let summary = summarize(&prefixed(&[&[9, 0xf0], &[0x60 | kind, 7]], 4)).unwrap();
            assert_eq!((summary.picture, summary.keyframe), (picture, keyframe));
        }
    }

    #[test]
    fn equal_units_ignore_delimiters_filler_and_parameter_sets() {
        let slice: &[u8] = &[0x65, 1, 2];
        let sei: &[u8] = &[6, 5];
        let bare = prefixed(&[sei, slice], 4);
        for (units, want) in [
            (&[sei, slice][..], true),
            (&[&[9, 0xf0], &[0x67, 1], &[0x68, 2], sei, slice], true),
            (&[sei, slice, &[12, 0xff, 0x80]], true),
            (&[slice, sei], false),
            (&[slice], false),
            (&[sei, slice, slice], false),
            (&[sei, &[0x65, 1, 3]], false),
        ] {
            assert_eq!(equal(&bare, &prefixed(units, 4)), want, "{units:?}");
        }
        assert!(!equal(&bare, &bare[..bare.len() - 1]));
        assert!(!equal(&[0, 0, 0], &[0, 0]));
    }
}
