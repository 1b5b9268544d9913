//! AMF that claims what is not there: strings and arrays of 2^32, references in
//! a circle, objects without end, and every marker that there is.

use bytes::Bytes;
use rillcast_bench::{Error, Result};
use rillcast_ingest_rtmp::proto::message::{COMMAND_CHUNK_STREAM, kind};

use crate::arena::{Arena, PROMPT, ensure};
use crate::rtmp::{Peer, body};

/// What the server may grow by meanwhile, in bytes: far less than any one claim.
const GROWTH: u64 = 64 << 20;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let most = [0xFF; 4];
    let mut claims: Vec<Vec<u8>> = vec![
        [&[0x0C], &most[..], b"long string"].concat(),
        [&[0x0F], &most[..], b"long xml"].concat(),
        [&[0x08], &most[..], &[0, 1, b'a', 5, 0, 0, 9]].concat(),
        [&[0x08], &most[..]].concat(),
        [&[0x0A], &most[..]].concat(),
        [&[0x0A], &most[..], &[5; 64]].concat(),
        // An object whose only property refers to the object.
        [&[3, 0, 1, b'a', 7, 0, 0], &[0, 0, 9][..]].concat(),
        vec![0x0A, 0, 0, 0, 2, 7, 0, 0, 7, 0, 1],
        // Properties without end.
        [&[3], &[0, 1, b'a', 5].repeat(10_000)[..]].concat(),
        // A class name that is longer than the message.
        vec![0x10, 0xFF, 0xFF, b'c'],
        vec![2, 0xFF, 0xFF, b's'],
        vec![0x0B, 0, 0],
        vec![0x11; 1_000],
        [&[0x0A, 0, 0, 0xFF, 0xFF], &[5; 60_000][..]].concat(),
    ];
    for marker in 0..=u8::MAX {
        let mut claim = vec![marker];
        claim.extend(chance.bytes(24));
        claims.push(claim);
    }
    let before = arena.memory();
    let mut peer = Peer::connected(&arena, 1, &arena.app()).await?;
    let (mut alive, mut closed) = (0, 0);
    for claim in &claims {
        let bytes = [&body("nonsense", 0.0, Vec::new()), &claim[..]].concat();
        let _ = peer
            .send(
                COMMAND_CHUNK_STREAM,
                kind::COMMAND_AMF0,
                0,
                0,
                Bytes::from(bytes),
            )
            .await;
        match peer.is_alive().await {
            Ok(()) => alive += 1,
            Err(_) => {
                peer.gone_within(PROMPT)
                    .await
                    .map_err(Error::of("neither alive nor closed"))?;
                closed += 1;
                peer = Peer::connected(&arena, 1, &arena.app()).await?;
            }
        }
    }
    let grown = arena.memory().saturating_sub(before);
    ensure!(
        grown < GROWTH,
        "claims made the server {grown} bytes larger"
    );
    Ok(format!("{alive} unheard, {closed} closed"))
}
