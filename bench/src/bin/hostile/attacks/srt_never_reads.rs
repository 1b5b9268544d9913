//! Connections of which nobody reads what comes back: what they are asked for again and
//! told is thrown away by the system, and the server does not wait for them.

use std::time::Duration;

use rillcast_bench::{Error, Result};
use tokio::task::JoinSet;

use crate::arena::{Arena, ensure};
use crate::srt::Caller;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let arena = arena.clone();
        callers.spawn(async move {
            let caller = Caller::open(&arena, 1, &format!("deaf-{number}")).await?;
            let payload = [0x47; 188];
            for round in 0..PACKETS {
                // Each third is missing: it is asked for again and again.
                let number = round + round / 2;
                caller.say(&caller.data(number, &payload)).await?;
                tokio::time::sleep(PAUSE).await;
            }
            let waiting = caller.forget().await?;
            ensure!(waiting > 0, "nothing came back");
            caller.is_alive().await?;
            caller.leave().await?;
            Ok::<_, Error>(waiting)
        });
    }
    let mut waiting = 0;
    while let Some(ended) = callers.join_next().await {
        waiting += ended.map_err(Error::of("a caller"))??;
    }
    Ok(format!("{waiting} datagrams unread of {CALLERS}"))
}

const CALLERS: usize = 20;
const PACKETS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(5);
