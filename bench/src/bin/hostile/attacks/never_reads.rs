//! A publisher that reads nothing, as old ones do: it may stay, as long as it
//! does not ask for more answers than may wait.

use rillcast_bench::Result;
use rillcast_media::flv::amf0::Value;

use crate::arena::{Arena, PROMPT, ensure};
use crate::rtmp::Peer;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    // Asks for an acknowledgement of every few bytes, and reads none.
    let mut peer = Peer::publishing(&arena, 1, "deaf").await?;
    let window = rillcast_ingest_rtmp::proto::message::Control::WindowAckSize(1);
    peer.control(&window).await?;
    for (kind, time, body) in arena.clip.messages() {
        peer.media(kind, time, body).await?;
    }
    peer.is_alive().await?;
    // Asks and asks.
    let mut asked = 0;
    let mut sent = peer.command("call", 9.0, vec![Value::Null]).await;
    while sent.is_ok() && asked < 1_000_000 {
        asked += 1;
        sent = peer.command("call", 9.0, vec![Value::Null]).await;
    }
    ensure!(sent.is_err(), "{asked} unread answers were not too many");
    peer.gone_within(PROMPT).await?;
    Ok(format!("closed after {asked} unread answers"))
}
