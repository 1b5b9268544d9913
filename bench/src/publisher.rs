//! Many publishers in one thread: each sends the same clip in real time, a
//! write for each message as encoders do, and none at the same moment as
//! another.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rillcast_ingest_rtmp::proto::chunk::{Message, Writer};
use rillcast_ingest_rtmp::proto::message::kind;
use rillcast_media::flv::file::TagKind;

use crate::clip::{self, Clip};
use crate::error::{Error, Result};
use crate::wire::Connection;

/// The chunk streams of sound and pictures; any will do.
const AUDIO_CHUNK_STREAM: u32 = 4;
const VIDEO_CHUNK_STREAM: u32 = 6;

/// How often the server's words are read: it acknowledges, and nginx pings.
const LISTEN: Duration = Duration::from_secs(5);

/// `count` streams `live/bench-0` and so on, from connection to `stop`.
#[derive(Debug)]
pub struct Publisher {
    stop: Arc<AtomicBool>,
    shared: Arc<Shared>,
    thread: JoinHandle<Result>,
}

#[derive(Debug, Default)]
struct Shared {
    messages: AtomicU64,
    bytes: AtomicU64,
    late_us: AtomicU64,
}

/// What was sent so far, and how far behind the clock.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Messages of all streams.
    pub messages: u64,
    /// Bytes of all streams, chunk headers too.
    pub bytes: u64,
    /// The sum of what each message was late.
    pub late: Duration,
}

impl Publisher {
    /// Connects `count` publishers and lets them send.
    ///
    /// # Errors
    /// The server refuses one.
    pub fn start(address: SocketAddr, count: usize, clip: &Clip, chunk_size: u32) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared::default());
        let mut streams = Vec::with_capacity(count);
        for index in 0..count {
            let name = format!("bench-{index}");
            streams.push(Connection::publish(address, "live", &name, chunk_size)?);
        }
        let stream = streams.first().map_or(1, |stream| stream.stream);
        let sender = Sender {
            head: clip
                .head
                .iter()
                .map(|message| chunks(message, stream, chunk_size))
                .collect(),
            frames: clip
                .frames
                .iter()
                .map(|message| (message.timestamp_ms, chunks(message, stream, chunk_size)))
                .collect(),
            length_ms: clip.length_ms,
            streams,
            stop: Arc::clone(&stop),
            shared: Arc::clone(&shared),
        };
        Ok(Self {
            stop,
            shared,
            thread: std::thread::spawn(|| sender.run()),
        })
    }

    /// What was sent so far.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace {
            messages: self.shared.messages.load(Ordering::Relaxed),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            late: Duration::from_micros(self.shared.late_us.load(Ordering::Relaxed)),
        }
    }

    /// Whether one of the streams has failed; [`stop`](Self::stop) tells why.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Closes all connections.
    ///
    /// # Errors
    /// A stream had failed before.
    pub fn stop(self) -> Result {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| Error::new("the publisher panicked"))?
    }
}

impl Pace {
    /// What was sent since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            messages: self.messages - before.messages,
            bytes: self.bytes - before.bytes,
            late: self.late.saturating_sub(before.late),
        }
    }

    /// How late a message was on average.
    #[must_use]
    pub fn mean_late(self) -> Duration {
        self.late / u32::try_from(self.messages.max(1)).unwrap_or(u32::MAX)
    }
}

struct Sender {
    head: Vec<Bytes>,
    /// Each with its timestamp.
    frames: Vec<(u32, Bytes)>,
    length_ms: u32,
    streams: Vec<Connection>,
    stop: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl Sender {
    fn run(mut self) -> Result {
        let begun = Instant::now();
        let count = u32::try_from(self.streams.len()).unwrap_or(u32::MAX).max(1);
        // Keyframes of different streams come at different times.
        let apart = Duration::from_secs(2) / count;
        let mut next = BinaryHeap::with_capacity(self.streams.len());
        for (index, begin) in (0..self.streams.len()).zip(0_u32..) {
            next.push(Reverse((begun + apart * begin, index, 0_usize)));
        }
        let mut listen = begun + LISTEN;
        let mut scratch = Vec::new();
        while let Some(Reverse((due, index, round))) = next.pop() {
            let now = Instant::now();
            if let Some(early) = due.checked_duration_since(now) {
                std::thread::sleep(early);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let late = Instant::now().saturating_duration_since(due);
            self.send(index, round, &mut scratch)?;
            self.count(scratch.len(), late);
            let phase = apart * u32::try_from(index).unwrap_or_default();
            let at = Duration::from_millis(u64::from(self.time(round + 1)));
            next.push(Reverse((begun + phase + at, index, round + 1)));
            if now > listen {
                for stream in &mut self.streams {
                    stream.listen()?;
                }
                listen = now + LISTEN;
            }
        }
        Ok(())
    }

    /// The timestamp of the message that is the `round`th of all.
    fn time(&self, round: usize) -> u32 {
        let rounds = u32::try_from(round / self.frames.len()).unwrap_or_default();
        let time = self.frames.get(round % self.frames.len()).map(|it| it.0);
        rounds * self.length_ms + time.unwrap_or_default()
    }

    fn send(&mut self, index: usize, round: usize, scratch: &mut Vec<u8>) -> Result {
        let time = self.time(round);
        let Some(stream) = self.streams.get_mut(index) else {
            return Ok(());
        };
        if round == 0 {
            for message in &self.head {
                stream.write(message)?;
            }
        }
        let Some((_, frame)) = self.frames.get(round % self.frames.len()) else {
            return Ok(());
        };
        scratch.clear();
        scratch.extend_from_slice(frame);
        // The timestamp stands behind the basic header, in 24 bits: more than
        // four hours.
        let [_, time @ ..] = time.to_be_bytes();
        if let Some(field) = scratch.get_mut(1..4) {
            field.copy_from_slice(&time);
        }
        stream
            .write(scratch)
            .map_err(Error::of(format!("live/bench-{index}")))
    }

    fn count(&self, bytes: usize, late: Duration) {
        let add = |counter: &AtomicU64, value: u128| {
            counter.fetch_add(u64::try_from(value).unwrap_or_default(), Ordering::Relaxed)
        };
        add(&self.shared.messages, 1);
        add(&self.shared.bytes, bytes as u128);
        add(&self.shared.late_us, late.as_micros());
    }
}

/// A message as the wire has it, with the timestamp 0.
fn chunks(message: &clip::Message, stream: u32, chunk_size: u32) -> Bytes {
    let mut writer = Writer::new();
    writer.set_chunk_size(chunk_size);
    let (chunk_stream, kind) = match message.kind {
        TagKind::Video => (VIDEO_CHUNK_STREAM, kind::VIDEO),
        TagKind::Audio => (AUDIO_CHUNK_STREAM, kind::AUDIO),
        _ => (AUDIO_CHUNK_STREAM, kind::DATA_AMF0),
    };
    let message = Message {
        chunk_stream,
        kind,
        stream,
        timestamp: 0,
        body: message.body.clone(),
    };
    let mut bytes = BytesMut::new();
    writer.write(&message, &mut bytes);
    bytes.freeze()
}
