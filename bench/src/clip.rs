//! The media that are published: made once by FFmpeg at a known bitrate, kept,
//! and played in a circle.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use rillcast_ingest_rtmp::proto::message::kind;
use rillcast_media::flv::file::{Reader, TagKind};

use crate::error::{Error, Result};

/// A clip in pieces: messages of RTMP, in the order of their timestamps.
#[derive(Clone, Debug)]
pub struct Clip {
    /// The configurations of both tracks, and `onMetaData`: what a publish
    /// begins with.
    pub(crate) head: Vec<Message>,
    /// Pictures and sound.
    pub(crate) frames: Vec<Message>,
    /// How long a round lasts, in milliseconds.
    pub(crate) length_ms: u32,
    bytes: usize,
}

/// The body of an FLV tag, and so of a message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) kind: TagKind,
    pub(crate) timestamp_ms: u32,
    pub(crate) body: Bytes,
}

/// Whole seconds, and whole groups of pictures and AAC frames.
const SECONDS: u32 = 8;
const PICTURES: u32 = SECONDS * 25;
const SOUNDS: u32 = SECONDS * 48_000 / 1_024;

impl Clip {
    /// A clip of `kilobits` per second, 25 pictures a second, a keyframe every
    /// two, with sound of 96 kb/s in it; from `folder` if it was made before.
    ///
    /// # Errors
    /// FFmpeg is missing or has failed.
    pub fn make(folder: &Path, kilobits: u32) -> Result<Self> {
        let path = folder.join(format!("clip-{kilobits}.flv"));
        if !path.exists() {
            encode(&path, kilobits)?;
        }
        let bytes = fs::read(&path).map_err(Error::of(path.display()))?;
        Self::read(&bytes)
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new();
        reader.push(bytes);
        let mut clip = Self {
            head: Vec::new(),
            frames: Vec::new(),
            length_ms: SECONDS * 1_000,
            bytes: 0,
        };
        let (mut pictures, mut sounds) = (PICTURES, SOUNDS);
        while let Some(tag) = reader.next_tag().map_err(Error::of("the clip"))? {
            let message = Message {
                kind: tag.kind,
                timestamp_ms: tag.timestamp_ms,
                body: tag.body,
            };
            // The second byte tells a configuration (0) and the end (2) apart.
            match (tag.kind, message.body.get(1)) {
                (TagKind::Audio | TagKind::Video, Some(0)) | (TagKind::Script, _) => {
                    clip.head.push(message);
                }
                (kind @ (TagKind::Audio | TagKind::Video), Some(1)) => {
                    let left = if kind == TagKind::Video {
                        &mut pictures
                    } else {
                        &mut sounds
                    };
                    if *left > 0 {
                        *left -= 1;
                        clip.add(message);
                    }
                }
                _ => {}
            }
        }
        clip.frames.sort_by_key(|message| message.timestamp_ms);
        if clip.head.len() < 3 || pictures + sounds > 0 {
            return Err(Error::new("the clip is not what was ordered"));
        }
        Ok(clip)
    }

    /// The sound begins later than the pictures and ends later: what is behind
    /// the end of a round is played at its beginning.
    fn add(&mut self, mut message: Message) {
        message.timestamp_ms %= self.length_ms;
        self.bytes += message.body.len();
        self.frames.push(message);
    }

    /// The bodies of one round as messages of RTMP: their type, their timestamp
    /// in milliseconds, and the bytes; the configurations first.
    pub fn messages(&self) -> impl Iterator<Item = (u8, u32, Bytes)> {
        self.head.iter().chain(&self.frames).map(|message| {
            let kind = match message.kind {
                TagKind::Video => kind::VIDEO,
                TagKind::Audio => kind::AUDIO,
                _ => kind::DATA_AMF0,
            };
            (kind, message.timestamp_ms, message.body.clone())
        })
    }

    /// What it comes to, in bits per second.
    #[must_use]
    pub fn bitrate(&self) -> usize {
        self.bytes * 8 * 1_000 / self.length_ms as usize
    }

    /// Messages per second.
    #[must_use]
    pub fn rate(&self) -> usize {
        self.frames.len() * 1_000 / self.length_ms as usize
    }
}

fn encode(path: &Path, kilobits: u32) -> Result {
    // Noise, so that the bits are needed, and a rate that hardly varies.
    let picture = "testsrc2=size=640x360:rate=25,noise=alls=20:allf=t";
    let sound = "sine=frequency=440:sample_rate=48000";
    let rate = format!("{}k", kilobits.saturating_sub(96).max(64));
    let half = format!("{}k", kilobits / 2);
    let seconds = SECONDS.to_string();
    let partial = path.with_extension("part");
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound])
        .args(["-t", &seconds, "-c:v", "libx264", "-preset", "veryfast"])
        .args(["-profile:v", "high", "-pix_fmt", "yuv420p", "-threads", "1"])
        .args(["-b:v", &rate, "-minrate", &rate, "-maxrate", &rate])
        .args(["-bufsize", &half, "-bf", "2"])
        .args([
            "-x264-params",
            "keyint=50:min-keyint=50:scenecut=0:nal-hrd=cbr",
        ])
        .args(["-c:a", "aac", "-b:a", "96k"])
        .args(["-flvflags", "no_sequence_end+no_duration_filesize"])
        .args(["-f", "flv"])
        .arg(&partial)
        .stdin(Stdio::null())
        .output()
        .map_err(Error::of("ffmpeg"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("ffmpeg: {}\n{said}", output.status)));
    }
    // A clip that is there is whole.
    fs::rename(&partial, path).map_err(Error::of(path.display()))
}
