//! The configuration record, `vpcC`.

use bytes::Bytes;
use rillcast_core::{Colour, FrameRate, MediaParams, Timescale, Track, TrackId, VideoParams};

use super::{Error, Header};
use crate::codec::VP9;
use crate::cursor::Cursor;

/// A decoder's configuration, with the size of the pictures where a keyframe
/// has said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    profile: u8,
    /// Ten times the level; 0 if neither a record nor a keyframe says it.
    level: u8,
    bit_depth: u8,
    chroma: u8,
    colour: Option<Colour>,
    frame_rate: Option<FrameRate>,
    /// Of the last keyframe.
    header: Option<Header>,
}

impl Config {
    /// Parses the contents of a `vpcC` box, with or without the version and the
    /// flags that it begins with: some senders leave them out.
    ///
    /// # Errors
    /// An [`Error`] if it ends too early or says something reserved.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        // Without them this would be a depth of 0 bits.
        let body = record.strip_prefix(&[1, 0, 0, 0]).unwrap_or(record);
        let mut cursor = Cursor::new(body);
        let [profile, level, format, primaries, transfer, matrix, _, _] =
            cursor.array().ok_or(Error::Truncated)?;
        let bit_depth = format >> 4;
        let chroma = format >> 1 & 7;
        let full_range = format & 1 == 1;
        if profile > 3 {
            return Err(Error::Reserved("profile"));
        }
        if !matches!(bit_depth, 8 | 10 | 12) {
            return Err(Error::Reserved("bit depth"));
        }
        if chroma > CHROMA_444 {
            return Err(Error::Reserved("chroma subsampling"));
        }
        if matrix == 0 && chroma != CHROMA_444 {
            return Err(Error::Reserved("matrix of colours"));
        }
        let is_said = full_range || (primaries, transfer, matrix) != (2, 2, 2);
        Ok(Self {
            profile,
            level,
            bit_depth,
            chroma,
            colour: is_said.then_some(Colour::new(primaries, transfer, matrix, full_range)),
            frame_rate: None,
            header: None,
        })
    }

    /// The configuration that a keyframe makes, for streams that have no record;
    /// `None` for any other frame, and if it is malformed.
    #[must_use]
    pub fn gather(payload: &[u8]) -> Option<Self> {
        Self::of(Header::parse(payload)?)
    }

    pub(super) fn of(header: Header) -> Option<Self> {
        let mut config = Self {
            profile: header.profile,
            level: 0,
            bit_depth: header.bit_depth,
            chroma: match header.subsampling {
                (true, true) => CHROMA_420,
                (true, false) => CHROMA_422,
                (false, false) => CHROMA_444,
                // Half of the rows alone: the record has no value for it.
                (false, true) => return None,
            },
            colour: header.colour,
            frame_rate: None,
            header: Some(header),
        };
        config.level = config.needed_level();
        Some(config)
    }

    /// Sets how fast pictures come, which VP9 itself does not say.
    #[must_use]
    pub fn with_frame_rate(mut self, rate: Option<FrameRate>) -> Self {
        self.frame_rate = rate;
        if self.header.is_some() {
            self.level = self.needed_level();
        }
        self
    }

    /// What the last keyframe said, if there was one.
    #[must_use]
    pub const fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// How colours are meant, if that is said.
    #[must_use]
    pub const fn colour(&self) -> Option<Colour> {
        self.colour
    }

    /// The codec with its profile, level and bit depth, `vp09.00.31.08`, and
    /// with what is not usual of its colours, `vp09.02.51.10.01.09.16.09.00`.
    #[must_use]
    pub fn codec_string(&self) -> String {
        let short = format!(
            "vp09.{:02}.{:02}.{:02}",
            self.profile, self.level, self.bit_depth
        );
        if self.colour.is_none() && self.chroma <= CHROMA_420 {
            return short;
        }
        let colour = self.colour.unwrap_or(Colour::new(1, 1, 1, false));
        format!(
            "{short}.{:02}.{:02}.{:02}.{:02}.{:02}",
            self.chroma,
            colour.primaries,
            colour.transfer,
            colour.matrix,
            u8::from(colour.full_range)
        )
    }

    /// The contents of a `vpcC` box behind version and flags.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let colour = self.colour.unwrap_or(Colour::new(2, 2, 2, false));
        let format = self.bit_depth << 4 | self.chroma << 1 | u8::from(colour.full_range);
        Bytes::copy_from_slice(&[
            self.profile,
            self.level,
            format,
            colour.primaries,
            colour.transfer,
            colour.matrix,
            0, // codecInitializationDataSize, which is 0 for VP9
            0,
        ])
    }

    /// The track that the configuration describes, in 90 kHz ticks. Its size is
    /// 0 until a keyframe has said it.
    #[must_use]
    pub fn track(&self, id: TrackId) -> Track {
        let (width, height) = self.header.map_or((0, 0), |header| header.shown);
        let video = VideoParams::new(width, height)
            .with_frame_rate(self.frame_rate)
            .with_colour(self.colour);
        Track::new(id, VP9, Timescale::VIDEO, MediaParams::Video(video))
            .with_codec_string(self.codec_string())
            .with_config(self.to_bytes())
    }

    /// Takes over what a keyframe says, and says whether that changed the
    /// configuration. Other frames, and keyframes like the one before, change
    /// nothing. Where a record says more of the colours, that stays.
    ///
    /// # Errors
    /// [`Error::Header`] for a keyframe whose header is malformed; the
    /// configuration is then unchanged.
    pub fn absorb(&mut self, payload: &[u8]) -> Result<bool, Error> {
        if !super::is_keyframe(payload) {
            return Ok(false);
        }
        let header = Header::parse(payload).ok_or(Error::Header)?;
        if self.header == Some(header) {
            return Ok(false);
        }
        let mut next = Self::of(header).ok_or(Error::Header)?;
        next.frame_rate = self.frame_rate;
        next.level = next.needed_level();
        let is_same_colour = match self.header {
            Some(known) => known.colour == header.colour,
            None => true,
        };
        if is_same_colour {
            next.colour = self.colour.or(next.colour);
        }
        let is_like = next.profile == self.profile && next.bit_depth == self.bit_depth;
        if self.header.is_none() && is_like {
            // Where chroma lies, and what the encoder takes for its level.
            if next.chroma == CHROMA_420 && self.chroma <= CHROMA_420 {
                next.chroma = self.chroma;
            }
            if self.level > 0 {
                next.level = self.level;
            }
        }
        let changed = next != *self;
        *self = next;
        Ok(changed)
    }

    /// The lowest level that has pictures of this size at this rate.
    fn needed_level(&self) -> u8 {
        let Some(header) = self.header else {
            return 0;
        };
        let size = u64::from(header.width) * u64::from(header.height);
        let side = header.width.max(header.height);
        let (num, den) = self
            .frame_rate
            .map_or(USUAL_RATE, |rate| (rate.num, rate.den.max(1)));
        let samples = size * u64::from(num) / u64::from(den);
        LEVELS
            .iter()
            .find(|(_, most_samples, most_size, most_side)| {
                samples <= *most_samples && size <= *most_size && side <= *most_side
            })
            .map_or(HIGHEST_LEVEL, |(level, ..)| *level)
    }
}

/// `chromaSubsampling`: 4:2:0 with chroma where the luma samples are, 4:2:2 and
/// 4:4:4; 0 is 4:2:0 with chroma between the rows.
const CHROMA_420: u8 = 1;
const CHROMA_422: u8 = 2;
const CHROMA_444: u8 = 3;

/// What is assumed of pictures whose rate nobody says.
const USUAL_RATE: (u32, u32) = (60, 1);

/// Ten times the level, with the most samples a second, samples a picture and
/// samples of its longer side (VP9 levels, annex A).
const LEVELS: [(u8, u64, u64, u32); 13] = [
    (10, 829_440, 36_864, 512),
    (11, 2_764_800, 73_728, 768),
    (20, 4_608_000, 122_880, 960),
    (21, 9_216_000, 245_760, 1_344),
    (30, 20_736_000, 552_960, 2_048),
    (31, 36_864_000, 983_040, 2_752),
    (40, 83_558_400, 2_228_224, 4_160),
    (41, 160_432_128, 2_228_224, 4_160),
    (50, 311_951_360, 8_912_896, 8_384),
    (51, 588_251_136, 8_912_896, 8_384),
    (52, 1_176_502_272, 8_912_896, 8_384),
    (60, 1_176_502_272, 35_651_584, 16_832),
    (61, 2_353_004_544, 35_651_584, 16_832),
];
const HIGHEST_LEVEL: u8 = 62;
