//! HEVC: what begins an access unit (ISO/IEC 23008-2, 7.4.2.4.4).

use rillcast_core::{FrameRate, TrackId};

use super::{Configured, Look, Role};
use crate::codec::hevc::Config;

/// What is known of an HEVC stream.
#[derive(Debug, Default)]
pub(super) struct Codec {
    config: Option<Config>,
}

impl Codec {
    pub(super) fn configure(&mut self, payload: &[u8], id: TrackId) -> Configured {
        let changed = match &mut self.config {
            // What is not understood here may still be to a decoder.
            Some(config) => config.absorb(payload).unwrap_or(false),
            none => {
                *none = Config::gather(payload);
                true
            }
        };
        match &self.config {
            None => Configured::None,
            Some(config) if changed => Configured::New(config.track(id)),
            Some(_) => Configured::Known,
        }
    }

    pub(super) fn frame_rate(&self) -> Option<FrameRate> {
        self.config.as_ref()?.sps().frame_rate
    }
}

/// What a NAL unit is. `picture` says whether a picture is in progress.
pub(super) fn look(unit: &[u8], picture: bool) -> Look {
    let [header, layer, rest @ ..] = unit else {
        return Look::of(Role::Broken);
    };
    // forbidden_zero_bit, and nuh_temporal_id_plus1, which is never 0.
    if header & 0x80 != 0 || layer & 7 == 0 {
        return Look::of(Role::Broken);
    }
    let kind = header >> 1 & 0x3f;
    // Other layers belong to the picture of the base layer before them.
    if header & 1 != 0 || layer >> 3 != 0 {
        return Look::of(Role::Other);
    }
    Look::of(match kind {
        0..=31 => {
            let first = rest.first().is_some_and(|bits| bits & 0x80 != 0);
            let role = match (first, picture) {
                (true, _) => Role::FirstSlice,
                (false, true) => Role::Slice,
                (false, false) => Role::Stray,
            };
            return Look {
                keyframe: (16..=23).contains(&kind),
                ..Look::of(role)
            };
        }
        35 => Role::Delimiter,
        32..=34 | 39 | 41..=44 | 48..=55 => Role::Leading,
        38 => Role::Filler,
        _ => Role::Other,
    })
}
