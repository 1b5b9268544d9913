//! Frames as tags of FLV ("Video File Format Specification" 10.1, annex E;
//! HEVC and AV1 as "Enhanced RTMP" says). Pure: no socket, no clock.
//!
//! A [`Row`] of tags is the same for every viewer, so it is made once and
//! shared. That is why timestamps are stream time, which begins at 0 with the
//! stream and not with the viewer: players start at whatever time comes first,
//! and a time of their own would cost every viewer a header for every frame.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use rillcast_core::{Codec, Frame, MediaKind, Timescale, Track, TrackId, rescale};
use rillcast_media::flv::amf0::{self, Object, Value};
use rillcast_media::{Timeline, codec};

/// Which tracks of a stream FLV carries (one video, one audio), and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    video: Option<Carried<Picture>>,
    audio: Option<Carried<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Carried<T> {
    id: TrackId,
    timescale: Timescale,
    form: T,
}

/// How pictures of a codec are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picture {
    /// By the codec id that FLV always had.
    Avc,
    /// By a four-character code, with or without a composition time.
    Enhanced { code: [u8; 4], reorders: bool },
}

/// Frames as tags, each followed by its size.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Heads and payloads in turn; the payloads are the frames' own.
    pub(crate) slices: Arc<[Bytes]>,
    /// What they come to.
    pub(crate) bytes: usize,
    /// Whether a picture is among them.
    pub(crate) pictures: bool,
}

impl Layout {
    /// Takes a track in, if it is the first of its kind and FLV carries its
    /// codec, or one that was taken in before. False if it is left out.
    pub(crate) fn add(&mut self, track: &Track) -> bool {
        let (id, timescale) = (track.id, track.timescale);
        match track.kind() {
            MediaKind::Video if self.video.is_none_or(|it| it.id == id) => {
                let form = match track.codec {
                    codec::AVC => Picture::Avc,
                    codec::HEVC => Picture::enhanced(track.codec, true),
                    codec::AV1 => Picture::enhanced(track.codec, false),
                    _ => return false,
                };
                self.video = Some(Carried {
                    id,
                    timescale,
                    form,
                });
                true
            }
            MediaKind::Audio
                if self.audio.is_none_or(|it| it.id == id) && track.codec == codec::AAC =>
            {
                self.audio = Some(Carried {
                    id,
                    timescale,
                    form: (),
                });
                true
            }
            _ => false,
        }
    }

    /// Whether nothing of the stream is carried.
    pub(crate) const fn is_empty(&self) -> bool {
        self.video.is_none() && self.audio.is_none()
    }

    /// Whether there are pictures.
    pub(crate) const fn has_pictures(&self) -> bool {
        self.video.is_some()
    }

    /// The header of the file and its metadata; `tracks` are those of the
    /// stream. The metadata has the time 0: anywhere else FFmpeg takes it for a
    /// track of text.
    pub(crate) fn opening(&self, tracks: &[Arc<Track>]) -> Bytes {
        let flags = u8::from(self.video.is_some()) | (u8::from(self.audio.is_some()) << 2);
        let mut out = BytesMut::new();
        out.put_slice(&[b'F', b'L', b'V', 1, flags, 0, 0, 0, 9]);
        out.put_u32(0);
        let mut body = Vec::new();
        amf0::encode(&"onMetaData".into(), &mut body);
        amf0::encode(&Value::EcmaArray(self.metadata(tracks)), &mut body);
        put_whole(&mut out, SCRIPT, 0, &[], &body);
        out.freeze()
    }

    fn metadata(&self, tracks: &[Arc<Track>]) -> Object {
        let mut data = Object::new();
        for track in tracks {
            if let (Some(carried), Some(params)) = (self.video, track.video())
                && carried.id == track.id
            {
                let id = match carried.form {
                    Picture::Avc => f64::from(AVC),
                    Picture::Enhanced { code, .. } => f64::from(u32::from_be_bytes(code)),
                };
                data.push("videocodecid", id);
                if params.width > 0 && params.height > 0 {
                    data.push("width", f64::from(params.width));
                    data.push("height", f64::from(params.height));
                }
                if let Some(rate) = params.frame_rate {
                    data.push("framerate", rate.as_f64());
                }
            }
            if let (Some(carried), Some(params)) = (self.audio, track.audio())
                && carried.id == track.id
            {
                data.push("audiocodecid", f64::from(AAC));
                data.push("audiosamplerate", f64::from(params.sample_rate));
                data.push("audiosamplesize", 16.0);
                data.push("stereo", params.channels > 1);
            }
        }
        data.push("encoder", "rillcast");
        data
    }

    /// The tag that configures a track's decoder; `None` if the track is left
    /// out, or needs none.
    pub(crate) fn configuration(&self, track: &Track, timestamp: u32) -> Option<Bytes> {
        let mut out = BytesMut::new();
        if let Some(video) = self.video.filter(|it| it.id == track.id) {
            let (head, length) = video.form.head(true, PacketKind::Configuration);
            let head = head.get(..length)?;
            put_whole(&mut out, VIDEO, timestamp, head, &track.config);
        } else {
            self.audio.filter(|it| it.id == track.id)?;
            let head = [AAC_HEAD, AAC_CONFIGURATION];
            put_whole(&mut out, AUDIO, timestamp, &head, &track.config);
        }
        Some(out.freeze())
    }

    /// The timestamp of a frame's tag; `None` if the frame is left out.
    pub(crate) fn timestamp(&self, frame: &Frame) -> Option<u32> {
        let video = self.video.filter(|it| it.id == frame.track);
        let video = video.map(|it| it.timescale);
        let audio = self.audio.filter(|it| it.id == frame.track);
        let timescale = video.or_else(|| audio.map(|it| it.timescale))?;
        Some(wrapped(millis(frame.dts, timescale)))
    }

    /// The tags of `frames`; those of tracks that are left out are missing, and
    /// so are frames that are too large for a tag.
    pub(crate) fn row<'a>(&self, frames: impl ExactSizeIterator<Item = &'a Frame>) -> Row {
        // All heads share one allocation; the size behind a tag goes into the
        // same slice as the head of the next.
        let mut heads = BytesMut::with_capacity(frames.len() * MOST_HEAD + SIZE);
        let mut ends = Vec::with_capacity(frames.len());
        let mut pictures = false;
        for frame in frames {
            let Some((kind, timestamp, head, length)) = self.head(frame) else {
                continue;
            };
            let size = length + frame.payload.len();
            let (Some(head), Some(size)) = (head.get(..length), tag_size(size)) else {
                continue;
            };
            put_head(&mut heads, kind, timestamp, size);
            heads.put_slice(head);
            ends.push((heads.len(), frame.payload.clone()));
            heads.put_u32(TAG_HEAD + size);
            pictures |= kind == VIDEO;
        }
        let heads = heads.freeze();
        let mut slices = Vec::with_capacity(ends.len() * 2 + 1);
        let (mut from, mut bytes) = (0, heads.len());
        for (end, payload) in ends {
            slices.push(heads.slice(from..end));
            bytes += payload.len();
            slices.push(payload);
            from = end;
        }
        if from < heads.len() {
            slices.push(heads.slice(from..));
        }
        Row {
            slices: slices.into(),
            bytes,
            pictures,
        }
    }

    /// What stands before a frame's payload: kind and timestamp of its tag, and
    /// the head of its body with its length.
    fn head(&self, frame: &Frame) -> Option<(u8, u32, [u8; 8], usize)> {
        if let Some(video) = self.video.filter(|it| it.id == frame.track) {
            let decode = millis(frame.dts, video.timescale);
            // Not the rounded difference: the sum must be the rounded time.
            let offset = millis(frame.pts, video.timescale).saturating_sub(decode);
            let kind = PacketKind::Frame(offset);
            let (head, length) = video.form.head(frame.keyframe, kind);
            return Some((VIDEO, wrapped(decode), head, length));
        }
        let audio = self.audio.filter(|it| it.id == frame.track)?;
        let timestamp = wrapped(millis(frame.dts, audio.timescale));
        let head = [AAC_HEAD, AAC_RAW, 0, 0, 0, 0, 0, 0];
        Some((AUDIO, timestamp, head, 2))
    }
}

enum PacketKind {
    Configuration,
    /// With its composition time offset in milliseconds.
    Frame(i64),
}

impl Picture {
    const fn enhanced(codec: Codec, reorders: bool) -> Self {
        Self::Enhanced {
            code: codec.code(),
            reorders,
        }
    }

    /// The head of a video body, and how long it is.
    fn head(self, keyframe: bool, kind: PacketKind) -> ([u8; 8], usize) {
        let frame_type = if keyframe { 1 << 4 } else { 2 << 4 };
        let (packet, offset) = match kind {
            PacketKind::Configuration => (0, 0),
            PacketKind::Frame(offset) => (1, offset),
        };
        // 24 bits with a sign: 2 hours either way.
        let offset = i32::try_from(offset.clamp(-0x80_0000, 0x7f_ffff)).unwrap_or_default();
        let [_, o0, o1, o2] = offset.to_be_bytes();
        match self {
            Self::Avc => ([frame_type | AVC, packet, o0, o1, o2, 0, 0, 0], 5),
            Self::Enhanced { code, reorders } => {
                let [c0, c1, c2, c3] = code;
                let first = EXTENDED | frame_type | packet;
                let timed = reorders && packet == 1;
                let length = if timed { 8 } else { 5 };
                ([first, c0, c1, c2, c3, o0, o1, o2], length)
            }
        }
    }
}

/// A tag whose body is `head` and `body`, with its size behind.
fn put_whole(out: &mut BytesMut, kind: u8, timestamp: u32, head: &[u8], body: &[u8]) {
    // What is put here is ours, or a configuration record: far below 16 MiB.
    let size = tag_size(head.len() + body.len()).unwrap_or_default();
    put_head(out, kind, timestamp, size);
    out.put_slice(head);
    out.put_slice(body);
    out.put_u32(TAG_HEAD + size);
}

/// Section E.4.1. The low 24 bits of the timestamp come first, then the high 8.
fn put_head(out: &mut BytesMut, kind: u8, timestamp: u32, size: u32) {
    out.put_u32((u32::from(kind) << 24) | size);
    out.put_u32(timestamp.rotate_left(8));
    out.put_slice(&[0; 3]);
}

/// The size of a body, if it is one that a tag may have.
fn tag_size(size: usize) -> Option<u32> {
    u32::try_from(size).ok().filter(|size| *size < 1 << 24)
}

/// Milliseconds since the stream began.
fn millis(ticks: i64, timescale: Timescale) -> i64 {
    let origin = Timescale::MILLIS.from_duration(Timeline::ORIGIN);
    rescale(ticks, timescale, Timescale::MILLIS).saturating_sub(origin)
}

/// As a timestamp has it: it wraps after 49 days. What was published before the
/// stream began, by some milliseconds, has begun with it.
fn wrapped(millis: i64) -> u32 {
    u32::try_from(millis.max(0) & i64::from(u32::MAX)).unwrap_or_default()
}

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
const SCRIPT: u8 = 18;

/// The head of a tag, without its body.
const TAG_HEAD: u32 = 11;
/// The size that stands behind a tag.
const SIZE: usize = 4;
/// Head of a tag, the longest head of a body, and the size behind.
const MOST_HEAD: usize = 11 + 8 + SIZE;

const AVC: u8 = 7;
/// The bit of enhanced RTMP's video header.
const EXTENDED: u8 = 0x80;
const AAC: u8 = 10;
/// AAC, 44 kHz, 16 bits, stereo: fixed, whatever the sound is (section E.4.2.1).
const AAC_HEAD: u8 = 0xaf;
const AAC_CONFIGURATION: u8 = 0;
const AAC_RAW: u8 = 1;

#[cfg(test)]
mod tests;
