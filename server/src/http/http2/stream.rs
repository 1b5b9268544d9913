//! One request of an HTTP/2 connection, and its answer.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::SystemTime;

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, UPGRADE};
use http::response::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body::Body as _;
use rillcast_core::http::Chunk;

use super::{SEND_BUFFER, Shared};
use crate::http::body::{AnswerBody, Incoming};

/// How an answer went, as far as its connection wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was sent, or the client does not want it any more.
    Done,
    /// The client took nothing for too long, neither of this answer nor of any.
    Stalled,
}

/// Answers `request`, until the client takes it back. Cancel safe: the stream is
/// reset then.
pub(super) async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Chunk>,
    shared: Arc<Shared>,
) -> Outcome {
    let is_head = request.method() == Method::HEAD;
    let (head, stream) = request.into_parts();
    let body = Incoming::streamed(stream, &head.headers);
    let answer = {
        let mut answer = pin!(shared.dispatch.answer(head, body, &shared.client));
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(Ok(answer)) => Poll::Ready(Some(answer)),
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        })
        .await
    };
    let Some(answer) = answer else {
        return Outcome::Done;
    };
    let (mut head, body) = answer.into_parts();
    fit(&mut head, &body, is_head);
    let head = http::Response::from_parts(head, ());
    let ended = body.is_end_stream();
    match respond.send_response(head, ended) {
        Ok(mut stream) if !ended => send(body, &mut stream, &shared).await,
        // All of it is sent, or the client has left.
        Ok(_) | Err(_) => Outcome::Done,
    }
}

/// Makes the head what HTTP/2 wants it to be, and what hyper would have made of
/// it for HTTP/1.
fn fit(head: &mut Parts, body: &AnswerBody, is_head: bool) {
    // RFC 9113 section 8.2.2.
    for name in [CONNECTION, KEEP_ALIVE, TRANSFER_ENCODING, UPGRADE] {
        head.headers.remove(name);
    }
    let bodiless = is_head
        || head.status.is_informational()
        || matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    if !bodiless
        && let Some(length) = body.size_hint().exact()
        && !head.headers.contains_key(CONTENT_LENGTH)
    {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    if !head.headers.contains_key(DATE)
        && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now()))
    {
        head.headers.insert(DATE, date);
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Sends `body` as its pieces come, and as the client has room for them.
async fn send(mut body: AnswerBody, stream: &mut SendStream<Chunk>, shared: &Shared) -> Outcome {
    loop {
        let frame = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => stream.poll_reset(cx).map(Err),
        });
        let mut rest = match frame.await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                Err(_trailers) => continue,
            },
            Ok(Some(Err(_))) => {
                // Never an end that looks as if all were there.
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Outcome::Done;
            }
            Ok(None) => {
                let _ = stream.send_data(Chunk::from(Bytes::new()), true);
                return Outcome::Done;
            }
            Err(_left) => return Outcome::Done,
        };
        while rest.has_remaining() {
            let room = match room(stream, rest.len().min(SEND_BUFFER), shared).await {
                Room::For(count) => count,
                Room::Gone => return Outcome::Done,
                Room::Stalled => return Outcome::Stalled,
                Room::Late => {
                    stream.send_reset(Reason::CANCEL);
                    return Outcome::Done;
                }
            };
            let piece = rest.clone().range(0, room);
            rest.advance(room);
            let last = rest.is_empty() && body.is_end_stream();
            if stream.send_data(piece, last).is_err() || last {
                return Outcome::Done;
            }
        }
    }
}

/// What a stream's flow control says of the next bytes.
enum Room {
    For(usize),
    /// The stream has ended.
    Gone,
    /// The client took nothing of this answer for too long.
    Late,
    /// The client took nothing of any answer for as long.
    Stalled,
}

/// Waits until the client has room for some of `wanted` bytes.
async fn room(stream: &mut SendStream<Chunk>, wanted: usize, shared: &Shared) -> Room {
    stream.reserve_capacity(wanted);
    let there = stream.capacity();
    let count = if there > 0 {
        there
    } else {
        let before = shared.taken();
        let mut patience = pin!(tokio::time::sleep(shared.client.limits.write));
        let granted = poll_fn(|cx| {
            loop {
                match stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(0))) => {}
                    Poll::Ready(Some(Ok(count))) => return Poll::Ready(Ok(count)),
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Room::Gone)),
                    Poll::Pending => break,
                }
            }
            ready!(patience.as_mut().poll(cx));
            Poll::Ready(Err(match shared.taken() == before {
                true => Room::Stalled,
                false => Room::Late,
            }))
        });
        match granted.await {
            Ok(count) => count,
            Err(verdict) => return verdict,
        }
    };
    shared.take();
    Room::For(count.min(wanted))
}
