//! Lists of lost packets, as a NAK carries them (draft-sharabayko-srt appendix A): a
//! word is a number, or with its first bit set the begin of a range whose end is the
//! next word.

use bytes::{BufMut, BytesMut};

use super::control::{self, put_header};
use super::{HEADER_LEN, PacketError, SeqNumber, SocketId, Timestamp};

/// Packets that follow each other, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossRange {
    /// The first one.
    pub first: SeqNumber,
    /// The last one, not before the first.
    pub last: SeqNumber,
}

impl LossRange {
    /// The range from `first` to `last`, none if that comes before.
    #[must_use]
    pub fn new(first: SeqNumber, last: SeqNumber) -> Option<Self> {
        (first.distance(last) >= 0).then_some(Self { first, last })
    }

    /// How many packets these are. A peer chooses it: up to 2³⁰, to be clamped before
    /// they are walked.
    #[must_use]
    pub fn count(self) -> u32 {
        self.first.distance(self.last).unsigned_abs() + 1
    }

    /// As it stands in a NAK.
    fn words(self) -> (u32, Option<u32>) {
        if self.first == self.last {
            (self.first.value(), None)
        } else {
            (self.first.value() | RANGE, Some(self.last.value()))
        }
    }
}

/// The ranges of a NAK, in the order that the peer wrote them in. They may overlap and
/// name packets that were never sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossRanges<'a> {
    words: &'a [[u8; 4]],
}

impl<'a> LossRanges<'a> {
    /// Checks the body of a NAK as a whole, so that walking it cannot fail.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, PacketError> {
        let malformed = PacketError::Body("NAK");
        let (words, []) = body.as_chunks::<4>() else {
            return Err(malformed);
        };
        let mut begun: Option<SeqNumber> = None;
        for word in words {
            let word = u32::from_be_bytes(*word);
            begun = match (begun, word & RANGE != 0) {
                (None, true) => Some(SeqNumber::new(word)),
                (None, false) => None,
                (Some(first), false) if first.distance(SeqNumber::new(word)) >= 0 => None,
                (Some(_), _) => return Err(malformed),
            };
        }
        match begun {
            None => Ok(Self { words }),
            Some(_) => Err(malformed),
        }
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.words.as_flattened()
    }
}

impl Iterator for LossRanges<'_> {
    type Item = LossRange;

    fn next(&mut self) -> Option<LossRange> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        let word = u32::from_be_bytes(*first);
        let first = SeqNumber::new(word);
        if word & RANGE == 0 {
            return Some(LossRange { first, last: first });
        }
        let (last, rest) = self.words.split_first()?;
        self.words = rest;
        LossRange::new(first, SeqNumber::new(u32::from_be_bytes(*last)))
    }
}

/// Appends a NAK of as many of `ranges` as fit into a datagram of `limit` bytes to
/// `out`, and returns how many those are; the others are for another NAK. Nothing is
/// written if there are none.
pub fn write_nak(
    timestamp: Timestamp,
    destination: SocketId,
    ranges: impl IntoIterator<Item = LossRange>,
    limit: usize,
    out: &mut BytesMut,
) -> usize {
    let mut left = limit.saturating_sub(HEADER_LEN);
    let mut written = 0;
    for range in ranges {
        let (word, end) = range.words();
        let needed = if end.is_some() { 8 } else { 4 };
        let Some(rest) = left.checked_sub(needed) else {
            break;
        };
        left = rest;
        if written == 0 {
            put_header(control::NAK, 0, 0, timestamp, destination, out);
        }
        out.put_u32(word);
        if let Some(end) = end {
            out.put_u32(end);
        }
        written += 1;
    }
    written
}

/// The first bit of a word that begins a range.
const RANGE: u32 = 1 << 31;
