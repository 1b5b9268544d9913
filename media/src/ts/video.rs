//! From a byte stream (annex B of ISO/IEC 14496-10 and of 23008-2) to access
//! units in canonical form.
//!
//! Bytes are copied once, from the packet into the access unit, and start
//! codes become lengths on the way. What begins an access unit is the codec's
//! matter: `video/codec.rs`, `video/avc.rs`, `video/hevc.rs`.

mod avc;
mod clock;
mod codec;
mod ends;
mod hevc;

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use rillcast_core::{Track, TrackId};

use super::Counts;
use super::pes::Stamp;
use crate::codec::avc::Slice;
use crate::payload::compact;
use avc::LOOK;
use clock::Clock;
use codec::{Codec, Configured, Look, Role};
use ends::Ends;

/// No access unit is longer: an intra picture of 8K takes some 2 MiB. Where there are
/// several tracks of video, they share it.
const MAX_UNIT: usize = 8 << 20;

/// An access unit's bytes and times.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) payload: Bytes,
    pub(super) keyframe: bool,
    pub(super) stamp: Stamp,
    /// The times stood in the stream.
    pub(super) own_time: bool,
    /// When its last byte came.
    pub(super) received: Instant,
}

/// What a video stream yields.
#[derive(Debug)]
pub(super) enum Output {
    Track(Track),
    Unit(Unit),
}

/// Where a PES packet began, and the times in its header.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: u64,
    stamp: Option<Stamp>,
}

/// Makes access units of one stream's bytes.
#[derive(Debug)]
pub(super) struct Video {
    codec: Codec,
    id: TrackId,
    /// Bytes of the stream so far.
    position: u64,
    /// Zeros at the end of them, up to two: a start code may have begun.
    zeros: u8,
    /// The access unit in canonical form; begins with the NAL unit in progress
    /// if there is none.
    buffer: BytesMut,
    /// The NAL unit in progress.
    nal: Option<Nal>,
    /// Bytes since a PES packet began, up to its first start code; `None`
    /// where they may belong to the NAL unit before.
    astray: Option<usize>,
    /// What is known of the access unit in progress; `None` before its first
    /// NAL unit.
    unit: Option<Progress>,
    marks: [Option<Mark>; MARKS],
    clock: Clock,
    ends: Ends,
    /// Sizes to come: of other pictures and of keyframes.
    sizes: [usize; 2],
    last_received: Option<Instant>,
    /// Bytes were lost since a PES packet began.
    lost: bool,
    /// Undamaged access units have come without times of their own.
    untimed: bool,
    /// No access unit may be longer.
    room: usize,
}

/// More bytes before a start code are no damage but a NAL unit that goes on.
const MAX_ASTRAY: usize = 16;

/// Marks that are kept: a NAL unit is looked at when [`LOOK`] bytes are there,
/// and so many PES packets can hardly begin meanwhile.
const MARKS: usize = 3;

#[derive(Clone, Copy, Debug)]
struct Nal {
    /// Where its length stands in the buffer.
    at: usize,
    /// Where its start code stands in the stream.
    position: u64,
    /// It has been looked at and belongs to the access unit.
    placed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    stamp: Option<Stamp>,
    picture: bool,
    keyframe: bool,
    /// Its last slice.
    slice: Option<Slice>,
    /// Where something stands that begins the next access unit if a slice of
    /// another picture follows, and its position.
    maybe_next: Option<(usize, u64)>,
    /// One field, whose other one may follow.
    lone_field: bool,
    damaged: bool,
}

impl Video {
    pub(super) fn h264(id: TrackId) -> Self {
        Self::new(Codec::Avc(Box::default()), id)
    }

    pub(super) fn hevc(id: TrackId) -> Self {
        Self::new(Codec::Hevc(Box::default()), id)
    }

    fn new(codec: Codec, id: TrackId) -> Self {
        Self {
            codec,
            id,
            position: 0,
            zeros: 0,
            buffer: BytesMut::new(),
            nal: None,
            astray: None,
            unit: None,
            marks: [None; MARKS],
            clock: Clock::default(),
            ends: Ends::default(),
            sizes: [4 << 10; 2],
            last_received: None,
            lost: false,
            untimed: false,
            room: MAX_UNIT,
        }
    }

    /// There are so many tracks of video.
    pub(super) fn share(&mut self, tracks: usize) {
        self.room = MAX_UNIT / tracks.max(1);
    }

    /// A PES packet begins.
    pub(super) fn begin(
        &mut self,
        stamp: Option<Stamp>,
        counts: &mut Counts,
        out: &mut impl FnMut(Output),
    ) {
        if self.ends.complete() {
            // Damaged bytes before the start code belong to no NAL unit.
            self.end_nal(counts, out);
            self.astray = Some(0);
        }
        self.marks.rotate_right(1);
        let [newest, ..] = &mut self.marks;
        *newest = Some(Mark {
            at: self.position,
            stamp,
        });
        self.ends.began(self.position);
        self.lost = false;
    }

    /// The next bytes of the stream.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        received: Instant,
        counts: &mut Counts,
        out: &mut impl FnMut(Output),
    ) {
        if bytes.is_empty() {
            return;
        }
        self.ends.went_on();
        let mut from = 0;
        for one in memchr::memchr_iter(1, bytes) {
            let before = match one {
                0 => self.zeros,
                1 if bytes.first() == Some(&0) => 1 + self.zeros.min(1),
                1 => 0,
                _ => match bytes.get(one - 2..one) {
                    Some([0, 0]) => 2,
                    _ => 0,
                },
            };
            if before < 2 {
                continue;
            }
            self.copy(bytes.get(from..one).unwrap_or_default(), counts, out);
            self.last_received = Some(received);
            self.end_nal(counts, out);
            from = one + 1;
            self.begin_nal((self.position + one as u64).saturating_sub(2));
        }
        let rest = bytes.get(from..).unwrap_or_default();
        self.copy(rest, counts, out);
        self.position += bytes.len() as u64;
        self.last_received = Some(received);
        let zeros = bytes.iter().rev().take(2).take_while(|byte| **byte == 0);
        let zeros = u8::try_from(zeros.count()).unwrap_or(0);
        self.zeros = match bytes.len() {
            1 if zeros == 1 => (self.zeros + 1).min(2),
            _ => zeros,
        };
    }

    /// A PES packet has ended, as its length or stuffing behind it says.
    pub(super) fn ended(&mut self, counts: &mut Counts, out: &mut impl FnMut(Output)) {
        let lone = self.unit.is_some_and(|unit| unit.lone_field);
        if self.ends.ended() && !lone {
            self.finish(counts, out);
        }
    }

    /// Bytes are missing here.
    pub(super) fn lose(&mut self, counts: &mut Counts, out: &mut impl FnMut(Output)) {
        if self.ends.complete() {
            // What is missing lies behind the end of the access unit.
            self.finish(counts, out);
        }
        if let Some(unit) = &self.unit
            && (unit.picture || unit.stamp.is_some())
        {
            counts.damaged_units += 1;
        }
        self.reset();
        self.marks = [None; MARKS];
        self.ends.lost();
        self.lost = true;
    }

    /// The access unit in progress is whole: the stream ends or breaks here.
    pub(super) fn finish(&mut self, counts: &mut Counts, out: &mut impl FnMut(Output)) {
        self.end_nal(counts, out);
        let unit = self.unit.take();
        let end = self.buffer.len();
        self.emit(unit, end, counts, out);
        self.reset();
    }

    fn reset(&mut self) {
        self.nal = None;
        self.astray = None;
        self.unit = None;
        self.zeros = 0;
        self.buffer.clear();
    }

    fn begin_nal(&mut self, position: u64) {
        self.astray = None;
        self.nal = Some(Nal {
            at: self.buffer.len(),
            position,
            placed: false,
        });
        if self.buffer.is_empty() {
            let [size, _] = self.sizes;
            self.buffer.reserve(size.min(self.room));
        }
        self.buffer.put_u32(0);
    }

    /// Adds bytes to the NAL unit in progress.
    fn copy(&mut self, bytes: &[u8], counts: &mut Counts, out: &mut impl FnMut(Output)) {
        let Some(nal) = self.nal else {
            if let (Some(astray), Some(unit)) = (&mut self.astray, &mut self.unit) {
                *astray += bytes.len();
                unit.damaged |= *astray > MAX_ASTRAY;
            }
            return;
        };
        if self.buffer.len() + bytes.len() > self.room {
            counts.oversized_units += 1;
            self.reset();
            return;
        }
        self.buffer.put_slice(bytes);
        if !nal.placed && self.buffer.len() - nal.at >= 4 + LOOK {
            self.place(counts, out);
        }
    }

    /// The NAL unit in progress ends here.
    fn end_nal(&mut self, counts: &mut Counts, out: &mut impl FnMut(Output)) {
        let Some(nal) = self.nal else { return };
        // Zeros before a start code are no part of the NAL unit (B.1.1).
        let body = self.buffer.get(nal.at + 4..).unwrap_or_default();
        let end = body.iter().rposition(|byte| *byte != 0);
        self.buffer
            .truncate(nal.at + 4 + end.map_or(0, |end| end + 1));
        if !nal.placed {
            self.place(counts, out);
        }
        let Some(nal) = self.nal.take() else { return };
        if end.is_none() {
            // It was taken for a NAL unit, and was nothing but zeros.
            self.buffer.truncate(nal.at);
            return;
        }
        let length = self.buffer.len().saturating_sub(nal.at + 4);
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(field) = self.buffer.get_mut(nal.at..nal.at + 4) {
            field.copy_from_slice(&length);
        }
        let body = self.buffer.get(nal.at + 4..).unwrap_or_default();
        self.codec.ended(body);
    }

    /// Decides to which access unit the NAL unit in progress belongs. It is
    /// gone if it belongs to none.
    fn place(&mut self, counts: &mut Counts, out: &mut impl FnMut(Output)) {
        let Some(nal) = self.nal else { return };
        let body = self.buffer.get(nal.at + 4..).unwrap_or_default();
        let look = self.codec.look(body, self.unit.as_ref());
        let here = (nal.at, nal.position);
        let role = look.role;
        match (role, &mut self.unit) {
            (Role::Delimiter | Role::Leading | Role::FirstSlice, None) => {
                self.next_unit(here, counts, out);
            }
            (Role::Delimiter | Role::Leading | Role::Prefix, Some(unit))
                if unit.lone_field || unit.picture && role == Role::Prefix =>
            {
                unit.maybe_next.get_or_insert(here);
            }
            (Role::Delimiter, Some(_)) => self.next_unit(here, counts, out),
            (Role::Leading, Some(unit)) if unit.picture => self.next_unit(here, counts, out),
            (Role::FirstSlice, Some(unit)) if unit.picture => {
                let at = unit.maybe_next.unwrap_or(here);
                self.next_unit(at, counts, out);
            }
            (Role::Stray, Some(unit)) if unit.picture => {
                // The beginning of this picture is lost; the one before is whole.
                let (at, _) = unit.maybe_next.unwrap_or(here);
                let whole = self.unit.take();
                self.buffer.truncate(at);
                self.nal = None;
                self.emit(whole, at, counts, out);
                counts.damaged_units += 1;
            }
            (Role::Stray | Role::Broken, Some(unit)) => unit.damaged = true,
            _ => {}
        }
        let Some(nal) = &mut self.nal else { return };
        let Some(unit) = self.unit.as_mut().filter(|_| role.is_kept()) else {
            self.buffer.truncate(nal.at);
            self.nal = None;
            return;
        };
        nal.placed = true;
        match role {
            Role::FirstSlice => {
                unit.picture = true;
                unit.slice = look.slice;
                unit.lone_field = look.field;
                unit.keyframe = look.keyframe;
            }
            Role::Slice => unit.maybe_next = None,
            Role::SecondField => {
                unit.slice = look.slice;
                unit.lone_field = false;
                unit.maybe_next = None;
            }
            _ => {}
        }
        if look.keyframe {
            let [_, size] = self.sizes;
            let more = size.min(self.room).saturating_sub(self.buffer.len());
            self.buffer.reserve(more);
        }
    }

    /// The access unit in progress ends at `at` in the buffer, and the next
    /// one begins there.
    fn next_unit(
        &mut self,
        (at, position): (usize, u64),
        counts: &mut Counts,
        out: &mut impl FnMut(Output),
    ) {
        let stamp = self.stamp_of(position);
        self.ends.unit_began(position);
        let begun = Progress {
            stamp,
            picture: false,
            keyframe: false,
            slice: None,
            maybe_next: None,
            lone_field: false,
            damaged: false,
        };
        let ended = self.unit.replace(begun);
        self.emit(ended, at, counts, out);
        if let Some(nal) = &mut self.nal {
            nal.at = nal.at.saturating_sub(at);
        }
    }

    /// The times of the PES packet in which an access unit at `position`
    /// begins, if it is the first there.
    fn stamp_of(&mut self, position: u64) -> Option<Stamp> {
        let mut of = self
            .marks
            .iter_mut()
            .filter(|mark| mark.is_some_and(|mark| mark.at <= position));
        let newest = of.next()?.as_mut()?;
        newest.stamp.take()
    }

    /// Hands on the first `end` bytes of the buffer, if they are a picture.
    fn emit(
        &mut self,
        unit: Option<Progress>,
        end: usize,
        counts: &mut Counts,
        out: &mut impl FnMut(Output),
    ) {
        // What follows is at most what was read to look at a NAL unit, but for
        // fields: it is copied, so that each access unit owns its bytes.
        let rest = self.buffer.get(end..).unwrap_or_default();
        let mut next = BytesMut::new();
        if !rest.is_empty() {
            let [other, _] = self.sizes;
            next.reserve(other.min(self.room).max(rest.len()));
            next.put_slice(rest);
        }
        self.buffer.truncate(end);
        let whole = std::mem::replace(&mut self.buffer, next);
        let Some(unit) = unit.filter(|unit| unit.picture) else {
            return;
        };
        let [other, key] = &mut self.sizes;
        let size = if unit.keyframe { key } else { other };
        // Falls slowly, so that most fit without growing.
        *size = (end + end / 8).max(*size - *size / 8);
        // Behind a loss, one without times has lost its own, if each has some.
        let lost_times = unit.stamp.is_none() && self.lost && !self.untimed;
        if unit.damaged || lost_times {
            counts.damaged_units += 1;
            return;
        }
        let stamp = self.clock.time(unit.stamp, unit.slice, self.codec.step());
        self.untimed |= unit.stamp.is_none();
        let allocation = whole.capacity();
        let payload = compact(whole.freeze(), allocation);
        let configured = match self.codec.configure(&payload, self.id) {
            Configured::None => false,
            Configured::Known => true,
            Configured::New(track) => {
                out(Output::Track(track));
                true
            }
        };
        let (Some(stamp), Some(received), true) = (stamp, self.last_received, configured) else {
            counts.useless_units += 1;
            return;
        };
        counts.units += 1;
        out(Output::Unit(Unit {
            payload,
            keyframe: unit.keyframe,
            stamp,
            own_time: unit.stamp.is_some(),
            received,
        }));
    }
}
