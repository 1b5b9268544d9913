//! H.264: what begins an access unit (ISO/IEC 14496-10, 7.4.1.2.3).

use rillcast_core::{FrameRate, TrackId};

use super::{Configured, Look, Role};
use crate::codec::avc::{self, Config, Slice, SliceReader};

/// What is known of an H.264 stream.
#[derive(Debug, Default)]
pub(super) struct Codec {
    slices: SliceReader,
    config: Option<Config>,
}

impl Codec {
    /// `before` is the last slice of the picture in progress; `lone` whether
    /// that is one field, and the other may follow.
    pub(super) fn look(&self, unit: &[u8], before: Option<&Slice>, lone: bool) -> Look {
        let Some(header) = unit.first().filter(|header| **header & 0x80 == 0) else {
            return Look::of(Role::Broken);
        };
        Look::of(match header & 0x1f {
            1 | 2 | 5 => return self.slice(unit, before, lone),
            6..=8 | 13 | 15..=18 => Role::Leading,
            9 => Role::Delimiter,
            12 => Role::Filler,
            14 => Role::Prefix,
            _ => Role::Other,
        })
    }

    fn slice(&self, unit: &[u8], before: Option<&Slice>, lone: bool) -> Look {
        let Some(slice) = self.slices.read(unit) else {
            return Look::of(Role::Broken);
        };
        let role = match before {
            Some(before) if !slice.is_new_after(before) => Role::Slice,
            Some(before) if lone && slice.completes(before) => Role::SecondField,
            _ if slice.first => Role::FirstSlice,
            _ => Role::Stray,
        };
        Look {
            role,
            keyframe: slice.idr,
            field: slice.is_field(),
            slice: Some(slice),
        }
    }

    /// A NAL unit is whole.
    pub(super) fn ended(&mut self, unit: &[u8]) {
        self.slices.note(unit);
    }

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

/// The longest beginning of a NAL unit that is needed here.
pub(super) const LOOK: usize = avc::SLICE_HEADER;
