//! RTMP from the attacker's side: a connection in each state that an attack
//! begins in, by the server's own reader and writer of chunks.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rillcast_bench::{Error, Result};
use rillcast_ingest_rtmp::proto::chunk::{Message, Reader, ReaderLimits, Writer};
use rillcast_ingest_rtmp::proto::command::Command;
use rillcast_ingest_rtmp::proto::message::{
    COMMAND_CHUNK_STREAM, CONTROL_CHUNK_STREAM, Control, kind,
};
use rillcast_media::flv::amf0::{Object, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::arena::{Arena, PROMPT, closed_within};

/// C1 and S1 (specification section 5.2.3).
pub(crate) const PACKET: usize = 1_536;

/// A connection that speaks RTMP.
pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    reader: Reader,
    writer: Writer,
    input: BytesMut,
    /// The message stream that the server gave.
    pub(crate) stream: u32,
}

/// C0 and C1 of a client without a digest.
pub(crate) fn hello() -> Vec<u8> {
    let mut bytes = vec![3; 1 + PACKET];
    // Time, and the four zeros that say "no digest".
    for byte in bytes.iter_mut().skip(1).take(8) {
        *byte = 0;
    }
    bytes
}

impl Peer {
    /// The handshake done.
    pub(crate) async fn shaken(arena: &Arena, host: u8) -> Result<Self> {
        Self::shake(arena.rtmp(host).await?).await
    }

    /// The handshake done on `socket`.
    pub(crate) async fn shake(mut socket: TcpStream) -> Result<Self> {
        let lost = || Error::of("the handshake");
        socket.write_all(&hello()).await.map_err(lost())?;
        let mut answer = vec![0; 1 + 2 * PACKET];
        let deadline = Instant::now() + PROMPT;
        timeout_at(deadline, socket.read_exact(&mut answer))
            .await
            .map_err(|_| Error::new("no answer to the handshake"))?
            .map_err(lost())?;
        let echo = answer.get(1..=PACKET).unwrap_or_default();
        socket.write_all(echo).await.map_err(lost())?;
        Ok(Self {
            socket,
            reader: Reader::new(ReaderLimits::default()),
            writer: Writer::new(),
            input: BytesMut::new(),
            stream: 1,
        })
    }

    /// `connect` done.
    pub(crate) async fn connected(arena: &Arena, host: u8, app: &str) -> Result<Self> {
        let mut peer = Self::shaken(arena, host).await?;
        peer.connect(app).await?;
        Ok(peer)
    }

    /// A publish in force, of a key of its own that begins with `name`: the one
    /// before may not have been missed yet.
    pub(crate) async fn publishing(arena: &Arena, host: u8, name: &str) -> Result<Self> {
        let mut peer = Self::connected(arena, host, &arena.app()).await?;
        let local = peer.socket.local_addr().map_err(Error::of("a socket"))?;
        let name = format!("{name}-{}-{}", local.ip(), local.port());
        let code = peer.publish(&name).await?;
        if code != STARTED {
            return Err(Error::new(format!(
                "a publish of {name} was answered {code}"
            )));
        }
        Ok(peer)
    }

    pub(crate) async fn connect(&mut self, app: &str) -> Result {
        self.cut(60_000).await?;
        self.command("connect", 1.0, vec![application(app)]).await?;
        self.answer("_result").await.map(drop)
    }

    /// Cuts what follows by `size`.
    pub(crate) async fn cut(&mut self, size: u32) -> Result {
        self.control(&Control::SetChunkSize(size)).await?;
        self.writer.set_chunk_size(size);
        Ok(())
    }

    /// Asks to publish and tells the code of the answer.
    pub(crate) async fn publish(&mut self, name: &str) -> Result<String> {
        self.command("createStream", 2.0, vec![Value::Null]).await?;
        let created = self.answer("_result").await?;
        self.stream = whole(created.number(0).unwrap_or(1.0));
        let arguments = vec![Value::Null, name.into(), "live".into()];
        self.command_on(self.stream, "publish", 3.0, arguments)
            .await?;
        self.status().await
    }

    /// The code of the next onStatus.
    pub(crate) async fn status(&mut self) -> Result<String> {
        Ok(code(&self.answer("onStatus").await?))
    }

    /// The next command called `name`.
    pub(crate) async fn answer(&mut self, name: &str) -> Result<Command> {
        let deadline = Instant::now() + PROMPT;
        loop {
            match timeout_at(deadline, self.next()).await {
                Err(_) => return Err(Error::new(format!("the server does not say {name}"))),
                Ok(None) => {
                    return Err(Error::new(format!(
                        "the server closed the connection instead of {name}"
                    )));
                }
                Ok(Some(command)) if command.name == name => return Ok(command),
                Ok(Some(_)) => {}
            }
        }
    }

    /// The next command of the server; `None` once it has closed.
    pub(crate) async fn next(&mut self) -> Option<Command> {
        loop {
            let mut input = &self.input[..];
            let before = input.len();
            let message = self.reader.read(&mut input).ok()?;
            let taken = before - input.len();
            let _ = self.input.split_to(taken);
            match message {
                Some(message) => {
                    if let Some(Control::SetChunkSize(size)) =
                        Control::read(message.kind, &message.body)
                    {
                        self.reader.set_chunk_size(size).ok()?;
                    } else if message.kind == kind::COMMAND_AMF0
                        && let Ok(Some(command)) = Command::read(message.kind, &message.body)
                    {
                        return Some(command);
                    }
                }
                None => {
                    if self.socket.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                        return None;
                    }
                }
            }
        }
    }

    /// Closed within `limit`; what it said does not matter.
    pub(crate) async fn gone_within(mut self, limit: Duration) -> Result {
        closed_within(&mut self.socket, limit).await.map(drop)
    }

    /// Whether the server still answers here.
    pub(crate) async fn is_alive(&mut self) -> Result {
        self.command("createStream", 77.0, vec![Value::Null])
            .await?;
        loop {
            if whole(self.answer("_result").await?.transaction) == 77 {
                return Ok(());
            }
        }
    }

    pub(crate) async fn command(
        &mut self,
        name: &str,
        transaction: f64,
        arguments: Vec<Value>,
    ) -> Result {
        self.command_on(0, name, transaction, arguments).await
    }

    pub(crate) async fn command_on(
        &mut self,
        stream: u32,
        name: &str,
        transaction: f64,
        arguments: Vec<Value>,
    ) -> Result {
        let body = body(name, transaction, arguments);
        self.send(COMMAND_CHUNK_STREAM, kind::COMMAND_AMF0, stream, 0, body)
            .await
    }

    pub(crate) async fn control(&mut self, control: &Control) -> Result {
        let (kind, body) = control.write();
        self.send(CONTROL_CHUNK_STREAM, kind, 0, 0, body).await
    }

    /// A message of the publish.
    pub(crate) async fn media(&mut self, kind: u8, timestamp: u32, body: Bytes) -> Result {
        let chunk_stream = if kind == kind::VIDEO { 6 } else { 4 };
        self.send(chunk_stream, kind, self.stream, timestamp, body)
            .await
    }

    pub(crate) async fn send(
        &mut self,
        chunk_stream: u32,
        kind: u8,
        stream: u32,
        timestamp: u32,
        body: Bytes,
    ) -> Result {
        let mut bytes = BytesMut::new();
        let message = Message {
            chunk_stream,
            kind,
            stream,
            timestamp,
            body,
        };
        self.writer.write(&message, &mut bytes);
        self.write(&bytes).await
    }

    /// Bytes as they are. One that the server does not take is an error too.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result {
        write(&mut self.socket, bytes).await
    }
}

/// Writes all, with the patience that one has for a server on loopback.
pub(crate) async fn write(socket: &mut TcpStream, bytes: &[u8]) -> Result {
    tokio::time::timeout(Duration::from_secs(20), socket.write_all(bytes))
        .await
        .map_err(|_| Error::new("the server takes nothing any more"))?
        .map_err(Error::of("the connection"))
}

/// A command as the body of a message.
pub(crate) fn body(name: &str, transaction: f64, arguments: Vec<Value>) -> Bytes {
    let mut command = Command::notice(name, None);
    command.transaction = transaction;
    command.arguments = arguments;
    command.write()
}

/// The object of `connect`.
pub(crate) fn application(app: &str) -> Value {
    let object = Object::new()
        .with("app", app)
        .with("type", "nonprivate")
        .with("flashVer", "FMLE/3.0 (compatible; hostile)")
        .with("tcUrl", format!("rtmp://localhost/{app}"));
    object.into()
}

/// The code in an onStatus or _error.
pub(crate) fn code(status: &Command) -> String {
    let object = status.arguments.get(1).and_then(Value::as_object);
    let code = object.and_then(|object| object.get("code"));
    code.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The code of a publish that begins.
pub(crate) const STARTED: &str = "NetStream.Publish.Start";

/// A message header of type 0 with any length; `rest` follows.
pub(crate) fn header(chunk_stream: u32, length: u32, kind: u8, stream: u32) -> Vec<u8> {
    let mut bytes = basic(0, chunk_stream);
    bytes.extend_from_slice(&[0, 0, 0]);
    let [_, length @ ..] = length.to_be_bytes();
    bytes.extend_from_slice(&length);
    bytes.push(kind);
    bytes.extend_from_slice(&stream.to_le_bytes());
    bytes
}

/// A basic header (section 5.3.1.1).
pub(crate) fn basic(format: u8, chunk_stream: u32) -> Vec<u8> {
    let format = format << 6;
    match u8::try_from(chunk_stream) {
        Ok(id @ ..=63) => vec![format | id],
        _ => {
            let beyond = u16::try_from(chunk_stream.saturating_sub(64)).unwrap_or(u16::MAX);
            let [low, high] = beyond.to_le_bytes();
            vec![format | 1, low, high]
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers that AMF0 carries as floating point; others saturate"
)]
fn whole(number: f64) -> u32 {
    number as u32
}
