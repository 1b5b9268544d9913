//! Numbers and times of data packets that cannot be: jumps as far as there are numbers,
//! the same again and again, backwards, keys that nobody has. The connection outlives
//! it, and what is asked for does not grow with the gap.

use std::time::Duration;

use rillcast_bench::{Chance, Error, Result};
use tokio::task::JoinSet;

use crate::arena::{Arena, ensure};
use crate::srt::{Caller, heard, packet};

/// How the numbers and times go.
type Walk = fn(u32, &mut Chance) -> Step;

/// What is another one than it should be.
#[derive(Default)]
struct Step {
    /// Behind the first packet.
    number: u32,
    time: Option<u32>,
    info: Option<u32>,
}

const WALKS: &[(&str, Walk)] = &[
    ("by chance", |_, chance| at(chance.word())),
    ("half the way", |round, _| at(round.wrapping_mul(1 << 30))),
    ("just before the half", |round, _| {
        at(round.wrapping_mul(0x3FFF_FFFF))
    }),
    ("backwards", |round, _| at(0_u32.wrapping_sub(round))),
    ("the same", |_, _| at(5)),
    ("every 16,000", |round, _| at(round.wrapping_mul(16_000))),
    ("every other, back and forth", |round, _| {
        at(if round % 2 == 0 { round } else { 4_000 - round })
    }),
    ("times by chance", |round, chance| Step {
        time: Some(chance.word()),
        ..at(round)
    }),
    ("times backwards", |round, _| Step {
        time: Some(0_u32.wrapping_sub(round * 100_000)),
        ..at(round)
    }),
    ("an hour ahead", |round, _| Step {
        time: Some(3_600_000_000_u32.wrapping_add(round)),
        ..at(round)
    }),
    ("flags by chance", |round, chance| Step {
        info: Some(chance.word()),
        ..at(round)
    }),
    ("keys that nobody has", |round, _| Step {
        info: Some(0xC000_0000 | (1 + round % 3) << 27),
        ..at(round)
    }),
];

fn at(number: u32) -> Step {
    Step {
        number,
        ..Step::default()
    }
}

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let mut callers = JoinSet::new();
    for (what, walk) in WALKS {
        let (arena, chance) = (arena.clone(), Chance::new(chance.next()));
        callers.spawn(async move {
            let answered = one(&arena, *walk, chance).await;
            answered.map_err(Error::of(what))
        });
    }
    let mut answered = 0;
    while let Some(ended) = callers.join_next().await {
        answered += ended.map_err(Error::of("a caller"))??;
    }
    let sent = WALKS.len() * PACKETS as usize;
    Ok(format!("{sent} packets, {answered} datagrams for them"))
}

async fn one(arena: &Arena, walk: Walk, mut chance: Chance) -> Result<usize> {
    let caller = Caller::open(arena, 1, "walk").await?;
    let payload = [0x47; 188];
    let mut answered = 0;
    for round in 0..PACKETS {
        let step = walk(round, &mut chance);
        let seq = caller.terms.first_seq.add(step.number).value();
        let info = step.info.unwrap_or(0xC000_0001);
        let time = step.time.unwrap_or_else(|| caller.time());
        let datagram = packet([seq, info, time, caller.id()], &payload);
        caller.say(&datagram).await?;
        if round.is_multiple_of(20) {
            tokio::time::sleep(PAUSE).await;
        }
        while heard(&caller.socket, Duration::ZERO).await?.is_some() {
            answered += 1;
        }
    }
    caller.is_alive().await?;
    caller.leave().await?;
    // Acknowledgements, and what is missing asked for once for each packet and again
    // while there is time.
    let most = PACKETS as usize * MOST_ANSWERS;
    ensure!(
        answered <= most,
        "{answered} datagrams came for {PACKETS} packets"
    );
    Ok(answered)
}

const PACKETS: u32 = 400;
const PAUSE: Duration = Duration::from_millis(10);

/// More datagrams than so many for each packet would make the server a weapon.
const MOST_ANSWERS: usize = 8;
