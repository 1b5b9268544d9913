//! Publishers of 50 Mb/s, and readers that never read on: what the bus says that
//! it holds, and what the system says that the process does.

use std::fs;
use std::time::Instant;

use bytes::Bytes;
use rillcast_bench::{Error, Result};
use rillcast_core::{
    BusConfig, ByteSize, Codec, Frame, MediaParams, PublishRequest, Recv, Registry, RegistryConfig,
    StreamKey, Timescale, Track, TrackId, VideoParams,
};
use tokio::runtime::Builder;

const STREAMS: usize = 4;

/// Two minutes of each stream, at 60 frames a second.
const FRAMES: usize = 2 * 60 * 60;

/// Bytes of a frame at 50 Mb/s, a keyframe counting as ten others.
const FRAME: usize = 50_000_000 / 8 / 60 * GOP / (GOP + 9);
const KEYFRAME: usize = 10 * FRAME;

/// Two seconds.
const GOP: usize = 120;

/// Readers of each stream: one comes with each of the first frames.
const READERS: usize = 2_500;

/// What all streams may keep: less than four times what each may.
const BUDGET: u64 = 160 << 20;

/// A block that is being filled, at most: half a megabyte, or one frame.
const BLOCK: u64 = 1_600_000;

pub(crate) fn run() -> Result {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::of("a runtime"))?;
    let inside = runtime.enter();
    let bus = BusConfig::default();
    let before = resident();
    let registry = Registry::new(RegistryConfig::default().with_memory(ByteSize(BUDGET)));
    let mut publishers = Vec::new();
    for number in 0..STREAMS {
        let key = format!("live/{number}");
        let key = StreamKey::parse(&key).map_err(Error::of(key))?;
        let request = PublishRequest::new(key, "stress").with_bus(bus.clone());
        let mut publisher = registry
            .publish(request)
            .map_err(Error::of("a publisher"))?;
        let params = MediaParams::Video(VideoParams::new(3_840, 2_160));
        let track = Track::new(TrackId(0), Codec::new(*b"avc1"), Timescale::VIDEO, params);
        publisher
            .publish_track(track)
            .map_err(Error::of("a publisher"))?;
        publishers.push((publisher.handle(), publisher, Vec::new()));
    }
    let (mut kept, mut pinned, mut used, mut most_resident) = (0, 0, 0, 0);
    let begin = Instant::now();
    for number in 0..FRAMES {
        for (handle, publisher, readers) in &mut publishers {
            let keyframe = number % GOP == 0;
            let bytes = if keyframe { KEYFRAME } else { FRAME };
            let payload = Bytes::from(vec![number.to_le_bytes()[0]; bytes]);
            let dts = i64::try_from(number).unwrap_or(0) * 1_500;
            let frame = Frame::new(TrackId(0), dts, Instant::now(), payload);
            publisher
                .publish_frame(frame.with_keyframe(keyframe))
                .map_err(Error::of("a publisher"))?;
            // Each reads one frame, each another one, and then nothing.
            if readers.len() < READERS {
                let mut reader = handle.subscribe_resilient();
                while let Some(recv) = reader.try_recv() {
                    if matches!(recv, Recv::Frame(_)) {
                        break;
                    }
                }
                readers.push(reader);
            }
            let memory = handle.memory();
            (kept, pinned) = (memory.kept.max(kept), memory.pinned.max(pinned));
        }
        used = registry.memory().used.max(used);
        if number % 60 == 0 {
            most_resident = resident().unwrap_or(0).max(most_resident);
        }
    }
    let grown = before.map(|before| most_resident.saturating_sub(before));
    println!(
        "Memory: {STREAMS} streams of 50 Mb/s, {} s of each in {:.1} s, {} readers that stand still: \
         at most {kept} bytes kept and {pinned} pinned by a stream, {used} in all; the process grew by {}.",
        FRAMES / 60,
        begin.elapsed().as_secs_f64(),
        STREAMS * READERS,
        grown.map_or_else(
            || "what cannot be told here".to_owned(),
            |it| it.to_string()
        ),
    );
    let streams = u64::try_from(STREAMS).unwrap_or(0);
    let all = BUDGET + streams * (bus.pinned_limit.0 + 2 * BLOCK);
    // What the allocator does not give back at once comes on top.
    let process = all + all / 4 + (16 << 20);
    for (what, seen, most) in [
        ("a stream keeps", kept, bus.memory.0 + BLOCK),
        ("a stream's readers pin", pinned, bus.pinned_limit.0 + BLOCK),
        ("all streams hold", used, all),
        ("the process grew by", grown.unwrap_or(0), process),
    ] {
        if seen > most {
            return Err(Error::new(format!(
                "{what} {seen} bytes, and {most} are the most"
            )));
        }
    }
    for (handle, publisher, mut readers) in publishers {
        publisher.finish();
        for reader in &mut readers {
            while reader
                .try_recv()
                .is_some_and(|it| !matches!(it, Recv::Ended))
            {}
        }
        drop((handle, readers));
    }
    // The streams' own tasks hold them until they run, or go.
    drop(inside);
    drop(runtime);
    let used = registry.memory().used;
    if used > 0 {
        return Err(Error::new(format!(
            "{used} bytes are still held after all streams have ended"
        )));
    }
    Ok(())
}

/// Bytes of this process in memory, if the system tells.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = (status.lines()).find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}
