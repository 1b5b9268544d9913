//! As much data as goes into one connection: in order, again and again the same, with a
//! third of it missing, and read by nobody on the way back. Who sends more than
//! `limits.bitrate_cut` is ended; the others stay.

use std::time::Duration;

use rillcast_bench::{Error, Result};
use tokio::time::Instant;

use crate::arena::{Arena, PROMPT, ensure};
use crate::srt::{Caller, call_on};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let ended = beyond(&arena).await?;
    let mut sent = 0;
    for (what, number) in [
        ("same", (|_| 7) as fn(u32) -> u32),
        ("gaps", |round| round + round / 2),
        ("far", |round| round * 20_000),
    ] {
        let caller = Caller::open(&arena, 2, what).await?;
        // What comes back stays where it is.
        for round in 0..PACKETS {
            caller.say(&caller.data(number(round), &NOTHING)).await?;
            if round.is_multiple_of(AT_ONCE) {
                tokio::time::sleep(PAUSE).await;
            }
        }
        sent += PACKETS;
        caller.is_alive().await.map_err(Error::of(what))?;
        caller.leave().await?;
    }
    Ok(format!("ended after {ended} KB, {sent} packets more"))
}

/// More than its stream may carry; how many kilobytes were sent until that was ended.
async fn beyond(arena: &Arena) -> Result<usize> {
    let stream_id = format!("publish:{}/small", arena.app());
    let deadline = Instant::now() + PROMPT;
    // The one before may still be there, for a moment.
    let caller = loop {
        let called = call_on(arena, arena.udp(1).await?, &stream_id, None).await?;
        match called {
            Ok(caller) => break caller,
            Err(error) if Instant::now() > deadline => {
                return Err(Error::new(format!("the call of a flood: {error}")));
            }
            Err(_) => tokio::time::sleep(PAUSE * 50).await,
        }
    };
    let mut number = 0;
    while caller.gone_within(PAUSE).await.is_err() {
        for _ in 0..AT_ONCE {
            caller.say(&caller.data(number, &NOTHING)).await?;
            number += 1;
        }
        ensure!(number < MOST, "{number} packets were not too many");
    }
    Ok(number as usize * NOTHING.len() / 1_000)
}

/// Seven packets of no program.
const NOTHING: [u8; 1_316] = [0x47; 1_316];

/// Twenty thousand datagrams a second at most: 200 Mb/s.
const AT_ONCE: u32 = 40;
const PAUSE: Duration = Duration::from_millis(2);

/// Of each of the others.
const PACKETS: u32 = 3_000;

/// Two hundred megabits are more than ten times what a second of the stream may carry.
const MOST: u32 = 40_000;
