//! Tracks, sizes, gaps and cuts at random.

use proptest::prelude::*;
use rillcast_core::Track;

use super::checker::Pes;
use super::{Made, aac, avc, check, demux, hevc, lengths, mp3, mux, opus, slice};
use crate::codec;
use crate::ts::mux::Mux;
use crate::ts::pes::{CYCLE, between};

/// What the mux adds to all times.
const OFFSET: u64 = 900_000;

/// How a track is filled at random.
#[derive(Clone, Debug)]
struct Plan {
    /// Which track, of [`track`].
    kind: usize,
    /// Ticks from one picture to the next.
    step: u64,
    /// The sizes of units; the next is the next picture's or frame's.
    sizes: Vec<usize>,
    /// Gaps: behind which unit, and how long.
    gaps: Vec<(usize, u64)>,
}

fn track(kind: usize) -> Track {
    match kind {
        0 => avc(),
        1 => hevc(),
        2 => aac([0x11, 0x90]),
        3 => aac([0x12, 0x10]),
        4 => opus(),
        _ => mp3(),
    }
}

fn plan(kinds: std::ops::Range<usize>) -> impl Strategy<Value = Plan> {
    let rate = prop::sample::select(vec![1_u64, 5, 24, 25, 30, 60, 120]);
    // As many small ones as large ones, up to 1 MB.
    let size = prop_oneof![
        8 => 1_usize..400,
        4 => 1_usize..8_000,
        1 => 100_000_usize..1_000_000,
    ];
    let sizes = prop::collection::vec(size, 1..30);
    let gap = prop_oneof![
        0_u64..9_000,
        90_000_u64..1_300_000,
        2_000_000_u64..9_000_000
    ];
    let gaps = prop::collection::vec((0_usize..30, gap), 0..2);
    (kinds, rate, sizes, gaps).prop_map(|(kind, rate, sizes, gaps)| Plan {
        kind,
        step: 90_000 / rate,
        sizes,
        gaps,
    })
}

fn fill(plans: &[Plan], begin: u64) -> Vec<Made> {
    let mut all = Vec::new();
    for (track, plan) in plans.iter().enumerate() {
        let mut shift = 0;
        let mut samples = 0;
        let count = match plan.kind {
            0 | 1 => plan.sizes.len(),
            _ => 6 * plan.sizes.len(),
        };
        for at in 0..count {
            let size = plan.sizes[at % plan.sizes.len()];
            let (time, held, payload, keyframe) = match plan.kind {
                kind @ (0 | 1) => {
                    let keyframe = at % 12 == 0;
                    let unit = slice(kind == 1, keyframe, size);
                    let small = slice(kind == 1, keyframe, size % 7);
                    let held = [2, 4, 1, 0][at % 4] * plan.step;
                    (
                        at as u64 * plan.step,
                        held,
                        lengths(&[&unit, &small]),
                        keyframe,
                    )
                }
                kind => {
                    let (step, rate) = [
                        (1_024, 48_000),
                        (1_024, 44_100),
                        (960, 48_000),
                        (1_152, 48_000),
                    ][kind - 2];
                    samples += step;
                    // An Opus packet of 20 ms.
                    let mut payload = vec![0xfc; size % 1_400 + 1];
                    payload[0] = if kind == 4 { 0xfc } else { 0x21 };
                    ((samples - step) * 90_000 / rate, 0, payload.into(), true)
                }
            };
            let dts = begin + shift + time;
            all.push(Made {
                track,
                dts,
                pts: dts + held,
                keyframe,
                payload,
            });
            shift += plan
                .gaps
                .iter()
                .filter(|gap| gap.0 == at)
                .map(|gap| gap.1)
                .sum::<u64>();
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_segment_keeps_the_standard_and_loses_nothing(
        video in prop::option::of(plan(0..2)),
        audio in prop::collection::vec(plan(2..6), 0..4),
        begin in prop_oneof![Just(0), Just((1 << 33) - 1_000_000), 0_u64..1 << 40],
        cuts in prop::collection::vec(1_u64..400_000, 0..5),
        skew in 0_u64..20_000,
    ) {
        let plans: Vec<Plan> = audio.into_iter().chain(video).collect();
        prop_assume!(!plans.is_empty());
        let tracks: Vec<Track> = plans.iter().map(|plan| track(plan.kind)).collect();
        let made = Mux::new(&tracks.iter().collect::<Vec<_>>()).unwrap();
        let all = fill(&plans, begin);
        // Sound may be cut a little later than pictures.
        let mut segments = vec![Vec::new(); cuts.len() + 1];
        for unit in &all {
            let time = unit.dts - begin;
            let late = if plans[unit.track].kind > 1 { skew } else { 0 };
            let mut end = 0;
            let number = cuts.iter().take_while(|cut| { end += *cut; time >= end + late }).count();
            segments[number].push(unit.clone());
        }
        let (written, state) = mux(&made, &segments);
        prop_assert_eq!(state.left_out(), 0);
        let (rows, pes, _) = check(&written);
        prop_assert_eq!(rows.len(), plans.len());
        for (number, plan) in plans.iter().enumerate() {
            let of_track: Vec<&Made> = all.iter().filter(|made| made.track == number).collect();
            let pid = 0x100 + u16::try_from(number).unwrap();
            let pes: Vec<&Pes> = pes.iter().filter(|pes| pes.pid == pid).collect();
            if plan.kind < 2 {
                prop_assert_eq!(pes.len(), of_track.len());
                for (pes, made) in pes.iter().zip(&of_track) {
                    let units: Vec<u8> = codec::avc::units(&made.payload)
                        .flat_map(|unit| [&[0, 0, 0, 1], unit.unwrap()].concat())
                        .collect();
                    prop_assert!(pes.payload.ends_with(&units));
                    prop_assert_eq!(u64::try_from(pes.dts).unwrap(), (made.dts + OFFSET) % (1 << 33));
                    prop_assert_eq!(u64::try_from(pes.pts).unwrap(), (made.pts + OFFSET) % (1 << 33));
                    prop_assert_eq!(pes.random_access, made.keyframe);
                }
                continue;
            }
            // Of audio the bytes of all frames, each behind what its format
            // has, and at most 100 ms of them in a PES packet.
            let mut at = 0;
            for pes in &pes {
                prop_assert_eq!(u64::try_from(pes.dts).unwrap(), (of_track[at].dts + OFFSET) % (1 << 33));
                prop_assert_eq!(pes.dts, pes.pts);
                let (first, mut rest) = (of_track[at].dts, &pes.payload[..]);
                while !rest.is_empty() {
                    let frame = of_track[at];
                    let size = frame.payload.len();
                    let head = match plan.kind {
                        2 | 3 => 7,
                        4 => 3 + size / 255,
                        _ => 0,
                    };
                    prop_assert_eq!(&rest[head..head + size], &frame.payload[..]);
                    prop_assert!(frame.dts - first <= 9_000);
                    rest = &rest[head + size..];
                    at += 1;
                }
            }
            prop_assert_eq!(at, of_track.len());
        }
    }

    #[test]
    fn sound_comes_back_to_the_tick(
        sound in plan(2..5),
        begin in prop_oneof![Just(0), Just((1 << 33) - 1_000_000)],
    ) {
        let plan = Plan { gaps: Vec::new(), ..sound };
        let made = Mux::new(&[&track(plan.kind)]).unwrap();
        let all = fill(std::slice::from_ref(&plan), begin);
        let (written, _) = mux(&made, std::slice::from_ref(&all));
        let frames = demux(&written);
        prop_assert_eq!(frames.len(), all.len());
        for (frame, made) in frames.iter().zip(&all) {
            prop_assert_eq!(&frame.payload, &made.payload);
            let want = i64::try_from((made.dts + OFFSET) % (1 << 33)).unwrap();
            prop_assert!((0..CYCLE).contains(&frame.dts));
            prop_assert!(between(frame.dts, want).abs() <= 1);
        }
    }

    #[test]
    fn nothing_is_too_strange(
        strange in prop::collection::vec(
            (0_usize..8, any::<u64>(), any::<u64>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)),
            0..20,
        ),
    ) {
        let tracks: Vec<Track> = (0..6).map(track).collect();
        let made = Mux::new(&tracks.iter().collect::<Vec<_>>()).unwrap();
        let all: Vec<Made> = strange
            .into_iter()
            .map(|(track, dts, pts, keyframe, payload)| Made { track, dts, pts, keyframe, payload: payload.into() })
            .collect();
        let (written, _) = mux(&made, &[all.clone(), all]);
        prop_assert!(written.iter().all(|segment| segment.len() % 188 == 0));
    }
}
