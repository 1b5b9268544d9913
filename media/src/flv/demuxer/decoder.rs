//! What the codecs make of a track's configuration and of its messages.

use bytes::Bytes;
use rillcast_core::{Codec, Track, TrackId};

use crate::codec::{
    AAC, AC3, AV1, AVC, EAC3, FLAC, HEVC, MP3, OPUS, VP9, aac, ac3, av1, avc, flac, hevc,
    mpeg_audio, opus, vp9,
};
use crate::flv::Error;

/// A track's configuration, by its codec.
#[derive(Clone, Debug)]
pub(super) enum Decoder {
    Avc(avc::Config),
    Hevc(hevc::Config),
    Av1(av1::Config),
    Vp9(vp9::Config),
    Aac(aac::Config),
    Opus(opus::Config),
    Flac(flac::Config),
    Ac3(ac3::Config),
    Mpeg(mpeg_audio::Config),
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
    /// The decoder of a configuration in the form that FLV gives it; `None` if
    /// the access units say all of it.
    pub(super) fn parse(codec: Codec, record: &[u8]) -> Result<Option<Self>, Error> {
        Ok(Some(match codec {
            AVC => Self::Avc(avc::Config::parse(record)?),
            HEVC => Self::Hevc(hevc::Config::parse(record)?),
            AV1 => match av1::Config::parse(record) {
                Ok(config) => Self::Av1(config),
                Err(av1::Error::NoSequence) => return Ok(None),
                Err(error) => return Err(error.into()),
            },
            VP9 => Self::Vp9(vp9::Config::parse(record)?),
            AAC => Self::Aac(aac::Config::parse(record)?),
            OPUS => Self::Opus(opus::Config::parse_head(record)?),
            FLAC => Self::Flac(flac::Config::parse(record)?),
            _ => return Ok(None),
        }))
    }

    /// The decoder that a track's access unit describes, for codecs that need
    /// no configuration.
    pub(super) fn gather(codec: Codec, payload: &[u8]) -> Option<Self> {
        match codec {
            AV1 if av1::is_keyframe(payload) => av1::Config::gather(payload).map(Self::Av1),
            VP9 if vp9::is_keyframe(payload) => vp9::Config::gather(payload).map(Self::Vp9),
            AC3 | EAC3 => ac3::Config::of_frame(payload).map(Self::Ac3),
            MP3 => mpeg_audio::Config::of_frame(payload).map(Self::Mpeg),
            _ => None,
        }
    }

    /// Whether it is one of this codec.
    pub(super) const fn is_of(&self, codec: Codec) -> bool {
        matches!(
            (self, codec),
            (Self::Avc(_), AVC)
                | (Self::Hevc(_), HEVC)
                | (Self::Av1(_), AV1)
                | (Self::Vp9(_), VP9)
                | (Self::Aac(_), AAC)
                | (Self::Opus(_), OPUS)
                | (Self::Flac(_), FLAC)
                | (Self::Ac3(_), AC3 | EAC3)
                | (Self::Mpeg(_), MP3)
        )
    }

    /// The track; `None` as long as its first keyframe has not said how large
    /// its pictures are.
    pub(super) fn track(&self, id: TrackId) -> Option<Track> {
        Some(match self {
            Self::Avc(config) => config.track(id),
            Self::Hevc(config) => config.track(id),
            Self::Av1(config) => config.track(id),
            Self::Vp9(config) => {
                config.header()?;
                config.track(id)
            }
            Self::Aac(config) => config.track(id),
            Self::Opus(config) => config.track(id),
            Self::Flac(config) => config.track(id),
            Self::Ac3(config) => config.track(id),
            Self::Mpeg(config) => config.track(id),
        })
    }

    /// Takes the first access unit off a message: for all codecs but one, all
    /// that it holds. After an error nothing more can be cut from it.
    ///
    /// A parameter set that is not understood here may still be to a decoder,
    /// and the picture beside it is not to be lost.
    pub(super) fn cut(&mut self, message: &mut Bytes) -> Result<Unit, Error> {
        let mut whole = || message.split_off(0);
        match self {
            Self::Avc(config) => {
                let (payload, summary) = avc::canonical(whole(), config.length_size())?;
                let changed = summary.parameter_sets && config.absorb(&payload).unwrap_or(false);
                let payload = summary.picture.then_some(payload);
                Ok(Unit::picture(changed, payload, summary.keyframe))
            }
            Self::Hevc(config) => {
                let (payload, summary) = hevc::canonical(whole(), config.length_size())?;
                let changed = summary.parameter_sets && config.absorb(&payload).unwrap_or(false);
                let payload = summary.picture.then_some(payload);
                Ok(Unit::picture(changed, payload, summary.keyframe))
            }
            Self::Av1(config) => {
                let (payload, summary) = av1::canonical(whole())?;
                let changed = summary.sequence_header && config.absorb(&payload).unwrap_or(false);
                let payload = summary.picture.then_some(payload);
                Ok(Unit::picture(changed, payload, summary.keyframe))
            }
            Self::Vp9(config) => {
                let payload = whole();
                let keyframe = vp9::is_keyframe(&payload);
                let changed = keyframe && config.absorb(&payload)?;
                Ok(Unit::picture(changed, Some(payload), keyframe))
            }
            Self::Aac(config) => Ok(Unit::sound(false, whole(), config.frame_duration())),
            Self::Opus(_) => {
                let payload = whole();
                let duration = opus::packet_duration(&payload);
                let duration = duration.ok_or(Error::NoHeader(OPUS))?;
                Ok(Unit::sound(false, payload, duration))
            }
            Self::Flac(_) => {
                let payload = whole();
                let duration = flac::frame_duration(&payload);
                let duration = duration.ok_or(Error::NoHeader(FLAC))?;
                Ok(Unit::sound(false, payload, duration))
            }
            Self::Ac3(last) => {
                let payload = whole();
                let next = ac3::Config::of_frame(&payload).ok_or(Error::NoHeader(AC3))?;
                let changed = !last.is_like(&next);
                if changed {
                    *last = next;
                }
                Ok(Unit::sound(changed, payload, ac3::FRAME_DURATION))
            }
            Self::Mpeg(last) => {
                let next = mpeg_audio::Config::of_frame(message);
                let next = next.filter(|next| next.frame_len <= message.len());
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
    const fn picture(changed: bool, payload: Option<Bytes>, keyframe: bool) -> Self {
        Self {
            changed,
            payload,
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
