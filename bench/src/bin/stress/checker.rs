//! What one reader may see next, whichever way it reads.

use std::sync::Arc;

use rillcast_core::{Discontinuity, Frame, JoinAt, StreamHandle, SubscriptionEnd, Track, TrackId};

use crate::life::{Arrival, Life, Stamp};

/// A violated invariant, in one sentence.
pub(crate) type Check = Result<(), String>;

/// What a reader has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) frames: u64,
    pub(crate) lags: u64,
    pub(crate) skipped: u64,
    pub(crate) breaks: u64,
    pub(crate) left_out: u64,
    pub(crate) ended: u64,
    pub(crate) evicted: u64,
}

pub(crate) struct Checker {
    who: Arc<str>,
    life: Arc<Life>,
    resilient: bool,
    /// Where it joined, and before what its first frame must not lie. It may lie
    /// behind that: who has read nothing yet has missed nothing.
    at: JoinAt,
    earliest: u64,
    last: Option<Stamp>,
    /// The frame that comes next if none is missing.
    next: u64,
    /// Frames that the last lag skipped, if nothing was read since.
    lag: Option<u64>,
    /// Breaks since the last frame.
    breaks: u64,
    /// Tracks of which a keyframe was read in this turn.
    open: Vec<TrackId>,
    configs: Vec<(TrackId, u64)>,
    pub(crate) seen: Seen,
}

impl Checker {
    /// One for a reader that is about to join: `join` makes its subscription.
    pub(crate) fn join<T>(
        who: Arc<str>,
        handle: &StreamHandle,
        life: Arc<Life>,
        at: JoinAt,
        resilient: bool,
        join: impl FnOnce(&StreamHandle) -> T,
    ) -> (Self, T) {
        let earliest = life.last_join().unwrap_or(0);
        let joined = join(handle);
        let checker = Self {
            who,
            life,
            resilient,
            at,
            earliest,
            last: None,
            next: 0,
            lag: None,
            breaks: 0,
            open: Vec::new(),
            configs: Vec::new(),
            seen: Seen::default(),
        };
        (checker, joined)
    }

    pub(crate) fn track(&mut self, track: &Track) -> Check {
        let version = <[u8; 8]>::try_from(&*track.config).map(u64::from_be_bytes);
        let Ok(version) = version else {
            return self.fault(format!(
                "got a configuration of track {:?} that nobody made",
                track.id
            ));
        };
        self.configs.retain(|(id, _)| *id != track.id);
        self.configs.push((track.id, version));
        Ok(())
    }

    pub(crate) fn discontinuity(&mut self, _: Discontinuity) -> Check {
        self.breaks += 1;
        self.seen.breaks += 1;
        Ok(())
    }

    pub(crate) fn lagged(&mut self, skipped: u64) -> Check {
        self.seen.lags += 1;
        self.seen.skipped += skipped;
        *self.lag.get_or_insert(0) += skipped;
        Ok(())
    }

    pub(crate) fn frame(&mut self, frame: &Frame) -> Check {
        let Some(stamp) = Stamp::read(frame) else {
            return self.fault("got a frame that nobody made".to_owned());
        };
        let (number, shape) = (stamp.number, self.life.shape);
        if stamp.life != self.life.id {
            return self.fault(format!("got frame {number} of another stream"));
        }
        if (frame.track, frame.keyframe) != (shape.track(number), shape.keyframe(number)) {
            return self.fault(format!("got frame {number} as something else"));
        }
        match self.last {
            None => self.first(number)?,
            Some(last) => self.further(&last, &stamp)?,
        }
        let config = self.configs.iter().find(|(id, _)| *id == frame.track);
        let config = config.map(|(_, version)| *version);
        // Who joins live is told nothing of what was before.
        let unknown = config.is_none() && self.at == JoinAt::Live;
        if !unknown && config != Some(shape.config(number)) {
            return self.fault(format!(
                "got frame {number} with configuration {config:?} instead of {}",
                shape.config(number)
            ));
        }
        if self.last.is_some_and(|last| last.turn != stamp.turn) {
            self.open.clear();
        }
        if frame.keyframe && !self.open.contains(&frame.track) {
            self.open.push(frame.track);
        }
        if self.resilient && !self.open.contains(&frame.track) {
            return self.fault(format!("got frame {number} and cannot decode it"));
        }
        (self.last, self.next, self.lag, self.breaks) = (Some(stamp), number + 1, None, 0);
        self.seen.frames += 1;
        Ok(())
    }

    /// Whether reading may start at a frame.
    fn first(&mut self, number: u64) -> Check {
        if self.at != JoinAt::Keyframe || self.lag.is_some() {
            return Ok(());
        }
        if !self.life.shape.joins(number) {
            return self.fault(format!("started at frame {number}, which is no keyframe"));
        }
        // Without pictures, who joins does so at intervals.
        let shape = self.life.shape;
        if shape.has_video() && number < self.earliest {
            let earliest = self.earliest;
            return self.fault(format!(
                "started at frame {number}, and the GOP began at {earliest}"
            ));
        }
        Ok(())
    }

    fn further(&mut self, last: &Stamp, stamp: &Stamp) -> Check {
        let number = stamp.number;
        let next = self.next + self.lag.unwrap_or(0);
        if number < next {
            return self.fault(format!("got frame {number} where {next} was to come"));
        }
        let expected = stamp.breaks - last.breaks;
        let breaks = self.breaks;
        if self.lag.is_none() && breaks != expected || breaks > expected {
            return self.fault(format!(
                "saw {breaks} breaks of {expected} between the frames {} and {number}",
                last.number
            ));
        }
        // A lag counts what was left out behind it; what was left out before is
        // right behind the last frame.
        let left_out = number - next;
        if left_out > 0 {
            let own = if stamp.turn == last.turn {
                u64::MAX
            } else if stamp.turn == last.turn + 1 {
                stamp.turn_start
            } else {
                self.next
            };
            self.may_leave_out(self.next..self.next + left_out, own)?;
            self.seen.left_out += left_out;
        }
        if self.lag.is_some() {
            if self.resilient && !self.life.shape.joins(number) {
                return self.fault(format!(
                    "went on after a lag at frame {number}, which is no keyframe"
                ));
            }
            self.open.clear();
        }
        Ok(())
    }

    /// Whether all of `range` may be left out. Below `own` they are of the
    /// publish of which this reader knows keyframes.
    fn may_leave_out(&self, range: std::ops::Range<u64>, own: u64) -> Check {
        let (shape, end) = (self.life.shape, range.end);
        let must = |number: &u64| {
            let known = *number < own && self.open.contains(&shape.track(*number));
            !self.resilient || shape.keyframe(*number) || known
        };
        let mut range = range;
        match range.find(must) {
            Some(number) => {
                let next = self.next;
                let lag = self.lag.map_or_else(String::new, |lag| {
                    format!(" and was told of {lag} that it missed")
                });
                self.fault(format!(
                    "did not get frame {number}: it waited for {next}, got {end}{lag}"
                ))
            }
            None => Ok(()),
        }
    }

    /// The end of the stream, or of this subscription.
    pub(crate) fn ended(&mut self, end: Option<SubscriptionEnd>, dropped: Option<u64>) -> Check {
        if let Some(dropped) = dropped
            && dropped != self.seen.skipped
        {
            let told = self.seen.skipped;
            return self.fault(format!(
                "was told of {told} frames that it missed, and counts {dropped}"
            ));
        }
        self.seen.ended = 1;
        let reason = match end {
            Some(SubscriptionEnd::Closed(reason)) => Some(reason),
            Some(_) => {
                self.seen.evicted = 1;
                return Ok(());
            }
            None => None,
        };
        let next = self.last.map(|_| self.next + self.lag.unwrap_or(0));
        // What a reader cannot decode it was not given: right behind the last frame
        // that it read, whatever it missed after that.
        let mut lenient_until = next.unwrap_or(0);
        if self.resilient {
            let shape = self.life.shape;
            let left_out = |number: &u64| !shape.keyframe(*number);
            let count = (self.next..).take_while(left_out).count();
            lenient_until += u64::try_from(count).unwrap_or(0);
        }
        self.life.arrive(Arrival {
            who: Arc::clone(&self.who),
            reason,
            next,
            lag: self.lag,
            lenient_until,
        })
    }

    pub(crate) fn fault(&self, what: String) -> Check {
        Err(format!("{} {what}", self.who))
    }
}
