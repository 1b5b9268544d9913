//! Enhanced RTMP (Veovera's "Enhanced RTMP (v2)"): headers with packet types,
//! four-character codes, extensions and several tracks.

use bytes::Bytes;
use rillcast_core::{Codec, MediaKind};

use super::{CODED_FRAMES, Data, Part, SEQUENCE_START};
use super::{has_composition_time, starts_without_configuration};
use crate::cursor::Cursor;
use crate::flv::Error;

/// The parts of a body, one for each track that it has something of. A part
/// that is malformed costs no other one, except where it hides where the next
/// one begins.
#[derive(Debug)]
pub(in crate::flv) struct Parts {
    nanos: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Done,
    One(Part),
    Many(Many),
}

/// A body of several tracks that is not read to its end.
#[derive(Debug)]
struct Many {
    kind: MediaKind,
    packet: u8,
    /// The codec of all parts; `None` if each has its own.
    codec: Option<Codec>,
    /// How many may still come.
    allowed: u32,
    rest: Bytes,
}

impl Parts {
    pub(super) const fn none() -> Self {
        Self {
            nanos: 0,
            state: State::Done,
        }
    }

    pub(super) const fn one(codec: Codec, data: Data) -> Self {
        Self {
            nanos: 0,
            state: State::One(Part {
                number: 0,
                codec,
                data,
            }),
        }
    }

    /// By how much all of it is later than the message's time stamp.
    pub(in crate::flv) const fn nanos(&self) -> u32 {
        self.nanos
    }
}

impl Iterator for Parts {
    type Item = Result<Part, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Done => None,
            State::One(part) => Some(Ok(part)),
            State::Many(many) if many.rest.is_empty() => None,
            State::Many(mut many) => match many.cut() {
                Ok((number, codec, payload)) => {
                    let part = part(many.kind, many.packet, number, codec, payload);
                    self.state = State::Many(many);
                    Some(part)
                }
                Err(error) => Some(Err(error)),
            },
        }
    }
}

impl Many {
    /// Takes the next part off: whose it is, and what it holds.
    fn cut(&mut self) -> Result<(u8, Codec, Bytes), Error> {
        let truncated = || Error::Truncated(self.kind);
        let too_many = Error::Parts(self.kind);
        self.allowed = self.allowed.checked_sub(1).ok_or(too_many)?;
        let mut cursor = Cursor::new(&self.rest);
        let codec = match self.codec {
            Some(codec) => codec,
            None => Codec::new(cursor.array().ok_or_else(truncated)?),
        };
        let [number, s0, s1, s2] = cursor.array().ok_or_else(truncated)?;
        let claimed = u32::from_be_bytes([0, s0, s1, s2]);
        let left = cursor.len();
        let payload = usize::try_from(claimed)
            .ok()
            .and_then(|size| cursor.take(size))
            .ok_or(Error::PartLength {
                kind: self.kind,
                number,
                claimed,
                left,
            })?;
        let payload = self.rest.slice_ref(payload);
        self.rest = self.rest.slice_ref(cursor.rest());
        Ok((number, codec, payload))
    }
}

/// Reads an enhanced header: `body` begins with the byte that says that it is
/// one, and the first packet type.
pub(super) fn parts(
    kind: MediaKind,
    first: u8,
    command: bool,
    body: &Bytes,
) -> Result<Parts, Error> {
    let truncated = || Error::Truncated(kind);
    let mut cursor = Cursor::new(body);
    cursor.u8().ok_or_else(truncated)?;
    let (packet, nanos) = extensions(kind, first, &mut cursor)?;
    let (multitrack, metadata) = match kind {
        MediaKind::Video => (VIDEO_MULTITRACK, METADATA),
        _ => (AUDIO_MULTITRACK, NONE),
    };
    let state = if packet == multitrack {
        let byte = cursor.u8().ok_or_else(truncated)?;
        let (layout, packet) = (byte >> 4, byte & 0x0f);
        // A command has no code and no tracks: what looked like the layout
        // was its number.
        if command && packet != metadata {
            return Ok(Parts::none());
        }
        if packet == multitrack || packet == MODIFIER {
            return Err(Error::Nested(kind));
        }
        let codec = match layout {
            ONE_TRACK | MANY_TRACKS => Some(Codec::new(cursor.array().ok_or_else(truncated)?)),
            MANY_TRACKS_MANY_CODECS => None,
            other => return Err(Error::Layout(kind, other)),
        };
        match codec {
            Some(codec) if layout == ONE_TRACK => {
                let number = cursor.u8().ok_or_else(truncated)?;
                let payload = body.slice_ref(cursor.rest());
                State::One(part(kind, packet, number, codec, payload)?)
            }
            codec => State::Many(Many {
                kind,
                packet,
                codec,
                allowed: MAX_PARTS,
                rest: body.slice_ref(cursor.rest()),
            }),
        }
    } else if command && packet != metadata {
        State::Done
    } else {
        let codec = Codec::new(cursor.array().ok_or_else(truncated)?);
        let payload = body.slice_ref(cursor.rest());
        State::One(part(kind, packet, 0, codec, payload)?)
    };
    Ok(Parts { nanos, state })
}

/// The packet type behind the extensions ("ModEx") that stand before it, and
/// the nanoseconds that one of them may give.
fn extensions(
    kind: MediaKind,
    mut packet: u8,
    cursor: &mut Cursor<'_>,
) -> Result<(u8, u32), Error> {
    let truncated = || Error::Truncated(kind);
    let mut nanos = 0;
    let mut count = 0;
    while packet == MODIFIER {
        count += 1;
        if count > MAX_EXTENSIONS {
            return Err(Error::Extensions(kind));
        }
        let short = cursor.u8().ok_or_else(truncated)?;
        let size = match short {
            u8::MAX => usize::from(cursor.u16().ok_or_else(truncated)?),
            short => usize::from(short),
        };
        let data = cursor.take(size + 1).ok_or_else(truncated)?;
        let next = cursor.u8().ok_or_else(truncated)?;
        packet = next & 0x0f;
        if let (TIMESTAMP_OFFSET_NANO, [a, b, c, ..]) = (next >> 4, data) {
            let said = u32::from_be_bytes([0, *a, *b, *c]);
            // A millisecond or more would be another time stamp.
            nanos = if said < MILLISECOND { said } else { 0 };
        }
    }
    Ok((packet, nanos))
}

/// One track's part, without its codec and its number.
fn part(
    kind: MediaKind,
    packet: u8,
    number: u8,
    codec: Codec,
    payload: Bytes,
) -> Result<Part, Error> {
    let filled = |payload: Bytes| match payload.is_empty() {
        true => Err(Error::Empty(kind)),
        false => Ok(payload),
    };
    let data = match (kind, packet) {
        (_, SEQUENCE_START) if starts_without_configuration(codec) => Data::Configuration(payload),
        (_, SEQUENCE_START) => Data::Configuration(filled(payload)?),
        (MediaKind::Video, CODED_FRAMES) if has_composition_time(codec) => {
            let mut cursor = Cursor::new(&payload);
            let time = cursor.i24().ok_or(Error::Truncated(kind))?;
            Data::AccessUnit(filled(payload.slice_ref(cursor.rest()))?, time)
        }
        (MediaKind::Video, CODED_FRAMES | CODED_FRAMES_X) => Data::AccessUnit(filled(payload)?, 0),
        // FFmpeg 9.0 ends FLAC with a frame of nothing.
        (_, CODED_FRAMES) if payload.is_empty() => Data::Nothing,
        (_, CODED_FRAMES) => Data::AccessUnit(payload, 0),
        (MediaKind::Video, METADATA) => Data::Metadata(payload),
        // The end of a sequence; the channels of sound, which the bitstream
        // says better; the AV1 descriptor of MPEG-TS, which says less than the
        // sequence header in the stream; and what a later version may add.
        _ => Data::Nothing,
    };
    Ok(Part {
        number,
        codec,
        data,
    })
}

// Packet types; 2, the end of a sequence, 4 in audio, the channels, and 5 in
// video, a descriptor of MPEG-TS, give nothing.
const CODED_FRAMES_X: u8 = 3;
const METADATA: u8 = 4;
const AUDIO_MULTITRACK: u8 = 5;
const VIDEO_MULTITRACK: u8 = 6;
const MODIFIER: u8 = 7;
/// No packet type: they have four bits.
const NONE: u8 = 0xff;

/// The one extension that there is.
const TIMESTAMP_OFFSET_NANO: u8 = 0;
/// One for each number that a track can have.
const MAX_PARTS: u32 = 256;
/// One of each kind that four bits can name.
const MAX_EXTENSIONS: u32 = 16;
/// In nanoseconds.
const MILLISECOND: u32 = 1_000_000;

// How the tracks of a body lie in it.
const ONE_TRACK: u8 = 0;
const MANY_TRACKS: u8 = 1;
const MANY_TRACKS_MANY_CODECS: u8 = 2;
