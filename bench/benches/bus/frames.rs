//! The stream that is published, its frames, and what a subscriber does with one.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use rillcast_core::{
    AudioParams, BusConfig, Codec, Frame, MediaParams, NoopObserver, Publisher, StreamHandle,
    StreamKey, Timescale, Track, TrackId, VideoParams,
};

use crate::latency::Ages;

/// A stream of the bus as a server has it: three tracks, measured, and watched
/// by an observer.
pub(crate) fn stream() -> (Publisher, StreamHandle) {
    let key = StreamKey::parse("live/bench").expect("a key");
    let observer = Arc::new(NoopObserver);
    let (mut publisher, handle) = StreamHandle::with_observer(key, BusConfig::default(), observer);
    let sound = |id, hz| {
        let params = MediaParams::Audio(AudioParams::new(hz, 2));
        Track::new(
            id,
            Codec::new(*b"mp4a"),
            Timescale::new(hz).expect("a rate"),
            params,
        )
    };
    let pictures = MediaParams::Video(VideoParams::new(1_920, 1_080));
    let video = Track::new(VIDEO, Codec::new(*b"avc1"), Timescale::VIDEO, pictures);
    for track in [video, sound(SOUND, 48_000), sound(SECOND_SOUND, 44_100)] {
        let _ = publisher.publish_track(track);
    }
    (publisher, handle)
}

/// The frames of a stream in their order: a picture, then a frame of each
/// sound; every 40th picture is a keyframe, so that a GOP has 120 frames.
pub(crate) struct Made {
    payload: Bytes,
    count: usize,
}

/// Frames of a GOP.
pub(crate) const GOP: usize = 120;

impl Made {
    pub(crate) fn new() -> Self {
        Self {
            payload: Bytes::from(vec![7; 1_200]),
            count: 0,
        }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Frame {
        let count = self.count;
        self.count += 1;
        let (track, ticks) = match count % 3 {
            0 => (VIDEO, 3_600),
            1 => (SOUND, 1_920),
            _ => (SECOND_SOUND, 1_764),
        };
        let dts = i64::try_from(count / 3).unwrap_or(0) * ticks;
        let keyframe = track != VIDEO || count.is_multiple_of(GOP);
        Frame::new(track, dts, Instant::now(), self.payload.clone()).with_keyframe(keyframe)
    }
}

/// The track of the pictures.
pub(crate) const VIDEO: TrackId = TrackId(0);
const SOUND: TrackId = TrackId(1);
const SECOND_SOUND: TrackId = TrackId(2);

thread_local! {
    /// Frames that subscribers have got on this thread. No atomic: that would
    /// cost a tenth of what is measured.
    static TAKEN: Cell<u64> = const { Cell::new(0) };
    /// Who waits for how many of them.
    static WANTED: Cell<u64> = const { Cell::new(u64::MAX) };
    static WAITS: Cell<Option<Waker>> = const { Cell::new(None) };
}

/// Frames that subscribers have got on this thread since it began.
pub(crate) fn taken() -> u64 {
    TAKEN.get()
}

/// Waits until subscribers have got so many frames on this thread. It is woken
/// by the last of them: a task that asks again and again would cost more than a bus.
pub(crate) async fn all_taken(wanted: u64) {
    poll_fn(|cx| {
        if taken() >= wanted {
            return Poll::Ready(());
        }
        WANTED.set(wanted);
        WAITS.set(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

/// The last one of a row lets the publisher go on.
#[cold]
fn all_are_taken() {
    WANTED.set(u64::MAX);
    if let Some(waker) = WAITS.take() {
        waker.wake();
    }
}

/// What a subscriber does with frames: it looks at each and counts it.
#[derive(Clone, Default)]
pub(crate) struct Taker {
    /// Where it notes how old frames are when it gets them.
    ages: Option<Arc<Ages>>,
}

impl Taker {
    /// The one of this number, of which some note ages.
    pub(crate) fn of(ages: Option<&Arc<Ages>>, number: usize) -> Self {
        let ages = ages.filter(|_| number.is_multiple_of(Ages::ONE_IN));
        Self {
            ages: ages.cloned(),
        }
    }

    /// Looks at a frame as a subscriber does: by its length and one byte.
    #[inline]
    pub(crate) fn took(&self, frame: &Frame) {
        let byte = frame.payload.first().copied().unwrap_or_default();
        std::hint::black_box((frame.payload.len(), byte));
        let taken = taken() + 1;
        TAKEN.set(taken);
        if taken >= WANTED.get() {
            all_are_taken();
        }
        if let Some(ages) = &self.ages {
            ages.note(frame.received.elapsed());
        }
    }
}
