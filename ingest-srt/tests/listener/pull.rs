//! Streams that are fetched from a listener elsewhere: FFmpeg's.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rillcast_core::{Access, Authorizer, Denied, PublishRequest, StreamKey};
use rillcast_ingest_srt::proto::handshake::{Answer, Gate, GateConfig};
use rillcast_ingest_srt::proto::packet::{Control, Kind, Packet, SocketId};
use tokio::net::UdpSocket as Socket;

use crate::server::{Server, clip, ffmpeg, frames, link, soon};

/// Lets nobody in.
struct Nobody;

#[async_trait::async_trait]
impl Authorizer for Nobody {
    async fn authorize(&self, access: Access<'_>) -> Result<(), Denied> {
        Err(Denied::new(format!("nobody may touch {}", access.key)))
    }
}

/// A port that is free at the moment.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_stream_is_fetched_and_fetched_again_when_the_listener_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "4").await;
    let port = free_port();
    let settings = format!(
        "[[srt.pull]]\nfrom = \"127.0.0.1:{port}\"\nstream = \"live/studio\"\n\
         passphrase = \"correct horse\"\nkey_length = 256\nlatency = \"250ms\"\n"
    );
    // What strangers must show is not asked of what the server fetches itself.
    let mut server = Server::start_with(&settings, Nobody).await;
    // Nobody listens yet: that is tried again.
    let listen = || {
        let url =
            format!("srt://127.0.0.1:{port}?mode=listener&passphrase=correct horse&pbkeylen=32");
        ffmpeg(&[
            "-re",
            "-stream_loop",
            "-1",
            "-i",
            &clip,
            "-c",
            "copy",
            "-f",
            "mpegts",
            &url,
        ])
    };
    let mut first = listen();
    let stream = server.published().await;
    assert_eq!(stream.key().as_str(), "live/studio");
    frames(&stream, 60).await;
    let stats = link(&stream);
    assert_eq!((stats.latency.as_millis(), stats.undecrypted), (250, 0));
    first.kill().await.unwrap();
    let _second = listen();
    let before = stream.qos().frames;
    frames(&stream, before + 100).await;
    assert_eq!(stream.epoch(), 2);
}

#[tokio::test]
async fn a_listener_is_told_when_its_stream_is_there_already() {
    let listener = Socket::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // The name is taken before the pull can have called: it gets no answer yet.
    let server = Server::start(&format!(
        "[[srt.pull]]\nfrom = \"{address}\"\nstream = \"live/studio\"\n"
    ))
    .await;
    let key: StreamKey = "live/studio".parse().unwrap();
    let request = PublishRequest::new(key.clone(), "test");
    let _publisher = server.host.services().registry.publish(request).unwrap();
    // It calls again after it was refused: each time it says goodbye.
    for _ in 0..2 {
        soon(accepted_and_left(&listener)).await;
    }
    assert_eq!(server.stream(&key).epoch(), 1);
}

/// Accepts the next caller, and waits until that says goodbye.
async fn accepted_and_left(listener: &Socket) {
    const OWN: SocketId = SocketId(77);
    let gate = Gate::new(
        GateConfig::default(),
        &[7; Gate::SECRET_LEN],
        Instant::now(),
    );
    let mut buffer = [0; 2_048];
    let mut accepted: Option<SocketAddr> = None;
    loop {
        let (length, from) = listener.recv_from(&mut buffer).await.unwrap();
        let datagram = buffer.get(..length).unwrap();
        match gate.handle(datagram, from, Instant::now()) {
            Answer::Reply(reply) => drop(listener.send_to(&reply, from).await.unwrap()),
            Answer::Call(call) => {
                let latency = Duration::from_millis(120);
                let (answer, _) = call.accept(OWN, None, latency, Instant::now());
                listener.send_to(&answer, from).await.unwrap();
                accepted = Some(from);
            }
            _ => {
                if let Packet::Control(Control {
                    destination: OWN,
                    kind: Kind::Shutdown,
                    ..
                }) = Packet::parse(datagram).unwrap()
                    && accepted == Some(from)
                {
                    return;
                }
            }
        }
    }
}
