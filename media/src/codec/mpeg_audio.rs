//! MPEG-1 and MPEG-2 audio, layers II and III (ISO/IEC 11172-3 section 2.4.2.3,
//! ISO/IEC 13818-3 section 2.4.2.3), with the half rates of layer III that are
//! known as MPEG-2.5. A frame with its header is an access unit; there is no
//! configuration.

use std::collections::VecDeque;

use bytes::Bytes;
use rillcast_core::{AudioParams, Codec, MediaParams, Timescale, Track, TrackId};

use super::framer::{AudioUnit, Broken, Probe, Syntax};
use super::{MP2, MP3};

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// [`MP2`] or [`MP3`], by the layer.
    pub codec: Codec,
    /// Samples per second: 8000 to 48000.
    pub sample_rate: u32,
    /// Channels: 1 or 2.
    pub channels: u16,
    /// Bits per second.
    pub bitrate: u32,
    /// Samples of the frame: 1152 or 576.
    pub samples: u32,
    /// Bytes of the frame, the header included.
    pub frame_len: usize,
}

/// There is nothing to configure a decoder with but a frame's header.
pub type Config = Header;

impl Header {
    /// Reads the header of a frame; `None` if it begins with none.
    #[must_use]
    pub fn of_frame(payload: &[u8]) -> Option<Self> {
        Self::parse(*payload.first_chunk()?)
    }

    /// Reads a header. `None` for other bytes, for layer I, and for a frame of
    /// free format, which does not say how long it is.
    #[must_use]
    pub fn parse(bytes: [u8; 4]) -> Option<Self> {
        let [sync, kind, rates, mode] = bytes;
        if sync != 0xff || kind & 0xe0 != 0xe0 {
            return None;
        }
        let (is_first, divisor) = match kind >> 3 & 3 {
            0 => (false, 4), // MPEG-2.5
            2 => (false, 2),
            3 => (true, 1),
            _ => return None,
        };
        let codec = match kind >> 1 & 3 {
            1 => MP3,
            2 if divisor < 4 => MP2,
            _ => return None,
        };
        let bitrates = match (is_first, codec == MP3) {
            (true, false) => &BITRATES_1_II,
            (true, true) => &BITRATES_1_III,
            (false, _) => &BITRATES_2,
        };
        // 0 is free format, 15 forbidden; emphasis 2 is reserved.
        let index = usize::from(rates >> 4).checked_sub(1)?;
        let bitrate = u32::from(*bitrates.get(index)?) * 1_000;
        let sample_rate = SAMPLE_RATES.get(usize::from(rates >> 2 & 3))? / divisor;
        if mode & 3 == 2 {
            return None;
        }
        let samples = if codec == MP3 && !is_first {
            576
        } else {
            1_152
        };
        let padding = u32::from(rates >> 1 & 1);
        let frame_len = samples / 8 * bitrate / sample_rate + padding;
        Some(Self {
            codec,
            sample_rate,
            channels: if mode >> 6 == 3 { 1 } else { 2 },
            bitrate,
            samples,
            frame_len: usize::try_from(frame_len).ok()?,
        })
    }

    /// The codec as RFC 6381 writes it: `mp4a.40.33` for layer II, `mp4a.40.34`
    /// for layer III, by their MPEG-4 audio object types.
    #[must_use]
    pub const fn codec_string(&self) -> &'static str {
        match self.codec {
            MP2 => "mp4a.40.33",
            _ => "mp4a.40.34",
        }
    }

    /// The track of frames with this header; its timescale is the sample rate.
    #[must_use]
    pub fn track(&self, id: TrackId) -> Track {
        let timescale = Timescale::new(self.sample_rate).unwrap_or(Timescale::MILLIS);
        let params = MediaParams::Audio(AudioParams::new(self.sample_rate, self.channels));
        Track::new(id, self.codec, timescale, params).with_codec_string(self.codec_string())
    }

    /// What all frames of a stream have in common.
    fn kind(self) -> u64 {
        let layer = u64::from(self.codec == MP3);
        u64::from(self.sample_rate) << 8 | layer << 4 | u64::from(self.channels)
    }
}

/// Samples of a frame at a sample rate.
#[must_use]
pub(super) const fn frame_duration(codec: Codec, sample_rate: u32) -> u32 {
    // Rates below 32 kHz are those of MPEG-2.
    match codec {
        MP3 if sample_rate < 32_000 => 576,
        _ => 1_152,
    }
}

/// The format as a [`super::framer::Framer`] needs it.
#[derive(Debug, Default)]
pub(super) struct MpegAudio {
    last: Option<Header>,
}

impl Syntax for MpegAudio {
    fn probe(&self, bytes: &[u8]) -> Probe {
        match bytes {
            [] | [0xff] => return Probe::More,
            [0xff, second, ..] if second & 0xe0 == 0xe0 => {}
            _ => return Probe::No,
        }
        let Some(header) = bytes.first_chunk() else {
            return Probe::More;
        };
        Header::parse(*header).map_or(Probe::No, |header| Probe::Frame {
            len: header.frame_len,
            kind: header.kind(),
        })
    }

    fn unit(&mut self, frame: &[u8], at: u64, out: &mut VecDeque<AudioUnit>) -> Result<(), Broken> {
        let header = frame.first_chunk().copied().and_then(Header::parse);
        let header = header.ok_or(Broken)?;
        out.push_back(AudioUnit {
            payload: Bytes::copy_from_slice(frame),
            samples: header.samples,
            at,
            changed: self.last.map(Header::kind) != Some(header.kind()),
        });
        self.last = Some(header);
        Ok(())
    }

    fn track(&self, id: TrackId) -> Option<Track> {
        self.last.map(|header| header.track(id))
    }
}

/// In kbit/s, from index 1 on: MPEG-1 layer II.
const BITRATES_1_II: [u16; 14] = [
    32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
];
/// MPEG-1 layer III.
const BITRATES_1_III: [u16; 14] = [
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
];
/// MPEG-2, both layers.
const BITRATES_2: [u16; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/// Of MPEG-1; MPEG-2 halves them, MPEG-2.5 once more.
const SAMPLE_RATES: [u32; 3] = [44_100, 48_000, 32_000];

#[cfg(test)]
mod tests;
