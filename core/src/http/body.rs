//! Response bodies that hand out slices of media without copying them.

use std::fmt;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_core::Stream;

use crate::plugin::BoxError;

/// A piece of a response body: bytes, or a range of shared lists of slices.
///
/// Its [`Buf`] gives all slices to one vectored write, so a segment of many
/// frames leaves in few system calls and is never copied in user space.
#[derive(Clone)]
pub struct Chunk {
    slices: Slices,
    /// List, slice within the list, and offset within the slice of the next byte.
    list: usize,
    slice: usize,
    offset: usize,
    remaining: usize,
}

#[derive(Clone)]
enum Slices {
    Bytes(Bytes),
    List(Arc<[Bytes]>),
    Lists(Arc<[Arc<[Bytes]>]>),
}

impl Slices {
    fn get(&self, list: usize, slice: usize) -> Option<&Bytes> {
        match self {
            Self::Bytes(bytes) => (list == 0 && slice == 0).then_some(bytes),
            Self::List(slices) if list == 0 => slices.get(slice),
            Self::List(_) => None,
            Self::Lists(lists) => lists.get(list)?.get(slice),
        }
    }

    fn lists(&self) -> usize {
        match self {
            Self::Bytes(_) | Self::List(_) => 1,
            Self::Lists(lists) => lists.len(),
        }
    }

    fn len(&self) -> usize {
        let sum = |slices: &[Bytes]| slices.iter().map(Bytes::len).sum::<usize>();
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::List(slices) => sum(slices),
            Self::Lists(lists) => lists.iter().map(|slices| sum(slices)).sum(),
        }
    }

    /// The first slice at or after (`list`, `slice`) that exists.
    fn at_or_after(&self, mut list: usize, mut slice: usize) -> Option<(usize, usize, &Bytes)> {
        while list < self.lists() {
            if let Some(bytes) = self.get(list, slice) {
                return Some((list, slice, bytes));
            }
            list += 1;
            slice = 0;
        }
        None
    }
}

impl Chunk {
    fn new(slices: Slices) -> Self {
        Self {
            remaining: slices.len(),
            slices,
            list: 0,
            slice: 0,
            offset: 0,
        }
    }

    /// All of `slices`, one after the other.
    #[must_use]
    pub fn from_slices(slices: Arc<[Bytes]>) -> Self {
        Self::new(Slices::List(slices))
    }

    /// All slices of all `lists`, one after the other.
    #[must_use]
    pub fn from_lists(lists: Arc<[Arc<[Bytes]>]>) -> Self {
        Self::new(Slices::Lists(lists))
    }

    /// The number of bytes in the chunk.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.remaining
    }

    /// Whether there is nothing in the chunk.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// Only `len` bytes from `start`, both cut to what there is.
    #[must_use]
    pub fn range(mut self, start: usize, len: usize) -> Self {
        let start = start.min(self.remaining);
        self.advance(start);
        self.remaining = self.remaining.min(len);
        self
    }
}

impl From<Bytes> for Chunk {
    fn from(bytes: Bytes) -> Self {
        Self::new(Slices::Bytes(bytes))
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        let Some(bytes) = self.slices.get(self.list, self.slice) else {
            return &[];
        };
        let rest = bytes.get(self.offset..).unwrap_or_default();
        rest.get(..self.remaining).unwrap_or(rest)
    }

    fn chunks_vectored<'a>(&'a self, target: &mut [IoSlice<'a>]) -> usize {
        let (mut list, mut slice, mut offset) = (self.list, self.slice, self.offset);
        let mut left = self.remaining;
        let mut filled = 0;
        while left > 0 && filled < target.len() {
            let Some((at_list, at_slice, bytes)) = self.slices.at_or_after(list, slice) else {
                break;
            };
            let rest = bytes.get(offset..).unwrap_or_default();
            let rest = rest.get(..left).unwrap_or(rest);
            if !rest.is_empty() {
                if let Some(entry) = target.get_mut(filled) {
                    *entry = IoSlice::new(rest);
                    filled += 1;
                }
                left -= rest.len();
            }
            (list, slice, offset) = (at_list, at_slice + 1, 0);
        }
        filled
    }

    /// Goes on by `count` bytes; past the end it stops at the end.
    fn advance(&mut self, count: usize) {
        let mut count = count.min(self.remaining);
        self.remaining -= count;
        while let Some((list, slice, bytes)) = self.slices.at_or_after(self.list, self.slice) {
            if (list, slice) != (self.list, self.slice) {
                self.offset = 0;
            }
            (self.list, self.slice) = (list, slice);
            let here = bytes.len() - self.offset.min(bytes.len());
            // An exhausted slice is passed, so that `chunk` is never empty
            // while bytes remain.
            if count < here {
                self.offset += count;
                return;
            }
            count -= here;
            self.slice += 1;
            self.offset = 0;
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.remaining)
    }
}

/// A response body.
#[derive(Debug, Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Chunk),
    Stream(Pin<Box<dyn Stream<Item = Result<Chunk, BoxError>> + Send>>),
}

impl Body {
    /// A body without any bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// A body whose length is known and sent as Content-Length.
    #[must_use]
    pub fn whole(chunk: impl Into<Chunk>) -> Self {
        Self(Kind::Whole(chunk.into()))
    }

    /// A body of unknown length, sent as its pieces appear. An error ends the
    /// connection without the end that tells a client that all is there.
    #[must_use]
    pub fn stream(pieces: impl Stream<Item = Result<Chunk, BoxError>> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(pieces)))
    }

    /// The exact number of bytes left, if it is known.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Whole(chunk) => u64::try_from(chunk.len()).ok(),
            Kind::Stream(_) => None,
        }
    }

    /// Whether the body is known to hold nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The next piece, `None` at the end; for the server that writes it.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Chunk, BoxError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(_) => match std::mem::take(&mut self.0) {
                Kind::Whole(chunk) if !chunk.is_empty() => Poll::Ready(Some(Ok(chunk))),
                _ => Poll::Ready(None),
            },
            Kind::Stream(pieces) => pieces.as_mut().poll_next(cx),
        }
    }

    /// Everything in one piece; for tests and small bodies.
    ///
    /// # Errors
    /// The first error of a streamed body.
    pub async fn collect(mut self) -> Result<Bytes, BoxError> {
        let mut all = Vec::new();
        while let Some(chunk) = std::future::poll_fn(|cx| self.poll_chunk(cx)).await {
            let mut chunk = chunk?;
            while chunk.has_remaining() {
                let piece = chunk.chunk();
                all.extend_from_slice(piece);
                let length = piece.len();
                chunk.advance(length);
            }
        }
        Ok(all.into())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Whole(chunk) => chunk.fmt(f),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::whole(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::whole(Bytes::from(text))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::whole(Bytes::from_static(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Chunk {
        let list = |parts: &[&'static str]| -> Arc<[Bytes]> {
            parts
                .iter()
                .map(|part| Bytes::from_static(part.as_bytes()))
                .collect()
        };
        Chunk::from_lists(Arc::from([
            list(&["ab", "", "cde"]),
            list(&[]),
            list(&["f", "ghi"]),
        ]))
    }

    fn read(mut chunk: Chunk, step: usize) -> String {
        let mut out = Vec::new();
        while chunk.has_remaining() {
            let piece = chunk.chunk();
            assert!(!piece.is_empty(), "an empty chunk while bytes remain");
            let take = piece.len().min(step);
            out.extend_from_slice(&piece[..take]);
            chunk.advance(take);
        }
        String::from_utf8(out).unwrap()
    }

    fn vectored(chunk: &Chunk) -> String {
        let mut target = [IoSlice::new(&[]); 16];
        let filled = chunk.chunks_vectored(&mut target);
        let bytes: Vec<u8> = target[..filled]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_way_to_read_gives_the_same_bytes() {
        let whole = "abcdefghi";
        for start in 0..=10 {
            for len in 0..=10 {
                let want: String = whole.chars().skip(start).take(len).collect();
                let chunk = lists().range(start, len);
                assert_eq!(chunk.len(), want.len(), "{start} {len}");
                assert_eq!(vectored(&chunk), want, "{start} {len}");
                for step in 1..4 {
                    assert_eq!(read(chunk.clone(), step), want, "{start} {len} {step}");
                }
            }
        }
    }

    #[test]
    fn few_io_slices_are_filled_from_the_front() {
        let chunk = lists();
        let mut target = [IoSlice::new(&[]); 2];
        assert_eq!(chunk.chunks_vectored(&mut target), 2);
        assert_eq!((&*target[0], &*target[1]), (&b"ab"[..], &b"cde"[..]));
    }

    #[test]
    fn a_leading_empty_slice_is_no_end() {
        let list: Arc<[Bytes]> = Arc::from([Bytes::new(), Bytes::from_static(b"x")]);
        assert_eq!(read(Chunk::from_slices(list).range(0, 9), 1), "x");
    }

    #[tokio::test]
    async fn a_whole_body_knows_its_length() {
        let body = Body::whole(lists());
        assert_eq!(body.len(), Some(9));
        assert_eq!(body.collect().await.unwrap(), "abcdefghi");
        assert!(Body::empty().is_empty());
        assert_eq!(Body::from("").collect().await.unwrap(), "");
    }
}
