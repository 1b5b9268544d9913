//! Datagrams of every size that are no SRT, or look like it for a word or two:
//! nothing is answered, and who asks properly is.

use std::time::Duration;

use rillcast_bench::Result;

use crate::arena::{Arena, ensure};
use crate::srt::{Caller, heard, kind, put, say};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let mut sockets = Vec::new();
    for host in 1..=3 {
        sockets.push(arena.udp(host).await?);
    }
    let sizes = LARGEST + 1;
    let count = sizes * 2 * arena.scale;
    for (round, socket) in (0..count).zip(sockets.iter().cycle()) {
        let mut datagram = chance.bytes(round % sizes);
        match chance.below(5) {
            // Noise.
            0 => {}
            // For the listener itself.
            1 => put(&mut datagram, 12, 0),
            // Control packets of every type, for the listener and for connections.
            shape @ (2 | 3) => {
                let kinds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, kind::USER];
                let kind = chance.of(&kinds).copied().unwrap_or_default();
                put(&mut datagram, 0, 0x8000_0000 | u32::from(kind) << 16);
                if shape == 2 {
                    put(&mut datagram, 12, 0);
                }
            }
            // Data for the listener.
            _ => {
                let word = chance.word() & 0x7FFF_FFFF;
                put(&mut datagram, 0, word);
                put(&mut datagram, 12, 0);
            }
        }
        say(socket, &datagram).await?;
        if round % AT_ONCE == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
    for socket in &sockets {
        let answer = heard(socket, QUIET).await?;
        ensure!(answer.is_none(), "noise was answered with {answer:02x?}");
    }
    let caller = Caller::open(&arena, 1, "proper").await?;
    caller.is_alive().await?;
    caller.leave().await?;
    Ok(format!("{count} datagrams unheard"))
}

/// More than any datagram of SRT may have.
const LARGEST: usize = 1_500;

/// 25,000 datagrams a second, at most.
const AT_ONCE: usize = 50;
const PAUSE: Duration = Duration::from_millis(2);

/// How long nothing must come before it is believed that nothing will.
const QUIET: Duration = Duration::from_millis(100);
