//! Noise instead of RTMP.

use rillcast_bench::{Error, Result};
use tokio::task::JoinSet;

use crate::arena::{Arena, PROMPT, SLACK, closed_within, ensure};
use crate::rtmp::{Peer, hello, write};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let mut noises = JoinSet::new();
    for round in 0..30 * arena.scale {
        let length = 1 + chance.below(32 << 10);
        noises.spawn(one(arena.clone(), round, chance.bytes(length)));
    }
    let mut closed = 0;
    while let Some(ended) = noises.join_next().await {
        ended.map_err(Error::of("a noise"))??;
        closed += 1;
    }
    Ok(format!("{closed} closed"))
}

async fn one(arena: Arena, round: usize, mut noise: Vec<u8>) -> Result {
    match round % 3 {
        // Not even the version is right: not one byte is answered.
        0 => {
            if let Some(first) = noise.first_mut() {
                *first |= 0x80;
            }
            let mut socket = arena.rtmp(1).await?;
            // It may be closed before all is written.
            let _ = write(&mut socket, &noise).await;
            let said = closed_within(&mut socket, PROMPT).await?;
            ensure!(
                said.is_empty(),
                "noise was answered with {} bytes",
                said.len()
            );
        }
        // A handshake of noise, and noise for chunks.
        1 => {
            let mut socket = arena.rtmp(2).await?;
            let mut bytes = hello();
            bytes.append(&mut noise);
            let _ = write(&mut socket, &bytes).await;
            closed_within(&mut socket, arena.bounds.handshake + SLACK).await?;
        }
        // A good handshake, and noise for chunks.
        _ => {
            let mut peer = Peer::shaken(&arena, 3).await?;
            let _ = peer.write(&noise).await;
            peer.gone_within(arena.bounds.handshake + SLACK).await?;
        }
    }
    Ok(())
}
