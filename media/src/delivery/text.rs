//! A text that is rendered once and sent to many, plain or compressed.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::Hasher;
use std::sync::OnceLock;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, VARY};
use http::request::Parts;
use http::{Response, StatusCode};
use rillcast_core::http::Body;

use super::{NO_STORE, Verb, encoding, entity_tag, etag, finish, reply};

/// A playlist or manifest, ready to be sent to any number of clients.
///
/// Its entity tag follows from its content, so that servers behind one balancer
/// and renders of one state agree on it.
pub struct Text {
    plain: Form,
    content_type: HeaderValue,
    cache: HeaderValue,
    /// Made when the first client asks for it; `None` inside if it is no shorter.
    packed: OnceLock<Option<Form>>,
}

/// The text as it is sent.
struct Form {
    bytes: Bytes,
    length: HeaderValue,
    tag: Option<HeaderValue>,
}

impl Text {
    /// A text of the given media type, which caches may keep for `max_age`
    /// seconds.
    #[must_use]
    pub fn new(text: String, content_type: HeaderValue, max_age: u32) -> Self {
        let plain = Bytes::from(text);
        Self {
            plain: Form::new(&plain, plain.clone(), ""),
            content_type,
            cache: kept_for(max_age),
            packed: OnceLock::new(),
        }
    }

    /// The same text for one client: it is not compressed, which costs more than
    /// it saves where it serves nobody else.
    #[must_use]
    pub fn for_one(mut self) -> Self {
        self.packed = OnceLock::from(None);
        self
    }

    /// The text itself, uncompressed, in UTF-8.
    #[must_use]
    pub const fn plain(&self) -> &Bytes {
        &self.plain.bytes
    }

    /// Answers a GET or HEAD: the text, compressed if the client takes that, or
    /// 304. Ranges are ignored.
    ///
    /// The map of the request's headers becomes that of the response.
    #[must_use]
    pub fn answer(&self, verb: Verb, head: &mut Parts) -> Response<Body> {
        self.answer_kept(verb, head, &self.cache)
    }

    /// The same, for caches to keep for as long as `kept` says, a value of
    /// Cache-Control: what a response is good for may depend on what was asked.
    #[must_use]
    pub fn answer_kept(&self, verb: Verb, head: &mut Parts, kept: &HeaderValue) -> Response<Body> {
        let packed = if encoding::takes_gzip(&head.headers) {
            self.packed()
        } else {
            None
        };
        let form = packed.unwrap_or(&self.plain);
        let unchanged = etag::unchanged(&head.headers, form.tag.as_ref());
        let mut response = reply(StatusCode::OK, head);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, kept.clone());
        headers.insert(VARY, BY_ENCODING);
        if let Some(tag) = &form.tag {
            headers.insert(ETAG, tag.clone());
        }
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        if packed.is_some() {
            headers.insert(CONTENT_ENCODING, GZIP);
        }
        finish(
            response,
            verb,
            form.bytes.clone().into(),
            form.length.clone(),
        )
    }

    fn packed(&self) -> Option<&Form> {
        let make = || {
            let bytes = encoding::gzip(&self.plain.bytes)?;
            // Another representation is another tag (RFC 9110 section 8.8.3.3).
            Some(Form::new(&self.plain.bytes, bytes, "-gzip"))
        };
        self.packed.get_or_init(make).as_ref()
    }
}

/// The value of Cache-Control with which every cache may keep a response for so
/// many seconds.
#[must_use]
pub fn kept_for(seconds: u32) -> HeaderValue {
    let value = HeaderValue::try_from(format!("public, max-age={seconds}"));
    // Digits are always legal.
    value.unwrap_or(NO_STORE)
}

impl Form {
    /// What `plain` is sent as; `mark` tells it from its other forms.
    fn new(plain: &[u8], bytes: Bytes, mark: &str) -> Self {
        Self {
            length: HeaderValue::from(bytes.len()),
            bytes,
            tag: entity_tag(&[&format!("{:016x}", hash(plain)), mark]),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (content_type, length) = (&self.content_type, self.plain.bytes.len());
        write!(f, "Text({content_type:?}, {length} bytes)")
    }
}

const BY_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// A hash that is the same in every process of the same build.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
