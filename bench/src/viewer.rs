//! Viewers: connections that are kept alive and ask in a steady pace.

mod http2;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::{Error, Result};
use http2::Http2;

/// No answer on loopback takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// One read; a player's is as large.
const READ: usize = 256 << 10;

/// What viewers speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// One connection.
#[derive(Debug)]
pub struct Viewer {
    wire: Wire,
    address: SocketAddr,
}

#[derive(Debug)]
enum Wire {
    Http1(Http1),
    Http2(Http2),
}

#[derive(Debug)]
struct Http1 {
    socket: TcpStream,
    buffer: Vec<u8>,
    request: Vec<u8>,
}

impl Viewer {
    /// Connects, to speak HTTP/1.1.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        Self::speaking(Protocol::Http1, address).await
    }

    /// Connects, to speak `protocol`.
    ///
    /// # Errors
    /// Nobody listens, or does not speak it.
    pub async fn speaking(protocol: Protocol, address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address)
            .await
            .map_err(Error::of(address))?;
        socket.set_nodelay(true).map_err(Error::of(address))?;
        let wire = match protocol {
            Protocol::Http1 => Wire::Http1(Http1 {
                socket,
                buffer: vec![0; READ],
                request: Vec::new(),
            }),
            Protocol::Http2 => Wire::Http2(Http2::begin(socket).await?),
        };
        Ok(Self { wire, address })
    }

    /// Asks for `path` and reads the answer to its end; `keep` gets the body.
    /// Returns the body's length.
    ///
    /// # Errors
    /// The answer is not 200, tells no length, or does not come.
    pub async fn get(&mut self, path: &str, keep: Option<&mut Vec<u8>>) -> Result<usize> {
        let what = format!("GET http://{}{path}", self.address);
        let exchange = async {
            match &mut self.wire {
                Wire::Http1(wire) => wire.exchange(path, keep).await,
                Wire::Http2(wire) => wire.exchange(self.address, path, keep).await,
            }
        };
        match timeout(PATIENCE, exchange).await {
            Ok(result) => result.map_err(Error::of(what)),
            Err(_) => Err(Error::new(format!("{what}: no answer"))),
        }
    }
}

impl Http1 {
    async fn exchange(&mut self, path: &str, mut keep: Option<&mut Vec<u8>>) -> Result<usize> {
        self.request.clear();
        for part in ["GET ", path, " HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
            self.request.extend_from_slice(part.as_bytes());
        }
        let io = |error: std::io::Error| Error::new(error.to_string());
        self.socket.write_all(&self.request).await.map_err(io)?;
        let mut filled = 0;
        let head = loop {
            let room = self.buffer.get_mut(filled..).unwrap_or_default();
            let count = self.socket.read(room).await.map_err(io)?;
            if count == 0 {
                return Err(Error::new("the connection was closed"));
            }
            filled += count;
            let got = self.buffer.get(..filled).unwrap_or_default();
            if let Some(end) = got.windows(4).position(|it| it == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let got = self.buffer.get(..filled).unwrap_or_default();
        let (text, body) = got.split_at_checked(head).unwrap_or_default();
        let length = length(&String::from_utf8_lossy(text))?;
        if let Some(keep) = &mut keep {
            keep.extend_from_slice(body);
        }
        let mut left = length.saturating_sub(body.len());
        while left > 0 {
            let room = left.min(READ);
            let room = self.buffer.get_mut(..room).unwrap_or_default();
            let count = self.socket.read(room).await.map_err(io)?;
            if count == 0 {
                return Err(Error::new("the answer was cut off"));
            }
            if let Some(keep) = &mut keep {
                keep.extend_from_slice(room.get(..count).unwrap_or_default());
            }
            left -= count;
        }
        Ok(length)
    }
}

/// A reference in a playlist as a path (RFC 3986 section 5.2, as far as it is
/// used here).
#[must_use]
pub fn resolve(base: &str, reference: &str) -> String {
    if reference.starts_with('/') {
        return reference.to_owned();
    }
    let mut folder: Vec<&str> = base.split('/').collect();
    folder.pop();
    for part in reference.split('/') {
        match part {
            ".." => drop(folder.pop()),
            part => folder.push(part),
        }
    }
    folder.join("/")
}

/// The length of the body, of an answer that must be good.
fn length(head: &str) -> Result<usize> {
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(Error::new(format!("the answer is {status}")));
    }
    lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(|| Error::new("the answer tells no length"))
}

/// Many viewers, each of which asks for the next of some paths once a period.
#[derive(Clone, Debug)]
pub struct Load {
    /// How many.
    pub viewers: usize,
    /// From one request of a viewer to its next.
    pub period: Duration,
    /// What they ask for, in a circle.
    pub paths: Arc<[String]>,
    /// How long.
    pub time: Duration,
    /// What they speak.
    pub protocol: Protocol,
}

/// What a load came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    /// Answers.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// The longest time from request to the end of its answer.
    pub slowest: Duration,
}

impl Load {
    /// Puts the load on `address`: connects, asks once, and then calls
    /// `begin` before the pace starts and `end` when the last answer is there.
    ///
    /// # Errors
    /// A request fails.
    pub async fn run(
        &self,
        address: SocketAddr,
        begin: impl FnOnce(),
        end: impl FnOnce(),
    ) -> Result<Round> {
        let mut viewers = Vec::with_capacity(self.viewers);
        for index in 0..self.viewers {
            let mut viewer = Viewer::speaking(self.protocol, address).await?;
            if let Some(path) = self.path(index) {
                viewer.get(path, None).await?;
            }
            viewers.push(viewer);
        }
        begin();
        let begun = Instant::now();
        let apart = self.period / u32::try_from(self.viewers.max(1)).unwrap_or(u32::MAX);
        let mut tasks = JoinSet::new();
        for (index, viewer) in (0_u32..).zip(viewers) {
            let first = begun + apart * index;
            tasks.spawn(
                self.clone()
                    .view(viewer, index as usize, first, begun + self.time),
            );
        }
        let mut sum = Round::default();
        while let Some(round) = tasks.join_next().await {
            let round = round.map_err(Error::of("a viewer"))??;
            sum.requests += round.requests;
            sum.bytes += round.bytes;
            sum.slowest = sum.slowest.max(round.slowest);
        }
        end();
        Ok(sum)
    }

    async fn view(
        self,
        mut viewer: Viewer,
        index: usize,
        first: Instant,
        until: Instant,
    ) -> Result<Round> {
        let mut round = Round::default();
        let (mut due, mut next) = (first, index);
        while due < until {
            sleep_until(due).await;
            let Some(path) = self.path(next) else {
                break;
            };
            let asked = Instant::now();
            let bytes = viewer.get(path, None).await?;
            round.slowest = round.slowest.max(asked.elapsed());
            round.requests += 1;
            round.bytes += u64::try_from(bytes).unwrap_or_default();
            next += 1;
            // One that is behind asks at once and does not catch up in a burst.
            due = (due + self.period).max(asked);
        }
        Ok(round)
    }

    fn path(&self, index: usize) -> Option<&str> {
        let paths = self.paths.len();
        (paths > 0)
            .then(|| self.paths.get(index % paths))
            .flatten()
            .map(String::as_str)
    }
}
