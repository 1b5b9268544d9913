//! The bounds of the HTTP server, and its orderly end.

use std::time::Duration;

use rillcast_core::{BoxError, Egress, EgressContext, PluginEntry, Plugins, Settings};
use rillcast_server::Server;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::client::{Client, PATIENCE, get, until};
use crate::fixture::{NoConfig, start};

#[tokio::test]
async fn a_viewer_that_takes_nothing_is_dropped() {
    let fixture = start("[server]\nwrite_timeout = \"200ms\"\n").await;
    let mut stalled = Client::connect(fixture.http).await;
    stalled
        .send(b"GET /probe/endless HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    until(fixture.http, "/metrics", |metrics| {
        metrics
            .text()
            .contains("rillcast_http_connections_stalled_total 1\n")
    })
    .await;
    let taken = stalled.closed().await;
    assert!(taken.len() < 64 << 20, "{} bytes", taken.len());
}

#[tokio::test]
async fn a_client_that_sends_no_head_is_dropped() {
    let fixture = start("[server]\nidle_timeout = \"100ms\"\n").await;
    let mut silent = Client::connect(fixture.http).await;
    assert_eq!(silent.closed().await, b"");
    let said = Client::half_a_head(fixture.http).await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    let mut idle = Client::answered(fixture.http).await;
    assert_eq!(idle.closed().await, b"");
}

#[tokio::test]
async fn a_client_that_sends_half_a_body_is_told() {
    let fixture = start("[server]\nbody_timeout = \"100ms\"\n").await;
    let mut slow = Client::connect(fixture.http).await;
    slow.send(b"POST /probe/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")
        .await;
    assert_eq!(slow.answer(false).await.status, 408);
}

#[tokio::test]
async fn one_connection_too_many_is_refused_in_words() {
    let fixture = start("[server]\nmax_connections = 2\n").await;
    let mut first = Client::connect(fixture.http).await;
    let mut second = Client::connect(fixture.http).await;
    for client in [&mut first, &mut second] {
        assert_eq!(client.request("GET", "/healthz").await.status, 200);
    }
    let mut third = Client::connect(fixture.http).await;
    let answer = third.answer(false).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("5"));
    drop(second);
    let admitted = async {
        loop {
            let mut client = Client::connect(fixture.http).await;
            client
                .send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
                .await;
            if client.answer(false).await.status == 200 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, admitted)
        .await
        .expect("the place was never given back");
    assert_eq!(first.request("GET", "/healthz").await.status, 200);
}

#[tokio::test]
async fn the_end_lets_answers_in_hand_finish_and_nothing_else() {
    let fixture = start("[server]\nshutdown_timeout = \"1s\"\n").await;
    let address = fixture.http;
    let mut idle = Client::connect(address).await;
    assert_eq!(idle.request("GET", "/healthz").await.status, 200);
    let mut held = Client::connect(address).await;
    held.send(b"GET /probe/held HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    let mut opener = Client::connect(address).await;
    // The fourth one is that which asks.
    opener
        .send(b"POST /probe/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n")
        .await;
    until(address, "/metrics", |metrics| {
        metrics.text().contains("rillcast_http_connections 4\n")
    })
    .await;
    until(address, "/probe/begun", |begun| begun.text() == "2").await;
    let ended = tokio::spawn(fixture.server.shutdown());
    assert!(idle.closed().await.is_empty());
    opener.send(b"x").await;
    assert_eq!(opener.answer(false).await.text(), "x");
    assert!(opener.closed().await.is_empty());
    // Nobody opens the gate any more: the time-out ends what is left.
    let late = tokio::time::timeout(PATIENCE, ended)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(late, ["http"]);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_idle_server_ends_at_once() {
    let fixture = start("").await;
    let mut idle = Client::connect(fixture.http).await;
    assert_eq!(idle.request("GET", "/healthz").await.status, 200);
    let start = Instant::now();
    assert!(fixture.server.shutdown().await.is_empty());
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert!(idle.closed().await.is_empty());
}

#[tokio::test]
async fn a_long_poll_that_is_answered_by_the_end_is_answered() {
    let fixture = start("").await;
    let address = fixture.http;
    let mut held = Client::connect(address).await;
    held.send(b"GET /probe/held HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    assert_eq!(get(address, "/probe/open").await.text(), "opened");
    assert_eq!(held.answer(false).await.text(), "held");
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_at_once() {
    let fixture = start("").await;
    let mut held = Client::connect(fixture.http).await;
    held.send(b"GET /probe/held HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    until(fixture.http, "/metrics", |metrics| {
        metrics.text().contains("rillcast_http_connections 2\n")
    })
    .await;
    drop(fixture.server);
    assert!(held.closed().await.is_empty());
    let gone = async { while TcpStream::connect(fixture.http).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_start_gives_its_address_back() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let settings = format!("[server]\nlisten = \"{address}\"\n");
    let plugin = PluginEntry::egress::<NeverUp>("never-up", "0.0.1");
    let plugins = Plugins::none().with(plugin).unwrap();
    for _ in 0..2 {
        let settings = Settings::from_toml(&settings, "test.toml").unwrap();
        let error = Server::start(settings, &plugins).await.unwrap_err();
        assert_eq!(error.to_string(), "never-up: cannot");
    }
}

/// Does not come up.
struct NeverUp;

impl Egress for NeverUp {
    const NAME: &'static str = "never-up";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, BoxError> {
        Ok(Self)
    }

    async fn run(self, _cx: EgressContext) -> Result<(), BoxError> {
        Err("cannot".into())
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_not_answered_any_more() {
    let fixture = start("").await;
    let mut held = Client::connect(fixture.http).await;
    held.send(b"GET /probe/held HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    until(fixture.http, "/probe/begun", |begun| begun.text() == "1").await;
    drop(held);
    // Nobody opened the gate: the one that is left is that which asks.
    until(fixture.http, "/metrics", |metrics| {
        metrics.text().contains("rillcast_http_connections 1\n")
    })
    .await;
}

#[tokio::test]
async fn who_sends_no_more_is_answered_what_was_asked() {
    let fixture = start("").await;
    for path in ["/probe/slices", "/healthz"] {
        let mut client = Client::connect(fixture.http).await;
        let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        client.send_last(head.as_bytes()).await;
        let answer = client.answer(false).await;
        assert_eq!((answer.status, answer.complete), (200, true), "{path}");
        assert_eq!(client.closed().await, b"");
    }
}
