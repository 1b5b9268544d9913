//! Everybody wants the key of a good stream. It stays its publisher's.

use rillcast_bench::{Error, Result};
use tokio::task::JoinSet;

use crate::arena::{Arena, GOOD_APP, PROMPT, ensure};
use crate::rtmp::Peer;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut refused = 0;
    for _ in 0..2 * arena.scale {
        let mut storm = JoinSet::new();
        for index in 0..80 {
            let arena = arena.clone();
            storm.spawn(async move {
                let host = 1 + u8::try_from(index % 5).unwrap_or(0);
                let mut peer = Peer::connected(&arena, host, GOOD_APP).await?;
                let said = peer.publish("bench-3").await?;
                ensure!(
                    said == "NetStream.Publish.BadName",
                    "it was answered {said}"
                );
                peer.gone_within(PROMPT).await
            });
        }
        while let Some(ended) = storm.join_next().await {
            ended.map_err(Error::of("a publisher"))??;
            refused += 1;
        }
    }
    Ok(format!("{refused} refused"))
}
