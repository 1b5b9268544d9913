//! 20,000 chunk streams on one connection: each is something to remember.

use rillcast_bench::Result;
use rillcast_ingest_rtmp::proto::message::kind;

use crate::arena::{Arena, PROMPT};
use crate::rtmp::{Peer, header};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut closed = 0;
    for publishing in [false, true] {
        for order in 0..2 * arena.scale {
            let mut peer = match publishing {
                true => Peer::publishing(&arena, 1, "streams").await?,
                false => Peer::connected(&arena, 2, "live").await?,
            };
            let mut bytes = Vec::new();
            for id in 0..20_000 {
                let id = if order % 2 == 0 { 3 + id } else { 65_599 - id };
                // Whole at once: it costs nothing but the memory of its header.
                bytes.extend(header(id, 1, kind::ACKNOWLEDGEMENT, 0));
                bytes.push(0);
            }
            let _ = peer.write(&bytes).await;
            peer.gone_within(PROMPT).await?;
            closed += 1;
        }
    }
    Ok(format!("{closed} closed"))
}
