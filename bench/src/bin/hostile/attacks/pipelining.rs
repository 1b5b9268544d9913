//! Thousands of requests in one write: answered in order, or not at all, and
//! without a heap of answers that nobody reads.

use rillcast_bench::Result;

use crate::arena::{Arena, ensure};
use crate::http::exchange;

/// What the server may grow by, in bytes.
const GROWTH: u64 = 32 << 20;

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let count = 1_000;
    let before = arena.memory();
    let mut answered = 0;
    for _ in 0..2 * arena.scale {
        let request = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count);
        let said = exchange(&arena, 1, request.as_bytes()).await?;
        ensure!(
            said.answers.len() == count && said.answers.iter().all(|it| it.status == 200),
            "{} of {count} were answered",
            said.answers.len()
        );
        answered += count;
        // A mistake in the midst ends it there.
        let request = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5);
        let bytes = format!("{request}GARBAGE\r\n\r\n{request}");
        let said = exchange(&arena, 2, bytes.as_bytes()).await?;
        let statuses = said.statuses();
        ensure!(
            statuses == [200, 200, 200, 200, 200, 400] && said.closed,
            "garbage in the midst was answered {statuses:?}"
        );
    }
    let grown = arena.memory().saturating_sub(before);
    ensure!(
        grown < GROWTH,
        "pipelines made the server {grown} bytes larger"
    );
    Ok(format!("{answered} answered"))
}
