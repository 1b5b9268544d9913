//! What clients do to an HTTP server, well- and ill-meaning.

use crate::client::{Client, ask, get};
use crate::fixture::{sliced, start};

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let fixture = start("").await;
    let mut client = Client::connect(fixture.http).await;
    for _ in 0..3 {
        assert_eq!(client.request("GET", "/healthz").await.text(), "ok\n");
    }
    let two =
        "GET /probe/a?x=1 HTTP/1.1\r\nHost: h\r\n\r\nGET /probe/b HTTP/1.1\r\nHost: h\r\n\r\n";
    client.send(two.as_bytes()).await;
    assert_eq!(client.answer(false).await.text(), "a?x=1");
    assert_eq!(client.answer(false).await.text(), "b?");
}

#[tokio::test]
async fn slices_arrive_whole_and_in_order() {
    let fixture = start("").await;
    let (_, want) = sliced();
    let mut client = Client::connect(fixture.http).await;
    for _ in 0..2 {
        let answer = client.request("GET", "/probe/slices").await;
        assert_eq!(
            answer.header("content-length"),
            Some(want.len().to_string().as_str())
        );
        assert!(answer.body == want);
    }
    let chunks = client.request("GET", "/probe/chunks").await;
    assert_eq!((chunks.text(), chunks.complete), ("one two", true));
}

#[tokio::test]
async fn a_body_that_breaks_does_not_end_as_if_it_were_whole() {
    let fixture = start("").await;
    let broken = get(fixture.http, "/probe/broken").await;
    assert_eq!((broken.text(), broken.complete), ("one ", false));
}

#[tokio::test]
async fn head_tells_of_the_body_and_sends_none() {
    let fixture = start("").await;
    let mut client = Client::connect(fixture.http).await;
    for path in [
        "/",
        "/assets/style.css",
        "/healthz",
        "/probe/slices",
        "/api/v1/version",
    ] {
        let get = client.request("GET", path).await;
        let head = client.request("HEAD", path).await;
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(
            head.header("content-type"),
            get.header("content-type"),
            "{path}"
        );
        let length = head.header("content-length").unwrap();
        if path != "/api/v1/version" {
            assert_eq!(length, get.body.len().to_string(), "{path}");
        }
    }
    // What follows on the connection is no body: it still answers.
    assert_eq!(client.request("GET", "/healthz").await.text(), "ok\n");
}

/// A length beside HEAD is that of what GET answers, and caches believe it.
#[tokio::test]
async fn head_tells_no_length_where_get_has_none() {
    let fixture = start("").await;
    let mut client = Client::connect(fixture.http).await;
    let get = client.request("GET", "/probe/growing").await;
    assert_eq!((get.text(), get.complete), ("one two", true));
    let chunked = client.request("HEAD", "/probe/chunks").await;
    let growing = client.request("HEAD", "/probe/growing").await;
    for head in [&chunked, &growing] {
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-length"), None, "{}", head.head);
    }
    for name in ["content-type", "cache-control"] {
        assert_eq!(growing.header(name), get.header(name), "{name}");
    }
    let whole = client.request("HEAD", "/probe/whole").await;
    assert_eq!(whole.header("content-length"), Some("5"));
    assert_eq!(client.request("GET", "/healthz").await.text(), "ok\n");
}

#[tokio::test]
async fn what_has_not_changed_has_no_length() {
    let fixture = start("").await;
    for path in ["/probe/whole", "/assets/style.css"] {
        let whole = get(fixture.http, path).await;
        let Some(tag) = whole.header("etag") else {
            panic!("{path} has no entity tag: {}", whole.head);
        };
        let condition = format!("If-None-Match: {tag}\r\n");
        for method in ["GET", "HEAD"] {
            let answer = ask(fixture.http, method, path, &condition).await;
            assert_eq!(answer.status, 304, "{method} {path}");
            assert_eq!(answer.header("content-length"), None, "{}", answer.head);
            assert_eq!(answer.header("etag"), Some(tag));
        }
    }
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let fixture = start("").await;
    let long = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
        "x".repeat(64 << 10)
    );
    let many = "X: y\r\n".repeat(300);
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n");
    for (request, want) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\n\r\n", 200),
        (
            "GET http://elsewhere/healthz HTTP/1.1\r\nHost: h\r\n\r\n",
            200,
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 404),
        ("CONNECT example.com:80 HTTP/1.1\r\nHost: h\r\n\r\n", 404),
        ("GARBAGE\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\nHost: h\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
        (&long, 431),
        (&many, 431),
    ] {
        let mut client = Client::connect(fixture.http).await;
        client.send(request.as_bytes()).await;
        let answer = client.answer(false).await;
        assert_eq!(answer.status, want, "{:.60}: {}", request, answer.head);
    }
}

#[tokio::test]
async fn no_path_leads_out_of_what_is_embedded() {
    let fixture = start("").await;
    for path in [
        "/assets/../Cargo.toml",
        "/assets/%2e%2e/%2e%2e/Cargo.toml",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/",
        "/assets//style.css",
        "/assets/style.css/",
        "/assets/style.css%00",
        "/assets/%ff",
        "//",
        "//healthz",
        "/probex",
        "/watch",
        "/watch/a",
        "/watch/a/b/c",
        "/api",
        "/api/v2/streams",
    ] {
        let answer = get(fixture.http, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("*"),
            "{path}"
        );
        assert_eq!(answer.json()["status"], 404, "{path}");
    }
    for path in ["/", "/healthz", "/api/v1/streams", "/assets/style.css"] {
        let answer = ask(fixture.http, "PATCH", path, "").await;
        assert_eq!(answer.status, 405, "{path}");
        assert!(
            answer
                .header("allow")
                .is_some_and(|allow| allow.contains("GET")),
            "{path}"
        );
        assert_eq!(answer.json()["title"], "Method Not Allowed");
    }
}

#[tokio::test]
async fn pages_ask_nobody_else_and_stand_in_no_frame() {
    let fixture = start("").await;
    let list = get(fixture.http, "/").await;
    let watch = get(fixture.http, "/watch/live/cam").await;
    for page in [&list, &watch] {
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(
            !policy.contains("unsafe") && !policy.contains("http"),
            "{policy}"
        );
    }
    assert!(list.head.contains("frame-ancestors 'none'"));
}

#[tokio::test]
async fn a_handler_that_panics_costs_one_answer() {
    let fixture = start("").await;
    let mut client = Client::connect(fixture.http).await;
    let answer = client.request("GET", "/probe/panic").await;
    assert_eq!(answer.status, 500);
    assert!(!answer.text().contains("purpose"), "{}", answer.text());
    assert_eq!(client.request("GET", "/healthz").await.status, 200);
}

#[tokio::test]
async fn a_plugin_reads_the_body_of_a_request() {
    let fixture = start("").await;
    let mut client = Client::connect(fixture.http).await;
    client
        .send(b"POST /probe/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    let answer = client.answer(false).await;
    assert_eq!(answer.text(), "hello");
    // Nothing is read behind a body, so that no garbage there can spoil its answer.
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    assert_eq!(client.closed().await, b"");
    let mut client = Client::connect(fixture.http).await;
    let chunked = "POST /probe/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    client.send(chunked.as_bytes()).await;
    assert_eq!(client.answer(false).await.text(), "abcde");
    let mut client = Client::connect(fixture.http).await;
    let head = "POST /probe/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n";
    client.send(head.as_bytes()).await;
    // It may be refused before all is written.
    client.try_send(&vec![b'x'; 1_100_000]).await;
    assert_eq!(client.answer(false).await.status, 413);
}
