//! Requests that are held until a segment is there, by the thousand, from
//! clients that leave: nothing of them may wait on.

use std::time::Duration;

use rillcast_bench::{Error, Result};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::arena::Arena;
use crate::attacks::live::Live;
use crate::rtmp::write;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let live = Live::find(&arena, 4).await?;
    let mut chance = arena.chance();
    let mut polls = JoinSet::new();
    let count = 1_000;
    for index in 0..count {
        let (arena, reset) = (arena.clone(), chance.below(2) == 0);
        let wait = Duration::from_millis(u64::from(chance.byte()));
        let path = live.ahead(1 + index % 3);
        polls.spawn(async move {
            let host = 1 + u8::try_from(index % 10).unwrap_or(0);
            let mut socket = arena.http(host).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            write(&mut socket, request.as_bytes()).await?;
            sleep(wait).await;
            if reset {
                let _ = socket.set_zero_linger();
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = polls.join_next().await {
        ended.map_err(Error::of("a poll"))??;
    }
    Ok(format!("{count} abandoned"))
}
