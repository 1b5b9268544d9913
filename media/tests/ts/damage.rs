//! Packets that are dropped, damaged, repeated and moved: what they do not
//! touch comes through as it was, to the byte and the tick.

use std::collections::BTreeSet;
use std::fs;

use rillcast_media::{SourceFrame, codec};

use super::{Tracks, encode, from_ts, installed, remux};

const SOURCES: [(&str, &[&str], &[&str]); 4] = [
    (
        "a picture in some packets",
        &["-r", "25", "-bf", "3", "-g", "25"],
        &[],
    ),
    (
        "slices, small pictures between large ones",
        &[
            "-r",
            "50",
            "-slices",
            "4",
            "-tune",
            "zerolatency",
            "-g",
            "30",
            "-ac",
            "6",
        ],
        &["-omit_video_pes_length", "0"],
    ),
    (
        "constant rate, a packet of sound for each frame",
        &["-r", "30", "-bf", "2", "-ar", "44100"],
        &["-muxrate", "4M", "-pes_payload_size", "0"],
    ),
    (
        "fields",
        &[
            "-flags",
            "+ilme+ildct",
            "-x264opts",
            "interlaced=1:tff=1:keyint=20",
        ],
        &["-pes_payload_size", "0"],
    ),
];

/// How many times each stream is damaged in each way.
const TRIALS: u64 = 40;

#[test]
fn a_bad_packet_costs_at_most_the_access_units_that_it_hits() {
    if !installed() {
        return;
    }
    for (name, options, muxer) in SOURCES {
        let dir = tempfile::tempdir().unwrap();
        let flv = dir.path().join("in.flv");
        let ts = dir.path().join("out.ts");
        encode(options, &flv);
        remux(&flv, muxer, &ts);
        let file = File::read(fs::read(&ts).unwrap());
        for harm in HARMS {
            for seed in 0..TRIALS {
                let what = format!("{name}, {harm:?}, seed {seed}");
                file.check(&what, harm, &mut Chance(seed * 977 + 1));
            }
        }
    }
}

/// What is done to packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Drop,
    DropRun,
    Repeat,
    Swap,
    Carry,
    Flip,
    Header,
    ErrorBit,
}

const HARMS: [Harm; 8] = [
    Harm::Drop,
    Harm::DropRun,
    Harm::Repeat,
    Harm::Swap,
    Harm::Carry,
    Harm::Flip,
    Harm::Header,
    Harm::ErrorBit,
];

/// An access unit: its track and its number there.
type Unit = (usize, usize);

/// A stream, and which packet belongs to which access units.
struct File {
    packets: Vec<Vec<u8>>,
    /// The access units that each packet holds bytes of.
    units: Vec<BTreeSet<Unit>>,
    /// The last access unit of each track that began at or before each packet.
    current: Vec<[usize; 2]>,
    /// The PES packet that each frame of sound begins in.
    groups: Vec<usize>,
    /// Here all tracks have begun.
    begun: usize,
    whole: Tracks,
}

impl File {
    fn read(bytes: Vec<u8>) -> Self {
        let (whole, counts) = from_ts(&bytes, 1_316);
        assert_eq!(counts.damaged_units, 0);
        let packets: Vec<_> = bytes.chunks(188).map(<[u8]>::to_vec).collect();
        let mut units = vec![BTreeSet::new(); packets.len()];
        let mut current = vec![[0; 2]; packets.len()];
        // Bytes of sound so far, and where each frame ends.
        let (mut pictures, mut position, mut sound) = (0_usize, 0, Vec::new());
        let mut at = Vec::new();
        let (mut groups, mut group) = (Vec::new(), 0_usize);
        let mut filled = true;
        for (index, packet) in packets.iter().enumerate() {
            let start = packet[1] & 0x40 != 0;
            let field = if packet[3] & 0x20 == 0 {
                0
            } else {
                1 + usize::from(packet[4])
            };
            let mut payload = &packet[4 + field..];
            match pid_of(packet) {
                0x100 if packet[3] & 0x10 != 0 => {
                    if start {
                        pictures += 1;
                        if filled && pictures > 1 {
                            // Nothing shows that the one before is whole.
                            units[index].insert((0, pictures - 2));
                        }
                    }
                    units[index].insert((0, pictures - 1));
                    // Stuffing, with or without a clock reference before it.
                    let clock = field > 1 && packet[5] & 0x10 != 0;
                    filled = field == 0 || clock && field == 8;
                }
                0x101 => {
                    if start {
                        payload = &payload[9 + usize::from(payload[8])..];
                        group += 1;
                    }
                    at.push((index, group, position, position + payload.len()));
                    position += payload.len();
                    sound.extend_from_slice(payload);
                }
                _ => {}
            }
            current[index][0] = pictures.saturating_sub(1);
        }
        let second = |entry: &&(usize, usize, usize, usize)| entry.1 == 4;
        let begun = at.iter().find(second).unwrap().0;
        let mut begin = 0;
        for frame in 0.. {
            let Some(header) = sound.get(begin..begin + 7) else {
                break;
            };
            let size = usize::from(header[3] & 3) << 11
                | usize::from(header[4]) << 3
                | usize::from(header[5] >> 5);
            for (index, group, from, to) in &at {
                if (*from..*to).contains(&begin) {
                    groups.push(*group);
                }
                if *from < begin + size && begin < *to {
                    units[*index].insert((1, frame));
                }
                if *from >= begin {
                    current[*index][1] = frame;
                }
            }
            begin += size;
        }
        let mut last = 0;
        for current in &mut current {
            last = last.max(current[1]);
            current[1] = last;
        }
        assert_eq!(pictures, whole[0].1.len());
        Self {
            packets,
            units,
            current,
            groups,
            begun,
            whole,
        }
    }

    fn check(&self, what: &str, harm: Harm, chance: &mut Chance) {
        let mut hit = BTreeSet::new();
        let mut out: Vec<Vec<u8>> = Vec::new();
        let mut carried: Option<(usize, Vec<u8>)> = None;
        let mut index = 0;
        // Behind the beginning of both tracks, each place far from the others,
        // and not where only the end of the stream shows what is missing.
        let mut next = self.begun + chance.below(60);
        while index < self.packets.len() {
            let mut packet = self.packets[index].clone();
            let mut strike = |index: usize| hit.extend(self.units[index].iter().copied());
            if let Some((left, _)) = &mut carried {
                *left -= 1;
            }
            if let Some((0, late)) = carried.take_if(|(left, _)| *left == 0) {
                out.push(late);
            }
            if index == next && self.current[index][0] + 3 < self.whole[0].1.len() {
                next += 60 + chance.below(200);
                match harm {
                    Harm::Drop => {
                        strike(index);
                        index += 1;
                        continue;
                    }
                    Harm::DropRun => {
                        let run = 2 + chance.below(14);
                        // One more of each track: a second long gap can look as
                        // if a packet from the first one came late.
                        let after = &self.packets[index + run..];
                        for pid in [0x100, 0x101] {
                            let next = after.iter().position(|packet| pid_of(packet) == pid);
                            strike(index + run + next.unwrap_or(0));
                        }
                        (index..index + run).for_each(strike);
                        index += run;
                        // Two runs without a packet of a track between them
                        // could add up to sixteen, which no counter shows.
                        next += 300;
                        continue;
                    }
                    Harm::Repeat => out.push(packet.clone()),
                    Harm::Swap => {
                        strike(index);
                        strike(index + 1);
                        out.push(self.packets[index + 1].clone());
                        out.push(packet);
                        index += 2;
                        continue;
                    }
                    Harm::Carry => {
                        strike(index);
                        carried = Some((2 + chance.below(6), packet));
                        index += 1;
                        continue;
                    }
                    Harm::Flip => {
                        strike(index);
                        for _ in 0..1 + chance.below(8) {
                            packet[4 + chance.below(184)] ^= 1 << chance.below(8);
                        }
                        // What was a beginning may now be a part of the unit
                        // before, or a length so large that it takes the next.
                        for (track, unit) in self.current[index].into_iter().enumerate() {
                            let near = unit.saturating_sub(1)..=unit + 1;
                            hit.extend(near.map(|unit| (track, unit)));
                        }
                    }
                    Harm::Header => {
                        strike(index);
                        packet[chance.below(4)] ^= 1 << chance.below(8);
                        // It may have become another track's.
                        for (track, unit) in self.current[index].into_iter().enumerate() {
                            hit.extend([(track, unit), (track, unit + 1)]);
                        }
                    }
                    Harm::ErrorBit => {
                        strike(index);
                        packet[1] |= 0x80;
                        for byte in &mut packet[4..] {
                            *byte = chance.below(256).to_le_bytes()[0];
                        }
                    }
                }
            }
            out.push(packet);
            index += 1;
        }
        let (got, counts) = from_ts(&out.concat(), 1_316);
        let mut missing = Vec::new();
        let mut altered = 0;
        for (track, (_, wanted)) in self.whole.iter().enumerate() {
            let codec = self.whole[track].0.codec;
            let mut found = BTreeSet::new();
            let group = |frame: usize| self.groups.get(frame).copied();
            let guessed: BTreeSet<_> = hit
                .iter()
                .filter(|(of, _)| *of == 1 && track == 1)
                .filter_map(|(_, frame)| group(*frame))
                .flat_map(|group| [group, group + 1])
                .collect();
            for frame in &got[track].1 {
                // Where sound was lost, times are reckoned up to the next PES packet.
                let near = |(at, wanted): (usize, &SourceFrame)| {
                    let guessed = group(at).is_some_and(|group| guessed.contains(&group));
                    let tolerance = match track {
                        0 => 0,
                        _ if guessed => 30_000,
                        _ => 2,
                    };
                    (wanted.dts - frame.dts).abs() <= tolerance
                        && wanted.cts == frame.cts
                        && codec::equal_payloads(codec, &wanted.payload, &frame.payload)
                };
                match wanted.iter().enumerate().position(near) {
                    Some(at) => assert!(found.insert(at), "{what}: {at} came twice"),
                    None => altered += 1,
                }
            }
            let lost = (0..wanted.len()).filter(|at| !found.contains(at));
            missing.extend(lost.map(|at| (track, at)));
        }
        let unhit: Vec<_> = missing.iter().filter(|unit| !hit.contains(unit)).collect();
        assert!(unhit.is_empty(), "{what}: {unhit:?} missing, {counts:?}");
        if matches!(harm, Harm::Flip | Harm::Header) {
            // There is no checksum: what is damaged may pass.
            assert!(altered <= missing.len(), "{what}: {altered} altered");
        } else {
            assert_eq!(altered, 0, "{what}: {counts:?}");
        }
        if harm == Harm::Repeat {
            assert!(missing.is_empty() && counts.lost == 0, "{what}: {counts:?}");
        }
        assert!(!hit.is_empty() || harm == Harm::Repeat);
    }
}

fn pid_of(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1f, packet[2]])
}

/// A small generator of numbers (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % limit
    }
}
