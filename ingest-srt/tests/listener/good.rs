//! What FFmpeg sends arrives, whatever it encrypts with.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::SinkExt;
use rillcast_core::{BusEntry, CloseReason, Lifecycle, StreamKey};
use rillcast_ingest_srt::proto::handshake::{DialError, RejectReason};

use srt_tokio::SrtSocket;

use crate::caller::call;
use crate::server::{Server, clip, fails, frames, link, publish, soon};

#[tokio::test]
async fn what_ffmpeg_publishes_is_on_the_bus() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "4").await;
    let mut server = Server::start("").await;
    let url = server.url("streamid=publish:live/cam&latency=300000");
    let mut child = publish(&clip, &url);
    let stream = server.published().await;
    assert_eq!(stream.key().as_str(), "live/cam");
    frames(&stream, 150).await;
    let entries = stream.replay_buffer();
    let tracks = entries
        .iter()
        .filter(|entry| matches!(entry, BusEntry::Track(_)));
    assert_eq!(tracks.count(), 2);
    let stats = link(&stream);
    assert_eq!(stats.latency.as_millis(), 300);
    assert_eq!((stats.lost, stats.dropped), (0, 0));
    assert_eq!(stream.qos().repairs, 0);
    // Its end is not the stream's: it may come back.
    child.kill().await.unwrap();
    let left = async {
        while stream.current_state().lifecycle == Lifecycle::Publishing {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    soon(left).await;
    assert_eq!(stream.current_state().lifecycle, Lifecycle::Idle);
    let _again = publish(&clip, &url);
    let before = stream.qos().frames;
    frames(&stream, before + 50).await;
    assert_eq!(stream.epoch(), 2);
}

#[tokio::test]
async fn keys_of_every_length_are_understood_and_may_differ_by_stream() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "4").await;
    let settings = "[srt]\npassphrase = \"of the server\"\n\
                    [[stream]]\nmatch = \"live/own\"\nsrt.passphrase = \"of the stream\"\n\
                    [[stream]]\nmatch = \"live/open\"\nsrt.passphrase = \"\"\n";
    let mut server = Server::start(settings).await;
    let mut children = Vec::new();
    for (name, query) in [
        ("a", "&passphrase=of the server&pbkeylen=16"),
        ("b", "&passphrase=of the server&pbkeylen=24"),
        ("c", "&passphrase=of the server&pbkeylen=32"),
        ("own", "&passphrase=of the stream&pbkeylen=32"),
        ("open", ""),
    ] {
        let url = server.url(&format!("streamid=#!::r=live/{name},m=publish{query}"));
        children.push(publish(&clip, &url.replace('#', "%23")));
    }
    for _ in 0..children.len() {
        let stream = server.published().await;
        frames(&stream, 60).await;
        assert_eq!(link(&stream).undecrypted, 0);
    }
    // The wrong ones are refused, and say so.
    for (name, passphrase, reason) in [
        ("x", Some("of the stream"), RejectReason::BadSecret),
        ("x", None, RejectReason::Unsecure),
        ("own", Some("of the server"), RejectReason::BadSecret),
        ("open", Some("of the server"), RejectReason::Unsecure),
    ] {
        let called = call(server.address, &format!("publish:live/{name}"), passphrase).await;
        let error = called.map(|_| ()).unwrap_err();
        assert_eq!(error, DialError::Refused(reason), "{name} {passphrase:?}");
    }
    for name in ["a", "b", "c", "own", "open"] {
        let stream = server.stream(&StreamKey::parse(&format!("live/{name}")).unwrap());
        let before = stream.qos().frames;
        frames(&stream, before + 20).await;
        assert_eq!(stream.epoch(), 1, "{name}");
    }
}

/// Another implementation than libsrt, with odd timestamps in its handshake.
#[tokio::test]
async fn what_srt_tokio_sends_arrives_too() {
    let folder = tempfile::tempdir().unwrap();
    let clip = std::fs::read(clip(folder.path(), "4").await).unwrap();
    let mut server = Server::start("[srt]\npassphrase = \"correct horse\"\n").await;
    let mut socket = SrtSocket::builder()
        .encryption(16, "correct horse")
        .call(server.address, Some("publish:live/cam"))
        .await
        .unwrap();
    let stream = server.published().await;
    let sending = async {
        // Four seconds of it in as long.
        let pieces = clip.chunks(7 * 188);
        let pause = Duration::from_secs(4) / u32::try_from(pieces.len()).unwrap();
        for piece in pieces {
            let piece = Bytes::copy_from_slice(piece);
            socket.send((Instant::now(), piece)).await.unwrap();
            tokio::time::sleep(pause).await;
        }
        socket.close().await.unwrap();
    };
    sending.await;
    frames(&stream, 250).await;
}

#[tokio::test]
async fn who_cannot_be_served_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), "4").await;
    let settings = "[srt]\nmax_latency = \"2s\"\n[limits]\nstreams_per_app = 1\n";
    let mut server = Server::start(settings).await;
    let _good = publish(&clip, &server.url("streamid=publish:live/cam"));
    let stream = server.published().await;
    for (stream_id, reason) in [
        ("", RejectReason::BadRequest),
        ("publish:cam", RejectReason::BadRequest),
        ("publish:../cam", RejectReason::BadRequest),
        ("#!::m=publish", RejectReason::BadRequest),
        ("#!::r=live/cam,m=request", RejectReason::BadMode),
        ("play:live/cam", RejectReason::BadMode),
        ("publish:live/cam", RejectReason::Conflict),
        ("publish:live/other", RejectReason::Overload),
    ] {
        let called = call(server.address, stream_id, None).await;
        let error = called.map(|_| ()).unwrap_err();
        assert_eq!(error, DialError::Refused(reason), "{stream_id}");
    }
    fails(publish(&clip, &server.url("streamid=publish:live/cam"))).await;
    let url = server.url("streamid=publish:live/late&latency=3000000");
    fails(publish(&clip, &url)).await;
    assert_eq!(stream.epoch(), 1);
    assert_eq!(link(&stream).dropped, 0);
    // Who is kicked is told at once.
    stream.close(CloseReason::Kicked);
    assert_eq!(soon(stream.ended()).await, CloseReason::Kicked);
}
