//! How a stream is packaged for its viewers, as the API and the metrics show it.

use rillcast_core::StreamHandle;
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
    pub(crate) fn of(_handle: &StreamHandle) -> Option<Self> {
        None
    }
}
