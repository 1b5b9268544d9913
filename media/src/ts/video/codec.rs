//! What the division into access units takes of a codec: the role of each NAL unit, and
//! the configuration.

use rillcast_core::{Track, TrackId};

use super::{Progress, avc, hevc};
use crate::codec::avc::Slice;

/// What a codec sees in a NAL unit, as far as the division into access units
/// is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The first unit of an access unit, and nothing else.
    Delimiter,
    /// Stands before the slices: parameter sets, messages.
    Leading,
    /// Stands before each slice, and belongs to it.
    Prefix,
    /// A slice of the picture that is being put together.
    Slice,
    /// A slice of the second field of the frame that is being put together.
    SecondField,
    /// The first slice of a picture.
    FirstSlice,
    /// A slice of a picture whose beginning is not there.
    Stray,
    /// Stands behind the slices, or anywhere.
    Other,
    /// Only fills.
    Filler,
    /// None that may be.
    Broken,
}

/// The role of a NAL unit, and if it is a slice, what that tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) role: Role,
    pub(super) keyframe: bool,
    /// It is of one field of a frame.
    pub(super) field: bool,
    pub(super) slice: Option<Slice>,
}

impl Look {
    pub(super) const fn of(role: Role) -> Self {
        Self {
            role,
            keyframe: false,
            field: false,
            slice: None,
        }
    }
}

impl Role {
    /// Whether it is a part of the access unit. Delimiters and filler say
    /// nothing where access units have lengths.
    pub(super) const fn is_kept(self) -> bool {
        !matches!(
            self,
            Self::Delimiter | Self::Filler | Self::Stray | Self::Broken
        )
    }
}

/// What the codec knows.
#[derive(Debug)]
pub(super) enum Codec {
    Avc(Box<avc::Codec>),
    Hevc(Box<hevc::Codec>),
}

impl Codec {
    pub(super) fn look(&self, unit: &[u8], progress: Option<&Progress>) -> Look {
        match self {
            Self::Avc(codec) => {
                let before = progress.and_then(|unit| unit.slice.as_ref());
                let lone = progress.is_some_and(|unit| unit.lone_field);
                codec.look(unit, before, lone)
            }
            Self::Hevc(_) => hevc::look(unit, progress.is_some_and(|unit| unit.picture)),
        }
    }

    /// A NAL unit is whole.
    pub(super) fn ended(&mut self, unit: &[u8]) {
        if let Self::Avc(codec) = self {
            codec.ended(unit);
        }
    }

    pub(super) fn configure(&mut self, payload: &[u8], id: TrackId) -> Configured {
        match self {
            Self::Avc(codec) => codec.configure(payload, id),
            Self::Hevc(codec) => codec.configure(payload, id),
        }
    }

    /// Ticks of 90 kHz from picture to picture, if the parameter sets say it.
    pub(super) fn step(&self) -> Option<i64> {
        let rate = match self {
            Self::Avc(codec) => codec.frame_rate(),
            Self::Hevc(codec) => codec.frame_rate(),
        };
        rate.map(|rate| i64::from(rate.den) * 90_000 / i64::from(rate.num.max(1)))
    }
}

/// What an access unit's parameter sets made of the configuration.
#[derive(Debug)]
pub(super) enum Configured {
    /// There is none yet.
    None,
    /// It is as before.
    Known,
    New(Track),
}
