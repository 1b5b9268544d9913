//! How playlists, manifests and media bytes are answered over HTTP.
//!
//! Every egress that serves files answers by the same rules (RFC 9110 and what
//! players and caches ask for), so they live here once: cross-origin access on
//! every response, errors included ([`refuse`]), immutable bytes with an entity
//! tag and single ranges ([`Immutable`]), and short-lived texts that are
//! rendered and compressed once for all who ask ([`Text`]). That much is pure: a
//! request's head goes in, a response comes out.
//!
//! How an egress comes by the window that it writes of is the same for all too:
//! [`Streams`], [`Sessions`], [`playable`], and [`run`] for its plugin.

mod encoding;
mod etag;
mod range;
mod sessions;
mod streams;
mod text;

use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW,
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, RETRY_AFTER,
};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use rillcast_core::http::{Body, Chunk};

pub use etag::entity_tag;
pub use range::ByteRange;
pub use sessions::Sessions;
pub use streams::{Refusal, Streams, missing, note_viewer, playable, run};
pub use text::{Text, kept_for};

use range::Asked;

/// What a request's method asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The whole response.
    Get,
    /// The response without its body.
    Head,
}

/// The method of a request for a file. `OPTIONS` (a browser's preflight) is
/// answered here.
///
/// # Errors
/// The response to a request that is neither GET nor HEAD.
pub fn verb(head: &Parts) -> Result<Verb, Box<Response<Body>>> {
    match head.method {
        Method::GET => Ok(Verb::Get),
        Method::HEAD => Ok(Verb::Head),
        Method::OPTIONS => Err(Box::new(preflight())),
        _ => {
            let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
            response.headers_mut().insert(ALLOW, METHODS);
            Err(Box::new(response))
        }
    }
}

/// Lets pages of every origin read the response and the headers that players
/// look at (Fetch standard, section 3.3). There are no credentials to protect:
/// access is decided by the URL.
pub fn allow_origins(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.insert(RESOURCE_POLICY, CROSS_ORIGIN);
    headers.insert(TIMING_ALLOW_ORIGIN, ANY);
}

/// The answer to a browser that asks whether it may ask.
#[must_use]
pub fn preflight() -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ASKED);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    headers.insert(ALLOW, METHODS);
    response
}

/// A refusal with its reason for people. Never stored: what is missing now may
/// exist in a second, and a cache that kept the refusal would stall every viewer.
#[must_use]
pub fn refuse(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = empty(status);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(CONTENT_TYPE, PLAIN_TEXT);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(why.len()));
    *response.body_mut() = Body::from(why);
    response
}

/// A refusal of what is expected to exist in `seconds`: 503 with Retry-After.
#[must_use]
pub fn refuse_for_now(why: &'static str, seconds: u32) -> Response<Body> {
    let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    let retry = HeaderValue::from(seconds.max(1));
    response.headers_mut().insert(RETRY_AFTER, retry);
    response
}

/// Bytes that never change under their URL.
#[derive(Debug)]
pub struct Immutable {
    /// The bytes.
    pub bytes: Chunk,
    /// Their media type.
    pub content_type: HeaderValue,
    /// What tells them from everything that this URL could ever have meant, as
    /// [`entity_tag`] makes it; `None` if there is nothing.
    pub tag: Option<HeaderValue>,
}

impl Immutable {
    /// Answers a GET or HEAD: whole, one range, 304 or 416. Several ranges are
    /// answered with the whole, as RFC 9110 section 14.2 allows.
    ///
    /// The map of the request's headers becomes that of the response.
    #[must_use]
    pub fn answer(self, verb: Verb, head: &mut Parts) -> Response<Body> {
        let Self {
            bytes,
            content_type,
            tag,
        } = self;
        let total = bytes.len();
        let unchanged = etag::unchanged(&head.headers, tag.as_ref());
        // A range is defined for GET only (RFC 9110 section 14.2), and a
        // condition goes first (section 13.2.2).
        let asked = match verb {
            Verb::Get if !unchanged => range::asked(&head.headers, tag.as_ref(), total),
            _ => Asked::Whole,
        };
        if asked == Asked::Nothing {
            let mut response = refuse(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "the range begins behind the end",
            );
            let range = format!("bytes */{total}");
            insert(response.headers_mut(), CONTENT_RANGE, range);
            return response;
        }
        let mut response = reply(StatusCode::OK, head);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, FOREVER);
        headers.insert(ACCEPT_RANGES, BYTES);
        if let Some(tag) = tag {
            headers.insert(ETAG, tag);
        }
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, content_type);
        let bytes = match asked {
            Asked::Part(part) => {
                insert(headers, CONTENT_RANGE, part.content_range(total));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                bytes.range(part.start, part.len)
            }
            Asked::Whole | Asked::Nothing => bytes,
        };
        let length = HeaderValue::from(bytes.len());
        finish(response, verb, bytes, length)
    }
}

/// Bytes that are still being made: 200 without a length or an entity tag,
/// ranges ignored. `pieces` runs only for GET, and an error in it must abort
/// the connection, so that no cache takes a torso for the whole.
///
/// HTTP/1.0 cannot tell an abort from the end, so its caches must not keep it.
#[must_use]
pub fn growing(
    verb: Verb,
    head: &Parts,
    content_type: HeaderValue,
    pieces: impl FnOnce() -> Body,
) -> Response<Body> {
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    // The URL is immutable, the bytes so far are a true beginning of it.
    let cached = match head.version >= Version::HTTP_11 {
        true => FOREVER,
        false => NO_STORE,
    };
    headers.insert(CACHE_CONTROL, cached);
    headers.insert(CONTENT_TYPE, content_type);
    if verb == Verb::Get {
        *response.body_mut() = pieces();
    }
    response
}

/// A response without a body that pages of every origin may read.
fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    allow_origins(response.headers_mut());
    response
}

/// The same, in the request's map of headers: a connection then needs one map
/// for all that it carries.
fn reply(status: StatusCode, head: &mut Parts) -> Response<Body> {
    let mut headers = std::mem::take(&mut head.headers);
    if headers.capacity() > MOST_KEPT {
        headers = HeaderMap::new();
    }
    headers.clear();
    headers.reserve(MOST_HEADERS);
    allow_origins(&mut headers);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Puts `bytes` and their `length` into `response`; HEAD gets the length only.
fn finish(
    mut response: Response<Body>,
    verb: Verb,
    bytes: Chunk,
    length: HeaderValue,
) -> Response<Body> {
    response.headers_mut().insert(CONTENT_LENGTH, length);
    if verb == Verb::Get {
        *response.body_mut() = Body::whole(bytes);
    }
    response
}

/// Sets a header from text of ours, which is always a legal value.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// The most that an answer to a good request has, Date and Connection included,
/// which are added by the server.
const MOST_HEADERS: usize = 13;

/// A map that has room for more is not kept: what browsers send is about half
/// as much, and a connection should not hold for good what one request needed.
const MOST_KEPT: usize = 48;

/// A year, the longest that caches honour (RFC 9111 section 1.2.2), and no need to ask again.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The value of Cache-Control with which nothing keeps a response.
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
const ANY: HeaderValue = HeaderValue::from_static("*");
const CROSS_ORIGIN: HeaderValue = HeaderValue::from_static("cross-origin");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// Request headers that scripts may set. `*` covers all but Authorization.
const ASKED: HeaderValue = HeaderValue::from_static(
    "*, Authorization, Range, If-None-Match, If-Range, Cache-Control, Content-Type",
);

/// Response headers that scripts may read: lengths and ranges for byte-range
/// players, Date and Age for those that measure how far behind live a cache is.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Accept-Ranges, Age, Content-Encoding, Content-Length, Content-Range, Date, ETag, Retry-After",
);

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

#[cfg(test)]
mod tests;
