//! One damaged time stamp is not believed.
//!
//! Nothing protects the bytes of a transport stream. Where a time is far from
//! the one before it, the frame that has it waits for the next time: if that
//! goes on from there, the stream's clock has jumped, and both are handed on as
//! they are. If it goes on from where the clock was before, the frame gets a
//! time between them.

use std::collections::VecDeque;

use super::pes::{CYCLE, between};
use crate::source::{SourceFrame, SourceItem};

/// Watches the times of one track.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// The last time that is believed.
    last: Option<i64>,
    /// The last step that was.
    step: i64,
    /// Frames from one on whose time is not believed yet.
    held: Vec<SourceFrame>,
    /// Bytes of those.
    bytes: usize,
}

/// Ticks by which a time may be before the one that it should follow: sound
/// behind a loss has times that were reckoned.
const BACK: i64 = 9_000;

/// Ticks that are no jump, however close the frames are else.
const AHEAD: i64 = 45_000;

/// Frames that wait at most: as many as a PES packet of sound may hold.
const MAX_HELD: usize = 64;

/// Bytes that wait at most. A few pictures are enough to see which time goes on.
const MAX_BYTES: usize = 2 << 20;

impl Times {
    /// Takes a frame. `own` says whether its time stood in the stream, or was
    /// reckoned from the one before.
    pub(super) fn push(&mut self, frame: SourceFrame, own: bool, items: &mut VecDeque<SourceItem>) {
        let follows = self
            .last
            .is_none_or(|last| self.follows(last, frame.dts, 0));
        match self.held.last() {
            None if follows || !own => self.give(frame, items),
            Some(_) if own => {
                self.judge(frame.dts, items);
                self.push_settled(frame, items);
            }
            _ => self.hold(frame, items),
        }
    }

    /// What comes next has nothing to do with what came.
    pub(super) fn restart(&mut self, items: &mut VecDeque<SourceItem>) {
        self.release(0, items);
        self.last = None;
    }

    fn push_settled(&mut self, frame: SourceFrame, items: &mut VecDeque<SourceItem>) {
        match self.last {
            Some(last) if !self.follows(last, frame.dts, 0) => self.hold(frame, items),
            _ => self.give(frame, items),
        }
    }

    fn hold(&mut self, frame: SourceFrame, items: &mut VecDeque<SourceItem>) {
        self.bytes += frame.payload.len();
        self.held.push(frame);
        if self.held.len() >= MAX_HELD || self.bytes > MAX_BYTES {
            self.release(0, items);
        }
    }

    /// The time after those that are held is known.
    fn judge(&mut self, next: i64, items: &mut VecDeque<SourceItem>) {
        let (Some(first), Some(newest), Some(last)) =
            (self.held.first(), self.held.last(), self.last)
        else {
            return;
        };
        let span = between(first.dts, newest.dts).max(0) + self.step;
        let shift = if self.follows(newest.dts, next, 0) || !self.follows(last, next, span) {
            0
        } else {
            between(first.dts, last + self.step)
        };
        self.release(shift, items);
    }

    /// Whether `next` may be the time behind `last`, with `more` between them.
    fn follows(&self, last: i64, next: i64, more: i64) -> bool {
        let step = between(last, next);
        step >= -BACK && step <= AHEAD.max(4 * self.step) + more
    }

    fn release(&mut self, shift: i64, items: &mut VecDeque<SourceItem>) {
        self.bytes = 0;
        for mut frame in std::mem::take(&mut self.held) {
            frame.dts = (frame.dts + shift).rem_euclid(CYCLE);
            self.give(frame, items);
        }
    }

    fn give(&mut self, frame: SourceFrame, items: &mut VecDeque<SourceItem>) {
        if let Some(last) = self.last {
            let step = between(last, frame.dts);
            if (1..CYCLE / 8).contains(&step) && self.follows(last, frame.dts, 0) {
                self.step = step;
            }
        }
        self.last = Some(frame.dts);
        items.push_back(SourceItem::Frame(frame));
    }
}
