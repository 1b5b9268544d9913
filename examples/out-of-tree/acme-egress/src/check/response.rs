//! The way of a response over HTTP/1.1: status, head, and a body in chunks.

/// Takes a response apart as it comes. A body that has a length instead is
/// passed on as far as it comes.
#[derive(Debug, Default)]
pub struct Response {
    status: Option<u16>,
    chunked: bool,
    state: State,
    /// A line, or the head, that is not complete yet.
    partial: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    /// Before the size of a chunk.
    Size,
    /// So many bytes of a chunk are left.
    Chunk(usize),
    /// Behind a chunk.
    Behind,
    /// Behind the last chunk, which is empty.
    Trailer,
    Ended,
    /// A body that is not in chunks.
    Plain,
}

/// The response is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no HTTP response: {0:?}")]
pub struct NoResponse(String);

/// No head that is of use here is longer, and no line of a chunk.
const MOST_HEAD: usize = 8 << 10;

impl Response {
    /// A response before its first byte.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The status, once the head is there.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether a body in chunks has come to its end, as opposed to a connection
    /// that broke.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Takes the next bytes; `each` gets those of the body.
    ///
    /// # Errors
    /// The bytes are no response, or no body in chunks.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), NoResponse> {
        while !bytes.is_empty() {
            match self.state {
                State::Head => {
                    let Some(head) = self.until(b"\r\n\r\n", &mut bytes)? else {
                        return Ok(());
                    };
                    let mut words = head.split(' ');
                    let status = match (words.next(), words.next()) {
                        (Some("HTTP/1.1"), Some(status)) => status.parse().ok(),
                        _ => None,
                    };
                    self.status = Some(status.ok_or_else(|| NoResponse(head.clone()))?);
                    self.chunked = head
                        .to_ascii_lowercase()
                        .contains("\r\ntransfer-encoding: chunked\r\n");
                    self.state = if self.chunked {
                        State::Size
                    } else {
                        State::Plain
                    };
                }
                State::Size => {
                    let Some(line) = self.until(b"\r\n", &mut bytes)? else {
                        return Ok(());
                    };
                    self.state = match usize::from_str_radix(line.trim(), 16) {
                        Ok(0) => State::Trailer,
                        Ok(size) => State::Chunk(size),
                        Err(_) => return Err(NoResponse(line)),
                    };
                }
                State::Chunk(left) => {
                    let (now, rest) = bytes.split_at(left.min(bytes.len()));
                    each(now);
                    bytes = rest;
                    self.state = match left - now.len() {
                        0 => State::Behind,
                        left => State::Chunk(left),
                    };
                }
                State::Behind | State::Trailer => {
                    let Some(line) = self.until(b"\r\n", &mut bytes)? else {
                        return Ok(());
                    };
                    if line != "\r\n" {
                        return Err(NoResponse(line));
                    }
                    self.state = match self.state {
                        State::Behind => State::Size,
                        _ => State::Ended,
                    };
                }
                State::Ended => return Err(NoResponse("bytes behind its end".into())),
                State::Plain => {
                    each(bytes);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What comes up to `end` and with it, once it is all there.
    fn until(&mut self, end: &[u8], bytes: &mut &[u8]) -> Result<Option<String>, NoResponse> {
        while let Some((first, rest)) = bytes.split_first() {
            *bytes = rest;
            self.partial.push(*first);
            if self.partial.ends_with(end) {
                let whole = std::mem::take(&mut self.partial);
                return Ok(Some(String::from_utf8_lossy(&whole).into_owned()));
            }
            if self.partial.len() > MOST_HEAD {
                let partial = String::from_utf8_lossy(&self.partial);
                return Err(NoResponse(partial.into_owned()));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";

    #[test]
    fn a_body_in_chunks_is_put_together_at_every_split() {
        for step in 1..=WHOLE.len() {
            let (mut response, mut body) = (Response::new(), Vec::new());
            for piece in WHOLE.chunks(step) {
                assert!(!response.is_ended());
                response
                    .push(piece, |bytes| body.extend_from_slice(bytes))
                    .unwrap();
            }
            assert!(response.is_ended());
            assert_eq!(response.status(), Some(200));
            assert_eq!(body, b"abc0123456789abcdef", "at {step}");
        }
    }

    #[test]
    fn a_body_of_a_length_is_passed_on_and_what_is_none_is_refused() {
        let (mut response, mut body) = (Response::new(), Vec::new());
        let plain = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone";
        response
            .push(plain, |bytes| body.extend_from_slice(bytes))
            .unwrap();
        assert_eq!((response.status(), &body[..]), (Some(404), &b"none"[..]));
        for broken in [
            &b"FLV\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
            &[b'x'; MOST_HEAD + 1],
        ] {
            assert!(Response::new().push(broken, |_| {}).is_err(), "{broken:?}");
        }
        let mut after = WHOLE.to_vec();
        after.push(b'x');
        assert!(Response::new().push(&after, |_| {}).is_err());
    }
}
