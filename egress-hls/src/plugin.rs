//! HLS as a plugin: what it mounts, and when packaging starts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rillcast_core::{
    BoxError, Egress, EgressContext, SharedSection, StreamEvent, StreamHandle, Viewers,
};
use rillcast_media::cmaf::{self, CmafConfig, Serve, Start, Store};
use tokio::time::MissedTickBehavior;

use crate::Config;
use crate::handler::Handler;

/// The plugin: playlists below `/hls`, media below `/cmaf`.
#[derive(Debug)]
pub struct Hls {
    config: Config,
}

impl Egress for Hls {
    const NAME: &'static str = "hls";
    const EXAMPLE: &'static str = Config::EXAMPLE;
    const STREAM_KEYS: &'static [&'static str] = &["low_latency", "part_hold_back"];
    const SECTIONS: &'static [SharedSection] = &[cmaf::SECTION];
    type Config = Config;

    fn new(config: Config) -> Result<Self, BoxError> {
        config.check()?;
        Ok(Self { config })
    }

    async fn run(self, cx: EgressContext) -> Result<(), BoxError> {
        let store = cx.shared(Store::new);
        let handler = Handler::new(self.config, Arc::clone(&store), cx.clone());
        let _stop = StopOnDrop(handler.clone());
        // What happens from here on is seen, and what lives already comes first.
        let mut events = cx.events();
        cx.http().mount(Self::NAME, "/hls", handler.clone())?;
        let serve = || Serve::new(Arc::clone(&store), Instant::now);
        cx.http().mount_once(Self::NAME, cmaf::MOUNT, serve)?;
        cx.ready(None);
        let shutdown = cx.shutdown();
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Ends before the plugin does: the streams end first at a shutdown, and
        // what they leave is served until the last connection is done.
        let mut more = true;
        loop {
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                _ = sweep.tick() => handler.sweep(Instant::now()),
                event = events.next(), if more => match event {
                    Some(StreamEvent::Published { key, .. }) => {
                        if let Some(handle) = cx.stream(&key) {
                            open(&cx, &store, &handle);
                        }
                    }
                    Some(_) => {}
                    None => more = false,
                },
            }
        }
    }
}

rillcast_core::register_egress!(Hls);

/// Begins to count a stream's viewers, and to package it, unless that is left
/// to the first request.
fn open(cx: &EgressContext, store: &Store, handle: &StreamHandle) {
    // From now on it is known how many watch: nobody.
    handle.slot(Viewers::new);
    match cx.stream_settings::<CmafConfig>("cmaf", handle.key()) {
        Ok(config) if config.start == Start::Always => {
            store.open(handle, &config, Instant::now());
        }
        Ok(_) => {}
        Err(error) => {
            let stream = handle.key();
            tracing::error!(%stream, %error, "the settings of the stream cannot be read");
        }
    }
}

/// Cuts the ring from the routes over the handler to the context, however the
/// plugin ends.
struct StopOnDrop(Handler);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// How often ended windows are looked for whose time is over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
