//! Messages out: see [`Writer`]; the way in is [`Reader`](super::Reader).

use bytes::{BufMut, BytesMut};

use super::{DEFAULT_CHUNK_SIZE, EXTENDED, MAX_CHUNK_SIZE, Message};

/// Cuts messages into chunks.
///
/// Every message begins with a full header (type 0), the rest of it follows in
/// type 3 chunks that repeat an extended timestamp: what every peer reads. A
/// server's answers are few and small, so header compression would save nothing.
#[derive(Debug)]
pub struct Writer {
    chunk_size: usize,
}

impl Writer {
    /// A writer with the chunk size that a connection begins with.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            chunk_size: DEFAULT_CHUNK_SIZE as usize,
        }
    }

    /// Cuts what follows by `size` bytes, clamped to 1 ..= 0xFFFFFF. The peer
    /// must have been told before by a Set Chunk Size message.
    pub fn set_chunk_size(&mut self, size: u32) {
        self.chunk_size = size.clamp(1, MAX_CHUNK_SIZE) as usize;
    }

    /// Appends `message` to `out`. A body that is longer than a header can say
    /// (2^24 bytes) is cut off there; the largest bound of the reader is lower.
    pub fn write(&self, message: &Message, out: &mut BytesMut) {
        let body = message
            .body
            .get(..MAX_CHUNK_SIZE as usize)
            .unwrap_or(&message.body);
        let length = u32::try_from(body.len()).unwrap_or(MAX_CHUNK_SIZE);
        let extended = (message.timestamp >= EXTENDED).then_some(message.timestamp);
        out.reserve(body.len() + 18 + body.len() / self.chunk_size * 7);
        basic_header(0, message.chunk_stream, out);
        out.extend_from_slice(low24(message.timestamp.min(EXTENDED)).as_slice());
        out.extend_from_slice(low24(length).as_slice());
        out.put_u8(message.kind);
        out.extend_from_slice(&message.stream.to_le_bytes());
        out.extend(extended.map(u32::to_be_bytes).into_iter().flatten());
        for (index, piece) in body.chunks(self.chunk_size).enumerate() {
            if index > 0 {
                basic_header(3, message.chunk_stream, out);
                out.extend(extended.map(u32::to_be_bytes).into_iter().flatten());
            }
            out.extend_from_slice(piece);
        }
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

/// Section 5.3.1.1: one, two or three bytes. Ids outside of 2 ..= 65599 cannot
/// be written and become the nearest that can.
pub(super) fn basic_header(format: u8, chunk_stream: u32, out: &mut BytesMut) {
    let format = format << 6;
    match u8::try_from(chunk_stream) {
        Ok(id @ ..=63) => out.put_u8(format | id.max(2)),
        _ => {
            let beyond = u16::try_from(chunk_stream - 64).unwrap_or(u16::MAX);
            let [low, high] = beyond.to_le_bytes();
            if high == 0 {
                out.extend_from_slice(&[format, low]);
            } else {
                out.extend_from_slice(&[format | 1, low, high]);
            }
        }
    }
}

fn low24(value: u32) -> [u8; 3] {
    let [_, a, b, c] = value.to_be_bytes();
    [a, b, c]
}
