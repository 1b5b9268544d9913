//! Messages begun on many chunk streams and taken back by Abort: as many as
//! are allowed for ever, one more never.

use bytes::Bytes;
use rillcast_bench::Result;
use rillcast_ingest_rtmp::proto::message::{Control, kind};

use crate::arena::{Arena, PROMPT};
use crate::rtmp::{Peer, basic, header};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let mut peer = Peer::connected(&arena, 1, &arena.app()).await?;
    peer.cut(128).await?;
    let mut rounds = 0;
    for _ in 0..100 * arena.scale {
        // `rtmp.max_partial_messages` is 16, and a command needs one itself.
        let mut open: Vec<u32> = (10..10 + 12).collect();
        let mut bytes = Vec::new();
        for id in &open {
            bytes.extend(header(*id, 40_000, kind::DATA_AMF0, 0));
            bytes.extend(chance.bytes(128));
        }
        // Interleaved, as long as none is whole.
        for _ in 0..24 {
            if let Some(id) = chance.of(&open) {
                bytes.extend(basic(3, *id));
                bytes.extend(chance.bytes(128));
            }
        }
        peer.write(&bytes).await?;
        while !open.is_empty() {
            let id = open.swap_remove(chance.below(open.len()));
            peer.control(&Control::Abort(id)).await?;
            // Twice, and of one that never was.
            peer.control(&Control::Abort(id)).await?;
            peer.control(&Control::Abort(chance.word())).await?;
        }
        peer.is_alive().await?;
        rounds += 1;
    }
    drop(peer);
    // Without Abort there is an end.
    let mut peer = Peer::connected(&arena, 2, &arena.app()).await?;
    peer.cut(128).await?;
    let mut bytes = Vec::new();
    for id in 10..40 {
        bytes.extend(header(id, 40_000, kind::DATA_AMF0, 0));
        bytes.extend(chance.bytes(128));
    }
    let _ = peer.write(&bytes).await;
    peer.gone_within(PROMPT).await?;
    // A header in the midst of a message: the message is given up.
    let mut peer = Peer::connected(&arena, 3, &arena.app()).await?;
    peer.cut(128).await?;
    for _ in 0..1_000 {
        let mut bytes = header(10, 60_000, kind::DATA_AMF0, 0);
        bytes.extend(chance.bytes(128));
        peer.write(&bytes).await?;
    }
    peer.send(10, kind::DATA_AMF0, 0, 0, Bytes::from_static(b"end"))
        .await?;
    peer.is_alive().await?;
    Ok(format!("{rounds} rounds taken back, 1 closed"))
}
