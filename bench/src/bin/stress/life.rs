//! One life of a stream, from its first publisher to its end: what is published,
//! so that whoever reads can tell what has to come.
//!
//! All that one need know of a frame follows from its number: track, keyframe,
//! configuration. What does not is in its payload, the [`Stamp`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rillcast_core::{CloseReason, Frame, TrackId};

/// The tracks, in the order in which they are announced.
pub(crate) const VIDEO: TrackId = TrackId(0);
pub(crate) const AUDIO: TrackId = TrackId(1);
pub(crate) const SECOND_VIDEO: TrackId = TrackId(2);
pub(crate) const TRACKS: [TrackId; 3] = [VIDEO, AUDIO, SECOND_VIDEO];

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The life that it belongs to.
    pub(crate) life: u64,
    /// Its number among all frames of the life.
    pub(crate) number: u64,
    /// The publish it belongs to, of those that sent frames.
    pub(crate) turn: u64,
    /// The number of the first frame of that.
    pub(crate) turn_start: u64,
    /// How many breaks come before it in the life.
    pub(crate) breaks: u64,
}

impl Stamp {
    pub(crate) const BYTES: usize = 40;

    pub(crate) fn write(&self, payload: &mut Vec<u8>) {
        let words = [
            self.life,
            self.number,
            self.turn,
            self.turn_start,
            self.breaks,
        ];
        words
            .iter()
            .for_each(|word| payload.extend(word.to_be_bytes()));
    }

    pub(crate) fn read(frame: &Frame) -> Option<Self> {
        let (words, _) = frame.payload.get(..Self::BYTES)?.as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_be_bytes(*word));
        Some(Self {
            life: words.next()?,
            number: words.next()?,
            turn: words.next()?,
            turn_start: words.next()?,
            breaks: words.next()?,
        })
    }
}

/// What the frames of a life are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Pictures of a GOP of the first video track; without pictures, 0.
    pub(crate) gop: u64,
    /// And of the second.
    pub(crate) second_gop: u64,
}

/// GOPs after which the first video track's configuration changes.
const CONFIG_GOPS: u64 = 5;

impl Shape {
    pub(crate) const fn has_video(&self) -> bool {
        self.gop > 0
    }

    pub(crate) fn track(&self, number: u64) -> TrackId {
        let place = usize::try_from(number % 3).unwrap_or(0);
        match TRACKS.get(place) {
            Some(track) if self.has_video() => *track,
            _ => AUDIO,
        }
    }

    pub(crate) fn keyframe(&self, number: u64) -> bool {
        let picture = number / 3;
        match self.track(number) {
            VIDEO => picture.is_multiple_of(self.gop),
            SECOND_VIDEO => (picture + 3).is_multiple_of(self.second_gop),
            _ => true,
        }
    }

    /// Whether readers may join at a frame.
    pub(crate) fn joins(&self, number: u64) -> bool {
        self.keyframe(number) && (!self.has_video() || self.track(number) == VIDEO)
    }

    /// The version of the configuration that a frame belongs to.
    pub(crate) fn config(&self, number: u64) -> u64 {
        match self.track(number) {
            VIDEO => number / (3 * self.gop * CONFIG_GOPS),
            AUDIO => number / 5_000,
            _ => 0,
        }
    }

    /// Whether the source announces a break before a frame.
    pub(crate) const fn breaks(number: u64) -> bool {
        number % 1_777 == 1_776
    }
}

/// Kept by the stream, in a slot of its own.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) id: u64,
    pub(crate) shape: Shape,
    /// The number of the last frame that is published for sure and at which one
    /// can join, and 1.
    join: AtomicU64,
    end: Mutex<End>,
}

#[derive(Debug, Default)]
struct End {
    over: Option<(u64, CloseReason)>,
    /// Who has come to the end before it was known where that is.
    early: Vec<Arrival>,
}

/// A reader at the end of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) who: Arc<str>,
    /// The end that the bus tells, if it tells.
    pub(crate) reason: Option<CloseReason>,
    /// The number of the frame behind the last that it read, or was told to have
    /// missed. Without any, it is not known.
    pub(crate) next: Option<u64>,
    /// How many of those it was told to have missed, right before the end.
    pub(crate) lag: Option<u64>,
    /// From here on frames may have been left out, since they need others: so
    /// long as there is no frame that must not be.
    pub(crate) lenient_until: u64,
}

impl Life {
    pub(crate) const fn new(id: u64, shape: Shape) -> Self {
        Self {
            id,
            shape,
            join: AtomicU64::new(0),
            end: Mutex::new(End {
                over: None,
                early: Vec::new(),
            }),
        }
    }

    pub(crate) fn was_published(&self, number: u64) {
        if self.shape.joins(number) {
            self.join.store(number + 1, Ordering::Release);
        }
    }

    /// The last frame that is published for sure at which one can join.
    pub(crate) fn last_join(&self) -> Option<u64> {
        self.join.load(Ordering::Acquire).checked_sub(1)
    }

    /// The life is over after `total` frames. The violation of who was there before.
    pub(crate) fn over(&self, total: u64, reason: CloseReason) -> Result<(), String> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.over = Some((total, reason));
        let early = std::mem::take(&mut end.early);
        drop(end);
        early.iter().try_for_each(|it| it.check(total, reason))
    }

    /// A reader has come to the end.
    pub(crate) fn arrive(&self, arrival: Arrival) -> Result<(), String> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        match end.over {
            Some((total, reason)) => arrival.check(total, reason),
            None => {
                end.early.push(arrival);
                Ok(())
            }
        }
    }
}

impl Arrival {
    fn check(&self, total: u64, reason: CloseReason) -> Result<(), String> {
        let who = &self.who;
        if let Some(told) = self.reason
            && told != reason
        {
            return Err(format!(
                "{who} was told that the stream ended as `{told}`, and it ended as `{reason}`"
            ));
        }
        match self.next {
            Some(next) if next > total => Err(format!(
                "{who} ended at frame {next} of a stream that ended after {total}"
            )),
            Some(next) if next < total && total > self.lenient_until => Err(format!(
                "{who} {}ended at frame {next}, though {total} were published before the end",
                self.lag.map_or_else(String::new, |lag| format!(
                    "was told that it missed {lag} and "
                ))
            )),
            _ => Ok(()),
        }
    }
}
