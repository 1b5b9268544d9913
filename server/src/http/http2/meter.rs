//! How often a client may send the frames of HTTP/2 that cost it next to
//! nothing, and that flow control does not hold back.
//!
//! h2 itself bounds what opens streams (those that are reset before they are
//! looked at, faulty ones, CONTINUATION, DATA of a few bytes). PING, SETTINGS,
//! PRIORITY and a stream's reset it takes as fast as they come. So the frames'
//! headers are read here, on the way to it, and counted by two buckets.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The preface that the frames follow (RFC 9113 section 3.4).
const PREFACE_LEN: usize = 24;
const HEADER_LEN: usize = 9;

/// Frames of control: a browser sends a few in a second, a proxy resets as many
/// streams as viewers leave it.
const CONTROL: Rate = Rate {
    burst: 1_000,
    per_second: 100,
};

/// Window updates: some clients send one for each piece that they read, for the
/// stream and for the connection. What is sent to them allows for more.
const UPDATES: Rate = Rate {
    burst: 4_000,
    per_second: 1_000,
};

/// Bytes sent for which one more window update may come. Clients with small
/// buffers send two for 4 KiB.
const BYTES_PER_UPDATE: u64 = 512;

/// The payload of a frame that counts once; a larger one counts for more.
const FRAME_LEN: u32 = 256;

/// What a socket carries, with the frames counted that come in.
pub(super) struct Metered<IO> {
    socket: IO,
    frames: Frames,
    control: Bucket,
    updates: Bucket,
    sent: u64,
    flooded: Arc<AtomicBool>,
}

/// Tells whether there was too much of something.
pub(super) struct Verdict(Arc<AtomicBool>);

impl Verdict {
    /// What to say of it; nothing more is read then.
    pub(super) fn offence(&self) -> Option<&'static str> {
        self.0.load(Ordering::Relaxed).then_some(
            "it sends more control frames of HTTP/2, or window updates, than any use of it needs",
        )
    }
}

impl<IO> Metered<IO> {
    pub(super) fn new(socket: IO) -> (Self, Verdict) {
        let flooded = Arc::default();
        let now = Instant::now();
        let metered = Self {
            socket,
            frames: Frames::new(),
            control: Bucket::new(CONTROL, now),
            updates: Bucket::new(UPDATES, now),
            sent: 0,
            flooded: Arc::clone(&flooded),
        };
        (metered, Verdict(flooded))
    }

    /// Whether what has come is within the rates.
    fn allows(&mut self, bytes: &[u8]) -> bool {
        let Self {
            frames,
            control,
            updates,
            ..
        } = self;
        frames.read(bytes, |frame| match frame.kind {
            Kind::Request => true,
            Kind::Control => control.take(1 + frame.len / FRAME_LEN, Instant::now),
            Kind::Update => updates.take(1, Instant::now),
        })
    }

    fn count_sent(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            self.sent += u64::try_from(*count).unwrap_or(0);
            let more = self.sent / BYTES_PER_UPDATE;
            self.sent %= BYTES_PER_UPDATE;
            self.updates.add(u32::try_from(more).unwrap_or(u32::MAX));
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Metered<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.flooded.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        if !matches!(read, Poll::Ready(Ok(()))) {
            return read;
        }
        if self.allows(buf.filled().get(before..).unwrap_or_default()) {
            return read;
        }
        // Who polls the connection looks at the verdict next.
        self.flooded.store(true, Ordering::Relaxed);
        buf.set_filled(before);
        Poll::Pending
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Metered<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.count_sent(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.count_sent(&written);
        written
    }
}

/// Finds the frames in what is read, in pieces of any size.
struct Frames {
    /// Bytes of the preface or a payload that are to be passed.
    skip: usize,
    header: [u8; HEADER_LEN],
    have: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    kind: Kind,
    len: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// HEADERS, CONTINUATION and DATA, which h2 bounds.
    Request,
    Update,
    /// All others, those that nobody knows too.
    Control,
}

impl Frames {
    const fn new() -> Self {
        Self {
            skip: PREFACE_LEN,
            header: [0; HEADER_LEN],
            have: 0,
        }
    }

    /// Shows each frame that begins in `bytes` to `allow`; ends, and returns
    /// false, when that does.
    fn read(&mut self, mut bytes: &[u8], mut allow: impl FnMut(Frame) -> bool) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = self.header.get_mut(self.have..).unwrap_or_default();
            let taken = wanted.len().min(bytes.len());
            let (head, rest) = bytes.split_at(taken);
            wanted
                .iter_mut()
                .zip(head)
                .for_each(|(to, from)| *to = *from);
            bytes = rest;
            self.have += taken;
            if self.have == HEADER_LEN {
                self.have = 0;
                let [a, b, c, kind, ..] = self.header;
                let len = u32::from_be_bytes([0, a, b, c]);
                self.skip = usize::try_from(len).unwrap_or(usize::MAX);
                let kind = match kind {
                    0 | 1 | 9 => Kind::Request,
                    8 => Kind::Update,
                    _ => Kind::Control,
                };
                if !allow(Frame { kind, len }) {
                    return false;
                }
            }
        }
        true
    }
}

#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    per_second: u32,
}

/// Tokens that come back with time. The clock is asked only when there are none.
struct Bucket {
    rate: Rate,
    tokens: u32,
    filled: Instant,
}

impl Bucket {
    const fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            tokens: rate.burst,
            filled: now,
        }
    }

    /// Takes `count`, if there are as many.
    fn take(&mut self, count: u32, now: impl FnOnce() -> Instant) -> bool {
        if self.tokens < count {
            let now = now();
            let passed = now.saturating_duration_since(self.filled).as_millis();
            let due = passed * u128::from(self.rate.per_second) / 1_000;
            if due > 0 {
                self.filled = now;
                self.add(u32::try_from(due).unwrap_or(u32::MAX));
            }
        }
        match self.tokens.checked_sub(count) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    /// Never holds more than at the beginning.
    fn add(&mut self, count: u32) {
        self.tokens = self.tokens.saturating_add(count).min(self.rate.burst);
    }
}

#[cfg(test)]
mod tests;
