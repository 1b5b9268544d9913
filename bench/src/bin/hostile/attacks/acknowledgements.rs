//! Acknowledgements of what was never sent, windows of nothing, and pings by
//! the thousand: answered as long as the answers are read.

use bytes::Bytes;
use rillcast_bench::Result;
use rillcast_ingest_rtmp::proto::message::{Control, kind};

use crate::arena::{Arena, PROMPT};
use crate::rtmp::Peer;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let mut peer = Peer::connected(&arena, 1, &arena.app()).await?;
    for round in 0..500 * arena.scale {
        let number = match round % 4 {
            0 => 0,
            1 => 1,
            2 => u32::MAX,
            _ => chance.word(),
        };
        peer.control(&Control::Acknowledgement(number)).await?;
        peer.control(&Control::WindowAckSize(number)).await?;
        peer.control(&Control::SetPeerBandwidth(number)).await?;
        let event = Bytes::from(chance.bytes(6));
        peer.send(2, kind::USER_CONTROL, 0, 0, event).await?;
        // Too short, of every kind.
        let kind = chance.byte() % 7;
        peer.send(2, kind, 0, 0, Bytes::from_static(&[0, 0, 1]))
            .await?;
        if round % 20 == 0 {
            peer.is_alive().await?;
        }
    }
    peer.is_alive().await?;
    drop(peer);
    // Whoever asks and never reads is closed once enough answers wait.
    let mut peer = Peer::connected(&arena, 2, &arena.app()).await?;
    let mut sent = 0;
    while sent < 2_000_000 && peer.control(&Control::PingRequest(sent)).await.is_ok() {
        sent += 1;
    }
    crate::arena::ensure!(sent < 2_000_000, "{sent} pings were not too many");
    peer.gone_within(PROMPT).await?;
    Ok(format!("closed after {sent} unread pings"))
}
