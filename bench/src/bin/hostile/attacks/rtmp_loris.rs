//! A `connect` byte by byte, and chunks that never end: the time to publish
//! runs from the connection on, whatever arrives.

use std::time::Duration;

use rillcast_bench::{Error, Result};
use rillcast_ingest_rtmp::proto::message::kind;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::arena::{Arena, SLACK, ensure};
use crate::rtmp::{Peer, application, body, header};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut loris = JoinSet::new();
    for index in 0..40 {
        let arena = arena.clone();
        loris.spawn(async move {
            let host = 1 + u8::try_from(index % 4).unwrap_or(0);
            let begun = Instant::now();
            let mut peer = Peer::shaken(&arena, host).await?;
            let command = body("connect", 1.0, vec![application("live")]);
            let mut bytes = header(3, 60_000, kind::COMMAND_AMF0, 0);
            bytes.extend_from_slice(&command);
            let limit = arena.bounds.handshake + SLACK;
            for byte in bytes.into_iter().cycle() {
                sleep(Duration::from_millis(60)).await;
                if peer.socket.write_all(&[byte]).await.is_err() {
                    break;
                }
                ensure!(begun.elapsed() < limit, "it was not closed");
            }
            let least = arena.bounds.handshake.mul_f64(0.9);
            ensure!(begun.elapsed() > least, "it was closed too early");
            Ok::<_, Error>(())
        });
    }
    let mut count = 0;
    while let Some(ended) = loris.join_next().await {
        ended.map_err(Error::of("a loris"))??;
        count += 1;
    }
    Ok(format!("{count} closed by the time-out"))
}
