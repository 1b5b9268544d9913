//! Where RTMP meets the bus: messages in, frames out through a [`Feed`].

use std::collections::VecDeque;
use std::time::Instant;

use rillcast_core::{CloseReason, Closed, MediaKind as TrackKind, Publisher};
use rillcast_media::flv::{self, amf0};
use rillcast_media::{Feed, SourceItem};

use crate::proto::{Media, MediaKind, setting_of};

/// One accepted publish: the demuxer of its messages and the feed to the bus.
#[derive(Debug)]
pub(crate) struct ToBus {
    feed: Feed,
    demuxer: flv::Demuxer,
    begun: Instant,
    counts: Counts,
    /// Tracks of which it was said that they are left out.
    left_out: Vec<(TrackKind, u8)>,
    /// Whether a line was said of a message that is malformed.
    has_complained: bool,
    /// What is worth a line in the log and was not taken yet.
    complaints: VecDeque<String>,
}

/// What a publish came to, for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Bytes of all messages.
    pub(crate) bytes: u64,
    /// Messages of which nothing reached the bus because of an error.
    pub(crate) dropped: u64,
}

/// Why a publish cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The stream was ended, or taken over.
    Closed(CloseReason),
    /// What is sent cannot be carried; in a sentence for the publisher.
    Unusable(String),
}

impl ToBus {
    /// Begins a publish of the client that calls itself `agent`.
    pub(crate) fn new(
        mut publisher: Publisher,
        agent: &str,
        limits: amf0::Limits,
        now: Instant,
    ) -> Self {
        set_encoder(&mut publisher, agent);
        Self {
            feed: Feed::new(publisher),
            demuxer: flv::Demuxer::new().with_script_limits(limits),
            begun: now,
            counts: Counts::default(),
            left_out: Vec::new(),
            has_complained: false,
            complaints: VecDeque::new(),
        }
    }

    /// Puts what a message holds on the bus.
    ///
    /// A message that is broken is dropped and counted; the first one of a
    /// publish is worth a line in the log: see [`complaint`](Self::complaint).
    pub(crate) fn push(&mut self, media: Media, received: Instant) -> Result<(), Stop> {
        let Media {
            kind,
            timestamp,
            body,
        } = media;
        let size = body.len();
        self.counts.bytes += u64::try_from(size).unwrap_or_default();
        let items = match kind {
            MediaKind::Video => self.demuxer.video(timestamp, body, received),
            MediaKind::Audio => self.demuxer.audio(timestamp, body, received),
            MediaKind::Script => self.script(&body),
        };
        let done = match items {
            Ok(items) => {
                let mut used = false;
                for item in items {
                    used |= matches!(item, SourceItem::Frame(_));
                    self.feed.push(item)?;
                }
                if !used {
                    self.count_unused(size)?;
                }
                Ok(())
            }
            Err(error) => {
                self.count_unused(size)?;
                self.counts.dropped += 1;
                self.note(&error)
            }
        };
        // Of a message of several tracks, those that the others do not show.
        for fault in self.demuxer.take_faults() {
            self.note(&fault)?;
        }
        done
    }

    /// Counts a message that gave no frame against the bitrate: for as much as
    /// it costs, if it is short.
    fn count_unused(&mut self, size: usize) -> Result<(), Closed> {
        self.feed.publisher_mut().count_unused(size.max(LEAST_COST))
    }

    /// Takes what is worth a line in the log, until there is no more.
    pub(crate) fn complaint(&mut self) -> Option<String> {
        self.complaints.pop_front()
    }

    /// Waits until the publish is ended from outside; owns what it needs.
    pub(crate) fn closed(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        self.feed.publisher().closed()
    }

    /// When it began.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// What it came to so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    fn script(&mut self, body: &[u8]) -> Result<Vec<SourceItem>, flv::Error> {
        let items = self.demuxer.script(body)?;
        let metadata = self.demuxer.metadata();
        if let Some(encoder) = metadata.and_then(|metadata| metadata.encoder.as_deref()) {
            set_encoder(self.feed.publisher_mut(), encoder);
        }
        Ok(items)
    }

    /// Looks at what is wrong with a message, or with a track's part of one.
    fn note(&mut self, error: &flv::Error) -> Result<(), Stop> {
        let left_out = match error {
            flv::Error::TooManyTracks { kind, number } => Some((*kind, *number)),
            _ => error
                .unsupported()
                .map(|unsupported| (unsupported.kind(), unsupported.number())),
        };
        if let Some(unsupported) = error.unsupported() {
            // Sound may be missing from a picture, and one picture beside
            // another, but there must be one. Before the first access unit it
            // may be about to be described.
            if unsupported.kind() == TrackKind::Video && !self.demuxer.has(TrackKind::Video) {
                return match unsupported.is_announcement() {
                    true => Ok(()),
                    false => Err(Stop::Unusable(unsupported.to_string())),
                };
            }
        }
        if let Some(track) = left_out {
            if self.left_out.len() < MAX_LINES && !self.left_out.contains(&track) {
                self.left_out.push(track);
                self.complain(format!("{error}: the stream goes on without it"));
            }
        } else if !self.has_complained {
            self.has_complained = true;
            let setting = match error {
                flv::Error::Script(error) => setting_of(*error),
                _ => None,
            };
            let setting = setting.map_or(String::new(), |setting| format!(" ({setting})"));
            self.complain(format!(
                "a message is dropped, more of these are only counted: {error}{setting}"
            ));
        }
        Ok(())
    }

    fn complain(&mut self, line: String) {
        self.complaints.push_back(line);
    }
}

impl From<Closed> for Stop {
    fn from(closed: Closed) -> Self {
        Self::Closed(closed.reason)
    }
}

/// Notes what the publisher calls itself, as far as it is fit to be shown.
fn set_encoder(publisher: &mut Publisher, name: &str) {
    let shown: String = name
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_NAME)
        .collect();
    if !shown.is_empty() {
        publisher.set_metadata(|metadata| metadata.encoder = Some(shown.clone()));
    }
}

/// A message that gives no frame counts for so many bytes at least.
const LEAST_COST: usize = 512;

/// Lines about tracks that are left out: twice as many as tracks that are not.
const MAX_LINES: usize = 4 * flv::MAX_TRACKS;

/// How much of a publisher's name for itself is kept.
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rillcast_core::{BusConfig, StreamHandle, StreamKey};

    use super::*;

    fn to_bus() -> (ToBus, StreamHandle) {
        let key = StreamKey::parse("live/cam").unwrap();
        let (publisher, handle) = StreamHandle::new(key, BusConfig::default());
        let limits = amf0::Limits::default();
        let to_bus = ToBus::new(publisher, "agent\u{7}", limits, Instant::now());
        (to_bus, handle)
    }

    fn message(kind: MediaKind, body: &'static [u8]) -> Media {
        Media {
            kind,
            timestamp: 0,
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn broken_messages_are_dropped_and_counted() {
        let (mut to_bus, handle) = to_bus();
        let now = Instant::now();
        for (kind, body) in [
            (MediaKind::Video, &[0x17][..]),
            (MediaKind::Video, &[0x17, 1, 0, 0, 0, 1, 2]),
            (MediaKind::Audio, &[0xAF, 1, 9]),
            (MediaKind::Script, &[2, 0, 99]),
        ] {
            assert_eq!(to_bus.push(message(kind, body), now), Ok(()));
            let complaint = to_bus.complaint();
            assert_eq!(complaint.is_some(), to_bus.counts().dropped == 1);
        }
        assert_eq!(
            to_bus.counts(),
            Counts {
                bytes: 14,
                dropped: 4
            }
        );
        assert_eq!(handle.metadata_snapshot().encoder.as_deref(), Some("agent"));
    }

    #[test]
    fn video_that_cannot_be_carried_ends_the_publish_and_sound_does_not() {
        let (mut to_bus, _handle) = to_bus();
        let now = Instant::now();
        let speex = message(MediaKind::Audio, &[0xB2, 1, 2, 3]);
        assert_eq!(to_bus.push(speex.clone(), now), Ok(()));
        let complaint = to_bus.complaint().unwrap();
        assert!(complaint.contains("goes on without it"), "{complaint}");
        assert_eq!(to_bus.push(speex, now), Ok(()));
        assert_eq!(to_bus.complaint(), None);
        let vp6 = message(MediaKind::Video, &[0x14, 0, 0, 0, 0, 1]);
        let stop = to_bus.push(vp6, now).unwrap_err();
        assert!(
            matches!(&stop, Stop::Unusable(why) if why.contains("VP6")),
            "{stop:?}"
        );
    }

    #[test]
    fn one_picture_is_enough() {
        // VVC, then H.264 as a second track, before the first frames.
        let (mut to_bus, handle) = to_bus();
        let now = Instant::now();
        let header = b"\x96\x00avc1\x01\x01\x42\xc0\x1e\xff\xe1\0\x19\x67\x42\xc0\x1e\xd9\0\
            \xa0\x2f\xf9\x70\x11\0\0\x03\0\x01\0\0\x03\0\x32\x0f\x16\x2e\x48\x01\0\x05\x68\
            \xcb\x83\xcb\x20";
        let frame = &b"\xa1vvc1\0\0\0\x01"[..];
        for (body, line) in [
            (&b"\x90vvc1\x01"[..], false),
            (header, false),
            (frame, true),
            (frame, false),
        ] {
            assert_eq!(to_bus.push(message(MediaKind::Video, body), now), Ok(()));
            let complaint = to_bus.complaint();
            assert_eq!(complaint.is_some(), line, "{complaint:?}");
        }
        assert_eq!(handle.tracks().len(), 1);
        // Without any, the first frame ends it.
        let (mut to_bus, _handle) = self::to_bus();
        assert_eq!(
            to_bus.push(message(MediaKind::Video, b"\x90vvc1\x01"), now),
            Ok(())
        );
        let stop = to_bus.push(message(MediaKind::Video, frame), now);
        assert!(
            matches!(&stop, Err(Stop::Unusable(why)) if why.contains("H.266") && why.contains("H.264"))
        );
    }

    #[test]
    fn each_track_that_is_left_out_has_one_line() {
        let (mut to_bus, handle) = to_bus();
        let now = Instant::now();
        let mixed = b"\x95\x20mp4a\0\0\0\x02\x12\x10spex\x01\0\0\x01\x08what\x02\0\0\x01\x07";
        for round in 0..3 {
            assert_eq!(to_bus.push(message(MediaKind::Audio, mixed), now), Ok(()));
            let lines: Vec<_> = std::iter::from_fn(|| to_bus.complaint()).collect();
            assert_eq!(lines.len(), if round == 0 { 2 } else { 0 }, "{lines:?}");
        }
        assert_eq!(handle.tracks().len(), 1);
        // A thousand numbers are two hundred and fifty-six, and few lines.
        let mut lines = 0;
        for number in 0..=255 {
            let body = [&b"\x95\x01spex"[..], &[number, 1]].concat();
            let media = Media {
                kind: MediaKind::Audio,
                timestamp: 0,
                body: body.into(),
            };
            assert_eq!(to_bus.push(media, now), Ok(()));
            lines += std::iter::from_fn(|| to_bus.complaint()).count();
        }
        assert!((10..=MAX_LINES).contains(&lines), "{lines}");
    }

    #[tokio::test]
    async fn a_stream_that_is_closed_stops_the_publish() {
        let (mut to_bus, handle) = to_bus();
        let closed = to_bus.closed();
        handle.close(CloseReason::Kicked);
        assert_eq!(closed.await, CloseReason::Kicked);
        let header = Bytes::copy_from_slice(&[0xAF, 0, 0x12, 0x10]);
        let media = Media {
            kind: MediaKind::Audio,
            timestamp: 0,
            body: header,
        };
        assert_eq!(
            to_bus.push(media, Instant::now()),
            Err(Stop::Closed(CloseReason::Kicked))
        );
    }
}
