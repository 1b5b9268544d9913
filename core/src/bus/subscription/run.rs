//! Reading many frames at once: [`Run`] and [`Frames`].

use std::fmt;
use std::ops::Deref;

use crate::bus::chain::Entry;
use crate::bus::readers::HeldBlock;
use crate::sync::{Arc, Slot};
use crate::{Discontinuity, Frame, Track};

/// What a subscription yields next, frames in rows. As with
/// [`Recv`](super::Recv), the subscription is borrowed until it is dropped.
#[derive(Debug)]
#[non_exhaustive]
pub enum Run<'a> {
    /// Frames, one at least.
    Frames(Frames<'a>),
    /// A track's configuration, to which its frames belong from here on.
    Track(Arc<Track>),
    /// The reader fell behind: see [`Recv::Lagged`](super::Recv::Lagged).
    Lagged {
        /// Frames, of all tracks, that were published and not read.
        skipped: u64,
    },
    /// A break in the stream's time or origin.
    Discontinuity(Discontinuity),
    /// The end. Whoever goes on gets this again.
    Ended,
}

/// Frames that follow each other, read where they stand: as many as lay there
/// when they were asked for, 64 at most.
///
/// All of them count as read. They keep the block that they stand in, as
/// [`FrameRef`](super::FrameRef) does: before an await that may take long, clone
/// what is still needed; and drop them, always.
pub struct Frames<'a>(Row<'a>);

enum Row<'a> {
    /// Held by the reader.
    Held {
        held: HeldBlock<'a>,
        index: usize,
        len: usize,
    },
    /// Held by someone else.
    Seen(&'a [Slot<Entry>]),
}

impl<'a> Frames<'a> {
    pub(super) const fn new(held: HeldBlock<'a>, index: usize, len: usize) -> Self {
        Self(Row::Held { held, index, len })
    }

    /// The same frames for many who look at them, each at less cost.
    pub(in crate::bus) fn seen(&self) -> Frames<'_> {
        Frames(Row::Seen(self.slots()))
    }

    /// How many there are.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        match &self.0 {
            Row::Held { len, .. } => *len,
            Row::Seen(slots) => slots.len(),
        }
    }

    /// Whether there are none, which does not happen.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first frame.
    #[must_use]
    #[inline]
    pub fn first(&self) -> Option<&Frame> {
        self.iter().next()
    }

    /// The frames in their order.
    #[must_use]
    #[inline]
    pub fn iter(&self) -> FramesIter<'_> {
        FramesIter(self.slots().iter())
    }

    #[inline]
    fn slots(&self) -> &[Slot<Entry>] {
        match &self.0 {
            Row::Held { held, index, len } => {
                let block = held.deref().as_ref();
                block.map_or(&[][..], |block| block.slots(*index, *len))
            }
            Row::Seen(slots) => slots,
        }
    }
}

impl<'a> IntoIterator for &'a Frames<'_> {
    type Item = &'a Frame;
    type IntoIter = FramesIter<'a>;

    #[inline]
    fn into_iter(self) -> FramesIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Frames`].
#[derive(Clone)]
pub struct FramesIter<'a>(std::slice::Iter<'a, Slot<Entry>>);

impl<'a> Iterator for FramesIter<'a> {
    type Item = &'a Frame;

    #[inline]
    fn next(&mut self) -> Option<&'a Frame> {
        match self.0.next()?.get() {
            Some(Entry::Frame { frame, .. }) => Some(frame),
            _ => None,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for FramesIter<'_> {}

impl fmt::Debug for Frames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for FramesIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
