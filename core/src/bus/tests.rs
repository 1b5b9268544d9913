//! The bus, by what its users see. What each file covers is in its name; the
//! helpers below make frames that can be told apart and readers that can be
//! compared with a line of text.

mod close;
mod gop;
mod groups;
mod join;
mod lag;
mod life;
mod load;
mod measure;
mod memory;
mod model;
mod observe;
mod reactor;
mod views;
mod wakeups;

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;

use super::{BusConfig, Publisher, Recv, ResilientSubscription, StreamHandle, Subscription};
use crate::sync::now;
use crate::{
    AudioParams, ByteSize, Codec, Frame, HumanDuration, MediaKind, MediaParams, StreamKey,
    Timescale, Track, TrackId, VideoParams,
};

const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);
const SECOND_VIDEO: TrackId = TrackId(2);

fn key() -> StreamKey {
    "live/test".parse().unwrap()
}

fn stream(config: BusConfig) -> (Publisher, StreamHandle) {
    StreamHandle::new(key(), config)
}

/// A configuration that keeps next to nothing for readers that fall behind.
fn short() -> BusConfig {
    BusConfig {
        lag_frames: 1,
        ..BusConfig::default()
    }
}

/// A configuration without a GOP cache.
fn uncached() -> BusConfig {
    BusConfig {
        gop_cache: 0,
        ..BusConfig::default()
    }
}

fn video(id: TrackId) -> Track {
    Track::new(
        id,
        Codec::new(*b"avc1"),
        Timescale::VIDEO,
        MediaParams::Video(VideoParams::new(1_280, 720)),
    )
}

fn audio(id: TrackId) -> Track {
    let rate = Timescale::new(48_000).unwrap();
    Track::new(
        id,
        Codec::new(*b"mp4a"),
        rate,
        MediaParams::Audio(AudioParams::new(48_000, 2)),
    )
}

/// The same track with another configuration.
fn changed(track: Track, config: &'static str) -> Track {
    track.with_config(Bytes::from_static(config.as_bytes()))
}

/// A frame of `track` that carries `number`, which is its time in frames too.
fn frame(track: TrackId, number: u32, keyframe: bool) -> Frame {
    let payload = Bytes::copy_from_slice(&number.to_be_bytes());
    Frame::new(track, i64::from(number) * 3_000, now(), payload).with_keyframe(keyframe)
}

fn number(frame: &Frame) -> u32 {
    u32::from_be_bytes(frame.payload[..4].try_into().unwrap())
}

/// Publishes what `script` says, a word each: `v` and `V` a picture and a
/// keyframe of the first video track, `w` and `W` of the second, `a` sound, all
/// followed by the frame's number; `tv`, `tw` and `ta` the configuration of a
/// track, and what follows becomes its content.
fn publish(publisher: &mut Publisher, script: &'static str) {
    for word in script.split_whitespace() {
        if let Some(rest) = word.strip_prefix('t') {
            let (which, config) = rest.split_at(1);
            let track = match which {
                "v" => video(VIDEO),
                "w" => video(SECOND_VIDEO),
                _ => audio(AUDIO),
            };
            publisher.publish_track(changed(track, config)).unwrap();
            continue;
        }
        let (which, number) = word.split_at(1);
        let number = number.parse().unwrap();
        let (track, keyframe) = match which {
            "v" => (VIDEO, false),
            "V" => (VIDEO, true),
            "w" => (SECOND_VIDEO, false),
            "W" => (SECOND_VIDEO, true),
            _ => (AUDIO, true),
        };
        publisher
            .publish_frame(frame(track, number, keyframe))
            .unwrap();
    }
}

/// Publishes the first video track's frames of `numbers`, with a keyframe
/// whenever a number can be divided by `gop`.
fn publish_video(publisher: &mut Publisher, numbers: std::ops::Range<u32>, gop: u32) {
    for number in numbers {
        publisher
            .publish_frame(frame(VIDEO, number, number % gop == 0))
            .unwrap();
    }
}

trait Reads {
    fn next(&mut self) -> Option<Recv<'_>>;
    fn missed(&self) -> u64;
}

impl Reads for Subscription {
    fn next(&mut self) -> Option<Recv<'_>> {
        self.try_recv()
    }

    fn missed(&self) -> u64 {
        self.dropped()
    }
}

impl Reads for ResilientSubscription {
    fn next(&mut self) -> Option<Recv<'_>> {
        self.try_recv()
    }

    fn missed(&self) -> u64 {
        self.dropped()
    }
}

/// What there is to read, in the words of [`publish`], with `lag` and its
/// count, `break` and its cause, and `end`.
fn read(subscription: &mut impl Reads) -> String {
    let mut text = String::new();
    while let Some(recv) = subscription.next() {
        if !text.is_empty() {
            text.push(' ');
        }
        let end = matches!(recv, Recv::Ended);
        text.push_str(&word(&recv));
        if end {
            break;
        }
    }
    text
}

fn word(recv: &Recv<'_>) -> String {
    match recv {
        Recv::Frame(frame) => frame_word(frame),
        Recv::Track(track) => track_word(track),
        Recv::Lagged { skipped } => format!("lag{skipped}"),
        Recv::Discontinuity(discontinuity) => format!("break-{}", discontinuity.cause),
        Recv::Ended => "end".to_owned(),
    }
}

fn frame_word(frame: &Frame) -> String {
    let letter = match (frame.track, frame.keyframe) {
        (VIDEO, false) => 'v',
        (VIDEO, true) => 'V',
        (SECOND_VIDEO, false) => 'w',
        (SECOND_VIDEO, true) => 'W',
        _ => 'a',
    };
    format!("{letter}{}", number(frame))
}

fn track_word(track: &Track) -> String {
    let letter = match track.id {
        VIDEO => 'v',
        SECOND_VIDEO => 'w',
        _ => 'a',
    };
    format!("t{letter}{}", str::from_utf8(&track.config).unwrap())
}

/// Checks that there is nothing to read but the frames `numbers` of the first
/// video track, each once and in order.
fn assert_video(subscription: &mut impl Reads, numbers: std::ops::Range<u32>, gop: u32) {
    let mut want = String::new();
    for number in numbers {
        let letter = if number % gop == 0 { 'V' } else { 'v' };
        write!(want, " {letter}{number}").unwrap();
    }
    assert_eq!(read(subscription), want.trim_start());
}

/// As much of `text` as one can look at.
fn tail(text: &str, words: usize) -> String {
    let mut last: Vec<_> = text.split(' ').rev().take(words).collect();
    last.reverse();
    last.join(" ")
}

/// The number in a word of [`read`].
fn count(word: &str) -> usize {
    word.trim_start_matches(|letter: char| !letter.is_ascii_digit())
        .parse()
        .unwrap()
}
