//! One HTTP connection from its first byte to its last.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::{Read, ReadBuf, Write};
use hyper::server::conn::http1::{self, Parts};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rillcast_core::{Admission, Subject, Woken};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::body::BodyLimits;
use super::dispatch::Dispatch;
use super::io::Socket;
use super::stats::HttpStats;
use super::timer::IdleTimer;
use crate::config::ServerConfig;

/// What one client may take of time and memory, from `[server]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From the connection to its first request's whole head.
    head: Duration,
    /// From one request's end to the next one's whole head.
    idle: Duration,
    /// Between two bytes of an answer.
    write: Duration,
    /// A request's head, and the headers in it.
    head_size: usize,
    headers: usize,
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
}

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
}

/// What the log says of an address, each by itself.
const HEAD: Subject = Subject::offence("head");
const MALFORMED: Subject = Subject::offence("malformed");
pub(super) const SLOW: Subject = Subject::offence("slow");
pub(super) const TARGET: Subject = Subject::offence("target");
pub(super) const BODY: Subject = Subject::offence("body");

/// hyper's own bound for what it reads ahead and writes behind; an idle
/// connection keeps what its last request needed. Heads may be larger.
const BUFFER: usize = 32 << 10;

/// The most that the kernel holds of an answer which was not sent yet: a
/// stalled viewer pins that much, and no throughput is lost by it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT_LOW_WATER: u32 = 128 << 10;

/// Answers requests until the client leaves, a limit is passed, or `stop` asks
/// for the end: then the answer in hand is the last.
pub(super) async fn run(
    stream: TcpStream,
    client: Client,
    dispatch: Arc<Dispatch>,
    stats: Arc<HttpStats>,
    stop: CancellationToken,
) {
    tune(&stream);
    let socket = TokioIo::new(Socket::new(stream, client.limits.write, stats));
    answer_on(socket, client, dispatch, stop).await;
}

/// The same on anything that carries bytes.
pub(crate) async fn answer_on(
    socket: impl Read + Write + Unpin,
    client: Client,
    dispatch: Arc<Dispatch>,
    stop: CancellationToken,
) {
    let Limits { head, idle, .. } = client.limits;
    // Whether a request has come.
    let begun = AtomicBool::new(false);
    let service = service_fn(|request| {
        begun.store(true, Ordering::Relaxed);
        dispatch.answer(request, &client)
    });
    let timer = IdleTimer::new();
    let mut builder = http1::Builder::new();
    builder
        .timer(timer.clone())
        .header_read_timeout(idle)
        // Who looks whether the client is there is the socket.
        .half_close(true)
        .max_header_size(client.limits.head_size)
        .max_buf_size(client.limits.head_size.max(BUFFER));
    // hyper's own bound, which costs nothing; another one costs an allocation
    // per request.
    if client.limits.headers != HYPERS_HEADERS {
        builder.max_headers(client.limits.headers);
    }
    let mut connection = builder.serve_connection(socket, service);
    // Both rarely have anything to say.
    let mut asked = Woken::new(Box::pin(async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = timer.keep(idle) => {}
        }
    }));
    let mut late = pin!(tokio::time::sleep(head));
    let ended = poll_fn(|cx| {
        if Pin::new(&mut asked).poll(cx).is_ready() {
            return Poll::Ready(Ended::Not);
        }
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(Ended::By(ended));
        }
        // From the first request on the timer of its head is out of the way.
        if !begun.load(Ordering::Relaxed) && late.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ended::HeadTimeout);
        }
        Poll::Pending
    });
    let ended = match ended.await {
        Ended::Not => {
            Pin::new(&mut connection).graceful_shutdown();
            let mut keep = Woken::new(Box::pin(timer.keep(idle)));
            let rest = poll_fn(|cx| {
                let _ = Pin::new(&mut keep).poll(cx);
                Pin::new(&mut connection).poll(cx)
            });
            Ended::By(rest.await)
        }
        ended => ended,
    };
    let too_late = match &ended {
        Ended::By(Ok(())) | Ended::Not => false,
        Ended::By(Err(error)) if error.is_timeout() => true,
        Ended::By(Err(error)) => {
            if error.is_parse_too_large() {
                client.complain(HEAD, HEAD_TOO_LARGE);
            } else if error.is_parse() {
                client.complain(MALFORMED, &format!("it is no HTTP: {error}"));
            } else {
                // Clients that leave in the middle of an answer are everyday life.
                let peer = client.peer;
                tracing::debug!(protocol = "http", %peer, %error, "connection ended early");
            }
            false
        }
        Ended::HeadTimeout => true,
    };
    let Parts {
        mut io, read_buf, ..
    } = connection.into_parts();
    // Browsers connect ahead of need: silence is no offence, half a head is.
    if too_late && !read_buf.is_empty() {
        client.complain(SLOW, HEAD_TOO_LATE);
        // As much as the socket takes at once must do.
        let _ = poll_fn(|cx| Pin::new(&mut io).poll_write(cx, TIMED_OUT.as_bytes())).await;
    }
    if client.refused.load(Ordering::Relaxed) {
        let _ = tokio::time::timeout(LINGER, hear_out(io)).await;
    }
}

/// Closes, and reads what still comes: a socket that is closed with unread
/// bytes in it takes the last answer back (RFC 9112 section 9.6).
async fn hear_out(mut io: impl Read + Write + Unpin) -> std::io::Result<()> {
    poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx)).await?;
    let mut unread = [0; 4 << 10];
    for _ in 0..MOST_UNHEARD / unread.len() {
        let mut buffer = ReadBuf::new(&mut unread);
        poll_fn(|cx| Pin::new(&mut io).poll_read(cx, buffer.unfilled())).await?;
        if buffer.filled().is_empty() {
            break;
        }
    }
    Ok(())
}

/// How long, and how much, a client that was refused may still send. It keeps
/// its place meanwhile.
const LINGER: Duration = Duration::from_secs(1);
const MOST_UNHEARD: usize = 1 << 20;

/// How the time of a connection went by.
enum Ended {
    By(hyper::Result<()>),
    HeadTimeout,
    /// The server wants to end.
    Not,
}

const HYPERS_HEADERS: usize = 100;

const HEAD_TOO_LARGE: &str = "its head is larger than server.max_head_size, or has more headers \
    than server.max_headers";

const HEAD_TOO_LATE: &str = "its head did not arrive within server.head_timeout or \
    server.idle_timeout";

const TIMED_OUT: &str = "HTTP/1.1 408 Request Timeout\r\nCache-Control: no-store\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// Small answers leave at once (Nagle's algorithm costs 40 ms each), and a
/// viewer that stalls pins little in the kernel. A socket that refuses works too.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_LOW_WATER);
}
