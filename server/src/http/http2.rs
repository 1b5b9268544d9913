//! One HTTP/2 connection (RFC 9113).
//!
//! h2 speaks the protocol; each request is a task of its own on the
//! connection's thread (`http2/stream.rs`), and all of them end with it. What h2
//! leaves to its user is here and in `http2/meter.rs`: how often a client may
//! send what costs it nothing, and how long it may take nothing.

mod meter;
mod stream;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use h2::server::{Builder, Connection};
use h2::{Error, Reason};
use rillcast_core::Woken;
use rillcast_core::http::Chunk;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::conn::{Client, FLOOD, FirstHead, LINGER, Limits, MALFORMED};
use super::dispatch::Dispatch;
use meter::{Metered, Verdict};
use stream::Outcome;

/// Answers that one client may have in hand: browsers and proxies open another
/// connection for more. No setting: it bounds what a connection costs.
const MAX_STREAMS: u32 = 100;

/// What may come of a request's body before its handler reads it, and of all
/// bodies of a connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;

/// What is handed to h2 of one answer before it has written it. The media's
/// bytes are shared by all viewers, so this bounds references and no copies.
const SEND_BUFFER: usize = 64 << 10;

/// Streams that were reset before anybody looked at them.
const MAX_RESET_BEFORE_ACCEPT: usize = 20;

/// Streams that a connection may break the rules on, in all its life; those
/// beyond [`MAX_STREAMS`] are among them.
const MAX_FAULTY_STREAMS: usize = 200;

/// What the answers of a connection have in common.
struct Shared {
    client: Client,
    dispatch: Arc<Dispatch>,
    /// How often the client has taken something of an answer.
    taken: AtomicU64,
}

impl Shared {
    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    fn take(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }
}

/// Answers requests until the client leaves, a limit is passed, or `stop` asks
/// for the end; `late` is the deadline of the first one's head. The preface is
/// still to be read.
pub(crate) async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    client: Client,
    dispatch: Arc<Dispatch>,
    stop: CancellationToken,
    mut late: FirstHead,
) {
    let (socket, verdict) = Metered::new(socket);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(head_size(&client.limits))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_RESET_BEFORE_ACCEPT)
        .max_local_error_reset_streams(Some(MAX_FAULTY_STREAMS));
    let greeted = tokio::select! {
        greeted = builder.handshake(socket) => greeted,
        () = late.as_mut() => return,
        () = stop.cancelled() => return,
    };
    let shared = Arc::new(Shared {
        client,
        dispatch,
        taken: AtomicU64::new(0),
    });
    let ended = match greeted {
        Ok(connection) => {
            let session = Session {
                shared: Arc::clone(&shared),
                connection,
                verdict,
                streams: JoinSet::new(),
                phase: Phase::Silent,
                since: Instant::now(),
                timer: late,
            };
            session.run(stop).await
        }
        Err(error) => Err(error),
    };
    let client = &shared.client;
    match ended {
        Err(error) if error.is_go_away() && !error.is_remote() => {
            client.complain(MALFORMED, &format!("it is no HTTP/2: {error}"));
        }
        Err(error) => {
            // Clients that leave in the middle of an answer are everyday life.
            let peer = client.peer;
            tracing::debug!(protocol = "http", %peer, %error, "connection ended early");
        }
        Ok(()) => {}
    }
}

/// A head of the size that HTTP/1 may have, as HTTP/2 counts it: 32 bytes more
/// for each header (RFC 9113 section 6.5.2).
fn head_size(limits: &Limits) -> u32 {
    u32::try_from(limits.head_size + 32 * limits.headers).unwrap_or(u32::MAX)
}

/// A connection that is past its preface.
struct Session<IO> {
    shared: Arc<Shared>,
    connection: Connection<Metered<IO>, Chunk>,
    verdict: Verdict,
    streams: JoinSet<Outcome>,
    phase: Phase,
    /// Since when it is in its phase, or, after the first request, without one.
    since: Instant,
    /// Never later than the phase's deadline.
    timer: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request has come; the timer is that of the first one.
    Silent,
    Open,
    /// The client was told that no further request is answered.
    Leaving,
    /// The client was told that nothing is.
    Ending,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Session<IO> {
    async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        let mut stopped = Woken::new(Box::pin(stop.cancelled_owned()));
        poll_fn(|cx| {
            if matches!(self.phase, Phase::Silent | Phase::Open)
                && Pin::new(&mut stopped).poll(cx).is_ready()
            {
                self.leave();
            }
            self.poll(cx)
        })
        .await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            let mut again = false;
            while let Poll::Ready(Some(outcome)) = self.streams.poll_join_next(cx) {
                // A panic in a body costs its stream.
                if matches!(outcome, Ok(Outcome::Stalled)) && self.phase != Phase::Ending {
                    self.shared.dispatch.stalled();
                    self.end(Reason::CANCEL);
                }
                if self.streams.is_empty() && self.phase != Phase::Ending {
                    self.since = Instant::now();
                    if self.phase == Phase::Leaving {
                        self.arm();
                    }
                }
            }
            while let Poll::Ready(accepted) = self.connection.poll_accept(cx) {
                let Some(accepted) = accepted else {
                    return Poll::Ready(Ok(()));
                };
                let (request, mut respond) = accepted?;
                // What was there before the end is nobody's any more.
                if self.phase == Phase::Ending {
                    continue;
                }
                // Those that the client has reset are still to be noticed.
                if self.streams.len() >= 2 * MAX_STREAMS as usize {
                    respond.send_reset(Reason::REFUSED_STREAM);
                } else {
                    let shared = Arc::clone(&self.shared);
                    self.streams.spawn(stream::answer(request, respond, shared));
                }
                if self.phase == Phase::Silent {
                    self.phase = Phase::Open;
                    self.arm();
                }
                again = true;
            }
            if self.phase != Phase::Ending
                && let Some(offence) = self.verdict.offence()
            {
                self.shared.client.complain(FLOOD, offence);
                self.end(Reason::ENHANCE_YOUR_CALM);
                again = true;
            }
            while self.timer.as_mut().poll(cx).is_ready() {
                if self
                    .deadline()
                    .is_none_or(|deadline| Instant::now() < deadline)
                {
                    self.arm();
                    continue;
                }
                match self.phase {
                    Phase::Silent | Phase::Open => self.leave(),
                    Phase::Leaving | Phase::Ending => return Poll::Ready(Ok(())),
                }
                again = true;
            }
            if !again {
                return Poll::Pending;
            }
        }
    }

    /// When the phase has lasted long enough.
    fn deadline(&self) -> Option<Instant> {
        let limits = &self.shared.client.limits;
        match self.phase {
            // Only its own timer knows.
            Phase::Silent => Some(self.since),
            Phase::Ending => Some(self.since + LINGER),
            _ if !self.streams.is_empty() => None,
            Phase::Open => Some(self.since + limits.idle),
            Phase::Leaving => Some(self.since + LINGER),
        }
    }

    /// Sets the timer: as long as answers are in hand it looks now and then.
    fn arm(&mut self) {
        let deadline = self.deadline();
        let idle = self.shared.client.limits.idle;
        let at = deadline.unwrap_or_else(|| Instant::now() + idle);
        self.timer.as_mut().reset(at);
    }

    /// Lets the client finish what is in hand.
    fn leave(&mut self) {
        self.connection.graceful_shutdown();
        self.phase = Phase::Leaving;
        self.since = Instant::now();
        self.timer.as_mut().reset(self.since + LINGER);
    }

    /// Gives up on the client, and on all of its answers.
    fn end(&mut self, reason: Reason) {
        self.connection.abrupt_shutdown(reason);
        self.streams.abort_all();
        self.phase = Phase::Ending;
        self.since = Instant::now();
        self.timer.as_mut().reset(self.since + LINGER);
    }
}
