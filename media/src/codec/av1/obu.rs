//! Temporal units: walking their OBUs, and their canonical form.

use bytes::{BufMut, Bytes, BytesMut};

use super::Error;

// `obu_type` (section 6.2.2).
pub(super) const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const FRAME_HEADER: u8 = 3;
const TILE_GROUP: u8 = 4;
pub(super) const METADATA: u8 = 5;
const FRAME: u8 = 6;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// What a temporal unit holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// A frame, or one that was sent before and is to be shown now.
    pub picture: bool,
    /// The first frame is a key frame that is shown: decoding can start here.
    pub keyframe: bool,
    /// A sequence header.
    pub sequence_header: bool,
}

/// One OBU of a temporal unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Obu<'a> {
    pub(super) kind: u8,
    /// The bytes of the header: one, or two with an extension.
    header: &'a [u8],
    has_size: bool,
    pub(super) body: &'a [u8],
    /// Where it begins and ends in the payload.
    begin: usize,
    end: usize,
}

/// The OBUs of a temporal unit. Ends after the first error.
#[derive(Clone, Debug)]
pub(super) struct Obus<'a> {
    payload: &'a [u8],
    at: usize,
}

pub(super) const fn obus(payload: &[u8]) -> Obus<'_> {
    Obus { payload, at: 0 }
}

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.payload.len() {
            return None;
        }
        let begin = self.at;
        let obu = self.read().ok_or(Error::Obu { at: begin });
        self.at = obu.as_ref().map_or(self.payload.len(), |obu| obu.end);
        Some(obu)
    }
}

impl<'a> Obus<'a> {
    fn read(&self) -> Option<Obu<'a>> {
        let begin = self.at;
        let rest = self.payload.get(begin..)?;
        let first = *rest.first()?;
        // The forbidden bit.
        if first & 0x80 != 0 {
            return None;
        }
        let header_len = if first & EXTENSION == 0 { 1 } else { 2 };
        let (header, rest) = rest.split_at_checked(header_len)?;
        let has_size = first & HAS_SIZE != 0;
        let (body, size_len) = if has_size {
            // The last one alone may go without.
            let (size, size_len) = leb128(rest)?;
            let end = size_len.checked_add(usize::try_from(size).ok()?)?;
            (rest.get(size_len..end)?, size_len)
        } else {
            (rest, 0)
        };
        Some(Obu {
            kind: first >> 3 & 0xf,
            header,
            has_size,
            body,
            begin,
            end: begin + header_len + size_len + body.len(),
        })
    }
}

impl<'a> Obu<'a> {
    /// The same with less of its body.
    pub(super) const fn with_body(self, body: &'a [u8]) -> Self {
        Self { body, ..self }
    }

    /// Delimiters, padding and tile lists have no place in files (section 2.4 of
    /// the binding).
    const fn is_kept(&self) -> bool {
        !matches!(self.kind, TEMPORAL_DELIMITER | TILE_LIST | PADDING)
    }

    /// Puts it with its size.
    pub(super) fn put(&self, out: &mut BytesMut) {
        let (first, extension) = self.header.split_first().unwrap_or((&0, &[]));
        out.put_u8(first | HAS_SIZE);
        out.put_slice(extension);
        put_leb128(self.body.len(), out);
        out.put_slice(self.body);
    }
}

impl Summary {
    fn of(payload: &[u8]) -> Result<Self, Error> {
        let mut summary = Self::default();
        let mut reduced = false;
        for obu in obus(payload) {
            let obu = obu?;
            match obu.kind {
                SEQUENCE_HEADER => {
                    summary.sequence_header = true;
                    // `reduced_still_picture_header`, behind the profile.
                    reduced = obu.body.first().is_some_and(|first| first & 8 != 0);
                }
                FRAME | FRAME_HEADER if !summary.picture => {
                    summary.picture = true;
                    summary.keyframe = is_key(obu.body, reduced);
                }
                TILE_GROUP => summary.picture = true,
                _ => {}
            }
        }
        Ok(summary)
    }
}

/// Whether a frame header begins one that is a key frame and shown (section 5.9.2):
/// `show_existing_frame`, two bits `frame_type`, `show_frame`.
fn is_key(header: &[u8], reduced: bool) -> bool {
    reduced || header.first().is_some_and(|first| first >> 4 == 1)
}

/// Walks a temporal unit and says what it holds.
///
/// # Errors
/// [`Error::Obu`] if an OBU is malformed.
pub fn summarize(payload: &[u8]) -> Result<Summary, Error> {
    Summary::of(payload)
}

/// Whether the first frame of a temporal unit is a key frame that is shown.
/// `false` if an OBU is malformed.
#[must_use]
pub fn is_keyframe(payload: &[u8]) -> bool {
    summarize(payload).is_ok_and(|summary| summary.keyframe)
}

/// Whether two temporal units hold the same OBUs in the same order, sequence
/// headers and what the canonical form does not have left out. Malformed ones
/// are equal only to themselves.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    if summarize(a).is_err() || summarize(b).is_err() {
        return false;
    }
    let matter = |payload| {
        obus(payload)
            .filter_map(Result::ok)
            .filter(|obu| obu.is_kept() && obu.kind != SEQUENCE_HEADER)
            .map(|obu| {
                let extension = obu.header.get(1).copied();
                (obu.kind, extension, obu.body)
            })
    };
    matter(a).eq(matter(b))
}

/// Brings a temporal unit into canonical form: each OBU with its size, without
/// temporal delimiters, padding and tile lists. What lies in one piece comes
/// back as a slice; else it is copied.
///
/// # Errors
/// [`Error::Obu`] if an OBU is malformed.
pub fn canonical(payload: Bytes) -> Result<(Bytes, Summary), Error> {
    let summary = summarize(&payload)?;
    let kept = || obus(&payload).filter_map(Result::ok).filter(Obu::is_kept);
    let mut begin = None;
    let mut end = 0;
    let mut is_whole = true;
    for obu in kept() {
        is_whole &= obu.has_size && begin.is_none_or(|_| end == obu.begin);
        begin.get_or_insert(obu.begin);
        end = obu.end;
    }
    let Some(begin) = begin else {
        return Ok((Bytes::new(), summary));
    };
    if is_whole {
        return Ok((payload.slice(begin..end), summary));
    }
    let mut out = BytesMut::with_capacity(payload.len() + MAX_SIZE_LEN);
    for obu in kept() {
        obu.put(&mut out);
    }
    Ok((out.freeze(), summary))
}

/// `leb128()` (section 4.10.5): the number, and how many bytes it takes.
pub(super) fn leb128(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, at + 1));
        }
    }
    None
}

fn put_leb128(value: usize, out: &mut BytesMut) {
    let mut rest = value;
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            out.put_u8(low & 0x7f);
            return;
        }
        out.put_u8(low | 0x80);
    }
}

/// Flags of the header's first byte.
const EXTENSION: u8 = 4;
const HAS_SIZE: u8 = 2;

/// What the size of the last OBU may take where it had none.
const MAX_SIZE_LEN: usize = 8;
