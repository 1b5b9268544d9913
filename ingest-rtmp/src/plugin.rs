//! The plugin's face to the server.

use rillcast_core::{BoxError, FaultyKey, Ingest, IngestContext};

use crate::config::Config;
use crate::listener::Listener;

/// Takes streams in over RTMP.
#[derive(Debug)]
pub struct Rtmp {
    config: Config,
}

impl Ingest for Rtmp {
    const NAME: &'static str = "rtmp";
    const EXAMPLE: &'static str = Config::EXAMPLE;
    const PUBLISH_URL: &'static str = "rtmp://{host}:{port}/{key}[?token={token}]";

    type Config = Config;

    fn new(config: Config) -> Result<Self, BoxError> {
        config
            .check()
            .map_err(|error| FaultyKey::new(error.key(), error))?;
        Ok(Self { config })
    }

    async fn run(self, cx: IngestContext) -> Result<(), BoxError> {
        let listener = Listener::bind(self.config.listen)?;
        cx.ready(listener.address());
        listener.serve(self.config, cx).await;
        Ok(())
    }
}

rillcast_core::register_ingest!(Rtmp);
