//! Tracks: what a reader must know before it can use a frame.

use std::fmt;

use bytes::Bytes;

use crate::{Timescale, TrackId};

/// What kind of media a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MediaKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Anything else (timed metadata, captions).
    Data,
}

impl MediaKind {
    /// The name that logs, URLs and the API show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Data => "data",
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A codec by its four-character code. The core gives no code a meaning:
/// `rillcast-media` has the constants and the parsers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Codec([u8; 4]);

impl Codec {
    /// A codec by its four-character code, for example `*b"avc1"`.
    #[must_use]
    pub const fn new(code: [u8; 4]) -> Self {
        Self(code)
    }

    /// The four characters.
    #[must_use]
    pub const fn code(self) -> [u8; 4] {
        self.0
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codec({self})")
    }
}

/// Frames per second as an exact fraction, for example 30000/1001.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate {
    /// Frames in [`FrameRate::den`] seconds.
    pub num: u32,
    /// Seconds; never zero in a rate made by [`FrameRate::new`].
    pub den: u32,
}

impl FrameRate {
    /// `num / den` frames per second; `None` if either is zero.
    #[must_use]
    pub const fn new(num: u32, den: u32) -> Option<Self> {
        if num == 0 || den == 0 {
            None
        } else {
            Some(Self { num, den })
        }
    }

    /// The rate as a floating point number, for display.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den.max(1))
    }
}

/// How colours are meant: code points of ISO/IEC 23091-2, which players must be
/// told before they show a picture. 2 is "unspecified" in all three tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Colour {
    /// `colour_primaries`.
    pub primaries: u8,
    /// `transfer_characteristics`.
    pub transfer: u8,
    /// `matrix_coefficients`.
    pub matrix: u8,
    /// Whether samples use their whole range.
    pub full_range: bool,
}

impl Colour {
    /// Colours by their code points.
    #[must_use]
    pub const fn new(primaries: u8, transfer: u8, matrix: u8, full_range: bool) -> Self {
        Self {
            primaries,
            transfer,
            matrix,
            full_range,
        }
    }

    /// How much brighter than paper white the transfer characteristics can say.
    #[must_use]
    pub const fn dynamic_range(self) -> DynamicRange {
        match self.transfer {
            16 => DynamicRange::Pq,
            18 => DynamicRange::Hlg,
            _ => DynamicRange::Standard,
        }
    }
}

/// The dynamic range of pictures, by their transfer characteristics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DynamicRange {
    /// What displays have always had.
    #[default]
    Standard,
    /// Perceptual quantisation (SMPTE ST 2084).
    Pq,
    /// Hybrid log-gamma (ARIB STD-B67).
    Hlg,
}

/// What is known of a video track's pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VideoParams {
    /// Width of the shown picture in pixels; 0 if unknown.
    pub width: u32,
    /// Height of the shown picture in pixels; 0 if unknown.
    pub height: u32,
    /// The rate that the bitstream states, if it does.
    pub frame_rate: Option<FrameRate>,
    /// How colours are meant, if the bitstream says it.
    pub colour: Option<Colour>,
}

impl VideoParams {
    /// Pictures of `width` by `height` pixels.
    #[must_use]
    pub const fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            frame_rate: None,
            colour: None,
        }
    }

    /// Sets the rate that the bitstream states.
    #[must_use]
    pub const fn with_frame_rate(mut self, rate: Option<FrameRate>) -> Self {
        self.frame_rate = rate;
        self
    }

    /// Sets how colours are meant.
    #[must_use]
    pub const fn with_colour(mut self, colour: Option<Colour>) -> Self {
        self.colour = colour;
        self
    }
}

/// What is known of an audio track's sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AudioParams {
    /// Samples per second of the decoded sound.
    pub sample_rate: u32,
    /// Channels of the decoded sound; 0 if unknown.
    pub channels: u16,
}

impl AudioParams {
    /// Sound of `channels` channels at `sample_rate` Hz.
    #[must_use]
    pub const fn new(sample_rate: u32, channels: u16) -> Self {
        Self {
            sample_rate,
            channels,
        }
    }
}

/// The parameters of a track by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaParams {
    /// A video track.
    Video(VideoParams),
    /// An audio track.
    Audio(AudioParams),
    /// A track of any other kind.
    Data,
}

/// A track's description with its decoder configuration.
///
/// A publisher puts one on the bus before the track's first frame and again
/// whenever it really changes; a reader that joins gets the latest of each
/// track first.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Track {
    /// The track's number within its stream.
    pub id: TrackId,
    /// The codec.
    pub codec: Codec,
    /// The codec with its profile, as RFC 6381 writes it (`avc1.64001f`); empty if unknown.
    pub codec_string: String,
    /// Ticks per second of the track's frames.
    pub timescale: Timescale,
    /// The decoder configuration record in the codec's canonical form; may be empty.
    pub config: Bytes,
    /// The language as BCP 47 writes it, if the publisher named one.
    pub language: Option<String>,
    /// What the publisher calls it, for people who choose between tracks
    /// ("Commentary"). It is not unique.
    pub label: Option<String>,
    /// Kind and parameters.
    pub params: MediaParams,
}

impl Track {
    /// A track without a codec string, a configuration, a language or a label.
    #[must_use]
    pub const fn new(id: TrackId, codec: Codec, timescale: Timescale, params: MediaParams) -> Self {
        Self {
            id,
            codec,
            codec_string: String::new(),
            timescale,
            config: Bytes::new(),
            language: None,
            label: None,
            params,
        }
    }

    /// Sets the RFC 6381 codec string.
    #[must_use]
    pub fn with_codec_string(mut self, codec_string: impl Into<String>) -> Self {
        self.codec_string = codec_string.into();
        self
    }

    /// Sets the decoder configuration record.
    #[must_use]
    pub fn with_config(mut self, config: Bytes) -> Self {
        self.config = config;
        self
    }

    /// Sets the language (BCP 47).
    #[must_use]
    pub fn with_language(mut self, language: Option<String>) -> Self {
        self.language = language;
        self
    }

    /// Sets what the publisher calls it.
    #[must_use]
    pub fn with_label(mut self, label: Option<String>) -> Self {
        self.label = label;
        self
    }

    /// The kind of media.
    #[must_use]
    pub const fn kind(&self) -> MediaKind {
        match self.params {
            MediaParams::Video(_) => MediaKind::Video,
            MediaParams::Audio(_) => MediaKind::Audio,
            MediaParams::Data => MediaKind::Data,
        }
    }

    /// The picture parameters of a video track.
    #[must_use]
    pub const fn video(&self) -> Option<&VideoParams> {
        match &self.params {
            MediaParams::Video(video) => Some(video),
            _ => None,
        }
    }

    /// The sound parameters of an audio track.
    #[must_use]
    pub const fn audio(&self) -> Option<&AudioParams> {
        match &self.params {
            MediaParams::Audio(audio) => Some(audio),
            _ => None,
        }
    }
}

impl fmt::Debug for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Track")
            .field("id", &self.id.0)
            .field("codec", &self.codec)
            .field("codec_string", &self.codec_string)
            .field("timescale", &self.timescale)
            .field("config_bytes", &self.config.len())
            .field("language", &self.language)
            .field("label", &self.label)
            .field("params", &self.params)
            .finish()
    }
}
