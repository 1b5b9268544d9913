//! The sizes and times of a request: what is at a bound is answered, what is
//! beyond it is refused with its own status and one line in the log.

use std::net::SocketAddr;
use std::time::Duration;

use crate::client::{Answer, Client, PATIENCE};
use crate::fixture::start;
use crate::log;

/// The answer to exactly these bytes on a connection of its own.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut client = Client::connect(address).await;
    client.send(bytes).await;
    client.answer(false).await
}

/// What the log says of refusals by the server with that setting; every test
/// has one of its own, and so all of its lines.
fn refusals(lines: &log::Lines, word: &str) -> usize {
    let lines = lines.containing("request refused");
    lines.iter().filter(|line| line.contains(word)).count()
}

/// A head of so many bytes.
fn head(size: usize) -> Vec<u8> {
    let mut head = b"GET /probe/x HTTP/1.1\r\nHost: h\r\nX-Filler: ".to_vec();
    head.resize(size - 4, b'x');
    head.extend_from_slice(b"\r\n\r\n");
    head
}

#[tokio::test]
async fn heads_are_bounded_in_size() {
    let lines = log::lines();
    let fixture = start("[server]\nmax_head_size = \"5KiB\"\n").await;
    assert_eq!(exchange(fixture.http, &head(5 << 10)).await.status, 200);
    for _ in 0..3 {
        let answer = exchange(fixture.http, &head((5 << 10) + 1)).await;
        assert_eq!(answer.status, 431);
    }
    let fixture = start("").await;
    assert_eq!(exchange(fixture.http, &head(32 << 10)).await.status, 200);
    assert_eq!(
        exchange(fixture.http, &head((32 << 10) + 1)).await.status,
        431
    );
    assert!(refusals(&lines, "larger than server.max_head_size") >= 2);
}

#[tokio::test]
async fn headers_are_bounded_in_number() {
    let with = |count: usize| {
        let mut head = b"GET /probe/x HTTP/1.1\r\nHost: h\r\n".to_vec();
        for _ in 1..count {
            head.extend_from_slice(b"a: b\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    };
    for (settings, most) in [("", 100), ("[server]\nmax_headers = 16\n", 16)] {
        let fixture = start(settings).await;
        assert_eq!(exchange(fixture.http, &with(most)).await.status, 200);
        assert_eq!(exchange(fixture.http, &with(most + 1)).await.status, 431);
    }
}

#[tokio::test]
async fn targets_are_bounded_in_length() {
    let lines = log::lines();
    let fixture = start("[server]\nmax_target_size = \"1KiB\"\n").await;
    let with = |size: usize| {
        let path = format!("/probe/x?{}", "y".repeat(size - "/probe/x?".len()));
        format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
    };
    assert_eq!(exchange(fixture.http, &with(1_024)).await.status, 200);
    for _ in 0..3 {
        let answer = exchange(fixture.http, &with(1_025)).await;
        assert_eq!(answer.status, 414);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(
            answer.json()["detail"]
                .as_str()
                .unwrap()
                .contains("server.max_target_size")
        );
    }
    assert_eq!(refusals(&lines, "server.max_target_size"), 1);
}

#[tokio::test]
async fn bodies_are_bounded_in_size_declared_or_not() {
    let lines = log::lines();
    let fixture = start("[server]\nmax_body_size = 10\n").await;
    let declared = |size: usize| {
        let body = "x".repeat(size);
        format!("POST /probe/echo HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n{body}")
    };
    let chunked = |size: usize| {
        let body = "x".repeat(size);
        format!(
            "POST /probe/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
             {size:x}\r\n{body}\r\n0\r\n\r\n"
        )
    };
    for request in [declared(10), chunked(10)] {
        let answer = exchange(fixture.http, request.as_bytes()).await;
        assert_eq!((answer.status, answer.text()), (200, "xxxxxxxxxx"));
    }
    for request in [declared(11), chunked(11)] {
        let answer = exchange(fixture.http, request.as_bytes()).await;
        assert_eq!(answer.status, 413, "{}", answer.text());
        assert!(answer.text().contains("server.max_body_size"));
    }
    assert_eq!(refusals(&lines, "server.max_body_size"), 1);
    // Nobody has to send it to learn that it is too much.
    let only_declared = b"DELETE /api/v1/streams/a/b HTTP/1.1\r\nHost: h\r\n\
        Content-Length: 99999999999\r\n\r\n";
    assert_eq!(exchange(fixture.http, only_declared).await.status, 413);
}

#[tokio::test]
async fn a_body_has_its_time_however_steadily_it_drips() {
    let fixture = start("[server]\nbody_timeout = \"200ms\"\n").await;
    let mut client = Client::connect(fixture.http).await;
    client
        .send(b"POST /probe/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
        .await;
    let drip = async {
        while client.try_send(b"x").await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // The client has no end of its own: the server must make one.
    tokio::time::timeout(PATIENCE, drip).await.unwrap();
    let answer = client.answer(false).await;
    assert_eq!(answer.status, 408);
    assert!(
        answer.text().contains("server.body_timeout"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn half_a_head_is_answered_and_silence_is_not() {
    let lines = log::lines();
    let fixture = start("[server]\nhead_timeout = \"200ms\"\n").await;
    let mut silent = Client::connect(fixture.http).await;
    assert!(silent.closed().await.is_empty());
    // A client that has asked once has `idle_timeout`.
    let mut known = Client::answered(fixture.http).await;
    let said = Client::half_a_head(fixture.http).await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(refusals(&lines, "server.head_timeout") >= 1);
    assert_eq!(known.request("GET", "/healthz").await.status, 200);
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let lines = log::lines();
    let settings = "[server]\nmax_connections = 3\nmax_connections_per_address = 2\n";
    let fixture = start(settings).await;
    let mut places = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect_from(fixture.http, "127.0.0.61").await;
        assert_eq!(client.request("GET", "/healthz").await.status, 200);
        places.push(client);
    }
    for _ in 0..3 {
        let mut client = Client::connect_from(fixture.http, "127.0.0.61").await;
        let answer = client.answer(false).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    let mut other = Client::connect_from(fixture.http, "127.0.0.62").await;
    assert_eq!(other.request("GET", "/healthz").await.status, 200);
    let said = lines.containing("127.0.0.61 holds 2 connections already");
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("(server.max_connections_per_address)"));
}

#[tokio::test]
async fn bounds_that_cannot_work_are_refused() {
    for (line, want) in [
        ("max_head_size = \"1KiB\"", "at least 4KiB"),
        ("max_headers = 3", "at least 16"),
        ("max_target_size = \"64KiB\"", "at most 60KiB"),
        ("max_connections_per_address = 0", "more than 0"),
        ("head_timeout = \"0s\"", "more than 0"),
        ("body_timeout = \"0s\"", "more than 0"),
    ] {
        let settings = format!("[server]\n{line}\n");
        let settings = rillcast_core::Settings::from_toml(&settings, "test.toml").unwrap();
        let plugins = rillcast_core::Plugins::none();
        let error = rillcast_server::Server::start(settings, &plugins).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains(want) && error.contains("test.toml line 2"),
            "{error}"
        );
    }
}
