//! An HTTP client that sends exactly what a test wrote, and reads what came.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// No answer of these tests takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended as its framing said it would.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// From one of this machine's own addresses: all of 127/8 are, on Linux.
    pub(crate) async fn connect_from(address: SocketAddr, from: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        let from = SocketAddr::new(from.parse().unwrap(), 0);
        socket.bind(from).unwrap();
        let stream = socket.connect(address).await.unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends and says that no more will come.
    pub(crate) async fn send_last(&mut self, bytes: &[u8]) {
        self.send(bytes).await;
        self.stream.shutdown().await.unwrap();
    }

    /// A client that was sent an answer, however often it takes to ask: a busy
    /// machine may use up the server's time-outs before it reads a request.
    pub(crate) async fn answered(address: SocketAddr) -> Self {
        let again = async {
            loop {
                let mut client = Self::connect(address).await;
                if client
                    .try_send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
                    .await
                    && let Some(answer) = client.answer_or_end(false).await
                    && answer.status == 200
                {
                    return client;
                }
            }
        };
        let answered = tokio::time::timeout(PATIENCE, again).await;
        answered.expect("nobody was answered")
    }

    /// What the server says, until it closes, to a client that sends half a head
    /// and no more. One that was closed before it was read tries again.
    pub(crate) async fn half_a_head(address: SocketAddr) -> String {
        let again = async {
            loop {
                let mut client = Self::connect(address).await;
                if client.try_send(b"GET / HTTP/1.1\r\nHo").await {
                    let said = client.closed().await;
                    if !said.is_empty() {
                        return String::from_utf8_lossy(&said).into_owned();
                    }
                }
            }
        };
        let said = tokio::time::timeout(PATIENCE, again).await;
        said.expect("half a head was never answered")
    }

    /// Sends what a server may not want any more; false if it does not.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Sends one request with a Host header.
    pub(crate) async fn request(&mut self, method: &str, path: &str) -> Answer {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.send(head.as_bytes()).await;
        self.answer(method == "HEAD").await
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        let mut piece = vec![0; 64 << 10];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut piece)).await;
        let count = read
            .expect("the server said nothing for too long")
            .unwrap_or(0);
        self.buffer.extend_from_slice(&piece[..count]);
        count > 0
    }

    /// Waits until the server closes the connection; what came is returned.
    pub(crate) async fn closed(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Reads one answer.
    pub(crate) async fn answer(&mut self, headless: bool) -> Answer {
        let answer = self.answer_or_end(headless).await;
        answer.unwrap_or_else(|| panic!("closed before an answer: {:?}", self.buffer))
    }

    /// Reads one answer; `None` if the server closed before it.
    pub(crate) async fn answer_or_end(&mut self, headless: bool) -> Option<Answer> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
            complete: true,
        };
        if headless || status == 204 || status == 304 {
            return Some(answer);
        }
        if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().unwrap();
            while self.buffer.len() < length && self.more().await {}
            answer.complete = self.buffer.len() >= length;
            let there = length.min(self.buffer.len());
            answer.body = self.buffer.drain(..there).collect();
        } else if answer.header("transfer-encoding") == Some("chunked") {
            (answer.body, answer.complete) = self.chunks().await;
        } else {
            answer.body = self.closed().await;
        }
        Some(answer)
    }

    async fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = find(&self.buffer, b"\r\n") {
                    break end;
                }
                if !self.more().await {
                    return (body, false);
                }
            };
            let size: Vec<u8> = self.buffer.drain(..line + 2).collect();
            let size = std::str::from_utf8(&size).unwrap().trim().to_owned();
            let size = usize::from_str_radix(&size, 16).unwrap();
            while self.buffer.len() < size + 2 {
                if !self.more().await {
                    return (body, false);
                }
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
            if size == 0 {
                return (body, true);
            }
        }
    }
}

/// One request over a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    Client::connect(address).await.request("GET", path).await
}

/// One request with headers of its own, each line with its end.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let mut client = Client::connect(address).await;
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    client.send(head.as_bytes()).await;
    client.answer(method == "HEAD").await
}

/// Asks until the answer is as wanted.
pub(crate) async fn until(
    address: SocketAddr,
    path: &str,
    wanted: impl Fn(&Answer) -> bool,
) -> Answer {
    let asked = async {
        loop {
            let answer = get(address, path).await;
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .expect("the answer never came to be as wanted")
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
