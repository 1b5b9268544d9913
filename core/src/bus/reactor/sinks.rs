//! Sinks side by side, called one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Post;
use crate::bus::stream::Stream;
use crate::sync::Arc;

/// Some sinks of one stream in one lane.
pub(super) struct Sinks<S> {
    list: Vec<S>,
    of: Arc<Feeding<S>>,
}

/// Whose sinks they are.
pub(super) struct Feeding<S> {
    pub(super) stream: Arc<Stream>,
    pub(super) post: Arc<Post<S>>,
}

/// What becomes of a sink after a call.
pub(super) enum Then {
    Stays,
    /// It is put with others.
    Parts,
    Goes,
}

impl<S> Sinks<S> {
    pub(super) const fn new(list: Vec<S>, of: Arc<Feeding<S>>) -> Self {
        Self { list, of }
    }

    pub(super) const fn feeding(&self) -> &Arc<Feeding<S>> {
        &self.of
    }

    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes in all that `other` has.
    pub(super) fn append(&mut self, mut other: Self) {
        self.list.append(&mut other.list);
    }

    /// Calls every sink. Order means nothing among them.
    #[inline]
    pub(super) fn each(&mut self, mut call: impl FnMut(&mut S)) {
        let parted = self.part(|sink| {
            call(sink);
            Then::Stays
        });
        drop(parted);
    }

    /// Calls every sink, and gives those that part. One that panics goes.
    #[inline]
    pub(super) fn part(&mut self, mut call: impl FnMut(&mut S) -> Then) -> Vec<S> {
        let mut parted = Vec::new();
        let mut at = 0;
        loop {
            // Once for all of them, unless something happens.
            let then = catch_unwind(AssertUnwindSafe(|| {
                while let Some(sink) = self.list.get_mut(at) {
                    match call(sink) {
                        Then::Stays => at += 1,
                        then => return then,
                    }
                }
                Then::Stays
            }));
            match then {
                Ok(Then::Stays) => return parted,
                Ok(Then::Parts) => parted.push(self.list.swap_remove(at)),
                Ok(Then::Goes) => self.discard(at),
                Err(_) => {
                    tracing::error!(stream = %self.of.stream.key, "a sink panicked and is dropped");
                    self.discard(at);
                }
            }
        }
    }

    #[cold]
    fn discard(&mut self, at: usize) {
        let sink = self.list.swap_remove(at);
        self.of.leave(1);
        let _ = catch_unwind(AssertUnwindSafe(|| drop(sink)));
    }
}

impl<S> Drop for Sinks<S> {
    fn drop(&mut self) {
        while !self.list.is_empty() {
            self.discard(0);
        }
    }
}

impl<S> Feeding<S> {
    /// So many sinks are gone.
    pub(super) fn leave(&self, sinks: usize) {
        for _ in 0..sinks {
            self.stream.readers.leave();
        }
        self.post.leave(sinks);
    }
}
