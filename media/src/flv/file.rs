//! FLV files: the header and the tags (sections E.2 to E.4.1).

use bytes::{Bytes, BytesMut};

use super::Error;
use crate::cursor::Cursor;

/// Finds the tags of a file. Give it the bytes as they come with
/// [`Reader::push`], then take tags with [`Reader::next_tag`] until there is
/// none; what it holds between is less than one tag.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
    state: State,
}

/// One tag of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// What the body is.
    pub kind: TagKind,
    /// The timestamp in milliseconds, its extension included.
    pub timestamp_ms: u32,
    /// The body; it owns its allocation.
    pub body: Bytes,
}

/// What the body of a tag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKind {
    /// Audio: for [`Demuxer::audio`](super::Demuxer::audio).
    Audio,
    /// Video: for [`Demuxer::video`](super::Demuxer::video).
    Video,
    /// Script data: for [`Demuxer::script`](super::Demuxer::script).
    Script,
    /// Anything else, by its number.
    Other(u8),
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Before the file's header.
    #[default]
    Start,
    /// This many bytes are to be thrown away before the next tag.
    Skip(u64),
    /// Before a tag's header.
    Tag,
}

impl Reader {
    /// A reader before the first byte of a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next tag; `None` if more bytes are needed. A file that was cut off
    /// within a tag ends before it.
    ///
    /// # Errors
    /// [`Error::NoFlv`] if the bytes are no FLV file, [`Error::Encrypted`] for
    /// a tag that is: the reader goes on behind it.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, Error> {
        loop {
            match self.state {
                State::Start => {
                    let Some(header) = self.buffer.first_chunk::<FILE_HEADER>() else {
                        return Ok(None);
                    };
                    let mut cursor = Cursor::new(header);
                    let offset = match (cursor.array(), cursor.u16(), cursor.u32()) {
                        (Some([b'F', b'L', b'V']), Some(_version_and_flags), Some(offset)) => {
                            offset
                        }
                        _ => return Err(Error::NoFlv),
                    };
                    if usize::try_from(offset).map_or(true, |offset| offset < FILE_HEADER) {
                        return Err(Error::NoFlv);
                    }
                    self.state = State::Skip(u64::from(offset) + PREVIOUS_TAG_SIZE);
                }
                State::Skip(count) => {
                    let held = self.buffer.len();
                    let now = usize::try_from(count).map_or(held, |count| count.min(held));
                    drop(self.buffer.split_to(now));
                    let left = count - u64::try_from(now).unwrap_or(count);
                    if left > 0 {
                        self.state = State::Skip(left);
                        return Ok(None);
                    }
                    self.state = State::Tag;
                }
                State::Tag => return self.tag(),
            }
        }
    }

    fn tag(&mut self) -> Result<Option<Tag>, Error> {
        let mut cursor = Cursor::new(&self.buffer);
        let Some([flags, s0, s1, s2, t0, t1, t2, t3, ..]) = cursor.array::<TAG_HEADER>() else {
            return Ok(None);
        };
        // 24 bits: at most 16 MiB, which is what the buffer may grow to.
        let size = u32::from_be_bytes([0, s0, s1, s2]);
        let Some(body) = usize::try_from(size)
            .ok()
            .and_then(|size| cursor.take(size))
        else {
            return Ok(None);
        };
        let tag = Tag {
            kind: match flags & 0x1f {
                8 => TagKind::Audio,
                9 => TagKind::Video,
                18 => TagKind::Script,
                other => TagKind::Other(other),
            },
            // The highest byte comes last.
            timestamp_ms: u32::from_be_bytes([t3, t0, t1, t2]),
            body: Bytes::copy_from_slice(body),
        };
        drop(self.buffer.split_to(TAG_HEADER + tag.body.len()));
        self.state = State::Skip(PREVIOUS_TAG_SIZE);
        if flags & FILTER != 0 {
            return Err(Error::Encrypted);
        }
        Ok(Some(tag))
    }
}

/// Signature, version, flags and data offset.
const FILE_HEADER: usize = 9;
/// Type, size, timestamp and stream id.
const TAG_HEADER: usize = 11;
/// The size of the tag before, which stands behind each one.
const PREVIOUS_TAG_SIZE: u64 = 4;
/// The bit of a tag that is encrypted.
const FILTER: u8 = 0x20;

#[cfg(test)]
mod tests;
