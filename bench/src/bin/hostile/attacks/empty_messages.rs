//! Messages without a byte, of a kind that nobody knows: each byte on the wire
//! is one more, and nothing comes of any. The connection must be ended.

use std::time::Duration;

use rillcast_bench::{Error, Result};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::arena::{Arena, ensure};
use crate::rtmp::{Peer, basic, header};

/// The specification has no such message.
const UNKNOWN: u8 = 0x63;

/// Connections at once, each from an address of its own.
const CONNECTIONS: u8 = 6;

/// The server may not listen for longer: more than a time-out of its own, none of
/// which is for peers that send without end.
const LONGEST: Duration = Duration::from_secs(20);

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut floods = JoinSet::new();
    for host in 1..=CONNECTIONS {
        let arena = arena.clone();
        floods.spawn(async move {
            let mut peer = match host % 2 {
                0 => Peer::connected(&arena, host, &arena.app()).await?,
                _ => Peer::publishing(&arena, host, "empty").await?,
            };
            // A chunk of type 3 repeats the header: a whole message in a byte.
            let mut bytes = header(3, 0, UNKNOWN, 0);
            bytes.resize(64 << 10, basic(3, 3).first().copied().unwrap_or_default());
            flood(&mut peer, &bytes).await
        });
    }
    let mut sent = 0;
    while let Some(ended) = floods.join_next().await {
        sent += ended.map_err(Error::of("a flood"))??;
    }
    Ok(format!("{CONNECTIONS} ended, {} KB taken", sent / 1_000))
}

/// Writes the same without end; how much the server took before it closed.
pub(super) async fn flood(peer: &mut Peer, bytes: &[u8]) -> Result<usize> {
    let deadline = Instant::now() + LONGEST;
    let mut sent = 0;
    loop {
        // Each write could be done at once, and the deadline is only for those that wait.
        ensure!(
            Instant::now() < deadline,
            "{sent} bytes were taken and the connection was not ended"
        );
        match timeout_at(deadline, peer.socket.write_all(bytes)).await {
            Ok(Ok(())) => sent += bytes.len(),
            Ok(Err(_)) => return Ok(sent),
            Err(_) => {
                return Err(Error::new(format!(
                    "{sent} bytes were taken, no more, and the connection was not ended"
                )));
            }
        }
    }
}
