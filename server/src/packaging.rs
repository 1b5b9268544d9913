//! How a stream is packaged for its viewers, as the API and the metrics show it.

use rillcast_core::StreamHandle;
use rillcast_media::cmaf;
use serde::Serialize;

/// The state of one stream's CMAF window.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Packaging {
    pub(crate) state: &'static str,
    pub(crate) reason: Option<&'static str>,
    pub(crate) target_duration: Option<f64>,
    pub(crate) segments: u64,
    pub(crate) discontinuities: u64,
    pub(crate) long_gops: u64,
    pub(crate) lost_frames: u64,
    pub(crate) skipped_frames: u64,
    /// Bytes that are held for viewers; shown with the rest of the memory.
    #[serde(skip)]
    pub(crate) memory: u64,
}

impl Packaging {
    /// That of the stream; `None` where nothing packages it.
    pub(crate) fn of(handle: &StreamHandle) -> Option<Self> {
        let snapshot = cmaf::existing_window(handle)?.load();
        let (state, reason) = match snapshot.state {
            cmaf::State::Refused(refusal) => ("refused", Some(refusal.reason())),
            state => (state.name(), None),
        };
        let target = snapshot.target_duration;
        let counters = snapshot.counters;
        Some(Self {
            state,
            reason,
            target_duration: (!target.is_zero()).then_some(target.as_secs_f64()),
            segments: counters.segments,
            discontinuities: counters.discontinuities,
            long_gops: counters.long_gops,
            lost_frames: counters.lost_frames,
            skipped_frames: counters.skipped_frames,
            memory: snapshot.memory,
        })
    }
}
