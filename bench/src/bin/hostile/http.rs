//! HTTP from the attacker's side: bytes as they are written out, and what comes
//! back cut into answers.

use std::time::Duration;

use rillcast_bench::{Error, Result};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::arena::{Arena, PROMPT};
use crate::rtmp::write;

/// What the server said on one connection.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) answers: Vec<Answer>,
    /// Whether it closed the connection.
    pub(crate) closed: bool,
    /// Bytes behind the last whole answer.
    pub(crate) rest: usize,
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Said {
    /// The statuses in order.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(|answer| answer.status).collect()
    }
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.split("\r\n").skip(1);
        lines
            .filter_map(|line| line.split_once(':'))
            .find(|(it, _)| it.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// Writes `bytes` on a connection of its own and reads until the server closes
/// it, or has given an answer and then nothing for a while.
pub(crate) async fn exchange(arena: &Arena, host: u8, bytes: &[u8]) -> Result<Said> {
    let mut socket = arena.http(host).await?;
    exchange_on(&mut socket, bytes).await
}

/// The same on a connection that there is.
pub(crate) async fn exchange_on(socket: &mut TcpStream, bytes: &[u8]) -> Result<Said> {
    // One that was refused in the midst of the request has its answer waiting.
    let _ = write(socket, bytes).await;
    let mut got = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let begun = Instant::now();
    loop {
        let said = read(&got);
        let patience = if said.answers.is_empty() {
            PROMPT.saturating_sub(begun.elapsed())
        } else {
            QUIET
        };
        match timeout(patience, socket.read(&mut buffer)).await {
            Err(_) => return Ok(said),
            Ok(Ok(0) | Err(_)) => {
                return Ok(Said {
                    closed: true,
                    ..said
                });
            }
            Ok(Ok(count)) => got.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
}

/// GET of `path`, which must be answered.
pub(crate) async fn get(arena: &Arena, host: u8, path: &str) -> Result<Answer> {
    get_with(arena, host, path, "").await
}

/// GET of `path` with more header lines, each with its end.
pub(crate) async fn get_with(arena: &Arena, host: u8, path: &str, lines: &str) -> Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}Connection: close\r\n\r\n");
    let said = exchange(arena, host, request.as_bytes()).await?;
    let first = said.answers.into_iter().next();
    first.ok_or_else(|| Error::new(format!("GET {path} was not answered")))
}

/// How long nothing must come before it is believed that nothing will.
const QUIET: Duration = Duration::from_millis(150);

/// Cuts what came into answers.
pub(crate) fn read(mut bytes: &[u8]) -> Said {
    let mut said = Said::default();
    while let Some(answer) = one(&mut bytes) {
        said.answers.push(answer);
    }
    said.rest = bytes.len();
    said
}

fn one(bytes: &mut &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = bytes.split_at_checked(end)?;
    let rest = rest.get(4..)?;
    let headers = String::from_utf8_lossy(head).into_owned();
    let status = headers.split(' ').nth(1)?.parse().ok()?;
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    let chunked = answer.header("transfer-encoding").is_some();
    let rest = if chunked {
        unchunk(rest, &mut answer.body)?
    } else {
        let length = answer.header("content-length");
        let length = length.and_then(|text| text.parse().ok()).unwrap_or(0);
        let (body, rest) = rest.split_at_checked(length)?;
        answer.body = body.to_vec();
        rest
    };
    *bytes = rest;
    Some(answer)
}

fn unchunk<'a>(mut bytes: &'a [u8], body: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let line = bytes.windows(2).position(|window| window == b"\r\n")?;
        let (size, rest) = bytes.split_at_checked(line)?;
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?.trim(), 16).ok()?;
        let (chunk, rest) = rest.get(2..)?.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        bytes = rest.get(2..)?;
        if size == 0 {
            return Some(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_cut_where_they_end() {
        let said = read(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
              HTTP/1.1 206 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n\
              HTTP/1.1 400 Bad\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le",
        );
        assert_eq!(said.statuses(), [200, 206, 400]);
        let bodies: Vec<&[u8]> = said.answers.iter().map(|it| it.body.as_slice()).collect();
        assert_eq!(bodies, [&b"abc"[..], b"de", b""]);
        assert_eq!(said.rest, 27);
        assert_eq!(said.answers[0].header("content-length"), Some("3"));
    }
}
