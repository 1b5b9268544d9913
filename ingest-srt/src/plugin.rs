//! The plugin's face to the server.

use std::sync::Arc;

use rillcast_core::{BoxError, Ingest, IngestContext};

use crate::config::Config;
use crate::listener::Listener;
use crate::pull;

/// Takes streams in over SRT.
#[derive(Debug)]
pub struct Srt {
    config: Config,
}

impl Ingest for Srt {
    const NAME: &'static str = "srt";
    const EXAMPLE: &'static str = Config::EXAMPLE;
    const PUBLISH_URL: &'static str = "srt://{host}:{port}?streamid=publish:{key}[?token={token}]";
    const STREAM_KEYS: &'static [&'static str] = &["latency", "passphrase"];

    type Config = Config;

    fn new(config: Config) -> Result<Self, BoxError> {
        config.check()?;
        Ok(Self { config })
    }

    async fn run(self, cx: IngestContext) -> Result<(), BoxError> {
        let config = Arc::new(self.config);
        let listener = Listener::bind(&config)?;
        cx.ready(listener.address());
        for number in 0..config.pull.len() {
            let pulling = pull::run(Arc::clone(&config), number, cx.clone());
            cx.spawn_connection(pulling);
        }
        listener.serve(config, cx).await?;
        Ok(())
    }
}

rillcast_core::register_ingest!(Srt);
