//! AMF that nests 100,000 deep: a reader that follows it has no stack left.

use bytes::Bytes;
use rillcast_bench::Result;
use rillcast_ingest_rtmp::proto::message::{COMMAND_CHUNK_STREAM, kind};

use crate::arena::{Arena, PROMPT};
use crate::rtmp::{Peer, body};

/// How deep.
const DEPTH: usize = 100_000;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    // Strict arrays of one, objects and ECMA arrays with an unnamed property.
    let levels: [&[u8]; 3] = [
        &[0x0A, 0, 0, 0, 1],
        &[0x03, 0, 0],
        &[0x08, 0, 0, 0, 1, 0, 0],
    ];
    let mut closed = 0;
    for level in levels {
        // The whole, which is longer than a command may be, and as much as is not.
        for depth in [DEPTH, (60 << 10) / level.len()] {
            let nested = level.repeat(depth);
            let command = [&body("connect", 1.0, Vec::new()), &nested[..]].concat();
            let data = [&[2, 0, 10], &b"onMetaData"[..], &nested].concat();
            for (kind, body) in [
                (kind::COMMAND_AMF0, &command),
                (kind::COMMAND_AMF3, &command),
            ] {
                let mut peer = Peer::shaken(&arena, 1).await?;
                let _ = peer.cut(60_000).await;
                let body = Bytes::copy_from_slice(body);
                let _ = peer.send(COMMAND_CHUNK_STREAM, kind, 0, 0, body).await;
                peer.gone_within(PROMPT).await?;
                closed += 1;
            }
            for kind in [kind::DATA_AMF0, kind::DATA_AMF3] {
                let mut peer = Peer::publishing(&arena, 2, "deep").await?;
                let _ = peer.media(kind, 0, Bytes::copy_from_slice(&data)).await;
                // Metadata that is no use ends nothing; a message that is too
                // long does.
                if data.len() > 64 << 10 {
                    peer.gone_within(PROMPT).await?;
                    closed += 1;
                } else {
                    peer.is_alive().await?;
                }
            }
        }
    }
    Ok(format!("{closed} closed"))
}
