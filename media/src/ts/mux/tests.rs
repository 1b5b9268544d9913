//! Segments against what the standard asks of them, and what the demuxer makes
//! of them.

mod checker;
mod random;

use std::time::Instant;

use bytes::Bytes;
use rillcast_core::{Track, TrackId};

use super::{Continuity, Mux, MuxError, Unit};
use crate::codec::{self, aac, avc, hevc, mpeg_audio, opus};
use crate::ts::Demuxer;
use crate::{SourceFrame, SourceItem};
use checker::{Checker, Pes, Row};

fn record(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len()).step_by(2);
    digits
        .map(|at| u8::from_str_radix(hex.get(at..at + 2).unwrap(), 16).unwrap())
        .collect()
}

fn avc() -> Track {
    let config = avc::Config::parse(&record(avc::captures::HIGH_1080)).unwrap();
    config.track(TrackId(0))
}

fn hevc() -> Track {
    let config = hevc::Config::parse(&record(hevc::captures::MAIN10_HDR)).unwrap();
    config.track(TrackId(0))
}

/// AAC-LC in stereo, of 48 kHz or 44.1 kHz.
fn aac(config: [u8; 2]) -> Track {
    aac::Config::parse(&config).unwrap().track(TrackId(0))
}

fn opus() -> Track {
    let config = opus::Config::of_channel_code(Some(2)).unwrap();
    config.track(TrackId(0))
}

/// 48 kHz, 128 kb/s.
fn mp3() -> Track {
    let header = mpeg_audio::Header::parse([0xff, 0xfb, 0x94, 0x00]);
    header.unwrap().track(TrackId(0))
}

/// An access unit that owns its bytes.
#[derive(Clone, Debug)]
struct Made {
    track: usize,
    dts: u64,
    pts: u64,
    keyframe: bool,
    payload: Bytes,
}

impl Made {
    fn unit(&self) -> Unit<'_> {
        Unit {
            track: self.track,
            dts: self.dts,
            pts: self.pts,
            keyframe: self.keyframe,
            payload: &self.payload,
        }
    }
}

fn units(made: &[Made]) -> Vec<Unit<'_>> {
    made.iter().map(Made::unit).collect()
}

/// Muxes segments one behind the other, and each again out of order.
fn mux(mux: &Mux, segments: &[Vec<Made>]) -> (Vec<Vec<u8>>, Continuity) {
    let mut states = vec![Continuity::default()];
    for made in segments {
        let state = *states.last().unwrap();
        states.push(mux.advance(state, &units(made)));
    }
    let mut written = Vec::new();
    for (at, made) in segments.iter().enumerate().rev() {
        let mut out = Vec::new();
        let next = mux.segment(states[at], &units(made), &mut out);
        assert_eq!(next, states[at + 1], "advance");
        assert_eq!(out.len(), mux.size(states[at], &units(made)), "size");
        written.push(out);
    }
    written.reverse();
    (written, states[segments.len()])
}

/// NAL units with their lengths.
fn lengths(units: &[&[u8]]) -> Bytes {
    let mut out = Vec::new();
    for unit in units {
        out.extend_from_slice(&u32::try_from(unit.len()).unwrap().to_be_bytes());
        out.extend_from_slice(unit);
    }
    out.into()
}

/// A slice of H.264 or HEVC with so many bytes, none of them 0.
fn slice(is_hevc: bool, keyframe: bool, size: usize) -> Vec<u8> {
    let mut unit = match (is_hevc, keyframe) {
        (true, true) => vec![19 << 1, 1],
        (true, false) => vec![1 << 1, 1],
        (false, true) => vec![0x65],
        (false, false) => vec![0x41],
    };
    let fill = (0..size).map(|at| u8::try_from(at % 251 + 1).unwrap());
    unit.extend(fill);
    unit
}

/// The program's map and the PES packets of segments that are checked.
fn check(segments: &[Vec<u8>]) -> (Vec<Row>, Vec<Pes>, Checker) {
    let mut checker = Checker::default();
    let mut map = Vec::new();
    let mut all = Vec::new();
    for segment in segments {
        let (rows, pes) = checker.segment(segment);
        map = rows;
        all.extend(pes);
    }
    (map, all, checker)
}

#[test]
fn the_map_says_what_each_codec_needs() {
    let ac3 = Track::new(
        TrackId(0),
        codec::AC3,
        rillcast_core::Timescale::new(48_000).unwrap(),
        mp3().params,
    );
    let mut eac3 = ac3.clone();
    eac3.codec = codec::EAC3;
    let low = mpeg_audio::Header::parse([0xff, 0xf3, 0x94, 0x00]).unwrap();
    for (track, stream_type, descriptors) in [
        (avc(), 0x1b, &b""[..]),
        (hevc(), 0x24, b"\x05\x04HEVC"),
        (aac([0x11, 0x90]), 0x0f, b""),
        (
            aac([0x11, 0x90]).with_language(Some("de".into())),
            0x0f,
            b"\x0a\x04deu\0",
        ),
        (
            aac([0x11, 0x90]).with_language(Some("pt-BR".into())),
            0x0f,
            b"\x0a\x04por\0",
        ),
        (
            aac([0x11, 0x90]).with_language(Some("haw".into())),
            0x0f,
            b"\x0a\x04haw\0",
        ),
        (
            aac([0x11, 0x90]).with_language(Some("x-none".into())),
            0x0f,
            b"",
        ),
        (mp3(), 3, b""),
        (low.track(TrackId(0)), 4, b""),
        (ac3, 0x81, b"\x05\x04AC-3"),
        (eac3, 0x87, b"\x05\x04EAC3"),
        (opus(), 6, b"\x05\x04Opus\x7f\x02\x80\x02"),
    ] {
        let mut out = Vec::new();
        Mux::new(&[&track])
            .unwrap()
            .segment(Continuity::default(), &[], &mut out);
        let (rows, _, _) = check(&[out]);
        let want = Row {
            stream_type,
            pid: 0x100,
            descriptors: descriptors.to_vec(),
        };
        assert_eq!(rows, [want], "{}", track.codec);
    }
    // Sixteen tracks, in a map of several packets; their map has a version of
    // its own.
    let many = vec![aac([0x11, 0x90]).with_language(Some("de".into())); 16];
    let many: Vec<&Track> = many.iter().collect();
    let made = Mux::new(&many).unwrap();
    let (written, _) = mux(&made, &[vec![], vec![]]);
    assert_eq!(written[0].len(), 3 * 188);
    assert_eq!(check(&written).0.len(), 16);
}

#[test]
fn what_cannot_be_carried_is_said() {
    let flac = Track::new(
        TrackId(0),
        codec::FLAC,
        rillcast_core::Timescale::MILLIS,
        mp3().params,
    );
    assert!(!Mux::carries(&flac) && Mux::carries(&mp3()));
    let error = |track: &Track| Mux::new(&[track]).unwrap_err().to_string();
    assert_eq!(error(&flac), "MPEG-TS does not carry FLAC");
    assert_eq!(Mux::new(&[]).unwrap_err(), MuxError::NoTracks);
    let one = mp3();
    assert_eq!(
        Mux::new(&[&one; 17]).unwrap_err(),
        MuxError::TooManyTracks(17)
    );
    // Low delay, enhanced low delay, frames of 960 samples, a rate without an
    // index, 22.2 channels.
    for config in [
        &[0xb9, 0x90, 0x00][..],
        &[0xf8, 0xe6, 0x20, 0x00],
        &[0x11, 0x94],
        &[0x17, 0x80, 0x5b, 0xcc, 0x10],
        &[0x11, 0xe8],
    ] {
        let track = aac::Config::parse(config).unwrap().track(TrackId(0));
        assert!(
            error(&track).starts_with("AAC of a kind that ADTS"),
            "{config:x?}"
        );
    }
    // What needs no words of its own: HE-AAC, explicit and not.
    for config in [
        &[0x2b, 0x11, 0x88, 0x00][..],
        &[0x13, 0x10, 0x56, 0xe5, 0x98],
    ] {
        let track = aac::Config::parse(config).unwrap().track(TrackId(0));
        assert!(Mux::new(&[&track]).is_ok());
    }
    assert!(error(&avc().with_config(Bytes::new())).starts_with("an H.264"));
}

#[test]
fn pictures_begin_with_a_delimiter_and_keyframes_with_their_sets() {
    for (track, delimiter, is_hevc) in [
        (avc(), &[0x09, 0xf0][..], false),
        (hevc(), &[0x46, 0x01, 0x50], true),
    ] {
        let sets: Vec<Bytes> = if is_hevc {
            let config = hevc::Config::parse(&track.config).unwrap();
            let sets = [
                config.video_parameter_sets(),
                config.sequence_parameter_sets(),
            ];
            [
                sets.concat(),
                config.picture_parameter_sets().to_vec(),
                config.messages().to_vec(),
            ]
            .concat()
        } else {
            let config = avc::Config::parse(&track.config).unwrap();
            [
                config.sequence_parameter_sets(),
                config.picture_parameter_sets(),
            ]
            .concat()
        };
        let (key, other) = (slice(is_hevc, true, 900), slice(is_hevc, false, 40));
        let sets: Vec<&[u8]> = sets.iter().map(|set| &set[..]).collect();
        let message: &[u8] = if is_hevc {
            &[39 << 1, 1, 0xff]
        } else {
            &[6, 0xff]
        };
        let whole = [&[delimiter][..], &sets, &[message, &key, &key]].concat();
        let bare = [delimiter, message, &other].to_vec();
        for (keyframe, payload, want) in [
            (true, vec![message, &key, &key], &whole),
            // What stands there does not come twice.
            (true, [&sets[..], &[message, &key, &key]].concat(), &whole),
            (
                true,
                [&[delimiter][..], &sets[1..], &[message, &[], &key, &key]].concat(),
                &whole,
            ),
            (false, vec![message, &other], &bare),
            (false, vec![delimiter, message, &other], &bare),
        ] {
            let made = Made {
                track: 0,
                dts: 3_600,
                pts: 7_200,
                keyframe,
                payload: lengths(&payload),
            };
            let (written, state) = mux(&Mux::new(&[&track]).unwrap(), &[vec![made]]);
            let (_, all, _) = check(&written);
            let want: Vec<u8> = want
                .iter()
                .flat_map(|unit| [&[0, 0, 0, 1], *unit].concat())
                .collect();
            assert_eq!(all.len(), 1);
            assert_eq!(all[0].payload, want);
            assert_eq!((all[0].dts, all[0].pts), (903_600, 907_200));
            assert_eq!(all[0].random_access, keyframe);
            assert_eq!(all[0].stream_id, 0xe0);
            assert_eq!(state.left_out(), 0);
        }
    }
}

#[test]
fn what_makes_no_sense_is_left_out_and_counted() {
    let tracks = [avc(), aac([0x11, 0x90]), opus()];
    let made = Mux::new(&tracks.each_ref()).unwrap();
    let good = lengths(&[&slice(false, true, 50)]);
    let long = [&good[..], &[0, 0, 1, 0, 0x41, 0x41]].concat();
    for (track, payload, written, left_out) in [
        (0, &good[..], 1, 0),
        (0, &long, 1, 1),
        (0, &good[..20], 0, 1),
        (0, &[], 0, 1),
        (0, &[0, 0, 0], 0, 1),
        (0, &[0; 8], 0, 1),
        (0, &lengths(&[&[6, 1, 2]]), 0, 1),
        (1, &[0x21; 8_184], 1, 0),
        (1, &[0x21; 8_185], 0, 1),
        (1, &[], 0, 1),
        (2, &[], 0, 1),
        (2, &[0xfc; 70_000], 0, 1),
        (3, &good, 0, 1),
        (usize::MAX, &good, 0, 1),
    ] {
        let unit = Made {
            track,
            dts: 0,
            pts: 0,
            keyframe: true,
            payload: Bytes::copy_from_slice(payload),
        };
        let (segments, state) = mux(&made, &[vec![unit]]);
        assert_eq!(
            check(&segments).1.len(),
            written,
            "{track}: {}",
            payload.len()
        );
        assert_eq!(state.left_out(), left_out, "{track}: {}", payload.len());
    }
}

#[test]
fn channels_that_only_elements_describe_stand_in_each_frame() {
    // 5.1 as `codec/aac/tests.rs` has it.
    let element = "0000 01 0011  0010 0000 0001 01 000 0000  0 0 0  0 0000  1 0001  1 0010  0011";
    let bits = |text: &str| -> Vec<u8> {
        let digits: Vec<u8> = text
            .bytes()
            .filter(|byte| *byte != b' ')
            .map(|byte| byte - b'0')
            .collect();
        let bytes = digits.chunks(8);
        bytes
            .map(|byte| {
                byte.iter()
                    .enumerate()
                    .map(|(at, bit)| bit << (7 - at))
                    .sum()
            })
            .collect()
    };
    let config = [
        bits(&format!("00010 0011 0000  0 0 0 {element}")),
        vec![1, b'A'],
    ]
    .concat();
    let track = aac::Config::parse(&config).unwrap().track(TrackId(0));
    assert_eq!(track.audio().unwrap().channels, 6);
    let unit = |at: u64| Made {
        track: 0,
        dts: at * 1_920,
        pts: at * 1_920,
        keyframe: true,
        payload: Bytes::from_static(&[0x21, 0x10, 0x05]),
    };
    let made = Mux::new(&[&track]).unwrap();
    let (segments, _) = mux(&made, &[(0..10).map(unit).collect()]);
    let frames = demux(&segments);
    assert_eq!(frames.len(), 10);
    let want = [
        bits(&format!("101 {element}")),
        vec![1, b'A', 0x21, 0x10, 0x05],
    ]
    .concat();
    assert!(frames.iter().all(|frame| frame.payload == want));
}

/// All frames of segments put together.
fn demux(segments: &[Vec<u8>]) -> Vec<SourceFrame> {
    let mut demuxer = Demuxer::new();
    demuxer.push(&segments.concat(), Instant::now());
    demuxer.flush(Instant::now());
    let counts = demuxer.counts();
    assert_eq!(counts.damaged_units + counts.lost + counts.sync_losses, 0);
    std::iter::from_fn(|| demuxer.next_item())
        .filter_map(|item| match item {
            SourceItem::Frame(frame) => Some(frame),
            _ => None,
        })
        .collect()
}

#[test]
fn the_clock_goes_on_where_nothing_else_does() {
    // A picture each second and nothing else, a segment each.
    let made = Mux::new(&[&avc()]).unwrap();
    let picture = |second: u64| Made {
        track: 0,
        dts: second * 90_000,
        pts: second * 90_000,
        keyframe: true,
        payload: lengths(&[&slice(false, true, 300)]),
    };
    let segments: Vec<Vec<Made>> = (0..5).map(|second| vec![picture(second)]).collect();
    let (written, _) = mux(&made, &segments);
    let (_, all, checker) = check(&written);
    assert_eq!(all.len(), 5);
    assert_eq!(checker.clock_only, 4 * 9);
    // Sound, and video that is quiet: the clock stays where the map says.
    let tracks = [aac([0x11, 0x90]), avc()];
    let made = Mux::new(&tracks.each_ref()).unwrap();
    let frame = |at: u64| Made {
        track: 0,
        dts: at * 1_920,
        pts: at * 1_920,
        keyframe: true,
        payload: Bytes::from_static(&[0x21; 300]),
    };
    let (written, _) = mux(&made, &[(0..50).map(frame).collect()]);
    let (_, all, checker) = check(&written);
    // Four frames in each.
    assert_eq!(all.len(), 13);
    assert!(checker.clock_only >= 10);
}

#[test]
fn a_clock_that_has_to_go_back_says_so() {
    let made = Mux::new(&[&mp3()]).unwrap();
    let at = |dts| Made {
        track: 0,
        dts,
        pts: dts,
        keyframe: true,
        payload: Bytes::from_static(&[0xff; 384]),
    };
    let (written, _) = mux(&made, &[vec![at(900_000)], vec![at(0)]]);
    let flags = |segment: &[u8]| segment[2 * 188 + 5];
    assert_eq!(flags(&written[0]), 0x50);
    assert_eq!(flags(&written[1]), 0xd0);
}
