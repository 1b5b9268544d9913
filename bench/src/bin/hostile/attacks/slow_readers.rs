//! Clients that ask for segments without end and read nothing: dropped after
//! the write time-out, with all that they made the server hold.

use rillcast_bench::{Error, Result};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::arena::{Arena, SLACK, ensure};
use crate::attacks::live::Live;
use crate::http::get;

/// What the server may grow by, in bytes: every reader shares the segments.
const GROWTH: u64 = 64 << 20;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let live = Live::find(&arena, 0).await?;
    let before = arena.memory();
    let mut readers = JoinSet::new();
    for index in 0..40 {
        let (arena, path) = (arena.clone(), live.segment());
        readers.spawn(async move {
            let host = 1 + u8::try_from(index % 4).unwrap_or(0);
            let mut socket = arena.http_narrow(host).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(200);
            let limit = arena.bounds.http_write + arena.bounds.http_idle + SLACK;
            let begun = Instant::now();
            // What the server does not read any more is not taken either.
            let _ = timeout(
                arena.bounds.http_write,
                socket.write_all(request.as_bytes()),
            )
            .await;
            // A byte now shows whether it is closed: a reset answers it.
            while timeout(SLACK, socket.write_all(b"\r\n"))
                .await
                .is_ok_and(|it| it.is_ok())
            {
                sleep(std::time::Duration::from_millis(200)).await;
                ensure!(
                    begun.elapsed() < limit,
                    "a reader that reads nothing was kept"
                );
            }
            Ok::<_, Error>(())
        });
    }
    sleep(arena.bounds.http_write / 2).await;
    let grown = arena.memory().saturating_sub(before);
    ensure!(
        grown < GROWTH,
        "slow readers made the server {grown} bytes larger"
    );
    let mut count = 0;
    while let Some(ended) = readers.join_next().await {
        ended.map_err(Error::of("a reader"))??;
        count += 1;
    }
    let metrics = get(&arena, 1, "/healthz").await?;
    ensure!(
        metrics.status == 200,
        "the server answers {}",
        metrics.status
    );
    Ok(format!("{count} dropped"))
}
