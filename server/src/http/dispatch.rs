//! Brings each request to who answers it.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use rillcast_core::http::{Body, HttpRequest, RequestBody, Routes};
use tower::ServiceExt;

use super::body::{AnswerBody, Arriving};
use super::problem::Problem;
use super::stats::HttpStats;

/// The client's address, in the extensions of a request to the server's own routes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The server's own router and the plugins' handlers.
pub(crate) struct Dispatch {
    own: Router,
    /// What the server's own routes begin with: no plugin can shadow them.
    own_roots: &'static [&'static str],
    routes: Routes,
    stats: Arc<HttpStats>,
}

impl Dispatch {
    pub(crate) fn new(
        own: Router,
        own_roots: &'static [&'static str],
        routes: Routes,
        stats: Arc<HttpStats>,
    ) -> Self {
        Self {
            own,
            own_roots,
            routes,
            stats,
        }
    }

    /// Answers one request; `patience` is for the pieces of its body.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        patience: Duration,
    ) -> Response<AnswerBody> {
        let method = request.method().clone();
        let has_body = !request.body().is_end_stream();
        // Not the query: it may hold a token.
        let path = request.uri().path().to_owned();
        let answer = guarded(self.route(request, peer, patience)).await;
        let mut response = answer.unwrap_or_else(|panic| {
            tracing::error!(protocol = "http", peer = %peer.0, path, %panic, "a handler panicked");
            own(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the server made a mistake; its log says more",
            ))
        });
        if method == Method::HEAD {
            behead(&mut response);
        }
        if has_body {
            // Behind a body that ends while its answer is still being sent, hyper
            // 1.12 puts the refusal of garbage into the midst of that answer.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        let status = response.status();
        self.stats.answered(status);
        tracing::debug!(protocol = "http", peer = %peer.0, %method, path, status = status.as_u16(), "answered");
        response
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        patience: Duration,
    ) -> Response<AnswerBody> {
        // RFC 9112 section 3.2.
        let hosts = request.headers().get_all(HOST).iter().count();
        if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
            let detail = "a request of HTTP/1.1 needs exactly one Host header";
            return own(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        let path = request.uri().path();
        let is_root = |root: &&str| {
            let rest = path.strip_prefix(*root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if path != "/"
            && !self.own_roots.iter().any(is_root)
            && let Some((handler, rest)) = self.routes.find(path)
        {
            let path = rest.to_owned();
            let (head, incoming) = request.into_parts();
            let body = if incoming.is_end_stream() {
                RequestBody::empty()
            } else {
                RequestBody::new(Arriving::new(incoming, patience))
            };
            let request = HttpRequest {
                head,
                path,
                peer: Some(peer.0),
                body,
            };
            return handler.handle(request).await.map(AnswerBody::Plugin);
        }
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(peer);
        let answered: Result<_, Infallible> = self.own.clone().oneshot(request).await;
        match answered {
            Ok(response) => response.map(AnswerBody::Own),
            Err(never) => match never {},
        }
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch")
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

fn own(problem: Problem) -> Response<AnswerBody> {
    problem.response::<axum::body::Body>().map(AnswerBody::Own)
}

/// An answer to HEAD: the headers of the answer to GET, Content-Length
/// included, and no body (RFC 9110 section 9.3.2).
fn behead(response: &mut Response<AnswerBody>) {
    let length = response.body().size_hint().exact();
    let headers = response.headers_mut();
    if let Some(length) = length
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = AnswerBody::Plugin(Body::empty());
}

/// Awaits `answer`; a panic in it ends the answer and nothing else.
async fn guarded<T>(answer: impl Future<Output = T>) -> Result<T, String> {
    let mut answer = std::pin::pin!(answer);
    std::future::poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Poll::Ready(Err(text.unwrap_or("no message").to_owned()))
            }
        },
    )
    .await
}
