//! Chunk headers (specification section 5.3.1): a pure parse over bytes, given
//! what is known of the chunk streams so far.

use super::stream::ChunkStream;
use super::{ChunkError, EXTENDED};

/// A parsed chunk header; `None` stands for what its type leaves out.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) format: u8,
    pub(super) id: u32,
    /// In `streams`, if the id was seen before.
    pub(super) index: Option<usize>,
    /// The timestamp (type 0) or timestamp delta (types 1 and 2, and type 3 at
    /// the beginning of a message where the field is extended and repeated).
    pub(super) time: Option<u32>,
    pub(super) extended: bool,
    pub(super) length_and_kind: Option<(u32, u8)>,
    pub(super) stream: Option<u32>,
    /// What this header tells of the peer's habit.
    pub(super) habit: Option<Habit>,
}

/// Whether the peer repeats an extended timestamp in type 3 chunks. The
/// specification says that it must (section 5.3.1.3); FFmpeg and GStreamer do,
/// librtmp, and with it OBS before 30.1 and `rtmpsink`, does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    Unknown,
    Repeats,
    Omits,
}

/// Three bytes of basic header, eleven of message header, four of timestamp.
pub(super) const MAX_HEADER: usize = 18;

impl Header {
    /// Parses a header from the front of `bytes`; `None` if it is cut off. No
    /// header is longer than [`MAX_HEADER`].
    pub(super) fn parse(
        bytes: &[u8],
        streams: &[ChunkStream],
        habit: Habit,
    ) -> Result<Option<(Self, usize)>, ChunkError> {
        let mut rest = bytes;
        let header = match Self::parse_from(&mut rest, streams, habit) {
            Some(header) => header?,
            None => return Ok(None),
        };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    fn parse_from(
        rest: &mut &[u8],
        streams: &[ChunkStream],
        habit: Habit,
    ) -> Option<Result<Self, ChunkError>> {
        let [first] = take(rest)?;
        let format = first >> 6;
        let id = match first & 0x3F {
            0 => {
                let [beyond] = take(rest)?;
                64 + u32::from(beyond)
            }
            1 => 64 + u32::from(u16::from_le_bytes(take(rest)?)),
            id => u32::from(id),
        };
        let index = streams.iter().position(|stream| stream.id == id);
        let known = index.and_then(|index| streams.get(index));
        // librtmp opens the chunk stream of its pings with a type 1 header; it
        // lacks nothing but the message stream id, which is 0 then.
        if known.is_none() && format > 1 {
            return Some(Err(ChunkError::NoHeader {
                chunk_stream: id,
                format,
            }));
        }
        let mut header = Self {
            format,
            id,
            index,
            time: None,
            extended: false,
            length_and_kind: None,
            stream: None,
            habit: None,
        };
        if format <= 2 {
            let field = high24(take(rest)?);
            header.extended = field == EXTENDED;
            if format <= 1 {
                let length = high24(take(rest)?);
                let [kind] = take(rest)?;
                header.length_and_kind = Some((length, kind));
            }
            if format == 0 {
                header.stream = Some(u32::from_le_bytes(take(rest)?));
            }
            header.time = Some(if header.extended {
                u32::from_be_bytes(take(rest)?)
            } else {
                field
            });
        } else if let Some(stream) = known
            && let Some(field) = stream.extended
        {
            header.extended = true;
            let begins = !stream.open;
            let repeats = match habit {
                Habit::Omits => false,
                // A new message may bring a new value.
                Habit::Repeats if begins => true,
                Habit::Repeats | Habit::Unknown => {
                    // The field itself, or the time that it led to.
                    begins_with_one_of(rest, [field, stream.timestamp])?
                }
            };
            if habit == Habit::Unknown && !begins {
                header.habit = Some(if repeats {
                    Habit::Repeats
                } else {
                    Habit::Omits
                });
            }
            if repeats {
                let again = u32::from_be_bytes(take(rest)?);
                header.time = begins.then_some(again);
            }
        }
        Some(Ok(header))
    }
}

/// Whether `bytes` begins with one of the values; `None` if it is too short to
/// tell.
fn begins_with_one_of(bytes: &[u8], values: [u32; 2]) -> Option<bool> {
    let seen = bytes.get(..4).unwrap_or(bytes);
    let possible = values
        .iter()
        .any(|value| value.to_be_bytes().starts_with(seen));
    match (possible, seen.len()) {
        (false, _) => Some(false),
        (true, 4) => Some(true),
        (true, _) => None,
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn high24([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}
