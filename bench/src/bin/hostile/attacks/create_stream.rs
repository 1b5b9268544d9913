//! createStream without end on one connection, read and unread.

use rillcast_bench::Result;
use rillcast_media::flv::amf0::Value;

use crate::arena::{Arena, PROMPT};
use crate::rtmp::{Peer, body, header};
use rillcast_ingest_rtmp::proto::message::kind;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut peer = Peer::connected(&arena, 1, &arena.app()).await?;
    let command = body("createStream", 1.0, vec![Value::Null]);
    let mut one = header(
        3,
        u32::try_from(command.len()).unwrap_or(0),
        kind::COMMAND_AMF0,
        0,
    );
    one.extend_from_slice(&command);
    let many = one.repeat(100);
    let mut answered = 0;
    'flood: for _ in 0..20 * arena.scale {
        peer.write(&many).await?;
        for _ in 0..100 {
            if peer.answer("_result").await.is_err() {
                break 'flood;
            }
            answered += 1;
        }
    }
    crate::arena::ensure!(answered >= 1_000, "only {answered} were answered");
    // Unread, the answers may not pile up.
    let mut peer = Peer::connected(&arena, 2, &arena.app()).await?;
    for _ in 0..2_000 {
        if peer.write(&many).await.is_err() {
            break;
        }
    }
    peer.gone_within(PROMPT).await?;
    Ok(format!("{answered} answered, the unread closed"))
}
