//! Handshakes that do not come to an end: byte by byte, and a C1 that goes on
//! for ever. The time-out ends both, and not before.

use std::time::Duration;

use rillcast_bench::{Error, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::arena::{Arena, SLACK, ensure};
use crate::rtmp::hello;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut tasks = JoinSet::new();
    for host in 0..20 * arena.scale.min(10) {
        let host = u8::try_from(host % 20).unwrap_or(0) + 1;
        tasks.spawn(drip(arena.clone(), host));
        tasks.spawn(endless(arena.clone(), host));
    }
    let mut count = 0;
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(Error::of("a drip"))??;
        count += 1;
    }
    Ok(format!("{count} ended by the time-out"))
}

/// From one byte to the next.
const EACH: Duration = Duration::from_millis(50);

/// A byte now and then.
async fn drip(arena: Arena, host: u8) -> Result {
    let mut socket = arena.rtmp(host).await?;
    let begun = Instant::now();
    let mut buffer = [0; 4_096];
    for byte in hello().into_iter().cycle() {
        if socket.write_all(&[byte]).await.is_err() {
            break;
        }
        // S0 and S1 may come at once.
        if let Ok(Ok(0) | Err(_)) = timeout(EACH, socket.read(&mut buffer)).await {
            break;
        }
        let limit = arena.bounds.handshake + SLACK;
        ensure!(begun.elapsed() < limit, "a drip was not closed");
    }
    let least = arena.bounds.handshake.mul_f64(0.9);
    ensure!(begun.elapsed() > least, "a drip was closed too early");
    Ok(())
}

/// Zeros behind C1, as many as are taken.
async fn endless(arena: Arena, host: u8) -> Result {
    let socket = arena.rtmp(host).await?;
    let (mut reader, mut writer) = socket.into_split();
    let begun = Instant::now();
    let reading = tokio::spawn(async move {
        let mut buffer = [0; 4_096];
        while let Ok(1..) = reader.read(&mut buffer).await {}
    });
    let _ = writer.write_all(&hello()).await;
    let zeros = [0; 1_024];
    let limit = arena.bounds.handshake + SLACK;
    while begun.elapsed() < limit {
        match timeout(SLACK, writer.write_all(&zeros)).await {
            Ok(Ok(())) => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => {
                reading.abort();
                return Ok(());
            }
        }
    }
    Err(Error::new("a C1 without end was not closed"))
}
