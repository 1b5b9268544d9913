//! Reads a live FLV response as a strict player would, and says what is wrong
//! with it: for the tests of this crate and for measuring it under load.
//!
//! Bodies are not put together, so a thousand viewers can be checked by one
//! thread; of each tag the first bytes are kept.

mod response;

use std::ops::RangeInclusive;

pub use response::{NoResponse, Response};

/// What is wrong with a response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It does not begin as an FLV file.
    #[error("no FLV file: it begins with {0:02x?}")]
    Header([u8; HEADER]),
    /// The head of a tag is none.
    #[error("tag {at} has the head {head:02x?}")]
    TagHead {
        /// The number of the tag.
        at: u64,
        /// Its head.
        head: [u8; TAG_HEAD],
    },
    /// The size behind a tag is not that of the tag.
    #[error("behind tag {at} stands the size {found} and not {wanted}")]
    PreviousSize {
        /// The number of the tag.
        at: u64,
        /// What stands there.
        found: u32,
        /// What should.
        wanted: u32,
    },
    /// A timestamp is before that of the tag of the same kind before it.
    #[error("tag {at}: the timestamp {timestamp} comes after {previous}")]
    Backwards {
        /// The number of the tag.
        at: u64,
        /// Its timestamp.
        timestamp: u32,
        /// The one before.
        previous: u32,
    },
    /// A frame comes before the configuration of its decoder.
    #[error("tag {0} is a frame before its decoder was configured")]
    Unconfigured(u64),
    /// The first picture is none that can be decoded by itself.
    #[error("tag {0} is the first picture and no keyframe")]
    NoKeyframe(u64),
}

/// One tag, as far as it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Tag<'a> {
    /// 8 is audio, 9 video, 18 script data.
    pub kind: u8,
    /// In milliseconds.
    pub timestamp: u32,
    /// Length of the body.
    pub size: usize,
    /// The first bytes of the body, up to [`KEPT`].
    pub head: &'a [u8],
    /// Milliseconds since the frame before it of the same kind, if there was one.
    pub step: Option<u32>,
}

/// So many bytes of each body are kept.
pub const KEPT: usize = 64;

const HEADER: usize = 9;
const TAG_HEAD: usize = 11;
const SIZE: usize = 4;

/// Finds the tags of a response and checks them.
#[derive(Debug, Default)]
pub struct Checker {
    state: State,
    /// What is put together at the moment, `filled` bytes of it.
    buffer: Buffer,
    filled: usize,
    /// Tags that were read to their end.
    tags: u64,
    audio: Seen,
    video: Seen,
}

#[derive(Debug)]
struct Buffer([u8; KEPT]);

impl Default for Buffer {
    fn default() -> Self {
        Self([0; KEPT])
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    configured: bool,
    timestamp: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Header,
    /// The first size, which is of no tag.
    FirstSize,
    TagHead,
    /// The kept bytes of a body.
    Body(Head),
    /// The rest of a body.
    Rest(Head, usize),
    Size(Head),
}

#[derive(Clone, Copy, Debug)]
struct Head {
    kind: u8,
    timestamp: u32,
    size: usize,
}

impl Checker {
    /// A checker before the first byte.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many tags were read.
    #[must_use]
    pub const fn tags(&self) -> u64 {
        self.tags
    }

    /// Whether the response may end here: behind a whole tag.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.state, State::TagHead) && self.filled == 0
    }

    /// Takes the next bytes; `each` gets every tag that was read to its end.
    ///
    /// # Errors
    /// The first [`Fault`]; the checker is of no use then.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Tag<'_>)) -> Result<(), Fault> {
        loop {
            match self.state {
                State::Header => {
                    let Some(header) = self.fill::<HEADER>(&mut bytes) else {
                        return Ok(());
                    };
                    match header {
                        [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9]
                            if FLAGS.contains(&flags) && flags & 2 == 0 => {}
                        _ => return Err(Fault::Header(header)),
                    }
                    self.state = State::FirstSize;
                }
                State::FirstSize => {
                    let Some(size) = self.fill::<SIZE>(&mut bytes) else {
                        return Ok(());
                    };
                    self.size(u32::from_be_bytes(size), 0)?;
                    self.state = State::TagHead;
                }
                State::TagHead => {
                    let Some(head) = self.fill::<TAG_HEAD>(&mut bytes) else {
                        return Ok(());
                    };
                    let at = self.tags;
                    self.state = State::Body(parse(head).ok_or(Fault::TagHead { at, head })?);
                }
                State::Body(head) => {
                    let wanted = head.size.min(KEPT);
                    let room = self.buffer.0.get_mut(self.filled..wanted);
                    self.filled += copy(&mut bytes, room.unwrap_or_default());
                    if self.filled < wanted {
                        return Ok(());
                    }
                    let step = self.judge(head)?;
                    each(Tag {
                        kind: head.kind,
                        timestamp: head.timestamp,
                        size: head.size,
                        head: self.buffer.0.get(..wanted).unwrap_or_default(),
                        step,
                    });
                    self.filled = 0;
                    self.state = State::Rest(head, head.size - wanted);
                }
                State::Rest(head, left) => {
                    let now = left.min(bytes.len());
                    bytes = bytes.get(now..).unwrap_or_default();
                    if now < left {
                        self.state = State::Rest(head, left - now);
                        return Ok(());
                    }
                    self.state = State::Size(head);
                }
                State::Size(head) => {
                    let Some(size) = self.fill::<SIZE>(&mut bytes) else {
                        return Ok(());
                    };
                    let wanted = u32::try_from(TAG_HEAD + head.size).unwrap_or(u32::MAX);
                    self.size(u32::from_be_bytes(size), wanted)?;
                    self.tags += 1;
                    self.state = State::TagHead;
                }
            }
        }
    }

    /// The next `N` bytes, once they are all there.
    fn fill<const N: usize>(&mut self, bytes: &mut &[u8]) -> Option<[u8; N]> {
        let room = self.buffer.0.get_mut(self.filled..N);
        self.filled += copy(bytes, room.unwrap_or_default());
        if self.filled < N {
            return None;
        }
        self.filled = 0;
        self.buffer.0.first_chunk().copied()
    }

    fn size(&self, found: u32, wanted: u32) -> Result<(), Fault> {
        if found == wanted {
            return Ok(());
        }
        let at = self.tags;
        Err(Fault::PreviousSize { at, found, wanted })
    }

    /// Whether a tag may stand here, of which the first bytes are known.
    fn judge(&mut self, head: Head) -> Result<Option<u32>, Fault> {
        let at = self.tags;
        let body = self.buffer.0.get(..head.size.min(KEPT));
        let (seen, configures, keyframe) = match (head.kind, body.unwrap_or_default()) {
            (VIDEO, [first, ..]) if first & 0x80 != 0 => {
                (&mut self.video, first & 0x0f == 0, first & 0x70 == 0x10)
            }
            (VIDEO, [first, packet, ..]) => (&mut self.video, *packet == 0, first >> 4 == 1),
            (AUDIO, [_, packet, ..]) => (&mut self.audio, *packet == 0, true),
            _ => return Ok(None),
        };
        if configures {
            seen.configured = true;
            return Ok(None);
        }
        if !seen.configured {
            return Err(Fault::Unconfigured(at));
        }
        let timestamp = head.timestamp;
        let Some(previous) = seen.timestamp.replace(timestamp) else {
            return if keyframe {
                Ok(None)
            } else {
                Err(Fault::NoKeyframe(at))
            };
        };
        match timestamp.wrapping_sub(previous) {
            step if step < 1 << 31 => Ok(Some(step)),
            _ => Err(Fault::Backwards {
                at,
                timestamp,
                previous,
            }),
        }
    }
}

fn parse(head: [u8; TAG_HEAD]) -> Option<Head> {
    let [kind, s0, s1, s2, t0, t1, t2, t3, 0, 0, 0] = head else {
        return None;
    };
    let size = u32::from_be_bytes([0, s0, s1, s2]);
    let size = usize::try_from(size).ok().filter(|size| *size > 0)?;
    matches!(kind, AUDIO | VIDEO | SCRIPT).then_some(Head {
        kind,
        timestamp: u32::from_be_bytes([t3, t0, t1, t2]),
        size,
    })
}

/// Moves what fits from the front of `bytes`.
fn copy(bytes: &mut &[u8], room: &mut [u8]) -> usize {
    let count = bytes.len().min(room.len());
    let (now, rest) = bytes.split_at(count);
    for (to, from) in room.iter_mut().zip(now) {
        *to = *from;
    }
    *bytes = rest;
    count
}

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
const SCRIPT: u8 = 18;

/// Sound, pictures or both.
const FLAGS: RangeInclusive<u8> = 1..=5;

#[cfg(test)]
mod tests;
