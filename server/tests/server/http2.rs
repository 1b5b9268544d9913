//! HTTP/2 with prior knowledge: it answers as HTTP/1 does, and ends as it does.

use std::collections::BTreeMap;
use std::process::Stdio;

use http::{Method, StatusCode};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::client::{self, Client, PATIENCE, get, until};
use crate::fixture::{sliced, start};
use crate::http2_client::{
    END_HEADERS, END_STREAM, HEADERS, Http2, Raw, frame, get_block, header, read, request,
};

/// What both protocols have to say the same way.
fn comparable<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "connection" | "transfer-encoding"))
        .collect()
}

#[tokio::test]
async fn every_handler_answers_as_over_http1() {
    let fixture = start("").await;
    let (mut http2, _) = Http2::connect(fixture.http).await;
    for path in [
        "/",
        "/assets/style.css",
        "/watch/live/cam",
        "/healthz",
        "/readyz",
        "/api/v1/streams",
        "/api/v1/streams/live/none",
        "/nothing/here",
        "/probe/slices",
        "/probe/chunks",
        "/probe/growing",
        "/probe/whole",
        "/probe/panic",
        "/probe/a?token=x",
    ] {
        for method in [Method::GET, Method::HEAD, Method::DELETE] {
            let old = client::ask(fixture.http, method.as_str(), path, "").await;
            let new = http2.send(request(method.clone(), path)).await.unwrap();
            assert_eq!(new.status.as_u16(), old.status, "{method} {path}");
            let of_old = old.head.lines().skip(1).filter_map(|it| it.split_once(':'));
            let of_new = new.headers.iter();
            let of_new = of_new.map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
            assert_eq!(comparable(of_new), comparable(of_old), "{method} {path}");
            assert!(new.body == old.body, "{method} {path}");
            assert!(new.header("date").is_some());
            assert!(new.header("connection").is_none());
        }
    }
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let fixture = start("").await;
    let (_, want) = sliced();
    let (http2, _) = Http2::connect(fixture.http).await;
    let mut all = Vec::new();
    for _ in 0..90 {
        let mut http2 = http2.clone();
        all.push(tokio::spawn(
            async move { http2.get("/probe/slices").await },
        ));
    }
    for answer in all {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.body == want);
    }
    let metrics = get(fixture.http, "/metrics").await;
    assert!(metrics.text().contains("rillcast_http_connections 2\n"));
}

#[tokio::test]
async fn a_held_answer_holds_nothing_else_up() {
    let fixture = start("").await;
    let (mut http2, _) = Http2::connect(fixture.http).await;
    let held = http2.begin(request(Method::GET, "/probe/held")).await;
    assert_eq!(http2.get("/healthz").await.text(), "ok\n");
    assert_eq!(http2.get("/probe/open").await.text(), "opened");
    assert_eq!(read(held).await.unwrap().text(), "held");
}

#[tokio::test]
async fn a_request_that_is_taken_back_is_not_answered_any_more() {
    let fixture = start("").await;
    let (mut http2, _) = Http2::connect(fixture.http).await;
    let held = http2.begin(request(Method::GET, "/probe/held")).await;
    until(fixture.http, "/probe/begun", |begun| begun.text() == "1").await;
    drop(held);
    // The reset goes before it on the same connection.
    assert_eq!(http2.get("/healthz").await.text(), "ok\n");
    assert_eq!(http2.get("/probe/open").await.text(), "opened");
    // Nobody else has passed the gate.
    assert_eq!(http2.get("/probe/held").await.text(), "held");
}

#[tokio::test]
async fn bodies_come_in_and_are_bounded() {
    let fixture = start("[server]\nmax_body_size = \"1MiB\"\n").await;
    let (mut http2, _) = Http2::connect(fixture.http).await;
    let body = vec![b'x'; 1 << 20];
    let answer = http2.post("/probe/echo", body.clone()).await.unwrap();
    assert!(answer.body == body);
    let body = vec![b'x'; (1 << 20) + 1];
    let answer = http2.post("/probe/echo", body).await.unwrap();
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let small = http2.post("/probe/echo", b"small".to_vec()).await.unwrap();
    assert_eq!(small.text(), "small");
}

#[tokio::test]
async fn a_body_that_is_late_or_breaks_costs_its_stream_alone() {
    let fixture = start("[server]\nbody_timeout = \"100ms\"\n").await;
    let (mut http2, _) = Http2::connect(fixture.http).await;
    let broken = http2.try_get("/probe/broken").await.unwrap_err();
    assert_eq!(broken.reason(), Some(h2::Reason::INTERNAL_ERROR));
    // No body, but none was promised to be none.
    let late = http2.post("/probe/echo", Vec::new()).await.unwrap();
    assert_eq!(late.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(http2.get("/healthz").await.text(), "ok\n");
}

#[tokio::test]
async fn heads_are_bounded_and_the_connection_goes_on() {
    let fixture = start("[server]\nmax_headers = 20\nmax_head_size = \"8KiB\"\n").await;
    let (mut http2, _) = Http2::connect(fixture.http).await;
    let with = |count: usize, len: usize| {
        let mut request = request(Method::GET, "/probe/x");
        for index in 0..count {
            let name = http::HeaderName::try_from(format!("x-{index}")).unwrap();
            let value = http::HeaderValue::try_from("v".repeat(len)).unwrap();
            request.headers_mut().insert(name, value);
        }
        request
    };
    for (count, len, want) in [
        (20, 1, 200),
        (21, 1, 431),
        (1, 7 << 10, 200),
        (1, 9 << 10, 431),
    ] {
        let answer = http2.send(with(count, len)).await.unwrap();
        assert_eq!(answer.status.as_u16(), want, "{count} of {len}");
    }
    let long = format!("/probe/{}", "x".repeat(8 << 10));
    let answer = http2.get(&long).await;
    assert_eq!(answer.status, StatusCode::URI_TOO_LONG);
    assert_eq!(http2.get("/healthz").await.text(), "ok\n");
}

#[tokio::test]
async fn the_authority_stands_in_for_the_host() {
    let fixture = start("").await;
    let (mut http2, _) = Http2::connect(fixture.http).await;
    // Only this machine by its own name may read the metrics.
    assert_eq!(http2.get("/metrics").await.status, StatusCode::OK);
    let elsewhere = request(Method::GET, "/metrics");
    let (mut head, ()) = elsewhere.into_parts();
    head.uri = "http://evil.example/metrics".parse().unwrap();
    let answer = http2.send(http::Request::from_parts(head, ())).await;
    assert_eq!(answer.unwrap().status, StatusCode::FORBIDDEN);
    let mut both = request(Method::GET, "/metrics");
    both.headers_mut()
        .insert("host", "evil.example".parse().unwrap());
    assert_eq!(
        http2.send(both).await.unwrap().status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_client_may_send_its_first_bytes_one_by_one() {
    let fixture = start("").await;
    let socket = TcpStream::connect(fixture.http).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (send, connection) = h2::client::handshake(Slow(socket)).await.unwrap();
    tokio::spawn(connection);
    let mut send = send.ready().await.unwrap();
    let (response, _) = send
        .send_request(request(Method::GET, "/healthz"), true)
        .unwrap();
    assert_eq!(read(response).await.unwrap().text(), "ok\n");

    for head in ["GET", "POST", "PRO", "PUT"] {
        let mut client = Client::connect(fixture.http).await;
        for byte in
            format!("{head} /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").bytes()
        {
            client.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        let want = if head == "GET" { 200 } else { 405 };
        assert_eq!(client.answer(false).await.status, want, "{head}");
    }
}

/// Writes one byte at a time.
struct Slow(TcpStream);

impl tokio::io::AsyncWrite for Slow {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(cx, &buf[..buf.len().min(1)])
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl tokio::io::AsyncRead for Slow {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

#[tokio::test]
async fn who_asks_nothing_is_let_go() {
    let fixture = start("[server]\nidle_timeout = \"100ms\"\nhead_timeout = \"200ms\"\n").await;
    // Nothing but the preface; half a head; idle after an answer.
    let mut silent = Raw::connect(fixture.http, &[]).await;
    silent.ended().await;
    let mut half = Raw::connect(fixture.http, &[]).await;
    let mut block = get_block("/healthz");
    header(&mut block, "a", "b");
    half.send(&frame(HEADERS, END_STREAM, 1, &block)).await;
    half.ended().await;
    let mut idle = Raw::connect(fixture.http, &[]).await;
    let whole = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
    idle.send(&whole).await;
    idle.ended().await;
    let (mut http2, ended) = Http2::connect(fixture.http).await;
    // A busy machine may be slower than the time-outs.
    let _ = http2.try_get("/healthz").await;
    let ended = tokio::time::timeout(PATIENCE, ended).await.unwrap();
    ended.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_lets_answers_in_hand_finish() {
    let fixture = start("").await;
    let address = fixture.http;
    let (mut http2, ended) = Http2::connect(address).await;
    let (mut idle, idle_ended) = Http2::connect(address).await;
    assert_eq!(idle.get("/healthz").await.text(), "ok\n");
    let held = http2.begin(request(Method::GET, "/probe/held")).await;
    until(address, "/probe/begun", |begun| begun.text() == "1").await;
    let mut opener = Client::connect(address).await;
    opener
        .send(b"POST /probe/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n")
        .await;
    until(address, "/probe/begun", |begun| begun.text() == "2").await;
    assert_eq!(get(address, "/probe/open").await.text(), "opened");
    let down = tokio::spawn(fixture.server.shutdown());
    assert_eq!(read(held).await.unwrap().text(), "held");
    idle_ended.await.unwrap().unwrap();
    ended.await.unwrap().unwrap();
    opener.send(b"x").await;
    assert_eq!(opener.answer(false).await.text(), "x");
    let late = tokio::time::timeout(PATIENCE, down).await.unwrap().unwrap();
    assert!(late.is_empty(), "{late:?}");
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_its_streams() {
    let fixture = start("").await;
    let (mut http2, _) = Http2::connect(fixture.http).await;
    let held = http2.begin(request(Method::GET, "/probe/held")).await;
    until(fixture.http, "/probe/begun", |begun| begun.text() == "1").await;
    drop(fixture.server);
    assert!(read(held).await.is_err());
}

/// Skipped where there is no curl, since the repository needs nothing but Rust.
#[tokio::test]
async fn curl_speaks_it() {
    let fixture = start("").await;
    let (_, want) = sliced();
    let address = fixture.http;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    for (option, version) in [("--http2-prior-knowledge", "2"), ("--http1.1", "1.1")] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", option, "-w", "%{http_version} %{http_code}", "-o"])
            .arg(&path)
            .arg(format!("http://{address}/probe/slices"))
            .stdin(Stdio::null());
        let Ok(output) = curl.output().await else {
            println!("skipped: there is no curl here");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said, format!("{version} 200"), "{complaint}");
        assert!(std::fs::read(&path).unwrap() == want);
    }
}
