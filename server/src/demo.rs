//! The built-in live source of `rillcast demo`: an ingest that plays the clip
//! of `assets/demo` round and round as `live/demo`, paced by the clock.
//!
//! It is registered by hand, not by inventory, and stands where any ingest
//! stands: before the timeline and the bus, with no privilege but the token
//! that it does not need.

mod clip;

use std::time::Duration;

use rillcast_core::{BoxError, Ingest, IngestContext, Publish, StreamKey};
use rillcast_media::Feed;
use serde::Deserialize;
use tokio::time::Instant;

use clip::Clip;

/// The plugin's name.
pub(crate) const NAME: &str = "demo";

/// The stream that it publishes.
pub(crate) const STREAM: &str = "live/demo";

/// How long it stays away when it was refused, or ended by somebody.
const PAUSE: Duration = Duration::from_secs(5);

/// Lateness that is not made up for: a machine that slept does not get what it
/// missed in one burst.
const TOO_LATE: Duration = Duration::from_secs(1);

/// The ingest.
pub(crate) struct Demo {
    clip: Clip,
}

/// `[demo]` has no keys.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {}

impl Ingest for Demo {
    const NAME: &'static str = NAME;
    type Config = Config;

    fn new(_config: Config) -> Result<Self, BoxError> {
        Ok(Self {
            clip: Clip::read()?,
        })
    }

    async fn run(self, cx: IngestContext) -> Result<(), BoxError> {
        let key: StreamKey = STREAM.parse()?;
        cx.ready(None);
        let shutdown = cx.shutdown();
        let forever = async {
            loop {
                match cx.publish_own(Publish::new(key.clone())) {
                    Ok(publisher) => {
                        let ended = play(&self.clip, Feed::new(publisher)).await;
                        tracing::info!(stream = %key, protocol = NAME, "the demo was ended: {ended}");
                    }
                    Err(error) => {
                        tracing::warn!(stream = %key, protocol = NAME, "the demo waits: {error}")
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        // Dropped with its feed at the end of the server, which ends the stream.
        tokio::select! {
            () = forever => {}
            () = shutdown.requested() => {}
        }
        Ok(())
    }
}

/// Plays until the stream is closed; returns why.
async fn play(clip: &Clip, mut feed: Feed) -> rillcast_core::Closed {
    for item in clip.head() {
        if let Err(closed) = feed.push(item) {
            return closed;
        }
    }
    let mut start = Instant::now();
    let mut round = 0;
    loop {
        for (at, frame) in clip.round(round) {
            let due = start + at;
            tokio::time::sleep_until(due).await;
            let late = due.elapsed();
            if late > TOO_LATE {
                start += late;
            }
            let item = Clip::arrived(frame, Instant::now().into_std());
            if let Err(closed) = feed.push(item) {
                return closed;
            }
        }
        round += 1;
    }
}
