//! Connections that are opened and then say nothing, or only that they are there: an
//! address may have so many, the silent are forgotten in time, and who sends no media
//! is ended in time.

use std::time::Duration;

use rillcast_bench::{Error, Result};
use rillcast_ingest_srt::proto::handshake::{DialError, RejectReason};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::arena::{Arena, SLACK, ensure};
use crate::http::get;
use crate::srt::{Caller, call_on, control, kind};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let (silent, chatty) = tokio::join!(silent(&arena), chatty(&arena));
    let (taken, refused) = silent?;
    let ended = chatty?;
    Ok(format!(
        "{taken} silent ones forgotten, {refused} refused, {ended} ended without media"
    ))
}

/// More than an address may have; how many were taken in, and how many not.
async fn silent(arena: &Arena) -> Result<(usize, usize)> {
    let most = arena.bounds.srt_per_address;
    let mut calls = JoinSet::new();
    for number in 0..most + BEYOND {
        let arena = arena.clone();
        calls.spawn(async move {
            let socket = arena.udp(1).await?;
            let stream_id = format!("publish:{}/silent-{number}", arena.app());
            call_on(&arena, socket, &stream_id, None).await
        });
    }
    let (mut taken, mut refused) = (Vec::new(), 0);
    while let Some(ended) = calls.join_next().await {
        match ended.map_err(Error::of("a call"))?? {
            Ok(caller) => taken.push(caller),
            Err(DialError::Refused(RejectReason::Overload)) => refused += 1,
            Err(error) => return Err(Error::new(format!("a call: {error}"))),
        }
    }
    ensure!(
        taken.len() <= most && refused >= BEYOND,
        "{} of {} were taken in, {refused} refused",
        taken.len(),
        most + BEYOND
    );
    // They are there until they are missed, and then their streams wait for them.
    let deadline = Instant::now() + arena.bounds.srt_idle + arena.bounds.grace + SLACK;
    while left(arena).await? > 0 {
        ensure!(Instant::now() < deadline, "the silent are not forgotten");
        sleep(Duration::from_millis(200)).await;
    }
    for caller in taken.iter().take(5) {
        let answers = caller.answers(Duration::from_millis(200)).await?;
        ensure!(!answers, "one who was forgotten is answered");
    }
    // All places of the address are free again.
    let mut again = Vec::new();
    for _ in 0..most.min(10) {
        again.push(Caller::open(arena, 1, "again").await?);
    }
    for caller in again {
        caller.leave().await?;
    }
    Ok((taken.len(), refused))
}

/// Silent streams that live.
async fn left(arena: &Arena) -> Result<usize> {
    let list = get(arena, 200, "/api/v1/streams").await?;
    let text = String::from_utf8_lossy(&list.body).into_owned();
    let key = format!("\"key\":\"{}/silent-", arena.app());
    Ok(text.matches(&key).count())
}

/// Says again and again that it is there, and sends no media; how many were ended.
async fn chatty(arena: &Arena) -> Result<usize> {
    let mut callers = JoinSet::new();
    for number in 0..CHATTY {
        let arena = arena.clone();
        callers.spawn(async move {
            let caller = Caller::open(&arena, 2, &format!("chatty-{number}")).await?;
            let begun = Instant::now();
            let limit = arena.bounds.media_idle + SLACK;
            let keep_alive = control(kind::KEEP_ALIVE, 0, 0, caller.id(), &[0; 4]);
            while caller.gone_within(EACH).await.is_err() {
                ensure!(begun.elapsed() < limit, "one without media was not ended");
                caller.say(&keep_alive).await?;
            }
            ensure!(
                begun.elapsed() > arena.bounds.srt_idle,
                "one that says that it is there was ended after {:?}",
                begun.elapsed()
            );
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.map_err(Error::of("a caller"))??;
    }
    Ok(CHATTY)
}

/// How many more than there are places.
const BEYOND: usize = 10;

/// How many that only say that they are there, and how often.
const CHATTY: usize = 4;
const EACH: Duration = Duration::from_millis(200);
