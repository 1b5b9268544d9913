//! The bodies on what is committed for them, and what those must reach.

#[path = "../../../fuzz/replay.rs"]
mod replay;

use super::*;

#[test]
fn corpora_and_findings_are_survived() {
    replay::replay("server", &[("config", config), ("http", http)]);
}

/// A client that gets no further than the door would find nothing.
#[test]
fn the_bytes_of_a_client_reach_the_stream() {
    for (path, want) in [
        ("/api/v1/streams/live/cam", "\"live/cam\""),
        ("/hls/live/cam/index.m3u8", "#EXT-X-STREAM-INF"),
        ("/hls/live/cam/SESSION/v0.m3u8", "#EXTINF"),
        ("/cmaf/live/cam/SESSION/v0/0.init.mp4", "ftyp"),
        ("/cmaf/live/cam/SESSION/a1/1.m4s", "mdat"),
        ("/cmaf/live/cam/SESSION/v0/1.0.m4s", "moof"),
        ("/cmaf/live/cam/SESSION/v0/999.m4s", "404 Not Found"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answers = connection::answers(request.as_bytes());
        let text = String::from_utf8_lossy(&answers);
        let shown: String = text.chars().take(300).collect();
        assert!(text.contains(want), "{path}: {shown}");
    }
}

#[test]
fn the_bytes_of_a_client_of_http2_reach_the_stream() {
    let path = "/hls/live/cam/index.m3u8";
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    request.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // GET, http, the path and no more.
    let len = u8::try_from(path.len()).unwrap();
    request.extend([0, 0, len + 4, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x04, len]);
    request.extend(path.as_bytes());
    let answers = connection::answers(&request);
    let text = String::from_utf8_lossy(&answers);
    assert!(text.contains("#EXT-X-STREAM-INF"), "{text}");
}
