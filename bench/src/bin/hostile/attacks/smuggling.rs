//! Requests whose end another reader, a proxy in front, would see elsewhere.
//! What hides behind the first request must never be answered.

use rillcast_bench::Result;

use crate::arena::{Arena, ensure};
use crate::http::exchange;

/// What is hidden; it would be answered with 200.
const HIDDEN: &str = "GET /healthz HTTP/1.1\r\nHost: hidden\r\n\r\n";

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let length = HIDDEN.len();
    let both = |first: &str, second: &str, body: &str| {
        format!(
            "POST /api/v1/version HTTP/1.1\r\nHost: a\r\n{first}\r\n{second}\r\n\r\n{body}{HIDDEN}"
        )
    };
    let one = |line: &str, body: &str| {
        format!("POST /api/v1/version HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n{body}{HIDDEN}")
    };
    let end = "0\r\n\r\n";
    let whole = format!("Content-Length: {}", end.len() + length);
    let shapes = [
        ("CL.TE", both(&whole, "Transfer-Encoding: chunked", end)),
        ("TE.CL", both("Transfer-Encoding: chunked", &whole, end)),
        (
            "CL 0 and TE",
            both("Content-Length: 0", "Transfer-Encoding: chunked", end),
        ),
        (
            "two CL",
            both(
                "Content-Length: 0",
                &format!("Content-Length: {length}"),
                "",
            ),
        ),
        ("CL list", one(&format!("Content-Length: 0, {length}"), "")),
        ("CL +0", one("Content-Length: +0", "")),
        ("CL -1", one("Content-Length: -1", "")),
        ("CL 0x0", one("Content-Length: 0x0", "")),
        ("CL blank", one("Content-Length: ", "")),
        (
            "CL overflow",
            one("Content-Length: 18446744073709551616", ""),
        ),
        ("CL before colon", one("Content-Length : 0", "")),
        ("TE before colon", one("Transfer-Encoding : chunked", end)),
        (
            "TE twice",
            both(
                "Transfer-Encoding: chunked",
                "Transfer-Encoding: identity",
                end,
            ),
        ),
        ("TE list", one("Transfer-Encoding: identity, chunked", end)),
        ("TE chunked, x", one("Transfer-Encoding: chunked, x", end)),
        ("TE x", one("Transfer-Encoding: xchunked", end)),
        ("TE tab", one("Transfer-Encoding:\tchunked", end)),
        (
            "TE vertical tab",
            one("Transfer-Encoding: \u{b}chunked", end),
        ),
        ("TE folded", one("Transfer-Encoding:\r\n chunked", end)),
        (
            "TE of 1.0",
            one("Transfer-Encoding: chunked", end).replacen("1.1", "1.0", 1),
        ),
        (
            "chunk overflow",
            one("Transfer-Encoding: chunked", "10000000000000000\r\n\r\n"),
        ),
        (
            "chunk sign",
            one("Transfer-Encoding: chunked", "+0\r\n\r\n"),
        ),
        ("chunk bare LF", one("Transfer-Encoding: chunked", "0\n\n")),
        (
            "chunk extension",
            one(
                "Transfer-Encoding: chunked",
                &format!("0;{}\r\n\r\n", "a".repeat(20_000)),
            ),
        ),
        (
            "trailers",
            one(
                "Transfer-Encoding: chunked",
                "0\r\nHost: b\r\nContent-Length: 3\r\n\r\n",
            ),
        ),
        (
            "bare CR",
            "GET /nothing HTTP/1.1\r\nHost: a\rX: y\r\n\r\n".to_owned() + HIDDEN,
        ),
        (
            "NUL",
            "GET /nothing HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n".to_owned() + HIDDEN,
        ),
    ];
    for (name, shape) in &shapes {
        let said = exchange(&arena, 1, shape.as_bytes()).await?;
        let hidden = said.answers.iter().any(|answer| answer.status == 200);
        ensure!(
            !hidden,
            "{name}: what was hidden is answered: {:?}",
            said.statuses()
        );
        ensure!(
            said.answers.len() <= 1 && said.rest == 0,
            "{name}: {:?} and {} bytes",
            said.statuses(),
            said.rest
        );
        ensure!(said.closed, "{name}: the connection stays open");
    }
    Ok(format!("{} shapes", shapes.len()))
}
