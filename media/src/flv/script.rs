//! Script data: what `onMetaData` says of a stream (section E.5), and what
//! FFmpeg, OBS and others make of it.

use std::collections::BTreeMap;
use std::iter::repeat_n;

use rillcast_core::{Codec, MediaKind};

use super::amf0::{self, Object, Value};
use super::{Error, MAX_TRACKS, tag};
use crate::codec;

/// What a publisher says of itself in `onMetaData`. None of it is trusted for
/// decoding: sizes and rates come from the bitstream.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Metadata {
    /// Whether there will be video: said, or to be concluded from a video codec
    /// or a size.
    pub has_video: Option<bool>,
    /// Whether there will be audio: said, or to be concluded.
    pub has_audio: Option<bool>,
    /// Width of the picture.
    pub width: Option<u32>,
    /// Height of the picture.
    pub height: Option<u32>,
    /// Pictures per second.
    pub frame_rate: Option<f64>,
    /// What the publisher calls its video codec.
    pub video_codec: Option<String>,
    /// What the publisher calls its audio codec.
    pub audio_codec: Option<String>,
    /// Video bits per second.
    pub video_bitrate: Option<u64>,
    /// Audio bits per second.
    pub audio_bitrate: Option<u64>,
    /// The language of the audio, as BCP 47 writes it.
    pub language: Option<String>,
    /// The program that publishes.
    pub encoder: Option<String>,
    /// What is said of single video tracks, by number (enhanced RTMP).
    pub video_tracks: BTreeMap<u8, TrackInfo>,
    /// What is said of single audio tracks, by number.
    pub audio_tracks: BTreeMap<u8, TrackInfo>,
}

/// What a publisher says of one track, in `videoTrackIdInfoMap` and
/// `audioTrackIdInfoMap` of enhanced RTMP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackInfo {
    /// The language, as BCP 47 writes it.
    pub language: Option<String>,
    /// What the publisher calls the track.
    pub title: Option<String>,
    /// Channels of sound.
    pub channels: Option<u16>,
}

impl Metadata {
    /// Reads the body of a data message; `None` if it is no `onMetaData` or
    /// has no properties.
    ///
    /// # Errors
    /// [`Error::Script`] if the body is no AMF0 or exceeds `limits` before
    /// the properties were read.
    pub fn parse(body: &[u8], limits: amf0::Limits) -> Result<Option<Self>, Error> {
        let (values, error) = amf0::decode_some(body, limits);
        let mut values = values.iter();
        let mut name = values.next().and_then(Value::as_str);
        if name == Some("@setDataFrame") {
            name = values.next().and_then(Value::as_str);
        }
        let properties = values.find_map(Value::as_object);
        match (name, properties, error) {
            (Some("onMetaData"), Some(properties), _) => Ok(Some(Self::read(properties))),
            (_, _, Some(error)) => Err(error.into()),
            _ => Ok(None),
        }
    }

    /// The kinds of media that will come, video before audio.
    #[must_use]
    pub fn announced(&self) -> Vec<MediaKind> {
        // The track without a number need not be in the list.
        let count = |said: Option<bool>, listed: &BTreeMap<u8, TrackInfo>| match said {
            Some(true) => listed.len().clamp(1, MAX_TRACKS),
            _ => 0,
        };
        let video = count(self.has_video, &self.video_tracks);
        let audio = count(self.has_audio, &self.audio_tracks);
        let video = repeat_n(MediaKind::Video, video);
        video.chain(repeat_n(MediaKind::Audio, audio)).collect()
    }

    /// What is said of a track, if it is in the list of its kind.
    #[must_use]
    pub fn track(&self, kind: MediaKind, number: u8) -> Option<&TrackInfo> {
        match kind {
            MediaKind::Video => self.video_tracks.get(&number),
            MediaKind::Audio => self.audio_tracks.get(&number),
            _ => None,
        }
    }

    fn read(properties: &Object) -> Self {
        let get = |key| properties.get(key);
        let number = |key| {
            get(key)
                .and_then(Value::as_f64)
                .filter(|number| *number > 0.0)
        };
        let size = |key| {
            number(key)
                .and_then(|size| whole(size, 65_535))
                .and_then(|size| u32::try_from(size).ok())
        };
        let bitrate = |key| number(key).and_then(|kilobits| whole(kilobits * 1_000.0, MAX_BITRATE));
        let text = |key| {
            get(key)
                .and_then(Value::as_str)
                .map(shortened)
                .filter(|text| !text.is_empty())
        };
        let tracks = |key| {
            get(key)
                .and_then(Value::as_object)
                .map(track_infos)
                .unwrap_or_default()
        };
        let (video_tracks, audio_tracks) =
            (tracks("videoTrackIdInfoMap"), tracks("audioTrackIdInfoMap"));
        let said = |key| get(key).and_then(Value::as_bool);
        let video_codec = get("videocodecid").and_then(|id| codec_name(id, tag::video_codec_name));
        let audio_codec = get("audiocodecid").and_then(|id| codec_name(id, tag::audio_format_name));
        let (width, height) = (size("width"), size("height"));
        Self {
            has_video: concluded(
                said("hasVideo"),
                video_codec.is_some() || width.is_some() || !video_tracks.is_empty(),
            ),
            has_audio: concluded(
                said("hasAudio"),
                audio_codec.is_some()
                    || number("audiosamplerate").is_some()
                    || !audio_tracks.is_empty(),
            ),
            width,
            height,
            frame_rate: number("framerate")
                .or_else(|| number("fps"))
                .filter(|rate| *rate <= 1_000.0),
            video_codec,
            audio_codec,
            video_bitrate: bitrate("videodatarate"),
            audio_bitrate: bitrate("audiodatarate"),
            language: text("audiolanguage")
                .or_else(|| text("language"))
                .filter(|tag| is_language(tag)),
            encoder: text("encoder").or_else(|| text("videoencoder")),
            video_tracks,
            audio_tracks,
        }
    }
}

/// The tracks of a list, whose keys are their numbers in decimal digits.
fn track_infos(list: &Object) -> BTreeMap<u8, TrackInfo> {
    let tracks = list.iter().filter_map(|(number, value)| {
        let (number, track) = (number.parse().ok()?, value.as_object()?);
        let text = |key| track.get(key).and_then(Value::as_str).map(shortened);
        let channels = track.get("channels").and_then(Value::as_f64);
        let channels = channels.and_then(|count| whole(count, MAX_CHANNELS));
        let info = TrackInfo {
            language: text("language").filter(|tag| is_language(tag)),
            title: text("title")
                .or_else(|| text("name"))
                .filter(|title| !title.is_empty()),
            channels: channels
                .and_then(|count| u16::try_from(count).ok())
                .filter(|count| *count > 0),
        };
        Some((number, info))
    });
    tracks.take(MAX_TRACKS).collect()
}

/// What was said, or else what follows if there are signs of it. Without
/// either, nothing is known.
fn concluded(said: Option<bool>, signs: bool) -> Option<bool> {
    said.or(signs.then_some(true))
}

/// The codec by its number in the FLV specification, which `legacy` knows, by
/// the number that a four-character code makes (enhanced RTMP), or by a name
/// (`avc1`, `mp4a`). 0 is what publishers write who do not have the track: it
/// is no video codec, and PCM, which it would be in audio, nobody sends.
fn codec_name(value: &Value, legacy: fn(u8) -> &'static str) -> Option<String> {
    match value {
        Value::String(name) if !name.is_empty() => Some(shortened(name)),
        Value::Number(number) => {
            let number = whole(*number, u64::from(u32::MAX)).filter(|number| *number > 0)?;
            Some(match u8::try_from(number) {
                Ok(number) => legacy(number).to_owned(),
                Err(_) => {
                    let code = u32::try_from(number).ok()?.to_be_bytes();
                    codec::name(Codec::new(code))
                }
            })
        }
        _ => None,
    }
}

/// A number from a peer as a whole one, `None` if it is none within `0..=max`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked first"
)]
fn whole(number: f64, max: u64) -> Option<u64> {
    let rounded = number.round();
    (rounded >= 0.0 && rounded <= max as f64).then_some(rounded as u64)
}

/// Whether this has the form of a language tag (RFC 5646 section 2.1).
fn is_language(tag: &str) -> bool {
    tag.len() <= 35
        && tag.split('-').enumerate().all(|(index, part)| {
            let letters = part.bytes().all(|byte| byte.is_ascii_alphabetic());
            let word = part.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if index == 0 {
                letters && (2..=8).contains(&part.len())
            } else {
                word && (1..=8).contains(&part.len())
            }
        })
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// The longest text kept, in characters: it goes to logs and pages.
const MAX_TEXT: usize = 100;
/// What enhanced RTMP can count.
const MAX_CHANNELS: u64 = 255;
/// Above this, in bits per second, a stated rate is taken for nonsense.
const MAX_BITRATE: u64 = 10_000_000_000;

#[cfg(test)]
mod tests;
