//! RTMP from the publisher's side: enough to begin a publish, by the server's
//! own protocol modules.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rillcast_ingest_rtmp::proto::chunk::{Message, Reader, ReaderLimits, Writer};
use rillcast_ingest_rtmp::proto::command::Command;
use rillcast_ingest_rtmp::proto::message::{
    COMMAND_CHUNK_STREAM, CONTROL_CHUNK_STREAM, Control, STATUS_CHUNK_STREAM, kind,
};
use rillcast_media::flv::amf0::{Object, Value};

use crate::error::{Error, Result};

/// No server of loopback needs longer for a step of the dialogue, or to take a
/// message.
const PATIENCE: Duration = Duration::from_secs(10);

/// C1 and S1 (specification section 5.2.3).
const HANDSHAKE: usize = 1_536;

/// A connection that publishes.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    reader: Reader,
    writer: Writer,
    input: Vec<u8>,
    /// The message stream that the server gave.
    pub(crate) stream: u32,
}

impl Connection {
    /// Connects and publishes `app/name`, in chunks of `chunk_size`.
    pub(crate) fn publish(
        address: SocketAddr,
        app: &str,
        name: &str,
        chunk_size: u32,
    ) -> Result<Self> {
        let what = || format!("publishing {app}/{name} to {address}");
        let socket = TcpStream::connect(address).map_err(Error::of(what()))?;
        for set in [
            socket.set_nodelay(true),
            socket.set_read_timeout(Some(PATIENCE)),
            socket.set_write_timeout(Some(PATIENCE)),
        ] {
            set.map_err(Error::of(what()))?;
        }
        let mut connection = Self {
            socket,
            reader: Reader::new(ReaderLimits::default()),
            writer: Writer::new(),
            input: Vec::new(),
            stream: 0,
        };
        connection
            .begin(address, app, name, chunk_size)
            .map_err(Error::of(what()))?;
        Ok(connection)
    }

    fn begin(&mut self, address: SocketAddr, app: &str, name: &str, chunk_size: u32) -> Result {
        self.handshake().map_err(Error::of("handshake"))?;
        self.control(&Control::SetChunkSize(chunk_size))?;
        self.writer.set_chunk_size(chunk_size);
        let object = Object::new()
            .with("app", app)
            .with("type", "nonprivate")
            .with("flashVer", "FMLE/3.0 (compatible; rillcast-bench)")
            .with("tcUrl", format!("rtmp://{address}/{app}"));
        self.command(COMMAND_CHUNK_STREAM, 0, "connect", 1.0, vec![object.into()])?;
        self.answer("_result")?;
        self.command(
            COMMAND_CHUNK_STREAM,
            0,
            "createStream",
            2.0,
            vec![Value::Null],
        )?;
        let created = self.answer("_result")?;
        let stream = created.number(0).unwrap_or(1.0);
        self.stream = if stream > 1.5 { 2 } else { 1 };
        let arguments = vec![Value::Null, name.into(), "live".into()];
        self.command(STATUS_CHUNK_STREAM, self.stream, "publish", 3.0, arguments)?;
        let status = self.answer("onStatus")?;
        let code = status
            .arguments
            .get(1)
            .and_then(Value::as_object)
            .and_then(|object| object.get("code"))
            .and_then(Value::as_str);
        match code {
            Some("NetStream.Publish.Start") => Ok(()),
            code => Err(Error::new(format!("the server said {code:?}"))),
        }
    }

    fn handshake(&mut self) -> std::io::Result<()> {
        let mut first = vec![0_u8; 1 + HANDSHAKE];
        for (byte, value) in first.iter_mut().skip(9).zip((1..=250).cycle()) {
            *byte = value;
        }
        if let Some(version) = first.first_mut() {
            *version = 3;
        }
        self.socket.write_all(&first)?;
        let mut answer = vec![0_u8; 1 + 2 * HANDSHAKE];
        self.socket.read_exact(&mut answer)?;
        self.socket
            .write_all(answer.get(1..=HANDSHAKE).unwrap_or_default())
    }

    /// Reads until the command `name` comes; a refusal is an error.
    fn answer(&mut self, name: &str) -> Result<Command> {
        loop {
            while let Some(message) = self.next_message()? {
                if message.kind != kind::COMMAND_AMF0 {
                    continue;
                }
                match Command::read(message.kind, &message.body).map_err(Error::of("answer"))? {
                    Some(command) if command.name == name => return Ok(command),
                    Some(command) if command.name == "_error" => {
                        return Err(Error::new(format!(
                            "the server refused: {:?}",
                            command.arguments
                        )));
                    }
                    _ => {}
                }
            }
            let mut buffer = [0; 4 << 10];
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(Error::new("the server closed the connection")),
                Ok(count) => self
                    .input
                    .extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) => return Err(Error::of(format!("waiting for {name}"))(error)),
            }
        }
    }

    /// The next whole message of what was read; control is acted upon.
    fn next_message(&mut self) -> Result<Option<Message>> {
        loop {
            let mut input = self.input.as_slice();
            let message = self
                .reader
                .read(&mut input)
                .map_err(Error::of("the server"))?;
            let taken = self.input.len() - input.len();
            self.input.drain(..taken);
            let Some(message) = message else {
                return Ok(None);
            };
            match Control::read(message.kind, &message.body) {
                Some(Control::SetChunkSize(size)) => self
                    .reader
                    .set_chunk_size(size)
                    .map_err(Error::of("the server"))?,
                Some(Control::PingRequest(data)) => self.control(&Control::PingResponse(data))?,
                _ => return Ok(Some(message)),
            }
        }
    }

    /// Reads what the server has said meanwhile and answers its pings; never
    /// waits.
    pub(crate) fn listen(&mut self) -> Result {
        let blocking = |socket: &TcpStream, is: bool| {
            socket
                .set_nonblocking(!is)
                .map_err(Error::of("the connection"))
        };
        blocking(&self.socket, false)?;
        let mut buffer = [0; 4 << 10];
        let read = self.socket.read(&mut buffer);
        blocking(&self.socket, true)?;
        match read {
            Ok(0) => return Err(Error::new("the server closed the connection")),
            Ok(count) => self
                .input
                .extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(Error::of("the connection")(error)),
        }
        while self.next_message()?.is_some() {}
        Ok(())
    }

    /// Writes whole chunks.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result {
        self.socket
            .write_all(bytes)
            .map_err(Error::of("the connection"))
    }

    fn control(&mut self, control: &Control) -> Result {
        let (kind, body) = control.write();
        self.send(CONTROL_CHUNK_STREAM, kind, 0, body)
    }

    fn command(
        &mut self,
        chunk_stream: u32,
        stream: u32,
        name: &str,
        transaction: f64,
        arguments: Vec<Value>,
    ) -> Result {
        let mut command = Command::notice(name, None);
        command.transaction = transaction;
        command.arguments = arguments;
        self.send(chunk_stream, kind::COMMAND_AMF0, stream, command.write())
    }

    fn send(&mut self, chunk_stream: u32, kind: u8, stream: u32, body: Bytes) -> Result {
        let message = Message {
            chunk_stream,
            kind,
            stream,
            timestamp: 0,
            body,
        };
        let mut bytes = BytesMut::new();
        self.writer.write(&message, &mut bytes);
        self.write(&bytes)
    }
}
