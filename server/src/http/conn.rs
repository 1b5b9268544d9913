//! One HTTP connection from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::dispatch::{Dispatch, Peer};
use super::io::Socket;
use super::stats::HttpStats;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From one request's end to the next one's whole head.
    pub(super) idle: Duration,
    /// Between two bytes of an answer.
    pub(super) write: Duration,
}

/// The most that a request's head may hold; also hyper's read buffer, of which
/// an idle connection keeps what its last request needed.
const MAX_HEAD: usize = 32 << 10;

/// The most that the kernel holds of an answer which was not sent yet: a
/// stalled viewer pins that much, and no throughput is lost by it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT_LOW_WATER: u32 = 128 << 10;

/// Answers requests until the client leaves, a limit is passed, or `stop` asks
/// for the end: then the answer in hand is the last.
pub(super) async fn run(
    stream: TcpStream,
    peer: SocketAddr,
    dispatch: Arc<Dispatch>,
    limits: Limits,
    stats: Arc<HttpStats>,
    stop: CancellationToken,
) {
    tune(&stream);
    let socket = Socket::new(stream, limits.write, stats);
    answer_on(socket, peer, dispatch, limits.idle, stop).await;
}

/// The same on anything that carries bytes; `idle` as in [`Limits`].
pub(crate) async fn answer_on(
    socket: impl Read + Write + Unpin,
    peer: SocketAddr,
    dispatch: Arc<Dispatch>,
    idle: Duration,
    stop: CancellationToken,
) {
    let service = service_fn(|request| {
        let dispatch = Arc::clone(&dispatch);
        async move { Ok::<_, Infallible>(dispatch.answer(request, Peer(peer), idle).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(MAX_HEAD)
        .serve_connection(socket, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients that leave in the middle of an answer are everyday life.
        tracing::debug!(protocol = "http", %peer, %error, "connection ended early");
    }
}

/// Small answers leave at once (Nagle's algorithm costs 40 ms each), and a
/// viewer that stalls pins little in the kernel. A socket that refuses works too.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_LOW_WATER);
}
