//! Connections that come and go as fast as they can, with and without a
//! request, to both ports.

use rillcast_bench::Result;
use tokio::io::AsyncWriteExt;

use crate::arena::Arena;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let count = 1_000;
    for index in 0..count {
        let host = 1 + u8::try_from(index % 10).unwrap_or(0);
        let mut socket = match index % 2 {
            0 => arena.http(host).await?,
            _ => arena.rtmp(host).await?,
        };
        if index % 3 == 0 {
            // To the wrong port as well.
            let _ = socket
                .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                .await;
        }
        if index % 5 == 0 {
            let _ = socket.set_zero_linger();
        }
    }
    Ok(format!("{count} connections"))
}
