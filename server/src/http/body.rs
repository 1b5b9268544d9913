//! Bodies between hyper, axum and the plugins.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body as _, Frame, SizeHint};
use rillcast_core::BoxError;
use rillcast_core::http::{Body, BodySource, Chunk};
use tokio::time::Sleep;

/// What an answer sends: a plugin's body, or one of the server's own.
pub(super) enum AnswerBody {
    Plugin(Body),
    Own(axum::body::Body),
}

/// hyper writes a [`Chunk`] with as few vectored writes as it takes: its
/// slices are never put together in user space.
impl http_body::Body for AnswerBody {
    type Data = Chunk;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, BoxError>>> {
        match self.get_mut() {
            Self::Plugin(body) => body.poll_chunk(cx).map_ok(Frame::data),
            Self::Own(body) => Pin::new(body)
                .poll_frame(cx)
                .map_ok(|frame| frame.map_data(Chunk::from))
                .map_err(BoxError::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plugin(body) => body.is_empty(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plugin(body) => body.len().map_or_else(SizeHint::new, SizeHint::with_exact),
            Self::Own(body) => body.size_hint(),
        }
    }
}

/// The body of a request as it comes in.
pub(super) enum Incoming {
    Http1(hyper::body::Incoming),
    Http2(Streamed),
}

/// The body of a request of HTTP/2. What is read gives the client its window
/// back.
pub(super) struct Streamed {
    stream: RecvStream,
    /// As the request said.
    length: Option<u64>,
}

impl Incoming {
    pub(super) fn streamed(stream: RecvStream, headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH);
        let length = length.and_then(|it| it.to_str().ok()?.parse().ok());
        Self::Http2(Streamed { stream, length })
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        match self {
            Self::Http1(body) => loop {
                let frame = ready!(Pin::new(&mut *body).poll_frame(cx)?);
                // A frame without data holds trailers, which nobody needs.
                match frame.map(Frame::into_data) {
                    None => return Poll::Ready(None),
                    Some(Ok(data)) => return Poll::Ready(Some(Ok(data))),
                    Some(Err(_)) => {}
                }
            },
            Self::Http2(body) => {
                let data = ready!(body.stream.poll_data(cx)?);
                if let Some(data) = &data {
                    // It fails only for more than came.
                    let _ = body.stream.flow_control().release_capacity(data.len());
                }
                Poll::Ready(data.map(Ok))
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.stream.is_end_stream(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.length.map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}

/// The body of a request as its handler reads it: bounded in size and time.
pub(super) struct Arriving {
    incoming: Incoming,
    left: usize,
    limits: BodyLimits,
    deadline: Pin<Box<Sleep>>,
    fault: Fault,
}

/// What the body of one request may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    pub(super) size: usize,
    /// From the request's head to the body's last byte.
    pub(super) time: Duration,
}

/// What was wrong with a body, for the answer: its handler may have made
/// anything of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault(Arc<AtomicU8>);

impl Fault {
    pub(super) const SIZE: u8 = 1;
    pub(super) const TIME: u8 = 2;

    pub(super) fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, fault: u8) {
        self.0.store(fault, Ordering::Relaxed);
    }
}

impl Arriving {
    pub(super) fn new(incoming: Incoming, limits: BodyLimits) -> Self {
        Self {
            incoming,
            left: limits.size,
            limits,
            deadline: Box::pin(tokio::time::sleep(limits.time)),
            fault: Fault::default(),
        }
    }

    /// Tells after the answer what was wrong.
    pub(super) fn fault(&self) -> Fault {
        self.fault.clone()
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        let data = match self.incoming.poll_data(cx) {
            Poll::Ready(data) => data,
            Poll::Pending => {
                ready!(self.deadline.as_mut().poll(cx));
                self.fault.set(Fault::TIME);
                let error = format!("no whole body within {:?}", self.limits.time);
                return Poll::Ready(Some(Err(error.into())));
            }
        };
        let Some(Ok(data)) = data else {
            return Poll::Ready(data);
        };
        let Some(left) = self.left.checked_sub(data.len()) else {
            self.fault.set(Fault::SIZE);
            let error = format!("a body of more than {} bytes", self.limits.size);
            return Poll::Ready(Some(Err(error.into())));
        };
        self.left = left;
        Poll::Ready(Some(Ok(data)))
    }
}

impl BodySource for Arriving {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        self.poll_data(cx)
    }
}

/// For the server's own routes.
impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.poll_data(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
