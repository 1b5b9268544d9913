//! Supplemental enhancement information that holds for the whole stream (annex D).

use crate::codec::light::{Light, Mastering};
use crate::codec::nal::unescape;
use crate::cursor::Cursor;

/// What the first message of a NAL unit is: its `payloadType`.
pub(super) fn kind(unit: &[u8]) -> Option<u8> {
    unit.get(2).copied()
}

/// Whether a NAL unit begins with how bright the stream's pictures are.
pub(super) fn is_of_light(unit: &[u8]) -> bool {
    matches!(kind(unit), Some(MASTERING | LIGHT))
}

/// The display that the pictures were made on.
pub(super) fn mastering(unit: &[u8]) -> Option<Mastering> {
    read(unit, MASTERING, Mastering::read)
}

/// How bright they are. x265 writes zeros where nobody told it, which say nothing.
pub(super) fn light(unit: &[u8]) -> Option<Light> {
    let light = read(unit, LIGHT, Light::read)?;
    (light.max_content > 0 || light.max_average > 0).then_some(light)
}

/// The message of that type in a NAL unit.
fn read<T>(unit: &[u8], wanted: u8, read: fn(&mut Cursor<'_>) -> Option<T>) -> Option<T> {
    let body = unescape(unit.get(2..)?);
    let mut cursor = Cursor::new(&body);
    // The byte behind the last message is its trailing bit.
    while cursor.len() > 1 {
        let kind = number(&mut cursor)?;
        let len = usize::try_from(number(&mut cursor)?).ok()?;
        let message = cursor.take(len)?;
        if kind == u32::from(wanted) {
            return read(&mut Cursor::new(message));
        }
    }
    None
}

/// A type or a length: bytes of 255 add up with the one behind them.
fn number(cursor: &mut Cursor<'_>) -> Option<u32> {
    let mut sum = 0_u32;
    loop {
        let byte = cursor.u8()?;
        sum = sum.checked_add(u32::from(byte))?;
        if byte != 255 {
            return Some(sum);
        }
    }
}

const MASTERING: u8 = 137;
const LIGHT: u8 = 144;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::avc::captures::bytes;

    #[test]
    fn light_is_found_behind_other_messages() {
        // Of x265, by --max-cll 1000,400 and --master-display.
        let alone = bytes("4e01900403e8019080");
        let behind = bytes("4e018102aabb900403e8019080");
        for unit in [alone, behind] {
            let light = light(&unit).unwrap();
            assert_eq!((light.max_content, light.max_average), (1_000, 400));
            assert_eq!(mastering(&unit), None);
        }
        let unit = bytes("4e01891833c286c41d4c0bb884d03e803d13404200989680000003003280");
        let display = mastering(&unit).unwrap();
        assert_eq!(display.primaries[0], (13_250, 34_500));
        assert_eq!(display.max_luminance, 10_000_000);
        assert_eq!(display.to_bytes(), unescape(&unit[4..unit.len() - 1]));
        for broken in [
            "",
            "4e01",
            "4e0190",
            "4e019004",
            "4e0190ff",
            "4e01900203e880",
        ] {
            assert_eq!(light(&bytes(broken)), None, "{broken}");
        }
    }
}
