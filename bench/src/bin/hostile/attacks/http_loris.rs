//! Slow-loris over HTTP: heads and bodies that arrive byte by byte. The time
//! for a head runs from its beginning, whatever arrives.

use std::time::Duration;

use rillcast_bench::{Error, Result};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::arena::{Arena, SLACK, ensure};
use crate::rtmp::write;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let heads = [
        // A head without end.
        "GET / HTTP/1.1\r\nHost: a\r\n",
        // Not even a request line.
        "GET /",
        "",
        "\r\n",
        // Bodies that are announced, for routes that want none and for none.
        "POST /api/v1/version HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
        "DELETE /api/v1/streams/no/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
        "POST /hls/a/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFF\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n",
    ];
    let mut loris = JoinSet::new();
    for round in 0..10 {
        for head in heads {
            loris.spawn(one(arena.clone(), head, 1 + round % 5));
        }
    }
    let mut count = 0;
    while let Some(ended) = loris.join_next().await {
        ended.map_err(Error::of("a loris"))??;
        count += 1;
    }
    Ok(format!("{count} closed"))
}

async fn one(arena: Arena, head: &'static str, host: u8) -> Result {
    let mut socket = arena.http(host).await?;
    write(&mut socket, head.as_bytes()).await?;
    let begun = Instant::now();
    let limit = arena.bounds.http_idle + SLACK;
    let mut buffer = [0; 4_096];
    loop {
        sleep(Duration::from_millis(100)).await;
        if write(&mut socket, b"a").await.is_err() {
            return Ok(());
        }
        match timeout(Duration::from_millis(1), socket.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return Ok(()),
            _ => {
                ensure!(begun.elapsed() < limit, "{head:?} was not closed");
            }
        }
    }
}
