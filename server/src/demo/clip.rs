//! The clip of the demo: read once, played in rounds that follow each other
//! without a seam.

use std::time::{Duration, Instant};

use rillcast_core::Timescale;
use rillcast_media::flv::{self, Demuxer, file};
use rillcast_media::{SourceClock, SourceFrame, SourceItem};

/// The clip, made by `assets/demo/make.sh`.
const BYTES: &[u8] = include_bytes!("../../assets/demo/demo.flv");

/// A round: both tracks of the clip last exactly this long.
const ROUND_MS: i64 = 8_000;

/// The clip's tracks and frames.
#[derive(Debug)]
pub(super) struct Clip {
    head: Vec<SourceItem>,
    /// In the order of a round that has one before it and one behind it.
    frames: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    /// Milliseconds from the round's begin.
    at: i64,
    /// Whether the frame's own round began before: sound that is shown with the
    /// last pictures lies behind them, within the first ones of the next round.
    carried: bool,
    frame: SourceFrame,
}

impl Clip {
    /// Reads the clip that is built in.
    pub(super) fn read() -> Result<Self, flv::Error> {
        let mut reader = file::Reader::new();
        let mut demuxer = Demuxer::new();
        reader.push(BYTES);
        let (mut head, mut frames) = (Vec::new(), Vec::new());
        while let Some(tag) = reader.next_tag()? {
            for item in demuxer.tag(tag, Instant::now())? {
                match item {
                    SourceItem::Frame(frame) => frames.push(Slot {
                        at: frame.dts % ROUND_MS,
                        carried: frame.dts >= ROUND_MS,
                        frame,
                    }),
                    item => head.push(item),
                }
            }
        }
        frames.sort_by_key(|slot| slot.at);
        Ok(Self { head, frames })
    }

    /// What goes before the first frame: the tracks.
    pub(super) fn head(&self) -> impl Iterator<Item = SourceItem> {
        self.head.iter().cloned()
    }

    /// The frames of one round (from 0) in order, each with the time from the
    /// begin of round 0 at which it is due.
    pub(super) fn round(&self, round: i64) -> impl Iterator<Item = (Duration, SourceFrame)> {
        let first = round == 0;
        let slots = self
            .frames
            .iter()
            .filter(move |slot| !(first && slot.carried));
        slots.map(move |slot| {
            let dts = round.saturating_mul(ROUND_MS).saturating_add(slot.at);
            let frame = SourceFrame {
                dts,
                // This source counts on: it has no width to wrap at.
                clock: SourceClock::unwrapped(Timescale::MILLIS),
                ..slot.frame.clone()
            };
            (
                Duration::from_millis(u64::try_from(dts).unwrap_or(0)),
                frame,
            )
        })
    }

    /// A frame as it arrives `now`.
    pub(super) fn arrived(frame: SourceFrame, now: Instant) -> SourceItem {
        SourceItem::Frame(SourceFrame {
            received: now,
            ..frame
        })
    }
}

#[cfg(test)]
mod tests {
    use rillcast_core::{BusConfig, Recv, StreamHandle, StreamKey, TrackId};
    use rillcast_media::Feed;

    use super::*;

    /// The times of each track's frames over some rounds, as the bus gets them.
    fn rounds(rounds: i64) -> (StreamHandle, Vec<(TrackId, i64, Option<u32>)>) {
        let key = StreamKey::parse("live/demo").unwrap();
        let (publisher, handle) = StreamHandle::new(key, BusConfig::default());
        let mut subscription = handle.subscribe();
        let mut feed = Feed::new(publisher);
        let clip = Clip::read().unwrap();
        let start = Instant::now();
        let mut seen = Vec::new();
        let mut take = || {
            while let Some(entry) = subscription.try_recv() {
                match entry {
                    Recv::Frame(frame) => {
                        seen.push((
                            frame.track,
                            frame.dts,
                            frame.duration.map(std::num::NonZeroU32::get),
                        ));
                    }
                    Recv::Track(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        clip.head().for_each(|item| feed.push(item).unwrap());
        for round in 0..rounds {
            for (at, frame) in clip.round(round) {
                feed.push(Clip::arrived(frame, start + at)).unwrap();
                take();
            }
        }
        assert_eq!(feed.repairs().total(), 0);
        (handle, seen)
    }

    #[test]
    fn rounds_follow_each_other_without_a_seam() {
        let (handle, seen) = rounds(3);
        let tracks = handle.tracks();
        assert_eq!(tracks.len(), 2);
        for track in tracks.iter() {
            let times = seen.iter().filter(|(id, ..)| *id == track.id);
            let times: Vec<i64> = times.map(|(_, dts, _)| *dts).collect();
            let tick = if track.video().is_some() {
                90_000 / 25
            } else {
                1_024
            };
            for pair in times.windows(2) {
                assert_eq!(pair[1] - pair[0], tick, "{track:?} {pair:?}");
            }
        }
        let pictures = seen.iter().filter(|(id, ..)| *id == TrackId(0)).count();
        assert_eq!(pictures, 3 * 200);
        assert_eq!(handle.qos().discontinuities, 0);
    }
}
