//! From tag bodies to tracks and access units.

use std::time::Instant;

use bytes::Bytes;
use rillcast_core::{MediaKind, Track};

use super::file::{Tag, TagKind};
use super::tag::{self, AudioBody, VideoBody};
use super::{AUDIO, Error, Metadata, VIDEO, amf0};
use crate::codec::{aac, avc};
use crate::payload::compact;
use crate::source::{SourceClock, SourceFrame, SourceItem};

/// Turns the bodies of one publish, or of one file, into [`SourceItem`]s.
///
/// Give it every body in the order of arrival: [`Demuxer::video`],
/// [`Demuxer::audio`], [`Demuxer::script`], or [`Demuxer::tag`] for the tags
/// of a file. The items come in the order in which a feed wants them: a track
/// before the frame that needs it. A body that gives nothing for anyone (a
/// repeated sequence header, the end of a sequence) gives no item. After an
/// error the demuxer goes on with the next body.
///
/// Payloads are slices of the bodies: a body must own its allocation, as one
/// that was reassembled from chunks does. Where the payload would pin more
/// than twice its size it is copied.
#[derive(Debug, Default)]
pub struct Demuxer {
    video: Video,
    audio: Audio,
    metadata: Option<Metadata>,
    limits: amf0::Limits,
}

/// What is known of the video track.
#[derive(Debug, Default)]
struct Video {
    config: Option<avc::Config>,
    /// The configuration record as it came last: one that is repeated changes
    /// nothing, even if parameter sets in the stream have changed since.
    record: Bytes,
}

/// What is known of the audio track.
#[derive(Debug, Default)]
struct Audio {
    config: Option<aac::Config>,
}

impl Demuxer {
    /// A demuxer that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with other limits for script data.
    #[must_use]
    pub fn with_script_limits(mut self, limits: amf0::Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The body of a video message (type 9). `timestamp_ms` is the message's
    /// as it stands on the wire, `received` its arrival.
    ///
    /// # Errors
    /// An [`Error`] if the body gives nothing because something is wrong with
    /// it, or because its codec is not carried.
    pub fn video(
        &mut self,
        timestamp_ms: u32,
        body: Bytes,
        received: Instant,
    ) -> Result<Vec<SourceItem>, Error> {
        let allocation = body.len();
        let (payload, cts) = match tag::video(body)? {
            VideoBody::Configuration(record) => {
                return Ok(self.video.configure(&record)?.map_or_else(Vec::new, track));
            }
            VideoBody::AccessUnit(payload, cts) => (payload, cts),
            VideoBody::Nothing => return Ok(Vec::new()),
        };
        let config = self.video.config.as_mut();
        let config = config.ok_or(Error::NoConfiguration(MediaKind::Video))?;
        let (payload, summary) = avc::canonical(payload, config.length_size())?;
        // A parameter set that is not understood here may still be to a
        // decoder, and the picture beside it is not to be lost.
        let changed = summary.parameter_sets && config.absorb(&payload).unwrap_or(false);
        let mut items = Vec::with_capacity(1 + usize::from(changed));
        if changed {
            items.push(SourceItem::Track(config.track(VIDEO)));
        }
        // Parameter sets or messages alone are no picture: a sample without
        // one would shift every frame after it by one.
        if summary.picture {
            items.push(SourceItem::Frame(SourceFrame {
                track: VIDEO,
                dts: i64::from(timestamp_ms),
                cts,
                clock: SourceClock::RTMP_MILLIS,
                duration: 0,
                keyframe: summary.keyframe,
                payload: compact(payload, allocation),
                received,
            }));
        }
        Ok(items)
    }

    /// The body of an audio message (type 8). `timestamp_ms` is the message's
    /// as it stands on the wire, `received` its arrival.
    ///
    /// # Errors
    /// An [`Error`] if the body gives nothing because something is wrong with
    /// it, or because its codec is not carried.
    pub fn audio(
        &mut self,
        timestamp_ms: u32,
        body: Bytes,
        received: Instant,
    ) -> Result<Vec<SourceItem>, Error> {
        let allocation = body.len();
        let payload = match tag::audio(body)? {
            AudioBody::Configuration(bytes) => {
                let language = self
                    .metadata
                    .as_ref()
                    .and_then(|data| data.language.clone());
                let configured = self.audio.configure(&bytes, language)?;
                return Ok(configured.map_or_else(Vec::new, track));
            }
            AudioBody::Frame(payload) => payload,
            AudioBody::Nothing => return Ok(Vec::new()),
        };
        let config = self.audio.config.as_ref();
        let config = config.ok_or(Error::NoConfiguration(MediaKind::Audio))?;
        Ok(vec![SourceItem::Frame(SourceFrame {
            track: AUDIO,
            dts: i64::from(timestamp_ms),
            cts: 0,
            clock: SourceClock::RTMP_MILLIS,
            duration: config.frame_duration(),
            keyframe: true,
            payload: compact(payload, allocation),
            received,
        })])
    }

    /// The body of a data message (type 18) in AMF0: `onMetaData` with its
    /// properties, which RTMP publishers send behind `@setDataFrame`. Other
    /// script data gives nothing.
    ///
    /// # Errors
    /// [`Error::Script`] if the body is no AMF0 or exceeds its limits.
    pub fn script(&mut self, body: &[u8]) -> Result<Vec<SourceItem>, Error> {
        let Some(metadata) = Metadata::parse(body, self.limits)? else {
            return Ok(Vec::new());
        };
        let kinds = metadata.announced();
        self.metadata = Some(metadata);
        Ok(if kinds.is_empty() {
            Vec::new()
        } else {
            vec![SourceItem::Announce(kinds)]
        })
    }

    /// A tag of a file.
    ///
    /// # Errors
    /// As [`Demuxer::video`], [`Demuxer::audio`] and [`Demuxer::script`].
    pub fn tag(&mut self, tag: Tag, received: Instant) -> Result<Vec<SourceItem>, Error> {
        match tag.kind {
            TagKind::Video => self.video(tag.timestamp_ms, tag.body, received),
            TagKind::Audio => self.audio(tag.timestamp_ms, tag.body, received),
            TagKind::Script => self.script(&tag.body),
            TagKind::Other(_) => Ok(Vec::new()),
        }
    }

    /// What the publisher last said of itself.
    #[must_use]
    pub const fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }
}

impl Video {
    /// The track, if the record changes it.
    fn configure(&mut self, record: &Bytes) -> Result<Option<Track>, Error> {
        if self.config.is_some() && self.record == record {
            return Ok(None);
        }
        let config = avc::Config::parse(record)?;
        // A copy, so that the record does not pin the message it came in.
        self.record = Bytes::copy_from_slice(record);
        let changed = self.config.as_ref() != Some(&config);
        let track = changed.then(|| config.track(VIDEO));
        self.config = Some(config);
        Ok(track)
    }
}

impl Audio {
    /// The track, if the configuration changes it.
    fn configure(
        &mut self,
        bytes: &[u8],
        language: Option<String>,
    ) -> Result<Option<Track>, Error> {
        let config = aac::Config::parse(bytes)?;
        let changed = self.config.as_ref() != Some(&config);
        let track = changed.then(|| config.track(AUDIO).with_language(language));
        self.config = Some(config);
        Ok(track)
    }
}

fn track(track: Track) -> Vec<SourceItem> {
    vec![SourceItem::Track(track)]
}

#[cfg(test)]
mod tests;
