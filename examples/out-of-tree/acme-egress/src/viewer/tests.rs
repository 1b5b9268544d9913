//! Viewers on a bus of their own, without a server.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use bytes::Buf;
use rillcast_core::{
    AudioParams, BusConfig, Frame, HumanDuration, MediaParams, Publisher, Reactor, StreamHandle,
    StreamKey, Timescale, TrackId, VideoParams,
};
use rillcast_media::codec;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::*;
use crate::check::Checker;
use crate::config::Consume;

/// A stream with viewers, on the thread of the test.
struct Stage {
    publisher: Publisher,
    handle: StreamHandle,
    reactor: Reactor<Viewer>,
    rows: Arc<Rows>,
    begun: Instant,
    pictures: i64,
}

/// A keyframe is the first of so many pictures, 40 ms apart.
const GROUP: i64 = 10;

const PATIENCE: Duration = Duration::from_secs(20);

impl Stage {
    fn new() -> Self {
        Self::with(BusConfig::default())
    }

    fn with(config: BusConfig) -> Self {
        let key = StreamKey::parse("a/b").unwrap();
        let (publisher, handle) = StreamHandle::new(key, config);
        let mut stage = Self {
            publisher,
            handle,
            reactor: Reactor::new(&Handle::current(), 1),
            rows: Arc::default(),
            begun: Instant::now(),
            pictures: 0,
        };
        stage.configure(b"record");
        let params = MediaParams::Audio(AudioParams::new(48_000, 2));
        let track = Track::new(TrackId(1), codec::AAC, Timescale::MILLIS, params);
        let track = track.with_config(Bytes::from_static(b"\x11\x90"));
        stage.publisher.publish_track(track).unwrap();
        stage
    }

    fn configure(&mut self, record: &'static [u8]) {
        let params = MediaParams::Video(VideoParams::new(640, 360));
        let track = Track::new(TrackId(0), codec::AVC, Timescale::MILLIS, params);
        let track = track.with_config(Bytes::from_static(record));
        self.publisher.publish_track(track).unwrap();
    }

    /// Publishes so many pictures of `size` bytes.
    fn pictures(&mut self, count: i64, size: usize) {
        for _ in 0..count {
            let at = self.pictures * 40;
            let keyframe = self.pictures % GROUP == 0;
            let payload = Bytes::from(vec![7; size]);
            let frame = Frame::new(TrackId(0), 10_000 + at, self.received(at), payload);
            let frame = frame.with_keyframe(keyframe);
            self.publisher.publish_frame(frame).unwrap();
            self.pictures += 1;
        }
    }

    /// The time of the last picture.
    fn last(&self) -> u32 {
        u32::try_from((self.pictures - 1) * 40).unwrap()
    }

    fn sound(&mut self, at: i64) {
        let payload = Bytes::from_static(b"sound");
        let frame = Frame::new(TrackId(1), 10_000 + at, self.received(at), payload);
        self.publisher
            .publish_frame(frame.with_keyframe(true))
            .unwrap();
    }

    fn received(&self, at: i64) -> Instant {
        self.begun + Duration::from_millis(u64::try_from(at).unwrap())
    }

    fn join(&self, consume: Consume, limit: usize) -> Watching {
        let queue = Arc::new(Queue::new(limit));
        let seat = Seat {
            queue: Arc::clone(&queue),
            rows: Arc::clone(&self.rows),
            viewers: self.handle.slot(Viewers::new),
            number: 7,
            gather: Duration::from_millis(100),
        };
        let now = self.received(self.pictures * 40);
        let viewer = Viewer::new(seat, now);
        let pieces = match consume {
            Consume::Reactor => {
                self.reactor.add(&self.handle, viewer);
                Pieces::new(queue)
            }
            Consume::Tasks => Pieces::of_own(queue, self.handle.subscribe_resilient(), viewer),
        };
        Watching {
            pieces,
            checker: Checker::new(),
            seen: Vec::new(),
        }
    }
}

/// A viewer's end: what has come out so far, as kind, timestamp and whether it
/// begins as a keyframe or a configuration does.
struct Watching {
    pieces: Pieces,
    checker: Checker,
    seen: Vec<(u8, u32, [u8; 2])>,
}

const KEYFRAME: [u8; 2] = [0x17, 1];
const PICTURE: [u8; 2] = [0x27, 1];
const RECORD: [u8; 2] = [0x17, 0];

impl Watching {
    async fn chunk(&mut self) -> Option<Chunk> {
        let next = poll_fn(|cx| Pin::new(&mut self.pieces).poll_next(cx));
        let next = timeout(PATIENCE, next).await.expect("nothing comes");
        next.transpose().unwrap()
    }

    /// Reads what comes next; false at the end.
    async fn read(&mut self) -> bool {
        let Some(mut chunk) = self.chunk().await else {
            assert!(self.checker.is_whole());
            return false;
        };
        while chunk.has_remaining() {
            let piece = chunk.chunk();
            let seen = &mut self.seen;
            self.checker
                .push(piece, |tag| {
                    seen.push((tag.kind, tag.timestamp, [tag.head[0], tag.head[1]]));
                })
                .unwrap();
            let length = piece.len();
            chunk.advance(length);
        }
        // A tag is there as a whole or not at all.
        assert!(self.checker.is_whole());
        true
    }

    /// Reads until the picture of that time has come.
    async fn read_until(&mut self, at: u32) {
        while self.last_picture() != Some(at) {
            assert!(self.read().await, "ended before {at}");
        }
    }

    fn pictures(&self) -> impl DoubleEndedIterator<Item = (u32, [u8; 2])> {
        let pictures = self.seen.iter().filter(|(kind, _, _)| *kind == 9);
        let pictures = pictures.filter(|(_, _, head)| head[1] == 1);
        pictures.map(|(_, at, head)| (*at, *head))
    }

    fn last_picture(&self) -> Option<u32> {
        self.pictures().next_back().map(|picture| picture.0)
    }
}

/// Lets what runs on this thread run until `condition` holds.
async fn until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting)
        .await
        .expect("does not come true");
}

#[tokio::test]
async fn a_viewer_that_joins_in_mid_group_begins_at_its_keyframe_and_misses_nothing() {
    for consume in [Consume::Reactor, Consume::Tasks] {
        let mut stage = Stage::new();
        stage.pictures(25, 100);
        let mut watching = stage.join(consume, 1 << 20);
        watching.read_until(960).await;
        stage.pictures(100, 100);
        let Stage { publisher, .. } = stage;
        publisher.finish();
        while watching.read().await {}
        let kinds: Vec<_> = watching.seen.iter().take(4).copied().collect();
        let sound = (8, 800, [0xaf, 0]);
        assert_eq!(kinds[0].0, 18);
        assert_eq!(kinds[1..], [(9, 800, RECORD), sound, (9, 800, KEYFRAME)]);
        let times: Vec<u32> = watching.pictures().map(|picture| picture.0).collect();
        let want: Vec<u32> = (20..125).map(|picture| picture * 40).collect();
        assert_eq!(times, want, "{consume:?}");
    }
}

#[tokio::test]
async fn a_viewer_that_is_slow_gets_a_gap_that_ends_at_a_keyframe() {
    for consume in [Consume::Reactor, Consume::Tasks] {
        // Two groups are kept for who is slow.
        let config = BusConfig {
            lag_window: HumanDuration::from_millis(800),
            lag_frames: 20,
            ..BusConfig::default()
        };
        let mut stage = Stage::with(config);
        stage.pictures(3, 100);
        let limit = 50_000;
        let mut slow = stage.join(consume, limit);
        let mut good = stage.join(consume, limit);
        good.read_until(80).await;
        slow.read_until(80).await;
        // Many times what may wait, of which the one takes all and the other nothing.
        for _ in 0..500 {
            stage.pictures(1, 10_000);
            good.read_until(stage.last()).await;
        }
        assert!(slow.pieces.queue.waiting() <= limit + 10_100);
        stage.pictures(1, 100);
        slow.read_until(stage.last()).await;
        let times: Vec<_> = slow.pictures().collect();
        let gaps: Vec<_> = times
            .windows(2)
            .filter(|pair| pair[1].0 - pair[0].0 != 40)
            .collect();
        assert_eq!(gaps.len(), 1, "{times:?}");
        assert_eq!(gaps[0][1].1, KEYFRAME);
        assert!(gaps[0][1].0 > stage.last() - 1_300, "{gaps:?}");
        assert_eq!(good.pictures().count(), 503);
    }
}

#[tokio::test]
async fn a_viewer_that_leaves_is_forgotten() {
    for consume in [Consume::Reactor, Consume::Tasks] {
        let mut stage = Stage::new();
        stage.pictures(3, 100);
        let mut watching = stage.join(consume, 1 << 20);
        watching.read_until(80).await;
        let queue = Arc::downgrade(&watching.pieces.queue);
        assert!(stage.handle.subscriber_count() > 0);
        drop(watching);
        stage.pictures(1, 100);
        until(|| queue.strong_count() == 0).await;
        until(|| stage.handle.subscriber_count() == 0).await;
    }
}

#[tokio::test]
async fn a_new_configuration_comes_right_before_the_picture_that_needs_it() {
    for consume in [Consume::Reactor, Consume::Tasks] {
        let mut stage = Stage::new();
        stage.pictures(GROUP, 100);
        let mut watching = stage.join(consume, 1 << 20);
        watching.read_until(360).await;
        stage.configure(b"another");
        stage.pictures(2, 100);
        watching.read_until(440).await;
        let last = watching.seen.len() - 3;
        let want = [(9, 400, RECORD), (9, 400, KEYFRAME), (9, 440, PICTURE)];
        assert_eq!(watching.seen[last..], want);
    }
}

#[tokio::test]
async fn a_viewer_counts_while_it_watches() {
    let mut stage = Stage::new();
    stage.pictures(3, 100);
    let viewers = stage.handle.slot(Viewers::new);
    let mut watching = stage.join(Consume::Reactor, 1 << 20);
    watching.read_until(80).await;
    for _ in 0..20 {
        stage.pictures(GROUP, 100);
        watching.read_until(stage.last()).await;
        let now = stage.received(stage.pictures * 40);
        assert_eq!(viewers.count(now), 1);
    }
    let now = stage.received(stage.pictures * 40);
    assert_eq!(viewers.count(now + STAY + NOTE_EVERY), 0);
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn sound_waits_for_a_picture_but_not_for_long() {
    let mut stage = Stage::new();
    stage.pictures(3, 100);
    let mut watching = stage.join(Consume::Reactor, 1 << 20);
    watching.read_until(80).await;
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let waiting = |watching: &Watching, bytes| watching.pieces.queue.waiting() == bytes;
    // A tag of sound is 13 bytes, its payload of 5, and the size of 4.
    let mut poll = |watching: &mut Watching| Pin::new(&mut watching.pieces).poll_next(&mut cx);
    assert!(poll(&mut watching).is_pending());
    stage.sound(85);
    until(|| waiting(&watching, 22)).await;
    stage.sound(106);
    until(|| waiting(&watching, 44)).await;
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    stage.pictures(1, 100);
    until(|| count.0.load(Ordering::Relaxed) == 1).await;
    watching.read_until(120).await;
    let kinds: Vec<u8> = watching.seen.iter().rev().take(3).map(|it| it.0).collect();
    assert_eq!(kinds, [9, 8, 8]);
    // No picture comes.
    assert!(poll(&mut watching).is_pending());
    for at in [130, 150, 170, 190, 210, 229] {
        stage.sound(at);
    }
    until(|| waiting(&watching, 6 * 22)).await;
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    stage.sound(230);
    until(|| count.0.load(Ordering::Relaxed) == 2).await;
}

#[tokio::test]
async fn sound_waits_where_a_viewer_reads_by_itself_too() {
    let mut stage = Stage::new();
    stage.pictures(3, 100);
    let mut watching = stage.join(Consume::Tasks, 1 << 20);
    watching.read_until(80).await;
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = |watching: &mut Watching| Pin::new(&mut watching.pieces).poll_next(&mut cx);
    for at in [85, 106] {
        stage.sound(at);
        assert!(poll(&mut watching).is_pending());
    }
    stage.pictures(1, 100);
    watching.read().await;
    let kinds: Vec<u8> = watching.seen.iter().rev().take(3).map(|it| it.0).collect();
    assert_eq!(kinds, [9, 8, 8]);
    stage.sound(130);
    assert!(poll(&mut watching).is_pending());
    // What waits at the end is not lost.
    let Stage { publisher, .. } = stage;
    publisher.finish();
    while watching.read().await {}
    assert_eq!(watching.seen.last().map(|it| it.1), Some(130));
}

#[tokio::test]
async fn viewers_share_the_tags_of_a_frame() {
    let mut stage = Stage::new();
    stage.pictures(1, 100);
    let mut watching = [0; 3].map(|_| stage.join(Consume::Reactor, 1 << 20));
    for watching in &mut watching {
        watching.read_until(0).await;
    }
    stage.pictures(1, 100);
    let mut addresses = Vec::new();
    for watching in &mut watching {
        let chunk = watching.chunk().await.unwrap();
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = chunk.chunks_vectored(&mut slices);
        let slices = slices[..filled].iter();
        addresses.push(slices.map(|slice| slice.as_ptr()).collect::<Vec<_>>());
    }
    assert_eq!(addresses[0].len(), 3);
    assert!(addresses.iter().all(|it| *it == addresses[0]));
}
