//! What viewers see of a track.

use std::sync::Arc;
use std::time::Duration;

use rillcast_core::FrameRate;

use super::TrackCutter;
use crate::cmaf::rates;
use crate::cmaf::snapshot::{BitRate, Segment, TrackWindow};

/// The complete segments, and what is measured over them.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    segments: Arc<[Arc<Segment>]>,
    bit_rate: BitRate,
    frame_rate: Option<FrameRate>,
}

impl TrackCutter {
    /// What viewers see; shared with the last view as far as nothing changed.
    pub(in crate::cmaf) fn view(
        &mut self,
        primary: bool,
        first_listed: u64,
        target: Duration,
    ) -> Arc<TrackWindow> {
        let first = self.segments.front().map_or(self.cut.number, |s| s.number);
        let first_listed = first_listed.max(first);
        if let Some(view) = &self.view
            && view.primary == primary
            && view.first_listed == first_listed
        {
            return Arc::clone(view);
        }
        let mut listing = match self.list.take() {
            Some(listing) => listing,
            None => self.measure(self.segments.iter().cloned().collect(), target),
        };
        self.list = Some(listing.clone());
        let open = self.open.as_ref().filter(|open| !open.parts.is_empty());
        let open = open.map(|open| Arc::new(self.segment_of(open, false)));
        if let (Some(open), true) = (&open, listing.segments.is_empty()) {
            // Nothing is complete: what there is of the first segment.
            let so_far = self.measure(Arc::new([Arc::clone(open)]), target);
            listing.bit_rate = so_far.bit_rate;
            listing.frame_rate = so_far.frame_rate;
        }
        let next = open.as_ref().map_or(0, |open| open.parts.len());
        let view = Arc::new(TrackWindow {
            track: Arc::clone(&self.track),
            name: Arc::clone(&self.name),
            primary,
            part_target: self.cutter.rule.target,
            part_target_duration: self.part_target,
            first_listed,
            segments: listing.segments,
            open,
            next: (self.cut.number, u32::try_from(next).unwrap_or(u32::MAX)),
            inits: self
                .inits
                .iter()
                .map(|held| Arc::clone(&held.init))
                .collect(),
            bit_rate: listing.bit_rate,
            frame_rate: listing.frame_rate,
            discontinuities: self.cut.sequence - u64::from(self.cut.discontinuity),
        });
        self.view = Some(Arc::clone(&view));
        view
    }

    fn measure(&self, segments: Arc<[Arc<Segment>]>, target: Duration) -> Listing {
        Listing {
            bit_rate: rates::bit_rate(&segments, target),
            frame_rate: rates::frame_rate(&self.track, &segments),
            segments,
        }
    }
}
