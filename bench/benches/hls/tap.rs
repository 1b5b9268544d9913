//! What tells when a part was cut: an egress plugin of the server that is
//! measured, which notes each part of the stream that it is told to watch.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rillcast_core::{BoxError, Egress, EgressContext, StreamKey};
use rillcast_media::cmaf::{self, Snapshot};
use serde::Deserialize;

use super::clock;

/// The plugin; it does nothing without a file to write to.
#[derive(Debug)]
pub(crate) struct Tap {
    config: Config,
}

/// Section `[tap]`.
#[derive(Debug, Default, Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where each part's line goes: track, segment, part, and the nanoseconds of
    /// the system's monotonic clock at which its last sample had arrived and at
    /// which the part was seen.
    file: PathBuf,
    /// The stream, as `APP/NAME`.
    stream: String,
}

impl Egress for Tap {
    const NAME: &'static str = "tap";
    const EXAMPLE: &'static str = "[tap]\nfile = \"\"\nstream = \"\"\n";
    type Config = Config;

    fn new(config: Config) -> Result<Self, BoxError> {
        Ok(Self { config })
    }

    async fn run(self, cx: EgressContext) -> Result<(), BoxError> {
        cx.ready(None);
        if self.config.stream.is_empty() {
            cx.shutdown().requested().await;
            return Ok(());
        }
        let key: StreamKey = self.config.stream.parse()?;
        let mut file = BufWriter::new(File::create(&self.config.file)?);
        let shutdown = cx.shutdown();
        // Who packages the stream may be told of it later than this.
        let window = loop {
            let handle = cx.stream(&key);
            if let Some(window) = handle.as_ref().and_then(cmaf::existing_window) {
                break window;
            }
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        };
        let watched = window.watched();
        let mut seen = Vec::new();
        loop {
            let moved = |snapshot: &Snapshot| snapshot.is_ended() || next(snapshot) != seen;
            let snapshot = tokio::select! {
                () = shutdown.requested() => return Ok(()),
                snapshot = watched.wait_for(moved) => snapshot,
            };
            note(&mut file, &snapshot, &seen)?;
            if snapshot.is_ended() {
                return Ok(());
            }
            seen = next(&snapshot);
        }
    }
}

rillcast_core::register_egress!(Tap);

/// By track: the segment and the part that is cut next.
fn next(snapshot: &Snapshot) -> Vec<(u64, u32)> {
    snapshot.tracks.iter().map(|track| track.next).collect()
}

/// A line for each part of `snapshot` from `seen` on.
fn note(
    file: &mut impl Write,
    snapshot: &Arc<Snapshot>,
    seen: &[(u64, u32)],
) -> Result<(), BoxError> {
    let (instant, now) = (Instant::now(), clock());
    for (index, track) in snapshot.tracks.iter().enumerate() {
        // A track that is new has no past that anybody waited for.
        let Some(first) = seen.get(index) else {
            continue;
        };
        for segment in track.segments.iter().chain(&track.open) {
            for part in &segment.parts {
                if (segment.number, part.index) < *first {
                    continue;
                }
                let age = instant.saturating_duration_since(part.received);
                let received = now.saturating_sub(u64::try_from(age.as_nanos())?);
                writeln!(
                    file,
                    "{} {} {} {received} {now}",
                    track.name, segment.number, part.index
                )?;
            }
        }
    }
    file.flush()?;
    Ok(())
}
