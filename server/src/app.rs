//! What the API, the metrics and the pages know of the server they stand for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rillcast_core::http::Routes;
use rillcast_core::{Host, Registry};

use crate::auth::Gate;
use crate::http::HttpStats;

/// One running server, as its own handlers see it.
pub(crate) struct App {
    host: Arc<Host>,
    gate: Gate,
    stats: Arc<HttpStats>,
    metrics_streams: usize,
    started: Instant,
    started_at_ms: u64,
    stopping: AtomicBool,
}

impl App {
    pub(crate) fn new(
        host: Arc<Host>,
        gate: Gate,
        stats: Arc<HttpStats>,
        metrics_streams: usize,
    ) -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            host,
            gate,
            stats,
            metrics_streams,
            started: Instant::now(),
            started_at_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            stopping: AtomicBool::new(false),
        }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.host.services().registry
    }

    pub(crate) fn routes(&self) -> &Routes {
        &self.host.services().routes
    }

    pub(crate) const fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn stats(&self) -> &HttpStats {
        &self.stats
    }

    /// How many streams get series of their own in the metrics.
    pub(crate) const fn metrics_streams(&self) -> usize {
        self.metrics_streams
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Milliseconds since 1970 at the start, for display.
    pub(crate) const fn started_at_ms(&self) -> u64 {
        self.started_at_ms
    }

    /// Has the readiness probe answer no from now on.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}
