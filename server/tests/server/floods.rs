//! Hostile clients of HTTP/2, each beside a good viewer: the offender's
//! connection ends, and the viewer notices nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use tokio::task::JoinHandle;

use crate::client::until;
use crate::fixture::{sliced, start};
use crate::http2_client::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2, PING, PRIORITY,
    RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, frame, frames, get_block, header,
};

/// Plays on one connection for as long as it is not told to stop.
struct Viewer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u32>,
}

impl Viewer {
    async fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let (mut http2, _) = Http2::connect(address).await;
        let (_, want) = sliced();
        let task = tokio::spawn(async move {
            let mut answers = 0;
            while answers < 2 || !asked.load(Ordering::Relaxed) {
                let answer = http2.get("/probe/slices").await;
                assert_eq!(answer.status, StatusCode::OK);
                assert!(answer.body == want);
                answers += 1;
            }
            answers
        });
        Self { stop, task }
    }

    async fn well(self) {
        self.stop.store(true, Ordering::Relaxed);
        assert!(self.task.await.expect("the viewer was disturbed") >= 2);
    }
}

/// Floods a server with `piece`, which gets the count of those before, and
/// returns how many were sent.
async fn flood(settings: &[(u16, u32)], opening: &[u8], piece: impl Fn(u32) -> Vec<u8>) -> u32 {
    let fixture = start("").await;
    let viewer = Viewer::start(fixture.http).await;
    let mut raw = Raw::connect(fixture.http, settings).await;
    raw.send(opening).await;
    let (sent, came) = raw.flood(piece).await;
    viewer.well().await;
    told_at_most_once(&came);
    sent
}

/// Who reads on is told why; a socket that is closed with unread bytes in it
/// may take that back.
fn told_at_most_once(came: &[u8]) {
    let farewells = frames(came);
    let farewells = farewells.iter().filter(|(kind, ..)| *kind == GOAWAY);
    assert!(farewells.count() <= 1);
}

const MANY: usize = 200;

#[tokio::test]
async fn a_flood_of_pings() {
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(MANY);
    let sent = flood(&[], &[], |_| pings.clone()).await;
    assert!(sent < 1_000, "{sent}");
}

#[tokio::test]
async fn a_flood_of_answers_to_pings_that_were_never_sent() {
    let pings = frame(PING, ACK, 0, &[7; 8]).repeat(MANY);
    flood(&[], &[], |_| pings.clone()).await;
}

#[tokio::test]
async fn a_flood_of_settings() {
    let small = frame(SETTINGS, 0, 0, &[]).repeat(MANY);
    flood(&[], &[], |_| small.clone()).await;
    let large = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100].repeat(2_000));
    flood(&[], &[], |_| large.clone()).await;
}

#[tokio::test]
async fn a_flood_of_priorities_and_of_frames_that_nobody_knows() {
    let priorities = frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(MANY);
    flood(&[], &[], |_| priorities.clone()).await;
    let unknown = frame(0xbe, 0, 0, &[0; 5]).repeat(MANY);
    flood(&[], &[], |_| unknown.clone()).await;
}

#[tokio::test]
async fn a_flood_of_window_updates() {
    let updates = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(MANY);
    flood(&[], &[], |_| updates.clone()).await;
    let overflowing = frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
    flood(&[], &[], |_| overflowing.clone()).await;
}

/// Requests that are taken back at once: before anybody looked at them, and
/// after, when their answers are being made.
#[tokio::test]
async fn a_flood_of_resets() {
    let block = get_block("/probe/held");
    let reset = |stream: u32| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    let open = |stream: u32| frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
    let sent = flood(&[], &[], |count| {
        let streams = (0..50).map(|index| (count * 50 + index) * 2 + 1);
        streams
            .flat_map(|stream| [open(stream), reset(stream)].concat())
            .collect()
    })
    .await;
    assert!(sent < 1_000, "{sent}");
    // One by one, so that each is looked at.
    flood(&[], &[], |count| match count % 2 {
        0 => open(count + 1),
        _ => reset(count),
    })
    .await;
}

#[tokio::test]
async fn more_streams_than_allowed() {
    let block = get_block("/probe/held");
    flood(&[], &[], |count| {
        frame(HEADERS, END_HEADERS | END_STREAM, count * 2 + 1, &block)
    })
    .await;
}

#[tokio::test]
async fn a_head_without_an_end() {
    let mut block = get_block("/healthz");
    header(&mut block, "a", "b");
    let opening = frame(HEADERS, END_STREAM, 1, &block);
    let mut more = Vec::new();
    header(&mut more, "more", &"m".repeat(100));
    let more = frame(CONTINUATION, 0, 1, &more.repeat(100));
    let sent = flood(&[], &opening, |_| more.clone()).await;
    assert!(sent < 1_000, "{sent}");
    let empty = frame(CONTINUATION, 0, 1, &[]);
    flood(&[], &opening, |_| empty.clone()).await;
}

/// One header of 4 KB in the table, and thousands of one-byte references to it.
#[tokio::test]
async fn a_head_that_unfolds() {
    let fixture = start("").await;
    let viewer = Viewer::start(fixture.http).await;
    let mut raw = Raw::connect(fixture.http, &[]).await;
    let mut block = get_block("/healthz");
    // Literal with indexing, name "a", a value of 3,900 bytes (a seven-bit prefix).
    block.extend([0x40, 1, b'a', 0x7f]);
    let rest = 3_900_u16 - 127;
    block.extend([
        u8::try_from(rest & 0x7f).unwrap() | 0x80,
        u8::try_from(rest >> 7).unwrap(),
    ]);
    block.extend(vec![b'x'; 3_900]);
    block.extend(vec![0xbe; 12_000]);
    assert!(block.len() < 16_384);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block))
        .await;
    let came = frames(&raw.ended().await);
    assert!(came.iter().any(|(kind, ..)| *kind == GOAWAY), "{came:?}");
    viewer.well().await;
}

#[tokio::test]
async fn a_flood_of_empty_data() {
    // An upload that waits for its handler.
    let mut block = vec![0x83, 0x86, 0x04, 11];
    block.extend(b"/probe/echo");
    let opening = frame(HEADERS, END_HEADERS, 1, &block);
    let empty = frame(DATA, 0, 1, &[]).repeat(MANY);
    flood(&[], &opening, |_| empty.clone()).await;
}

/// They ask for more than any buffer takes, and never open their window; what
/// was taken from the socket is a few heads.
#[tokio::test]
async fn readers_without_a_window() {
    let fixture = start("[server]\nwrite_timeout = \"200ms\"\n").await;
    let viewer = Viewer::start(fixture.http).await;
    let opened = |settings| Raw::connect(fixture.http, settings);
    // No stream has a window; or they have, and the connection has none left.
    let (closed, wide) = ([(4, 0)], [(4, 0x7fff_ffff)]);
    for settings in [&closed[..], &wide[..]] {
        let mut raw = opened(settings).await;
        for stream in 0..20 {
            let block = get_block("/probe/endless");
            let head = frame(HEADERS, END_HEADERS | END_STREAM, stream * 2 + 1, &block);
            assert!(raw.send(&head).await);
        }
        let came = raw.ended().await;
        assert!(came.len() < 128 << 10, "{}", came.len());
    }
    until(fixture.http, "/metrics", |metrics| {
        metrics
            .text()
            .contains("rillcast_http_connections_stalled_total 2\n")
    })
    .await;
    viewer.well().await;
}

/// A player that is paused stalls one stream; what else it does on the
/// connection goes on.
#[tokio::test]
async fn one_stream_that_stalls_is_reset_alone() {
    let fixture = start("[server]\nwrite_timeout = \"500ms\"\n").await;
    // As browsers do: the connection has room for more than one stream.
    let mut wide = h2::client::Builder::new();
    wide.initial_connection_window_size(1 << 20);
    let (mut http2, _) = Http2::with(fixture.http, &mut wide).await;
    let stalled = http2.begin(crate::http2_client::request(
        http::Method::GET,
        "/probe/endless",
    ));
    let mut stalled = stalled.await.await.unwrap().into_body();
    let mut taken = 0;
    let reason = loop {
        assert_eq!(http2.get("/healthz").await.text(), "ok\n");
        let next = tokio::time::timeout(std::time::Duration::from_millis(10), stalled.data());
        match next.await {
            // Its window is never given back.
            Ok(Some(Ok(data))) => taken += data.len(),
            Ok(Some(Err(error))) => break error.reason(),
            Ok(None) => panic!("it ended"),
            Err(_) => {}
        }
    };
    assert_eq!(reason, Some(h2::Reason::CANCEL));
    assert!(taken <= 65_535, "{taken}");
    assert_eq!(http2.get("/healthz").await.text(), "ok\n");
}

#[tokio::test]
async fn what_only_begins_like_http2() {
    let fixture = start("").await;
    let viewer = Viewer::start(fixture.http).await;
    for junk in [
        &b"PRI * HTTP/1.1\r\nHost: h\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"PRICE\r\n\r\n",
    ] {
        let mut client = crate::client::Client::connect(fixture.http).await;
        client.send(junk).await;
        // h2 greets before it reads.
        let came = client.closed().await;
        assert!(came.len() < 200, "{came:?}");
    }
    viewer.well().await;
}
