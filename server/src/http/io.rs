//! A socket that gives up on a client which takes nothing, or has left.
//!
//! A viewer that stalls holds its segment and a place among the connections;
//! TCP itself would wait for minutes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::stats::{HttpStats, add};

/// A connection's socket, with the write-progress time-out.
pub(super) struct Socket {
    inner: TcpStream,
    patience: Duration,
    stats: Arc<HttpStats>,
    /// Armed while a write waits for the client.
    deadline: Pin<Box<Sleep>>,
    waiting: bool,
    /// It was read that no more will come.
    ended: bool,
    /// What was read to learn the protocol, and how much of it is still to be
    /// handed out. Nothing, unless a client sends its first bytes one by one.
    ahead: [u8; PREFACE.len()],
    ahead_len: usize,
}

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    /// With prior knowledge (RFC 9113 section 3.3).
    Http2,
}

/// Begins the preface of HTTP/2 and no request of HTTP/1 (RFC 9113 section 3.4
/// reserves the method for that).
const PREFACE: &[u8; 3] = b"PRI";

impl Socket {
    pub(super) fn new(stream: TcpStream, patience: Duration, stats: Arc<HttpStats>) -> Self {
        Self {
            inner: stream,
            patience,
            stats,
            deadline: Box::pin(tokio::time::sleep(patience)),
            waiting: false,
            ended: false,
            ahead: [0; PREFACE.len()],
            ahead_len: 0,
        }
    }

    /// Waits for the first bytes and looks at them; what is read next begins
    /// with them all the same. Not cancel safe.
    pub(super) async fn protocol(&mut self) -> io::Result<Protocol> {
        loop {
            let (read, left) = self.ahead.split_at_mut(self.ahead_len);
            let count = self.inner.peek(left).await?;
            let seen = left.get(..count).unwrap_or_default();
            let preface = PREFACE.get(read.len()..).unwrap_or_default();
            if count == 0 || !preface.starts_with(seen) {
                return Ok(Protocol::Http1);
            }
            if seen.len() == preface.len() {
                return Ok(Protocol::Http2);
            }
            // Too few to tell. They have to be taken, or the socket goes on to
            // be readable by them.
            let taken = left.get_mut(..count).unwrap_or_default();
            self.ahead_len += self.inner.try_read(taken)?;
        }
    }

    /// Passes on how a write went, and fails one that has waited too long.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(result) => {
                self.waiting = false;
                if let Ok(count) = &result {
                    add(&self.stats.sent_bytes, u64::try_from(*count).unwrap_or(0));
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                if !self.waiting {
                    self.waiting = true;
                    self.deadline.as_mut().reset(Instant::now() + self.patience);
                }
                std::task::ready!(self.deadline.as_mut().poll(cx));
                add(&self.stats.stalled, 1);
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client took nothing for too long",
                )))
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead_len > 0 {
            let count = self.ahead_len.min(buf.remaining());
            let (now, _) = self.ahead.split_at(count);
            buf.put_slice(now);
            self.ahead.rotate_left(count);
            self.ahead_len -= count;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) {
            self.ended = buf.filled().len() == before;
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(cx, written)
    }

    /// There is nothing to flush, but hyper comes here whenever it is polled:
    /// so a client that leaves while its answer is being made is noticed here.
    ///
    /// hyper would notice it too, by reading, for which it needs a new buffer
    /// for each request; `half_close` keeps it from that. A look takes no system
    /// call unless something has come.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut look = ReadBuf::new(&mut byte);
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        match self.inner.poll_peek(cx, &mut look) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the client has left",
            ))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // What has come is read when the answer is sent.
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }
}
