//! One chunk stream: what its last header said and what has arrived of its
//! message. The [`Reader`](super::Reader) holds one for each id it has seen.

use super::header::Header;

/// What is remembered of a chunk stream from chunk to chunk (section 5.3.1.2).
#[derive(Debug, Default)]
pub(super) struct ChunkStream {
    pub(super) id: u32,
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) length: u32,
    pub(super) timestamp: u32,
    pub(super) delta: u32,
    /// The extended timestamp field of the last header that had one, unless a
    /// later one had none.
    pub(super) extended: Option<u32>,
    /// Whether a message is begun and not finished.
    pub(super) open: bool,
    pub(super) body: Vec<u8>,
    /// The length of the longest message that came whole.
    pub(super) longest: usize,
}

/// The first allocation for a body whose bytes trickle in.
const SMALLEST_BODY: usize = 512;

impl ChunkStream {
    /// Section 5.3.1.2: what a header leaves out is as in the one before.
    pub(super) fn begin(&mut self, header: &Header) {
        if let Some((length, kind)) = header.length_and_kind {
            (self.length, self.kind) = (length, kind);
        }
        self.stream = header.stream.unwrap_or(self.stream);
        if let Some(time) = header.time {
            // After a type 0 header the delta of a type 3 one is its timestamp
            // (section 5.3.1.2.4).
            self.delta = time;
            self.extended = header.extended.then_some(time);
        }
        self.timestamp = match header.format {
            0 => self.delta,
            _ => self.timestamp.wrapping_add(self.delta),
        };
        self.open = true;
    }

    /// The capacity that the buffer needs for `piece` bytes more when
    /// `available` are at hand, if it has to grow: twice what it was, at least
    /// what is at hand or has come whole before, never more than the message.
    /// So a peer never makes us hold more than it has sent itself.
    pub(super) fn capacity_for(&self, piece: usize, available: usize) -> Option<usize> {
        let needed = self.body.len() + piece;
        if needed <= self.body.capacity() {
            return None;
        }
        let goal = (self.body.capacity() * 2)
            .max(self.body.len() + available)
            .max(self.longest)
            .max(SMALLEST_BODY);
        Some(goal.min(self.length as usize).max(needed))
    }

    /// Gives the whole message away.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.open = false;
        self.longest = self.longest.max(self.body.len());
        std::mem::take(&mut self.body)
    }

    /// Drops the unfinished message and tells how much its buffer held.
    pub(super) fn drop_message(&mut self) -> usize {
        self.open = false;
        std::mem::take(&mut self.body).capacity()
    }
}
