//! Heads of many lines, of huge lines, of lines without end.

use rillcast_bench::Result;

use crate::arena::{Arena, PROMPT, closed_within, ensure};
use crate::http::exchange;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let head = "GET /healthz HTTP/1.1\r\nHost: a\r\n";
    let many = |count: usize| {
        (0..count)
            .map(|it| format!("x-{it}: y\r\n"))
            .collect::<String>()
    };
    let shapes = [
        many(1_000),
        many(20_000),
        format!("x: {}\r\n", "y".repeat(200_000)),
        format!("{}: y\r\n", "x".repeat(200_000)),
        format!("cookie: {}\r\n", "a=b; ".repeat(50_000)),
    ];
    let mut refused = 0;
    for shape in &shapes {
        let said = exchange(&arena, 1, format!("{head}{shape}\r\n").as_bytes()).await?;
        let statuses = said.statuses();
        // A reset may take the answer back.
        ensure!(
            said.closed && statuses.iter().all(|status| matches!(status, 400 | 431)),
            "{:.20}… was answered {statuses:?}",
            shape
        );
        refused += 1;
    }
    for target in [70_000, 1_000_000] {
        let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(target));
        let said = exchange(&arena, 1, target.as_bytes()).await?;
        let statuses = said.statuses();
        ensure!(
            said.closed
                && statuses
                    .iter()
                    .all(|status| matches!(status, 400 | 414 | 431)),
            "a long target was answered {statuses:?}"
        );
        refused += 1;
    }
    // Without end: how much is taken has a bound.
    for line in ["x: y\r\n", "x", ": ", "\r\n", "\0"] {
        let mut socket = arena.http(2).await?;
        let flood = line.repeat((4 << 20) / line.len());
        use tokio::io::AsyncWriteExt;
        let begin = if line == "\r\n" { "" } else { head };
        let bytes = format!("{begin}{flood}");
        let (mut reader, mut writer) = socket.split();
        let writing = writer.write_all(bytes.as_bytes());
        let _ = tokio::time::timeout(PROMPT, writing).await;
        let _ = &mut reader;
        let limit = PROMPT + arena.bounds.http_idle;
        closed_within(&mut socket, limit).await?;
        refused += 1;
    }
    Ok(format!("{refused} refused"))
}
