//! Transport streams that FFmpeg makes: whole (`whole.rs`), against the same
//! media in FLV, and damaged (`damage.rs`), against what they were.
//!
//! Without FFmpeg installed these tests say so and pass; with `CI` set they fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests"
)]

mod codecs;
mod damage;
mod mux;
mod whole;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rillcast_core::Track;
use rillcast_media::ts::{Counts, Demuxer};
use rillcast_media::{SourceFrame, SourceItem, flv};

type Tracks = Vec<(Track, Vec<SourceFrame>)>;

fn from_ts(bytes: &[u8], step: usize) -> (Tracks, Counts) {
    let mut demuxer = Demuxer::new();
    let mut tracks = Tracks::new();
    let now = Instant::now();
    for read in bytes.chunks(step) {
        demuxer.push(read, now);
        while let Some(item) = demuxer.next_item() {
            take(&mut tracks, item);
        }
    }
    demuxer.flush(now);
    while let Some(item) = demuxer.next_item() {
        take(&mut tracks, item);
    }
    assert_eq!(demuxer.take_complaint(), None);
    tracks.sort_by_key(|(track, _)| track.id);
    (tracks, demuxer.counts())
}

fn from_flv(bytes: &[u8]) -> Tracks {
    let mut reader = flv::file::Reader::new();
    let mut demuxer = flv::Demuxer::new();
    let mut tracks = Tracks::new();
    reader.push(bytes);
    while let Some(tag) = reader.next_tag().unwrap() {
        for item in demuxer.tag(tag, Instant::now()).unwrap() {
            take(&mut tracks, item);
        }
    }
    tracks.sort_by_key(|(track, _)| track.id);
    tracks
}

fn take(tracks: &mut Tracks, item: SourceItem) {
    match item {
        SourceItem::Track(track) => match tracks.iter_mut().find(|(known, _)| known.id == track.id)
        {
            Some((known, _)) => *known = track,
            None => tracks.push((track, Vec::new())),
        },
        SourceItem::Frame(frame) => {
            let of = tracks.iter_mut().find(|(track, _)| track.id == frame.track);
            of.unwrap().1.push(frame);
        }
        SourceItem::Announce(kinds) => assert!(!kinds.is_empty()),
        other => panic!("{other:?}"),
    }
}

/// Noise makes pictures of many packets, all different.
const PICTURE: &str = "testsrc2=s=320x180:d=3,noise=alls=12:allf=t";

fn encode(options: &[&str], to: &Path) {
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(["-f", "lavfi", "-i", PICTURE])
        .args(["-f", "lavfi", "-i", "sine=f=440:d=3"])
        .args([
            "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast",
        ])
        .args(["-c:a", "aac"])
        .args(options)
        .arg(to));
}

fn remux(from: &Path, options: &[&str], to: &Path) {
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(from)
        .args(["-c", "copy", "-f", "mpegts"])
        .args(options)
        .arg(to));
}

fn installed() -> bool {
    let found = Command::new("ffmpeg").arg("-version").output().is_ok();
    assert!(
        found || std::env::var_os("CI").is_none(),
        "FFmpeg is not installed"
    );
    if !found {
        eprintln!("skipped: FFmpeg is not installed");
    }
    found
}

/// Runs a program; anything that it complains about is a failure.
fn run(command: &mut Command) {
    let _ = output(command);
}

/// What a program prints.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{command:?}: {complaints}"
    );
    String::from_utf8(output.stdout).unwrap()
}
