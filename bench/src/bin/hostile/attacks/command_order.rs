//! Every command in every wrong order, with arguments of any kind.

use rillcast_bench::{Error, Result};
use rillcast_ingest_rtmp::proto::message::kind;
use rillcast_media::flv::amf0::{Object, Value};
use tokio::task::JoinSet;

use crate::arena::{Arena, PROMPT, SLACK, ensure};
use crate::rtmp::{Peer, application, body, code};
use rillcast_bench::Chance;

const NAMES: &[&str] = &[
    "connect",
    "createStream",
    "publish",
    "releaseStream",
    "FCPublish",
    "FCUnpublish",
    "deleteStream",
    "closeStream",
    "play",
    "play2",
    "pause",
    "seek",
    "receiveAudio",
    "receiveVideo",
    "getStreamLength",
    "_checkbw",
    "_result",
    "_error",
    "onStatus",
    "onBWDone",
    "FCSubscribe",
    "setPeerInfo",
    "call",
    "close",
    "",
    "no such command",
    "\u{0}",
    "publish\u{0}",
];

pub(crate) async fn run(arena: Arena) -> Result<String> {
    // A publish before connect is no publish.
    let mut peer = Peer::shaken(&arena, 1).await?;
    let arguments = vec![Value::Null, "early".into(), "live".into()];
    peer.command("publish", 5.0, arguments).await?;
    let answer = peer.answer("_error").await?;
    ensure!(code(&answer) == "NetConnection.Call.Failed", "{answer:?}");
    // Play is refused in its own words.
    let mut peer = Peer::connected(&arena, 1, "live").await?;
    peer.command_on(1, "play", 4.0, vec![Value::Null, "bench-0".into()])
        .await?;
    let said = peer.status().await?;
    ensure!(
        said == "NetStream.Play.StreamNotFound",
        "play was answered {said}"
    );
    // A second publish on the connection of a first.
    let mut peer = Peer::publishing(&arena, 1, "first").await?;
    let arguments = vec![Value::Null, "second".into(), "live".into()];
    peer.command_on(1, "publish", 5.0, arguments).await?;
    let said = peer.status().await?;
    ensure!(
        said == "NetStream.Publish.BadName",
        "a second publish was answered {said}"
    );
    drop(peer);

    let mut chance = arena.chance();
    let mut orders = JoinSet::new();
    for _ in 0..30 * arena.scale {
        orders.spawn(one(arena.clone(), Chance::new(chance.next())));
    }
    let mut sent = 0;
    while let Some(ended) = orders.join_next().await {
        sent += ended.map_err(Error::of("an order"))??;
    }
    Ok(format!("{sent} commands"))
}

/// Sixty commands as chance has them.
async fn one(arena: Arena, mut chance: Chance) -> Result<usize> {
    let mut sent = 0;
    let mut peer = Peer::shaken(&arena, 2).await?;
    for _ in 0..60 {
        let name = chance.of(NAMES).copied().unwrap_or_default();
        let count = chance.below(5);
        let mut arguments: Vec<Value> = (0..count).map(|_| value(&mut chance, &arena)).collect();
        if name == "connect" && chance.below(2) == 0 {
            arguments.insert(0, application(&arena.app()));
        }
        let transaction = f64::from(chance.byte() % 4) - 1.0;
        let kind = match chance.below(4) {
            0 => kind::COMMAND_AMF3,
            1 => kind::DATA_AMF0,
            _ => kind::COMMAND_AMF0,
        };
        let stream = u32::from(chance.byte() % 3);
        let body = body(name, transaction, arguments);
        // Closed is a fine answer to nonsense.
        if peer.send(3, kind, stream, 0, body).await.is_err() {
            break;
        }
        sent += 1;
    }
    // Either it was closed, or it still speaks, or its time runs out.
    if peer.is_alive().await.is_err() {
        peer.gone_within(PROMPT + arena.bounds.handshake + SLACK)
            .await?;
    }
    Ok(sent)
}

/// Any value; names of the attack's own streams, never of others'.
fn value(chance: &mut Chance, arena: &Arena) -> Value {
    match chance.below(9) {
        0 => Value::Null,
        1 => Value::Undefined,
        2 => f64::from_bits(chance.next()).into(),
        3 => true.into(),
        4 => format!("order-{}", chance.below(3)).into(),
        5 => String::from_utf8_lossy(&chance.bytes(40))
            .into_owned()
            .into(),
        6 => Object::new().with("app", arena.app()).with("x", 1.0).into(),
        7 => Value::StrictArray(vec![1.0.into(), Value::Null]),
        _ => f64::from(chance.byte() % 4).into(),
    }
}
