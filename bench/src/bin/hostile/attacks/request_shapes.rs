//! Requests of every wrong shape: hosts, lines, versions, methods, targets.

use rillcast_bench::Result;

use crate::arena::{Arena, ensure};
use crate::http::exchange;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let long_method = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(5_000));
    // What may come of it; nothing at all is fine where a reset may take it back.
    let refused: &[u16] = &[400, 404, 405, 414, 426, 431, 501, 505];
    let served: &[u16] = &[200, 400];
    let shapes: &[(&str, &[u16])] = &[
        ("GET /healthz HTTP/1.1\r\n\r\n", refused),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            refused,
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            refused,
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
            refused,
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n",
            refused,
        ),
        ("GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n", refused),
        ("GET /healthz HTTP/1.1\r\n Host: a\r\n\r\n", refused),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", refused),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", refused),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nX: \u{1}\r\n\r\n",
            refused,
        ),
        ("GET /healthz HTTP/1.1\nHost: a\n\n", served),
        ("GET /healthz\r\n\r\n", refused),
        ("GET /healthz HTTP/0.9\r\n\r\n", refused),
        ("GET /healthz HTTP/1.0\r\n\r\n", served),
        ("GET /healthz HTTP/1.2\r\nHost: a\r\n\r\n", refused),
        ("GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", refused),
        ("GET /healthz HTTP/3.0\r\nHost: a\r\n\r\n", refused),
        ("GET /healthz http/1.1\r\nHost: a\r\n\r\n", refused),
        ("GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n", refused),
        ("GET /healthz  HTTP/1.1\r\nHost: a\r\n\r\n", refused),
        ("GET\t/healthz\tHTTP/1.1\r\nHost: a\r\n\r\n", refused),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0",
            refused,
        ),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", refused),
        ("CONNECT /healthz HTTP/1.1\r\nHost: a\r\n\r\n", refused),
        (
            "TRACE / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n",
            refused,
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            &[200, 204, 400, 404, 405],
        ),
        ("BREW /healthz HTTP/1.1\r\nHost: a\r\n\r\n", refused),
        ("get /healthz HTTP/1.1\r\nHost: a\r\n\r\n", refused),
        ("PATCH /api/v1/streams HTTP/1.1\r\nHost: a\r\n\r\n", refused),
        (
            "PUT /hls/live/bench-0/index.m3u8 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            refused,
        ),
        (
            "GET http://elsewhere/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
            &[200, 400, 421],
        ),
        (
            "GET http://user:word@/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
            &[200, 400, 421],
        ),
        ("GET healthz HTTP/1.1\r\nHost: a\r\n\r\n", refused),
        (
            "GET ftp://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
            &[200, 400, 421],
        ),
        ("GET // HTTP/1.1\r\nHost: a\r\n\r\n", refused),
        ("GET /\u{0} HTTP/1.1\r\nHost: a\r\n\r\n", refused),
        (
            "GET /healthz#part HTTP/1.1\r\nHost: a\r\n\r\n",
            &[200, 400, 404],
        ),
        (
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}",
            refused,
        ),
        (&long_method, refused),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            served,
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nExpect: 200-nonsense\r\n\r\n",
            &[200, 417],
        ),
    ];
    for (shape, allowed) in shapes {
        // Whatever waits for more is closed from here.
        let said = exchange(&arena, 1, shape.as_bytes()).await?;
        let statuses = said.statuses();
        ensure!(
            statuses.len() <= 1 && statuses.iter().all(|status| allowed.contains(status)),
            "{shape:?} was answered {statuses:?}"
        );
        let echoed = said.answers.iter().any(|it| {
            it.headers.contains("secret") || String::from_utf8_lossy(&it.body).contains("secret")
        });
        ensure!(!echoed, "{shape:?} was sent back");
    }
    Ok(format!("{} shapes", shapes.len()))
}
