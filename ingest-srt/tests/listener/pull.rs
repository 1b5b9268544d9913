//! Streams that are fetched from a listener elsewhere: FFmpeg's.

use std::net::UdpSocket;

use crate::server::{Server, clip, ffmpeg, frames, link};

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
    let mut server = Server::start(&settings).await;
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
