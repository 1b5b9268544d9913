//! From a demuxer to the bus: what every ingest's `to_bus.rs` is made of.

use rillcast_core::{Closed, Publisher};

use crate::{Repairs, SourceItem, Timeline};

/// A publisher with its [`Timeline`]: what a demuxer yields goes in, and stands
/// on the bus on stream time.
///
/// Dropping it detaches the publisher, and the stream waits for it to come
/// back; [`Feed::finish`] ends the stream.
#[derive(Debug)]
pub struct Feed {
    publisher: Publisher,
    timeline: Timeline,
    /// Repairs that the stream's count already holds.
    counted: u64,
}

impl Feed {
    /// A feed for `publisher`, which goes on in time where the stream stands.
    #[must_use]
    pub fn new(publisher: Publisher) -> Self {
        let timeline = match publisher.resume_point() {
            Some(resume) => Timeline::resumed(resume.time, resume.at),
            None => Timeline::new(),
        };
        Self {
            publisher,
            timeline,
            counted: 0,
        }
    }

    /// Puts one item on the bus. Never waits.
    ///
    /// A frame is dropped if its track was not described before.
    ///
    /// # Errors
    /// [`Closed`] if the stream has ended or another publisher took it over.
    pub fn push(&mut self, item: SourceItem) -> Result<(), Closed> {
        match item {
            SourceItem::Track(track) => {
                self.timeline.track(&track);
                self.publisher.publish_track(track)?;
            }
            SourceItem::Frame(frame) => {
                let timed = self.timeline.push(frame);
                let repairs = self.timeline.repairs().total();
                if repairs != self.counted {
                    self.publisher.count_repairs(repairs - self.counted);
                    self.counted = repairs;
                }
                if let Some(discontinuity) = timed.discontinuity {
                    self.publisher.publish_discontinuity(discontinuity)?;
                }
                if let Some(frame) = timed.frame {
                    self.publisher.publish_frame(frame)?;
                }
            }
            SourceItem::Announce(kinds) => self.publisher.announce_tracks(&kinds),
        }
        Ok(())
    }

    /// The publisher.
    #[must_use]
    pub const fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// The publisher, to change what the stream says of itself.
    pub const fn publisher_mut(&mut self) -> &mut Publisher {
        &mut self.publisher
    }

    /// What was mended in this publish so far.
    #[must_use]
    pub const fn repairs(&self) -> Repairs {
        self.timeline.repairs()
    }

    /// Ends the stream now, without a grace time.
    pub fn finish(self) {
        self.publisher.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use rillcast_core::{
        BusConfig, BusEntry, DiscontinuityCause, MediaKind, MediaParams, Recv, StreamHandle,
        StreamKey, Timescale, Track, TrackId, VideoParams,
    };

    use super::*;
    use crate::codec::AVC;
    use crate::{SourceClock, SourceFrame};

    fn frame(stamp: i64, received: Instant) -> SourceItem {
        SourceItem::Frame(SourceFrame {
            track: TrackId(0),
            dts: stamp,
            cts: 40,
            clock: SourceClock::RTMP_MILLIS,
            nanos: 0,
            duration: 0,
            keyframe: stamp == 0,
            payload: Bytes::from_static(b"picture"),
            received,
        })
    }

    #[test]
    fn items_reach_the_bus_on_stream_time() {
        let key = StreamKey::parse("live/cam").unwrap();
        let (publisher, handle) = StreamHandle::new(key, BusConfig::default());
        let mut feed = Feed::new(publisher);
        let mut subscription = handle.subscribe();
        let track = Track::new(
            TrackId(0),
            AVC,
            Timescale::VIDEO,
            MediaParams::Video(VideoParams::new(640, 360)),
        );
        let start = Instant::now();
        // Of an unknown track: nowhere to put it.
        feed.push(frame(0, start)).unwrap();
        feed.push(SourceItem::Announce(vec![
            MediaKind::Video,
            MediaKind::Audio,
        ]))
        .unwrap();
        feed.push(SourceItem::Track(track)).unwrap();
        feed.push(frame(0, start)).unwrap();
        feed.push(frame(40, start + Duration::from_millis(40)))
            .unwrap();
        // An hour on, in no time.
        feed.push(frame(3_600_000, start + Duration::from_millis(80)))
            .unwrap();
        let mut seen = Vec::new();
        while let Some(recv) = subscription.try_recv() {
            match recv {
                Recv::Track(track) => seen.push(format!("track {}", track.id)),
                Recv::Frame(frame) => seen.push(format!("{} {}", frame.dts, frame.pts)),
                Recv::Discontinuity(discontinuity) => {
                    assert_eq!(discontinuity.cause, DiscontinuityCause::Jump);
                    seen.push("jump".into());
                }
                other => panic!("{other:?}"),
            }
        }
        let wanted = [
            "track 0",
            "900000 903600",
            "903600 907200",
            "jump",
            "907200 910800",
        ];
        assert_eq!(seen, wanted);
        assert_eq!(handle.qos().repairs, 1);
        assert_eq!(feed.repairs().jumps, 1);
        assert_eq!(handle.metadata_snapshot().announced.len(), 2);
        let cached = handle.replay_buffer();
        assert!(
            cached
                .iter()
                .any(|entry| matches!(entry, BusEntry::Track(_)))
        );
        feed.finish();
        assert!(handle.close_reason().is_some());
    }
}
