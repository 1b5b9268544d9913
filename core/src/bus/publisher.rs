//! The writing end of a stream, as an ingest holds it.

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use super::chain::{Block, Entry};
use super::doors::KnownDoors;
use super::handle::StreamHandle;
use super::life::Close;
use super::metadata::StreamMetadata;
use super::pace::{Bitrates, Pace, Verdict};
use super::qos::nanos;
use super::state::{CloseReason, Closed};
use super::stream::{Control, Stream};
use super::writer::Writer;
use crate::sync::{Arc, AtomicU64, Held, Relaxed, now};
use crate::{BitRate, Discontinuity, Frame, MediaKind, Track, Watched};

/// Where a publisher that continues a stream takes it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// The end of the last frame over all tracks, in nanoseconds of stream time.
    pub time: i64,
    /// When that frame arrived.
    pub at: Instant,
}

/// The one writer of a stream.
///
/// Dropping it detaches it: the stream waits for the grace time
/// (`bus.reconnect_grace`) for another publisher, and its readers with it.
/// [`finish`](Self::finish) ends the stream at once.
///
/// A publisher that continues a stream puts nothing about that itself: before
/// its first frame or configuration the bus puts one [`Discontinuity`], of cause
/// `Reconnect` or `Takeover`, whose `missing` is the time between the arrival
/// of the last frame and of the next. If the first thing that it puts is a
/// discontinuity of its own, that one takes its place (with the bus's cause).
pub struct Publisher {
    stream: Arc<Stream>,
    epoch: u64,
    grace: Duration,
    resume: Option<ResumePoint>,
    control: Arc<Watched<Control>>,
    /// How many requests for a keyframe the ingest has been told of.
    keyframes_seen: Arc<AtomicU64>,
    doors: KnownDoors,
    /// The publish has been ended, as this publisher has found.
    ended: Option<Closed>,
    /// The block of the frame that was put last, if there is an observer: it is
    /// shown the frame there, and to clone the block for each costs more than to
    /// keep it.
    block: Option<Arc<Block>>,
    pace: Pace,
    bitrates: Bitrates,
    finished: bool,
}

impl Publisher {
    pub(crate) fn new(
        stream: Arc<Stream>,
        epoch: u64,
        grace: Duration,
        resume: Option<ResumePoint>,
        control: Arc<Watched<Control>>,
    ) -> Self {
        Self {
            stream,
            epoch,
            grace,
            resume,
            control,
            keyframes_seen: Arc::default(),
            doors: KnownDoors::default(),
            ended: None,
            block: None,
            pace: Pace::default(),
            bitrates: Bitrates::default(),
            finished: false,
        }
    }

    /// Holds what is published from now on against these.
    pub(crate) fn limit(&mut self, bitrates: Bitrates) {
        self.pace = Pace::new(bitrates);
        self.bitrates = bitrates;
    }

    /// Puts a frame on the bus and gives the number of subscribers. Never
    /// waits for a subscriber.
    ///
    /// Subscribers are woken, by this thread if they are few, else by a task of
    /// the tokio runtime that this was called in when they were many for the first
    /// time, which has to be kept running. A task that publishes without ever
    /// awaiting anything else keeps that runtime from running them.
    ///
    /// What is no longer kept is freed in here, or by the reader that held it last:
    /// where payloads have owners of their own ([`Bytes::from_owner`](bytes::Bytes::from_owner)),
    /// these must not call the stream when they are dropped.
    ///
    /// The frame's track should have been announced by
    /// [`publish_track`](Self::publish_track); until it is, no reader knows its
    /// timescale, and it is taken for a track of pictures.
    ///
    /// # Errors
    /// [`Closed`] if the stream has ended, another publisher took it over, or
    /// this one sends more than it may: then the stream ends.
    pub fn publish_frame(&mut self, frame: Frame) -> Result<usize, Closed> {
        let age = self.age();
        self.keep_pace(frame.payload.len(), age)?;
        let (track, dts, keyframe) = (frame.track, frame.dts, frame.keyframe);
        let bytes = u64::try_from(frame.payload.len()).unwrap_or(u64::MAX);
        let stream = &*self.stream;
        let mut writer = match writer_of(stream, self.epoch, &mut self.ended) {
            Ok(writer) => writer,
            Err(closed) => {
                self.block = None;
                return Err(closed);
            }
        };
        let broke = writer.put_frame(stream, frame, age);
        let truncated = writer.take_truncated();
        let index = if stream.observer.is_some() {
            writer.last(&mut self.block)
        } else {
            0
        };
        drop(writer);
        stream.wake.wake();
        if broke {
            stream.doors.open();
        } else {
            stream
                .doors
                .frame(&mut self.doors, track, dts, keyframe, bytes);
        }
        // Not while the writer is held: what an observer does may need it.
        if let Some(block) = &self.block
            && let Some(Entry::Frame { frame, .. }) = block.get(index)
        {
            stream
                .observer
                .tell(|observer| observer.on_frame(&stream.key, frame));
        }
        self.tell_truncated(truncated);
        Ok(stream.readers.len())
    }

    /// Puts a track's configuration on the bus: before the track's first frame,
    /// and again when it changes. False if it equals the one in force, and
    /// nothing was put.
    ///
    /// # Errors
    /// [`Closed`] if the stream has ended or another publisher took it over.
    pub fn publish_track(&mut self, track: Track) -> Result<bool, Closed> {
        self.put(|writer, stream, age| writer.put_track(stream, track, age))
    }

    /// Puts a discontinuity on the bus, to which the next frames belong.
    ///
    /// # Errors
    /// [`Closed`] if the stream has ended or another publisher took it over.
    pub fn publish_discontinuity(&mut self, discontinuity: Discontinuity) -> Result<(), Closed> {
        self.put(|writer, stream, age| writer.put_discontinuity(stream, discontinuity, age))
    }

    /// Counts bytes that arrived and became no frame (a message that is broken,
    /// or of no use) against the publisher's bitrate; frames are counted by
    /// [`publish_frame`](Self::publish_frame).
    ///
    /// # Errors
    /// [`Closed`] if the publisher sends more than it may: then the stream ends.
    pub fn count_unused(&mut self, bytes: usize) -> Result<(), Closed> {
        self.keep_pace(bytes, self.age())
    }

    /// The stream's age in nanoseconds.
    #[inline]
    fn age(&self) -> u64 {
        nanos(self.stream.age(now()))
    }

    #[inline]
    fn keep_pace(&mut self, bytes: usize, age: u64) -> Result<(), Closed> {
        match self.pace.arrive(bytes, age) {
            Verdict::Fine => Ok(()),
            Verdict::Warn => {
                self.warn_of_pace();
                Ok(())
            }
            Verdict::Cut => Err(self.cut()),
        }
    }

    #[cold]
    fn warn_of_pace(&self) {
        let stream = &self.stream;
        stream.counters.bitrate_warnings.fetch_add(1, Relaxed);
        let (rate, limit) = (BitRate(stream.qos().bitrate_bps), self.bitrates.warn);
        tracing::warn!(stream = %stream.key, %rate, %limit, "the publisher sends more than limits.bitrate_warn");
    }

    #[cold]
    fn cut(&self) -> Closed {
        let stream = &self.stream;
        let (rate, limit) = (BitRate(stream.qos().bitrate_bps), self.bitrates.cut);
        if stream.end(Close::Publish(self.epoch), CloseReason::TooFast) {
            tracing::warn!(stream = %stream.key, %rate, %limit, "stream ended: the publisher sends more than limits.bitrate_cut");
            if let Some(home) = stream.home() {
                home.count_cut();
            }
        }
        Closed::new(self.close_reason().unwrap_or(CloseReason::TooFast))
    }

    fn put<T>(&mut self, put: impl FnOnce(&mut Writer, &Stream, u64) -> T) -> Result<T, Closed> {
        let age = self.age();
        let mut writer = writer_of(&self.stream, self.epoch, &mut self.ended)?;
        let result = put(&mut writer, &self.stream, age);
        let truncated = writer.take_truncated();
        drop(writer);
        self.stream.wake.wake();
        self.stream.doors.open();
        self.tell_truncated(truncated);
        Ok(result)
    }

    fn tell_truncated(&self, truncated: bool) {
        if truncated {
            let stream = &*self.stream;
            tracing::debug!(stream = %stream.key, "a GOP outgrew the bounds of the cache");
            stream
                .observer
                .tell(|observer| observer.on_gop_truncated(&stream.key));
        }
    }

    /// Says which kinds of media will be sent, as the publisher announced
    /// them: readers may wait a moment for tracks that are still missing.
    pub fn announce_tracks(&mut self, kinds: &[MediaKind]) {
        self.set_metadata(|metadata| metadata.announced = kinds.to_vec());
    }

    /// Changes the stream's metadata. `change` may run more than once.
    pub fn set_metadata(&mut self, change: impl Fn(&mut StreamMetadata)) {
        self.handle().update_metadata(change);
    }

    /// Adds to the count of repaired timestamps.
    pub fn count_repairs(&self, repairs: u64) {
        self.stream.counters.repairs.fetch_add(repairs, Relaxed);
    }

    /// Where the stream stood when this publisher took it up; `None` if it
    /// held no media yet.
    #[must_use]
    pub const fn resume_point(&self) -> Option<ResumePoint> {
        self.resume
    }

    /// The publish's number in the stream's life, from 1.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A handle of the stream.
    #[must_use]
    pub fn handle(&self) -> StreamHandle {
        StreamHandle::of(Arc::clone(&self.stream))
    }

    /// Waits until the publish is ended from outside, and gives the reason. The
    /// future owns what it needs, and may be dropped at any time.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        let control = Arc::clone(&self.control);
        async move {
            let control = control.wait_for(|control| control.closed.is_some()).await;
            control.closed.unwrap_or(CloseReason::Finished)
        }
    }

    /// The reason, if the publish was ended from outside by now.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.control.load().closed
    }

    /// Waits until someone asks for a keyframe, or has done so since the last
    /// time that this returned. The future owns what it needs, and may be
    /// dropped at any time.
    pub fn keyframe_requested(&self) -> impl Future<Output = ()> + Send + 'static {
        let control = Arc::clone(&self.control);
        let seen = Arc::clone(&self.keyframes_seen);
        async move {
            let asked = |control: &Control| control.keyframes > seen.load(Relaxed);
            let control = control.wait_for(asked).await;
            seen.store(control.keyframes, Relaxed);
        }
    }

    /// Ends the publish and with it the stream, without a grace time.
    pub fn finish(mut self) {
        self.finished = true;
        self.stream
            .end(Close::Publish(self.epoch), CloseReason::Finished);
    }
}

/// The writer of the stream, unless the publish of `epoch` has been ended. That
/// it has is kept in `ended`: such a publisher touches the writer no more, which
/// is another's.
#[inline]
fn writer_of<'a>(
    stream: &'a Stream,
    epoch: u64,
    ended: &mut Option<Closed>,
) -> Result<Held<'a, Writer>, Closed> {
    if let Some(closed) = *ended {
        return Err(closed);
    }
    if let Some(writer) = stream.writer.take()
        && writer.is_of(epoch)
    {
        return Ok(writer);
    }
    contested(stream, epoch).inspect_err(|closed| *ended = Some(*closed))
}

/// The same, where the writer is held or is another's. A publisher that has just
/// been ended may hold it to find that out: only the lock tells whose it is.
#[cold]
fn contested(stream: &Stream, epoch: u64) -> Result<Held<'_, Writer>, Closed> {
    let life = stream.life.lock();
    if !life.is_held_by(epoch) {
        return Err(Closed::new(life.why_closed()));
    }
    // Nobody can end the publish meanwhile; who holds the writer only looks.
    Ok(stream.writer.wait())
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if !self.finished {
            self.stream.detach(self.epoch, self.grace);
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("key", &self.stream.key)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}
