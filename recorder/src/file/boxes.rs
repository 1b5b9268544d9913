//! Boxes of MP4 (ISO/IEC 14496-12 section 4.2), as far as our own files have them:
//! 32-bit sizes, known order.

use std::ops::Range;

/// One box: where it lies in the bytes it was found in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: [u8; 4],
    pub(super) whole: Range<usize>,
    pub(super) body: Range<usize>,
}

/// The boxes that lie one after the other in `range` of `bytes`; ends early where
/// what follows is none.
pub(super) fn boxes(bytes: &[u8], range: Range<usize>) -> impl Iterator<Item = Place> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..range.end)?;
        let (size, kind) = header(rest)?;
        let size = usize::try_from(size)
            .ok()
            .filter(|size| *size <= rest.len())?;
        let place = Place {
            kind,
            whole: at..at + size,
            body: at + HEADER..at + size,
        };
        at += size;
        Some(place)
    })
}

/// The body of the first box that `path` leads to.
pub(super) fn find(bytes: &[u8], range: Range<usize>, path: &[&[u8; 4]]) -> Option<Range<usize>> {
    let mut range = range;
    for kind in path {
        range = boxes(bytes, range).find(|place| place.kind == **kind)?.body;
    }
    Some(range)
}

/// The size and the type of the box that `bytes` begin with.
pub(super) fn header(bytes: &[u8]) -> Option<(u32, [u8; 4])> {
    let size = u32::from_be_bytes(*bytes.first_chunk()?);
    let kind = *bytes.get(4..)?.first_chunk()?;
    (size as usize >= HEADER).then_some((size, kind))
}

/// The number of four bytes `at` so many bytes into `range`.
pub(super) fn u32_at(bytes: &[u8], range: &Range<usize>, at: usize) -> Option<u32> {
    let field = bytes.get(range.clone())?.get(at..)?;
    Some(u32::from_be_bytes(*field.first_chunk()?))
}

/// The number of eight bytes `at` so many bytes into `range`.
pub(super) fn u64_at(bytes: &[u8], range: &Range<usize>, at: usize) -> Option<u64> {
    let field = bytes.get(range.clone())?.get(at..)?;
    Some(u64::from_be_bytes(*field.first_chunk()?))
}

/// Writes `value` `at` so many bytes into `range`.
pub(super) fn put(bytes: &mut [u8], range: &Range<usize>, at: usize, value: &[u8]) -> Option<()> {
    let field = bytes.get_mut(range.clone())?.get_mut(at..)?;
    field.get_mut(..value.len())?.copy_from_slice(value);
    Some(())
}

/// Puts a box around `body`, which is given in pieces.
pub(super) fn wrap(kind: &[u8; 4], body: &[&[u8]]) -> Option<Vec<u8>> {
    let size = body.iter().map(|piece| piece.len()).sum::<usize>() + HEADER;
    let mut out = Vec::with_capacity(size);
    out.extend(u32::try_from(size).ok()?.to_be_bytes());
    out.extend(kind);
    for piece in body {
        out.extend(*piece);
    }
    Some(out)
}

/// The bytes of a box's size and type.
pub(super) const HEADER: usize = 8;
