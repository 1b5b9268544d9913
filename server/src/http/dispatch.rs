//! Brings each request to who answers it.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use rillcast_core::Subject;
use rillcast_core::http::{Body, HttpHandler, HttpRequest, RequestBody, Routes};
use tower::ServiceExt;

use super::body::{AnswerBody, Arriving, Fault, Incoming};
use super::conn::{BODY, Client, HEAD, HEAD_TOO_LARGE, SLOW, TARGET};
use super::problem::Problem;
use super::stats::{HttpStats, add};

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

    /// Answers one request: at once, if that can be done without waiting.
    pub(super) fn answer<'a>(
        &'a self,
        head: Parts,
        body: Incoming,
        client: &'a Client,
    ) -> Answering<'a> {
        let has_body = !body.is_end_stream();
        match self.route(head, body, client) {
            Route::Refused { head, answer } => {
                let asked = (&head.method, head.uri.path());
                Answering::now(self.finish(asked, has_body, client, Ok(answer)))
            }
            Route::Plugin {
                handler,
                mut request,
                fault,
            } => {
                let answered = catch(|| handler.handle_now(&mut request));
                if let Some(answer) = answered.transpose() {
                    let answer = answer.map(|it| client.judged(it.map(AnswerBody::Plugin), fault));
                    let asked = (&request.head.method, request.head.uri.path());
                    return Answering::now(self.finish(asked, has_body, client, answer));
                }
                let (method, uri) = (request.head.method.clone(), request.head.uri.clone());
                Answering::Later(Box::pin(async move {
                    let answer = guarded(handler.handle(request)).await;
                    let answer = answer.map(|it| client.judged(it.map(AnswerBody::Plugin), fault));
                    self.finish((&method, uri.path()), has_body, client, answer)
                }))
            }
            Route::Own { request, fault } => {
                let (method, uri) = (request.method().clone(), request.uri().clone());
                Answering::Later(Box::pin(async move {
                    let answer = guarded(self.own.clone().oneshot(request)).await;
                    let answer = answer.map(|answer| match answer {
                        Ok(answer) => client.judged(answer.map(AnswerBody::Own), fault),
                        Err(never) => match never {},
                    });
                    self.finish((&method, uri.path()), has_body, client, answer)
                }))
            }
        }
    }

    /// Counts a connection that was dropped because its client took nothing.
    pub(super) fn stalled(&self) {
        add(&self.stats.stalled, 1);
    }

    /// What every answer has in common; `Err` is what a handler panicked with.
    fn finish(
        &self,
        // Not the query: it may hold a token.
        (method, path): (&Method, &str),
        has_body: bool,
        client: &Client,
        answer: Result<Response<AnswerBody>, String>,
    ) -> Response<AnswerBody> {
        let peer = client.peer;
        let mut response = answer.unwrap_or_else(|panic| {
            tracing::error!(protocol = "http", %peer, path, %panic, "a handler panicked");
            own(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the server made a mistake; its log says more",
            ))
        });
        if *method == Method::HEAD {
            behead(&mut response);
        }
        if has_body {
            // Behind a body that ends while its answer is still being sent, hyper
            // 1.12 puts the refusal of garbage into the midst of that answer.
            response.headers_mut().insert(CONNECTION, CLOSE);
        }
        let status = response.status();
        self.stats.answered(status);
        tracing::debug!(protocol = "http", %peer, %method, path, status = status.as_u16(), "answered");
        response
    }

    /// Who answers; nothing of theirs runs yet.
    fn route(&self, mut head: Parts, incoming: Incoming, client: &Client) -> Route {
        let limits = &client.limits;
        if target_size(&head.uri) > limits.target {
            let why = "the path with its query is longer than server.max_target_size";
            let answer = client.refuse(StatusCode::URI_TOO_LONG, TARGET, why);
            return Route::Refused { head, answer };
        }
        let size = incoming.size_hint().lower();
        if size > u64::try_from(limits.body.size).unwrap_or(u64::MAX) {
            let answer = client.refuse(StatusCode::PAYLOAD_TOO_LARGE, BODY, BODY_TOO_LARGE);
            return Route::Refused { head, answer };
        }
        // hyper counts those of HTTP/1 while it reads them.
        if head.headers.len() > limits.headers {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            let answer = client.refuse(status, HEAD, HEAD_TOO_LARGE);
            return Route::Refused { head, answer };
        }
        // RFC 9112 section 3.2.
        let hosts = head.headers.get_all(HOST).iter().count();
        if hosts > 1 || (hosts == 0 && head.version == Version::HTTP_11) {
            let detail = "a request of HTTP/1.1 needs exactly one Host header";
            let answer = own(Problem::new(StatusCode::BAD_REQUEST, detail));
            return Route::Refused { head, answer };
        }
        // RFC 9113 section 8.3.1; handlers know the header.
        if let Some(authority) = head.uri.authority()
            && head.version == Version::HTTP_2
        {
            match head.headers.get(HOST) {
                Some(host) if host.as_bytes() != authority.as_str().as_bytes() => {
                    let detail = "the Host header is not the authority of the request";
                    let answer = own(Problem::new(StatusCode::BAD_REQUEST, detail));
                    return Route::Refused { head, answer };
                }
                Some(_) => {}
                None => {
                    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
                        head.headers.insert(HOST, host);
                    }
                }
            }
        }
        let body = client.arriving(incoming);
        let path = head.uri.path();
        let is_root = |root: &&str| {
            let rest = path.strip_prefix(*root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if path != "/"
            && !self.own_roots.iter().any(is_root)
            && let Some((handler, rest)) = self.routes.find(path)
        {
            let (body, fault) = match body {
                None => (RequestBody::empty(), None),
                Some((body, fault)) => (RequestBody::new(body), Some(fault)),
            };
            let request = HttpRequest {
                path: rest.to_owned(),
                head,
                peer: Some(client.peer),
                body,
            };
            return Route::Plugin {
                handler,
                request,
                fault,
            };
        }
        let (body, fault) = match body {
            None => (axum::body::Body::empty(), None),
            Some((body, fault)) => (axum::body::Body::new(body), Some(fault)),
        };
        let mut request = Request::from_parts(head, body);
        request.extensions_mut().insert(Peer(client.peer));
        Route::Own { request, fault }
    }
}

/// Who answers a request, with what they are given.
enum Route {
    /// Nobody: it is refused here.
    Refused {
        head: Parts,
        answer: Response<AnswerBody>,
    },
    Plugin {
        handler: Arc<dyn HttpHandler>,
        request: HttpRequest,
        fault: Option<Fault>,
    },
    Own {
        request: Request<axum::body::Body>,
        fault: Option<Fault>,
    },
}

/// The future of an answer, which most often is there already.
pub(super) enum Answering<'a> {
    Now(Option<Response<AnswerBody>>),
    Later(Pin<Box<dyn Future<Output = Response<AnswerBody>> + Send + 'a>>),
}

impl Answering<'_> {
    const fn now(response: Response<AnswerBody>) -> Self {
        Self::Now(Some(response))
    }
}

impl Future for Answering<'_> {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            // Nobody polls a future again that was ready.
            Self::Now(response) => response
                .take()
                .map_or(Poll::Pending, |it| Poll::Ready(Ok(it))),
            Self::Later(response) => response.as_mut().poll(cx).map(Ok),
        }
    }
}

impl Client {
    /// A body that is yet to come, and what will tell how it came.
    fn arriving(&self, incoming: Incoming) -> Option<(Arriving, Fault)> {
        if incoming.is_end_stream() {
            return None;
        }
        let body = Arriving::new(incoming, self.limits.body);
        let fault = body.fault();
        Some((body, fault))
    }

    /// The answer, unless the request's body was at fault.
    fn judged(&self, answer: Response<AnswerBody>, fault: Option<Fault>) -> Response<AnswerBody> {
        match fault.map_or(0, |fault| fault.get()) {
            Fault::SIZE => self.refuse(StatusCode::PAYLOAD_TOO_LARGE, BODY, BODY_TOO_LARGE),
            Fault::TIME => {
                let why = "the request's body did not arrive within server.body_timeout";
                self.refuse(StatusCode::REQUEST_TIMEOUT, SLOW, why)
            }
            _ => answer,
        }
    }

    /// Refuses a request and ends its connection: the rest of what was sent is
    /// not read.
    fn refuse(
        &self,
        status: StatusCode,
        offence: Subject,
        why: &'static str,
    ) -> Response<AnswerBody> {
        self.complain(offence, why);
        let mut response = own(Problem::new(status, why));
        response.headers_mut().insert(CONNECTION, CLOSE);
        response
    }
}

const CLOSE: HeaderValue = HeaderValue::from_static("close");

const BODY_TOO_LARGE: &str = "the request's body is larger than server.max_body_size";

/// As long as the client wrote it.
fn target_size(uri: &Uri) -> usize {
    let authority = uri
        .authority()
        .map_or(0, |authority| authority.as_str().len());
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    authority + path
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

/// An answer to HEAD: the headers of the answer to GET and no body (RFC 9110
/// section 9.3.2).
///
/// A Content-Length only where the answer to GET has it: caches take it for the
/// length of what they store (RFC 9111 section 4.3.5), and drop what differs.
fn behead(response: &mut Response<AnswerBody>) {
    let length = response.body().size_hint().exact();
    let bodiless = matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    let headers = response.headers_mut();
    if bodiless {
        // axum writes that of the empty body.
        headers.remove(CONTENT_LENGTH);
    } else if let Some(length @ 1..) = length
        // No body at all is one that the handler has left out for HEAD. It knows
        // then whether there is a length.
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
    std::future::poll_fn(|cx| match catch(|| answer.as_mut().poll(cx)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// What `work` returns, or what it panicked with.
fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("no message").to_owned()
    })
}
