//! A client of HTTP/2 that keeps its rules, and one that sends any bytes.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use crate::client::PATIENCE;

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }
}

/// A connection. Clones share it.
#[derive(Clone)]
pub(crate) struct Http2 {
    send: SendRequest<Bytes>,
}

impl Http2 {
    /// Connects with prior knowledge. What the connection ends with is told by
    /// the task.
    pub(crate) async fn connect(address: SocketAddr) -> (Self, JoinHandle<Result<(), h2::Error>>) {
        Self::with(address, &mut h2::client::Builder::new()).await
    }

    pub(crate) async fn with(
        address: SocketAddr,
        builder: &mut h2::client::Builder,
    ) -> (Self, JoinHandle<Result<(), h2::Error>>) {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (send, connection) = builder.handshake(socket).await.unwrap();
        (Self { send }, tokio::spawn(connection))
    }

    /// Sends a head, with nothing behind it.
    pub(crate) async fn begin(&mut self, request: Request<()>) -> ResponseFuture {
        std::future::poll_fn(|cx| self.send.poll_ready(cx))
            .await
            .unwrap();
        self.send.send_request(request, true).unwrap().0
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.try_get(path).await.unwrap()
    }

    pub(crate) async fn try_get(&mut self, path: &str) -> Result<Answer, h2::Error> {
        self.send(request(Method::GET, path)).await
    }

    pub(crate) async fn send(&mut self, request: Request<()>) -> Result<Answer, h2::Error> {
        std::future::poll_fn(|cx| self.send.poll_ready(cx)).await?;
        let (response, _) = self.send.send_request(request, true)?;
        read(response).await
    }

    /// Sends a request with a body, as fast as the server takes it.
    pub(crate) async fn post(&mut self, path: &str, body: Vec<u8>) -> Result<Answer, h2::Error> {
        std::future::poll_fn(|cx| self.send.poll_ready(cx)).await?;
        let head = request(Method::POST, path);
        let (response, mut stream) = self.send.send_request(head, false)?;
        let upload = async move {
            let mut rest = Bytes::from(body);
            while !rest.is_empty() {
                stream.reserve_capacity(rest.len());
                let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
                let Some(Ok(room)) = room else { return };
                let piece = rest.split_to(room.min(rest.len()));
                if stream.send_data(piece, rest.is_empty()).is_err() {
                    return;
                }
            }
        };
        let upload = tokio::spawn(upload);
        let answer = read(response).await;
        upload.abort();
        answer
    }
}

/// A request to this machine.
pub(crate) fn request(method: Method, path: &str) -> Request<()> {
    let request = Request::builder().method(method);
    request
        .uri(format!("http://localhost{path}"))
        .body(())
        .unwrap()
}

/// Waits for a whole answer.
pub(crate) async fn read(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let read = async {
        let (head, mut stream) = response.await?.into_parts();
        let mut body = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data?;
            stream.flow_control().release_capacity(data.len())?;
            body.extend_from_slice(&data);
        }
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("the server said nothing for too long")
}

/// A connection of which a test writes every byte.
pub(crate) struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Connects, and sends the preface with `settings` (identifier, value).
    pub(crate) async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        // A small buffer: what a flood has sent is what the server took, and not
        // the megabytes that the kernel would hold for a server that is busy.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(16 << 10).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut payload = Vec::new();
        for (identifier, value) in settings {
            payload.extend(identifier.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        bytes.extend(frame(SETTINGS, 0, 0, &payload));
        stream.write_all(&bytes).await.unwrap();
        Self { stream }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Sends `piece` over and over, and reads what comes, until the server ends
    /// the connection. Returns how often it was sent, and what came.
    pub(crate) async fn flood(self, piece: impl Fn(u32) -> Vec<u8>) -> (u32, Vec<u8>) {
        let (mut reader, mut writer) = self.stream.into_split();
        let mut sent = 0;
        let mut came = Vec::new();
        let send = async {
            while writer.write_all(&piece(sent)).await.is_ok() {
                sent += 1;
                // Or nobody else would ever run on this thread.
                tokio::task::yield_now().await;
            }
        };
        let read = async {
            while reader
                .read_buf(&mut came)
                .await
                .is_ok_and(|count| count > 0)
            {}
        };
        let both = async { tokio::join!(send, read) };
        tokio::time::timeout(PATIENCE, both)
            .await
            .expect("the flood was never ended");
        (sent, came)
    }

    /// What comes until the server ends the connection.
    pub(crate) async fn ended(&mut self) -> Vec<u8> {
        let mut came = Vec::new();
        let read = async {
            while self
                .stream
                .read_buf(&mut came)
                .await
                .is_ok_and(|count| count > 0)
            {}
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("the connection was never ended");
        came
    }
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block for GET `path`, nothing in it compressed but by HPACK's
/// static table.
pub(crate) fn get_block(path: &str) -> Vec<u8> {
    // :method GET, :scheme http, :path literal, :authority literal.
    let mut block = vec![0x82, 0x86, 0x04];
    text(&mut block, path);
    block.push(0x01);
    text(&mut block, "localhost");
    block
}

/// A literal header that no table keeps.
pub(crate) fn header(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    text(block, name);
    text(block, value);
}

fn text(block: &mut Vec<u8>, text: &str) {
    let len = u8::try_from(text.len()).unwrap();
    assert!(len < 127, "longer than one byte tells");
    block.push(len);
    block.extend(text.as_bytes());
}

/// The frames (kind, flags, stream, payload) in what a server sent.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((&[a, b, c, kind, flags, i, j, k, l], rest)) = bytes.split_first_chunk::<9>() {
        let len = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
        let stream = u32::from_be_bytes([i, j, k, l]);
        let len = len.min(rest.len());
        let (payload, rest) = rest.split_at(len);
        frames.push((kind, flags, stream, payload.to_vec()));
        bytes = rest;
    }
    frames
}
