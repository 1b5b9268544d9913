//! Metadata OBUs that hold for the whole stream (section 5.8): how bright its
//! pictures are, and on which display they were made.

use super::obu::{METADATA, leb128, obus};
use crate::codec::light::{Light, Mastering};
use crate::cursor::Cursor;

/// What the metadata OBUs among `bytes` say.
pub(super) fn read(bytes: &[u8]) -> (Option<Mastering>, Option<Light>) {
    let (mut mastering, mut light) = (None, None);
    for obu in obus(bytes).filter_map(Result::ok) {
        if obu.kind != METADATA {
            continue;
        }
        let Some((kind, len)) = leb128(obu.body) else {
            continue;
        };
        let mut cursor = Cursor::new(obu.body.get(len..).unwrap_or_default());
        match kind {
            LIGHT => light = Light::read(&mut cursor).or(light),
            MASTERING => mastering = read_mastering(&mut cursor).or(mastering),
            _ => {}
        }
    }
    (mastering, light)
}

/// Whether a metadata OBU holds for the whole stream.
pub(super) fn is_of_the_stream(body: &[u8]) -> bool {
    leb128(body).is_some_and(|(kind, _)| matches!(kind, LIGHT | MASTERING))
}

/// `metadata_hdr_mdcv()`, in the units of files: red comes first, and numbers are
/// fractions of powers of two.
fn read_mastering(cursor: &mut Cursor<'_>) -> Option<Mastering> {
    let mut point = || Some((steps(cursor.u16()?), steps(cursor.u16()?)));
    let (red, green, blue, white) = (point()?, point()?, point()?, point()?);
    Some(Mastering {
        primaries: [green, blue, red],
        white,
        // 24.8 and 18.14 bits.
        max_luminance: scaled(cursor.u32()?, 10_000, 8),
        min_luminance: scaled(cursor.u32()?, 10_000, 14),
    })
}

/// From 0.16 bits to steps of 0.00002.
fn steps(fraction: u16) -> u16 {
    u16::try_from(scaled(u32::from(fraction), 50_000, 16)).unwrap_or(u16::MAX)
}

fn scaled(value: u32, by: u64, shift: u32) -> u32 {
    let value = (u64::from(value) * by + (1 << (shift - 1))) >> shift;
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// `metadata_type`.
const LIGHT: u32 = 1;
const MASTERING: u32 = 2;
