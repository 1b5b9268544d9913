//! A viewer that speaks HTTP/2 with prior knowledge, one request at a time.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// A stream's window and a connection's, as browsers have them.
const WINDOW: u32 = 6 << 20;
const CONNECTION_WINDOW: u32 = 15 << 20;

/// One connection.
pub(super) struct Http2 {
    send: SendRequest<Bytes>,
    connection: JoinHandle<()>,
}

impl Http2 {
    pub(super) async fn begin(socket: TcpStream) -> Result<Self> {
        let mut builder = Builder::new();
        builder
            .initial_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let (send, connection) = builder
            .handshake(socket)
            .await
            .map_err(Error::of("HTTP/2"))?;
        // What it ends with is what the next request fails with.
        let connection = tokio::spawn(async { drop(connection.await) });
        Ok(Self { send, connection })
    }

    pub(super) async fn exchange(
        &mut self,
        address: SocketAddr,
        path: &str,
        mut keep: Option<&mut Vec<u8>>,
    ) -> Result<usize> {
        let failed = |error: h2::Error| Error::new(error.to_string());
        poll_fn(|cx| self.send.poll_ready(cx))
            .await
            .map_err(failed)?;
        let request = Request::get(format!("http://{address}{path}"))
            .body(())
            .map_err(Error::of(path))?;
        let (response, _) = self.send.send_request(request, true).map_err(failed)?;
        let response = response.await.map_err(failed)?;
        if response.status() != 200 {
            return Err(Error::new(format!("the answer is {}", response.status())));
        }
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(data) = body.data().await {
            let data = data.map_err(failed)?;
            length += data.len();
            if let Some(keep) = &mut keep {
                keep.extend_from_slice(&data);
            }
            body.flow_control()
                .release_capacity(data.len())
                .map_err(failed)?;
        }
        Ok(length)
    }
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2").finish_non_exhaustive()
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
