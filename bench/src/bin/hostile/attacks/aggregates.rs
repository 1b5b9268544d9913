//! Aggregate messages that lie about what they hold, and aggregates in them.

use bytes::{BufMut, Bytes, BytesMut};
use rillcast_bench::Result;
use rillcast_ingest_rtmp::proto::message::kind;

use crate::arena::Arena;
use crate::rtmp::Peer;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let mut peer = Peer::publishing(&arena, 1, "aggregate").await?;
    let mut sent = 0;
    for round in 0..200 * arena.scale {
        let mut body = BytesMut::new();
        for _ in 0..chance.below(20) {
            let kinds = [
                kind::AUDIO,
                kind::VIDEO,
                kind::AGGREGATE,
                kind::COMMAND_AMF0,
                1,
                2,
                0,
                255,
            ];
            body.put_u8(chance.of(&kinds).copied().unwrap_or_default());
            let length = chance.below(300);
            let claimed = match chance.below(4) {
                0 => chance.word() & 0xFF_FFFF,
                1 => 0xFF_FFFF,
                _ => u32::try_from(length).unwrap_or(0),
            };
            let [_, claimed @ ..] = claimed.to_be_bytes();
            body.extend_from_slice(&claimed);
            body.put_u32(chance.word());
            body.extend_from_slice(&[0; 3]);
            body.extend_from_slice(&chance.bytes(length));
            body.put_u32(chance.word());
        }
        if round % 3 == 0 {
            body.truncate(chance.below(body.len()));
        }
        if peer
            .media(kind::AGGREGATE, 0, Bytes::from(body))
            .await
            .is_err()
        {
            peer = Peer::publishing(&arena, 1, &format!("aggregate-{round}")).await?;
        }
        sent += 1;
    }
    Ok(format!("{sent} aggregates"))
}
