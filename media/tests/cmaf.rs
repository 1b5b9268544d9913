//! The whole way through this crate, with a real bus between: what FFmpeg
//! publishes as FLV comes out of the window's bytes, frame for frame.
//!
//! Without FFmpeg installed the tests that need it say so and pass; with `CI`
//! set they fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rillcast_core::{BusConfig, StreamHandle, StreamKey, Track, TrackId};
use rillcast_media::cmaf::{
    self, CmafConfig, Init, Segment, Snapshot, TrackWindow, Transport, Window,
};
use rillcast_media::flv::{Demuxer, file};
use rillcast_media::{Feed, SourceFrame, SourceItem, codec, ts};

/// Every segment that a window has shown, by track and number.
#[derive(Default)]
struct Seen {
    segments: BTreeMap<(String, u64), Arc<Segment>>,
    last: Option<Arc<Snapshot>>,
}

impl Seen {
    fn look(&mut self, window: &Window) {
        let snapshot = window.load();
        if let Err(violation) = cmaf::check(self.last.as_deref(), &snapshot) {
            panic!("{violation}");
        }
        for track in snapshot.tracks.iter() {
            for segment in track.segments.iter() {
                let key = (track.name.to_string(), segment.number);
                self.segments.insert(key, Arc::clone(segment));
            }
        }
        self.last = Some(snapshot);
    }

    /// A track's init segment and all its segments, one after the other.
    fn file(&self, name: &str) -> Vec<u8> {
        let last = self.last.as_ref().unwrap();
        let mut out = last.track(name).unwrap().inits[0].bytes.to_vec();
        let mut next = None;
        for ((track, number), segment) in &self.segments {
            if track == name {
                assert_eq!(*number, next.unwrap_or(*number), "a segment was missed");
                next = Some(number + 1);
                for slices in segment.slices().iter() {
                    out.extend(slices.concat());
                }
            }
        }
        out
    }
}

/// Publishes an FLV file through a feed and a bus; gives what went in and all
/// that came out. The file's clock is the clock of arrival.
async fn publish(flv: &[u8]) -> (Vec<SourceFrame>, Seen) {
    let key = StreamKey::parse("live/cam").unwrap();
    let (publisher, handle) = StreamHandle::new(key, BusConfig::default());
    let window = cmaf::window(&handle, &CmafConfig::default());
    let mut feed = Feed::new(publisher);
    let mut reader = file::Reader::new();
    let mut demuxer = Demuxer::new();
    let start = Instant::now();
    let (mut sent, mut seen) = (Vec::new(), Seen::default());
    for read in flv.chunks(4_000) {
        reader.push(read);
        while let Some(tag) = reader.next_tag().unwrap() {
            let received = start + Duration::from_millis(u64::from(tag.timestamp_ms));
            for item in demuxer.tag(tag, received).unwrap() {
                if let SourceItem::Frame(frame) = &item {
                    sent.push(frame.clone());
                }
                feed.push(item).unwrap();
            }
        }
        // The packager runs in this thread: let it read what there is.
        tokio::task::yield_now().await;
        seen.look(&window);
    }
    assert_eq!(feed.repairs().total(), 0, "{:?}", feed.repairs());
    feed.finish();
    window.watched().wait_for(Snapshot::is_ended).await;
    seen.look(&window);
    (sent, seen)
}

#[tokio::test]
async fn ten_thousand_pictures_and_their_sound_come_out_as_they_went_in() {
    if !installed() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let flv = dir.path().join("in.flv");
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(["-f", "lavfi", "-i", "testsrc2=s=160x90:r=30000/1001:d=335"])
        .args(["-f", "lavfi", "-i", "sine=f=440:d=335"])
        .args([
            "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "60",
        ])
        .args(["-pix_fmt", "yuv420p", "-c:a", "aac", "-ar", "44100"])
        .arg(&flv));
    let (sent, seen) = publish(&fs::read(&flv).unwrap()).await;
    let last = seen.last.as_ref().unwrap();
    assert_eq!(last.counters.discontinuities, 0);
    assert_eq!(last.counters.moved_samples, 0);
    assert_eq!(last.target_duration.as_secs(), 3);
    let video = sent
        .iter()
        .filter(|frame| frame.track == TrackId(0))
        .count();
    assert!(video >= 10_000, "{video}");
    for (name, track, hz) in [("v0", TrackId(0), 90_000), ("a1", TrackId(1), 44_100)] {
        let mp4 = dir.path().join(format!("{name}.mp4"));
        fs::write(&mp4, seen.file(name)).unwrap();
        let frames: Vec<_> = sent.iter().filter(|frame| frame.track == track).collect();
        check_packets(&mp4, name, &frames, hz);
        // Decoders find nothing to complain of, and see what they saw before.
        let selector = name.trim_end_matches(char::is_numeric);
        assert_eq!(hashes(&mp4, selector), hashes(&flv, selector), "{name}");
    }
}

/// The packets that FFmpeg reads from a file are the frames that were sent:
/// times equal up to one constant, audio within a tick of the source's clock.
fn check_packets(mp4: &Path, name: &str, frames: &[&SourceFrame], hz: i64) {
    let shown = run(Command::new("ffprobe")
        .args(["-v", "warning", "-of", "csv=p=0"])
        .args(["-show_entries", "packet=pts,dts,size,flags"])
        .arg(mp4));
    let packets: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.trim_end_matches(',').split(',').collect())
        .collect();
    assert_eq!(packets.len(), frames.len(), "{name}");
    // One constant for both tracks: the stream's first frame, which was sent at
    // zero, stands at ten seconds.
    let offset = 10 * hz;
    let slack = if name == "v0" { 0 } else { hz / 1_000 + 1 };
    for (packet, frame) in packets.iter().zip(frames) {
        let [pts, dts, size, flags] = packet[..] else {
            panic!("{packet:?}");
        };
        let (pts, dts): (i64, i64) = (pts.parse().unwrap(), dts.parse().unwrap());
        let wanted = frame.dts * hz / 1_000 + offset;
        assert!((dts - wanted).abs() <= slack, "{name}: {dts} for {wanted}");
        assert_eq!(pts - dts, i64::from(frame.cts) * hz / 1_000, "{name}");
        assert_eq!(size, frame.payload.len().to_string(), "{name}");
        assert_eq!(flags.starts_with('K'), frame.keyframe, "{name}");
    }
}

#[tokio::test]
async fn the_demo_clip_comes_out_as_it_went_in() {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/assets/demo/demo.flv");
    let (sent, seen) = publish(&fs::read(clip).unwrap()).await;
    let last = seen.last.as_ref().unwrap();
    for (name, track) in [("v0", TrackId(0)), ("a1", TrackId(1))] {
        let frames: Vec<_> = sent.iter().filter(|frame| frame.track == track).collect();
        let parts = seen
            .segments
            .iter()
            .filter(|((of, _), _)| of == name)
            .flat_map(|(_, segment)| &segment.parts);
        // A slice of a part is the payload of a frame, behind the header.
        let payloads: Vec<_> = parts.flat_map(|part| &part.slices[1..]).collect();
        assert_eq!(payloads.len(), frames.len(), "{name}");
        let codec = last.track(name).unwrap().track.codec;
        for (payload, frame) in payloads.iter().zip(&frames) {
            assert!(codec::equal_payloads(codec, payload, &frame.payload));
            assert_eq!(
                payload.as_ptr(),
                frame.payload.as_ptr(),
                "{name}: it was copied"
            );
        }
    }
}

/// A hash of every decoded frame, without its times.
fn hashes(path: &Path, selector: &str) -> Vec<String> {
    let shown = run(Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-i"])
        .arg(path)
        .args([
            "-map",
            &format!("0:{selector}"),
            "-f",
            "framehash",
            "-hash",
            "crc32",
            "-",
        ]));
    let lines = shown.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| Some(line.rsplit(',').next()?.trim().to_owned()))
        .collect()
}

/// What a command prints; it must succeed and complain of nothing.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{command:?}: {complaints}"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn installed() -> bool {
    let found = Command::new("ffmpeg").arg("-version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "CI needs FFmpeg");
    if !found {
        eprintln!("skipped: FFmpeg is not installed");
    }
    found
}

/// The demo clip's pictures and sound, as MPEG-TS.
#[tokio::test]
async fn transport_streams_hold_what_went_in_in_whatever_order_they_are_asked_for() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../server/assets/demo/demo.flv"
    );
    let (sent, seen) = publish(&fs::read(path).unwrap()).await;
    let snapshot = seen.last.unwrap();
    let transport = Transport::new("v0", u64::MAX);
    let numbers: Vec<u64> = transport
        .listed(&snapshot)
        .iter()
        .map(|it| it.number)
        .collect();
    assert!(numbers.len() >= 3, "{numbers:?}");
    let ask = |transport: &Transport, number| {
        let bytes = transport.segment(&snapshot, number);
        bytes.unwrap_or_else(|| panic!("there is no segment {number}"))
    };
    let all: Vec<_> = numbers
        .iter()
        .map(|number| ask(&transport, *number))
        .collect();
    // Nothing is kept, and the last one is asked for first.
    let forgetful = Transport::new("v0", 0);
    for (number, bytes) in numbers.iter().zip(&all).rev() {
        assert!(
            ask(&forgetful, *number) == *bytes,
            "{number} is another one"
        );
    }
    assert_eq!(Transport::leading(&snapshot).count(), 1);
    assert!(transport.segment(&snapshot, numbers[0] - 1).is_none());

    let mut demuxer = ts::Demuxer::new();
    let mut tracks = BTreeMap::new();
    let mut got: BTreeMap<TrackId, Vec<SourceFrame>> = BTreeMap::new();
    let received = Instant::now();
    for bytes in &all {
        demuxer.push(bytes, received);
    }
    demuxer.flush(received);
    while let Some(item) = demuxer.next_item() {
        match item {
            SourceItem::Track(track) => drop(tracks.insert(track.id, track)),
            SourceItem::Frame(frame) => got.entry(frame.track).or_default().push(frame),
            _ => {}
        }
    }
    let counts = demuxer.counts();
    assert_eq!((counts.lost, counts.damaged_units), (0, 0), "{counts:?}");
    assert_eq!(got.len(), 2);
    for (id, frames) in &got {
        let codec = tracks[id].codec;
        let id = TrackId(u8::from(codec != codec::AVC));
        let want: Vec<_> = sent.iter().filter(|frame| frame.track == id).collect();
        assert_eq!(frames.len(), want.len(), "{codec:?}");
        let want_first = want[0];
        for (index, (frame, want)) in frames.iter().zip(&want).enumerate() {
            assert!(
                codec::equal_payloads(codec, &frame.payload, &want.payload),
                "{codec:?}: access unit {index} is another one"
            );
            // FLV's clock has milliseconds.
            let since = |frame: &SourceFrame, first: &SourceFrame| {
                let hz = i64::from(frame.clock.timescale().hz());
                (frame.dts - first.dts) * 1_000_000 / hz
            };
            let (ours, theirs) = (since(frame, &frames[0]), since(want, want_first));
            let off = (ours - theirs).abs();
            assert!(off <= 2_000, "{codec:?}: {index}: {ours} for {theirs}");
        }
    }
}

/// Sound that MPEG-TS has no words for costs the picture nothing.
#[tokio::test]
async fn a_configuration_that_a_transport_stream_cannot_have_is_left_out_alone() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../server/assets/demo/demo.flv"
    );
    let (_, seen) = publish(&fs::read(path).unwrap()).await;
    let mut snapshot = Snapshot::clone(&seen.last.unwrap());
    // 22.2 channels, of which ADTS knows nothing.
    let strange = |track: &Track| track.clone().with_config(vec![0x11, 0xe8].into());
    let tracks = snapshot.tracks.iter().map(|track| {
        let mut track = TrackWindow::clone(track);
        if &*track.name == "a1" {
            track.track = Arc::new(strange(&track.track));
            let inits = track.inits.iter().map(|init| {
                let mut init = Init::clone(init);
                init.track = Arc::new(strange(&init.track));
                Arc::new(init)
            });
            track.inits = inits.collect();
        }
        Arc::new(track)
    });
    snapshot.tracks = tracks.collect();
    assert!(Transport::companion(&snapshot).is_none());
    let leading: Vec<_> = Transport::leading(&snapshot).map(|it| &*it.name).collect();
    assert_eq!(leading, ["v0"]);
    let transport = Transport::new("v0", 0);
    let number = transport.listed(&snapshot)[1].number;
    let mut demuxer = ts::Demuxer::new();
    let bytes = transport.segment(&snapshot, number).unwrap();
    demuxer.push(&bytes, Instant::now());
    let tracks = std::iter::from_fn(|| demuxer.next_item());
    let tracks = tracks.filter(|item| matches!(item, SourceItem::Track(_)));
    assert_eq!(tracks.count(), 1);
}
