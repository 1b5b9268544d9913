//! What a track holds: segments and the initialisation segments that they need,
//! and what these cost.

use std::sync::Arc;

use rillcast_core::Track;

use super::TrackCutter;
use crate::cmaf::rule::PartRule;
use crate::cmaf::snapshot::{Init, Segment};
use crate::fmp4;

/// An initialisation segment, and how many segments need it.
#[derive(Debug)]
pub(super) struct HeldInit {
    pub(super) init: Arc<Init>,
    segments: usize,
}

impl TrackCutter {
    /// Takes a configuration that the next frame needs. Between segments only.
    ///
    /// # Errors
    /// If no initialisation segment can be written for it.
    pub(in crate::cmaf) fn configure(&mut self, track: Arc<Track>) -> Result<(), fmp4::Error> {
        let bytes = fmp4::init(&track)?;
        self.view = None;
        if track.timescale != self.track.timescale {
            let (from, to) = (self.track.timescale, track.timescale);
            let convert = |ticks| rillcast_core::rescale(ticks, from, to);
            let typical = convert(i64::try_from(self.cutter.rule.typical).unwrap_or(1));
            let target = u64::try_from(to.from_duration(self.part_target)).unwrap_or(1);
            // Not above what was promised.
            let over = to.to_duration(i64::try_from(target).unwrap_or(0)) > self.part_target;
            let rule = PartRule::new(
                target - u64::from(over),
                u64::try_from(typical).unwrap_or(1),
            );
            self.cutter.rescale(rule, convert);
            self.delay = convert(self.delay);
            self.last_dts = None;
        }
        let known = self.inits.iter().find(|held| held.init.bytes == bytes);
        if let Some(known) = known {
            self.config = known.init.id;
        } else {
            self.config = self.next_init;
            self.next_init += 1;
            self.held += size(bytes.len());
            let init = Arc::new(Init {
                id: self.config,
                track: Arc::clone(&track),
                bytes,
            });
            self.inits.push(HeldInit { init, segments: 0 });
        }
        self.drop_unused_inits();
        self.track = track;
        Ok(())
    }

    /// Whether `track` needs another initialisation segment than the one in force.
    pub(in crate::cmaf) fn needs_init(&self, track: &Track) -> bool {
        if self.unusable {
            return true;
        }
        let mut inits = self.inits.iter().map(|held| &held.init);
        let current = inits.find(|init| init.id == self.config);
        match fmp4::init(track) {
            Ok(bytes) => current.is_none_or(|init| init.bytes != bytes),
            Err(_) => true,
        }
    }

    pub(super) fn push_segment(&mut self, segment: Segment) {
        self.count_init(segment.config, 1);
        self.held += SEGMENT;
        self.segments.push_back(Arc::new(segment));
        self.view = None;
        self.list = None;
    }

    /// Lets go of the oldest segment that is held.
    pub(in crate::cmaf) fn drop_oldest(&mut self) {
        let Some(segment) = self.segments.pop_front() else {
            return;
        };
        self.held = self.held.saturating_sub(SEGMENT);
        for part in &segment.parts {
            let cost = part.bytes + size(part.slices.len()) * SLICE;
            self.held = self.held.saturating_sub(cost);
        }
        self.count_init(segment.config, -1);
        self.drop_unused_inits();
        self.view = None;
        self.list = None;
    }

    fn count_init(&mut self, id: u32, change: isize) {
        if let Some(held) = self.inits.iter_mut().find(|held| held.init.id == id) {
            held.segments = held.segments.saturating_add_signed(change);
        }
    }

    /// Lets go of initialisation segments that no segment needs any more.
    fn drop_unused_inits(&mut self) {
        let (config, mut freed) = (self.config, 0);
        self.inits.retain(|held| {
            let keep = held.segments > 0 || held.init.id == config;
            freed += if keep { 0 } else { size(held.init.bytes.len()) };
            keep
        });
        self.held = self.held.saturating_sub(freed);
    }

    /// Lets go of all media, and of what is not cut yet.
    pub(in crate::cmaf) fn clear(&mut self) {
        self.cutter.clear();
        self.open = None;
        while !self.segments.is_empty() {
            self.drop_oldest();
        }
        let inits = self.inits.iter().map(|held| size(held.init.bytes.len()));
        self.held = inits.sum();
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.cuts.clear();
        self.view = None;
        self.list = None;
    }

    /// Bytes that the track holds.
    pub(in crate::cmaf) fn memory(&self) -> u64 {
        self.held + self.cutter.bytes() + self.waiting_bytes
    }
}

pub(super) fn size(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// What a slice costs beside its bytes: its handle, its sample and its share
/// of the allocation's head. Without it, streams of tiny frames would be free.
pub(super) const SLICE: u64 = 96;

/// The same for a segment with its part.
const SEGMENT: u64 = 512;
