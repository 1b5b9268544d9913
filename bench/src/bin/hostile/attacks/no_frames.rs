//! Video messages of megabytes that no frame comes of, as fast as the line is:
//! what is sent counts, not what becomes of it, so the bound on the bitrate ends it.

use rillcast_bench::{Error, Result};
use rillcast_ingest_rtmp::proto::message::kind;

use crate::arena::{Arena, ensure};
use crate::attacks::empty_messages::flood;
use crate::http::exchange;
use crate::rtmp::{Peer, header};

/// Of the body of each; `rtmp.max_message_size` is twice as much.
const SIZE: usize = 4 << 20;

/// AVC, end of the sequence (FLV specification, E.4.3.1).
const NO_FRAME: [u8; 5] = [0x17, 2, 0, 0, 0];

const CUTS: &str = "rillcast_bitrate_cuts_total";

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let before = cuts(&arena).await?;
    let mut peer = Peer::publishing(&arena, 1, "no-frames").await?;
    // One message is one chunk.
    let size = u32::try_from(SIZE).unwrap_or(u32::MAX);
    peer.cut(size).await?;
    let mut bytes = header(6, size, kind::VIDEO, peer.stream);
    let length = bytes.len() + SIZE;
    bytes.extend(NO_FRAME);
    bytes.resize(length, 0);
    let sent = flood(&mut peer, &bytes).await?;
    let after = cuts(&arena).await?;
    ensure!(
        after > before,
        "it was ended after {sent} bytes, and not for its bitrate"
    );
    Ok(format!("cut after {} MB", sent >> 20))
}

/// How many streams the server has ended for their bitrate.
async fn cuts(arena: &Arena) -> Result<u64> {
    // By an address, as Prometheus asks: no foreign name is answered here.
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        arena.http
    );
    let said = exchange(arena, 200, request.as_bytes()).await?;
    let metrics = said.answers.into_iter().next();
    let metrics = metrics.ok_or_else(|| Error::new("/metrics was not answered"))?;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let count = text.lines().find_map(|line| line.strip_prefix(CUTS));
    let count = count.and_then(|count| count.trim().parse().ok());
    ensure!(
        count.is_some(),
        "/metrics was answered with {} and has no {CUTS}",
        metrics.status
    );
    Ok(count.unwrap_or_default())
}
