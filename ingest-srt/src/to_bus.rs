//! Where SRT meets the bus: payloads in, frames out through a [`Feed`].

use std::time::Instant;

use rillcast_core::{CloseReason, Closed, Publisher};
use rillcast_media::{Feed, SourceItem, ts};

use crate::proto::connection::Payload;

/// One accepted publish: the demuxer of its payloads and the feed to the bus.
#[derive(Debug)]
pub(crate) struct ToBus {
    feed: Feed,
    demuxer: ts::Demuxer,
    /// The stream's service was told to those who ask.
    named: bool,
}

impl ToBus {
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self {
            feed: Feed::new(publisher),
            demuxer: ts::Demuxer::new(),
            named: false,
        }
    }

    /// Puts what a payload completes on the bus.
    pub(crate) fn push(&mut self, payload: &Payload) -> Result<(), Closed> {
        if payload.lost_before > 0 {
            self.demuxer.packets_lost(payload.lost_before);
        }
        // Its time here, not when it came: what was lost and came later must look to
        // the timeline as if it had never been away.
        self.demuxer.push(&payload.data, payload.at);
        self.drain(payload.data.len())
    }

    /// Puts what is left on the bus, after the peer has ended well.
    pub(crate) fn flush(&mut self, now: Instant) -> Result<(), Closed> {
        self.demuxer.flush(now);
        self.drain(0)
    }

    fn drain(&mut self, bytes: usize) -> Result<(), Closed> {
        let mut used = false;
        while let Some(item) = self.demuxer.next_item() {
            used |= matches!(item, SourceItem::Frame(_));
            self.feed.push(item)?;
        }
        let counts = self.demuxer.counts();
        if !used && counts.packets == 0 && bytes > 0 {
            // Nothing of it was ever MPEG-TS: it counts against the bitrate.
            self.feed.publisher_mut().count_unused(bytes)?;
        }
        if !self.named
            && let Some(service) = self.demuxer.service()
        {
            self.named = true;
            let name = format!("{} {}", service.provider, service.name);
            let shown: String = name
                .trim()
                .chars()
                .filter(|c| !c.is_control())
                .take(64)
                .collect();
            if !shown.is_empty() {
                let publisher = self.feed.publisher_mut();
                publisher.set_metadata(|metadata| metadata.encoder = Some(shown.clone()));
            }
        }
        Ok(())
    }

    /// Takes what is worth a line in the log, a sentence about "it", if there is any.
    pub(crate) fn complaint(&mut self) -> Option<String> {
        self.demuxer.take_complaint()
    }

    /// Waits until the publish is ended from outside; owns what it needs.
    pub(crate) fn closed(&self) -> impl Future<Output = CloseReason> + Send + 'static {
        self.feed.publisher().closed()
    }

    /// What was found in the payloads.
    pub(crate) fn counts(&self) -> ts::Counts {
        self.demuxer.counts()
    }
}
