//! What H.264 and HEVC share: NAL units with their lengths before them (ISO/IEC
//! 14496-15 section 4.3.3), byte streams (annex B), emulation prevention.

use std::marker::PhantomData;

use bytes::{BufMut, Bytes, BytesMut};

/// The NAL units of an access unit, by the lengths before them. Ends after the
/// first error.
#[derive(Debug)]
pub struct Units<'a, E> {
    payload: &'a [u8],
    at: usize,
    length_size: usize,
    error: PhantomData<fn() -> E>,
}

/// Why an access unit cannot be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A NAL unit is longer than what is left.
    UnitLength {
        /// Where the NAL unit begins, behind its length.
        at: usize,
        /// The length that it claims.
        claimed: usize,
        /// The bytes that are there.
        left: usize,
    },
    /// The access unit ends within a length; so many bytes are there.
    Trailing(usize),
}

impl<'a, E> Units<'a, E> {
    /// Lengths take 1, 2 or 4 bytes.
    pub(super) const fn new(payload: &'a [u8], length_size: usize) -> Self {
        Self {
            payload,
            at: 0,
            length_size,
            error: PhantomData,
        }
    }

    fn step(&mut self) -> Result<&'a [u8], Fault> {
        let rest = self.payload.get(self.at..).unwrap_or_default();
        let Some((length, rest)) = rest.split_at_checked(self.length_size) else {
            return Err(Fault::Trailing(rest.len()));
        };
        let claimed = length
            .iter()
            .fold(0, |sum: usize, byte| sum << 8 | usize::from(*byte));
        let at = self.at + self.length_size;
        let Some(unit) = rest.get(..claimed) else {
            return Err(Fault::UnitLength {
                at,
                claimed,
                left: rest.len(),
            });
        };
        self.at = at + claimed;
        Ok(unit)
    }
}

impl<E> Clone for Units<'_, E> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, E: From<Fault>> Iterator for Units<'a, E> {
    type Item = Result<&'a [u8], E>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.payload.len() {
            return None;
        }
        let unit = self.step();
        if unit.is_err() {
            self.at = self.payload.len();
        }
        Some(unit.map_err(E::from))
    }
}

/// Whether two access units with four-byte lengths hold the same NAL units in the same
/// order, as far as those `count`. Malformed ones are equal only to themselves.
pub(super) fn equal(a: &[u8], b: &[u8], counts: impl Fn(&[u8]) -> bool) -> bool {
    let walk = |payload| Units::<Fault>::new(payload, 4);
    let broken = |payload| walk(payload).any(|unit| unit.is_err());
    let kept = |payload| {
        let units = walk(payload).filter_map(Result::ok);
        units.filter(|unit| !unit.is_empty() && counts(unit))
    };
    a == b || (!broken(a) && !broken(b) && kept(a).eq(kept(b)))
}

/// NAL units with four-byte lengths, empty ones left out.
pub(super) fn joined<'a>(units: &(impl Iterator<Item = &'a [u8]> + Clone)) -> Bytes {
    let kept = || units.clone().filter(|unit| !unit.is_empty());
    let mut out = BytesMut::with_capacity(kept().map(|unit| unit.len() + 4).sum());
    for unit in kept() {
        // No longer than the message it came in: below 4 GiB.
        out.put_u32(u32::try_from(unit.len()).unwrap_or(u32::MAX));
        out.put_slice(unit);
    }
    out.freeze()
}

/// The NAL units of a byte stream, without the zeros that may stand between
/// them; `None` if it does not begin with the long start code that an access
/// unit has first (section B.1.2). As a length that would be one byte; the
/// short one is a length that many units have.
pub(super) fn byte_stream(payload: &[u8]) -> Option<impl Iterator<Item = &[u8]> + Clone> {
    let begin = payload.iter().position(|byte| *byte != 0)?;
    let mut rest = payload.get(begin + 1..).filter(|rest| !rest.is_empty())?;
    if begin < 3 || payload.get(begin) != Some(&1) {
        return None;
    }
    Some(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let next = rest.windows(3).position(|code| code == [0, 0, 1]);
        let (unit, tail) = rest.split_at(next.unwrap_or(rest.len()));
        rest = tail.get(3..).unwrap_or_default();
        Some(trimmed(unit))
    }))
}

/// Without `trailing_zero_8bits`, which an Annex B stream may have between NAL
/// units and a sloppy converter takes for their end. A parameter set itself
/// ends with a one bit.
pub(super) fn trimmed(unit: &[u8]) -> &[u8] {
    let end = unit
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    unit.get(..end).unwrap_or_default()
}

/// A NAL unit's payload without its emulation prevention bytes (section 7.4.1
/// of ISO/IEC 14496-10, 7.4.2 of ISO/IEC 23008-2).
pub(super) fn unescape(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut zeros = 0;
    for byte in body {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}
