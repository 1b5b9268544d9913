//! Handshakes that end at every length, in an orderly way and not.

use rillcast_bench::Result;
use tokio::io::AsyncWriteExt;

use crate::arena::{Arena, PROMPT, closed_within};
use crate::rtmp::{PACKET, hello, write};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let mut whole = hello();
    whole.extend_from_slice(&chance.bytes(PACKET));
    // Every length where something changes, and a step between.
    let edges = [
        0,
        1,
        2,
        8,
        9,
        10,
        PACKET,
        PACKET + 1,
        PACKET + 2,
        2 * PACKET,
        2 * PACKET + 1,
    ];
    let step = 97 / arena.scale.clamp(1, 97);
    let lengths = edges.into_iter().chain((0..whole.len()).step_by(step));
    let mut count = 0;
    for length in lengths {
        let mut socket = arena.rtmp(1).await?;
        write(&mut socket, whole.get(..length).unwrap_or(&whole)).await?;
        count += 1;
        if chance.below(3) == 0 {
            // A reset.
            let _ = socket.set_zero_linger();
            continue;
        }
        let _ = socket.shutdown().await;
        closed_within(&mut socket, PROMPT).await?;
    }
    Ok(format!("{count} lengths"))
}
