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
    /// Bytes that came and are in no frame yet.
    unframed: usize,
}

/// So many bytes may become frames yet: what the demuxer holds of pictures. What came
/// before them is of no use, and counts against the bitrate.
const MOST_UNFRAMED: usize = 16 << 20;

impl ToBus {
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self {
            feed: Feed::new(publisher),
            demuxer: ts::Demuxer::new(),
            named: false,
            unframed: 0,
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
        self.unframed += bytes;
        while let Some(item) = self.demuxer.next_item() {
            if let SourceItem::Frame(frame) = &item {
                self.unframed = self.unframed.saturating_sub(frame.payload.len());
            }
            self.feed.push(item)?;
        }
        // Nothing waits where nothing was ever MPEG-TS.
        let waiting = match self.demuxer.counts().packets {
            0 => 0,
            _ => self.unframed.min(MOST_UNFRAMED),
        };
        let unused = self.unframed - waiting;
        if unused > 0 {
            self.unframed = waiting;
            self.feed.publisher_mut().count_unused(unused)?;
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rillcast_core::{BitRate, Bitrates, PublishRequest, Registry, StreamKey};

    use super::*;

    /// Pushes payloads until the publish is ended, at most so many.
    fn push(packet: [u8; 188], payloads: usize) -> Option<CloseReason> {
        let registry = Registry::default();
        let key = StreamKey::parse("live/cam").unwrap();
        let limits = Bitrates::new(BitRate(500_000), BitRate::mbps(1));
        let request = PublishRequest::new(key, "srt").with_bitrates(limits);
        let mut to_bus = ToBus::new(registry.publish(request).unwrap());
        let payload = Payload {
            data: Bytes::from(packet.repeat(7)),
            at: Instant::now(),
            lost_before: 0,
        };
        let closed = (0..payloads).find_map(|_| to_bus.push(&payload).err());
        closed.map(|closed| closed.reason)
    }

    #[test]
    fn what_becomes_no_frame_counts_against_the_bitrate() {
        // What is no transport stream at once, and packets that only fill after as much
        // as pictures might still need.
        assert_eq!(push([0; 188], 600), Some(CloseReason::TooFast));
        let mut filler = [0xff; 188];
        filler[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
        assert_eq!(push(filler, 12_000), None);
        assert_eq!(push(filler, 14_000), Some(CloseReason::TooFast));
    }
}
