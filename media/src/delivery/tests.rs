//! Tests of whole responses; the parts have theirs beside them.

use bytes::Bytes;
use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE, VARY};
use rillcast_core::http::HttpRequest;

use super::*;

fn request(headers: &[(HeaderName, &'static str)]) -> Parts {
    let mut head = HttpRequest::get("x").head;
    for (name, value) in headers {
        head.headers
            .append(name.clone(), HeaderValue::from_static(value));
    }
    head
}

const VIDEO: HeaderValue = HeaderValue::from_static("video/mp4");

fn digits() -> Immutable {
    Immutable {
        bytes: Chunk::from(Bytes::from_static(b"0123456789")),
        content_type: VIDEO,
        tag: entity_tag(&["v0-7"]),
    }
}

/// One header as text, empty if it is not there.
fn header(response: &Response<Body>, name: &HeaderName) -> String {
    let value = response.headers().get(name);
    value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

async fn body(response: Response<Body>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_vec()
}

#[tokio::test]
async fn immutable_bytes_come_whole_or_as_one_range() {
    for (headers, status, range, want) in [
        (&[][..], 200, "", "0123456789"),
        (&[(RANGE, "bytes=2-4")], 206, "bytes 2-4/10", "234"),
        (&[(RANGE, "bytes=-1")], 206, "bytes 9-9/10", "9"),
        (&[(RANGE, "bytes=0-1,3-4")], 200, "", "0123456789"),
        (
            &[(RANGE, "bytes=2-4"), (IF_RANGE, "\"v0-7\"")],
            206,
            "bytes 2-4/10",
            "234",
        ),
        (
            &[(RANGE, "bytes=2-4"), (IF_RANGE, "\"v0-8\"")],
            200,
            "",
            "0123456789",
        ),
        (
            &[(RANGE, "bytes=10-")],
            416,
            "bytes */10",
            "the range begins behind the end",
        ),
        (&[(IF_NONE_MATCH, "\"v0-7\"")], 304, "", ""),
        (
            &[(IF_NONE_MATCH, "\"v0-7\""), (RANGE, "bytes=2-4")],
            304,
            "",
            "",
        ),
        (&[(IF_NONE_MATCH, "\"v0-8\"")], 200, "", "0123456789"),
    ] {
        let response = digits().answer(Verb::Get, &mut request(headers));
        assert_eq!(response.status(), status, "{headers:?}");
        assert_eq!(header(&response, &CONTENT_RANGE), range, "{headers:?}");
        assert_eq!(header(&response, &ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        if status != 416 {
            assert_eq!(header(&response, &ETAG), "\"v0-7\"", "{headers:?}");
            let cache = header(&response, &CACHE_CONTROL);
            assert!(cache.contains("immutable"), "{headers:?}: {cache}");
        } else {
            assert_eq!(header(&response, &CACHE_CONTROL), "no-store");
        }
        let length = header(&response, &CONTENT_LENGTH);
        if status != 304 {
            assert_eq!(length, want.len().to_string(), "{headers:?}");
        }
        assert_eq!(body(response).await, want.as_bytes(), "{headers:?}");
    }
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let response = digits().answer(Verb::Head, &mut request(&[(RANGE, "bytes=2-4")]));
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, &CONTENT_LENGTH), "10");
    assert!(body(response).await.is_empty());
}

#[tokio::test]
async fn a_growing_body_has_neither_length_nor_tag() {
    let response = growing(Verb::Get, &request(&[]), VIDEO, || Body::from("abc"));
    assert_eq!(response.status(), 200);
    for name in [&CONTENT_LENGTH, &ETAG, &ACCEPT_RANGES] {
        assert_eq!(header(&response, name), "", "{name}");
    }
    assert_eq!(body(response).await, b"abc");
    let never = || panic!("HEAD must not start it");
    let head = growing(Verb::Head, &request(&[]), VIDEO, never);
    assert!(header(&head, &CACHE_CONTROL).contains("immutable"));
    assert!(body(head).await.is_empty());
    let mut old = request(&[]);
    old.version = http::Version::HTTP_10;
    let response = growing(Verb::Get, &old, VIDEO, || Body::from("abc"));
    assert_eq!(header(&response, &CACHE_CONTROL), "no-store");
}

#[tokio::test]
async fn a_text_is_compressed_for_those_who_take_it() {
    let plain = "#EXTM3U\n".repeat(100);
    let playlist = HeaderValue::from_static("application/vnd.apple.mpegurl");
    let text = Text::new(plain.clone(), playlist, 1);
    let accept = http::header::ACCEPT_ENCODING;
    let encoding = http::header::CONTENT_ENCODING;

    let whole = text.answer(Verb::Get, &mut request(&[]));
    assert_eq!(header(&whole, &encoding), "");
    assert_eq!(header(&whole, &VARY), "Accept-Encoding");
    assert_eq!(header(&whole, &CACHE_CONTROL), "public, max-age=1");
    let plain_tag = header(&whole, &ETAG);
    assert_eq!(body(whole).await, plain.as_bytes());

    let packed = text.answer(Verb::Get, &mut request(&[(accept.clone(), "gzip, br")]));
    assert_eq!(header(&packed, &encoding), "gzip");
    assert_eq!(header(&packed, &VARY), "Accept-Encoding");
    let packed_tag = header(&packed, &ETAG);
    assert_ne!(packed_tag, plain_tag);
    let length = header(&packed, &CONTENT_LENGTH);
    let bytes = body(packed).await;
    assert_eq!(length, bytes.len().to_string());
    assert!(bytes.len() < plain.len() / 4);

    let mut again = request(&[(accept, "gzip")]);
    again
        .headers
        .insert(IF_NONE_MATCH, packed_tag.parse().unwrap());
    let unchanged = text.answer(Verb::Get, &mut again);
    assert_eq!(unchanged.status(), 304);
    assert_eq!(header(&unchanged, &VARY), "Accept-Encoding");
    assert_eq!(header(&unchanged, &encoding), "");
    assert!(body(unchanged).await.is_empty());
}

#[test]
fn equal_texts_have_equal_tags() {
    let tag = |text: &str| {
        let text = Text::new(text.to_owned(), VIDEO, 1);
        header(&text.answer(Verb::Get, &mut request(&[])), &ETAG)
    };
    assert_eq!(tag("a"), tag("a"));
    assert_ne!(tag("a"), tag("b"));
}

#[test]
fn refusals_can_be_read_across_origins_and_are_never_stored() {
    for response in [
        refuse(StatusCode::NOT_FOUND, "gone"),
        refuse_for_now("soon", 0),
    ] {
        assert_eq!(header(&response, &ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        assert_eq!(header(&response, &CACHE_CONTROL), "no-store");
    }
    assert_eq!(header(&refuse_for_now("soon", 0), &RETRY_AFTER), "1");
}

#[test]
fn methods_other_than_get_and_head() {
    let with = |method: Method| {
        let mut head = request(&[]);
        head.method = method;
        verb(&head)
    };
    assert_eq!(with(Method::GET).unwrap(), Verb::Get);
    assert_eq!(with(Method::HEAD).unwrap(), Verb::Head);
    let preflight = with(Method::OPTIONS).unwrap_err();
    assert_eq!(preflight.status(), 204);
    let methods = header(&preflight, &ACCESS_CONTROL_ALLOW_METHODS);
    assert_eq!(methods, "GET, HEAD, OPTIONS");
    let post = with(Method::POST).unwrap_err();
    assert_eq!(
        (post.status().as_u16(), header(&post, &ALLOW)),
        (405, methods)
    );
}
