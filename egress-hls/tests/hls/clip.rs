//! Real media to publish: the server's demo clip (H.264 with B-frames at 25
//! frames per second, AAC at 48 kHz, 8 s), over and over.

use std::sync::LazyLock;
use std::time::Instant;

use rillcast_core::{MediaKind, Publisher};
use rillcast_media::flv::file::{Reader, Tag, TagKind};
use rillcast_media::flv::{Demuxer, VIDEO};
use rillcast_media::{Feed, SourceItem};

static TAGS: LazyLock<Vec<Tag>> = LazyLock::new(|| {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../server/assets/demo/demo.flv"
    );
    let mut reader = Reader::new();
    reader.push(&std::fs::read(path).unwrap());
    std::iter::from_fn(|| reader.next_tag().unwrap()).collect()
});

/// Publishes the clip, faster than real time.
pub(crate) struct Clip {
    feed: Feed,
    demuxer: Demuxer,
    /// Which tag comes next, and what is added to its time.
    next: usize,
    offset_ms: u32,
    only: Option<MediaKind>,
    /// Frames published so far: video, audio.
    frames: (usize, usize),
}

impl Clip {
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self {
            feed: Feed::new(publisher),
            demuxer: Demuxer::new(),
            next: 0,
            offset_ms: 0,
            only: None,
            frames: (0, 0),
        }
    }

    /// Leaves every other kind of media out.
    pub(crate) fn only(mut self, kind: MediaKind) -> Self {
        self.only = Some(kind);
        self
    }

    /// Publishes everything up to `millis` of stream time, a frame at a time, so
    /// that the packager keeps up.
    pub(crate) async fn publish_until(&mut self, millis: u32) {
        loop {
            let tag = &TAGS[self.next];
            if tag.timestamp_ms + self.offset_ms >= millis {
                return;
            }
            let mut tag = tag.clone();
            tag.timestamp_ms += self.offset_ms;
            self.next += 1;
            if self.next == TAGS.len() {
                self.next = 0;
                // One video frame, of 40 ms, after the last.
                self.offset_ms = tag.timestamp_ms.next_multiple_of(40) + 40;
            }
            let kind = match tag.kind {
                TagKind::Video => Some(MediaKind::Video),
                TagKind::Audio => Some(MediaKind::Audio),
                _ => None,
            };
            if self.only.is_some() && kind != self.only {
                continue;
            }
            for item in self.demuxer.tag(tag, Instant::now()).unwrap() {
                self.push(item);
            }
            tokio::task::yield_now().await;
        }
    }

    fn push(&mut self, item: SourceItem) {
        match &item {
            SourceItem::Frame(frame) if frame.track == VIDEO => self.frames.0 += 1,
            SourceItem::Frame(_) => self.frames.1 += 1,
            _ => {}
        }
        self.feed.push(item).unwrap();
    }

    /// How many frames were published so far: video, audio.
    pub(crate) fn frames(&self) -> (usize, usize) {
        self.frames
    }

    /// Ends the stream.
    pub(crate) fn finish(self) {
        self.feed.finish();
    }
}
