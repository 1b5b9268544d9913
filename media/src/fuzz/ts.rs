//! MPEG-TS: any bytes, and streams of packets that are nearly right.
#![expect(
    clippy::indexing_slicing,
    reason = "a wrong index here is a fault of the target, and shows at once"
)]

use std::time::Instant;

use rillcast_core::TrackId;

use super::input::Reader;
use crate::codec::{self, avc, hevc};
use crate::ts::Demuxer;
use crate::{SourceFrame, SourceItem};

/// The first byte chooses between bytes as they are and packets made of them,
/// the second one how they are cut. However they are cut, the same comes of
/// them, unless packets have to be looked for; tracks come before frames, frames
/// are whole, times are of 33 bits.
pub fn ts(data: &[u8]) {
    let Some(([choice, step], data)) = data.split_first_chunk() else {
        return;
    };
    let script = if choice % 2 == 0 {
        vec![Event::Bytes(data.to_vec())]
    } else {
        packets(data)
    };
    let (whole, in_step) = run(&script, usize::MAX);
    let (cut, too) = run(&script, usize::from(*step) + 1);
    if !in_step || !too {
        return;
    }
    assert_eq!(whole.len(), cut.len());
    for (whole, cut) in whole.iter().zip(&cut) {
        assert_eq!(
            (whole.track, whole.dts, whole.cts, whole.keyframe),
            (cut.track, cut.dts, cut.cts, cut.keyframe)
        );
        assert_eq!(whole.payload, cut.payload);
    }
}

/// What happens to a demuxer.
enum Event {
    Bytes(Vec<u8>),
    Lost(u32),
    Flush,
}

/// The frames, and whether all bytes were packets.
fn run(script: &[Event], step: usize) -> (Vec<SourceFrame>, bool) {
    let mut demuxer = Demuxer::new();
    let mut tracks = Vec::new();
    let mut frames = Vec::new();
    let now = Instant::now();
    let (mut taken, mut given) = (0, 0);
    for event in script {
        match event {
            Event::Bytes(bytes) => {
                taken += bytes.len();
                for read in bytes.chunks(step) {
                    demuxer.push(read, now);
                    drain(&mut demuxer, &mut tracks, &mut frames);
                }
            }
            Event::Lost(payloads) => demuxer.packets_lost(*payloads),
            Event::Flush => demuxer.flush(now),
        }
        drain(&mut demuxer, &mut tracks, &mut frames);
    }
    demuxer.flush(now);
    drain(&mut demuxer, &mut tracks, &mut frames);
    given += frames
        .iter()
        .map(|frame| frame.payload.len())
        .sum::<usize>();
    // Four bytes for a start code of three, and a byte at least behind it.
    assert!(given <= taken + taken / 4 + 4, "{given} of {taken}");
    while demuxer.take_complaint().is_some() {}
    let counts = demuxer.counts();
    assert!(counts.packets * 188 <= taken as u64);
    assert!(counts.units >= frames.len() as u64);
    (frames, counts.sync_losses + counts.skipped_bytes == 0)
}

fn drain(
    demuxer: &mut Demuxer,
    tracks: &mut Vec<(TrackId, rillcast_core::Codec)>,
    frames: &mut Vec<SourceFrame>,
) {
    while let Some(item) = demuxer.next_item() {
        match item {
            SourceItem::Track(track) => {
                assert!(track.id.0 < 32 && track.timescale.hz() > 0);
                tracks.retain(|(id, _)| *id != track.id);
                tracks.push((track.id, track.codec));
            }
            SourceItem::Frame(frame) => {
                let codec = tracks.iter().find(|(id, _)| *id == frame.track);
                let codec = codec.unwrap().1;
                assert!((0..1 << 33).contains(&frame.dts));
                assert!(!frame.payload.is_empty());
                match codec {
                    codec::AVC => {
                        let summary = avc::summarize(&frame.payload).unwrap();
                        assert!(summary.picture && !summary.empty_unit);
                        assert!(!frame.keyframe || summary.keyframe);
                    }
                    codec::HEVC => {
                        let summary = hevc::summarize(&frame.payload).unwrap();
                        assert!(summary.picture);
                    }
                    _ => assert!(frame.duration > 0),
                }
                frames.push(frame);
            }
            SourceItem::Announce(kinds) => assert!(kinds.len() <= 20),
        }
    }
}

/// Packets with tables, PES headers and counters that are mostly right.
fn packets(data: &[u8]) -> Vec<Event> {
    let mut input = Reader::new(data);
    let mut script = vec![Event::Bytes(table(0, 0, &[0, 1, 0xe1, 0]))];
    let mut counters = [0_u8; 8];
    let mut last = Vec::new();
    while !input.is_empty() && script.len() < 256 {
        let op = input.u8();
        let index = input.u8() % 8;
        let counter = &mut counters[usize::from(index)];
        let pid = 0x200 + u16::from(index);
        match op % 16 {
            0 => {
                // A map: a stream on each PID that a bit is set for.
                let (mask, shift) = (input.u8() | 1, input.u8());
                let mut body = vec![0xe2, 0, 0xf0, 0];
                for stream in (0..8).filter(|stream| mask >> stream & 1 == 1) {
                    let kind = KINDS[usize::from(shift.wrapping_add(stream)) % KINDS.len()];
                    body.extend_from_slice(&[kind.0, 0xe2, stream, 0xf0]);
                    body.push(u8::try_from(kind.1.len()).unwrap());
                    body.extend_from_slice(kind.1);
                }
                script.push(Event::Bytes(table(0x100, 2, &body)));
            }
            1 => script.push(Event::Lost(u32::from(input.u8() % 8))),
            2 => script.push(Event::Flush),
            3 => script.push(Event::Bytes(last.clone())),
            4 => *counter = input.u8() & 15,
            5 => {
                let mut noise = vec![0; usize::from(input.u8())];
                noise.fill_with(|| input.u8());
                script.push(Event::Bytes(noise));
            }
            op => {
                let mut payload = Vec::new();
                if op >= 11 {
                    let length = if op % 2 == 0 { input.u8() } else { 0 };
                    let stamp = input.u32().to_be_bytes();
                    let id = if index < 4 { 0xe0 } else { 0xbd };
                    payload.extend_from_slice(&[0, 0, 1, id, 0, length, 0x80, 0x80, 5, 0x21]);
                    let [a, b, c, d] = stamp;
                    payload.extend_from_slice(&[a, b | 1, c, d | 1]);
                }
                let size = usize::from(input.u8());
                for _ in 0..size {
                    // Start codes and headers, so that they come often.
                    match input.u8() {
                        byte @ ..200 => payload.push(byte),
                        choice => {
                            let piece = PIECES[usize::from(choice) % PIECES.len()];
                            payload.extend_from_slice(piece);
                        }
                    }
                }
                payload.truncate(184);
                last = packet(pid, op >= 11, *counter, &payload);
                *counter = (*counter + 1) & 15;
                script.push(Event::Bytes(last.clone()));
            }
        }
    }
    script
}

/// Stream types with their descriptors.
const KINDS: [(u8, &[u8]); 10] = [
    (0x1b, &[]),
    (0x24, &[]),
    (0x0f, &[0x0a, 4, b'd', b'e', b'u', 0]),
    (0x11, &[]),
    (0x03, &[]),
    (0x81, &[]),
    (0x06, b"\x05\x04Opus\x7f\x02\x80\x02"),
    (0x06, &[0x7a, 1, 0]),
    (0x02, &[]),
    (0x06, b"\x05\x04HEVC"),
];

/// What streams are made of: parameter sets and slices of small pictures,
/// headers of sound.
const PIECES: [&[u8]; 16] = [
    &[0, 0, 1],
    &[0, 0, 0, 1, 9, 0xf0],
    &[
        0, 0, 1, 0x67, 0x42, 0xc0, 0x0a, 0xda, 0x0f, 0x08, 0x84, 0x6a,
    ],
    &[0, 0, 1, 0x68, 0xce, 0x0f, 0xc8],
    &[0, 0, 1, 0x65, 0x88, 0x84, 0x0a],
    &[0, 0, 1, 0x41, 0x9a, 0x24, 0x10],
    &[0, 0, 1, 0x46, 1, 0x50],
    &[0, 0, 1, 0x26, 1, 0xaf],
    &[0, 0, 1, 0x02, 1, 0xd0],
    &[0xff, 0xf1, 0x50, 0x80, 0x01, 0x3f, 0xfc, 0x21],
    &[0x56, 0xe0, 0x08, 0x20, 0],
    &[0xff, 0xfb, 0x14, 0xc4],
    &[0x0b, 0x77, 0, 0, 0, 0x40, 0x43],
    &[0x7f, 0xe0, 2, 0xfc, 0xff],
    &[0, 0, 3],
    &[0; 9],
];

/// A packet; what its payload does not fill is stuffing.
pub(crate) fn packet(pid: u16, starts: bool, counter: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = pid.to_be_bytes();
    let stuffing = 184 - payload.len();
    let control = if stuffing == 0 { 0x10 } else { 0x30 };
    let mut out = vec![0x47, high | u8::from(starts) << 6, low, control | counter];
    if stuffing > 0 {
        out.push(u8::try_from(stuffing - 1).unwrap());
        out.extend((1..stuffing).map(|at| if at == 1 { 0 } else { 0xff }));
    }
    out.extend_from_slice(payload);
    out
}

/// A packet with a section.
pub(crate) fn table(pid: u16, id: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len() + 9).unwrap();
    let mut section = vec![id, 0xb0, length, 0, 1, 0xc1, 0, 0];
    section.extend_from_slice(body);
    let crc = crate::ts::section_checksum(&section);
    section.extend_from_slice(&crc.to_be_bytes());
    let payload: Vec<u8> = std::iter::once(0).chain(section).collect();
    packet(pid, true, 0, &payload)
}
