//! Bodies between hyper, axum and the plugins.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use rillcast_core::BoxError;
use rillcast_core::http::{Body, BodySource, Chunk};
use tokio::time::{Instant, Sleep};

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

/// The body of a request as a plugin reads it: bounded in size and patience.
pub(super) struct Arriving {
    incoming: Incoming,
    left: usize,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
}

/// The most that the body of one request may hold. What comes in by HTTP today
/// is control, not media.
const MAX_REQUEST_BODY: usize = 1 << 20;

impl Arriving {
    pub(super) fn new(incoming: Incoming, patience: Duration) -> Self {
        Self {
            incoming,
            left: MAX_REQUEST_BODY,
            patience,
            deadline: Box::pin(tokio::time::sleep(patience)),
        }
    }
}

impl BodySource for Arriving {
    fn poll_chunk(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let late = self.deadline.as_mut().poll(cx);
                    return late.map(|()| Some(Err("the request's body stopped arriving".into())));
                }
            };
            let patience = self.patience;
            self.deadline.as_mut().reset(Instant::now() + patience);
            let data = match frame {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => frame.into_data(),
            };
            // A frame without data holds trailers, which nobody needs.
            let Ok(data) = data else { continue };
            let Some(left) = self.left.checked_sub(data.len()) else {
                let error = format!("the request's body is larger than {MAX_REQUEST_BODY} bytes");
                return Poll::Ready(Some(Err(error.into())));
            };
            self.left = left;
            return Poll::Ready(Some(Ok(data)));
        }
    }
}
