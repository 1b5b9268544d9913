//! How playlists, manifests and media bytes are answered over HTTP.
//!
//! Every egress that serves files answers by the same rules (RFC 9110 and what
//! players and caches ask for), so they live here once: cross-origin access on
//! every response, errors included ([`refuse`]), immutable bytes with an entity
//! tag and single ranges ([`Immutable`]), and short-lived texts that are
//! rendered and compressed once for all who ask ([`Text`]). Pure: a request's
//! head goes in, a response comes out.

mod encoding;
mod etag;
mod range;
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

pub use range::ByteRange;
pub use text::Text;

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
            set(response.headers_mut(), ALLOW, METHODS);
            Err(Box::new(response))
        }
    }
}

/// Lets pages of every origin read the response and the headers that players
/// look at (Fetch standard, section 3.3). There are no credentials to protect:
/// access is decided by the URL.
pub fn allow_origins(headers: &mut HeaderMap) {
    set(headers, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(headers, ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    set(headers, RESOURCE_POLICY, "cross-origin");
    set(headers, TIMING_ALLOW_ORIGIN, "*");
}

/// The answer to a browser that asks whether it may ask.
#[must_use]
pub fn preflight() -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    set(headers, ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    set(headers, ACCESS_CONTROL_ALLOW_HEADERS, ASKED);
    set(headers, ACCESS_CONTROL_MAX_AGE, "86400");
    set(headers, ALLOW, METHODS);
    response
}

/// A refusal with its reason for people. Never stored: what is missing now may
/// exist in a second, and a cache that kept the refusal would stall every viewer.
#[must_use]
pub fn refuse(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = empty(status);
    let headers = response.headers_mut();
    set(headers, CACHE_CONTROL, "no-store");
    set(headers, CONTENT_TYPE, "text/plain; charset=utf-8");
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
    pub content_type: &'static str,
    /// What tells them from everything that this URL could ever have meant;
    /// written between quotes as the entity tag, so it must hold none, and only
    /// visible ASCII.
    pub tag: String,
}

impl Immutable {
    /// Answers a GET or HEAD: whole, one range, 304 or 416. Several ranges are
    /// answered with the whole, as RFC 9110 section 14.2 allows.
    #[must_use]
    pub fn answer(self, verb: Verb, head: &Parts) -> Response<Body> {
        let total = self.bytes.len();
        let tag = etag::quoted(&self.tag);
        let mut response = empty(StatusCode::OK);
        let headers = response.headers_mut();
        set(headers, CACHE_CONTROL, FOREVER);
        set(headers, CONTENT_TYPE, self.content_type);
        set(headers, ACCEPT_RANGES, "bytes");
        if let Some(tag) = &tag {
            headers.insert(ETAG, tag.clone());
        }
        if etag::unchanged(&head.headers, tag.as_ref()) {
            return not_modified(response);
        }
        // A range is defined for GET only (RFC 9110 section 14.2).
        let asked = match verb {
            Verb::Get => range::asked(&head.headers, tag.as_ref(), total),
            Verb::Head => Asked::Whole,
        };
        let bytes = match asked {
            Asked::Whole => self.bytes,
            Asked::Part(part) => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                insert(
                    response.headers_mut(),
                    CONTENT_RANGE,
                    part.content_range(total),
                );
                self.bytes.range(part.start, part.len)
            }
            Asked::Nothing => {
                let mut response = refuse(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    "the range begins behind the end",
                );
                let range = format!("bytes */{total}");
                insert(response.headers_mut(), CONTENT_RANGE, range);
                return response;
            }
        };
        finish(response, verb, bytes)
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
    content_type: &'static str,
    pieces: impl FnOnce() -> Body,
) -> Response<Body> {
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    // The URL is immutable, the bytes so far are a true beginning of it.
    let cached = match head.version >= Version::HTTP_11 {
        true => FOREVER,
        false => "no-store",
    };
    set(headers, CACHE_CONTROL, cached);
    set(headers, CONTENT_TYPE, content_type);
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

/// Puts `bytes` and their length into `response`; HEAD gets the length only.
fn finish(mut response: Response<Body>, verb: Verb, bytes: Chunk) -> Response<Body> {
    let length = HeaderValue::from(bytes.len());
    response.headers_mut().insert(CONTENT_LENGTH, length);
    if verb == Verb::Get {
        *response.body_mut() = Body::whole(bytes);
    }
    response
}

/// Turns `response` into a 304; what describes the body goes, since there is none.
fn not_modified(mut response: Response<Body>) -> Response<Body> {
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

/// Sets a header from text of ours, which is always a legal value.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// A year, the longest that caches honour (RFC 9111 section 1.2.2), and no need to ask again.
const FOREVER: &str = "public, max-age=31536000, immutable";

const METHODS: &str = "GET, HEAD, OPTIONS";

/// Request headers that scripts may set. `*` covers all but Authorization.
const ASKED: &str = "*, Authorization, Range, If-None-Match, If-Range, Cache-Control, Content-Type";

/// Response headers that scripts may read: lengths and ranges for byte-range
/// players, Date and Age for those that measure how far behind live a cache is.
const EXPOSED: &str =
    "Accept-Ranges, Age, Content-Encoding, Content-Length, Content-Range, Date, ETag, Retry-After";

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

#[cfg(test)]
mod tests;
