//! Set Chunk Size: 0, 1, the largest, more than that, and another one for each
//! message.

use rillcast_bench::Result;
use rillcast_ingest_rtmp::proto::message::{CONTROL_CHUNK_STREAM, kind};

use crate::arena::{Arena, PROMPT};
use crate::rtmp::{Peer, header};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    // What cannot be one.
    for size in [0, 0x8000_0000, 0x8000_0001, u32::MAX] {
        let mut peer = Peer::connected(&arena, 1, &arena.app()).await?;
        let mut bytes = header(CONTROL_CHUNK_STREAM, 4, kind::SET_CHUNK_SIZE, 0);
        bytes.extend_from_slice(&size.to_be_bytes());
        peer.write(&bytes).await?;
        peer.gone_within(PROMPT).await?;
    }
    // What can, however silly.
    let mut peer = Peer::connected(&arena, 2, &arena.app()).await?;
    for size in [1, 0x7FFF_FFFF, 2, 0x100_0000, 1] {
        peer.cut(size).await?;
        peer.is_alive().await?;
    }
    let mut chance = arena.chance();
    for _ in 0..2_000 * arena.scale {
        let size = 1 + chance.below(100_000);
        peer.cut(u32::try_from(size).unwrap_or(1)).await?;
    }
    peer.is_alive().await?;
    // A publish in pieces of one byte.
    let mut peer = Peer::publishing(&arena, 3, "pieces").await?;
    peer.cut(1).await?;
    for (kind, time, body) in arena.clip.messages().take(20) {
        peer.media(kind, time, body).await?;
    }
    peer.is_alive().await?;
    Ok("4 closed, the rest works".to_owned())
}
