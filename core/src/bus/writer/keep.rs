//! How long what was put is kept: by need, age and room.

use super::Writer;
use crate::bus::chain::Block;
use crate::bus::stream::Stream;
use crate::sync::Arc;

/// A block that the stream keeps for its readers.
pub(super) struct Kept {
    pub(super) block: Arc<Block>,
    /// The sequence number behind its last entry, and when that was put;
    /// meaningless for the block that is written.
    pub(super) end: u64,
    pub(super) sealed_at: u64,
}

impl Writer {
    /// Lets go of everything that was put. Readers that have not read it yet
    /// find the end of the chain.
    pub(crate) fn clear(&mut self, stream: &Stream) {
        self.gop = None;
        stream.store_join(None, &self.configs);
        if let Some(expired) = self.expired.upgrade() {
            expired.cut();
        }
        self.block.charge.tell();
        let next = Block::new(self.seq, self.frames, 1, &self.gauge);
        self.block.seal(self.len, Arc::clone(&next));
        stream.head.store(Arc::clone(&next));
        for kept in self.kept.drain(..) {
            kept.block.cut();
        }
        self.kept.push_back(Kept {
            block: Arc::clone(&next),
            end: 0,
            sealed_at: u64::MAX,
        });
        self.block = next;
        (self.len, self.block_bytes, self.sealed_bytes) = (0, 0, 0);
        self.gauge.set_kept(self.kept_bytes());
    }

    /// Lets go of blocks that nobody needs or that there is no room for.
    pub(super) fn expire(&mut self, stream: &Stream, age: u64) {
        while self.kept.len() > 1 {
            let Some(first) = self.kept.front() else {
                break;
            };
            let end = first.end;
            let needed = self.gop.as_ref().is_some_and(|gop| gop.seq < end);
            let old = !needed
                && (age.saturating_sub(first.sealed_at) >= self.limits.lag_window
                    || self.seq - end >= self.limits.lag_frames);
            let kept = self.kept_bytes();
            let crowded = kept > self.limits.memory || self.gauge.must_shrink(kept);
            if !old && !crowded {
                break;
            }
            if needed {
                // Before the cut: a reader that comes to it must not find a
                // join point that lies behind it.
                self.drop_gop(stream);
            }
            self.expire_first();
        }
        self.release_laggards(stream);
    }

    /// Does so while nobody writes. Where that is not enough, everything goes:
    /// no block will be put that would take the last one's place.
    pub(crate) fn shrink(&mut self, stream: &Stream, age: u64) {
        self.expire(stream, age);
        if self.len > 0 && self.gauge.must_shrink(self.kept_bytes()) {
            if self.gop.is_some() {
                self.drop_gop(stream);
            }
            self.clear(stream);
            self.release_laggards(stream);
        }
    }

    /// Takes their blocks from readers that fell out of what is kept, the
    /// oldest first, where they hold more than they may.
    fn release_laggards(&self, stream: &Stream) {
        let pinned = || self.gauge.bytes().saturating_sub(self.kept_bytes());
        let crowded = pinned() > 0 && self.gauge.must_shrink(self.gauge.bytes());
        if pinned() <= self.limits.pinned && !crowded {
            return;
        }
        // Down to half, so that this need not be done for every block.
        let target = if crowded { 0 } else { self.limits.pinned / 2 };
        let oldest = self.kept.front().map_or(self.seq, |first| first.block.base);
        stream.release_laggards(oldest, || pinned() > target);
    }

    fn expire_first(&mut self) {
        let Some(first) = self.kept.pop_front() else {
            return;
        };
        self.sealed_bytes = self.sealed_bytes.saturating_sub(first.block.charge.bytes());
        // Whoever still reads the block before may not lead others here.
        if let Some(before) = self.expired.upgrade() {
            before.cut();
        }
        self.expired = Arc::downgrade(&first.block);
        self.gauge.set_kept(self.kept_bytes());
    }
}
