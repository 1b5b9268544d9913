//! The writing end of a stream: what is put on the chain, where readers may
//! join, and how long what was put there is kept.
//!
//! One publisher at a time writes; who may take the writer from it, and how, is
//! in `life.rs`.
//!
//! Times are the stream's age in nanoseconds: a number is compared faster than
//! an instant, and this is done for every frame.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::chain::{BLOCK, BLOCK_BYTES, Block, Entry, FIRST_BLOCK, Spot};
use super::config::BusConfig;
use super::configs::Configs;
use super::memory::Gauge;
use super::qos::{TrackMeter, nanos};
use super::stream::Stream;
use crate::sync::{Arc, Relaxed, Release, Weak};
use keep::Kept;
use limits::Limits;
use track::TrackState;

mod keep;
mod limits;
mod track;

use crate::{Discontinuity, DiscontinuityCause, Frame, MediaKind, ResumePoint, Track, TrackId};

/// A video track that has sent nothing for this long no longer holds up those
/// who would join at the sound.
const QUIET_VIDEO: u64 = 2_000_000_000;

/// In this order in memory, as [`Stream`] is.
#[repr(C)]
pub(crate) struct Writer {
    // For every frame.
    /// The publish in force, or the last one, counted from 1.
    epoch: u64,
    /// That publish may write.
    open: bool,
    /// The GOP cache was dropped since the last put.
    truncated: bool,
    /// The publish began as a continuation, and its first entry must say so.
    pending_break: Option<DiscontinuityCause>,
    /// The places of the first tracks in `tracks`, by the track's number.
    places: [u8; PLACES],
    /// The place of the primary track.
    primary: Option<usize>,
    tracks: Vec<TrackState>,
    /// The block that is written, and how many of its slots are.
    block: Arc<Block>,
    len: usize,
    block_bytes: u64,
    /// Sequence number of the next entry, and number of the next frame.
    seq: u64,
    frames: u64,
    gauge: Arc<Gauge>,
    /// Memory of the kept blocks before the last.
    sealed_bytes: u64,
    /// The GOP behind the join point, if there is one.
    gop: Option<Gop>,
    last_received: Option<Instant>,
    limits: Limits,

    // For blocks, joins and changes.
    /// The blocks that the stream keeps, the one that is written last.
    kept: VecDeque<Kept>,
    /// The block that expired last; its link leads to the first one kept.
    expired: Weak<Block>,
    joined_at: Option<u64>,
    joins_in_epoch: u32,
    configs: Arc<Configs>,
}

/// Tracks with a number below this are found at once.
const PLACES: usize = 16;

/// In [`Writer::places`]: the track is to be looked for.
const UNKNOWN: u8 = u8::MAX;

struct Gop {
    seq: u64,
    frames: u64,
    bytes: u64,
    since: u64,
}

impl Writer {
    pub(crate) fn new(config: &BusConfig, gauge: Arc<Gauge>, age: u64) -> Self {
        let block = Block::new(0, 0, FIRST_BLOCK, &gauge);
        gauge.set_kept(block.charge.bytes());
        Self {
            epoch: 0,
            open: false,
            limits: Limits::new(config),
            gauge,
            kept: VecDeque::from([Kept {
                block: Arc::clone(&block),
                end: 0,
                sealed_at: age,
            }]),
            block,
            len: 0,
            block_bytes: 0,
            seq: 0,
            frames: 0,
            sealed_bytes: 0,
            expired: Weak::new(),
            gop: None,
            joined_at: None,
            joins_in_epoch: 0,
            tracks: Vec::new(),
            places: [UNKNOWN; PLACES],
            primary: None,
            configs: Arc::new(Configs::new()),
            pending_break: None,
            last_received: None,
            truncated: false,
        }
    }

    pub(crate) fn block(&self) -> Arc<Block> {
        Arc::clone(&self.block)
    }

    pub(crate) fn configs(&self) -> Arc<Configs> {
        Arc::clone(&self.configs)
    }

    /// Whether the publish of `epoch` may write.
    #[inline]
    pub(crate) const fn is_of(&self, epoch: u64) -> bool {
        self.open && self.epoch == epoch
    }

    /// Takes the writer from its publisher: another one may follow.
    pub(crate) fn release(&mut self) {
        self.open = false;
        // What nobody will add to is counted to the byte.
        self.block.charge.tell();
    }

    /// Gives the writer to the publish of `epoch`, which continues the stream for `cause`.
    pub(crate) fn attach(
        &mut self,
        config: &BusConfig,
        epoch: u64,
        cause: DiscontinuityCause,
    ) -> Option<ResumePoint> {
        self.epoch = epoch;
        self.open = true;
        self.limits = Limits::new(config);
        self.joins_in_epoch = 0;
        if self.frames > 0 {
            // A publisher that came and went without a word breaks nothing twice.
            self.pending_break.get_or_insert(cause);
        }
        self.tracks
            .iter()
            .filter_map(TrackState::end)
            .max_by_key(|end| end.time)
    }

    /// Puts a frame; whether a discontinuity was put before it.
    #[inline]
    pub(crate) fn put_frame(&mut self, stream: &Stream, frame: Frame, age: u64) -> bool {
        let broke = self.put_break(stream, frame.received);
        let at = self.track_at(stream, frame.track, age);
        // Only keyframes, and frames of the primary track, have one.
        let role = if frame.keyframe || self.primary == Some(at) {
            self.role(at, age)
        } else {
            Role::Other
        };
        let bytes = frame.payload.len();
        let received = frame.received;
        let (epoch, interval) = (self.epoch, self.limits.audio_join_interval);
        let Some(track) = self.tracks.get_mut(at) else {
            return broke;
        };
        track.meter.record(age, bytes, frame.keyframe);
        track.advance(&frame, age, epoch);
        let join = frame.keyframe
            && match role {
                Role::Primary => {
                    track.close_gop(stream, frame.dts);
                    true
                }
                Role::Interval => {
                    self.gop.is_none()
                        || self
                            .joined_at
                            .is_none_or(|at| age.saturating_sub(at) >= interval)
                }
                Role::Other => false,
            };
        if role == Role::Primary {
            track.gop_frames += 1;
        }
        // Data has no keyframes to wait for.
        let dependent = !frame.keyframe && track.kind != Some(MediaKind::Data);
        let special = !track.announced || dependent && !track.is_opened(epoch);
        let entry = Entry::Frame {
            join,
            dependent,
            frame,
        };
        let rolled = self.append(stream, entry, special, age);
        self.frames += 1;
        self.last_received = Some(received);
        stream.set_last_frame(age);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if join {
            self.join(stream, bytes, age);
        } else if let Some(gop) = &mut self.gop {
            gop.frames += 1;
            gop.bytes += bytes;
        }
        self.check_gop(stream, age);
        if rolled {
            self.expire(stream, age);
        }
        broke
    }

    /// The index of the entry that was put last, in `block` from now on.
    #[inline]
    pub(crate) fn last(&self, block: &mut Option<Arc<Block>>) -> usize {
        let is_known = (block.as_ref()).is_some_and(|known| Arc::ptr_eq(known, &self.block));
        if !is_known {
            *block = Some(self.block());
        }
        self.len.saturating_sub(1)
    }

    /// Whether the GOP cache was dropped since the last call.
    pub(crate) fn take_truncated(&mut self) -> bool {
        std::mem::take(&mut self.truncated)
    }

    /// Puts a configuration; false if it is the one in force.
    pub(crate) fn put_track(&mut self, stream: &Stream, track: Track, age: u64) -> bool {
        let at = self.track_at(stream, track.id, age);
        let epoch = self.epoch;
        let (kind, timescale) = (track.kind(), track.timescale);
        if let Some(state) = self.tracks.get_mut(at) {
            state.epoch = epoch;
            state.alive_at = age;
            state.kind = Some(kind);
            state.announced = true;
            state.timescale = Some(timescale);
        }
        if self.configs.get(track.id).is_some_and(|old| **old == track) {
            return false;
        }
        self.put_break(stream, stream.at(age));
        let track = Arc::new(track);
        self.configs = Arc::new(self.configs.with(&track));
        self.find_primary();
        // Before the entry: who joins in between is given the configuration at
        // the join, and passes over the entry by its version.
        self.store_configs(stream);
        let version = self.configs.version;
        if self.append(stream, Entry::Track { track, version }, true, age) {
            self.expire(stream, age);
        }
        true
    }

    pub(crate) fn put_discontinuity(
        &mut self,
        stream: &Stream,
        mut discontinuity: Discontinuity,
        age: u64,
    ) {
        if let Some(cause) = self.pending_break.take() {
            // The publisher speaks of the break that the bus would have told
            // of: readers see one.
            discontinuity.cause = cause;
            if discontinuity.missing.is_zero() {
                discontinuity.missing = self.silence(stream.at(age));
            }
        }
        self.append_discontinuity(stream, discontinuity, age);
    }

    /// Ends the stream. What was put stays readable until [`Writer::clear`].
    pub(crate) fn end(&mut self, stream: &Stream) {
        self.release();
        // While the writer is held: no frame is put after a reader saw this.
        stream.closed.store(true, Release);
    }

    /// Bytes that the stream keeps for its readers.
    fn kept_bytes(&self) -> u64 {
        self.sealed_bytes + self.block.charge.bytes()
    }

    /// The place of the track of `id`, made at its first mention.
    #[inline]
    fn track_at(&mut self, stream: &Stream, id: TrackId, age: u64) -> usize {
        match self.places.get(usize::from(id.0)) {
            Some(at) if *at != UNKNOWN => usize::from(*at),
            _ => self.find_track(stream, id, age),
        }
    }

    fn find_track(&mut self, stream: &Stream, id: TrackId, age: u64) -> usize {
        if let Some(at) = self.tracks.iter().position(|track| track.id == id) {
            return at;
        }
        let meter = Arc::new(TrackMeter::new(id, age));
        stream.add_meter(&meter);
        self.tracks
            .push(TrackState::new(id, meter, self.epoch, age));
        self.find_primary();
        let at = self.tracks.len() - 1;
        if let (Some(place), Ok(at)) = (self.places.get_mut(usize::from(id.0)), u8::try_from(at)) {
            *place = at;
        }
        at
    }

    /// Finds the primary track anew, after tracks or configurations have changed.
    fn find_primary(&mut self) {
        self.primary = match self.configs.primary() {
            Some(primary) => self.tracks.iter().position(|track| track.id == primary.id),
            // Nobody said what the tracks are: what comes first is taken for pictures.
            None => self.tracks.iter().position(|track| track.kind.is_none()),
        };
    }

    /// What a keyframe of the track at `at` means to readers that join.
    fn role(&self, at: usize, age: u64) -> Role {
        let Some(track) = self.tracks.get(at) else {
            return Role::Other;
        };
        let primary = self.primary.and_then(|primary| self.tracks.get(primary));
        match primary {
            Some(primary) if primary.id == track.id => Role::Primary,
            Some(primary)
                if track.kind == Some(MediaKind::Audio)
                    && age.saturating_sub(primary.alive_at) >= QUIET_VIDEO =>
            {
                Role::Interval
            }
            Some(_) => Role::Other,
            None => Role::Interval,
        }
    }

    /// Makes the frame that was just put the join point.
    fn join(&mut self, stream: &Stream, bytes: u64, age: u64) {
        self.joins_in_epoch = self.joins_in_epoch.saturating_add(1);
        if self.joins_in_epoch == 2 {
            self.drop_stale_tracks(stream);
        }
        self.joined_at = Some(age);
        stream.keyframe_came();
        if self.limits.gop_frames == 0 {
            return;
        }
        self.gop = Some(Gop {
            seq: self.seq - 1,
            frames: 1,
            bytes,
            since: age,
        });
        let point = Spot {
            block: Arc::downgrade(&self.block),
            index: self.len - 1,
            seq: self.seq - 1,
            frames: self.frames - 1,
        };
        stream.store_join(Some(point), &self.configs);
    }

    /// A track of an earlier publish that this one has not mentioned within a
    /// whole GOP is gone: who joins from now on need not wait for it.
    fn drop_stale_tracks(&mut self, stream: &Stream) {
        let gone = |id| {
            let track = self.tracks.iter().find(|track| track.id == id);
            track.is_some_and(|track| track.epoch != self.epoch)
        };
        if self.configs.tracks.iter().any(|track| gone(track.id)) {
            self.configs = Arc::new(self.configs.retain(self.seq - 1, |id| !gone(id)));
            let epoch = self.epoch;
            for track in self.tracks.iter_mut().filter(|track| track.epoch != epoch) {
                track.announced = false;
            }
            self.find_primary();
            self.store_configs(stream);
        }
    }

    fn store_configs(&self, stream: &Stream) {
        stream.store_configs(&self.configs);
        if self.gop.is_none() {
            stream.store_join(None, &self.configs);
        }
    }

    /// Drops the cache of a GOP that has outgrown its bounds.
    fn check_gop(&mut self, stream: &Stream, age: u64) {
        let limits = &self.limits;
        let outgrown = self.gop.as_ref().is_some_and(|gop| {
            gop.frames > limits.gop_frames
                || gop.bytes > limits.gop_bytes
                || age.saturating_sub(gop.since) > limits.gop_age
        });
        if outgrown {
            self.drop_gop(stream);
        }
    }

    fn drop_gop(&mut self, stream: &Stream) {
        self.gop = None;
        self.truncated = true;
        stream.store_join(None, &self.configs);
        stream.counters.gop_truncated.fetch_add(1, Relaxed);
    }

    /// Tells of the break before the first entry of a publish that continues
    /// the stream, so that its length is known; whether there was one to tell of.
    fn put_break(&mut self, stream: &Stream, at: Instant) -> bool {
        let Some(cause) = self.pending_break.take() else {
            return false;
        };
        let missing = self.silence(at);
        let age = nanos(stream.age(at));
        self.append_discontinuity(stream, Discontinuity::new(cause, missing), age);
        true
    }

    fn append_discontinuity(&mut self, stream: &Stream, discontinuity: Discontinuity, age: u64) {
        stream.counters.discontinuities.fetch_add(1, Relaxed);
        if self.append(stream, Entry::Discontinuity(discontinuity), true, age) {
            self.expire(stream, age);
        }
    }

    /// Time between the last frame's arrival and `at`.
    fn silence(&self, at: Instant) -> Duration {
        self.last_received
            .map_or(Duration::ZERO, |last| at.saturating_duration_since(last))
    }

    /// Puts an entry at the end of the chain; whether that took a new block.
    #[expect(clippy::inline_always, reason = "an entry is built where it stays")]
    #[inline(always)]
    fn append(&mut self, stream: &Stream, entry: Entry, special: bool, age: u64) -> bool {
        let bytes = entry.bytes();
        let full = self.len >= self.block.capacity()
            || self.len > 0 && self.block_bytes.saturating_add(bytes) > BLOCK_BYTES;
        if full {
            self.append_block(stream, entry, special, age);
        } else {
            self.block.set(self.len, entry, special);
        }
        self.len += 1;
        self.block_bytes = self.block_bytes.saturating_add(bytes);
        self.seq += 1;
        stream.set_published(self.seq);
        self.gauge.set_kept(self.kept_bytes());
        full
    }

    /// Links a new block to the one that is written, with `entry` as its first.
    #[cold]
    fn append_block(&mut self, stream: &Stream, entry: Entry, special: bool, age: u64) {
        self.block.charge.tell();
        let next = Block::new(self.seq, self.frames, BLOCK, &self.gauge);
        next.set(0, entry, special);
        self.block.seal(self.len, Arc::clone(&next));
        stream.head.store(Arc::clone(&next));
        self.sealed_bytes += self.block.charge.bytes();
        if let Some(sealed) = self.kept.back_mut() {
            sealed.end = self.seq;
            sealed.sealed_at = age;
        }
        self.kept.push_back(Kept {
            block: Arc::clone(&next),
            end: 0,
            sealed_at: age,
        });
        self.block = next;
        (self.len, self.block_bytes) = (0, 0);
    }
}

/// What a keyframe of a track means to readers that join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Every one of them is a join point.
    Primary,
    /// Some are, at intervals.
    Interval,
    /// None is.
    Other,
}
