//! From the very address of the good ones: all of its places are taken, and what is
//! refused is asked for again. Those who are connected stay.

use std::net::Ipv4Addr;

use rillcast_bench::{Error, Result};
use rillcast_ingest_srt::proto::handshake::{DialError, RejectReason};
use tokio::task::JoinSet;

use crate::arena::{Arena, GOOD_SRT, ensure};
use crate::srt::call_on;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let most = arena.bounds.srt_per_address;
    let mut calls = JoinSet::new();
    for number in 0..most {
        let arena = arena.clone();
        calls.spawn(async move {
            let socket = arena.udp_from(Ipv4Addr::LOCALHOST).await?;
            let stream_id = format!("publish:{}/place-{number}-{}", arena.app(), arena.seed);
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
    let count = taken.len();
    for caller in taken {
        caller.leave().await?;
    }
    ensure!(
        refused >= GOOD_SRT,
        "{refused} of {most} were too many beside {GOOD_SRT}"
    );
    Ok(format!("{count} taken, {refused} refused"))
}
