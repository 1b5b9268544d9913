//! A publisher of few words, made of the plugin's own chunk and command layers.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rillcast_ingest_rtmp::proto::chunk::{Message, Reader, ReaderLimits, Writer};
use rillcast_ingest_rtmp::proto::command::Command;
use rillcast_ingest_rtmp::proto::message::{Control, kind};
use rillcast_media::flv::amf0::{Object, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

pub(crate) struct Client {
    socket: TcpStream,
    address: SocketAddr,
    writer: Writer,
    out: BytesMut,
    reader: Reader,
    input: BytesMut,
    used: Vec<u32>,
    pings: u32,
}

/// No answer of a server on this machine takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

const HELLO: usize = 1_537;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

/// Connects from one of this machine's own addresses.
async fn dial(to: SocketAddr, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(from.parse().unwrap(), 0))
        .unwrap();
    soon(socket.connect(to)).await.unwrap()
}

impl Client {
    /// A connection whose handshake is done.
    pub(crate) async fn connected(to: SocketAddr, from: &str) -> Self {
        Self::try_connect(to, from)
            .await
            .expect("the connection was refused")
    }

    /// A connection that is closed without a word.
    pub(crate) async fn refused(to: SocketAddr, from: &str) {
        assert!(Self::try_connect(to, from).await.is_none());
    }

    /// A connection, however often it takes to ask.
    pub(crate) async fn admitted(to: SocketAddr, from: &str) -> Self {
        let again = async {
            loop {
                if let Some(client) = Self::try_connect(to, from).await {
                    return client;
                }
            }
        };
        soon(again).await
    }

    async fn try_connect(to: SocketAddr, from: &str) -> Option<Self> {
        let mut socket = dial(to, from).await;
        let mut hello = vec![7; HELLO];
        hello[0] = 3;
        // One that is refused may be closed already.
        socket.write_all(&hello).await.ok()?;
        let mut answer = vec![0; 2 * HELLO - 1];
        soon(socket.read_exact(&mut answer)).await.ok()?;
        socket.write_all(&answer[1..HELLO]).await.ok()?;
        Some(Self {
            address: socket.local_addr().unwrap(),
            socket,
            writer: Writer::new(),
            out: BytesMut::new(),
            reader: Reader::new(ReaderLimits::default()),
            input: BytesMut::new(),
            used: Vec::new(),
            pings: 0,
        })
    }

    /// A connection that publishes `live/NAME`.
    pub(crate) async fn publishing(to: SocketAddr, name: &str) -> Self {
        let mut client = Self::connected(to, "127.0.0.1").await;
        let said = client.publish_to("live", name).await;
        assert_eq!(said.0, "NetStream.Publish.Start", "{said:?}");
        client
    }

    /// Asks to publish `APP/NAME`; the answer's code and description.
    pub(crate) async fn publish_to(&mut self, app: &str, name: &str) -> (String, String) {
        let app = Object::new().with("app", app);
        self.command(0, "connect", vec![app.into()]);
        self.command(0, "createStream", vec![Value::Null]);
        self.command(1, "publish", vec![Value::Null, name.into(), "live".into()]);
        loop {
            let (_, command) = self.next().await.expect("no answer");
            if let Some(command) = command.filter(|command| command.name == "onStatus") {
                return status(&command);
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many chunk streams the server will have seen after a ping.
    pub(crate) fn chunk_streams(&self) -> u32 {
        u32::try_from(self.used.len()).unwrap() + u32::from(!self.used.contains(&2))
    }

    /// Sends a message on the stream that is published.
    pub(crate) fn message(&mut self, chunk_stream: u32, kind: u8, body: impl Into<Bytes>) {
        self.send(chunk_stream, kind, 1, body.into());
    }

    /// Begins a message of which the rest never comes. `arrived` bytes do, in
    /// one chunk.
    pub(crate) fn begin(&mut self, chunk_stream: u32, kind: u8, length: u32, arrived: usize) {
        let (control, size) = Control::SetChunkSize(u32::try_from(arrived).unwrap()).write();
        self.send(2, control, 0, size);
        self.used.push(chunk_stream);
        self.out.extend([u8::try_from(chunk_stream).unwrap()]);
        self.out.extend([0, 0, 0]);
        self.out.extend(&length.to_be_bytes()[1..]);
        self.out.extend([kind, 1, 0, 0, 0]);
        self.out.extend(vec![0; arrived]);
        let (control, size) = Control::SetChunkSize(128).write();
        self.send(2, control, 0, size);
    }

    /// Sends until the server has enough, and never reads.
    pub(crate) async fn flood(&mut self, chunk_stream: u32, kind: u8, body: &Bytes) {
        let flood = async {
            loop {
                for _ in 0..1_000 {
                    self.send(chunk_stream, kind, 0, body.clone());
                }
                if self.socket.write_all_buf(&mut self.out).await.is_err() {
                    return;
                }
            }
        };
        soon(flood).await;
    }

    /// The server answers still.
    pub(crate) async fn still_there(&mut self) {
        self.pings += 1;
        let (kind, body) = Control::PingRequest(self.pings).write();
        self.send(2, kind, 0, body);
        loop {
            let (control, command) = self.next().await.expect("the server has gone");
            if control == Some(Control::PingResponse(self.pings)) {
                return;
            }
            assert!(command.is_none(), "{command:?}");
        }
    }

    /// Has a ping answered, or gives the last words that come instead.
    pub(crate) async fn ping_or_last_words(&mut self) -> Option<String> {
        self.pings += 1;
        let (kind, body) = Control::PingRequest(self.pings).write();
        self.send(2, kind, 0, body);
        let mut last = String::new();
        while let Some((control, command)) = self.next().await {
            if control == Some(Control::PingResponse(self.pings)) {
                return None;
            }
            if let Some(command) = command.filter(|command| command.name == "onStatus") {
                (_, last) = status(&command);
            }
        }
        Some(last)
    }

    /// The description of the last error that the server tells before it closes.
    pub(crate) async fn last_words(&mut self) -> String {
        let mut last = String::new();
        while let Some((_, command)) = self.next().await {
            if let Some(command) = command.filter(|command| command.name == "onStatus") {
                (_, last) = status(&command);
            }
        }
        last
    }

    fn command(&mut self, stream: u32, name: &str, arguments: Vec<Value>) {
        let command = Command {
            name: name.to_owned(),
            transaction: 1.0,
            arguments,
        };
        self.send(3, kind::COMMAND_AMF0, stream, command.write());
    }

    fn send(&mut self, chunk_stream: u32, kind: u8, stream: u32, body: Bytes) {
        if !self.used.contains(&chunk_stream) {
            self.used.push(chunk_stream);
        }
        let message = Message {
            chunk_stream,
            kind,
            stream,
            timestamp: 0,
            body,
        };
        self.writer.write(&message, &mut self.out);
    }

    /// What the server says next; `None` once it has closed.
    async fn next(&mut self) -> Option<(Option<Control>, Option<Command>)> {
        // The server may close before it has read everything.
        let _ = self.socket.write_all_buf(&mut self.out).await;
        loop {
            let mut input = &self.input[..];
            let message = self.reader.read(&mut input).unwrap();
            let taken = self.input.len() - input.len();
            self.input.advance(taken);
            let Some(message) = message else {
                match soon(self.socket.read_buf(&mut self.input)).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => continue,
                }
            };
            let control = Control::read(message.kind, &message.body);
            if let Some(Control::SetChunkSize(size)) = control {
                self.reader.set_chunk_size(size).unwrap();
            }
            let command = match message.kind {
                kind::COMMAND_AMF0 => Command::read(message.kind, &message.body).unwrap(),
                _ => None,
            };
            return Some((control, command));
        }
    }
}

/// Code and description of an `onStatus`.
fn status(command: &Command) -> (String, String) {
    let object = command.arguments[1].as_object().unwrap();
    let text = |key| {
        object
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    (text("code"), text("description"))
}
