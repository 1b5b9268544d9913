//! Commands that end a stream, with the names and numbers of the good ones: one
//! connection must not reach what another one publishes.

use rillcast_bench::Result;
use rillcast_media::flv::amf0::Value;

use crate::arena::{Arena, GOOD, GOOD_APP, ensure};
use crate::rtmp::Peer;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let mut peer = Peer::connected(&arena, 1, GOOD_APP).await?;
    let mut sent = 0;
    for index in 0..GOOD {
        let name = format!("bench-{index}");
        for command in ["releaseStream", "FCPublish", "FCUnpublish", "FCSubscribe"] {
            for name in [name.clone(), format!("{GOOD_APP}/{name}")] {
                peer.command(command, 0.0, vec![Value::Null, name.into()])
                    .await?;
                sent += 1;
            }
        }
        for command in ["deleteStream", "closeStream"] {
            for stream in 0..3_u32 {
                let number = f64::from(stream);
                peer.command_on(stream, command, 0.0, vec![Value::Null, number.into()])
                    .await?;
                sent += 1;
            }
        }
        peer.is_alive().await?;
    }
    // And from a connection that publishes itself.
    let mut peer = Peer::publishing(&arena, 2, "own").await?;
    for number in [f64::NAN, -1.0, 0.5, 7.0, f64::MAX] {
        peer.command("deleteStream", 0.0, vec![Value::Null, number.into()])
            .await?;
    }
    peer.is_alive().await?;
    peer.command("deleteStream", 0.0, vec![Value::Null, 1.0.into()])
        .await?;
    let said = peer.status().await?;
    ensure!(
        said == "NetStream.Unpublish.Success",
        "deleteStream was answered {said}"
    );
    Ok(format!("{sent} commands without effect"))
}
