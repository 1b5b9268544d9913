//! How bright pictures are, and on which display they were made: what HEVC says in
//! messages and AV1 in metadata, as files have it (`clli` and `mdcv` of ISO/IEC
//! 14496-12 section 12.1.6).

use bytes::{BufMut, Bytes, BytesMut};

use crate::cursor::Cursor;

/// How bright pictures are, in candela a square metre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Light {
    /// The brightest sample.
    pub max_content: u16,
    /// The brightest average of a picture.
    pub max_average: u16,
}

/// The display that pictures were made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mastering {
    /// Chromaticity of green, blue and red, in steps of 0.00002.
    pub primaries: [(u16, u16); 3],
    /// Of white.
    pub white: (u16, u16),
    /// In steps of 0.0001 candela a square metre.
    pub max_luminance: u32,
    /// The same.
    pub min_luminance: u32,
}

impl Light {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(Self {
            max_content: cursor.u16()?,
            max_average: cursor.u16()?,
        })
    }

    /// The contents of a `clli` box, and of HEVC's message.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(4);
        out.put_u16(self.max_content);
        out.put_u16(self.max_average);
        out.freeze()
    }
}

impl Mastering {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut point = || Some((cursor.u16()?, cursor.u16()?));
        Some(Self {
            primaries: [point()?, point()?, point()?],
            white: point()?,
            max_luminance: cursor.u32()?,
            min_luminance: cursor.u32()?,
        })
    }

    /// The contents of an `mdcv` box, and of HEVC's message.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(24);
        for (x, y) in self.primaries.into_iter().chain([self.white]) {
            out.put_u16(x);
            out.put_u16(y);
        }
        out.put_u32(self.max_luminance);
        out.put_u32(self.min_luminance);
        out.freeze()
    }
}
