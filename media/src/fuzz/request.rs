//! Requests for media and playlists: addresses, ranges, conditions, encodings.

use std::io::Read;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use flate2::read::GzDecoder;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    HeaderName, HeaderValue, IF_NONE_MATCH, RANGE,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use rillcast_core::http::{Body, Chunk};

use crate::cmaf::Address;
use crate::delivery::{self, Immutable, Text, Verb};

/// A request as lines of text: its method and the size of what it asks for, its
/// path, and its headers.
pub fn request(data: &[u8]) {
    let Some(([method, size], rest)) = data.split_first_chunk() else {
        return;
    };
    let mut lines = rest.split(|byte| *byte == b'\n');
    let path = lines.next().unwrap_or_default();
    if let Some(address) = std::str::from_utf8(path).ok().and_then(Address::parse)
        && let Some(url) = address.url_path()
    {
        // No file has two URLs but for the encoding of its key.
        assert_eq!(Address::parse(&url), Some(address));
    }
    let (mut head, ()) = http::Request::new(()).into_parts();
    let methods = [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST];
    // GET, mostly.
    let method = methods.get(usize::from(method % 16));
    head.method = method.cloned().unwrap_or_default();
    for line in lines.take(MOST_HEADERS) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let header = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
        if let (Ok(name), Ok(value)) = header {
            head.headers.append(name, value);
        }
    }
    let verb = match delivery::verb(&head) {
        Ok(verb) => verb,
        Err(response) => {
            assert!(head.method != Method::GET && head.method != Method::HEAD);
            assert!(response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
            return;
        }
    };
    immutable(verb, head.clone(), *size);
    text(verb, head, *size);
}

/// Bytes that tell where they stand, in slices of uneven sizes.
fn immutable(verb: Verb, mut head: Parts, size: u8) {
    let asked = head.headers.clone();
    let whole: Vec<u8> = (0..size).collect();
    let slices = whole.chunks(usize::from(size % 7) + 1);
    let slices = slices.map(Bytes::copy_from_slice).collect();
    let file = Immutable {
        bytes: Chunk::from_slices(slices),
        content_type: HeaderValue::from_static("video/mp4"),
        tag: delivery::entity_tag(&["s1-v0", "-7"]),
    };
    let answer = Answer::of(file.answer(verb, &mut head));
    match answer.response.status() {
        StatusCode::OK => answer.holds(verb, &whole),
        StatusCode::PARTIAL_CONTENT => {
            assert!(verb == Verb::Get && asked.contains_key(RANGE));
            let range = answer.header(CONTENT_RANGE).strip_prefix("bytes ").unwrap();
            let (range, total) = range.split_once('/').unwrap();
            assert_eq!(total, whole.len().to_string());
            let (first, last) = range.split_once('-').unwrap();
            let first: usize = first.parse().unwrap();
            let last: usize = last.parse().unwrap();
            answer.holds(verb, whole.get(first..=last).unwrap());
        }
        StatusCode::NOT_MODIFIED => {
            assert!(asked.contains_key(IF_NONE_MATCH));
            assert!(answer.body.is_empty());
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let range = format!("bytes */{}", whole.len());
            assert_eq!(answer.header(CONTENT_RANGE), range);
        }
        other => panic!("{other}"),
    }
}

fn text(verb: Verb, mut head: Parts, size: u8) {
    let asked = head.headers.clone();
    let plain = "#EXTINF:2,\n".repeat(usize::from(size));
    let playlist = HeaderValue::from_static("application/vnd.apple.mpegurl");
    let text = Text::new(plain.clone(), playlist, 1);
    let answer = Answer::of(text.answer(verb, &mut head));
    if answer.response.status() == StatusCode::NOT_MODIFIED {
        assert!(asked.contains_key(IF_NONE_MATCH));
        assert!(answer.body.is_empty());
        return;
    }
    assert_eq!(answer.response.status(), StatusCode::OK);
    if !answer.response.headers().contains_key(CONTENT_ENCODING) {
        answer.holds(verb, plain.as_bytes());
        return;
    }
    assert!(asked.contains_key(ACCEPT_ENCODING));
    if verb == Verb::Get {
        let mut read = String::new();
        GzDecoder::new(&*answer.body)
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read, plain);
    }
}

/// A response, its body read.
struct Answer {
    response: Response<()>,
    body: Vec<u8>,
}

impl Answer {
    fn of(response: Response<Body>) -> Self {
        let (head, mut from) = response.into_parts();
        let mut cx = Context::from_waker(Waker::noop());
        let mut body = Vec::new();
        while let Poll::Ready(Some(chunk)) = from.poll_chunk(&mut cx) {
            body.put_all(chunk.unwrap());
        }
        let answer = Self {
            response: Response::from_parts(head, ()),
            body,
        };
        assert_eq!(answer.header(ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        answer
    }

    /// One header as text, empty if it is not there.
    fn header(&self, name: HeaderName) -> &str {
        let value = self.response.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// Fails unless this is the answer that says `whole`.
    fn holds(&self, verb: Verb, whole: &[u8]) {
        assert_eq!(self.header(CONTENT_LENGTH), whole.len().to_string());
        match verb {
            Verb::Get => assert_eq!(self.body, whole),
            Verb::Head => assert!(self.body.is_empty()),
        }
    }
}

trait PutAll {
    fn put_all(&mut self, chunk: Chunk);
}

impl PutAll for Vec<u8> {
    fn put_all(&mut self, mut chunk: Chunk) {
        while chunk.has_remaining() {
            self.extend_from_slice(chunk.chunk());
            chunk.advance(chunk.chunk().len());
        }
    }
}

/// As many as a request may have in all.
const MOST_HEADERS: usize = 100;
