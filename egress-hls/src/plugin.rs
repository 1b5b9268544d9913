//! HLS as a plugin: its section, and what it mounts.

use std::sync::Arc;
use std::time::Instant;

use rillcast_core::{BoxError, Egress, EgressContext, SharedSection};
use rillcast_media::cmaf;
use rillcast_media::delivery::{self, Streams};

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
    const STREAM_KEYS: &'static [&'static str] = &["low_latency", "part_hold_back", "container"];
    const SECTIONS: &'static [SharedSection] = &[cmaf::SECTION];
    type Config = Config;

    fn new(config: Config) -> Result<Self, BoxError> {
        config.check()?;
        Ok(Self { config })
    }

    async fn run(self, cx: EgressContext) -> Result<(), BoxError> {
        let streams = Arc::new(Streams::new(&cx, Instant::now));
        let handler = Handler::new(self.config, Arc::clone(&streams));
        let swept = handler.clone();
        delivery::run(cx, "/hls", streams, handler, move || swept.sweep()).await
    }
}

rillcast_core::register_egress!(Hls);
