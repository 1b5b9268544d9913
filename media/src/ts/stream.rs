//! One elementary stream: its packets' order, its PES packets, its codec.

use std::collections::VecDeque;
use std::time::Instant;

use rillcast_core::{Track, TrackId};

use super::Counts;
use super::audio::{self, Audio};
use super::packet::{Arrival, Continuity, Packet};
use super::pes::{self, Header, MAX_HEADER, Parsed, between};
use super::tables::{Entry, Format};
use super::times::Times;
use super::video::{self, Video};
use crate::codec::framer::Framer;
use crate::source::{SourceClock, SourceFrame, SourceItem};

/// A stream that is carried.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) entry: Entry,
    pub(super) id: TrackId,
    continuity: Continuity,
    pes: Pes,
    codec: Codec,
    times: Times,
    /// The track as it was described last.
    track: Option<Track>,
}

#[derive(Debug)]
enum Codec {
    Video(Box<Video>),
    Audio(Box<Audio>),
}

/// Where in a PES packet the stream is.
#[derive(Debug)]
enum Pes {
    /// Nothing is taken until one begins.
    Outside,
    /// Its header is not whole yet.
    Header(Vec<u8>),
    /// So many bytes are to come, if that is known.
    Body(Option<usize>),
}

/// What is known with a packet besides its bytes.
pub(super) struct Context<'a> {
    pub(super) received: Instant,
    pub(super) counts: &'a mut Counts,
    pub(super) items: &'a mut VecDeque<SourceItem>,
}

impl Stream {
    /// `None` if the format is not carried.
    pub(super) fn new(entry: Entry, id: TrackId) -> Option<Self> {
        let framer = match entry.format {
            Format::AacAdts => Some(Framer::adts()),
            Format::AacLatm => Some(Framer::latm()),
            Format::Ac3 | Format::Eac3 => Some(Framer::ac3()),
            Format::MpegAudio => Some(Framer::mpeg_audio()),
            Format::Opus(channels) => Framer::opus(channels),
            Format::H264 | Format::Hevc | Format::Unsupported(_) | Format::Data => None,
        };
        let codec = match entry.format {
            Format::H264 => Codec::Video(Box::new(Video::h264(id))),
            Format::Hevc => Codec::Video(Box::new(Video::hevc(id))),
            _ => Codec::Audio(Box::new(Audio::new(framer?, id))),
        };
        Some(Self {
            entry,
            id,
            continuity: Continuity::default(),
            pes: Pes::Outside,
            codec,
            times: Times::default(),
            track: None,
        })
    }

    /// Packets are missing here; if `many`, counters may not show it.
    pub(super) const fn lost(&mut self, many: bool) {
        self.continuity.lost(many);
    }

    pub(super) fn packet(&mut self, packet: &Packet<'_>, cx: &mut Context<'_>) {
        match self.continuity.check(packet) {
            Arrival::Next => {}
            Arrival::Repeat => {
                cx.counts.repeated += 1;
                return;
            }
            Arrival::Late => {
                cx.counts.late += 1;
                return;
            }
            Arrival::Return => {
                self.lose(0, cx);
                if let Codec::Audio(audio) = &mut self.codec {
                    audio.lost_nothing();
                }
            }
            Arrival::Gap(lost) => {
                cx.counts.lost += u64::from(lost.max(1));
                self.lose(u32::from(lost), cx);
            }
            Arrival::Restart => {
                cx.counts.restarts += 1;
                if packet.starts {
                    self.finish(cx);
                } else {
                    self.lose(0, cx);
                    self.times.restart(cx.items);
                }
            }
        }
        let Some(payload) = packet.payload else {
            return;
        };
        if packet.scrambled {
            cx.counts.scrambled += 1;
            self.lose(1, cx);
            return;
        }
        if packet.starts || self.looks_like_start(payload) {
            if matches!(self.pes, Pes::Header(_)) {
                cx.counts.broken_headers += 1;
            }
            self.begin(payload, cx);
        } else {
            self.go_on(payload, cx);
        }
        if packet.stuffed && matches!(self.pes, Pes::Body(None)) {
            self.ended(cx);
        }
    }

    /// The access unit in progress is whole: the stream ends or starts anew.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>) {
        self.with_codec(cx, |codec, counts, sink| {
            if let Codec::Video(video) = codec {
                video.finish(counts, &mut |output| sink.video(output));
            }
        });
        self.times.restart(cx.items);
        self.pes = Pes::Outside;
    }

    /// The program has this stream no longer.
    pub(super) fn leave(&mut self, cx: &mut Context<'_>) {
        self.lose(0, cx);
        self.times.restart(cx.items);
    }

    /// There are so many tracks of video.
    pub(super) fn share(&mut self, tracks: usize) {
        if let Codec::Video(video) = &mut self.codec {
            video.share(tracks);
        }
    }

    /// The map names this language now.
    pub(super) fn describe(&mut self, language: Option<String>, cx: &mut Context<'_>) {
        if self.entry.language == language {
            return;
        }
        self.entry.language = language;
        if let Some(track) = &mut self.track {
            track.language.clone_from(&self.entry.language);
            cx.items.push_back(SourceItem::Track(track.clone()));
        }
    }

    /// So many packets are missing.
    fn lose(&mut self, packets: u32, cx: &mut Context<'_>) {
        let received = cx.received;
        self.with_codec(cx, |codec, counts, sink| match codec {
            Codec::Video(video) => video.lose(counts, &mut |output| sink.video(output)),
            Codec::Audio(audio) => {
                let bytes = packets.saturating_mul(PAYLOAD);
                audio.lose(bytes, received, counts, &mut |output| sink.audio(output));
            }
        });
        self.pes = match self.pes {
            Pes::Outside => Pes::Outside,
            // What comes may be of a packet whose beginning was lost.
            Pes::Header(_) | Pes::Body(_) => Pes::Body(None),
        };
    }

    /// A packet whose start indicator was damaged still begins like a PES
    /// packet, which no NAL unit may: its first bit is always 0.
    fn looks_like_start(&self, payload: &[u8]) -> bool {
        let Codec::Video(_) = self.codec else {
            return false;
        };
        matches!(payload, [0, 0, 1, stream_id, ..] if pes::carries(*stream_id))
            && matches!(Header::parse(payload), Parsed::Header(_))
    }

    fn begin(&mut self, payload: &[u8], cx: &mut Context<'_>) {
        match Header::parse(payload) {
            Parsed::Header(header) => self.opened(header, payload, cx),
            Parsed::More => self.pes = Pes::Header(payload.to_vec()),
            Parsed::Other => self.pes = Pes::Outside,
            Parsed::Broken => {
                // What stands behind the header is found by its codec, where
                // there are several frames. Where nothing is known yet, a
                // beginning is waited for.
                cx.counts.broken_headers += 1;
                self.lose(0, cx);
                if matches!(self.pes, Pes::Body(_)) {
                    self.push(payload, cx);
                }
            }
        }
    }

    fn opened(&mut self, header: Header, bytes: &[u8], cx: &mut Context<'_>) {
        if header.scrambled {
            cx.counts.scrambled += 1;
            self.lose(0, cx);
            self.pes = Pes::Outside;
            return;
        }
        self.with_codec(cx, |codec, counts, sink| match codec {
            Codec::Video(video) => {
                video.begin(header.stamp, counts, &mut |output| sink.video(output));
            }
            Codec::Audio(audio) => audio.begin(header.stamp),
        });
        self.pes = Pes::Body(header.payload);
        self.go_on(bytes.get(header.size..).unwrap_or_default(), cx);
    }

    fn go_on(&mut self, payload: &[u8], cx: &mut Context<'_>) {
        match &mut self.pes {
            Pes::Outside => {}
            Pes::Header(held) => {
                held.extend_from_slice(payload);
                if held.len() < MAX_HEADER && Header::parse(held) == Parsed::More {
                    return;
                }
                let held = std::mem::take(held);
                self.pes = Pes::Outside;
                self.begin(&held, cx);
            }
            Pes::Body(None) => self.push(payload, cx),
            Pes::Body(Some(left)) => {
                let taken = payload.len().min(*left);
                *left -= taken;
                let last = *left == 0;
                let (now, more) = payload.split_at_checked(taken).unwrap_or_default();
                self.push(now, cx);
                if last {
                    // More comes only if the length was damaged.
                    self.pes = Pes::Body(None);
                    self.ended(cx);
                    self.push(more, cx);
                }
            }
        }
    }

    fn push(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        let received = cx.received;
        self.with_codec(cx, |codec, counts, sink| match codec {
            Codec::Video(video) => {
                video.push(bytes, received, counts, &mut |output| sink.video(output));
            }
            Codec::Audio(audio) => {
                audio.push(bytes, received, counts, &mut |output| sink.audio(output));
            }
        });
    }

    fn ended(&mut self, cx: &mut Context<'_>) {
        self.with_codec(cx, |codec, counts, sink| {
            if let Codec::Video(video) = codec {
                video.ended(counts, &mut |output| sink.video(output));
            }
        });
    }

    fn with_codec(
        &mut self,
        cx: &mut Context<'_>,
        run: impl FnOnce(&mut Codec, &mut Counts, &mut Sink<'_>),
    ) {
        let mut sink = Sink {
            id: self.id,
            language: self.entry.language.as_ref(),
            track: &mut self.track,
            times: &mut self.times,
            items: cx.items,
        };
        run(&mut self.codec, cx.counts, &mut sink);
    }
}

/// Where a codec's output becomes items.
struct Sink<'a> {
    id: TrackId,
    language: Option<&'a String>,
    track: &'a mut Option<Track>,
    times: &'a mut Times,
    items: &'a mut VecDeque<SourceItem>,
}

impl Sink<'_> {
    fn track(&mut self, track: Track) {
        let track = track.with_language(self.language.cloned());
        *self.track = Some(track.clone());
        self.items.push_back(SourceItem::Track(track));
    }

    fn video(&mut self, output: video::Output) {
        match output {
            video::Output::Track(track) => self.track(track),
            video::Output::Unit(unit) => {
                let cts = between(unit.stamp.dts, unit.stamp.pts);
                let frame = SourceFrame {
                    track: self.id,
                    dts: unit.stamp.dts,
                    cts: i32::try_from(cts).unwrap_or(0),
                    clock: SourceClock::MPEG,
                    nanos: 0,
                    duration: 0,
                    keyframe: unit.keyframe,
                    payload: unit.payload,
                    received: unit.received,
                };
                self.times.push(frame, unit.own_time, self.items);
            }
        }
    }

    fn audio(&mut self, output: audio::Output) {
        match output {
            audio::Output::Track(track) => self.track(track),
            audio::Output::Unit(unit) => {
                let frame = SourceFrame {
                    track: self.id,
                    dts: unit.pts,
                    cts: 0,
                    clock: SourceClock::MPEG,
                    nanos: 0,
                    duration: unit.samples,
                    keyframe: true,
                    payload: unit.payload,
                    received: unit.received,
                };
                self.times.push(frame, unit.own_time, self.items);
            }
        }
    }
}

/// The payload of a packet without an adaptation field.
const PAYLOAD: u32 = 184;
