//! A publisher that writes into every picture when it was sent.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rillcast_media::flv::file::{Reader, Tag, TagKind};

use crate::Result;

/// A clip that can be repeated without a seam.
#[derive(Clone)]
pub(crate) struct Clip {
    configurations: Arc<[Tag]>,
    frames: Arc<[Tag]>,
    length_ms: u32,
    /// The longest time between two pictures, in milliseconds.
    pub(crate) longest_step: u32,
}

impl Clip {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new();
        reader.push(bytes);
        let (mut configurations, mut frames) = (Vec::new(), Vec::new());
        while let Some(tag) = reader.next_tag()? {
            match (tag.kind, tag.body.get(1)) {
                (TagKind::Audio | TagKind::Video, Some(0)) => configurations.push(tag),
                (TagKind::Audio | TagKind::Video, Some(1)) => frames.push(tag),
                _ => {}
            }
        }
        let pictures = frames.iter().filter(|tag| tag.kind == TagKind::Video);
        let times: Vec<u32> = pictures.map(|tag| tag.timestamp_ms).collect();
        let steps = times.windows(2).filter_map(|pair| match pair {
            [one, next] => next.checked_sub(*one),
            _ => None,
        });
        let longest_step = steps.max().ok_or("a clip needs two pictures")?;
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            return Err("a clip needs pictures".into());
        };
        Ok(Self {
            length_ms: last - first + longest_step,
            configurations: configurations.into(),
            frames: frames.into(),
            longest_step,
        })
    }

    pub(crate) fn pictures_per_second(&self) -> u64 {
        u64::from(1_000 / self.longest_step.max(1))
    }
}

/// Publishes until it is stopped.
pub(crate) struct Publisher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Publisher {
    pub(crate) fn start(address: SocketAddr, clip: Clip) -> Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || publish(&mut socket, &clip, &stopping));
        Ok(Self { stop, thread })
    }

    pub(crate) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join().map_err(|_| "the publisher panicked")?;
        Ok(ended?)
    }
}

fn publish(socket: &mut TcpStream, clip: &Clip, stop: &AtomicBool) -> std::io::Result<()> {
    let mut bytes = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    for tag in clip.configurations.iter() {
        put(&mut bytes, tag, 0, &tag.body);
    }
    socket.write_all(&bytes)?;
    let begun = Instant::now();
    for round in 0.. {
        for tag in clip.frames.iter() {
            let at = round * clip.length_ms + tag.timestamp_ms;
            let due = begun + Duration::from_millis(u64::from(at));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            bytes.clear();
            match tag.body.split_at_checked(5) {
                Some((head, payload)) if tag.kind == TagKind::Video => {
                    put(&mut bytes, tag, at, &[head, &stamp(), payload].concat());
                }
                _ => put(&mut bytes, tag, at, &tag.body),
            }
            socket.write_all(&bytes)?;
        }
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, tag: &Tag, timestamp: u32, body: &[u8]) {
    let kind: u32 = if tag.kind == TagKind::Video { 9 } else { 8 };
    let size = u32::try_from(body.len()).unwrap_or_default();
    out.extend(((kind << 24) | size).to_be_bytes());
    out.extend(timestamp.rotate_left(8).to_be_bytes());
    out.extend([0; 3]);
    out.extend(body);
    out.extend((size + 11).to_be_bytes());
}

/// A NAL unit of supplemental information: sixteen bytes that name it and the
/// time in hexadecimal digits, which need no escapes.
fn stamp() -> [u8; 40] {
    let mut unit = [b'-'; 40];
    let text = format!("{:016x}", since_start().as_nanos());
    let head = [0, 0, 0, 36, 6, 5, 32];
    for (to, from) in unit.iter_mut().zip(head) {
        *to = from;
    }
    for (to, from) in unit.iter_mut().skip(TEXT).zip(text.bytes()) {
        *to = from;
    }
    if let Some(last) = unit.last_mut() {
        *last = 0x80;
    }
    unit
}

/// Where the time stands in the unit.
const TEXT: usize = 7 + 16;

/// How long ago the picture was sent whose tag's body begins so.
pub(crate) fn age(body: &[u8]) -> Option<Duration> {
    let text = body.get(5 + TEXT..5 + TEXT + 16)?;
    let nanos = u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()?;
    since_start().checked_sub(Duration::from_nanos(nanos))
}

/// Publisher and viewers are one process and have one clock.
fn since_start() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}
