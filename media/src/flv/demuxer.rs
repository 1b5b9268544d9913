//! From tag bodies to tracks and access units. What the codecs make of them is
//! the neighbour `decoder`'s.

mod decoder;

use std::mem::discriminant;
use std::time::Instant;

use bytes::Bytes;
use rillcast_core::{Codec, Colour, MediaKind, MediaParams, Track, TrackId};

use super::file::{Tag, TagKind};
use super::tag::{self, Data, Part, Parts};
use super::{
    AUDIO_CODECS, Error, MAX_TRACKS, Metadata, Unsupported, VIDEO_CODECS, amf0, colour, track_id,
};
use crate::payload::compact;
use crate::source::{SourceClock, SourceFrame, SourceItem};
use decoder::Decoder;

/// Turns the bodies of one publish, or of one file, into [`SourceItem`]s.
///
/// Give it every body in the order of arrival: [`Demuxer::video`],
/// [`Demuxer::audio`], [`Demuxer::script`], or [`Demuxer::tag`] for the tags
/// of a file. The items come in the order in which a feed wants them: a track
/// before the frame that needs it. A body that gives nothing for anyone (a
/// repeated sequence header, the end of a sequence) gives no item. After an
/// error the demuxer goes on with the next body.
///
/// A body may hold parts of several tracks. Where some of them gave something
/// and others had a fault, ask [`Demuxer::take_faults`].
///
/// Payloads are slices of the bodies: a body must own its allocation, as one
/// that was reassembled from chunks does. Where the payload would pin more
/// than twice its size it is copied.
#[derive(Debug, Default)]
pub struct Demuxer {
    /// Those that have a decoder: a track of which nothing usable came is not
    /// among them. At most [`MAX_TRACKS`] of a kind.
    tracks: Vec<Known>,
    metadata: Option<Metadata>,
    limits: amf0::Limits,
    faults: Vec<Error>,
}

/// What is known of one track.
#[derive(Debug)]
struct Known {
    id: TrackId,
    kind: MediaKind,
    decoder: Decoder,
    /// The configuration as it came last: one that is repeated changes
    /// nothing, even if the stream has changed it since.
    record: Bytes,
    /// What the publisher says of the colours, where the bitstream does not.
    colour: Option<Colour>,
    /// The track as it was given out last, before what metadata say of it.
    told: Option<Track>,
}

/// Where and when a body came from.
#[derive(Clone, Copy, Debug)]
struct Origin {
    timestamp_ms: u32,
    nanos: u32,
    allocation: usize,
    received: Instant,
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
        let parts = tag::video(body)?;
        let origin = Origin::new(timestamp_ms, &parts, allocation, received);
        self.each(MediaKind::Video, parts, origin)
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
        let parts = tag::audio(body)?;
        let origin = Origin::new(timestamp_ms, &parts, allocation, received);
        self.each(MediaKind::Audio, parts, origin)
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

    /// What was wrong with parts of the last body beside what was returned:
    /// faults of some tracks where others gave something, and all but the
    /// first if none did.
    pub fn take_faults(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.faults)
    }

    /// Whether a track of the kind has been described.
    #[must_use]
    pub fn has(&self, kind: MediaKind) -> bool {
        self.tracks.iter().any(|track| track.kind == kind)
    }

    /// What the publisher last said of itself.
    #[must_use]
    pub const fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// Acts on each part of a body.
    fn each(
        &mut self,
        kind: MediaKind,
        parts: Parts,
        origin: Origin,
    ) -> Result<Vec<SourceItem>, Error> {
        self.faults.clear();
        let mut items = Vec::new();
        for part in parts {
            let done = part.and_then(|part| self.part(kind, part, origin, &mut items));
            if let Err(fault) = done {
                self.faults.push(fault);
            }
        }
        if items.is_empty() && !self.faults.is_empty() {
            return Err(self.faults.remove(0));
        }
        Ok(items)
    }

    fn part(
        &mut self,
        kind: MediaKind,
        part: Part,
        origin: Origin,
        items: &mut Vec<SourceItem>,
    ) -> Result<(), Error> {
        let Part {
            number,
            codec,
            data,
        } = part;
        let carried = match kind {
            MediaKind::Video => VIDEO_CODECS,
            _ => AUDIO_CODECS,
        };
        let is_carried = carried.contains(&codec);
        match data {
            Data::Nothing => Ok(()),
            Data::Metadata(packet) => {
                items.extend(self.colours(kind, number, codec, &packet));
                Ok(())
            }
            Data::Configuration(_) | Data::AccessUnit(..) if !is_carried => {
                let announced = matches!(data, Data::Configuration(_));
                Err(Unsupported::four_cc(kind, number, codec, announced).into())
            }
            // The access units will say it.
            Data::Configuration(record) if record.is_empty() => Ok(()),
            Data::Configuration(record) => self.configure(kind, number, codec, &record, items),
            Data::AccessUnit(payload, cts) => {
                self.access_units(kind, number, codec, (payload, cts), origin, items)
            }
        }
    }

    /// Takes a track's configuration.
    fn configure(
        &mut self,
        kind: MediaKind,
        number: u8,
        codec: Codec,
        record: &Bytes,
        items: &mut Vec<SourceItem>,
    ) -> Result<(), Error> {
        let known = self.decodes(kind, number, codec);
        let known = known.and_then(|at| self.tracks.get(at));
        if known.is_some_and(|known| known.record == record) {
            return Ok(());
        }
        let Some(decoder) = Decoder::parse(codec, record)? else {
            return Ok(());
        };
        let metadata = self.metadata.as_ref();
        let known = replace(&mut self.tracks, kind, number, decoder)?;
        // A copy, so that the record does not pin the message it came in.
        known.record = Bytes::copy_from_slice(record);
        items.extend(known.tell(metadata, number));
        Ok(())
    }

    /// Takes what a packet says of a track's colours.
    fn colours(
        &mut self,
        kind: MediaKind,
        number: u8,
        codec: Codec,
        packet: &[u8],
    ) -> Option<SourceItem> {
        // FFmpeg 9.0 gives no number with it. At least the codec must fit.
        let known = self.decodes(kind, number, codec);
        let known = known.and_then(|at| self.tracks.get_mut(at))?;
        known.colour = colour::colour(packet, self.limits);
        known.tell(self.metadata.as_ref(), number)
    }

    /// Takes what a message holds of a track's media.
    fn access_units(
        &mut self,
        kind: MediaKind,
        number: u8,
        codec: Codec,
        (mut payload, cts): (Bytes, i32),
        origin: Origin,
        items: &mut Vec<SourceItem>,
    ) -> Result<(), Error> {
        let known = match self.decodes(kind, number, codec) {
            Some(at) => self.tracks.get_mut(at),
            None => {
                let decoder = Decoder::gather(codec, &payload);
                let decoder = decoder.ok_or(Error::NoConfiguration(kind))?;
                Some(replace(&mut self.tracks, kind, number, decoder)?)
            }
        };
        let known = known.ok_or(Error::NoConfiguration(kind))?;
        let mut after = u64::from(origin.nanos);
        while !payload.is_empty() {
            let unit = known.decoder.cut(&mut payload)?;
            if unit.changed || known.told.is_none() {
                items.extend(known.tell(self.metadata.as_ref(), number));
            }
            // Before there is a track, nothing can be decoded.
            let Some(payload) = unit.payload.filter(|_| known.told.is_some()) else {
                continue;
            };
            let millis = i64::try_from(after / NANOS_OF_A_MILLISECOND).unwrap_or(0);
            items.push(SourceItem::Frame(SourceFrame {
                track: known.id,
                dts: i64::from(origin.timestamp_ms) + millis,
                cts,
                clock: SourceClock::RTMP_MILLIS,
                nanos: u32::try_from(after % NANOS_OF_A_MILLISECOND).unwrap_or(0),
                duration: unit.duration,
                keyframe: unit.keyframe,
                payload: compact(payload, origin.allocation),
                received: origin.received,
            }));
            let rate = known.told.as_ref().map(|track| track.timescale);
            let lasts = rate.map_or(0, |rate| rate.to_nanos(i64::from(unit.duration)));
            after += u64::try_from(lasts).unwrap_or(0);
        }
        Ok(())
    }

    /// Where the track is, if it is known and decodes this codec.
    fn decodes(&self, kind: MediaKind, number: u8, codec: Codec) -> Option<usize> {
        let id = track_id(kind, number)?;
        let same = |known: &Known| known.id == id && known.decoder.is_of(codec);
        self.tracks.iter().position(same)
    }
}

impl Known {
    /// The track with what the publisher says of it beside the bitstream, if
    /// it is another than it was.
    fn tell(&mut self, metadata: Option<&Metadata>, number: u8) -> Option<SourceItem> {
        let mut track = self.decoder.track(self.id)?;
        if let MediaParams::Video(video) = &mut track.params {
            video.colour = video.colour.or(self.colour);
        }
        if self.told.as_ref() == Some(&track) {
            return None;
        }
        self.told = Some(track.clone());
        let info = metadata.and_then(|metadata| metadata.track(self.kind, number));
        let own = info.and_then(|info| info.language.clone());
        // What is said of the sound as a whole is said of its first track.
        let general = metadata
            .filter(|_| self.kind == MediaKind::Audio && number == 0)
            .and_then(|metadata| metadata.language.clone());
        let label = info.and_then(|info| info.title.clone());
        let track = track.with_language(own.or(general)).with_label(label);
        Some(SourceItem::Track(track))
    }
}

impl Origin {
    const fn new(timestamp_ms: u32, parts: &Parts, allocation: usize, received: Instant) -> Self {
        Self {
            timestamp_ms,
            nanos: parts.nanos(),
            allocation,
            received,
        }
    }
}

/// Gives the track another decoder, or makes it known if there is room for it.
fn replace(
    tracks: &mut Vec<Known>,
    kind: MediaKind,
    number: u8,
    decoder: Decoder,
) -> Result<&mut Known, Error> {
    let too_many = Error::TooManyTracks { kind, number };
    let Some(id) = track_id(kind, number) else {
        return Err(too_many);
    };
    let at = match tracks.iter().position(|known| known.id == id) {
        Some(at) => at,
        None if tracks.iter().filter(|known| known.kind == kind).count() >= MAX_TRACKS => {
            return Err(too_many);
        }
        None => {
            tracks.push(Known {
                id,
                kind,
                decoder: decoder.clone(),
                record: Bytes::new(),
                colour: None,
                told: None,
            });
            tracks.len() - 1
        }
    };
    let known = tracks.get_mut(at).ok_or(too_many)?;
    // Of another codec, nothing can be decoded before it is described.
    if discriminant(&known.decoder) != discriminant(&decoder) {
        known.told = None;
    }
    known.decoder = decoder;
    known.record = Bytes::new();
    known.colour = None;
    Ok(known)
}

const NANOS_OF_A_MILLISECOND: u64 = 1_000_000;

#[cfg(test)]
mod tests;
