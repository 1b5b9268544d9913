//! Transport streams of FFmpeg over a real bus: each codec comes out as FFmpeg
//! reads it, and of those that are not packaged, the others come out whole and
//! without waiting, and what is left out says so.
//!
//! Without FFmpeg installed these tests say so and pass; with `CI` set they fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests"
)]

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rillcast_core::{BusConfig, StreamHandle, StreamKey, Track};
use rillcast_media::cmaf::{self, CmafConfig, Refusal, Snapshot, State};
use rillcast_media::ts::Demuxer;
use rillcast_media::{Feed, SourceItem, codec};

/// What a stream came to.
struct Outcome {
    tracks: Vec<Arc<Track>>,
    /// As they were with the last frame.
    state: State,
    last: Arc<Snapshot>,
    /// Seconds of the source at which the first segment was there.
    first_segment: Option<f64>,
}

/// Twelve seconds of pictures and sound, at the pace of the file's clock.
async fn publish(encoder: &[&str]) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.ts");
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(["-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=12"])
        .args(["-f", "lavfi", "-i", "sine=f=440:d=12:r=48000"])
        .args(["-pix_fmt", "yuv420p", "-g", "50", "-preset", "ultrafast"])
        .args(["-x265-params", "log-level=error"])
        .args(encoder)
        .arg(&path));
    let stream = fs::read(&path).unwrap();

    let key = StreamKey::parse("live/cam").unwrap();
    let (publisher, handle) = StreamHandle::new(key, BusConfig::default());
    let window = cmaf::window(&handle, &CmafConfig::default());
    let mut feed = Feed::new(publisher);
    let mut demuxer = Demuxer::new();
    let start = Instant::now();
    let mut first_segment = None;
    // Steps of 7 packets, each at the time that its share of the file has.
    let pieces: Vec<_> = stream.chunks(7 * 188).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let seconds = 12.0 * f64::from(u32::try_from(at).unwrap())
            / f64::from(u32::try_from(pieces.len()).unwrap());
        demuxer.push(piece, start + Duration::from_secs_f64(seconds));
        drain(&mut demuxer, &mut feed);
        // The packager runs in this thread: let it read what there is.
        tokio::task::yield_now().await;
        let begun = window
            .load()
            .tracks
            .iter()
            .any(|track| !track.segments.is_empty());
        if begun {
            first_segment.get_or_insert(seconds);
        }
    }
    demuxer.flush(start + Duration::from_secs(12));
    drain(&mut demuxer, &mut feed);
    tokio::task::yield_now().await;
    let state = window.load().state;
    let tracks = handle.metadata_snapshot().tracks.clone();
    assert_eq!(feed.repairs().total(), 0, "{:?}", feed.repairs());
    feed.finish();
    window.watched().wait_for(Snapshot::is_ended).await;
    Outcome {
        tracks: tracks.to_vec(),
        state,
        last: window.load(),
        first_segment,
    }
}

fn drain(demuxer: &mut Demuxer, feed: &mut Feed) {
    while let Some(item) = demuxer.next_item() {
        if let SourceItem::Frame(frame) = &item {
            assert!(!frame.payload.is_empty());
        }
        feed.push(item).unwrap();
    }
}

/// What FFmpeg reads of our segments is what FFmpeg encoded, and decodes without a
/// word.
#[tokio::test]
async fn every_codec_is_packaged_as_ffmpeg_reads_it() {
    if !installed() {
        return;
    }
    for (encoder, names) in [
        (["-c:v", "libx265", "-c:a", "ac3"], ["hevc", "ac3"]),
        (["-c:v", "libx264", "-c:a", "eac3"], ["h264", "eac3"]),
        (["-c:v", "libx264", "-c:a", "libmp3lame"], ["h264", "mp3"]),
        (["-c:v", "libx265", "-c:a", "libopus"], ["hevc", "opus"]),
    ] {
        let outcome = publish(&encoder).await;
        let dir = tempfile::tempdir().unwrap();
        let tracks = &outcome.last.tracks;
        assert_eq!(tracks.len(), names.len(), "{names:?}");
        for (track, name) in tracks.iter().zip(names) {
            assert!(!track.track.codec_string.is_empty(), "{name}");
            let path = dir.path().join(format!("{name}.mp4"));
            let mut file = track.inits[0].bytes.to_vec();
            let mut duration = 0;
            for segment in track.segments.iter() {
                assert!(!segment.gap, "{name}: a gap");
                duration += segment.duration;
                for part in &segment.parts {
                    file.extend(part.slices.concat());
                }
            }
            fs::write(&path, file).unwrap();
            let seconds = track
                .track
                .timescale
                .to_duration(i64::try_from(duration).unwrap());
            let seconds = seconds.as_secs_f64();
            assert!((11.8..12.2).contains(&seconds), "{name}: {seconds} s");
            run(Command::new("ffmpeg")
                .args(["-v", "warning", "-i"])
                .arg(&path)
                .args(["-f", "null", "-"]));
            let probe = Command::new("ffprobe")
                .args(["-v", "error", "-of", "default=nk=1:nw=1", "-show_entries"])
                .arg("stream=codec_name")
                .arg(&path)
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&probe.stdout).trim(), name);
        }
    }
}

#[tokio::test]
async fn what_is_packaged_is_not_held_up_by_what_is_not() {
    if !installed() {
        return;
    }
    for (name, encoder, packaged, left_out) in [
        (
            "H.264 and MP2",
            &["-c:v", "libx264", "-c:a", "mp2"][..],
            &["v0"][..],
            &["MP2 is not packaged; send AAC for viewers to hear it"][..],
        ),
        (
            "H.264, MP2 and AAC",
            &[
                "-map", "0:v", "-map", "1:a", "-map", "1:a", "-c:v", "libx264", "-c:a:0", "mp2",
                "-c:a:1", "aac",
            ],
            &["v0", "a2"],
            &["MP2 is not packaged; send AAC for viewers to hear it"],
        ),
    ] {
        let outcome = publish(encoder).await;
        let names: Vec<&str> = outcome
            .last
            .tracks
            .iter()
            .map(|track| &*track.name)
            .collect();
        assert_eq!(names, packaged, "{name}");
        assert_eq!(outcome.state, State::Live, "{name}");
        let why = outcome
            .tracks
            .iter()
            .filter_map(|track| cmaf::not_packaged(track));
        assert_eq!(why.collect::<Vec<_>>(), left_out, "{name}");
        for track in outcome.last.tracks.iter() {
            let seconds = track.listed_duration().as_secs_f64();
            assert!(
                (11.8..12.2).contains(&seconds),
                "{name}: {seconds} s of {}",
                track.name
            );
        }
        assert_eq!(outcome.last.counters.lost_frames, 0, "{name}");
        assert_eq!(outcome.last.counters.discontinuities, 0, "{name}");
        // GOPs of two seconds: a segment is there after the second keyframe.
        let first = outcome.first_segment.unwrap();
        assert!(first < 7.0, "{name}: the first segment after {first} s");
    }
}

#[tokio::test]
async fn a_stream_of_nothing_else_says_why_nobody_can_watch_it() {
    if !installed() {
        return;
    }
    let outcome = publish(&["-vn", "-c:a", "mp2"]).await;
    assert_eq!(outcome.state, State::Refused(Refusal::NoTrack));
    assert!(outcome.last.tracks.is_empty());
    let [track] = &outcome.tracks[..] else {
        panic!("{:?}", outcome.tracks);
    };
    assert_eq!(track.codec, codec::MP2);
    assert_eq!(
        cmaf::not_packaged(track).unwrap(),
        "MP2 is not packaged; send AAC for viewers to hear it"
    );
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
    let output = command.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{command:?}: {complaints}"
    );
}
