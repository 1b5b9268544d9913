//! A small blocking HTTP/1.1 client for the tests: one request a connection, so
//! that nothing is shared between what a test asks and what it asks next.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::{Context, Failure, Result, ensure, fail};

/// No answer of a live server takes longer than a held request.
const TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks `authority` (`ip:port`) for `path` and returns whatever it answers.
pub(crate) fn request(method: &str, authority: &str, path: &str) -> Result<Response> {
    let what = format!("{method} http://{authority}{path}");
    let mut stream = TcpStream::connect(authority).context(&what)?;
    stream.set_read_timeout(Some(TIMEOUT)).context(&what)?;
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).context(&what)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).context(&what)?;
    parse(&bytes).map_err(|error| Failure::new(format!("{what}: {error}")))
}

/// A GET that must be answered with 200.
pub(crate) fn get(authority: &str, path: &str) -> Result<Response> {
    let response = request("GET", authority, path)?;
    ensure!(
        response.status == 200,
        "GET {path} was answered with {}: {}",
        response.status,
        response.text()
    );
    Ok(response)
}

fn parse(bytes: &[u8]) -> Result<Response> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        fail!("the answer has no end of headers");
    };
    let (head, rest) = bytes.split_at(end);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|it| it.parse().ok());
    let Some(status) = status else {
        fail!("the answer has no status: {head}");
    };
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut response = Response {
        status,
        headers,
        body: rest.get(4..).unwrap_or_default().to_vec(),
    };
    if response
        .header("transfer-encoding")
        .is_some_and(|it| it.eq_ignore_ascii_case("chunked"))
    {
        response.body = unchunk(&response.body)?;
    } else if let Some(length) = response.header("content-length") {
        ensure!(
            length.parse() == Ok(response.body.len()),
            "the body has {} bytes, its header says {length}",
            response.body.len()
        );
    }
    Ok(response)
}

fn unchunk(mut bytes: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|window| window == b"\r\n");
        let Some((size, rest)) = line.map(|at| bytes.split_at(at)) else {
            fail!("a chunk has no size");
        };
        let size = String::from_utf8_lossy(size);
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            fail!("`{size}` is no chunk size");
        };
        if size == 0 {
            return Ok(body);
        }
        let Some(chunk) = rest.get(2..2 + size) else {
            fail!("the answer was cut off within a chunk of {size} bytes");
        };
        body.extend_from_slice(chunk);
        bytes = rest.get(4 + size..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_and_a_cut_is_seen() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let whole = [&head[..], b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"].concat();
        assert_eq!(parse(&whole).unwrap().body, b"abcde");
        for cut in head.len()..whole.len() - 5 {
            assert!(parse(&whole[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_short_body_is_seen() {
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab").is_err());
        let response = parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nab").unwrap();
        assert_eq!((response.status, response.text().as_str()), (404, "ab"));
    }
}
