//! 1,000 idle connections, before and after a request: all are taken, none is
//! kept longer than the time-out says.

use rillcast_bench::{Error, Result};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::arena::{Arena, SLACK, closed_within, ensure};
use crate::http::exchange_on;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let limit = arena.bounds.http_idle + SLACK;
    let mut idle = JoinSet::new();
    for index in 0..1_000 {
        let host = 1 + u8::try_from(index % 20).unwrap_or(0);
        let mut socket = arena.http(host).await?;
        let least = arena.bounds.http_head.mul_f64(0.9);
        idle.spawn(async move {
            if index % 10 == 0 {
                let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
                let said = exchange_on(&mut socket, request).await?;
                ensure!(said.statuses() == [200], "{:?}", said.statuses());
            }
            let begun = Instant::now();
            closed_within(&mut socket, limit).await?;
            Ok::<_, Error>(begun.elapsed() >= least.saturating_sub(SLACK))
        });
    }
    // From one address there may be so many.
    let most = arena.bounds.http_per_address;
    let mut crowd = Vec::new();
    for _ in 0..most + 20 {
        crowd.push(arena.http(250).await?);
    }
    let mut refused = 0;
    for mut socket in crowd.drain(..).rev().take(10) {
        let said = exchange_on(&mut socket, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        refused += usize::from(said.statuses() == [503]);
    }
    ensure!(
        arena.crowded || refused > 0,
        "{} connections of an address were not too many",
        most + 20
    );
    let mut count = 0;
    while let Some(ended) = idle.join_next().await {
        ensure!(
            ended.map_err(Error::of("a connection"))??,
            "it was closed too early"
        );
        count += 1;
    }
    Ok(format!("{count} closed by the time-out"))
}
