//! Connections in good order that carry what is no transport stream: filler, noise,
//! noise in packets, tables of noise. They cost their own address nothing but lines.

use std::time::Duration;

use rillcast_bench::{Chance, Error, Result};
use tokio::task::JoinSet;

use crate::arena::Arena;
use crate::srt::Caller;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let mut callers = JoinSet::new();
    for shape in 0..SHAPES {
        for _ in 0..arena.scale {
            let (arena, chance) = (arena.clone(), Chance::new(chance.next()));
            callers.spawn(async move { one(&arena, shape, chance).await });
        }
    }
    let mut sent = 0;
    while let Some(ended) = callers.join_next().await {
        sent += ended.map_err(Error::of("a caller"))??;
    }
    Ok(format!("{sent} packets, nobody ended"))
}

async fn one(arena: &Arena, shape: usize, mut chance: Chance) -> Result<u32> {
    let caller = Caller::open(arena, 1, &format!("junk-{shape}")).await?;
    for number in 0..PACKETS {
        let payload = payload(shape, &mut chance);
        caller.say(&caller.data(number, &payload)).await?;
        if number.is_multiple_of(20) {
            tokio::time::sleep(PAUSE).await;
        }
    }
    caller.is_alive().await?;
    caller.leave().await?;
    Ok(PACKETS)
}

fn payload(shape: usize, chance: &mut Chance) -> Vec<u8> {
    let any = 1 + chance.below(1_456);
    let mut packets = chance.bytes(7 * 188);
    match shape {
        0 => return vec![0xFF; 1_316],
        1 => return chance.bytes(any),
        // One byte more or less than packets.
        2 => packets.truncate(any),
        _ => {}
    }
    for packet in packets.chunks_mut(188) {
        let [pid_high, pid_low] = match shape {
            // Tables, and PES packets, of noise.
            3 => [0x40, 0],
            4 => [0x41, chance.byte() & 3],
            _ => [chance.byte(), chance.byte()],
        };
        let control = if shape > 4 {
            chance.byte()
        } else {
            0x10 | chance.byte() & 15
        };
        for (to, from) in packet
            .iter_mut()
            .zip([0x47, pid_high, pid_low, control, 0, 0, 1, 0xE0])
        {
            *to = from;
        }
    }
    packets
}

const SHAPES: usize = 6;

/// 5 Mb/s from each.
const PACKETS: u32 = 300;
const PAUSE: Duration = Duration::from_millis(30);
