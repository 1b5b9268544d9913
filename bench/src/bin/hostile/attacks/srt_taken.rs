//! Everybody wants the keys of good streams, over SRT, from everywhere. They stay their
//! publishers'; and who asks the same again is told the same again.

use std::net::Ipv4Addr;

use rillcast_bench::{Error, Result};
use rillcast_ingest_srt::proto::handshake::{DialError, RejectReason};
use rillcast_ingest_srt::proto::keys::KeyLength;
use tokio::task::JoinSet;

use crate::arena::{Arena, GOOD, GOOD_APP, GOOD_SRT, PROMPT, ensure};
use crate::good::{SECRET, srt_name};
use crate::srt::{Asking, Secret, Verdict, call_on};

/// libsrt's number of somebody else who publishes this.
const CONFLICT: Verdict = Verdict::Refused(1_409);

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut storm = JoinSet::new();
    for round in 0..arena.scale {
        for index in 0..GOOD_SRT {
            for host in [1, 2, 0] {
                storm.spawn(one(arena.clone(), host, round * GOOD_SRT + index));
            }
        }
    }
    let mut refused = 0;
    while let Some(ended) = storm.join_next().await {
        ended.map_err(Error::of("a publisher"))??;
        refused += 1;
    }
    let stream_id = format!("publish:{GOOD_APP}/bench-3");
    let asking = Asking::start(&arena, 3, &stream_id, None).await?;
    for round in 0..AGAIN {
        let told = asking.ask(&asking.conclusion, PROMPT).await?;
        ensure!(told == CONFLICT, "asked {round} times it was told {told:?}");
    }
    Ok(format!("{refused} refused, one {AGAIN} times"))
}

async fn one(arena: Arena, host: u8, number: usize) -> Result {
    // The good ones' own address, or one of the attack's.
    let socket = match host {
        0 => arena.udp_from(Ipv4Addr::LOCALHOST).await?,
        host => arena.udp(host).await?,
    };
    // Over RTMP, over SRT, and with the right passphrase where there is one.
    let name = match number % 3 {
        0 => format!("bench-{}", number % GOOD),
        _ => srt_name(number % GOOD_SRT),
    };
    let sealed = name.contains("sealed");
    let secret: Secret<'_> = sealed.then_some((SECRET, KeyLength::Aes128));
    let stream_id = format!("publish:{GOOD_APP}/{name}");
    match call_on(&arena, socket, &stream_id, secret).await? {
        Err(DialError::Refused(RejectReason::Conflict)) => Ok(()),
        // All places of the good ones' address may be taken, in a crowd.
        Err(DialError::Refused(RejectReason::Overload)) if arena.crowded && host == 0 => Ok(()),
        Err(error) => Err(Error::new(format!("{name}: {error}"))),
        Ok(_) => Err(Error::new(format!("{name} was given to another one"))),
    }
}

/// How often the same is asked.
const AGAIN: usize = 20;
