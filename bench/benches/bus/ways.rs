//! The ways to hand one publisher's frames to many subscribers.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;
use clap::ValueEnum;
use rillcast_core::{
    AudioParams, BusConfig, Codec, Frame, MediaParams, NoopObserver, Publisher, Recv, StreamHandle,
    StreamKey, Timescale, Track, TrackId, VideoParams,
};
use tokio::sync::{broadcast, mpsc};

use crate::latency::Ages;

/// A way to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// A ring of `tokio::sync::broadcast`, as most servers have it, with the
    /// current GOP in a vector behind a mutex for those who join.
    Broadcast,
    /// A queue of `tokio::sync::mpsc` for each subscriber.
    Mpsc,
    /// The bus, with a task for each subscriber.
    Tasks,
    /// Tasks that are woken and look at one frame: what no bus can beat with a
    /// task for each subscriber.
    Bare,
}

impl Way {
    /// As the command line has it.
    pub(crate) const fn option(self) -> &'static str {
        match self {
            Self::Broadcast => "broadcast",
            Self::Mpsc => "mpsc",
            Self::Tasks => "tasks",
            Self::Bare => "bare",
        }
    }

    pub(crate) const ALL: [Self; 4] = [Self::Broadcast, Self::Mpsc, Self::Tasks, Self::Bare];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Broadcast => "tokio broadcast",
            Self::Mpsc => "tokio mpsc each",
            Self::Tasks => "bus, tasks",
            Self::Bare => "bare wake and poll",
        }
    }
}

/// What subscribers have received together, over all streams of a scene.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    count: Arc<AtomicU64>,
    /// Where a subscriber notes how old frames are when it gets them.
    ages: Option<Arc<Ages>>,
}

impl Tally {
    /// One that counts for all subscribers, and notes ages for one in so many.
    pub(crate) fn noting(ages: &Arc<Ages>) -> Self {
        let ages = Some(Arc::clone(ages));
        Self {
            ages,
            ..Self::default()
        }
    }

    /// The tally for the subscriber of this number.
    fn of(&self, subscriber: usize) -> Self {
        let mut tally = self.clone();
        tally.ages = tally
            .ages
            .filter(|_| subscriber.is_multiple_of(Ages::ONE_IN));
        tally
    }

    /// Looks at a frame as a subscriber does: by its length and one byte.
    #[inline]
    fn took(&self, frame: &Frame) {
        let byte = frame.payload.first().copied().unwrap_or_default();
        std::hint::black_box((frame.payload.len(), byte));
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(ages) = &self.ages {
            ages.note(frame.received.elapsed());
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// The publisher's end of one stream. Dropping it ends the subscribers' tasks.
pub(crate) enum Source {
    Broadcast {
        sender: broadcast::Sender<Arc<Frame>>,
        gop: Arc<Mutex<Vec<Arc<Frame>>>>,
    },
    Mpsc(Vec<mpsc::Sender<Arc<Frame>>>),
    Bus(Option<Publisher>),
    Bare(Arc<Bare>),
}

/// A frame, and who is to look at it.
#[derive(Default)]
pub(crate) struct Bare {
    frame: OnceLock<Frame>,
    wakers: Mutex<Vec<Waker>>,
}

impl Source {
    #[inline]
    pub(crate) fn publish(&mut self, frame: Frame) {
        match self {
            Self::Broadcast { sender, gop } => {
                let frame = Arc::new(frame);
                let mut gop = gop.lock().unwrap_or_else(PoisonError::into_inner);
                if frame.keyframe && frame.track == VIDEO {
                    gop.clear();
                }
                gop.push(Arc::clone(&frame));
                drop(gop);
                let _ = sender.send(frame);
            }
            Self::Mpsc(senders) => {
                let frame = Arc::new(frame);
                for sender in senders {
                    let _ = sender.try_send(Arc::clone(&frame));
                }
            }
            Self::Bare(bare) => {
                let _ = bare.frame.set(frame);
                let wakers = bare.wakers.lock().unwrap_or_else(PoisonError::into_inner);
                wakers.iter().for_each(Waker::wake_by_ref);
            }
            Self::Bus(publisher) => {
                if let Some(publisher) = publisher {
                    let _ = publisher.publish_frame(frame);
                }
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Self::Bus(publisher) = self
            && let Some(publisher) = publisher.take()
        {
            publisher.finish();
        }
    }
}

/// Frames that a ring or a queue holds: as many as the bus keeps of a GOP, at least.
const QUEUE: usize = 256;

/// A stream with `subscribers`, each in a task of its own, all in the runtime
/// that this is called in.
pub(crate) fn scene(way: Way, subscribers: usize, tally: &Tally) -> Source {
    match way {
        Way::Broadcast => {
            let (sender, _) = broadcast::channel::<Arc<Frame>>(QUEUE);
            for number in 0..subscribers {
                let (mut receiver, tally) = (sender.subscribe(), tally.of(number));
                tokio::spawn(async move {
                    loop {
                        match receiver.recv().await {
                            Ok(frame) => tally.took(&frame),
                            Err(broadcast::error::RecvError::Lagged(_)) => {}
                            Err(broadcast::error::RecvError::Closed) => return,
                        }
                    }
                });
            }
            let gop = Arc::default();
            Source::Broadcast { sender, gop }
        }
        Way::Mpsc => {
            let senders = (0..subscribers).map(|number| {
                let (sender, mut receiver) = mpsc::channel::<Arc<Frame>>(QUEUE);
                let tally = tally.of(number);
                tokio::spawn(async move {
                    while let Some(frame) = receiver.recv().await {
                        tally.took(&frame);
                    }
                });
                sender
            });
            Source::Mpsc(senders.collect())
        }
        Way::Bare => {
            let bare = Arc::new(Bare::default());
            for number in 0..subscribers {
                let (bare, tally) = (Arc::clone(&bare), tally.of(number));
                let mut known = false;
                tokio::spawn(poll_fn(move |cx| {
                    if let Some(frame) = bare.frame.get().filter(|_| known) {
                        tally.took(frame);
                    } else {
                        known = true;
                        let mut wakers = bare.wakers.lock().unwrap_or_else(PoisonError::into_inner);
                        wakers.push(cx.waker().clone());
                    }
                    Poll::<()>::Pending
                }));
            }
            Source::Bare(bare)
        }
        Way::Tasks => {
            let (publisher, handle) = stream();
            for number in 0..subscribers {
                let (mut subscription, tally) = (handle.subscribe_resilient(), tally.of(number));
                tokio::spawn(async move {
                    loop {
                        match subscription.recv().await {
                            Recv::Frame(frame) => tally.took(&frame),
                            Recv::Ended => return,
                            _ => {}
                        }
                    }
                });
            }
            Source::Bus(Some(publisher))
        }
    }
}

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
pub(crate) struct Frames {
    payload: Bytes,
    count: u64,
}

pub(crate) const GOP: u64 = 120;

impl Frames {
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
        Frame::new(track, dts, std::time::Instant::now(), self.payload.clone())
            .with_keyframe(keyframe)
    }
}

pub(crate) const VIDEO: TrackId = TrackId(0);
const SOUND: TrackId = TrackId(1);
const SECOND_SOUND: TrackId = TrackId(2);
