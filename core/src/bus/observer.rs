//! Hooks into the life of streams, for metrics and tests.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::sync::Arc;
use crate::{CloseReason, Frame, StreamEvent, StreamKey};

/// Is told what happens on the streams that were made with it. Every hook
/// does nothing unless it is overridden.
///
/// Hooks run on the thread on which the thing happens, [`on_frame`](Self::on_frame)
/// within `publish_frame`: they must not block. A panic in one is caught and
/// logged; it reaches neither the publisher nor a subscriber.
pub trait Observer: Send + Sync + 'static {
    /// A stream began, lost its publisher, got one again, or ended.
    fn on_event(&self, event: &StreamEvent) {
        let _ = event;
    }

    /// A publisher took hold of the stream; `epoch` counts them from 1.
    fn on_publish_started(&self, key: &StreamKey, epoch: u64) {
        let _ = (key, epoch);
    }

    /// The publish of `epoch` is over: `reason` is `None` if its publisher left
    /// without a word, which starts the grace time.
    fn on_publish_ended(&self, key: &StreamKey, epoch: u64, reason: Option<CloseReason>) {
        let _ = (key, epoch, reason);
    }

    /// A frame was published.
    fn on_frame(&self, key: &StreamKey, frame: &Frame) {
        let _ = (key, frame);
    }

    /// A subscriber fell behind and missed `skipped` frames.
    fn on_subscriber_lagged(&self, key: &StreamKey, skipped: u64) {
        let _ = (key, skipped);
    }

    /// A subscriber was evicted, since it fell behind by `missed` frames
    /// within the window of its `max_lag`.
    fn on_subscriber_evicted(&self, key: &StreamKey, missed: u64) {
        let _ = (key, missed);
    }

    /// A keyframe was asked for.
    fn on_keyframe_requested(&self, key: &StreamKey) {
        let _ = key;
    }

    /// The stream was ended because its publisher had been silent for too long.
    fn on_stream_reaped(&self, key: &StreamKey) {
        let _ = key;
    }

    /// A GOP outgrew the bounds of the cache: until the next keyframe, whoever
    /// joins waits for that.
    fn on_gop_truncated(&self, key: &StreamKey) {
        let _ = key;
    }
}

/// An observer that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopObserver;

impl Observer for NoopObserver {}

/// The observer of a stream, behind which no panic passes.
#[derive(Clone, Default)]
pub(crate) struct Watcher(pub(crate) Option<Arc<dyn Observer>>);

impl Watcher {
    pub(crate) fn tell(&self, hook: impl FnOnce(&dyn Observer)) {
        let Some(observer) = &self.0 else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| hook(&**observer))).is_err() {
            tracing::error!("an observer of the bus panicked");
        }
    }

    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }
}
