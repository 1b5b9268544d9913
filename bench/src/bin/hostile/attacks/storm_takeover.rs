//! A key that whoever comes may take over, and many who come: each publish
//! ends the one before it, and nothing else.

use rillcast_bench::{Error, Result};
use tokio::task::JoinSet;

use crate::arena::{Arena, ensure};
use crate::rtmp::{Peer, STARTED};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut storm = JoinSet::new();
    for index in 0..40 {
        let arena = arena.clone();
        storm.spawn(async move {
            let host = 1 + u8::try_from(index % 5).unwrap_or(0);
            for _ in 0..3 * arena.scale {
                let mut peer = Peer::connected(&arena, host, &arena.app()).await?;
                // The setting of `suite.rs` is of this name.
                let said = peer.publish("contested").await?;
                ensure!(said == STARTED, "a takeover was answered {said}");
                for (kind, time, body) in arena.clip.messages().take(10) {
                    // Until the next one comes.
                    if peer.media(kind, time, body).await.is_err() {
                        break;
                    }
                }
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = storm.join_next().await {
        ended.map_err(Error::of("a publisher"))??;
    }
    Ok(format!("{} takeovers", 120 * arena.scale))
}
