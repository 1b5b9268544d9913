//! The configuration record, `av1C` (section 2.3 of the binding).

use bytes::{BufMut, Bytes, BytesMut};
use rillcast_core::{MediaParams, Timescale, Track, TrackId, VideoParams};

use super::metadata;
use super::obu::{METADATA, Obu, SEQUENCE_HEADER, obus};
use super::{Error, Sequence};
use crate::codec::AV1;
use crate::codec::light::{Light, Mastering};
use crate::codec::nal::trimmed;

/// A decoder's configuration: the sequence header of a stream, and metadata
/// that holds for all of it.
///
/// What the record says of profile, level and colours is taken from the
/// sequence header and not from the record's own copy, so two configurations
/// are equal exactly if their sequence headers are.
#[derive(Clone, Debug)]
pub struct Config {
    sequence: Sequence,
    /// The sequence header OBU, with its size.
    header: Bytes,
    /// Metadata OBUs, with their sizes.
    messages: Bytes,
}

impl Config {
    /// Parses a configuration record.
    ///
    /// # Errors
    /// An [`Error`] if it is malformed, or has no usable sequence header:
    /// [`Error::NoSequence`] says that [`Config::gather`] can make a
    /// configuration of the first keyframe.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        let (fixed, obus) = record.split_at_checked(4).ok_or(Error::Truncated)?;
        match fixed.first() {
            Some(0x81) => {}
            // The highest bit is a marker.
            first => return Err(Error::Version(first.map_or(0, |first| first & 0x7f))),
        }
        Self::read(obus)?.ok_or(Error::NoSequence)
    }

    /// The configuration that the sequence header in a temporal unit makes, for
    /// streams that have no record; `None` without one, or if it is malformed.
    #[must_use]
    pub fn gather(payload: &[u8]) -> Option<Self> {
        Self::read(payload).ok()?
    }

    /// Of the OBUs of a record or of a temporal unit.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Error> {
        let mut found: Option<(Sequence, Bytes)> = None;
        let mut messages = BytesMut::new();
        for obu in obus(bytes) {
            let obu = obu?;
            match obu.kind {
                SEQUENCE_HEADER if found.is_none() => {
                    found = Some((Sequence::parse(trimmed(obu.body))?, with_size(&obu)?));
                }
                METADATA if metadata::is_of_the_stream(obu.body) => {
                    let message = with_size(&obu)?;
                    if messages.len() + message.len() <= MAX_OBU {
                        messages.extend_from_slice(&message);
                    }
                }
                _ => {}
            }
        }
        Ok(found.map(|(sequence, header)| Self {
            sequence,
            header,
            messages: messages.freeze(),
        }))
    }

    /// What the sequence header says.
    #[must_use]
    pub const fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    /// The display that the pictures were made on, if metadata says it.
    #[must_use]
    pub fn mastering(&self) -> Option<Mastering> {
        metadata::read(&self.messages).0
    }

    /// How bright the pictures are, if metadata says it.
    #[must_use]
    pub fn light(&self) -> Option<Light> {
        metadata::read(&self.messages).1
    }

    /// The codec with its profile, level and bit depth, `av01.0.08M.08`, and
    /// with what is not usual of its colours, `av01.0.08M.10.0.110.09.16.09.0`
    /// (section 5 of the binding).
    #[must_use]
    pub fn codec_string(&self) -> String {
        let sequence = &self.sequence;
        let tier = if sequence.level.high_tier { 'H' } else { 'M' };
        let short = format!(
            "av01.{}.{:02}{tier}.{:02}",
            sequence.profile, sequence.level.index, sequence.bit_depth
        );
        let (columns, rows) = sequence.subsampling;
        if sequence.colour.is_none() && !sequence.monochrome && columns && rows {
            return short;
        }
        let (primaries, transfer, matrix, full_range) =
            sequence.colour.map_or((1, 1, 1, false), |colour| {
                (
                    colour.primaries,
                    colour.transfer,
                    colour.matrix,
                    colour.full_range,
                )
            });
        format!(
            "{short}.{}.{}{}{}.{primaries:02}.{transfer:02}.{matrix:02}.{}",
            u8::from(sequence.monochrome),
            u8::from(columns),
            u8::from(rows),
            if columns && rows {
                sequence.chroma_position
            } else {
                0
            },
            u8::from(full_range),
        )
    }

    /// The record in canonical form, with the sequence header and nothing said
    /// of delays.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let sequence = &self.sequence;
        let (columns, rows) = sequence.subsampling;
        let flags = [
            sequence.level.high_tier,
            sequence.bit_depth > 8,
            sequence.bit_depth > 10,
            sequence.monochrome,
            columns,
            rows,
        ];
        let flags = flags
            .into_iter()
            .fold(0, |flags, flag| flags << 1 | u8::from(flag));
        let mut out = BytesMut::with_capacity(4 + self.header.len() + self.messages.len());
        out.put_slice(&[
            0x81,
            sequence.profile << 5 | sequence.level.index,
            flags << 2 | sequence.chroma_position,
            0,
        ]);
        out.put_slice(&self.header);
        out.put_slice(&self.messages);
        out.freeze()
    }

    /// The track that the configuration describes, in 90 kHz ticks.
    #[must_use]
    pub fn track(&self, id: TrackId) -> Track {
        let sequence = &self.sequence;
        let video = VideoParams::new(sequence.width, sequence.height)
            .with_frame_rate(sequence.frame_rate)
            .with_colour(sequence.colour);
        Track::new(id, AV1, Timescale::VIDEO, MediaParams::Video(video))
            .with_codec_string(self.codec_string())
            .with_config(self.to_bytes())
    }

    /// Takes over the sequence header that a temporal unit holds, and says
    /// whether that changed the configuration. One that is equal to what is
    /// known changes nothing.
    ///
    /// # Errors
    /// An [`Error`] if the temporal unit or its sequence header is malformed;
    /// the configuration is then unchanged.
    pub fn absorb(&mut self, payload: &[u8]) -> Result<bool, Error> {
        let mut next = None;
        for obu in obus(payload) {
            let obu = obu?;
            if obu.kind == SEQUENCE_HEADER {
                let header = with_size(&obu)?;
                if next.is_none() && header != self.header {
                    next = Some((Sequence::parse(trimmed(obu.body))?, header));
                }
            }
        }
        let Some((sequence, header)) = next else {
            return Ok(false);
        };
        let messages = Self::read(payload)?.map(|config| config.messages);
        *self = Self {
            sequence,
            header,
            messages: messages.unwrap_or_default(),
        };
        Ok(true)
    }
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

impl Eq for Config {}

/// An OBU as the record has it: with its size, and without the zeros that may
/// fill it up behind its last bit.
fn with_size(obu: &Obu<'_>) -> Result<Bytes, Error> {
    let body = trimmed(obu.body);
    if body.len() > MAX_OBU {
        return Err(Error::Sequence("that is longer than any"));
    }
    let mut out = BytesMut::with_capacity(body.len() + 4);
    obu.with_body(body).put(&mut out);
    Ok(out.freeze())
}

/// More than a sequence header takes: with all 32 operating points and all that
/// they may say, some 400 bytes.
const MAX_OBU: usize = 1_024;
