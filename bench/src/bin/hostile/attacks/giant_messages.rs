//! Messages of 16 MiB that are declared and never sent, on 64 connections: what
//! is declared must not be reserved.

use std::time::Duration;

use rillcast_bench::Result;
use rillcast_ingest_rtmp::proto::message::kind;
use tokio::time::sleep;

use crate::arena::{Arena, PROMPT, ensure};
use crate::rtmp::{Peer, header};

/// 64 of these, if they were reserved, are half a gigabyte.
const ALLOWED: u32 = 8 << 20;
const GIANT: u32 = 0xFF_FFFF;
const CONNECTIONS: usize = 64;
const GROWTH: u64 = 64 << 20;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let before = arena.memory();
    let mut waiting = Vec::new();
    for index in 0..CONNECTIONS {
        let host = 1 + u8::try_from(index % 4).unwrap_or(0);
        // Before a publish nothing may be long.
        let mut stranger = Peer::connected(&arena, host, "live").await?;
        stranger.write(&header(6, GIANT, kind::VIDEO, 1)).await?;
        stranger.gone_within(PROMPT).await?;
        // A publisher may send a long picture, and not the longest of all.
        let name = format!("giant-{index}");
        let mut peer = Peer::publishing(&arena, host, &name).await?;
        if index % 2 == 0 {
            peer.write(&header(6, GIANT, kind::VIDEO, peer.stream))
                .await?;
            peer.gone_within(PROMPT).await?;
        } else {
            let mut bytes = header(6, ALLOWED, kind::VIDEO, peer.stream);
            bytes.extend_from_slice(&[0x17; 1_000]);
            peer.write(&bytes).await?;
            waiting.push(peer);
        }
    }
    sleep(Duration::from_millis(200)).await;
    let grown = arena.memory().saturating_sub(before);
    ensure!(
        grown < GROWTH,
        "declared messages made the server {grown} bytes larger"
    );
    Ok(format!("{CONNECTIONS} refused, {} wait", waiting.len()))
}
