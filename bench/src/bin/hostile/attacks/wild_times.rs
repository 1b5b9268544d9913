//! Real pictures and sound with timestamps that jump, turn back and wrap.

use rillcast_bench::Result;

use crate::arena::Arena;
use crate::rtmp::Peer;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let mut sent = 0;
    for round in 0..5 {
        let mut peer = Peer::publishing(&arena, 1, &format!("wild-{round}")).await?;
        for (kind, time, body) in arena.clip.messages().take(300) {
            let time = match round {
                0 => chance.word(),
                1 => u32::MAX - time,
                2 => time.wrapping_mul(1_000_003),
                3 => 0,
                // Around the widths at which senders wrap.
                _ => (0xFF_FFF0_u32 << (8 * (sent % 2))).wrapping_add(time),
            };
            peer.media(kind, time, body).await?;
            sent += 1;
        }
        peer.is_alive().await?;
    }
    Ok(format!("{sent} messages"))
}
