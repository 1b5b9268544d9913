//! Connections that end by reset, or in one direction only, in every state.

use rillcast_bench::Result;
use rillcast_ingest_rtmp::proto::message::kind;
use tokio::io::AsyncWriteExt;

use crate::arena::{Arena, PROMPT};
use crate::rtmp::{Peer, header};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let rounds = 20 * arena.scale;
    for round in 0..rounds {
        let host = 1 + u8::try_from(round % 3).unwrap_or(0);
        let name = format!("half-{}", round % 5);
        for reset in [true, false] {
            for state in 0..4 {
                let mut peer = match state {
                    0 => Peer::shaken(&arena, host).await?,
                    1 => Peer::connected(&arena, host, &arena.app()).await?,
                    _ => {
                        let mut peer = Peer::connected(&arena, host, &arena.app()).await?;
                        // The key may be held by the one before for a moment.
                        peer.publish(&format!("{name}-{state}-{reset}-{round}"))
                            .await?;
                        peer
                    }
                };
                if state == 3 {
                    // In the midst of a picture.
                    let mut bytes = header(6, 50_000, kind::VIDEO, peer.stream);
                    bytes.extend_from_slice(&[0x17; 1_000]);
                    peer.write(&bytes).await?;
                }
                if reset {
                    let _ = peer.socket.set_zero_linger();
                } else {
                    let _ = peer.socket.shutdown().await;
                    peer.gone_within(PROMPT).await?;
                }
            }
        }
    }
    Ok(format!("{} ends", rounds * 8))
}
