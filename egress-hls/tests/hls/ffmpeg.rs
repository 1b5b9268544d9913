//! FFmpeg plays what is served, over a socket, without a complaint.

use std::process::Stdio;
use std::sync::Arc;

use http::StatusCode;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::clip::Clip;
use crate::server::{KEY, Request, Server};

/// Answers HTTP/1.1 GETs on a socket from `server`, one per connection.
async fn serve(server: Arc<Server>, listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            // A client that goes away in mid-answer is no fault.
            let _ = answer(&server, socket).await;
        });
    }
}

async fn answer(server: &Server, socket: TcpStream) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    let mut first = String::new();
    socket.read_line(&mut first).await?;
    let mut line = String::new();
    while socket.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or("/");
    // FFmpeg asks for ranges of everything; whole answers are legal.
    let answer = server.send(Request::get(path)).await;
    let status = answer.status.as_u16();
    let mut head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\n");
    for (name, value) in &answer.headers {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    head += "\r\n";
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(&answer.body).await?;
    socket.flush().await
}

/// Whether FFmpeg is here. Where it is not, the test says so and passes: the
/// repository needs nothing but Rust to be worked on.
async fn has_ffmpeg() -> bool {
    let mut probe = Command::new("ffprobe");
    let found = probe.arg("-version").stdout(Stdio::null()).status().await;
    let found = found.is_ok_and(|status| status.success());
    if !found {
        println!("skipped: there is no ffmpeg here");
    }
    found
}

/// Runs `tool` on the stream's entry; its output, with whatever it complains of.
async fn run(tool: &str, before: &[&str], url: &str, after: &[&str]) -> String {
    let mut command = Command::new(tool);
    command.args(
        ["-nostdin", "-hide_banner"]
            .iter()
            .filter(|_| tool == "ffmpeg"),
    );
    command
        .args(["-v", "warning"])
        .args(before)
        .args(["-i", url])
        .args(after);
    let output = command.kill_on_drop(true).output();
    let output = tokio::time::timeout(crate::server::PATIENCE * 3, output).await;
    let output = output.expect("it does not come to an end").unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.is_empty(), "{tool}: {complaints}");
    assert_eq!(output.status.code(), Some(0), "{tool}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_decodes_every_frame_of_the_clip_without_a_warning() {
    if !has_ffmpeg().await {
        return;
    }
    let server = Arc::new(Server::start().await);
    let mut clip = Clip::new(server.publish(KEY).await);
    // Two rounds: the seam of the loop is inside.
    clip.publish_until(16_000).await;
    let path = server.media_playlists().await.remove(0);
    let (video, audio) = clip.frames();
    let ended = server.handle().ended();
    clip.finish();
    ended.await;
    while !server.playlist(&path).await.ended {
        tokio::task::yield_now().await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/hls/{KEY}/index.m3u8",
        listener.local_addr().unwrap()
    );
    tokio::spawn(serve(Arc::clone(&server), listener));

    run(
        "ffmpeg",
        &["-xerror"],
        &url,
        &["-map", "0", "-f", "null", "-"],
    )
    .await;
    let counted = run(
        "ffprobe",
        &["-count_frames"],
        &url,
        &[
            "-show_entries",
            "stream=codec_name,nb_read_frames",
            "-of",
            "csv=p=0",
        ],
    )
    .await;
    let mut counted: Vec<&str> = counted.lines().filter(|line| !line.is_empty()).collect();
    counted.sort_unstable();
    counted.dedup();
    assert_eq!(counted, [format!("aac,{audio}"), format!("h264,{video}")]);
    assert_eq!(server.get("/nothing").await.status, StatusCode::NOT_FOUND);
}
