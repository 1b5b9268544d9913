//! Publish and unpublish on one connection, thousands of times.

use rillcast_bench::Result;
use rillcast_media::flv::amf0::Value;

use crate::arena::{Arena, ensure};
use crate::rtmp::{Peer, STARTED};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut chance = arena.chance();
    let rounds = 500 * arena.scale;
    let mut peer = Peer::connected(&arena, 1, &arena.app()).await?;
    for round in 0..rounds {
        let name = format!("again-{}", chance.below(4));
        let said = peer.publish(&name).await?;
        ensure!(said == STARTED, "publish {round} was answered {said}");
        // Now and then real media, or it would be nothing.
        for (kind, time, body) in arena.clip.messages().take(round % 7) {
            peer.media(kind, time, body).await?;
        }
        let command = if round % 2 == 0 {
            "FCUnpublish"
        } else {
            "closeStream"
        };
        let arguments = vec![Value::Null, name.into()];
        peer.command_on(peer.stream, command, 0.0, arguments)
            .await?;
        let said = peer.status().await?;
        ensure!(
            said == "NetStream.Unpublish.Success",
            "{command} was answered {said}"
        );
    }
    Ok(format!("{rounds} publishes"))
}
