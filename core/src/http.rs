//! What an egress serves over HTTP: handlers, bodies and the routes they are
//! mounted at. The server owns the sockets and the HTTP implementation; a
//! plugin sees the types of the `http` and `bytes` crates only.

mod body;
mod hold;
mod routes;

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;

pub use body::{Body, Chunk};
pub use hold::hold;
pub use routes::{MountError, Routes};

use crate::plugin::BoxError;

/// Answers the requests below the prefix that it is mounted at.
///
/// The returned future may be dropped at any await when the client leaves.
#[async_trait]
pub trait HttpHandler: Send + Sync + 'static {
    /// Answers at once what need not be waited for, which saves making a future
    /// of it; `None` leaves the request as it was, for [`handle`](Self::handle).
    /// It must not block. What most requests are answered by should be here;
    /// a handler without it works as well.
    fn handle_now(&self, _request: &mut HttpRequest) -> Option<http::Response<Body>> {
        None
    }

    /// Answers one request; errors of any kind are responses too.
    async fn handle(&self, request: HttpRequest) -> http::Response<Body>;
}

/// One request to an [`HttpHandler`].
pub struct HttpRequest {
    /// Method, whole URI, version and headers, as the client sent them.
    pub head: http::request::Parts,
    /// The path below the mount, without its leading slash, still percent-encoded.
    pub path: String,
    /// The client's address, if the connection has one.
    pub peer: Option<SocketAddr>,
    /// The request's body.
    pub body: RequestBody,
}

impl HttpRequest {
    /// A request without a body, for a `path` below the mount; for tests.
    #[must_use]
    pub fn get(path: &str) -> Self {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.uri = format!("/{path}").parse().unwrap_or_default();
        let path = head.uri.path().strip_prefix('/').unwrap_or_default();
        Self {
            path: path.to_owned(),
            head,
            peer: None,
            body: RequestBody::empty(),
        }
    }

    /// The URI's query string, without the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.head.uri.query()
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.head.method)
            .field("path", &self.path)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Where a [`RequestBody`] comes from; the server implements it.
pub trait BodySource: Send {
    /// The next piece, `None` at the end.
    fn poll_chunk(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>>;
}

/// The body of a request, read piece by piece.
#[derive(Default)]
pub struct RequestBody(Option<Pin<Box<dyn BodySource>>>);

impl RequestBody {
    /// A body without any bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(None)
    }

    /// A body that is read from `source`.
    #[must_use]
    pub fn new(source: impl BodySource + 'static) -> Self {
        Self(Some(Box::pin(source)))
    }

    /// The next piece of the body, `None` at its end. Cancel safe.
    ///
    /// # Errors
    /// Whatever broke the connection; the body ends with it.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BoxError>> {
        let source = self.0.as_mut()?;
        let next = std::future::poll_fn(|cx| source.as_mut().poll_chunk(cx)).await;
        if !matches!(next, Some(Ok(_))) {
            self.0 = None;
        }
        next
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "RequestBody(..)"
        } else {
            "RequestBody(empty)"
        })
    }
}
