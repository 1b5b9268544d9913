//! What enhanced RTMP says of a picture's colours beside the bitstream: the
//! object `colorInfo` in metadata packets of video.

use rillcast_core::Colour;

use super::amf0::{self, Value};

/// The colours that a metadata packet states; `None` if it states none, or is
/// no `colorInfo`. Nothing depends on it, so a malformed one is as none.
pub(super) fn colour(packet: &[u8], limits: amf0::Limits) -> Option<Colour> {
    let values = amf0::decode_all(packet, limits).ok()?;
    let [Value::String(name), info, ..] = &values[..] else {
        return None;
    };
    if name != "colorInfo" {
        return None;
    }
    let config = info.as_object()?.get("colorConfig")?.as_object()?;
    let point = |key| {
        let said = config.get(key).and_then(Value::as_f64);
        let points = 0..=u8::MAX;
        // Whole numbers that are code points; anything else says nothing.
        said.and_then(|said| points.clone().find(|point| f64::from(*point) == said))
            .unwrap_or(UNSPECIFIED)
    };
    let (primaries, transfer, matrix) = (
        point("colorPrimaries"),
        point("transferCharacteristics"),
        point("matrixCoefficients"),
    );
    let is_said = (primaries, transfer, matrix) != (UNSPECIFIED, UNSPECIFIED, UNSPECIFIED);
    is_said.then_some(Colour::new(primaries, transfer, matrix, false))
}

/// The code point that says nothing, in all three tables.
const UNSPECIFIED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::amf0::{Object, encode};

    fn packet(name: &str, config: Object) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&name.into(), &mut out);
        encode(&Object::new().with("colorConfig", config).into(), &mut out);
        out
    }

    #[test]
    fn colours_are_code_points_and_all_else_says_nothing() {
        let limits = amf0::Limits::default();
        let hdr = Object::new()
            .with("bitDepth", 10.0)
            .with("colorPrimaries", 9.0)
            .with("transferCharacteristics", 16.0)
            .with("matrixCoefficients", 9.0);
        let want = Some(Colour::new(9, 16, 9, false));
        let whole = packet("colorInfo", hdr.clone());
        assert_eq!(colour(&whole, limits), want);
        let partly = Object::new().with("transferCharacteristics", 18.0);
        let want = Some(Colour::new(2, 18, 2, false));
        assert_eq!(colour(&packet("colorInfo", partly), limits), want);
        for none in [
            packet("colorInfo", Object::new()),
            packet("onMetaData", hdr),
            packet("colorInfo", Object::new().with("colorPrimaries", 256.0)),
            packet("colorInfo", Object::new().with("colorPrimaries", f64::NAN)),
            packet("colorInfo", Object::new().with("colorPrimaries", 1.5)),
            packet("colorInfo", Object::new().with("colorPrimaries", "bt709")),
            Vec::new(),
        ] {
            assert_eq!(colour(&none, limits), None);
        }
        for end in 0..whole.len() {
            // Objects without an end are read up to there (`amf0`).
            let said = colour(&whole[..end], limits);
            assert!(said.is_none_or(|said| said.primaries == 9), "{end}");
        }
        assert_eq!(colour(&whole, amf0::Limits::new(1, 3)), None);
    }
}
