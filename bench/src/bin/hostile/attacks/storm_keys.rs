//! A key for each connection, more than there may be streams of an app: those beyond are
//! refused, and all are forgotten when they have gone.

use std::sync::Arc;
use std::time::Duration;

use rillcast_bench::{Error, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::arena::{Arena, PROMPT, SLACK, ensure};
use crate::http::get;
use crate::rtmp::{Peer, STARTED};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    // From so many addresses that their own bound does not get in the way.
    let wanted = arena.bounds.streams_per_app + 50;
    let each = (arena.bounds.per_address / 2).max(1);
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut storm = JoinSet::new();
    for index in 0..wanted {
        let (arena, at_once) = (arena.clone(), Arc::clone(&at_once));
        storm.spawn(async move {
            let _turn = at_once.acquire().await.map_err(Error::of("a turn"))?;
            let host = 1 + u8::try_from(index / each).unwrap_or(0);
            let mut peer = Peer::connected(&arena, host, &arena.app()).await?;
            let said = peer.publish(&format!("key-{index}")).await?;
            if said != STARTED {
                ensure!(said == "NetStream.Publish.Failed", "it was answered {said}");
                peer.gone_within(PROMPT).await?;
                return Ok(None);
            }
            for (kind, time, body) in arena.clip.messages().take(8) {
                peer.media(kind, time, body).await?;
            }
            Ok::<_, Error>(Some(peer))
        });
    }
    let (mut kept, mut refused) = (Vec::new(), 0);
    while let Some(ended) = storm.join_next().await {
        match ended.map_err(Error::of("a publisher"))?? {
            Some(peer) => kept.push(peer),
            None => refused += 1,
        }
    }
    ensure!(
        refused > 0 || arena.crowded,
        "{wanted} streams were not too many"
    );
    let taken = kept.len();
    drop(kept);
    // Once the grace time is over, there is room again.
    let deadline = Instant::now() + arena.bounds.grace + SLACK;
    while left(&arena).await? > 0 {
        ensure!(Instant::now() < deadline, "the streams are not forgotten");
        sleep(Duration::from_millis(200)).await;
    }
    Ok(format!("{} taken, {refused} refused", taken))
}

/// Streams of this attack that live.
async fn left(arena: &Arena) -> Result<usize> {
    let list = get(arena, 200, "/api/v1/streams").await?;
    let text = String::from_utf8_lossy(&list.body).into_owned();
    let key = format!("\"key\":\"{}/key-", arena.app());
    Ok(text.matches(&key).count())
}

/// Handshakes at once. All of them together would only wait for each other.
const AT_ONCE: usize = 16;
