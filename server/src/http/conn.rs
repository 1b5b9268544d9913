//! One connection from its first byte to its last, whatever it speaks.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rillcast_core::{Admission, Subject};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::body::BodyLimits;
use super::dispatch::Dispatch;
use super::io::{Protocol, Socket};
use super::stats::HttpStats;
use super::{http1, http2};
use crate::config::{ALPN_HTTP2, ServerConfig};

/// What one client may take of time and memory, from `[server]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From the connection to its first request's whole head.
    pub(super) head: Duration,
    /// From one request's end to the next one's whole head.
    pub(super) idle: Duration,
    /// Between two bytes of an answer.
    pub(super) write: Duration,
    /// A request's head, and the headers in it.
    pub(super) head_size: usize,
    pub(super) headers: usize,
    pub(super) target: usize,
    pub(super) body: BodyLimits,
}

impl Limits {
    pub(crate) fn of(config: &ServerConfig) -> Self {
        Self {
            head: config.head_timeout.0,
            idle: config.idle_timeout.0,
            write: config.write_timeout.0,
            head_size: config.max_head_size.as_usize(),
            headers: config.max_headers,
            target: config.max_target_size.as_usize(),
            body: BodyLimits {
                size: config.max_body_size.as_usize(),
                time: config.body_timeout.0,
            },
        }
    }

    /// When the first request's head must be there: one deadline for all that
    /// comes before it, or who is slow at each step gets them all. Waiting for
    /// it is being idle, too.
    pub(crate) fn first_head(&self) -> FirstHead {
        Box::pin(tokio::time::sleep(self.head.min(self.idle)))
    }
}

/// Passes when the first request's head is late.
pub(crate) type FirstHead = Pin<Box<Sleep>>;

/// Who is at the other end, and what it may do.
#[derive(Debug)]
pub(crate) struct Client {
    pub(super) peer: SocketAddr,
    pub(super) limits: Limits,
    admission: Admission,
    /// Whether a request was refused, of which more may come.
    refused: AtomicBool,
}

impl Client {
    pub(crate) const fn new(peer: SocketAddr, limits: Limits, admission: Admission) -> Self {
        Self {
            peer,
            limits,
            admission,
            refused: AtomicBool::new(false),
        }
    }

    /// One line per offender, kind of offence and minute.
    pub(super) fn complain(&self, offence: Subject, why: &str) {
        self.refused.store(true, Ordering::Relaxed);
        let now = std::time::Instant::now();
        if let Some(unsaid) = self.admission.tell(self.peer.ip(), offence, now) {
            let unsaid = (unsaid > 0).then_some(unsaid);
            tracing::warn!(protocol = "http", peer = %self.peer, unsaid, "request refused: {why}");
        }
    }

    pub(super) fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

/// What the log says of an address, each by itself.
pub(super) const HEAD: Subject = Subject::offence("head");
pub(super) const MALFORMED: Subject = Subject::offence("malformed");
pub(super) const SLOW: Subject = Subject::offence("slow");
pub(super) const TARGET: Subject = Subject::offence("target");
pub(super) const BODY: Subject = Subject::offence("body");
pub(super) const FLOOD: Subject = Subject::offence("flood");

pub(super) const HEAD_TOO_LARGE: &str = "its head is larger than server.max_head_size, or has more \
    headers than server.max_headers";

/// How long a client that was refused may go on sending, or one that was told
/// of the end may take to leave. It keeps its place meanwhile.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The most that the kernel holds of an answer which was not sent yet: a
/// stalled viewer pins that much, and no throughput is lost by it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT_LOW_WATER: u32 = 128 << 10;

/// Answers requests until the client leaves, a limit is passed, or `stop` asks
/// for the end: then the answers in hand are the last.
pub(super) async fn run(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    client: Client,
    dispatch: Arc<Dispatch>,
    stats: Arc<HttpStats>,
    stop: CancellationToken,
) {
    tune(&stream);
    let mut socket = Socket::new(stream, client.limits.write, stats);
    let mut late = client.limits.first_head();
    if let Some(tls) = tls {
        // Boxed: who does not speak TLS does not pay for its size.
        return Box::pin(secured(socket, tls, client, dispatch, stop, late)).await;
    }
    let protocol = tokio::select! {
        protocol = socket.protocol() => protocol,
        () = late.as_mut() => return,
        () = stop.cancelled() => return,
    };
    match protocol {
        Ok(Protocol::Http1) => {
            http1::serve(TokioIo::new(socket), client, dispatch, stop, late).await;
        }
        // Boxed: who speaks HTTP/1 does not pay for its size.
        Ok(Protocol::Http2) => {
            Box::pin(http2::serve(socket, client, dispatch, stop, late)).await;
        }
        Err(error) => {
            let peer = client.peer;
            tracing::debug!(protocol = "http", %peer, %error, "connection ended early");
        }
    }
}

/// The same within TLS. Below it are the time-outs, which so hold for all that
/// TLS sends of its own.
async fn secured(
    socket: Socket,
    tls: TlsAcceptor,
    client: Client,
    dispatch: Arc<Dispatch>,
    stop: CancellationToken,
    mut late: FirstHead,
) {
    let shaken = tokio::select! {
        shaken = tls.accept(socket) => shaken,
        () = late.as_mut() => return,
        () = stop.cancelled() => return,
    };
    match shaken {
        Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) => {
            http2::serve(stream, client, dispatch, stop, late).await;
        }
        Ok(stream) => http1::serve(TokioIo::new(stream), client, dispatch, stop, late).await,
        // A browser that does not trust the certificate ends so as well.
        Err(error) => {
            let peer = client.peer;
            tracing::debug!(protocol = "http", %peer, %error, "no TLS connection came about");
        }
    }
}

/// Small answers leave at once (Nagle's algorithm costs 40 ms each), and a
/// viewer that stalls pins little in the kernel. A socket that refuses works too.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_LOW_WATER);
}
