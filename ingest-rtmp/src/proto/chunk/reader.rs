//! Messages in: see [`Reader`]; the way out is [`Writer`](super::Writer).
//! Headers are parsed in `header.rs`, `stream.rs` keeps what they leave out.

use bytes::Bytes;

use super::header::{Habit, Header, MAX_HEADER};
use super::stream::ChunkStream;
use super::{ChunkError, DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE, Message};
use crate::proto::message::kind;

/// What a peer may make a [`Reader`] hold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReaderLimits {
    /// The longest audio, video or aggregate message, in bytes, once
    /// [`Reader::allow_media`] was called.
    pub max_message_size: usize,
    /// The longest message of any other type, and of every type before that.
    pub max_command_size: usize,
    /// Chunk streams that may be in use; each costs some 100 bytes for the life
    /// of the connection.
    pub max_chunk_streams: usize,
    /// Messages that may be begun and not finished.
    pub max_partial_messages: usize,
    /// Bytes that those may hold together.
    pub max_partial_bytes: usize,
}

impl Default for ReaderLimits {
    fn default() -> Self {
        Self {
            max_message_size: 8 << 20,
            max_command_size: 64 << 10,
            max_chunk_streams: 64,
            max_partial_messages: 16,
            max_partial_bytes: 12 << 20,
        }
    }
}

/// Puts messages together from chunks, however they were cut and interleaved.
///
/// Call [`read`](Self::read) until it gives nothing more. Each byte is copied
/// into its body once; a body's buffer grows (by doubling) with what has
/// arrived, never with what was declared, and ends as long as the message.
#[derive(Debug)]
pub struct Reader {
    limits: ReaderLimits,
    media: bool,
    chunk_size: usize,
    streams: Vec<ChunkStream>,
    /// The chunk whose payload is being read.
    current: Option<Current>,
    /// The beginning of a header that a read cut in two.
    held: Held,
    /// Messages begun and not finished, and what their buffers hold.
    partial_messages: usize,
    partial_bytes: usize,
    habit: Habit,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    /// In `streams`.
    index: usize,
    /// Payload bytes of the chunk that are still to come.
    left: usize,
}

#[derive(Debug, Default)]
struct Held {
    bytes: [u8; MAX_HEADER],
    length: usize,
}

impl Reader {
    /// A reader with the chunk size that a connection begins with.
    #[must_use]
    pub fn new(limits: ReaderLimits) -> Self {
        Self {
            limits,
            media: false,
            chunk_size: DEFAULT_CHUNK_SIZE as usize,
            streams: Vec::new(),
            current: None,
            held: Held::default(),
            partial_messages: 0,
            partial_bytes: 0,
            habit: Habit::Unknown,
        }
    }

    /// Sets whether messages with media may be as long as
    /// [`ReaderLimits::max_message_size`]; from a peer that has no right to
    /// send media they may not.
    pub fn allow_media(&mut self, allowed: bool) {
        self.media = allowed;
    }

    /// Applies a Set Chunk Size message of the peer (section 5.4.1).
    ///
    /// # Errors
    /// [`ChunkError::ChunkSize`] for 0 and for a set top bit.
    pub fn set_chunk_size(&mut self, size: u32) -> Result<(), ChunkError> {
        if size == 0 || size > 0x7FFF_FFFF {
            return Err(ChunkError::ChunkSize(size));
        }
        self.chunk_size = size.min(MAX_CHUNK_SIZE) as usize;
        Ok(())
    }

    /// Applies an Abort message (section 5.4.2): the unfinished message of that
    /// chunk stream is dropped. An unknown one is none of our business.
    pub fn abort(&mut self, chunk_stream: u32) {
        if let Some(stream) = self.streams.iter_mut().find(|s| s.id == chunk_stream) {
            if stream.open {
                self.partial_messages -= 1;
            }
            self.partial_bytes -= stream.drop_message();
        }
    }

    /// Takes bytes from the front of `input` until a message is whole; `None`
    /// means that all of `input` was taken and more is needed.
    ///
    /// # Errors
    /// [`ChunkError`]; the connection is then of no further use.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            let index = match self.current {
                // A header took bytes that turned out to be payload.
                Some(current) if self.held.length > 0 => {
                    let held = std::mem::take(&mut self.held);
                    let mut front = held.get();
                    self.read_payload(current, &mut front)?;
                    self.held.hold(front);
                    current.index
                }
                Some(current) => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    self.read_payload(current, input)?;
                    current.index
                }
                None => match self.read_header(input)? {
                    Some(index) => index,
                    None => return Ok(None),
                },
            };
            if let Some(message) = self.finish(index) {
                return Ok(Some(message));
            }
        }
    }

    /// Copies what is there of the current chunk's payload.
    fn read_payload(&mut self, current: Current, input: &mut &[u8]) -> Result<(), ChunkError> {
        let Some(stream) = self.streams.get_mut(current.index) else {
            self.current = None;
            return Ok(());
        };
        let (piece, rest) = input
            .split_at_checked(current.left)
            .unwrap_or((*input, Default::default()));
        if let Some(capacity) = stream.capacity_for(piece.len(), input.len()) {
            let before = stream.body.capacity();
            if self.partial_bytes + capacity - before > self.limits.max_partial_bytes {
                return Err(ChunkError::TooManyPartialBytes(
                    self.limits.max_partial_bytes,
                ));
            }
            stream.body.reserve_exact(capacity - stream.body.len());
            self.partial_bytes += stream.body.capacity() - before;
        }
        stream.body.extend_from_slice(piece);
        *input = rest;
        let left = current.left - piece.len();
        self.current = (left > 0).then_some(Current { left, ..current });
        Ok(())
    }

    /// The message of a chunk stream, if it is whole.
    fn finish(&mut self, index: usize) -> Option<Message> {
        let stream = self.streams.get_mut(index)?;
        if !stream.open || stream.body.len() < stream.length as usize {
            return None;
        }
        self.partial_messages -= 1;
        self.partial_bytes -= stream.body.capacity();
        let body = Bytes::from(stream.finish());
        Some(Message {
            chunk_stream: stream.id,
            kind: stream.kind,
            stream: stream.stream,
            timestamp: stream.timestamp,
            body,
        })
    }

    /// Reads a chunk header, held over from an earlier read where it was cut,
    /// and gives the place of its chunk stream.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<usize>, ChunkError> {
        let header = if self.held.length == 0 {
            match Header::parse(input, &self.streams, self.habit)? {
                Some((header, used)) => {
                    *input = input.get(used..).unwrap_or_default();
                    header
                }
                None => {
                    let lent = self.held.hold(input);
                    *input = input.get(lent..).unwrap_or_default();
                    return Ok(None);
                }
            }
        } else {
            let before = self.held.length;
            let lent = self.held.hold(input);
            match Header::parse(self.held.get(), &self.streams, self.habit)? {
                Some((header, used)) => {
                    // Of what was lent, the header's own part is used up. What
                    // was held may be more: bytes that could have been an
                    // extended timestamp and, seen whole, are payload.
                    *input = input.get(used.saturating_sub(before)..).unwrap_or_default();
                    let held = std::mem::take(&mut self.held);
                    self.held
                        .hold(held.bytes.get(used..before).unwrap_or_default());
                    header
                }
                None => {
                    *input = input.get(lent..).unwrap_or_default();
                    return Ok(None);
                }
            }
        };
        self.apply(header).map(Some)
    }

    /// Notes what a header says in its chunk stream and makes its chunk the
    /// current one.
    fn apply(&mut self, header: Header) -> Result<usize, ChunkError> {
        let index = match header.index {
            Some(index) => index,
            None if self.streams.len() >= self.limits.max_chunk_streams => {
                return Err(ChunkError::TooManyChunkStreams(
                    self.limits.max_chunk_streams,
                ));
            }
            None => {
                self.streams.push(ChunkStream {
                    id: header.id,
                    ..ChunkStream::default()
                });
                self.streams.len() - 1
            }
        };
        self.habit = header.habit.unwrap_or(self.habit);
        let Some(stream) = self.streams.get_mut(index) else {
            return Ok(index);
        };
        // A full header in the midst of a message: its sender gave that up.
        if stream.open && header.format < 3 {
            self.partial_bytes -= stream.drop_message();
            self.partial_messages -= 1;
        }
        if !stream.open {
            stream.begin(&header);
            self.partial_messages += 1;
            if self.partial_messages > self.limits.max_partial_messages {
                return Err(ChunkError::TooManyPartialMessages(
                    self.limits.max_partial_messages,
                ));
            }
            let media =
                self.media && matches!(stream.kind, kind::AUDIO | kind::VIDEO | kind::AGGREGATE);
            let limit = match media {
                true => self.limits.max_message_size,
                false => self.limits.max_command_size,
            };
            if stream.length as usize > limit {
                return Err(ChunkError::MessageTooLong {
                    kind: stream.kind,
                    declared: stream.length,
                    limit,
                    media,
                });
            }
        }
        let left = (stream.length as usize - stream.body.len()).min(self.chunk_size);
        self.current = (left > 0).then_some(Current { index, left });
        Ok(index)
    }

    /// What unfinished messages hold, for tests of the bounds.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn held_bytes(&self) -> usize {
        let held: usize = self
            .streams
            .iter()
            .map(|stream| stream.body.capacity())
            .sum();
        assert_eq!(
            held, self.partial_bytes,
            "what is accounted is what is held"
        );
        let open = self.streams.iter().filter(|stream| stream.open).count();
        assert_eq!(open, self.partial_messages);
        held
    }
}

impl Held {
    fn get(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Copies as much of `input` behind what is held as fits, and tells how much.
    fn hold(&mut self, input: &[u8]) -> usize {
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        let count = room.len().min(input.len());
        if let (Some(room), Some(input)) = (room.get_mut(..count), input.get(..count)) {
            room.copy_from_slice(input);
        }
        self.length += count;
        count
    }
}
