//! From the very address of the good ones: its places are all taken, noise is
//! sent, a good key is asked for. Those who are connected stay.

use std::net::Ipv4Addr;

use rillcast_bench::{Error, Result};
use tokio::task::JoinSet;

use crate::arena::{Arena, GOOD, GOOD_APP, PROMPT, SLACK, closed_within, connect, ensure};
use crate::rtmp::{Peer, write};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let here = Ipv4Addr::LOCALHOST;
    // Noise and a wish for a good key.
    for index in 0..10 {
        let mut socket = connect(here, arena.rtmp, None).await?;
        let _ = write(&mut socket, &chance.bytes(2_000)).await;
        closed_within(&mut socket, arena.bounds.handshake + SLACK).await?;
        let mut peer = Peer::shake(connect(here, arena.rtmp, None).await?).await?;
        peer.connect(GOOD_APP).await?;
        let said = peer.publish(&format!("bench-{index}")).await?;
        ensure!(
            said == "NetStream.Publish.BadName",
            "it was answered {said}"
        );
        peer.gone_within(PROMPT).await?;
    }
    let mut idle = JoinSet::new();
    let limit = arena.bounds.handshake + SLACK;
    let wanted = arena.bounds.per_address;
    for _ in 0..wanted {
        let mut socket = connect(here, arena.rtmp, None).await?;
        idle.spawn(async move {
            let begun = tokio::time::Instant::now();
            closed_within(&mut socket, limit).await?;
            Ok::<_, Error>(begun.elapsed())
        });
    }
    let mut at_once = 0;
    while let Some(ended) = idle.join_next().await {
        let took = ended.map_err(Error::of("a connection"))??;
        at_once += usize::from(took < arena.bounds.handshake / 2);
    }
    ensure!(
        at_once >= GOOD,
        "{at_once} of {wanted} were too many beside {GOOD}"
    );
    Ok(format!("{at_once} of {wanted} refused"))
}
