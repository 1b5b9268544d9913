//! One viewer: it reads the playlists, follows the pictures at the live edge by
//! the segment that is being cut, a piece for each part, and the sound as the
//! playlist lists it, and believes nothing.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use rillcast_bench::{Error, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::fragment::Continuity;
use super::{Over, Seen};
use crate::arena::{GOOD_APP, ensure};

/// No answer may take longer, a held one included.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the playlist of the sound is read: half a target duration.
const RELOAD: Duration = Duration::from_secs(1);

/// Watches the good stream `name` until it is dropped; what is wrong is the error.
pub(super) async fn view(
    http: SocketAddr,
    (name, over): (&str, Over),
    sound: bool,
    seen: &Seen,
) -> Result {
    let mut client = Client::connect(http).await?;
    let home = format!("/hls/{GOOD_APP}/{name}/");
    let master = client.text(&format!("{home}index.m3u8")).await?;
    let playlist = match sound {
        true => master
            .split("URI=\"")
            .nth(1)
            .and_then(|it| it.split('"').next()),
        false => master.lines().find(|line| !line.starts_with('#')),
    };
    let playlist = playlist.ok_or_else(|| Error::new(format!("no playlist in {master}")))?;
    let playlist = format!("{home}{playlist}");
    seen.playlists.fetch_add(1, Ordering::Relaxed);
    match sound {
        true => listen(&mut client, &playlist, seen).await,
        false => look(&mut client, &playlist, over, seen).await,
    }
}

/// Follows the pictures: each segment is asked for before it has begun.
async fn look(client: &mut Client, playlist: &str, over: Over, seen: &Seen) -> Result {
    let list = List::read(&client.text(playlist).await?)?;
    let mut number = list.number + list.segments.len() as u64;
    let mut continuity = Continuity::default();
    let mut last: Option<Instant> = None;
    loop {
        let path = format!("{}{number}.m4s", list.base);
        let mut answer = client.get(&path).await?;
        let mut segment = Vec::new();
        while let Some(piece) = client.piece(&mut answer).await.map_err(Error::of(&path))? {
            let now = Instant::now();
            if let Some(last) = last.replace(now) {
                seen.arrived(over, now - last);
            } else {
                seen.playing.fetch_add(1, Ordering::Relaxed);
            }
            segment.extend_from_slice(&piece);
        }
        let fragments = continuity.check(&segment).map_err(Error::of(&path))?;
        ensure!(fragments > 0, "{path} holds no fragment");
        seen.fragments.fetch_add(fragments, Ordering::Relaxed);
        seen.segments.fetch_add(1, Ordering::Relaxed);
        number += 1;
    }
}

/// Follows the sound as the playlist lists it.
async fn listen(client: &mut Client, playlist: &str, seen: &Seen) -> Result {
    let mut continuity = Continuity::default();
    let mut next: Option<u64> = None;
    loop {
        let list = List::read(&client.text(playlist).await?).map_err(Error::of(playlist))?;
        seen.playlists.fetch_add(1, Ordering::Relaxed);
        let end = list.number + list.segments.len() as u64;
        if next.is_none() {
            seen.playing.fetch_add(1, Ordering::Relaxed);
        }
        let begin = next.unwrap_or(end.saturating_sub(1));
        ensure!(
            list.number <= begin && begin <= end,
            "{playlist}: segment {begin} is not among {} to {end}",
            list.number
        );
        for (number, name) in (list.number..).zip(&list.segments) {
            if number < begin {
                continue;
            }
            let path = format!("{}{name}", list.base);
            let segment = client.body(&path).await?;
            let fragments = continuity.check(&segment).map_err(Error::of(&path))?;
            let first = path.replace(".m4s", ".0.m4s");
            let part = client.body(&first).await?;
            ensure!(
                segment.starts_with(&part) && !part.is_empty(),
                "{first} is not the beginning of its segment"
            );
            seen.fragments.fetch_add(fragments, Ordering::Relaxed);
            seen.segments.fetch_add(1, Ordering::Relaxed);
        }
        next = Some(end);
        sleep(RELOAD).await;
    }
}

/// A media playlist.
#[derive(Debug)]
struct List {
    number: u64,
    /// What stands before the names of its segments, from the server's root.
    base: String,
    segments: Vec<String>,
}

impl List {
    fn read(text: &str) -> Result<Self> {
        for tag in ["#EXT-X-DISCONTINUITY\n", "#EXT-X-GAP", "#EXT-X-ENDLIST"] {
            ensure!(!text.contains(tag), "the playlist says {}", tag.trim());
        }
        let number = text
            .lines()
            .find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"))
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| Error::new("a playlist without a media sequence"))?;
        let names = text.lines().filter(|line| !line.starts_with('#'));
        let names: Vec<(&str, &str)> = names.filter_map(|line| line.rsplit_once('/')).collect();
        let base = names.first().map_or("", |(base, _)| base);
        Ok(Self {
            number,
            base: format!("/{}/", base.trim_start_matches("../")),
            segments: names.iter().map(|(_, name)| (*name).to_owned()).collect(),
        })
    }
}

/// A connection that is kept.
struct Client {
    socket: TcpStream,
    input: BytesMut,
}

/// What is left of an answer.
enum Left {
    Bytes(usize),
    Chunks,
    Nothing,
}

impl Client {
    async fn connect(http: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(http).await.map_err(Error::of(http))?;
        socket.set_nodelay(true).map_err(Error::of(http))?;
        Ok(Self {
            socket,
            input: BytesMut::with_capacity(64 << 10),
        })
    }

    async fn text(&mut self, path: &str) -> Result<String> {
        let body = self.body(path).await?;
        String::from_utf8(body).map_err(Error::of(path))
    }

    async fn body(&mut self, path: &str) -> Result<Vec<u8>> {
        let mut left = self.get(path).await?;
        let mut body = Vec::new();
        while let Some(piece) = self.piece(&mut left).await.map_err(Error::of(path))? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// Asks for `path` and reads the head of the answer, which must be 200.
    async fn get(&mut self, path: &str) -> Result<Left> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let asked = self.socket.write_all(request.as_bytes()).await;
        asked.map_err(Error::of(path))?;
        let end = loop {
            let end = self.input.windows(4).position(|it| it == b"\r\n\r\n");
            match end {
                Some(end) => break end,
                None => self.more().await.map_err(Error::of(path))?,
            }
        };
        let head = self.input.split_to(end + 4);
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        ensure!(
            head.split(' ').nth(1) == Some("200"),
            "{path} was answered with {}",
            head.lines().next().unwrap_or_default()
        );
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|length| length.trim().parse().ok());
        Ok(length.map_or(Left::Chunks, Left::Bytes))
    }

    /// The next piece of a body: a chunk, or all of it.
    async fn piece(&mut self, left: &mut Left) -> Result<Option<BytesMut>> {
        match *left {
            Left::Nothing => Ok(None),
            Left::Bytes(length) => {
                while self.input.len() < length {
                    self.more().await?;
                }
                *left = Left::Nothing;
                Ok(Some(self.input.split_to(length)))
            }
            Left::Chunks => {
                let line = loop {
                    match self.input.windows(2).position(|it| it == b"\r\n") {
                        Some(line) => break line,
                        None => self.more().await?,
                    }
                };
                let size = self.input.split_to(line + 2);
                let size = String::from_utf8_lossy(&size);
                let size = usize::from_str_radix(size.trim(), 16).map_err(Error::of("a chunk"))?;
                while self.input.len() < size + 2 {
                    self.more().await?;
                }
                let piece = self.input.split_to(size);
                let _ = self.input.split_to(2);
                if size == 0 {
                    *left = Left::Nothing;
                    return Ok(None);
                }
                Ok(Some(piece))
            }
        }
    }

    async fn more(&mut self) -> Result {
        match timeout(PATIENCE, self.socket.read_buf(&mut self.input)).await {
            Err(_) => Err(Error::new("no answer")),
            Ok(Ok(0)) => Err(Error::new("the server closed the connection")),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Error::of("the connection")(error)),
        }
    }
}
