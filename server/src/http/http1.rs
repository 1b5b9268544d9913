//! One HTTP/1 connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use http::Request;
use hyper::rt::{Read, ReadBuf, Write};
use hyper::server::conn::http1::{self, Parts};
use hyper::service::service_fn;
use rillcast_core::Woken;
use tokio_util::sync::CancellationToken;

use super::body::Incoming;
use super::conn::{Client, FirstHead, HEAD, HEAD_TOO_LARGE, LINGER, Limits, MALFORMED, SLOW};
use super::dispatch::Dispatch;
use super::timer::IdleTimer;

/// hyper's own bound for what it reads ahead and writes behind; an idle
/// connection keeps what its last request needed. Heads may be larger.
const BUFFER: usize = 32 << 10;

/// Answers requests on anything that carries bytes; `late` is the deadline of
/// the first one's head.
pub(crate) async fn serve(
    socket: impl Read + Write + Unpin,
    client: Client,
    dispatch: Arc<Dispatch>,
    stop: CancellationToken,
    mut late: FirstHead,
) {
    let Limits { idle, .. } = client.limits;
    // Whether a request has come.
    let begun = AtomicBool::new(false);
    let service = service_fn(|request| {
        begun.store(true, Ordering::Relaxed);
        let (head, body) = Request::into_parts(request);
        dispatch.answer(head, Incoming::Http1(body), &client)
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
    if client.was_refused() {
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

/// How much a client that was refused may still send.
const MOST_UNHEARD: usize = 1 << 20;

/// How the time of a connection went by.
enum Ended {
    By(hyper::Result<()>),
    HeadTimeout,
    /// The server wants to end.
    Not,
}

const HYPERS_HEADERS: usize = 100;

const HEAD_TOO_LATE: &str = "its head did not arrive within server.head_timeout or \
    server.idle_timeout";

const TIMED_OUT: &str = "HTTP/1.1 408 Request Timeout\r\nCache-Control: no-store\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";
