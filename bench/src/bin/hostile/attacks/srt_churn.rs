//! Connections that come and go as fast as they can: by a word, by the next call of the
//! same socket, and with questions that are asked again and again.

use rillcast_bench::{Error, Result};
use tokio::task::JoinSet;

use crate::arena::{Arena, PROMPT, ensure};
use crate::srt::{Asking, Caller, Verdict, control, kind, say};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut tasks = JoinSet::new();
    for host in 1..=HOSTS {
        tasks.spawn(from(arena.clone(), host));
    }
    let mut count = 0;
    while let Some(ended) = tasks.join_next().await {
        count += ended.map_err(Error::of("a caller"))??;
    }
    Ok(format!("{count} connections"))
}

async fn from(arena: Arena, host: u8) -> Result<usize> {
    for round in 0..ROUNDS {
        Caller::open(&arena, host, &format!("churn-{}", round % 3))
            .await?
            .leave()
            .await?;
        if round % 5 > 0 {
            continue;
        }
        // Asked many times at once, there is one connection.
        let stream_id = format!(
            "publish:{}/again-{host}-{round}-{}",
            arena.app(),
            arena.seed
        );
        let asking = Asking::start(&arena, host, &stream_id, None).await?;
        let mut own = None;
        for _ in 0..20 {
            let verdict = asking.ask(&asking.conclusion, PROMPT).await?;
            ensure!(
                matches!(verdict, Verdict::In(_)) && own.is_none_or(|own| own == verdict),
                "asked again it was told {verdict:?}, before {own:?}"
            );
            own = Some(verdict);
        }
        if let Some(Verdict::In(own)) = own {
            let shutdown = control(kind::SHUTDOWN, 0, 0, own, &[0; 4]);
            say(&asking.socket, &shutdown).await?;
        }
    }
    Ok(ROUNDS)
}

const HOSTS: u8 = 4;
const ROUNDS: usize = 25;
