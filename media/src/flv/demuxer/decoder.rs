//! What the codecs make of a track's configuration and of its messages.

use bytes::Bytes;
use rillcast_core::{Codec, Track, TrackId};

use crate::codec::{AAC, AVC, HEVC, MP3, aac, avc, hevc, mpeg_audio};
use crate::flv::Error;

/// A track's configuration, by its codec.
#[derive(Clone, Debug)]
pub(super) enum Decoder {
    Avc(avc::Config),
    Hevc(hevc::Config),
    Aac(aac::Config),
    Mpeg(mpeg_audio::Header),
}

/// What was cut from a message.
#[derive(Debug)]
pub(super) struct Unit {
    /// Whether it may have changed the track.
    pub(super) changed: bool,
    /// The access unit in canonical form; `None` if there is nothing to show.
    pub(super) payload: Option<Bytes>,
    pub(super) keyframe: bool,
    /// In the track's timescale; 0 if unknown.
    pub(super) duration: u32,
}

impl Decoder {
    /// The decoder of a configuration in the form that FLV gives it.
    pub(super) fn parse(codec: Codec, record: &[u8]) -> Result<Self, Error> {
        Ok(match codec {
            AVC => Self::Avc(avc::Config::parse(record)?),
            HEVC => Self::Hevc(hevc::Config::parse(record)?),
            AAC => Self::Aac(aac::Config::parse(record)?),
            // What begins it says nothing, whatever it is.
            MP3 => Self::Mpeg(header(record).ok_or(Error::NoHeader(codec))?),
            other => return Err(Error::NoHeader(other)),
        })
    }

    /// The decoder that a track's first access unit describes, for codecs that
    /// need no configuration.
    pub(super) fn gather(codec: Codec, payload: &[u8]) -> Option<Self> {
        match codec {
            MP3 => header(payload).map(Self::Mpeg),
            _ => None,
        }
    }

    /// Whether it is one of this codec.
    pub(super) const fn is_of(&self, codec: Codec) -> bool {
        matches!(
            (self, codec),
            (Self::Avc(_), AVC)
                | (Self::Hevc(_), HEVC)
                | (Self::Aac(_), AAC)
                | (Self::Mpeg(_), MP3)
        )
    }

    pub(super) fn track(&self, id: TrackId) -> Track {
        match self {
            Self::Avc(config) => config.track(id),
            Self::Hevc(config) => config.track(id),
            Self::Aac(config) => config.track(id),
            Self::Mpeg(header) => header.track(id),
        }
    }

    /// Takes the first access unit off a message: for nearly all codecs, all
    /// that it holds. After an error nothing more can be cut from it.
    pub(super) fn cut(&mut self, message: &mut Bytes) -> Result<Unit, Error> {
        match self {
            Self::Avc(config) => {
                let (payload, summary) =
                    avc::canonical(message.split_off(0), config.length_size())?;
                // A parameter set that is not understood here may still be to
                // a decoder, and the picture beside it is not to be lost.
                let changed = summary.parameter_sets && config.absorb(&payload).unwrap_or(false);
                Ok(Unit::picture(
                    changed,
                    payload,
                    summary.picture,
                    summary.keyframe,
                ))
            }
            Self::Hevc(config) => {
                let (payload, summary) =
                    hevc::canonical(message.split_off(0), config.length_size())?;
                let changed = summary.parameter_sets && config.absorb(&payload).unwrap_or(false);
                Ok(Unit::picture(
                    changed,
                    payload,
                    summary.picture,
                    summary.keyframe,
                ))
            }
            Self::Aac(config) => Ok(Unit::sound(
                false,
                message.split_off(0),
                config.frame_duration(),
            )),
            Self::Mpeg(last) => {
                let next = header(message).filter(|next| next.frame_len <= message.len());
                let next = next.ok_or(Error::NoHeader(MP3))?;
                let payload = message.split_to(next.frame_len);
                let changed = (next.codec, next.sample_rate, next.channels)
                    != (last.codec, last.sample_rate, last.channels);
                *last = next;
                Ok(Unit::sound(changed, payload, next.samples))
            }
        }
    }
}

impl Unit {
    /// Parameter sets or messages alone are no picture: a sample without one
    /// would shift every frame after it by one.
    fn picture(changed: bool, payload: Bytes, picture: bool, keyframe: bool) -> Self {
        Self {
            changed,
            payload: picture.then_some(payload),
            keyframe,
            duration: 0,
        }
    }

    const fn sound(changed: bool, payload: Bytes, duration: u32) -> Self {
        Self {
            changed,
            payload: Some(payload),
            keyframe: true,
            duration,
        }
    }
}

fn header(bytes: &[u8]) -> Option<mpeg_audio::Header> {
    mpeg_audio::Header::parse(*bytes.first_chunk()?)
}
