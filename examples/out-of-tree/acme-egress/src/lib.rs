//! HTTP-FLV for rillcast, from outside of its tree: `GET /flv/APP/NAME.flv`.
//!
//! What makes it a plugin is [`Flv`], its [`Config`], and one macro line. It
//! shows how frames are pushed to many viewers: each is a `Sink` (`viewer`)
//! that a reactor calls with what the stream carries; the tags of a frame
//! (`mux`) are made once for all viewers (`rows`) and wait for each in a
//! bounded queue of shared slices (`queue`) until its connection takes them.
//! [`check`] reads what comes out, strictly, for tests and measurements.
#![forbid(unsafe_code)]

pub mod check;
mod config;
mod handler;
mod mux;
mod queue;
mod rows;
mod viewer;

use rillcast_core::{BoxError, Egress, EgressContext};

use handler::Handler;

pub use config::{Config, Consume};

/// The plugin: FLV below `/flv`.
#[derive(Debug)]
pub struct Flv {
    config: Config,
}

impl Egress for Flv {
    const NAME: &'static str = "flv";
    const EXAMPLE: &'static str = Config::EXAMPLE;
    type Config = Config;

    fn new(config: Config) -> Result<Self, BoxError> {
        config.check()?;
        Ok(Self { config })
    }

    async fn run(self, cx: EgressContext) -> Result<(), BoxError> {
        let handler = Handler::new(self.config, cx.clone());
        let _stop = StopOnDrop(handler.clone());
        cx.http().mount(Self::NAME, "/flv", handler)?;
        cx.ready(None);
        cx.shutdown().requested().await;
        Ok(())
    }
}

rillcast_core::register_egress!(Flv);

/// Cuts the ring from the routes over the handler to the context, however the
/// plugin ends.
struct StopOnDrop(Handler);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
