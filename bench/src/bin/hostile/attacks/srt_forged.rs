//! Packets for the connections of others: shutdowns, losses, drop requests and data for
//! numbers that are guessed, and for one that is known. Who writes from elsewhere is
//! not heard.

use std::time::Duration;

use rillcast_bench::{Error, Result};
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::arena::{Arena, ensure};
use crate::srt::{Caller, control, data, heard, kind, say};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut victims = Vec::new();
    for number in 0..4 {
        victims.push(Caller::open(&arena, 1, &format!("victim-{number}")).await?);
    }
    let known: Vec<u32> = victims.iter().map(Caller::id).collect();
    let mut sprays = JoinSet::new();
    // Other addresses, and another port of the victims' own.
    for host in 1..=4 {
        sprays.spawn(spray(arena.clone(), host, known.clone()));
    }
    let mut sent = 0;
    let mut often = interval(OFTEN);
    loop {
        tokio::select! {
            ended = sprays.join_next() => match ended {
                Some(ended) => sent += ended.map_err(Error::of("a spray"))??,
                None => break,
            },
            // They are there, and say so.
            _ = often.tick() => for victim in &victims {
                victim.say(&control(kind::KEEP_ALIVE, 0, 0, victim.id(), &[0; 4])).await?;
            },
        }
    }
    for victim in victims {
        victim.is_alive().await?;
        victim.leave().await?;
    }
    Ok(format!("{sent} packets unheard"))
}

async fn spray(arena: Arena, host: u8, known: Vec<u32>) -> Result<usize> {
    let mut chance = arena.chance();
    let socket = arena.udp(host).await?;
    let payload = [0x47; 1_316];
    for round in 0..PACKETS {
        let to = match round % 4 {
            // Numbers as libsrt gives them, low ones, and those that are there.
            0 | 1 => chance.word() & 0x3FFF_FFFF,
            2 => chance.word() & 0xFFFF,
            _ => chance.of(&known).copied().unwrap_or_default(),
        };
        let body = chance.bytes(8);
        let datagram = match round / 4 % 8 {
            0 | 1 => control(kind::SHUTDOWN, 0, 0, to, &[0; 4]),
            2 => control(kind::NAK, 0, 0, to, &body),
            3 => control(kind::ACK, 0, 1, to, &body),
            4 => control(kind::ACK_ACK, 0, chance.word(), to, &[0; 4]),
            5 => control(kind::DROP_REQUEST, 0, 1, to, &body),
            6 => control(kind::USER, kind::KEY_REQUEST, 0, to, &body),
            _ => data(chance.word(), chance.word(), to, &payload),
        };
        say(&socket, &datagram).await?;
        if round % 50 == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
    let answer = heard(&socket, QUIET).await?;
    ensure!(
        answer.is_none(),
        "a packet for another's connection was answered: {answer:02x?}"
    );
    Ok(PACKETS)
}

/// How often a victim says that it is there.
const OFTEN: Duration = Duration::from_millis(300);

/// From each.
const PACKETS: usize = 1_600;
const PAUSE: Duration = Duration::from_millis(10);

/// How long nothing must come before it is believed that nothing will.
const QUIET: Duration = Duration::from_millis(100);
