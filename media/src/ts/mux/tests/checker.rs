//! Reads segments as strictly as the standard is written: whatever bends a rule
//! is a failure.

use std::collections::HashMap;

use crate::ts::pes::{CYCLE, Header, Parsed, between};
use crate::ts::section::crc;

/// What was read so far, from segment to segment.
#[derive(Default)]
pub(super) struct Checker {
    /// The counter of the last packet with payload of each PID.
    counters: HashMap<u16, u8>,
    /// The last PCR.
    pub(super) clock: Option<i64>,
    /// Packets with nothing but the clock.
    pub(super) clock_only: usize,
}

/// A PES packet.
#[derive(Debug)]
pub(super) struct Pes {
    pub(super) pid: u16,
    pub(super) stream_id: u8,
    /// In 33 bits.
    pub(super) dts: i64,
    pub(super) pts: i64,
    pub(super) random_access: bool,
    /// The length that it states.
    stated: Option<usize>,
    pub(super) payload: Vec<u8>,
}

/// A row of the program's map.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) stream_type: u8,
    pub(super) pid: u16,
    pub(super) descriptors: Vec<u8>,
}

const MAP: u16 = 0x1000;

/// Without a clock, a stretch is a gap of the stream only from here on.
const GAP: i64 = 15 * 90_000;

impl Checker {
    /// Checks a segment; returns its map and its PES packets, in the order in
    /// which they begin.
    pub(super) fn segment(&mut self, bytes: &[u8]) -> (Vec<Row>, Vec<Pes>) {
        let (packets, rest) = bytes.as_chunks::<188>();
        assert!(rest.is_empty());
        let mut sections: [Vec<u8>; 2] = Default::default();
        let mut map: Option<(u16, Vec<Row>)> = None;
        let mut all: Vec<Pes> = Vec::new();
        let mut open: HashMap<u16, usize> = HashMap::new();
        for (number, packet) in packets.iter().enumerate() {
            assert_eq!(
                (packet[0], packet[1] & 0xa0, packet[3] & 0xc0),
                (0x47, 0, 0)
            );
            let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
            let starts = packet[1] & 0x40 != 0;
            let counter = packet[3] & 15;
            let (field, payload) = self.adaptation(packet);
            let last = self.counters.get(&pid).copied();
            if payload.is_empty() {
                assert!(!starts);
                assert_eq!(
                    counter,
                    last.unwrap_or(15),
                    "payload-less packets do not count"
                );
            } else {
                let want = last.map_or(0, |last| (last + 1) & 15);
                assert_eq!(counter, want, "packet {number} of {pid:#x}");
                self.counters.insert(pid, counter);
            }
            if pid == 0 || pid == MAP {
                let section = &mut sections[usize::from(pid == MAP)];
                // The tables come first, and once.
                assert!(map.is_none() && starts == section.is_empty());
                assert!(field.is_empty());
                assert_eq!(number == 0, pid == 0);
                section.extend_from_slice(if starts { &payload[1..] } else { payload });
                if starts {
                    assert_eq!(payload[0], 0);
                }
                if pid == MAP && section.len() >= 3 + length(&section[1..]) {
                    let [pat, pmt] = &sections;
                    assert_eq!(body(pat, 0), [0, 1, 0xf0, 0]);
                    map = Some(rows(body(pmt, 2)));
                }
                continue;
            }
            let (clock_pid, rows) = map.as_ref().expect("tables first");
            assert!(rows.iter().any(|row| row.pid == pid));
            let random_access = field.first().is_some_and(|flags| flags & 0x40 != 0);
            if let Some(pcr) = clock(field) {
                assert_eq!(pid, *clock_pid);
                self.tick(pcr);
                self.clock_only += usize::from(payload.is_empty());
            }
            if payload.is_empty() {
                continue;
            }
            if !starts {
                assert!(!random_access);
                all[open[&pid]].payload.extend_from_slice(payload);
                continue;
            }
            let Parsed::Header(header) = Header::parse(payload) else {
                panic!("no header: {payload:x?}");
            };
            assert_eq!(payload[6], 0x84, "data_alignment_indicator");
            let stamp = header.stamp.unwrap();
            assert_eq!(payload[7] == 0xc0, stamp.dts != stamp.pts);
            let clock = self.clock.expect("a clock before the first time");
            let ahead = between(clock, stamp.dts);
            assert!((0..=90_000).contains(&ahead), "the clock is {ahead} off");
            open.insert(pid, all.len());
            all.push(Pes {
                pid,
                stream_id: header.stream_id,
                dts: stamp.dts,
                pts: stamp.pts,
                random_access,
                stated: header.payload,
                payload: payload[header.size..].to_vec(),
            });
        }
        let (_, rows) = map.expect("tables");
        for pes in &all {
            match pes.stated {
                Some(stated) => assert_eq!(stated, pes.payload.len()),
                None => assert!(
                    pes.stream_id >> 4 == 0xe && pes.payload.len() > 65_000,
                    "{:x} of {}",
                    pes.stream_id,
                    pes.payload.len()
                ),
            }
        }
        (rows, all)
    }

    /// The adaptation field behind its length, and the payload.
    fn adaptation<'p>(&self, packet: &'p [u8; 188]) -> (&'p [u8], &'p [u8]) {
        let (field, payload) = match packet[3] >> 4 {
            1 => return (&[], &packet[4..]),
            2 => {
                assert_eq!(packet[4], 183);
                (&packet[5..], &packet[188..])
            }
            3 => {
                assert!(packet[4] < 183);
                packet[5..].split_at(usize::from(packet[4]))
            }
            _ => panic!("no adaptation field and no payload"),
        };
        if let Some((flags, rest)) = field.split_first() {
            assert_eq!(flags & 0x2f, 0, "fields that nobody wrote");
            let stuffing = if flags & 0x10 == 0 { rest } else { &rest[6..] };
            assert!(stuffing.iter().all(|byte| *byte == 0xff));
        }
        (field, payload)
    }

    /// The clock goes on, and often enough.
    fn tick(&mut self, pcr: i64) {
        if let Some(last) = self.clock {
            let step = between(last, pcr);
            assert!(
                (1..=9_000).contains(&step) || step > GAP,
                "a step of {step}"
            );
        }
        self.clock = Some(pcr);
    }
}

/// `program_clock_reference` of a field without its length, in 90 kHz.
fn clock(field: &[u8]) -> Option<i64> {
    let (flags, rest) = field.split_first()?;
    if flags & 0x10 == 0 {
        return None;
    }
    assert_eq!(flags & 0x80, 0, "the clock never jumps");
    let (base, extension) = (
        i64::from_be_bytes([0, 0, rest[0], rest[1], rest[2], rest[3], rest[4], rest[5]]),
        0x7fff,
    );
    assert_eq!(base & extension, 0x7e00);
    assert!((0..CYCLE).contains(&(base >> 15)));
    Some(base >> 15)
}

fn length(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0] & 0x0f, bytes[1]]))
}

/// What a section says; all around it is as it has to be.
fn body(section: &[u8], table: u8) -> &[u8] {
    assert_eq!((section[0], section[1] >> 4), (table, 0xb));
    let (section, rest) = section.split_at(3 + length(&section[1..]));
    assert!(rest.iter().all(|byte| *byte == 0xff));
    assert_eq!(crc(section), 0);
    assert_eq!((section[3], section[4]), (0, 1));
    assert_eq!((section[5] & 0xc1, section[6], section[7]), (0xc1, 0, 0));
    &section[8..section.len() - 4]
}

/// The PID of the clock and the rows of a map.
fn rows(body: &[u8]) -> (u16, Vec<Row>) {
    let (head, mut rest) = body.split_at(4);
    assert_eq!((head[0] >> 5, &head[2..]), (7, &[0xf0, 0][..]));
    let mut rows = Vec::new();
    while !rest.is_empty() {
        assert_eq!((rest[1] >> 5, rest[3] >> 4), (7, 0xf));
        let (row, more) = rest.split_at(5 + length(&rest[3..]));
        rows.push(Row {
            stream_type: row[0],
            pid: u16::from_be_bytes([row[1] & 0x1f, row[2]]),
            descriptors: row[5..].to_vec(),
        });
        rest = more;
    }
    (u16::from_be_bytes([head[0] & 0x1f, head[1]]), rows)
}
