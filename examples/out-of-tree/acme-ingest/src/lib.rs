//! A third party's protocol for rillcast: an FLV file that arrives over plain
//! TCP is a live stream.
//!
//! `ffmpeg -re -i any.mp4 -c copy -f flv tcp://127.0.0.1:9350` publishes to it.
//! All that makes it a plugin is [`Ingest`] and the macro line below it; the
//! server that links it is `acme-server`, beside this crate.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rillcast_core::{BoxError, Ingest, IngestContext, Publish, StreamKey};
use rillcast_media::{Feed, flv};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// How much is read from a connection at once.
const READ_BYTES: usize = 64 * 1024;

/// The `[acme]` section.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    listen: SocketAddr,
    key: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9350)),
            key: "acme/cam".into(),
        }
    }
}

/// The plugin: whoever connects publishes `key`, one at a time.
#[derive(Debug)]
pub struct Acme {
    listen: SocketAddr,
    key: StreamKey,
}

impl Ingest for Acme {
    const NAME: &'static str = "acme";
    const EXAMPLE: &'static str = "\
# Where FLV files are taken from.
listen = \"127.0.0.1:9350\"
# The stream that they become.
key = \"acme/cam\"
";
    type Config = Config;

    fn new(config: Config) -> Result<Self, BoxError> {
        let key = config
            .key
            .parse()
            .map_err(|error| format!("acme.key: {error}"))?;
        Ok(Self {
            listen: config.listen,
            key,
        })
    }

    async fn run(self, cx: IngestContext) -> Result<(), BoxError> {
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|error| format!("acme.listen: {} cannot be used: {error}", self.listen))?;
        cx.ready(listener.local_addr()?);
        let shutdown = cx.shutdown();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.requested() => return Ok(()),
            };
            match accepted {
                Ok((socket, peer)) => {
                    let (publish, cx2) =
                        (Publish::new(self.key.clone()).from_peer(peer), cx.clone());
                    cx.spawn(async move {
                        // An error ends this connection, never the plugin.
                        if let Err(error) = serve(socket, publish, &cx2).await {
                            tracing::warn!(protocol = Self::NAME, %peer, "{error}");
                        }
                    });
                }
                // No descriptor is free, say: others may be closed in a moment.
                Err(error) => {
                    tracing::warn!(
                        protocol = Self::NAME,
                        "a connection was not accepted: {error}"
                    );
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

rillcast_core::register_ingest!(Acme);

/// One connection, from its first byte to its last.
async fn serve(
    mut socket: TcpStream,
    publish: Publish,
    cx: &IngestContext,
) -> Result<(), BoxError> {
    let publisher = cx.publish(publish).await?;
    // A kick, a take-over, or the server's end.
    let closed = publisher.closed();
    tokio::pin!(closed);
    let mut feed = Feed::new(publisher);
    let (mut file, mut demuxer) = (flv::file::Reader::new(), flv::Demuxer::new());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = tokio::select! {
            read = socket.read(&mut buffer) => read?,
            _ = &mut closed => return Ok(()),
        };
        if count == 0 {
            // Dropping the feed lets the publisher come back within the grace time.
            return Ok(());
        }
        let received = Instant::now();
        file.push(buffer.get(..count).unwrap_or_default());
        while let Some(tag) = file.next_tag()? {
            for item in demuxer.tag(tag, received)? {
                feed.push(item)?;
            }
        }
    }
}
