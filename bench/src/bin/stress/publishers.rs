//! Who publishes: one task for each stream, which lives through all that
//! publishers do. They leave and come back, take over from each other, fall
//! silent, finish, are kicked, do not come back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rillcast_bench::Chance;
use rillcast_core::{
    AudioParams, BusConfig, ByteSize, CloseReason, Closed, Codec, Discontinuity,
    DiscontinuityCause, Frame, HumanDuration, MediaParams, PublishRequest, Publisher, StreamKey,
    Takeover, Timescale, Track, TrackId, VideoParams,
};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::checker::Check;
use crate::life::{AUDIO, Life, Shape, Stamp, TRACKS, VIDEO};
use crate::world::World;

/// Publishes on the stream of `key` until the world ends.
pub(crate) async fn run(world: Arc<World>, key: StreamKey, chance: Chance) {
    let mut chance = chance;
    let mut begun = None;
    while !world.is_over() {
        let done = one_life(&world, &key, &mut chance, begun.take()).await;
        match done {
            Ok(next) => begun = next,
            Err(violation) => world.violated(violation),
        }
    }
}

/// How long a publisher may be away.
const GRACE: Duration = Duration::from_millis(300);

/// How long it may be silent.
const IDLE: Duration = Duration::from_millis(600);

/// Nothing takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

fn request(key: &StreamKey, chance: &mut Chance) -> PublishRequest {
    let one = |chance: &mut Chance, list: &[u64]| chance.of(list).copied().unwrap_or_default();
    let bus = BusConfig {
        reconnect_grace: HumanDuration(GRACE),
        takeover: Takeover::Replace,
        gop_cache: one(chance, &[0, 40, 4_096, 4_096, 4_096]),
        lag_frames: one(chance, &[1, 64, 1_000]),
        memory: ByteSize::mib(one(chance, &[1, 8])),
        pinned_limit: ByteSize(one(chance, &[0, 64 << 10, 1 << 20])),
        ..BusConfig::default()
    };
    PublishRequest::new(key.clone(), "stress")
        .with_bus(bus)
        .with_idle_timeout(Some(IDLE))
}

/// A life of a stream, and the publisher of the next one where that began at once.
async fn one_life(
    world: &Arc<World>,
    key: &StreamKey,
    chance: &mut Chance,
    begun: Option<Publisher>,
) -> Result<Option<Publisher>, String> {
    let request = request(key, chance);
    let publish = || {
        let publisher = world.registry.publish(request.clone());
        publisher.map_err(|error| format!("a publisher of {key} was refused: {error}"))
    };
    let publisher = match begun {
        Some(publisher) => publisher,
        None => publish()?,
    };
    let handle = publisher.handle();
    let shape = Shape {
        gop: chance.of(&[0, 1, 10, 40, 400]).copied().unwrap_or(10),
        second_gop: 20,
    };
    let id = world.totals.lives.fetch_add(1, Ordering::Relaxed);
    let life = handle.slot(|| Life::new(id, shape));
    let mut script = Script::new(Arc::clone(&life), chance.next());
    let mut publisher = Some(publisher);
    let mut next_life = None;
    let reason = loop {
        let Some(mut current) = publisher.take() else {
            break handle.ended().await;
        };
        let frames = chance.below(6_000);
        if let Err(closed) = script.publish(world, &mut current, frames).await {
            // Nobody else ends a stream here, unless it was silent for too long.
            if closed.reason != CloseReason::Idle {
                return Err(format!("a publisher of {key} was closed: {closed}"));
            }
            break closed.reason;
        }
        let ends = world.is_over();
        let totals = &world.totals;
        match if ends { 10 } else { chance.below(14) } {
            0..=2 => {
                totals.returns.fetch_add(1, Ordering::Relaxed);
                drop(current);
                if chance.below(2) == 0 {
                    sleep(Duration::from_millis(chance.next() % 30)).await;
                }
                publisher = Some(publish()?);
            }
            3..=5 => {
                totals.takeovers.fetch_add(1, Ordering::Relaxed);
                let old = tokio::spawn(script.until_closed(Arc::clone(world), current));
                for _ in 0..chance.below(40) {
                    yield_now().await;
                }
                let new = publish()?;
                let (back, old, closed) = old.await.map_err(|error| error.to_string())?;
                script = back;
                if closed.reason != CloseReason::TakenOver {
                    return Err(format!(
                        "a publisher of {key} that was taken over is told `{closed}`"
                    ));
                }
                publisher = Some(new);
                // Its late end must not end its successor.
                match chance.below(3) {
                    0 => drop(old),
                    1 => old.finish(),
                    _ => {
                        tokio::spawn(async move {
                            sleep(Duration::from_millis(5)).await;
                            drop(old);
                        });
                    }
                }
            }
            6..=9 => {
                totals.silences.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(20 + chance.next() % 130)).await;
                publisher = Some(current);
            }
            10 => {
                current.finish();
                break CloseReason::Finished;
            }
            11 => {
                totals.kicks.fetch_add(1, Ordering::Relaxed);
                let old = tokio::spawn(script.until_closed(Arc::clone(world), current));
                for _ in 0..chance.below(40) {
                    yield_now().await;
                }
                handle.close(CloseReason::Kicked);
                let (back, ..) = old.await.map_err(|error| error.to_string())?;
                script = back;
                break CloseReason::Kicked;
            }
            12 => {
                totals.abandoned.fetch_add(1, Ordering::Relaxed);
                drop(current);
                break handle.ended().await;
            }
            _ => {
                totals.reaped.fetch_add(1, Ordering::Relaxed);
                let reason = current.closed().await;
                drop(current);
                break reason;
            }
        }
        // Away for longer than the grace, on a machine that is busy elsewhere.
        if let Some(new) = publisher.take_if(|new| !new.handle().same_stream(&handle)) {
            next_life = Some(new);
            break handle.ended().await;
        }
    };
    life.over(script.number, reason)?;
    Ok(next_life)
}

/// What comes next in a life, whoever publishes it.
struct Script {
    life: Arc<Life>,
    chance: Chance,
    /// The epoch of the publish that this was in last, and whether it put anything.
    epoch: u64,
    began: bool,
    number: u64,
    turn: u64,
    turn_start: u64,
    breaks: u64,
}

impl Script {
    fn new(life: Arc<Life>, seed: u64) -> Self {
        Self {
            life,
            chance: Chance::new(seed),
            epoch: 0,
            began: false,
            number: 0,
            turn: 0,
            turn_start: 0,
            breaks: 0,
        }
    }

    /// Publishes so many frames, in rows of any length.
    async fn publish(
        &mut self,
        world: &World,
        publisher: &mut Publisher,
        frames: usize,
    ) -> Result<(), Closed> {
        let mut left = frames;
        while left > 0 && !world.is_over() {
            let row = (1 + self.chance.below(240)).min(left);
            left -= row;
            for _ in 0..row {
                self.put(publisher)?;
            }
            world
                .totals
                .published
                .fetch_add(u64::try_from(row).unwrap_or(u64::MAX), Ordering::Relaxed);
            match self.chance.below(8) {
                0..=3 => yield_now().await,
                4..=6 => sleep(Duration::from_millis(1)).await,
                _ => sleep(Duration::from_millis(self.chance.next() % 12)).await,
            }
        }
        Ok(())
    }

    /// Publishes until that is refused, at full speed.
    async fn until_closed(
        mut self,
        world: Arc<World>,
        mut publisher: Publisher,
    ) -> (Self, Publisher, Closed) {
        let begin = Instant::now();
        loop {
            if let Err(closed) = self.put(&mut publisher) {
                return (self, publisher, closed);
            }
            world.totals.published.fetch_add(1, Ordering::Relaxed);
            if self.number.is_multiple_of(16) {
                if begin.elapsed() > PATIENCE {
                    world.violated("a publisher can go on that was taken over".to_owned());
                }
                yield_now().await;
            }
        }
    }

    /// Publishes the next frame, with what has to come before it.
    fn put(&mut self, publisher: &mut Publisher) -> Result<(), Closed> {
        let (number, shape) = (self.number, self.life.shape);
        if self.epoch != publisher.epoch() {
            self.epoch = publisher.epoch();
            self.began = false;
            for track in TRACKS {
                if shape.has_video() || track == AUDIO {
                    let version = self.version(track);
                    let put = publisher.publish_track(configured(track, version))?;
                    self.begin(put);
                }
            }
        }
        let track = shape.track(number);
        let put = publisher.publish_track(configured(track, shape.config(number)))?;
        self.begin(put);
        if self.began && Shape::breaks(number) {
            let gap = Discontinuity::new(DiscontinuityCause::Gap, Duration::ZERO);
            publisher.publish_discontinuity(gap)?;
            self.breaks += 1;
        }
        let mut stamp = Stamp {
            life: self.life.id,
            number,
            turn: self.turn,
            turn_start: self.turn_start,
            breaks: self.breaks,
        };
        if !self.began {
            (stamp.turn, stamp.turn_start) = (self.turn + 1, number);
            stamp.breaks += u64::from(number > 0);
        }
        let bytes = match self.chance.below(50) {
            0 => self.chance.below(60_000),
            _ => self.chance.below(1_000),
        };
        let mut payload = Vec::with_capacity(Stamp::BYTES + bytes);
        stamp.write(&mut payload);
        payload.resize(Stamp::BYTES + bytes, 0);
        let dts = i64::try_from(number).unwrap_or(0) * 1_000;
        let frame = Frame::new(track, dts, Instant::now(), Bytes::from(payload))
            .with_keyframe(shape.keyframe(number));
        publisher.publish_frame(frame)?;
        self.begin(true);
        self.life.was_published(number);
        self.number += 1;
        Ok(())
    }

    /// Something was put: the first thing of a publish that continues the stream
    /// has a break before it.
    fn begin(&mut self, put: bool) {
        if put && !self.began {
            self.began = true;
            self.turn += 1;
            self.turn_start = self.number;
            self.breaks += u64::from(self.number > 0);
        }
    }

    /// The version in force of a track's configuration.
    fn version(&self, track: TrackId) -> u64 {
        let shape = self.life.shape;
        // Its last frame is among the last three.
        let numbers = self.number.saturating_sub(3)..self.number;
        let mut of_track = numbers.rev().filter(|number| shape.track(*number) == track);
        of_track.next().map_or(0, |number| shape.config(number))
    }
}

fn configured(track: TrackId, version: u64) -> Track {
    let sound = Timescale::new(48_000).unwrap_or(Timescale::VIDEO);
    let track = if track == AUDIO {
        let params = MediaParams::Audio(AudioParams::new(48_000, 2));
        Track::new(track, Codec::new(*b"mp4a"), sound, params)
    } else {
        let width = if track == VIDEO { 1_280 } else { 640 };
        let params = MediaParams::Video(VideoParams::new(width, 720));
        Track::new(track, Codec::new(*b"avc1"), Timescale::VIDEO, params)
    };
    track.with_config(Bytes::copy_from_slice(&version.to_be_bytes()))
}

/// Whether a stream keeps to its bounds, but for what readers hold in their hands.
pub(crate) fn within_bounds(kept: u64, pinned: u64, holding: u64) -> Check {
    // The largest bounds of `request`, and a block of each that is being filled.
    const BLOCK: u64 = 640 << 10;
    let (most_kept, most_pinned) = ((8 << 20) + BLOCK, (1 << 20) + (holding + 1) * BLOCK);
    if kept > most_kept {
        return Err(format!(
            "a stream keeps {kept} bytes, and may keep {most_kept}"
        ));
    }
    if pinned > most_pinned {
        return Err(format!(
            "{holding} readers that hold frames pin {pinned} bytes of a stream, and may pin {most_pinned}"
        ));
    }
    Ok(())
}
