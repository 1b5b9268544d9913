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

use super::{Verb, empty, encoding, etag, finish, insert, not_modified, set};

/// A playlist or manifest, ready to be sent to any number of clients.
///
/// Its entity tag follows from its content, so that servers behind one balancer
/// and renders of one state agree on it.
pub struct Text {
    plain: Bytes,
    content_type: &'static str,
    tag: Option<HeaderValue>,
    /// Made when the first client asks for it; `None` inside if it is no shorter.
    packed: OnceLock<Option<Packed>>,
}

struct Packed {
    bytes: Bytes,
    tag: Option<HeaderValue>,
}

impl Text {
    /// A text of the given media type.
    #[must_use]
    pub fn new(text: String, content_type: &'static str) -> Self {
        let plain = Bytes::from(text);
        Self {
            tag: etag::quoted(&format!("{:016x}", hash(&plain))),
            plain,
            content_type,
            packed: OnceLock::new(),
        }
    }

    /// The text itself, uncompressed, in UTF-8.
    #[must_use]
    pub const fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// Answers a GET or HEAD: the text, compressed if the client takes that, or
    /// 304. Caches may keep it for `max_age` seconds. Ranges are ignored.
    #[must_use]
    pub fn answer(&self, verb: Verb, head: &Parts, max_age: u32) -> Response<Body> {
        let packed = if encoding::takes_gzip(&head.headers) {
            self.packed()
        } else {
            None
        };
        let (bytes, tag) = match packed {
            Some(packed) => (&packed.bytes, &packed.tag),
            None => (&self.plain, &self.tag),
        };
        let mut response = empty(StatusCode::OK);
        let headers = response.headers_mut();
        set(headers, CONTENT_TYPE, self.content_type);
        insert(headers, CACHE_CONTROL, format!("public, max-age={max_age}"));
        set(headers, VARY, "Accept-Encoding");
        if let Some(tag) = tag {
            headers.insert(ETAG, tag.clone());
        }
        if etag::unchanged(&head.headers, tag.as_ref()) {
            return not_modified(response);
        }
        if packed.is_some() {
            set(headers, CONTENT_ENCODING, "gzip");
        }
        finish(response, verb, bytes.clone().into())
    }

    fn packed(&self) -> Option<&Packed> {
        let make = || {
            let bytes = encoding::gzip(&self.plain)?;
            // Another representation is another tag (RFC 9110 section 8.8.3.3).
            let tag = etag::quoted(&format!("{:016x}-gzip", hash(&self.plain)));
            Some(Packed { bytes, tag })
        };
        self.packed.get_or_init(make).as_ref()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({}, {} bytes)", self.content_type, self.plain.len())
    }
}

/// A hash that is the same in every process of the same build.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
