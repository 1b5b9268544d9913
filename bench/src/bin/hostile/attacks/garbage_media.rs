//! FLV bodies of noise, in publishes that look good otherwise.

use bytes::Bytes;
use rillcast_bench::Result;
use rillcast_ingest_rtmp::proto::message::kind;

use crate::arena::Arena;
use crate::rtmp::Peer;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    // First bytes that a reader knows: AVC, AAC, the enhanced ones, commands.
    let firsts = [
        0x17, 0x27, 0xAF, 0x80, 0x90, 0x91, 0x92, 0x93, 0x9F, 0x57, 0x2F, 0x00, 0xFF,
    ];
    let (mut sent, mut ended) = (0, 0);
    for round in 0..12 * arena.scale {
        let mut peer = Peer::publishing(&arena, 1, &format!("garbage-{round}")).await?;
        // Some begin with real configurations.
        for (kind, time, body) in arena.clip.messages().take(round % 2 * 6) {
            peer.media(kind, time, body).await?;
        }
        let mut time = 0;
        for _ in 0..200 {
            let length = chance.below(600);
            let mut body = chance.bytes(length);
            if let Some(first) = body.first_mut()
                && chance.below(4) > 0
            {
                *first = chance.of(&firsts).copied().unwrap_or_default();
            }
            if let Some(second) = body.get_mut(1)
                && chance.below(2) > 0
            {
                *second = chance.byte() % 3;
            }
            let kinds = [
                kind::AUDIO,
                kind::VIDEO,
                kind::DATA_AMF0,
                kind::AGGREGATE,
                kind::DATA_AMF3,
            ];
            let kind = chance.of(&kinds).copied().unwrap_or_default();
            time += 20;
            // A codec that is not carried ends the publish.
            if peer.media(kind, time, Bytes::from(body)).await.is_err() {
                break;
            }
            sent += 1;
        }
        ended += usize::from(peer.is_alive().await.is_err());
    }
    Ok(format!("{sent} bodies, {ended} publishes ended"))
}
