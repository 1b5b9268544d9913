//! Control packets of every kind, to a connection of one's own, that say what cannot be:
//! losses of everything, acknowledgements of what was never sent, new keys without end.
//! Each flood is survived, and only a shutdown ends the connection.

use std::time::Duration;

use rillcast_bench::{Chance, Error, Result};
use rillcast_ingest_srt::proto::keys::KeyLength;
use tokio::task::JoinSet;

use crate::arena::{Arena, ensure};
use crate::good::SECRET;
use crate::srt::{Caller, call_on, control, kind};

/// A type, and how its word and its body are made.
type Flood = (&'static str, u16, fn(&mut Chance) -> (u32, Vec<u8>));

const FLOODS: &[Flood] = &[
    ("keep-alive", kind::KEEP_ALIVE, |_| (0, vec![0; 4])),
    ("handshake", kind::HANDSHAKE, |chance| (0, chance.bytes(80))),
    ("full ACK", kind::ACK, |chance| {
        (chance.word(), chance.bytes(28))
    }),
    ("light ACK", kind::ACK, |chance| (0, chance.bytes(4))),
    ("NAK of everything", kind::NAK, |_| {
        (0, [[0x80, 0, 0, 0], [0x7F, 0xFF, 0xFF, 0xFF]].concat())
    }),
    ("NAK by chance", kind::NAK, |chance| {
        (0, chance.bytes(1_400))
    }),
    ("congestion", 4, |_| (0, vec![0; 4])),
    ("ACKACK", kind::ACK_ACK, |chance| {
        (chance.word(), vec![0; 4])
    }),
    ("drop request", kind::DROP_REQUEST, |chance| {
        (chance.word(), chance.bytes(8))
    }),
    ("drop everything", kind::DROP_REQUEST, |_| {
        (1, [[0; 4], [0x3F, 0xFF, 0xFF, 0xFF]].concat())
    }),
    ("peer error", 8, |chance| (chance.word(), vec![0; 4])),
    ("key request", kind::USER, |chance| (0, chance.bytes(72))),
    ("unknown", 0x1234, |chance| {
        (chance.word(), chance.bytes(100))
    }),
    ("of any length", kind::NAK, |chance| {
        let length = chance.below(20);
        (chance.word(), chance.bytes(length))
    }),
];

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let mut floods = JoinSet::new();
    for (what, kind, make) in FLOODS {
        let (arena, chance) = (arena.clone(), Chance::new(chance.next()));
        floods.spawn(async move {
            let flooded = one(&arena, *kind, *make, chance).await;
            flooded.map_err(Error::of(what))
        });
    }
    while let Some(ended) = floods.join_next().await {
        ended.map_err(Error::of("a flood"))??;
    }
    let answered = keys(&arena).await?;
    Ok(format!(
        "{} floods, {answered} key requests answered",
        FLOODS.len()
    ))
}

async fn one(
    arena: &Arena,
    kind: u16,
    make: fn(&mut Chance) -> (u32, Vec<u8>),
    mut chance: Chance,
) -> Result {
    let caller = Caller::open(arena, 1, "controls").await?;
    for round in 0..PACKETS {
        let (info, body) = make(&mut chance);
        // Every subtype, of those that have one.
        let subtype = if kind == kind::USER { round % 8 } else { 0 };
        caller
            .say(&control(kind, subtype, info, caller.id(), &body))
            .await?;
        if round.is_multiple_of(50) {
            tokio::time::sleep(PAUSE).await;
        }
    }
    caller.is_alive().await?;
    caller.forget().await?;
    // It ends by a word, and stays ended.
    let shutdown = control(kind::SHUTDOWN, 0, 0, caller.id(), &[0; 4]);
    for _ in 0..20 {
        caller.say(&shutdown).await?;
    }
    let mut tries = 0;
    while caller.answers(PAUSE * 10).await? {
        tries += 1;
        caller.forget().await?;
        ensure!(tries < 20, "a connection outlives its end");
    }
    Ok(())
}

/// New keys without end on a connection that is encrypted: each with a salt of its own,
/// so that a key would have to be derived.
async fn keys(arena: &Arena) -> Result<usize> {
    let mut chance = arena.chance();
    let socket = arena.udp(2).await?;
    let stream_id = format!("publish:{}/srt-sealed-keys-{}", arena.app(), arena.seed);
    let caller = call_on(arena, socket, &stream_id, Some((SECRET, KeyLength::Aes256)))
        .await?
        .map_err(Error::of("the call of one with keys"))?;
    let whole = caller.terms.keys.as_ref().map(|keys| keys.message());
    let whole = whole.ok_or_else(|| Error::new("a connection without keys"))?;
    let mut answered = 0;
    for round in 0..KEYS {
        let mut message = whole.to_vec();
        // The salt is behind sixteen bytes; later what is wrapped is spoilt as well.
        let spoilt = if round % 2 == 0 {
            16..32
        } else {
            16..message.len()
        };
        for byte in message.get_mut(spoilt).into_iter().flatten() {
            *byte = chance.byte();
        }
        let request = control(kind::USER, kind::KEY_REQUEST, 0, caller.id(), &message);
        caller.say(&request).await?;
        if round % 50 == 0 {
            answered += usize::from(caller.answers(crate::arena::PROMPT).await?);
        }
    }
    caller.is_alive().await?;
    caller.leave().await?;
    ensure!(answered > 0, "no key request was answered");
    Ok(answered)
}

const PACKETS: u16 = 300;
const PAUSE: Duration = Duration::from_millis(10);

/// Key requests in session.
const KEYS: u32 = 500;
