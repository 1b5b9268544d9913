//! What is found in windows made by hand. Whole requests, and real windows, are
//! tested where the handler is mounted (egress-hls/tests).

use std::time::SystemTime;

use bytes::Bytes as Payload;
use rillcast_core::{StreamKey, Timescale, Track, TrackId, VideoParams};

use super::*;
use crate::cmaf::{BitRate, Counters, Init, Part, WallClock};
use crate::codec;

/// A part with one slice.
fn part(index: u32, bytes: &'static str) -> Arc<Part> {
    Arc::new(Part {
        index,
        start: 0,
        duration: 90_000,
        independent: index == 0,
        samples: 1,
        received: Instant::now(),
        slices: Arc::from([Payload::from_static(bytes.as_bytes())]),
        bytes: u64::try_from(bytes.len()).unwrap(),
    })
}

fn segment_of(number: u64, parts: &[&'static str], complete: bool) -> Arc<Segment> {
    let parts = (0..).zip(parts).map(|(index, bytes)| part(index, bytes));
    Arc::new(Segment {
        number,
        timescale: Timescale::VIDEO,
        start: 0,
        duration: 90_000,
        presentation: 0,
        time: 0,
        discontinuity: false,
        discontinuity_sequence: 0,
        config: 0,
        independent: true,
        gap: false,
        parts: parts.collect(),
        complete,
    })
}

/// A window of one video track with segments 5 and 6, of which 6 is a gap, and
/// `open` after them.
fn snapshot(open: Option<Arc<Segment>>, next: (u64, u32)) -> Snapshot {
    let params = rillcast_core::MediaParams::Video(VideoParams::new(16, 16));
    let track = Arc::new(Track::new(TrackId(0), codec::AVC, Timescale::VIDEO, params));
    let mut gap = (*segment_of(6, &[], true)).clone();
    gap.gap = true;
    let init = Init {
        id: 3,
        track: Arc::clone(&track),
        bytes: Payload::from_static(b"init"),
    };
    Snapshot {
        key: StreamKey::parse("live/cam").unwrap(),
        session: "s1".into(),
        state: State::Live,
        target_duration: Duration::from_secs(1),
        listing: Duration::from_secs(30),
        anchor: None,
        clock: WallClock::new(SystemTime::UNIX_EPOCH, Instant::now()),
        tracks: Arc::from([Arc::new(TrackWindow {
            track,
            name: "v0".into(),
            primary: true,
            part_target: 90_000,
            part_target_duration: Duration::from_secs(1),
            first_listed: 5,
            segments: Arc::from([segment_of(5, &["ab", "cd"], true), Arc::new(gap)]),
            open,
            next,
            inits: Arc::from([Arc::new(init)]),
            bit_rate: BitRate::default(),
            frame_rate: None,
            discontinuities: 0,
        })]),
        counters: Counters::default(),
        memory: 0,
    }
}

fn path(file: &str) -> String {
    format!("live/cam/s1/v0/{file}")
}

/// What a look says, in a word.
fn word(snapshot: &Snapshot, file: &str) -> String {
    let path = path(file);
    match look(snapshot, &Address::parse(&path).unwrap()) {
        Look::Here(Found {
            bytes: Bytes::Whole(chunk),
            ..
        }) => format!("{} bytes", chunk.len()),
        Look::Here(_) => "growing".to_owned(),
        Look::Soon => "soon".to_owned(),
        Look::Nowhere(_) => "nowhere".to_owned(),
    }
}

#[test]
fn what_is_there_what_comes_and_what_does_not() {
    let open = snapshot(Some(segment_of(7, &["ef"], false)), (7, 1));
    let between = snapshot(None, (7, 0));
    for (file, while_open, while_between) in [
        ("3.init.mp4", "4 bytes", "4 bytes"),
        ("0.init.mp4", "nowhere", "nowhere"),
        ("4.m4s", "nowhere", "nowhere"),
        ("4.0.m4s", "nowhere", "nowhere"),
        ("5.m4s", "4 bytes", "4 bytes"),
        ("5.1.m4s", "2 bytes", "2 bytes"),
        ("5.2.m4s", "nowhere", "nowhere"),
        ("6.m4s", "nowhere", "nowhere"),
        ("6.0.m4s", "nowhere", "nowhere"),
        ("7.m4s", "growing", "soon"),
        ("7.0.m4s", "2 bytes", "soon"),
        ("7.1.m4s", "soon", "nowhere"),
        ("7.2.m4s", "nowhere", "nowhere"),
        ("8.m4s", "soon", "soon"),
        ("8.0.m4s", "soon", "soon"),
        ("8.1.m4s", "nowhere", "nowhere"),
        ("9.m4s", "nowhere", "nowhere"),
        ("9.0.m4s", "nowhere", "nowhere"),
        ("18446744073709551615.m4s", "nowhere", "nowhere"),
    ] {
        assert_eq!(word(&open, file), while_open, "{file} while 7 is cut");
        assert_eq!(word(&between, file), while_between, "{file} before 7");
    }
    let mut ended = between;
    ended.state = State::Ended { at: Instant::now() };
    for (file, want) in [
        ("5.m4s", "4 bytes"),
        ("7.m4s", "nowhere"),
        ("7.0.m4s", "nowhere"),
    ] {
        assert_eq!(word(&ended, file), want, "{file} after the end");
    }
}

fn show(window: &Window, open: Option<Arc<Segment>>, next: (u64, u32)) {
    window.watched().store(Arc::new(snapshot(open, next)));
}

fn window() -> Arc<Window> {
    let open = segment_of(7, &["ef"], false);
    let shown = snapshot(Some(open), (7, 1));
    Arc::new(Window::showing(shown, Instant::now()))
}

fn body(window: &Arc<Window>) -> Body {
    growing::body(Arc::clone(window), "v0".to_owned(), 7)
}

async fn piece(body: &mut Body) -> Option<Result<usize, String>> {
    let piece = std::future::poll_fn(|cx| body.poll_chunk(cx)).await?;
    Some(
        piece
            .map(|chunk| chunk.len())
            .map_err(|error| error.to_string()),
    )
}

#[tokio::test]
async fn a_growing_segment_is_sent_part_by_part_to_its_end() {
    let window = window();
    let mut body = body(&window);
    assert_eq!(piece(&mut body).await, Some(Ok(2)));
    let more = segment_of(7, &["ef", "ghi", "j"], false);
    let grow = async { show(&window, Some(more), (7, 3)) };
    let (sent, ()) = tokio::join!(piece(&mut body), grow);
    assert_eq!(sent, Some(Ok(4)), "all that is new at once");
    let mut done = snapshot(None, (8, 0));
    let complete = segment_of(7, &["ef", "ghi", "j"], true);
    complete_with(&mut done, complete);
    window.watched().store(Arc::new(done));
    assert_eq!(piece(&mut body).await, None);
}

/// Appends a complete segment to the one track of `snapshot`.
fn complete_with(snapshot: &mut Snapshot, segment: Arc<Segment>) {
    let mut track = (*snapshot.tracks[0]).clone();
    track.segments = track.segments.iter().cloned().chain([segment]).collect();
    snapshot.tracks = Arc::from([Arc::new(track)]);
}

#[tokio::test]
async fn a_growing_segment_that_is_dropped_or_left_unfinished_is_aborted() {
    let dropped = window();
    let mut ended = snapshot(Some(segment_of(7, &["ef"], false)), (7, 1));
    ended.state = State::Ended { at: Instant::now() };
    let unfinished = window();
    for (window, last) in [(dropped, snapshot(None, (8, 0))), (unfinished, ended)] {
        let mut body = body(&window);
        assert_eq!(piece(&mut body).await, Some(Ok(2)));
        window.watched().store(Arc::new(last));
        let error = piece(&mut body).await.unwrap().unwrap_err();
        assert!(error.contains("dropped"), "{error}");
        assert_eq!(piece(&mut body).await, None);
    }
}

#[tokio::test]
async fn what_is_next_is_found_when_it_comes_and_missed_when_it_is_passed() {
    for (segment, want) in [
        (segment_of(7, &["ef", "gh"], false), 200),
        // The segment ended before a part of that index was cut.
        (segment_of(7, &["ef"], true), 404),
    ] {
        let window = window();
        let complete = segment.complete;
        let path = path("7.1.m4s");
        let address = Address::parse(&path).unwrap();
        let grow = async {
            let mut next = snapshot(None, (8, 0));
            if complete {
                complete_with(&mut next, segment);
            } else {
                next = snapshot(Some(segment), (7, 2));
            }
            window.watched().store(Arc::new(next));
        };
        let (found, ()) = tokio::join!(find(&window, &address), grow);
        let status = found.map_or_else(|refusal| refusal.status().as_u16(), |_| 200);
        assert_eq!(status, want);
    }
}
