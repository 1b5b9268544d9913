//! More connections than an address may have: those beyond are closed at once,
//! the others by the time-out, and another address does not feel it.

use rillcast_bench::{Error, Result};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::arena::{Arena, SLACK, closed_within, ensure};
use crate::rtmp::Peer;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let limit = arena.bounds.handshake + SLACK;
    let most = arena.bounds.per_address;
    let wanted = most + 40;
    let mut idle = JoinSet::new();
    for _ in 0..wanted {
        let mut socket = arena.rtmp(1).await?;
        idle.spawn(async move {
            let begun = Instant::now();
            closed_within(&mut socket, limit).await?;
            Ok::<_, Error>(begun.elapsed())
        });
    }
    // Its neighbour is served meanwhile.
    let mut neighbour = Peer::connected(&arena, 2, &arena.app()).await?;
    neighbour.is_alive().await?;
    let (mut at_once, mut waited) = (0, 0);
    while let Some(ended) = idle.join_next().await {
        let took = ended.map_err(Error::of("a connection"))??;
        if took < arena.bounds.handshake / 2 {
            at_once += 1;
        } else {
            waited += 1;
        }
    }
    // A crowd may take so long to connect that the first have gone by then.
    ensure!(
        arena.crowded || waited <= most && at_once >= wanted - most,
        "{at_once} of {wanted} were closed at once, {most} may be open"
    );
    ensure!(waited > 0, "nothing could be opened at all");
    Ok(format!(
        "{at_once} closed at once, {waited} by the time-out"
    ))
}
